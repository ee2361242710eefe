"""What changes while a spiking circuit runs, as tables over time: one network runs once, whatever its modes.

Time is cut into ticks, the greatest common divisor of all windows. A table has one row a tick boundary; Brian2 reads
row k at time k·tick, when the window before it ends and the one after it begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuromirror.backends.stimulus import Stimulus
from neuromirror.errors import CircuitError, Problem
from neuromirror.plan import FloatArray, Learner, ModePlan, Plan


@dataclass(frozen=True)
class Grid:
    """The ticks of a run.

    Attributes
    ----------
    plan : Plan
    dt_s : float
        Time step, in seconds.
    """

    plan: Plan
    dt_s: float

    @cached_property
    def window_steps(self) -> dict[str, int]:
        """Time steps of one window of each scheduled mode."""
        steps = {}
        for phase in self.plan.phases:
            exact = phase.window_s / self.dt_s
            if abs(exact - round(exact)) > 1e-6 or round(exact) < 1:
                message = (
                    f"a window of {phase.window_s * 1e3:g} ms is not a whole number of time steps of "
                    f"{self.dt_s * 1e3:g} ms. Change the window or time.dt."
                )
                raise CircuitError([Problem(name="window-dt", path=f"modes.{phase.mode}.window", message=message)])
            steps[phase.mode] = round(exact)
        return steps

    @cached_property
    def tick_steps(self) -> int:
        """Time steps of one tick."""
        return math.gcd(*self.window_steps.values())

    @property
    def tick_s(self) -> float:
        """Length of one tick, in seconds."""
        return self.tick_steps * self.dt_s

    @cached_property
    def first_tick(self) -> list[int]:
        """The tick at which each phase starts, and that at which the last ends."""
        ticks = [0]
        for phase in self.plan.phases:
            ticks.append(ticks[-1] + phase.examples * self.window_steps[phase.mode] // self.tick_steps)
        return ticks

    @property
    def ticks(self) -> int:
        """Number of ticks of the run; tables have one row more."""
        return self.first_tick[-1]

    @cached_property
    def mode_of_tick(self) -> list[str]:
        """The mode that runs in each tick, and the last one once more."""
        modes: list[str] = []
        for phase, start, stop in zip(self.plan.phases, self.first_tick, self.first_tick[1:], strict=False):
            modes += [phase.mode] * (stop - start)
        return [*modes, modes[-1]]

    @cached_property
    def window_ends(self) -> list[tuple[int, str, int, int]]:
        """All windows as (tick at which it ends, mode, phase, example within the phase)."""
        ends = []
        for index, (phase, start) in enumerate(zip(self.plan.phases, self.first_tick, strict=False)):
            ticks = self.window_steps[phase.mode] // self.tick_steps
            ends += [(start + (k + 1) * ticks, phase.mode, index, k) for k in range(phase.examples)]
        return ends

    def by_mode(self, values: Mapping[str, FloatArray | float]) -> FloatArray:
        """Return the table (ticks + 1, …) of a value that depends on the mode of the tick that begins."""
        return np.array([values[mode] for mode in self.mode_of_tick], dtype=np.float64)

    def settled(self, phase: int, example: int) -> bool:
        """Whether a window ends late enough after its phase began for rules to learn from it."""
        window_s = self.plan.phases[phase].window_s
        return example * window_s >= self.plan.description.time.settle.s - 1e-9


def clear_table(grid: Grid) -> FloatArray:
    """Return 1 where counts start again: at the end of each window, and of each mode, that counts; (ticks + 1,)."""
    modes = grid.plan.modes
    table = np.zeros(grid.ticks + 1)
    for tick, mode, *_ in grid.window_ends:
        after = grid.mode_of_tick[tick]
        if "count" in (modes[mode].signal.kind, modes[after].signal.kind):
            table[tick] = 1.0
    return table


def follow_tables(grid: Grid, modes: list[str]) -> dict[str, FloatArray]:
    """Return how far the running baselines of each mode move, and 1 where a window of the mode ends, (ticks + 1,)."""
    estimate = grid.plan.description.code.estimate
    assert estimate is not None
    tables = {}
    for k, name in enumerate(modes):
        tables[f"ended_{k}"] = ended = np.zeros(grid.ticks + 1)
        tables[f"follow_{k}"] = follow = np.zeros(grid.ticks + 1)
        for tick, mode, phase, example in grid.window_ends:
            if mode == name:
                ended[tick] = 1.0
                if grid.settled(phase, example):
                    follow[tick] = -math.expm1(-grid.plan.phases[phase].window_s / estimate.tau.s)
    return tables


def update_tables(grid: Grid, learner: str) -> dict[str, FloatArray]:
    """Return the coefficients of one array's updates.

    Returns
    -------
    dict
        ``keep``, (ticks + 1,), and for each rule that the array learns by, under its name, ``step``, (ticks + 1,).
    """
    plan = grid.plan
    learners = {name: [one for one in mode.learners if one.name == learner] for name, mode in plan.modes.items()}
    rules = {one.rule.name for group in learners.values() for one in group}
    keep = np.ones(grid.ticks + 1)
    steps = {name: np.zeros(grid.ticks + 1) for name in sorted(rules)}
    seen = dict.fromkeys(rules, 0)
    for tick, mode, phase, example in grid.window_ends:
        for one in learners[mode]:
            if not grid.settled(phase, example) or not learns(plan.modes[mode], one):
                continue
            name = one.rule.name
            step = plan.step(one, examples_seen=seen[name], examples=1, window_s=plan.modes[mode].window_s)
            keep[tick] *= step.keep
            steps[name][tick] = step.step
            seen[name] += 1
    return {"keep": keep, **steps}


def learns(mode: ModePlan, learner: Learner) -> bool:
    """Whether a learner of the mode is at work: blocked biases neither act nor learn."""
    return learner.source is not None or mode.bias_on


def stimulus_tables(grid: Grid, offsets: Mapping[str, int], cells: int) -> dict[str, FloatArray]:
    """Return what the stimulus does to every cell, in units of ``code.unit``, and when.

    Returns
    -------
    inputs : float array (1 + examples of engaged modes, cells)
        What pushes the input populations; row 0 is silence.
    expected : float array, likewise
        What the feedback populations that compare expect, and take away from the signal that axons bring them.
    row_of_tick : float array (ticks + 1,)
        The row that holds from each tick on.
    """
    plan, stimulus = grid.plan, Stimulus(grid.plan)
    blocks: dict[str, list[FloatArray]] = {"inputs": [np.zeros((1, cells))], "expected": [np.zeros((1, cells))]}
    row_of_tick, count = np.zeros(grid.ticks + 1), 1
    for index, phase in enumerate(plan.phases):
        mode = plan.modes[phase.mode]
        if not mode.inputs and not mode.compare:
            continue
        for key, drawn in zip(blocks, stimulus.draw(mode, phase.examples), strict=True):
            block = np.zeros((phase.examples, cells))
            for name, array in drawn.items():
                block[:, offsets[name] : offsets[name] + plan.sizes[name]] = array
            blocks[key].append(block)
        ticks = grid.window_steps[phase.mode] // grid.tick_steps
        row_of_tick[grid.first_tick[index] : grid.first_tick[index + 1]] = np.repeat(
            np.arange(count, count + phase.examples), ticks
        )
        count += phase.examples
    return {key: np.concatenate(parts) for key, parts in blocks.items()} | {"row_of_tick": row_of_tick}
