"""The processes that train one network together, and all that they exchange.

What every rank computes alike is not exchanged. Gradients are summed by `torch.nn.parallel`, through `Ranks.sum_later`;
means and covariances of mirroring by `Ranks.sum_`, each as one flat array; a few numbers a step by `Ranks.numbers`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from neuromirror.errors import RequestError

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others before it takes them for lost: longer than one evaluates or writes alone."""


class Ranks:
    """The processes of a run, as one of them sees them; by default it is alone.

    Parameters
    ----------
    rank, size : int
        Which of how many it is, from 0.
    local_rank : int
        Which it is of those on its machine.

    Attributes
    ----------
    exchanged_bytes : dict of str to int
        What this rank has given into sums, by what it was: "gradients", "mirroring", "control".
    """

    def __init__(self, rank: int = 0, size: int = 1, *, local_rank: int = 0) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self.exchanged_bytes = {"gradients": 0, "mirroring": 0, "control": 0}

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def share(self, examples: int) -> slice:
        """Return which of so many consecutive examples are this rank's: parts that differ by one at most."""
        first, last = (examples * number // self.size for number in (self.rank, self.rank + 1))
        return slice(first, last)

    def sum_(self, tensors: Sequence[Tensor], what: str = "mirroring") -> None:
        """Make tensors of one type the sums of those of all ranks, bit for bit the same on each; one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([one.reshape(-1) for one in tensors])
        self.exchanged_bytes[what] += flat.nbytes
        dist.all_reduce(flat)
        for one, summed in zip(tensors, flat.split([one.numel() for one in tensors]), strict=True):
            one.copy_(summed.view(one.shape))

    def sum_later(self, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
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
        dist.all_reduce(summed)
        return summed.tolist()

    def gathered(self, value: Any) -> list[Any]:
        """Return what each rank has, by rank; anything that can be pickled. For what is rare."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Wait until every rank has come here."""
        if self.size > 1:
            dist.barrier()


ALONE = Ranks()
"""A process that trains by itself."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started; without torchrun, or with one process, be alone.

    Yields
    ------
    Ranks

    Raises
    ------
    RequestError
        If the environment says half of what torchrun says, or the others cannot be reached.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield Ranks()
        return
    rank, local_rank = _number("RANK", None), _number("LOCAL_RANK", 0)
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise RequestError(f"rank {rank} of {size}: the others cannot be reached ({error}). Use torchrun.") from error
    try:
        yield Ranks(rank, size, local_rank=local_rank)
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Return whether this is the process that speaks for all, before they have joined."""
    return _number("RANK", 0) == 0


def _number(name: str, otherwise: int | None) -> int:
    text = os.environ.get(name)
    if text is None and otherwise is not None:
        return otherwise
    try:
        return int(text or "")
    except ValueError as error:
        raise RequestError(f"{name}={text}: torchrun gives a whole number there. Start with torchrun.") from error
