"""The time of a spiking run in ticks, so that one network serves all modes.

A tick is the greatest common divisor of all windows, and of the halves of those in which cells take turns.

Brian2 reads row k of a table over time at k ticks, when the window before it ends and the one after it begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.brian2.parts import Part, parts_of, turning_modes
from neuromirror.plan import Plan


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
    def turning(self) -> frozenset[str]:
        """The scheduled modes in which cells take turns: their windows have two halves, one for each signal."""
        return turning_modes(self.plan)

    def parts(self, mode: str) -> tuple[Part, ...]:
        """Return the parts of a mode's windows, all as long."""
        return parts_of(mode, turning=mode in self.turning)

    @cached_property
    def tick_steps(self) -> int:
        """Time steps of one tick."""
        return math.gcd(*(steps // len(self.parts(mode)) for mode, steps in self.window_steps.items()))

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

    def snapshot_ticks(self, points: int) -> int:
        """Return the ticks between two of about so many snapshots, a divisor of every phase: its end is one of them."""
        whole = math.gcd(*self.first_tick[1:])
        wanted = self.ticks / max(1, points)
        divisors = [d for k in range(1, math.isqrt(whole) + 1) if whole % k == 0 for d in (k, whole // k)]
        return min(divisors, key=lambda d: abs(math.log(d / wanted)))

    @cached_property
    def part_of_tick(self) -> list[Part]:
        """The part of each row: the one that runs in the tick, and after the end the last one."""
        found: list[Part] = []
        for phase in self.plan.phases:
            parts = self.parts(phase.mode)
            ticks = self.window_steps[phase.mode] // self.tick_steps // len(parts)
            found += [part for part in parts for _ in range(ticks)] * phase.examples
        return [*found, found[-1], found[-1]]

    @cached_property
    def windows(self) -> list[Windows]:
        """The windows of each phase."""
        found = []
        settle_s = self.plan.description.time.settle.s
        for phase, start in zip(self.plan.phases, self.first_tick, strict=False):
            ticks = self.window_steps[phase.mode] // self.tick_steps
            ends = start + ticks * np.arange(1, phase.examples + 1)
            first = min(phase.examples, math.ceil(settle_s / phase.window_s - 1e-9))
            halves = ends - ticks // 2 if phase.mode in self.turning else ends[:0]
            windows = Windows(mode=phase.mode, window_s=phase.window_s, ends=ends, settled=ends[first:], halves=halves)
            found.append(windows)
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
    halves : int array
        Ticks at which their first halves end, where cells take turns in the mode; none elsewhere.
    """

    mode: str
    window_s: float
    ends: NDArray[np.int_]
    settled: NDArray[np.int_]
    halves: NDArray[np.int_]
