"""How much populations spike in each mode: what a circuit spends."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from neuromirror.record.manifest import Manifest

Counts = dict[str, dict[str, int]]
"""Numbers of spikes by mode and population."""


class SpikeCounts:
    """Counts the spikes of every population by the mode in which they fall.

    Parameters
    ----------
    manifest : Manifest
        Of a run that spikes.
    """

    def __init__(self, manifest: Manifest) -> None:
        assert manifest.dt_s is not None, "a spiking run has a time step"
        self._ends = [round(phase["stop_s"] / manifest.dt_s) for phase in manifest.phases]
        self._modes = [phase["mode"] for phase in manifest.phases]
        self.by_mode: Counts = {mode: dict.fromkeys(manifest.populations, 0) for mode in sorted(set(self._modes))}

    def add(self, population: str, ticks: np.ndarray) -> None:
        """Count spikes at these time steps from the start of the run, shape (spikes,)."""
        found = np.bincount(np.searchsorted(self._ends, ticks, side="right"), minlength=len(self._ends))
        for mode, spikes in zip(self._modes, found, strict=False):
            self.by_mode[mode][population] += int(spikes)


def mean_rates_Hz(counts: Counts, manifest: Manifest, until_s: float = math.inf) -> dict[str, dict[str, float]]:
    """Return the mean rate of a cell of each population in each mode, in Hz.

    Parameters
    ----------
    counts : Counts
        Spikes up to ``until_s``.
    manifest : Manifest
    until_s : float
        How far the run has come, in seconds. Modes that it has not come to are left out.
    """
    spent_s = dict.fromkeys(counts, 0.0)
    for phase in manifest.phases:
        spent_s[phase["mode"]] += max(0.0, min(phase["stop_s"], until_s) - phase["start_s"])
    sizes = {name: entry["size"] for name, entry in manifest.populations.items()}
    return {
        mode: {name: spikes / (sizes[name] * spent_s[mode]) for name, spikes in of_mode.items()}
        for mode, of_mode in counts.items()
        if spent_s[mode]
    }


def of_all_cells(values: Mapping[str, float], shared: Collection[str]) -> float:
    """Return the sum over populations of what each has, such as spikes, that of no cell twice.

    Parameters
    ----------
    values : mapping of str to number
    shared : collection of str
        Populations whose cells are those of another.
    """
    return sum(value for name, value in values.items() if name not in shared)
