"""Normalisation and synaptic scaling of spiking circuits: what cells need for them, and the operations at each tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.normalise import STEPS, Normaliser
from neuromirror.backends.brian2.turns import Turns
from neuromirror.dynamics.homeostasis import SCALING
from neuromirror.plan import FloatArray


def homeostasis_tables(grid: Grid, layout: Layout) -> dict[str, FloatArray]:
    """Return when weights are normalised, and what share of its time constant each scaling goes on for, (rows,)."""
    tables = {}
    for number, (name, learners) in enumerate(layout.learners.items()):
        for k, learner in enumerate(learners):
            if learner.normalisation is not None:
                due = {m for m in layout.scheduled if _teaches(grid, m, name, learner.rule.name)}
                tables[f"update_{number}_due_{k}"] = _at_ends(grid, dict.fromkeys(due, 1.0))
    for population in scaled_populations(layout):
        scaling, modes = grid.plan.scaling(population), (grid.plan.modes[m] for m in layout.scheduled)
        shares = {m.name: m.window_s / scaling.tau_s for m in modes if population in m.scaled}
        tables[f"update_scaling_{population}"] = _at_ends(grid, shares)
    return tables


def scaled_populations(layout: Layout) -> list[str]:
    """Return the populations whose weights are scaled toward a rate in a scheduled mode."""
    return sorted({population for mode in layout.scheduled for population in layout.plan.modes[mode].scaled})


def _teaches(grid: Grid, mode: str, name: str, rule: str) -> bool:
    return any((one.name, one.rule.name) == (name, rule) for one in grid.plan.modes[mode].learners)


def _at_ends(grid: Grid, values: Mapping[str, float]) -> FloatArray:
    """Return a value for each mode where a window of it ends that rules learn from, and 0 elsewhere."""
    table = np.zeros(grid.rows)
    for windows in grid.windows:
        table[windows.settled] = values.get(windows.mode, 0.0)
    return table


@dataclass(frozen=True)
class Homeostasis:
    """What keeps the weights of a plan's network in range."""

    layout: Layout

    @cached_property
    def _normalisers(self) -> dict[str, list[Normaliser]]:
        found: dict[str, list[Normaliser]] = {}
        for number, (name, learners) in enumerate(self.layout.learners.items()):
            for k, one in enumerate(learners):
                if one.normalisation is not None:
                    due = f"update_{number}_due_{k}(t)"
                    normaliser = Normaliser(tag=f"{number}_{k}", normalisation=one.normalisation, due=due)
                    found.setdefault(name, []).append(normaliser)
        return found

    def model(self) -> str:
        """Return the variables that cells need."""
        scaling = "scaling : 1\n" if scaled_populations(self.layout) else ""
        return scaling + "".join(one.model() for group in self._normalisers.values() for one in group)

    def build(self, cells: Any, arrays: Mapping[str, Any], order: int, dt: Any) -> list[Any]:
        """Give all groups their regular operations, and return the objects that the network needs besides."""
        layout, more = self.layout, []
        rate = Turns(layout).forward_signal
        for name, group in self._normalisers.items():
            targets = layout.cells(layout.learners[name][0].target)
            for one in group:
                more += one.build(arrays[name], cells, targets, order, dt=dt)
        for population in scaled_populations(layout):
            here, scaling = layout.cells(population), layout.plan.scaling(population)
            code = (
                f"share = update_scaling_{population}(t)\nrate = {rate}\nset_point = {scaling.set_point!r}\n"
                f"scaling = {SCALING}"
            )
            mine = cells[here.start : here.stop]
            mine.run_regularly(code, dt=dt, order=order, name=f"find_scaling_{population}")
            names = {name for mode in layout.scheduled for name in layout.plan.modes[mode].scaled.get(population, ())}
            for name in sorted(names):
                arrays[name].run_regularly("w = w*scaling_post", dt=dt, order=order + STEPS, name=f"scale_{name}")
        return more
