"""What torchrun tells each process of a run, by environment variables; without torchrun there is one."""

from __future__ import annotations

import os
from dataclasses import dataclass

from neuromirror.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process among those of a run.

    Attributes
    ----------
    rank, size : int
        Which of how many it is, from 0.
    local_rank : int
        Which it is of those on its machine.
    local_size : int
        How many there are on its machine.
    restarts : int
        How often torchrun has started all of them again.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes the record and speaks for all."""
        return self.rank == 0


def cores() -> int:
    """Return how many cores of the processor this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place() -> Place:
    """Return the place of this process.

    Raises
    ------
    RequestError
        If the environment says of the processes what cannot be.
    """
    size = _number("WORLD_SIZE", 1)
    rank = _number("RANK", 0 if size == 1 else None)
    if not 0 <= rank < size:
        raise RequestError(f"RANK={rank}: of {size} processes there is none of that number. Start with torchrun.")
    return Place(
        rank=rank,
        size=size,
        local_rank=_number("LOCAL_RANK", 0),
        local_size=_number("LOCAL_WORLD_SIZE", 1),
        restarts=_number("TORCHELASTIC_RESTART_COUNT", 0),
    )


def _number(name: str, otherwise: int | None) -> int:
    text = os.environ.get(name)
    if text is None and otherwise is not None:
        return otherwise
    try:
        return int(text or "")
    except ValueError as error:
        found = f"{name} is not set, but WORLD_SIZE is" if text is None else f"{name}={text}"
        raise RequestError(
            f"{found}: torchrun gives a whole number. Start with torchrun, or without WORLD_SIZE for one process."
        ) from error
