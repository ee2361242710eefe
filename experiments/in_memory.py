"""Runs of rates that are kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import Options, Snapshot, load_backend
from neuromirror.circuit.circuit import Circuit
from neuromirror.plan import make_plan


@dataclass
class Kept:
    """A recorder that keeps everything."""

    snapshots: list[Snapshot] = field(default_factory=list)
    phase_ends: list[Snapshot] = field(default_factory=list)

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        """Keep a state."""
        self.snapshots.append(snapshot)
        if keep_arrays:
            self.phase_ends.append(snapshot)

    def spikes(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        """Refuse spikes."""
        raise AssertionError("rates do not spike")

    def progress(self, done_s: float) -> None:
        """Take no notice."""


def simulate(circuit: Circuit, backend: str, seed: int = 0, *, dtype: str = "float64", points: int = 1) -> Kept:
    """Run a circuit's schedule and return its snapshots; the first of each list is the initial state."""
    kept = Kept()
    with one_thread():
        load_backend(backend).run([make_plan(circuit, seed, backend)], [kept], Options(dtype=dtype, points=points))
    return kept


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: arrays this small gain nothing from more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
