"""Spikes on their way into the files of a record.

Where one file ends and the next begins depends on the spikes alone, not on how fast they came, so that the same run has
the same files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuromirror.record.store import RunWriter

PART_SPIKES = 2**16
"""A part of a population's spikes ends with the piece of which it has so many."""


class SpikeParts:
    """Gathers pieces of spikes, which come at fixed simulated times, into parts that are worth a file.

    Parameters
    ----------
    writer : RunWriter
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._held: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def add(self, population: str, ticks: np.ndarray, cells: np.ndarray) -> None:
        """Take the next piece of a population's spikes; see `RunWriter.spikes`."""
        held = self._held.setdefault(population, [])
        if len(ticks):
            held.append((ticks, cells))
        if sum(len(piece) for piece, _ in held) >= PART_SPIKES:
            self._write(population)

    def close(self) -> None:
        """Write what is held. A population that has been heard of has a file then, if an empty one."""
        for population, held in self._held.items():
            if held or not self._writer.parts[population]:
                self._write(population)

    def _write(self, population: str) -> None:
        self._writer.spikes(population, *self._joined(population))
        self._held[population] = []

    def _joined(self, population: str) -> tuple[np.ndarray, np.ndarray]:
        ticks, cells = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
        for piece in self._held[population]:
            ticks.append(piece[0])
            cells.append(piece[1])
        return np.concatenate(ticks), np.concatenate(cells)

    def state(self) -> dict[str, np.ndarray]:
        """Return what is held, as arrays by name."""
        state = {}
        for population in self._held:
            state[f"ticks/{population}"], state[f"cells/{population}"] = self._joined(population)
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Hold what was held."""
        for name, ticks in state.items():
            what, _, population = name.partition("/")
            if what == "ticks":
                self._held[population] = [(ticks, state[f"cells/{population}"])] if len(ticks) else []
