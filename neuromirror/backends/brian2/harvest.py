"""Hands what a spiking run brings forth to its recorder, piece by piece, so that memory holds little of it.

Spikes are handed over in parts. Where parts end depends on the spikes alone, not on how fast they came, so that the
same run has the same files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import Recorder, Snapshot, State
from neuromirror.backends.brian2.clipping import clipped_share
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.losses import Cells, Losses, Steps
from neuromirror.plan import FloatArray, Plan, transport

BOUNDARY_STEPS = 2048
"""The most time steps between two boundaries: a Ctrl-C waits for the next."""
BOUNDARY_SPIKES = 2**16
"""The most spikes between two boundaries, which memory holds, if all cells spike at 100 Hz."""

PART_SPIKES = 2**17
"""A part ends at the first boundary at which it has so many spikes of all populations together."""

BIASES = ".bias"
"""Key of the biases of all cells among recorded arrays; no projection can have this name."""


def boundary_ticks(layout: Layout, snapshot_ticks: int) -> int:
    """Return the ticks between two boundaries: as many as the limits allow of those that divide a snapshot's.

    Brian2 takes a time for that of a clock's step that is less than a ten-thousandth of such a step away, so that a
    network that goes on so soon after a snapshot would make it again. Boundaries are at least twice as far apart.
    """
    spikes = layout.size * 100.0 * layout.grid.tick_s
    most = min(BOUNDARY_STEPS / layout.grid.tick_steps, BOUNDARY_SPIKES / spikes)
    below = range(1, math.isqrt(snapshot_ticks) + 1)
    divisors = {d for k in below if snapshot_ticks % k == 0 for d in (k, snapshot_ticks // k)}
    able = sorted(d for d in divisors if d * 5000 >= snapshot_ticks)
    return max((d for d in able if d <= most), default=able[0])


class Harvest:
    """One run's spikes, snapshots and losses.

    Spikes are taken up to a boundary, a tick, and then the snapshots that were made before it or at it.

    Parameters
    ----------
    layout : Layout
    plan : Plan
        Of the same circuit, with the seed of the run.
    recorder : Recorder
    snapshot_ticks : int
        Ticks between two snapshots.
    population : str or None
        The only one whose spikes are recorded; None for all.
    """

    def __init__(
        self, layout: Layout, plan: Plan, recorder: Recorder, snapshot_ticks: int, population: str | None = None
    ) -> None:
        self.layout, self.plan, self.recorder, self.snapshot_ticks = layout, plan, recorder, snapshot_ticks
        self._names = list(plan.sizes) if population is None else [population]
        self._first_cell = np.int32(0 if population is None else layout.cells(population).start)
        self._losses = Losses(layout, plan)
        self._steps, self._cells = list[Steps](), list[Cells]()
        self._fixed, self._magnitudes = plan.initial_arrays(), plan.magnitudes()
        self._clipped = np.zeros(layout.size)
        self._snapshots = self._parts = self._phase = self._seen = 0

    def spikes(self, times_s: FloatArray, cells: Cells) -> None:
        """Take spikes, in order of time: times in seconds, and cells among those recorded."""
        grid = self.layout.grid
        steps = np.rint(times_s / grid.dt_s).astype(np.int64)
        inside = steps < grid.ticks * grid.tick_steps
        steps, cells = steps[inside], np.asarray(cells, dtype=np.int32)[inside] + self._first_cell
        if len(steps):
            self._steps.append(steps)
            self._cells.append(cells)
            self._losses.add(steps, cells)

    def boundary(self, tick: int) -> None:
        """Note that all spikes before a tick have been taken."""
        self._losses.end(min(tick, self.layout.grid.ticks))
        if sum(map(len, self._steps)) >= PART_SPIKES:
            self._hand_over()

    def snapshot(self, recorded: Mapping[str, FloatArray], clipped: FloatArray) -> None:
        """Take the next snapshot.

        Parameters
        ----------
        recorded : mapping of str to float array
            The weights of every array that learns, (synapses,), by its name, and of all cells' biases as `BIASES`.
        clipped : float array (cells,)
            Windows in which each cell was clipped, since the start of the run.
        """
        grid, plan = self.layout.grid, self.plan
        tick = self._snapshots * self.snapshot_ticks
        if tick > grid.ticks:
            return
        while self._phase + 1 < len(plan.phases) and tick > grid.first_tick[self._phase + 1]:
            self._phase, self._seen = self._phase + 1, 0
        here = plan.phases[self._phase]
        done = (tick - grid.first_tick[self._phase]) * grid.tick_steps // grid.window_steps[here.mode]
        windows = done - self._seen
        shares = clipped_share(self.layout, plan.modes[here.mode], clipped - self._clipped, windows)
        state = Snapshot(
            phase=self._phase,
            examples=here.first_example + done,
            t_s=tick * grid.tick_s,
            arrays=transport(plan, {**self._fixed, **self._arrays(recorded)}, self._magnitudes),
            more={**self._losses.take(self._phase, windows), **shares},
        )
        self._seen, self._clipped, self._snapshots = done, clipped.copy(), self._snapshots + 1
        self.recorder.snapshot(state, keep_arrays=tick in grid.first_tick)

    def _arrays(self, recorded: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return the arrays that learn, in their shapes."""
        arrays = {}
        for name in self.layout.learners:
            if name in recorded:
                arrays[name] = np.zeros(self._fixed[name].shape)
                arrays[name].flat[self.plan.synapses(name)] = recorded[name]
            else:
                arrays[name] = recorded[BIASES][self.layout.cells(name.removesuffix(".bias"))].copy()
        return arrays

    def close(self) -> None:
        """Hand over the spikes that there are. A run that has come to its end has a part, if an empty one."""
        at_end = self._snapshots * self.snapshot_ticks > self.layout.grid.ticks
        if self._steps or (at_end and not self._parts):
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand over the spikes that have been taken as the next part."""
        steps, cells = self._joined()
        for name in self._names:
            here = self.layout.cells(name)
            mine = (cells >= here.start) & (cells < here.stop)
            self.recorder.spikes(name, steps[mine], (cells[mine] - here.start).astype(np.int32))
        self._steps, self._cells, self._parts = [], [], self._parts + 1

    def _joined(self) -> tuple[Steps, Cells]:
        steps, cells = [np.zeros(0, np.int64), *self._steps], [np.zeros(0, np.int32), *self._cells]
        return np.concatenate(steps), np.concatenate(cells)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return what it goes on from."""
        steps, cells = self._joined()
        at = np.array([self._snapshots, self._parts, self._phase, self._seen])
        losses = {f"losses/{name}": array for name, array in self._losses.state().items()}
        return {"steps": steps, "cells": cells, "at": at, "clipped": self._clipped, **losses}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        if len(state["steps"]):
            self._steps, self._cells = [state["steps"]], [state["cells"]]
        self._snapshots, self._parts, self._phase, self._seen = (int(number) for number in state["at"])
        self._clipped = state["clipped"]
        prefix = "losses/"
        self._losses.restore({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
