"""How far a spiking circuit is from its targets, read off its spikes window by window as the run goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import State
from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.tables import stimulus_tables
from neuromirror.plan import FloatArray, Plan

Steps = NDArray[np.int64]
Cells = NDArray[np.int32]


class Losses:
    """Half the squared output error of every window that has ended.

    The output of a cell is its number of spikes in the window, or in the half in which it carries y, as a rate in units
    of ``code.unit``, so the loss holds the variance of counts as well. In push-pull errors are those of units, the
    difference of two cells. Phases whose mode compares nothing have no losses.

    Parameters
    ----------
    layout : Layout
    plan : Plan
        Of the same circuit, with the seed of the run.
    """

    def __init__(self, layout: Layout, plan: Plan) -> None:
        self._layout, self._plan = layout, plan
        self._compares = [bool(plan.modes[phase.mode].compare) for phase in plan.phases]
        self._expected = np.zeros((0, 0))
        if any(self._compares):
            self._expected = stimulus_tables(Grid(plan, layout.dt_s), layout)["expected"]
        self._steps, self._cells = np.zeros(0, np.int64), np.zeros(0, np.int32)
        self._phase = self._windows = 0
        self._found: dict[int, FloatArray] = {}

    def add(self, steps: Steps, cells: Cells) -> None:
        """Take spikes, none of which is earlier than one that has been taken.

        Parameters
        ----------
        steps, cells : int array (spikes,)
            Time step and cell, among all cells, of every spike.
        """
        if any(self._compares):
            self._steps, self._cells = np.concatenate([self._steps, steps]), np.concatenate([self._cells, cells])

    def end(self, tick: int) -> None:
        """Find the losses of all windows that have ended at a tick, whose spikes have all been taken."""
        if not any(self._compares):
            return
        grid = self._layout.grid
        while True:
            phase, start = self._plan.phases[self._phase], grid.first_tick[self._phase]
            ended = (tick - start) * grid.tick_steps // grid.window_steps[phase.mode]
            self._find(min(ended, phase.examples))
            if ended < phase.examples or self._phase + 1 == len(self._plan.phases):
                return
            self._phase, self._windows = self._phase + 1, 0

    def _find(self, stop: int) -> None:
        """Find the losses of the present phase's windows before ``stop``."""
        first, grid = self._windows, self._layout.grid
        if stop <= first:
            return
        phase = self._plan.phases[self._phase]
        width = grid.window_steps[phase.mode]
        window, step = np.divmod(self._steps - grid.first_tick[self._phase] * grid.tick_steps, width)
        forward = step < grid.parts(phase.mode)[0].share * width
        inside, self._windows = (window >= first) & (window < stop) & forward, stop
        if self._compares[self._phase]:
            found = self._of_windows(first, stop, window[inside], self._cells[inside])
            before = self._found.get(self._phase, np.zeros(0))
            self._found[self._phase] = np.concatenate([before, found])
        later = window >= stop
        self._steps, self._cells = self._steps[later], self._cells[later]

    def _of_windows(self, first: int, stop: int, window: NDArray[np.int64], cells: Cells) -> FloatArray:
        layout, plan, phase = self._layout, self._plan, self._plan.phases[self._phase]
        counts = np.zeros((stop - first, layout.size))
        np.add.at(counts, (window - first, cells), 1.0)
        parts = layout.grid.parts(phase.mode)
        rates = counts / (parts[0].share * phase.window_s * plan.unit_Hz)
        row = self._first_row + first * len(parts)
        targets = self._expected[row : row + (stop - first) * len(parts)][len(parts) - 1 :: len(parts)]
        compared = plan.modes[phase.mode].compare.items()
        errors = [plan.coding.values(rates[:, layout.cells(y)] - targets[:, layout.cells(d)]) for d, y in compared]
        with np.errstate(over="ignore"):
            return sum((0.5 * (error**2).sum(axis=1) for error in errors), np.zeros(stop - first))

    @property
    def _first_row(self) -> int:
        """The row of the targets that is of the present phase's first example."""
        parts, modes = self._layout.grid.parts, self._plan.modes
        shown = [p for p in self._plan.phases[: self._phase] if modes[p.mode].inputs or modes[p.mode].compare]
        return 1 + sum(phase.examples * len(parts(phase.mode)) for phase in shown)

    def take(self, phase: int, windows: int) -> dict[str, float]:
        """Return the mean over the next so many windows of a phase, for the metrics; nothing where there are none."""
        if not self._compares[phase] or windows <= 0:
            return {}
        found = self._found[phase]
        self._found[phase] = found[windows:]
        return {"loss": float(found[:windows].mean())}

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return what it goes on from."""
        found = {f"found_{phase}": losses for phase, losses in self._found.items() if len(losses)}
        at = np.array([self._phase, self._windows])
        return {"steps": self._steps, "cells": self._cells, "at": at, **found}

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._steps, self._cells = state["steps"], state["cells"]
        self._phase, self._windows = (int(number) for number in state["at"])
        found = {name.removeprefix("found_"): losses for name, losses in state.items() if name.startswith("found_")}
        self._found = {int(phase): losses for phase, losses in found.items()}
