"""The initial values of all cells: their constants, from what the circuit says of them, and their state."""

from __future__ import annotations

import math
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror import seeds
from neuromirror.backends.brian2.equations import GATE_SILENT, GATE_TAU_S, refractory_period_s
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.own_cells import OwnCells, own_constants
from neuromirror.circuit.cells import cells_of
from neuromirror.circuit.description import Cell
from neuromirror.circuit.lif import lif_of, working_point
from neuromirror.dynamics.neurons import synaptic_kick
from neuromirror.plan import Plan


def cell_values(layout: Layout, plan: Plan) -> dict[str, Any]:
    """Return the initial values of the cells' variables; those that depend on the seed are plain arrays."""
    values = dict[str, Any]()
    own = OwnCells(plan)
    for name, population in plan.description.populations.items():
        if layout.shared(name):
            continue
        here, per_unit = layout.cells(name), plan.description.code.cells_per_unit
        cells = cells_of(population, plan.description.cells[population.cell]) * per_unit
        distinct = {id(cell): cell for cell in cells}  # comparing cells by what they say takes its time
        constants_of = {cell: _constants(cell, plan, layout.dt_s) for cell in set(distinct.values())}
        kinds = {number: constants_of[cell] for number, cell in distinct.items()}
        for key in kinds[id(cells[0])]:
            values.setdefault(key, np.zeros(layout.size))[here] = [kinds[id(cell)][key] for cell in cells]
        for key, value in own.marks(name).items():
            values.setdefault(key, np.zeros(layout.size))[here] = value
    start = seeds.stream(plan.seed, "membranes").random(layout.size)
    constants: dict[str, Any] = {
        **values,
        "v": values["v_reset"] + start * (values["v_threshold"] - values["v_reset"]),
        "nominal": np.full(layout.size, plan.beta),
        "gate_silent": np.full(layout.size, GATE_SILENT * plan.beta),
        "gate_kick": np.full(layout.size, 1 / (GATE_TAU_S * plan.unit_Hz)),
        "gain": np.ones(layout.size),
        "beta": np.full(layout.size, plan.beta),
        "error_beta": np.full(layout.size, plan.beta),
        "signal": np.full(layout.size, plan.beta),
        "gate_trace": np.full(layout.size, plan.beta),
    }
    if layout.grid.turning:
        constants["memory"] = np.full(layout.size, plan.beta)
    for k in range(len(layout.scheduled)):
        constants[f"beta_{k}"] = constants[f"error_beta_{k}"] = np.full(layout.size, plan.beta)
    biases = np.zeros(layout.size)
    for name, array in plan.initial_arrays().items():
        if array.ndim == 1:
            biases[layout.cells(name.removesuffix(".bias"))] = array
    constants["b"] = biases
    constants |= own.start(layout.size, plan.seed)
    constants["tau_m"] = values["tau_m"] * b2.second
    constants["refractory_period"] = values["refractory_period"] * b2.second
    return constants


def _constants(cell: Cell, plan: Plan, dt_s: float) -> dict[str, float]:
    """Return the constants of one kind of cell; see `neuromirror.backends.brian2.equations.CELLS`."""
    membrane = own_constants(cell, dt_s) if cell.model == "custom" else _leaky_constants(cell, plan, dt_s)
    tau_s = cell.tau_syn.s
    return {
        **membrane,
        "jump": membrane["unit_current"] / (plan.unit_Hz * tau_s),
        "synaptic_decay": math.exp(-dt_s / tau_s),
        "synaptic_share": -math.expm1(-dt_s / tau_s) * tau_s / dt_s,
    }


def _leaky_constants(cell: Cell, plan: Plan, dt_s: float) -> dict[str, float]:
    """Return the constants of a leaky membrane."""
    lif = lif_of(cell)
    bias_V, slope_Hz_per_V = working_point(cell, plan.beta * plan.unit_Hz, dt_s)
    unit_V = plan.unit_Hz / slope_Hz_per_V
    decay = math.exp(-dt_s / lif.tau_m_s)
    return {
        "tau_m": lif.tau_m_s,
        "refractory_period": refractory_period_s(cell, dt_s),
        "v_threshold": lif.threshold_V * 1e3,
        "v_reset": lif.reset_V * 1e3,
        "default_bias": bias_V * 1e3,
        "unit_current": unit_V * 1e3,
        "synaptic_kick": synaptic_kick(lif.tau_m_s, cell.tau_syn.s, dt_s),
        "membrane_decay": decay,
        "membrane_kick": lif.noise_V * 1e3 * math.sqrt(1 - decay**2),
    }
