"""Hands what a spiking run brings forth to its recorder, piece by piece, so that memory holds little of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import Recorder, Snapshot, State
from neuromirror.backends.brian2.clipping import clipped_share
from neuromirror.backends.brian2.finite import LOST
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.losses import Cells, Losses
from neuromirror.backends.brian2.network import BIASES, SpikingNetwork
from neuromirror.plan import FloatArray, Plan, transport

BOUNDARY_STEPS = 2048
"""The most time steps between two boundaries: a Ctrl-C waits for the next."""
BOUNDARY_SPIKES = 2**16
"""The most spikes between two boundaries, which memory holds, if all cells spike at 100 Hz."""


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

    Parameters
    ----------
    spiking : SpikingNetwork
    plan : Plan
        Of the same circuit, with the seed of the run.
    recorder : Recorder
    """

    def __init__(self, spiking: SpikingNetwork, plan: Plan, recorder: Recorder) -> None:
        self.layout, self.plan, self.recorder = spiking.layout, plan, recorder
        self.snapshot_ticks = spiking.snapshot_ticks
        self._populations = list(plan.sizes) if spiking.population is None else [spiking.population]
        self._first_cell = spiking.recorded.start
        self._finite = spiking.finite
        self._losses = Losses(spiking.layout, plan)
        self._fixed, self._magnitudes = plan.initial_arrays(), plan.magnitudes()
        self._clipped = np.zeros(spiking.layout.size)
        self._snapshots = self._phase = self._seen = 0

    def spikes(self, times_s: FloatArray, cells: Cells, tick: int) -> None:
        """Take all spikes before a tick that have not been taken, in order of time.

        Snapshots of that time come after them.

        Parameters
        ----------
        times_s : float array (spikes,)
            Times, in seconds.
        cells : int array (spikes,)
            Which of the recorded cells fired.
        tick : int
        """
        grid = self.layout.grid
        steps = np.rint(times_s / grid.dt_s).astype(np.int64)
        inside = steps < grid.ticks * grid.tick_steps
        steps, cells = steps[inside], np.asarray(cells, dtype=np.int32)[inside] + np.int32(self._first_cell)
        self._losses.add(steps, cells)
        self._losses.end(min(tick, grid.ticks))
        for name in self._populations:
            here = self.layout.cells(name)
            mine = (cells >= here.start) & (cells < here.stop)
            self.recorder.spikes(name, steps[mine], (cells[mine] - here.start).astype(np.int32))

    def snapshot(self, recorded: Mapping[str, FloatArray], clipped: FloatArray) -> None:
        """Take the next snapshot.

        Parameters
        ----------
        recorded : mapping of str to float array
            The weights of every array that learns, (synapses,), by its name, all cells' biases as `BIASES`, and as
            `LOST` which cells are no longer finite.
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
            lost=self._finite.first_lost(recorded[LOST]),
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

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return what it goes on from."""
        at = np.array([self._snapshots, self._phase, self._seen])
        losses = {f"losses/{name}": array for name, array in self._losses.state().items()}
        return {"at": at, "clipped": self._clipped, **losses}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._snapshots, self._phase, self._seen = (int(number) for number in state["at"])
        self._clipped = state["clipped"]
        prefix = "losses/"
        self._losses.restore({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
