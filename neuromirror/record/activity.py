"""How much populations spike in each mode: what a circuit spends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def mean_rates_Hz(counts: Counts, manifest: Manifest) -> dict[str, dict[str, float]]:
    """Return the mean rate of a cell of each population in each mode, in Hz."""
    sizes = {name: entry["size"] for name, entry in manifest.populations.items()}
    spent_s = dict.fromkeys(counts, 0.0)
    for phase in manifest.phases:
        spent_s[phase["mode"]] += phase["stop_s"] - phase["start_s"]
    return {
        mode: {name: spikes / (sizes[name] * spent_s[mode]) for name, spikes in of_mode.items()}
        for mode, of_mode in counts.items()
    }


def total(of_mode: Mapping[str, int], shared: Iterable[str]) -> int:
    """Return the number of spikes of all cells in one mode.

    Parameters
    ----------
    of_mode : mapping of str to int
        Spikes by population.
    shared : iterable of str
        Populations whose cells are those of another, under which their spikes are counted.
    """
    left_out = set(shared)
    return sum(spikes for name, spikes in of_mode.items() if name not in left_out)
