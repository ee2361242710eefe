"""The processes that train one network together, and all that they exchange.

What every rank computes alike is not exchanged. Gradients are summed by `DistributedDataParallel` through
`Ranks.sum_later`, means and covariances of mirroring by `Ranks.sum_` as one flat array, a few numbers of each step by
`Ranks.numbers`. Sums come out bit for bit the same on every rank.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from neuromirror.errors import NeuromirrorError, RequestError, RunError
from neuromirror.processes import place

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others before it takes them for lost: longer than one evaluates or writes alone."""


class Ranks:
    """The processes of a run, as one of them sees them; by default it is alone.

    Parameters
    ----------
    rank, size : int
        Which of how many it is, from 0.

    Attributes
    ----------
    exchanged_bytes : dict of str to int
        What this rank has given into sums, by what it was: "gradients", "mirroring", "statistics", "control".
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.exchanged_bytes = {"gradients": 0, "mirroring": 0, "statistics": 0, "control": 0}

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def share(self, examples: int) -> slice:
        """Return which of so many consecutive examples are this rank's: parts that differ by one at most."""
        first, last = (examples * number // self.size for number in (self.rank, self.rank + 1))
        return slice(first, last)

    def sum_(self, tensors: Sequence[Tensor], what: str = "mirroring") -> None:
        """Make tensors of one type the sums of those of all ranks; one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([one.reshape(-1) for one in tensors])
        self.exchanged_bytes[what] += flat.nbytes
        with reached():
            dist.all_reduce(flat)
        for one, summed in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
            one.copy_(summed.view(one.shape))

    def sum_later(self, bucket: Any) -> torch.futures.Future[Tensor]:
        """Sum the gradients of a bucket while the backward pass goes on: a hook of `DistributedDataParallel`."""
        buffer = bucket.buffer()
        self.exchanged_bytes["gradients"] += buffer.nbytes
        work = dist.all_reduce(buffer, async_op=True)
        assert work is not None
        return work.get_future().then(lambda done: done.value()[0])

    def numbers(self, values: Sequence[float]) -> list[float]:
        """Return the sums of numbers over all ranks."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        self.exchanged_bytes["control"] += summed.nbytes
        with reached():
            dist.all_reduce(summed)
        return summed.tolist()

    def integers(self, value: int) -> list[int]:
        """Return the signed number of 64 bits that each rank has, by rank."""
        if self.size == 1:
            return [value]
        found = torch.zeros(self.size, dtype=torch.int64)
        found[self.rank] = value
        self.exchanged_bytes["control"] += found.nbytes
        with reached():
            dist.all_reduce(found)
        return found.tolist()

    def gathered(self, value: T) -> list[T]:
        """Return what each rank has, by rank; anything that can be pickled. For what is rare."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with reached():
            dist.all_gather_object(found, value)
        return found

    def together(self, do: Callable[[], T]) -> T:
        """Do something on every rank; where it fails on any, all of them raise.

        Raises
        ------
        NeuromirrorError
            That of this rank, or else that of the first which has one, with its number.
        """
        result, own = None, None
        try:
            result = do()
        except NeuromirrorError as error:
            own = error
        self.raise_any(own)
        return result  # pyright: ignore[reportReturnType]

    def raise_any(self, own: NeuromirrorError | None) -> None:
        """Raise the error of this rank, or else that of the first which has one; with none on any, go on."""
        found = self.gathered(None if own is None else (own.exit_code, str(own)))
        if own is not None:
            raise own
        for rank, error in enumerate(found):
            if error is not None:
                kind = RequestError if error[0] == RequestError.exit_code else RunError
                raise kind(f"rank {rank}: {error[1]}")

    def on_first(self, do: Callable[[], T]) -> T | None:
        """Do something on the first rank alone, as `together`; the others wait, and have None."""
        return self.together(lambda: do() if self.is_first else None)


ALONE = Ranks()
"""A process that trains by itself."""


@contextmanager
def reached() -> Iterator[None]:
    """Say of an exchange that fails that others are lost.

    Raises
    ------
    RunError
        In place of what the library raises.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, NeuromirrorError) or not any(word in str(error) for word in _LOST):
            raise
        why = _SOURCE.sub("", str(error).splitlines()[0]).partition(". ")[0].rstrip(".")
        raise RunError(
            f"another process of the run is lost ({why}). What happened to it stands among its own messages."
        ) from error


_SOURCE = re.compile(r"^\[[^]]*\.cc:\d+\] ")
_LOST = ("gloo", "NCCL", "Connection", "Socket", "socket", "peer", "timed out", "Timed out")
"""Words of what torch says when a process is no longer there."""


@cache
def joined() -> Ranks:
    """Return the processes that torchrun started, once they have all come here; without torchrun, or one, alone.

    Raises
    ------
    RequestError
        If the environment says half of what torchrun says.
    RunError
        If the others cannot be reached.
    """
    at = place()
    if at.size == 1:
        return ALONE
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise RequestError(
            f"WORLD_SIZE={at.size} says that there are other processes, and no {' and '.join(missing)} says where. "
            "Start with torchrun, or without WORLD_SIZE for one process."
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(at.local_rank % torch.cuda.device_count())
    if not dist.is_initialized():
        try:
            store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
            # torchrun may keep its store when it starts all again, and with it the addresses of those that are gone.
            fresh = PrefixStore(f"life-{at.restarts}", store)
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, timeout=TIMEOUT, store=fresh, rank=rank, world_size=size)
        except (RuntimeError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise RunError(f"rank {at.rank} of {at.size}: the others cannot be reached ({why}).") from error
        atexit.register(_leave)
    return Ranks(at.rank, at.size)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
