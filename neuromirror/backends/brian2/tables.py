"""What changes while a spiking circuit runs, as tables over time: one network runs once, whatever its modes.

A table over time has one row for each tick boundary of the `Grid`; a table over modes one for each part of a scheduled
mode's windows.
"""

from __future__ import annotations

import math

import numpy as np

from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.homeostasis import homeostasis_tables
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.noises import Noises
from neuromirror.backends.brian2.parts import Part
from neuromirror.backends.brian2.turns import turn_tables
from neuromirror.backends.stimulus import Stimulus
from neuromirror.modes import ModePlan
from neuromirror.plan import FloatArray, Plan

OVER_TIME = ("mode_of", "clears", "row_of_tick", "update_", "follow_", "ended_", "burst_", "remembers", "switches")
"""What the names of tables over time begin with."""


def table_values(layout: Layout, plan: Plan) -> dict[str, FloatArray]:
    """Return the values of all tables for a plan of this circuit with any seed."""
    parts, modes = layout.parts, [plan.modes[part.mode] for part in layout.parts]
    numbers = {part: float(number) for number, part in enumerate(parts)}
    stimulus = stimulus_tables(Grid(plan, layout.dt_s), layout)
    dt_s = layout.dt_s
    noise_decays = layout.per_cell(
        [{name: math.exp(-dt_s / noise.tau.s) for name, noise in mode.noise.items()} for mode in modes]
    )
    kinds = [
        (mode.signal.kind, mode.window_s * part.share if mode.signal.tau is None else mode.signal.tau.s)
        for part, mode in zip(parts, modes, strict=True)
    ]
    values: dict[str, FloatArray] = {
        "mode_of": np.array([numbers[part] for part in layout.grid.part_of_tick]),
        "clears": clear_table(layout.grid),
        "ended_steps": ended_table(layout.grid),
        **stimulus,
        "signal_decays": np.array([1.0 if kind == "count" else math.exp(-dt_s / tau) for kind, tau in kinds]),
        "signal_kicks": np.array([1 / (tau * plan.unit_Hz) for _, tau in kinds]),
        "noise_decays": noise_decays,
        "noise_kicks": np.sqrt(1 - noise_decays**2),
        "noise_sds": layout.per_cell([{p: n.sd for p, n in m.noise.items() if n.law == "gaussian"} for m in modes]),
        "gates": layout.per_cell([dict.fromkeys(plan.modes[p.mode].gates if p.has_delta else (), 1.0) for p in parts]),
        "default_biases": 1.0 - layout.per_cell([dict.fromkeys(_relays(layout, m), 1.0) for m in modes]),
        "bias_on": layout.per_cell([dict.fromkeys(plan.modes[p.mode].biased if p.has_y else (), 1.0) for p in parts]),
        "cancels": _cancels(layout, plan),
        **Noises(layout, plan).tables(),
        **turn_tables(layout),
    }
    for name in sorted(plan.description.projections):
        values[f"transmits_{name}"] = np.array([float(transmits(plan, name, part)) for part in parts])
    for number, (name, learners) in enumerate(layout.learners.items()):
        keep, steps = update_tables(layout.grid, name, [one.rule.name for one in learners])
        values[f"update_{number}_keep"] = keep
        values |= {f"update_{number}_step_{k}": step for k, step in enumerate(steps)}
    values |= homeostasis_tables(layout.grid, layout)
    if plan.description.code.estimate is not None:
        values |= follow_tables(layout.grid, layout.scheduled) | rest_tables(layout)
    return values


def transmits(plan: Plan, projection: str, part: Part) -> bool:
    """Return whether a projection transmits in a part of a mode's windows."""
    if projection not in plan.description.modes[part.mode].on:
        return False
    target = plan.description.populations[plan.description.projections[projection].target]
    return part.has_y if target.path == "forward" else part.has_delta


def _relays(layout: Layout, mode: ModePlan) -> list[str]:
    """Return the populations that fire when they are driven, and rarely by themselves."""
    return [name for name in mode.drives if not layout.shared(name)]


@np.errstate(over="ignore")  # the state of cells is looked at for what is not finite
def _cancels(layout: Layout, plan: Plan) -> FloatArray:
    """Return the mean synaptic input by mode, in code units, of arrays that no scheduled mode changes."""
    table, arrays = np.zeros((len(layout.parts), layout.size)), plan.initial_arrays()
    for row, part in enumerate(layout.parts):
        for target, group in plan.modes[part.mode].synapses.items():
            for axons in group:
                if not layout.changes(axons.name) and transmits(plan, axons.name, part):
                    table[row, layout.cells(target)] += plan.beta * arrays[axons.name].sum(axis=1)
    return table


def clear_table(grid: Grid) -> FloatArray:
    """Return 1 where counts start again: where a window of a mode that counts, or a half, begins or ends; (rows,)."""
    modes = grid.plan.modes
    table = np.zeros(grid.rows)
    table[0] = float(modes[grid.part_of_tick[0].mode].signal.kind == "count")  # signals start at β
    for windows in grid.windows:
        if modes[windows.mode].signal.kind == "count":
            table[windows.ends] = table[windows.halves] = 1.0
        elif modes[grid.part_of_tick[windows.ends[-1]].mode].signal.kind == "count":
            table[windows.ends[-1]] = 1.0
    return table


def ended_table(grid: Grid) -> FloatArray:
    """Return the time steps of the window that ends, or of its half, and 0 where none does; (rows,)."""
    table = np.zeros(grid.rows)
    for windows in grid.windows:
        table[windows.ends] = table[windows.halves] = grid.window_steps[windows.mode] // len(grid.parts(windows.mode))
    return table


def rest_tables(layout: Layout) -> dict[str, FloatArray]:
    """Return where what cells fire, or the error that they receive, has its baseline at rest; (parts, cells).

    Cells that carry both signals have a baseline of δ beside that of y, as forward cells have one of the error.
    """
    modes = [layout.plan.modes[part.mode] for part in layout.parts]
    carrying = [[name for name in mode.erring if not layout.shared(name)] for mode in modes]
    receiving = [
        [name for name, group in mode.errors.items() if any(axons.source in mode.erring for axons in group)]
        + [name for name in mode.erring if layout.shared(name)]
        for mode in modes
    ]
    return {
        "beta_rests": layout.per_cell([dict.fromkeys(names, 1.0) for names in carrying]),
        "error_beta_rests": layout.per_cell([dict.fromkeys(names, 1.0) for names in receiving]),
    }


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
            name, count = one.rule.name, len(windows.settled)
            before = seen[name] + np.arange(count)
            kept, step = one.rule.updater.coefficients(examples_seen=before, examples=1, window_s=windows.window_s)
            keep[windows.settled] *= kept
            steps[name][windows.settled] = step
            seen[name] += count
    return keep, list(steps.values())


def stimulus_tables(grid: Grid, layout: Layout) -> dict[str, FloatArray]:
    """Return what the stimulus does to every cell, in units of ``code.unit``, and when.

    Returns
    -------
    inputs : float array (1 + parts of the examples of engaged modes, cells)
        What pushes the input populations; row 0 is silence. Where cells take turns, an example has a row of inputs and
        one of what is expected.
    expected : float array, likewise
        What the feedback populations that compare expect, and take away from the signal that axons bring them, or that
        they remember.
    row_of_tick : float array (rows,)
        The row that holds from each tick on.
    """
    plan, stimulus = grid.plan, Stimulus(grid.plan)
    blocks: dict[str, list[FloatArray]] = {
        "inputs": [np.zeros((1, layout.size))],
        "expected": [np.zeros((1, layout.size))],
    }
    row_of_tick, count = np.zeros(grid.rows), 1
    for index, phase in enumerate(plan.phases):
        mode = plan.modes[phase.mode]
        if not mode.inputs and not mode.compare:
            continue
        parts = grid.parts(phase.mode)
        rows = phase.examples * len(parts)
        for key, drawn, at in zip(blocks, stimulus.draw(mode, phase.examples), (0, -1), strict=True):
            block = np.zeros((rows, layout.size))
            for name, array in drawn.items():
                block[at % len(parts) :: len(parts), layout.cells(name)] = array
            blocks[key].append(block)
        ticks = grid.window_steps[phase.mode] // grid.tick_steps // len(parts)
        row_of_tick[grid.first_tick[index] : grid.first_tick[index + 1]] = np.repeat(
            np.arange(count, count + rows), ticks
        )
        count += rows
    return {key: np.concatenate(parts) for key, parts in blocks.items()} | {"row_of_tick": row_of_tick}
