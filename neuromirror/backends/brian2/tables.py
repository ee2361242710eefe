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
from numpy.typing import NDArray

from neuromirror.backends.stimulus import Stimulus
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
        """Time steps of one window of each scheduled mode; the check of the circuit says that they are whole."""
        return {phase.mode: round(phase.window_s / self.dt_s) for phase in self.plan.phases}

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
        """Number of ticks of the run."""
        return self.first_tick[-1]

    @property
    def rows(self) -> int:
        """Number of rows of a table: one for each tick boundary, and one for what follows, in which nothing changes."""
        return self.ticks + 2

    @cached_property
    def mode_of_tick(self) -> list[str]:
        """The mode of each row: the one that runs in the tick, and after the end the last one."""
        modes: list[str] = []
        for phase, start, stop in zip(self.plan.phases, self.first_tick, self.first_tick[1:], strict=False):
            modes += [phase.mode] * (stop - start)
        return [*modes, modes[-1], modes[-1]]

    @cached_property
    def windows(self) -> list[Windows]:
        """The windows of each phase."""
        found = []
        settle_s = self.plan.description.time.settle.s
        for phase, start in zip(self.plan.phases, self.first_tick, strict=False):
            ticks = self.window_steps[phase.mode] // self.tick_steps
            ends = start + ticks * np.arange(1, phase.examples + 1)
            first = min(phase.examples, math.ceil(settle_s / phase.window_s - 1e-9))
            found.append(Windows(mode=phase.mode, window_s=phase.window_s, ends=ends, settled=ends[first:]))
        return found


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of one phase.

    Attributes
    ----------
    mode : str
    window_s : float
        Length of one, in seconds.
    ends : int array (examples,)
        Ticks at which they end.
    settled : int array
        Those of them that come late enough after the phase began for rules to learn from.
    """

    mode: str
    window_s: float
    ends: NDArray[np.int_]
    settled: NDArray[np.int_]


def clear_table(grid: Grid) -> FloatArray:
    """Return 1 where counts start again: where a window of a mode that counts begins or ends; (rows,)."""
    modes = grid.plan.modes
    table = np.zeros(grid.rows)
    table[0] = float(modes[grid.mode_of_tick[0]].signal.kind == "count")  # signals start at β
    for windows in grid.windows:
        if modes[windows.mode].signal.kind == "count":
            table[windows.ends] = 1.0
        elif modes[grid.mode_of_tick[windows.ends[-1]]].signal.kind == "count":
            table[windows.ends[-1]] = 1.0
    return table


def follow_tables(grid: Grid, modes: list[str]) -> dict[str, FloatArray]:
    """Return how far the running baselines of each mode move, and 1 where a window of the mode ends, (rows,)."""
    estimate = grid.plan.description.code.estimate
    assert estimate is not None
    tables = {}
    for k, name in enumerate(modes):
        tables[f"ended_{k}"] = ended = np.zeros(grid.rows)
        tables[f"follow_{k}"] = follow = np.zeros(grid.rows)
        for windows in grid.windows:
            if windows.mode == name:
                ended[windows.ends] = 1.0
                follow[windows.settled] = -math.expm1(-windows.window_s / estimate.tau.s)
    return tables


def update_tables(grid: Grid, learner: str, rules: list[str]) -> tuple[FloatArray, list[FloatArray]]:
    """Return the coefficients of one array's updates.

    Returns
    -------
    keep : float array (rows,)
    steps : list of float array (rows,)
        One for each of the rules that the array learns by.
    """
    plan = grid.plan
    learners = {name: [one for one in mode.learners if one.name == learner] for name, mode in plan.modes.items()}
    keep = np.ones(grid.rows)
    steps = {name: np.zeros(grid.rows) for name in rules}
    seen = dict.fromkeys(rules, 0)
    for windows in grid.windows:
        for one in learners[windows.mode]:
            if not learns(plan.modes[windows.mode], one):
                continue
            name, count = one.rule.name, len(windows.settled)
            before = seen[name] + np.arange(count)
            kept, step = one.rule.updater.coefficients(examples_seen=before, examples=1, window_s=windows.window_s)
            keep[windows.settled] *= kept
            steps[name][windows.settled] = step
            seen[name] += count
    return keep, list(steps.values())


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
    row_of_tick : float array (rows,)
        The row that holds from each tick on.
    """
    plan, stimulus = grid.plan, Stimulus(grid.plan)
    blocks: dict[str, list[FloatArray]] = {"inputs": [np.zeros((1, cells))], "expected": [np.zeros((1, cells))]}
    row_of_tick, count = np.zeros(grid.rows), 1
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
