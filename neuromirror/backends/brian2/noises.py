"""What noise needs of the Brian2 network besides a current of each cell: common sources, bursts and Poisson spikes.

Circuits that have none of them are built without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.noise import burst_code, dwell_windows
from neuromirror.circuit.description import Noise
from neuromirror.dynamics.correlation import shares
from neuromirror.errors import choice
from neuromirror.plan import FloatArray, Plan

COMMON = """
dx/dt = 0/second : 1
decay : 1
kick : 1
first : integer (constant)
mode_now : 1 (shared)
"""
"""A source that all cells of a population have in common, of unit variance; ``first`` is the first of these cells."""

COMMON_WINDOW = """
mode_now = mode_of(t)
decay = noise_decays(mode_now*second, first)
kick = noise_kicks(mode_now*second, first)
"""


@dataclass(frozen=True)
class Burst:
    """The bursts of one population in one mode."""

    number: int
    mode: str
    population: str
    noise: Noise


@dataclass(frozen=True)
class Noises:
    """The noise of a plan's scheduled modes.

    Attributes
    ----------
    layout : Layout
    plan : Plan
    """

    layout: Layout
    plan: Plan

    @cached_property
    def _noisy(self) -> list[tuple[str, str, Noise]]:
        modes = [self.plan.modes[name] for name in self.layout.scheduled]
        noisy = [(mode.name, name, noise) for mode in modes for name, noise in sorted(mode.noise.items())]
        for _, _, noise in noisy:
            choice("noise.law", noise.law, "gaussian", "bursts", "poisson")
        return noisy

    @cached_property
    def correlated(self) -> list[str]:
        """The populations whose cells have a source in common in some mode."""
        return sorted({name for _, name, noise in self._noisy if noise.correlation})

    @cached_property
    def bursts(self) -> list[Burst]:
        """The bursts, numbered."""
        found = [one for one in self._noisy if one[2].law == "bursts"]
        return [Burst(number, mode, name, noise) for number, (mode, name, noise) in enumerate(found)]

    @cached_property
    def poisson(self) -> bool:
        """Whether some cells fire as Poisson processes in some mode."""
        return any(noise.law == "poisson" for _, _, noise in self._noisy)

    def tables(self) -> dict[str, FloatArray]:
        """Return the tables that they need, by name; those named ``burst_`` are over time."""
        tables: dict[str, FloatArray] = {}
        if self.correlated:
            rho = self._by_cell({(mode, name): noise.correlation or 0.0 for mode, name, noise in self._noisy})
            tables["private_shares"], tables["common_shares"] = shares(rho)
        if self.poisson:
            chance = self.plan.beta * self.plan.unit_Hz * self.layout.dt_s
            poisson = {(mode, name): chance for mode, name, noise in self._noisy if noise.law == "poisson"}
            tables["poisson_chances"] = self._by_cell(poisson)
        for burst in self.bursts:
            tables |= self._burst_tables(burst)
        return tables

    def model(self) -> str:
        """Return further variables of every cell."""
        model = "noise = noise_current*noise_sd/unit_current + burst : 1\nburst : 1\n" if self.bursts else ""
        model = model or "noise = noise_current*noise_sd/unit_current : 1\n"
        if self.correlated:
            model += "private_noise : 1\ncommon_noise : 1 (linked)\nprivate_share : 1\ncommon_share : 1\n"
        return model + ("poisson_chance : 1\n" if self.poisson else "")

    def threshold(self, of_cell: str) -> str:
        """Return the condition under which cells fire, from that of cells which no Poisson process replaces."""
        if not self.poisson:
            return of_cell
        return f"(({of_cell}) and poisson_chance == 0) or rand() < poisson_chance"

    @property
    def refractory(self) -> str:
        """How long cells are refractory; a Poisson process is not."""
        return "refractory_period*int(poisson_chance == 0)" if self.poisson else "refractory_period"

    def window(self) -> str:
        """Return what changes where a window begins, after all else."""
        code = ""
        if self.correlated:
            code += "private_share = private_shares(mode_now*second, i)\n"
            code += "common_share = common_shares(mode_now*second, i)\n"
        if self.poisson:
            code += "poisson_chance = poisson_chances(mode_now*second, i)\n"
        if self.bursts:
            code += "burst = 0\n" + "".join(_bursting(burst) for burst in self.bursts)
            code += "drive = drive + unit_current*burst\n"
        return code

    def link(self, cells: Any, tables: dict[str, Any], *, tick: Any, order: int) -> Any:
        """Join the cells to what they have in common, and return its Brian2 object; None where there is nothing."""
        if not self.correlated:
            return None
        common = b2.NeuronGroup(
            len(self.correlated), COMMON, method=_common_step, namespace=dict(tables), name="common_noise"
        )
        common.first = np.array([self.layout.cells(name).start for name in self.correlated])
        common.run_regularly(COMMON_WINDOW, dt=tick, order=order, name="common_window")
        source = np.zeros(self.layout.size, dtype=int)
        for number, name in enumerate(self.correlated):
            source[self.layout.cells(name)] = number
        cells.common_noise = b2.linked_var(common, "x", index=source)
        return common

    def _by_cell(self, values: dict[tuple[str, str], float]) -> FloatArray:
        by_mode: dict[str, dict[str, float]] = {mode: {} for mode in self.layout.scheduled}
        for (mode, population), value in values.items():
            by_mode[mode][population] = value
        return self.layout.per_cell([by_mode[part.mode] for part in self.layout.parts])

    def _burst_tables(self, burst: Burst) -> dict[str, FloatArray]:
        """Return what bursts when and how far, (rows,) each, and the places of cells by round, (rounds, cells)."""
        grid = self.layout.grid
        code = burst_code(self.plan, burst.population, burst.noise)
        ticks, windows = windows_of(grid, burst.mode)
        slots = code.slots(windows // dwell_windows(self.plan.modes[burst.mode], burst.noise))
        tables = {}
        for name in ("round", "group", "pattern", "sign"):
            tables[f"burst_{burst.number}_{name}"] = table = np.zeros(grid.rows)
            table[ticks] = getattr(slots, name)
        tables[f"burst_{burst.number}_sign"] *= burst.noise.amplitude or 0.0
        outside = -float(code.at_once)  # the place of cells of other populations: in no group
        rounds = 1 + int(slots.round.max(initial=0))
        tables[f"places_{burst.number}"] = places = np.full((rounds, self.layout.size), outside)
        for number in range(rounds):
            places[number, self.layout.cells(burst.population)] = code.places(number)
        return tables


def windows_of(grid: Grid, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the ticks of a mode and the window in which each is, counted over all phases of the mode."""
    found_ticks, found_windows, before = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)], 0
    for phase, start, stop in zip(grid.plan.phases, grid.first_tick, grid.first_tick[1:], strict=False):
        if phase.mode == mode:
            ticks = np.arange(start, stop)
            found_ticks.append(ticks)
            found_windows.append(before + (ticks - start) // (grid.window_steps[mode] // grid.tick_steps))
            before += phase.examples
    return np.concatenate(found_ticks), np.concatenate(found_windows)


def _bursting(burst: Burst) -> str:
    """Return code that adds a burst: the entry of Sylvester's matrix at the pattern and the cell's seat."""
    k, at_once, label = burst.number, burst.noise.cells or 1, f"burst_{burst.number}"
    bits = [
        f"(floor(seat_{k}/{2**bit}) % 2)*(floor({label}_pattern(t)/{2**bit}) % 2)"
        for bit in range(at_once.bit_length() - 1)
    ]
    sign = f"(1 - 2*(({' + '.join(bits)}) % 2))" if bits else "1"
    return (
        f"seat_{k} = places_{k}({label}_round(t)*second, i) - {at_once}*{label}_group(t)\n"
        f"burst += {label}_sign(t)*int(seat_{k} >= 0)*int(seat_{k} < {at_once})*{sign}\n"
    )


def _common_step(equations: object, variables: object, method_options: object = None) -> str:
    return "x = decay*x + kick*randn()\n"
