"""How often every cell spiked in each mode."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuromirror.record.manifest import Manifest


class CellCounts:
    """Counts the spikes of every cell by the mode in which they fall.

    Parameters
    ----------
    manifest : Manifest
        Of a run that spikes.

    Attributes
    ----------
    spikes : dict of (str, str) to int array (cells,)
        By mode and population.
    """

    def __init__(self, manifest: Manifest) -> None:
        assert manifest.dt_s is not None, "a spiking run has a time step"
        self._stops = [round(phase["stop_s"] / manifest.dt_s) for phase in manifest.phases]
        self._modes = sorted({phase["mode"] for phase in manifest.phases})
        self._mode_of_phase = np.array([self._modes.index(phase["mode"]) for phase in manifest.phases], dtype=np.intp)
        sizes = {name: entry["size"] for name, entry in manifest.populations.items()}
        self.spikes = {(mode, name): np.zeros(size, np.int64) for mode in self._modes for name, size in sizes.items()}

    def add(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        """Count spikes at these time steps from the start of the run, and of these cells, both (spikes,)."""
        phase = np.searchsorted(self._stops, ticks, side="right")
        inside = phase < len(self._stops)
        mode = self._mode_of_phase[phase[inside]]
        for number, name in enumerate(self._modes):
            of_cells = self.spikes[name, population]
            of_cells += np.bincount(cells[inside][mode == number], minlength=len(of_cells))

    def state(self) -> dict[str, NDArray[np.int64]]:
        """Return the counts as arrays by name, from which counting goes on."""
        return {f"{mode}/{name}": spikes for (mode, name), spikes in self.spikes.items()}

    def restore(self, state: Mapping[str, NDArray[np.int64]]) -> None:
        """Go on from counts."""
        for mode, name in self.spikes:
            self.spikes[mode, name] = state[f"{mode}/{name}"].astype(np.int64)
