"""Where the cells of a plan are among all cells of its Brian2 network, and what of the plan its schedule uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.parts import Part
from neuromirror.modes import Learner
from neuromirror.plan import FloatArray, Plan


@dataclass(frozen=True)
class Layout:
    """All populations of a plan as one row of cells, in alphabetical order; those that share cells are there once.

    Attributes
    ----------
    plan : Plan
    dt_s : float
        Time step, in seconds.
    """

    plan: Plan
    dt_s: float

    @cached_property
    def grid(self) -> Grid:
        """The ticks of the run."""
        return Grid(self.plan, self.dt_s)

    @cached_property
    def scheduled(self) -> list[str]:
        """Names of the modes that the schedule uses."""
        return sorted({phase.mode for phase in self.plan.phases})

    @cached_property
    def parts(self) -> list[Part]:
        """The parts of their windows; tables over modes have one row for each."""
        return [part for mode in self.scheduled for part in self.grid.parts(mode)]

    @cached_property
    def size(self) -> int:
        """Number of all cells."""
        return sum(size for name, size in self.plan.sizes.items() if not self.shared(name))

    def shared(self, population: str) -> bool:
        """Return whether a population's cells are those of another, which carry both signals (8.1)."""
        return self.plan.description.populations[population].shares is not None

    @cached_property
    def _starts(self) -> dict[str, int]:
        starts, start = {}, 0
        for name, size in sorted(self.plan.sizes.items()):
            if not self.shared(name):
                starts[name], start = start, start + size
        return starts

    def cells(self, population: str) -> slice:
        """Return which cells are those of a population."""
        start = self._starts[self.plan.description.populations[population].shares or population]
        return slice(start, start + self.plan.sizes[population])

    @cached_property
    def learners(self) -> dict[str, list[Learner]]:
        """Every array that learns in a scheduled mode, with one learner for each of its rules."""
        found: dict[str, dict[str, Learner]] = {}
        for mode in self.scheduled:
            for learner in self.plan.modes[mode].learners:
                found.setdefault(learner.name, {})[learner.rule.name] = learner
        return {name: [by_rule[rule] for rule in sorted(by_rule)] for name, by_rule in sorted(found.items())}

    def changes(self, name: str) -> bool:
        """Return whether an array changes as the run goes: it learns, or follows one that does."""
        return name in self.learners or self.plan.transported.get(name) in self.learners

    def per_cell(self, values: Sequence[Mapping[str, float]]) -> FloatArray:
        """Return a (parts, cells) table from the values by population of each part, 0 where there is none."""
        table = np.zeros((len(self.parts), self.size))
        for row, of_part in enumerate(values):
            for population, value in of_part.items():
                table[row, self.cells(population)] = value
        return table
