"""Builds the Brian2 network of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import brian2 as b2
import numpy as np

from neuromirror import seeds
from neuromirror.backends.brian2 import equations
from neuromirror.backends.brian2.tables import (
    Grid,
    clear_table,
    follow_tables,
    stimulus_tables,
    update_tables,
)
from neuromirror.dynamics.neurons import LIF, synaptic_kick
from neuromirror.plan import FloatArray, Learner, Plan

SCHEDULE = ["start", "groups", "thresholds", "resets", "synapses", "end"]
"""Resets before synapses: a relay's strong synapse would otherwise be wiped out by the reset of the same step."""

RELAY_THRESHOLDS = 3.0
"""What a spike of a drive projection adds to its target, in distances from rest to threshold: it always fires it."""

BIASES = ".bias"
"""Key of the monitor of all biases; no projection can have this name."""

GATE_TAU_S = 0.05
"""Time constant by which a gate knows a silent forward cell, in seconds."""


class _Axon(NamedTuple):
    """One axon of a cross-projection.

    Its cells are numbered among all; it says mode by mode whether it transmits, and whether rules see it as ``cross``.
    """

    source: int
    target: int
    kind: str
    delay_s: float
    on: list[float]
    crosses: list[float]


@dataclass
class SpikingNetwork:
    """A plan's network, and where its populations are in it.

    Parameters
    ----------
    plan : Plan
    points : int
        Number of snapshots of weights over the run.
    """

    plan: Plan
    points: int
    grid: Grid = field(init=False)
    offsets: dict[str, int] = field(init=False)
    cells: Any = field(init=False)
    arrays: dict[str, Any] = field(init=False, default_factory=dict)
    tables: dict[str, Any] = field(init=False, default_factory=dict)
    monitors: dict[str, Any] = field(init=False, default_factory=dict)
    network: Any = field(init=False)

    def __post_init__(self) -> None:
        description = self.plan.description
        self.grid = Grid(self.plan, description.time.dt.s)
        b2.defaultclock.dt = self.grid.dt_s * b2.second
        self.offsets, start = {}, 0
        for name, size in sorted(self.plan.sizes.items()):
            self.offsets[name], start = start, start + size
        self.size = start
        for name, values in self.table_values(self.plan).items():
            dt_s = self.grid.tick_s if name in _OVER_TIME or name.startswith(_OVER_TIME_PREFIXES) else 1.0
            self.tables[name] = b2.TimedArray(values, dt=dt_s * b2.second, name=f"table_{name}")
        self._build_cells()
        self.spikes = b2.SpikeMonitor(self.cells, name="spikes")
        for name in sorted(self._projections("all_to_all")):
            self._build_weights(name)
        self._build_axons()
        self._build_rules()
        parts = [self.cells, self.spikes, *self.arrays.values(), *self.monitors.values()]
        if self.axons is not None:
            parts.append(self.axons)
        self.network = b2.Network(*parts)
        self.network.schedule = SCHEDULE

    @cached_property
    def scheduled(self) -> list[str]:
        """Names of the modes that the schedule uses; tables over modes have one row for each."""
        return sorted({phase.mode for phase in self.plan.phases})

    def _projections(self, connector: str) -> list[str]:
        """Return the projections that do anything in a scheduled mode."""
        modes = [self.plan.description.modes[mode] for mode in self.scheduled]
        used = {name for mode in modes for name in (*mode.on, *mode.learn)} | set(self.plan.mirrors)
        used |= set(self.plan.mirrors.values())
        return [n for n, p in self.plan.description.projections.items() if n in used and p.connector == connector]

    # -- tables ---------------------------------------------------------------------------------------------------

    def table_values(self, plan: Plan) -> dict[str, FloatArray]:
        """Return the values of all tables for a plan of this circuit with any seed."""
        modes = [plan.modes[name] for name in self.scheduled]
        stimulus = stimulus_tables(Grid(plan, self.grid.dt_s), self.offsets, self.size)
        dt_s = self.grid.dt_s
        noise_decays = self._per_cell(
            {mode.name: {name: math.exp(-dt_s / noise.tau.s) for name, noise in mode.noise.items()} for mode in modes}
        )
        kinds = [(mode.signal.kind, mode.window_s if mode.signal.tau is None else mode.signal.tau.s) for mode in modes]
        values: dict[str, FloatArray] = {
            "mode_of": np.array([float(self.scheduled.index(mode)) for mode in self.grid.mode_of_tick]),
            "clears": clear_table(self.grid),
            **stimulus,
            "signal_decays": np.array([1.0 if kind == "count" else math.exp(-dt_s / tau) for kind, tau in kinds]),
            "signal_kicks": np.array([1 / (tau * plan.unit_Hz) for _, tau in kinds]),
            "noise_decays": noise_decays,
            "noise_kicks": np.sqrt(1 - noise_decays**2),
            "noise_sds": self._per_cell({m.name: {p: n.sd for p, n in m.noise.items()} for m in modes}),
            "gates": self._per_cell({m.name: dict.fromkeys(m.gates, 1.0) for m in modes}),
            "default_biases": 1.0 - self._per_cell({m.name: dict.fromkeys(m.drives, 1.0) for m in modes}),
            "bias_on": np.array([float(mode.bias_on) for mode in modes]),
            "cancels": self._cancels(plan),
        }
        for name in sorted(plan.description.projections):
            on = [float(name in plan.description.modes[mode].on) for mode in self.scheduled]
            values[f"transmits_{name}"] = np.array(on)
        for number, (name, learners) in enumerate(self.learners.items()):
            keep, steps = update_tables(self.grid, name, [one.rule.name for one in learners])
            values[f"update_{number}_keep"] = keep
            values |= {f"update_{number}_step_{k}": step for k, step in enumerate(steps)}
        if plan.description.code.estimate is not None:
            values |= follow_tables(self.grid, self.scheduled)
        return values

    @cached_property
    def learners(self) -> dict[str, list[Learner]]:
        """Every array that learns in a scheduled mode, with one learner for each of its rules."""
        found: dict[str, dict[str, Learner]] = {}
        for mode in self.scheduled:
            for learner in self.plan.modes[mode].learners:
                if learner.source is not None or self.plan.modes[mode].bias_on:
                    found.setdefault(learner.name, {})[learner.rule.name] = learner
        return {name: [by_rule[rule] for rule in sorted(by_rule)] for name, by_rule in sorted(found.items())}

    def _per_cell(self, values: Mapping[str, Mapping[str, float]]) -> FloatArray:
        """Return a (scheduled modes, cells) table from values by mode and population, 0 where there is none."""
        table = np.zeros((len(self.scheduled), self.size))
        for row, mode in enumerate(self.scheduled):
            for population, value in values[mode].items():
                table[row, self._slice(population)] = value
        return table

    def _cancels(self, plan: Plan) -> FloatArray:
        """Return the mean synaptic input by mode, in code units, of arrays that no scheduled mode changes."""
        table, arrays = np.zeros((len(self.scheduled), self.size)), plan.initial_arrays()
        for row, mode in enumerate(self.scheduled):
            for target, group in plan.modes[mode].synapses.items():
                for axons in group:
                    if axons.name not in self.learners:
                        table[row, self._slice(target)] += plan.beta * arrays[axons.name].sum(axis=1)
        return table

    def _slice(self, population: str) -> slice:
        start = self.offsets[population]
        return slice(start, start + self.plan.sizes[population])

    def span(self, population: str) -> tuple[int, int]:
        """Return the first cell of a population, and that after its last."""
        cells = self._slice(population)
        return cells.start, cells.stop

    # -- objects --------------------------------------------------------------------------------------------------

    def _build_cells(self) -> None:
        crossed = any(
            mode.gates or mode.errors or mode.compare for mode in map(self.plan.modes.get, self.scheduled) if mode
        )
        seen = {name for learners in self.learners.values() for one in learners for name in one.rule.drive.names}
        self.crossed = crossed or bool(seen & {"error", "cross"})
        step = equations.gated_membrane_step if self.crossed else equations.membrane_step
        extra = "".join(f"beta_{k} : 1\nerror_beta_{k} : 1\n" for k in range(len(self.scheduled)))
        self.cells = b2.NeuronGroup(
            self.size,
            equations.CELLS + extra,
            threshold="v > v_threshold",
            reset=equations.RESET,
            refractory="refractory_period",  # pyright: ignore[reportArgumentType]
            method=step,
            namespace={
                **self.tables,
                "taught": equations.taught,
                "gate_silent": equations.GATE_SILENT * self.plan.beta,
                "gate_decay": math.exp(-self.grid.dt_s / GATE_TAU_S),
            },
            name="cells",
        )
        for name, values in self.cell_values(self.plan).items():
            setattr(self.cells, name, values)
        self.cells.run_regularly(equations.WINDOW, dt=self.grid.tick_s * b2.second, order=2, name="window")

    def cell_values(self, plan: Plan) -> dict[str, Any]:
        """Return the initial values of the cells' variables; those that depend on the seed are plain arrays."""
        dt_s, values = self.grid.dt_s, {key: np.zeros(self.size) for key in _CELL_CONSTANTS}
        for name, population in plan.description.populations.items():
            cell, here = plan.description.cells[population.cell], self._slice(name)
            lif = LIF(
                tau_m_s=cell.tau_m.s,
                refractory_s=cell.refractory.s,
                reset_V=cell.v_reset.si - cell.v_rest.si,
                threshold_V=cell.v_threshold.si - cell.v_rest.si,
                noise_V=cell.noise.si,
            )
            beta_Hz = plan.beta * plan.unit_Hz
            bias_V = lif.bias_V(beta_Hz, dt_s) if cell.default_bias == "calibrate" else cell.default_bias.si
            unit_V = plan.unit_Hz / lif.slope_Hz_per_V(bias_V, dt_s)
            decay = math.exp(-dt_s / lif.tau_m_s)
            for key, value in {
                "tau_m": lif.tau_m_s,
                # Brian2 counts the step of the spike itself, so its refractory cells integrate one step too early
                "refractory_period": round(lif.refractory_s / dt_s) * dt_s + dt_s if lif.refractory_s else 0.0,
                "v_threshold": lif.threshold_V * 1e3,
                "v_reset": lif.reset_V * 1e3,
                "default_bias": bias_V * 1e3,
                "unit_current": unit_V * 1e3,
                "jump": unit_V * 1e3 / (plan.unit_Hz * cell.tau_syn.s),
                "synaptic_decay": math.exp(-dt_s / cell.tau_syn.s),
                "synaptic_kick": synaptic_kick(lif.tau_m_s, cell.tau_syn.s, dt_s),
                "membrane_decay": decay,
                "membrane_kick": lif.noise_V * 1e3 * math.sqrt(1 - decay**2),
            }.items():
                values[key][here] = value
        start = seeds.stream(plan.seed, "membranes").random(self.size)
        constants: dict[str, Any] = {
            **values,
            "v": values["v_reset"] + start * (values["v_threshold"] - values["v_reset"]),
            "gain": np.ones(self.size),
            "beta": np.full(self.size, plan.beta),
            "error_beta": np.full(self.size, plan.beta),
            "signal": np.full(self.size, plan.beta),
            "gate_trace": np.full(self.size, plan.beta),
        }
        for k in range(len(self.scheduled)):
            constants[f"beta_{k}"] = constants[f"error_beta_{k}"] = np.full(self.size, plan.beta)
        biases = np.zeros(self.size)
        for name, array in plan.initial_arrays().items():
            if array.ndim == 1:
                biases[self._slice(name.removesuffix(".bias"))] = array
        constants["b"] = biases
        constants["tau_m"] = values["tau_m"] * b2.second
        constants["refractory_period"] = values["refractory_period"] * b2.second
        return constants

    def _build_weights(self, name: str) -> None:
        projection = self.plan.description.projections[name]
        transmits = any(name in self.plan.description.modes[mode].on for mode in self.scheduled)
        source, target = self._slice(projection.source), self._slice(projection.target)
        synapses = b2.Synapses(
            self.cells,
            self.cells,
            "w : 1\non_now : 1 (shared)",
            on_pre="synaptic_post += on_now*jump_post*w" if transmits else None,
            delay=projection.delay.s * b2.second if transmits else None,
            namespace={**self.tables, "taught": equations.taught},
            name=f"weights_{name}",
        )
        targets, sources = np.meshgrid(
            np.arange(target.start, target.stop), np.arange(source.start, source.stop), indexing="ij"
        )
        synapses.connect(i=sources.ravel(), j=targets.ravel())
        synapses.w = self.plan.initial_arrays()[name].ravel()
        self.arrays[name] = synapses
        if transmits:
            code = f"on_now = transmits_{name}(mode_of(t)*second)\n"
            if name in self.learners:
                code += f"cancel_post += on_now*w*{self.plan.beta!r}\n"
            synapses.run_regularly(code, dt=self.grid.tick_s * b2.second, order=3, name=f"open_weights_{name}")

    def _build_axons(self) -> None:
        """Join all cross-projections, and the axons that bring the compared signal, in one object."""
        self.axons = None
        rows = [row for name in self._projections("one_to_one") for row in self._axon_rows(name)]
        modes = {mode: self.plan.modes[mode] for mode in self.scheduled}
        compared = {(source, target) for mode in modes.values() for target, source in mode.compare.items()}
        for source, target in sorted(compared):
            on = [float(modes[mode].compare.get(target) == source) for mode in self.scheduled]
            start = self._slice(source).start, self._slice(target).start
            off = [0.0] * len(on)
            rows += [_Axon(start[0] + k, start[1] + k, "compare", 0.0, on, off) for k in range(self.plan.sizes[target])]
        if not rows:
            return
        kinds = sorted({row.kind for row in rows})
        switches = np.array([row.on for row in rows]).T
        crosses = np.array([row.crosses for row in rows]).T
        self.tables["axon_on"] = b2.TimedArray(switches, dt=1 * b2.second, name="table_axon_on")
        self.tables["axon_crosses"] = b2.TimedArray(crosses, dt=1 * b2.second, name="table_axon_crosses")
        effects = [_AXON_EFFECT[kind] for kind in kinds if self.crossed or kind in ("drive", "compare")]
        if self.crossed:
            effects.append("cross_post += crosses*signal_kick_pre")
        model = "on_now : 1\ncrosses : 1\nrow : integer (constant)\n"
        model += "".join(f"is_{kind} : 1 (constant)\n" for kind in kinds)
        self.axons = b2.Synapses(
            self.cells,
            self.cells,
            model,
            on_pre="\n".join(effects),
            namespace={**self.tables, "relay": RELAY_THRESHOLDS, "gate_kick": 1 / (GATE_TAU_S * self.plan.unit_Hz)},
            name="axons",
        )
        self.axons.connect(i=np.array([row.source for row in rows]), j=np.array([row.target for row in rows]))
        self.axons.pre.delay = np.array([row.delay_s for row in rows]) * b2.second
        for kind in kinds:
            setattr(self.axons, f"is_{kind}", np.array([float(row.kind == kind) for row in rows]))
        self.axons.row = np.arange(len(rows))
        self.axons.run_regularly(
            "on_now = axon_on(mode_of(t)*second, row)\ncrosses = axon_crosses(mode_of(t)*second, row)",
            dt=self.grid.tick_s * b2.second,
            order=3,
            name="open_axons",
        )

    def _axon_rows(self, name: str) -> list[_Axon]:
        projection = self.plan.description.projections[name]
        modes = [self.plan.modes[mode] for mode in self.scheduled]
        on = [float(name in self.plan.description.modes[mode.name].on) for mode in modes]
        crosses = [float(any(axons.name == name for axons in mode.cross.values())) for mode in modes]
        size = self.plan.sizes[projection.target]
        order = projection.permutation if projection.permutation is not None else range(size)
        source, target = self._slice(projection.source).start, self._slice(projection.target).start
        return [
            _Axon(source + j, target + i, projection.role, projection.delay.s, on, crosses) for i, j in enumerate(order)
        ]

    def _build_rules(self) -> None:
        tick = self.grid.tick_s * b2.second
        follow = "".join(
            f"beta_{k} = beta_{k} + follow_{k}(t)*(signal - beta_{k})\n"
            f"error_beta_{k} = error_beta_{k} + follow_{k}(t)*(error_trace - error_beta_{k})\n"
            for k in range(len(self.scheduled))
        )
        if self.plan.description.code.estimate is not None:
            follow += "".join(
                f"{beta} = {beta} + ended_{k}(t)*({beta}_{k} - {beta})\n"
                for beta in ("beta", "error_beta")
                for k in range(len(self.scheduled))
            )
            self.cells.run_regularly(follow, dt=tick, order=0, name="follow_baselines")
        for number, (name, learners) in enumerate(self.learners.items()):
            if name in self.arrays:
                code = _update(number, "w", learners, _SYNAPSE_NAMES)
                self.arrays[name].run_regularly(code, dt=tick, order=1, name=f"learn_weights_{name}")
                self.monitors[name] = self._monitor(self.arrays[name], "w", f"snapshots_weights_{name}")
            else:
                code = _update(number, "b", learners, _CELL_NAMES)
                start, stop = self.span(learners[0].target)
                self.cells[start:stop].run_regularly(code, dt=tick, order=1, name=f"learn_bias_{learners[0].target}")
                if BIASES not in self.monitors:
                    self.monitors[BIASES] = self._monitor(self.cells, "b", "snapshots_bias")

    def tell_time(self, tell: Any) -> None:
        """Have the network call ``tell(t)`` with the time in seconds at each snapshot."""
        teller = b2.NeuronGroup(1, "told : 1", namespace={"tell": tell}, name="teller")
        interval_s = self.snapshot_ticks * self.grid.tick_s
        teller.run_regularly("told = tell(t/second)", dt=interval_s * b2.second, name="tell_time")
        self.network.add(teller)

    def _monitor(self, source: Any, variable: str, name: str) -> Any:
        interval_s = self.snapshot_ticks * self.grid.tick_s
        return b2.StateMonitor(
            source, variable, record=True, dt=interval_s * b2.second, when="start", order=4, name=name
        )

    @cached_property
    def snapshot_ticks(self) -> int:
        """Ticks between two snapshots: a divisor of every phase, so that the ends of phases are among them."""
        whole = math.gcd(*self.grid.first_tick[1:])
        wanted = self.grid.ticks / max(1, self.points)
        divisors = [d for k in range(1, math.isqrt(whole) + 1) if whole % k == 0 for d in (k, whole // k)]
        return min(divisors, key=lambda d: abs(math.log(d / wanted)))


_AXON_EFFECT = {
    "drive": "v_post += on_now*is_drive*relay*v_threshold_post",
    "compare": "synaptic_post += on_now*is_compare*jump_post",
    "gate": "gate_trace_post += on_now*is_gate*gate_kick",
    "error": "error_trace_post += on_now*is_error*signal_kick_pre",
}
_SYNAPSE_NAMES = {
    "pre": "signal_pre",
    "post": "signal_post",
    "beta_pre": "beta_pre",
    "beta_post": "beta_post",
    "noise_pre": "noise_pre",
    "noise_post": "noise_post",
    "error": "error_post",
    "cross": "cross_post",
}
_CELL_NAMES = {
    "post": "signal",
    "beta_post": "beta",
    "noise_post": "noise",
    "error": "error",
    "cross": "cross",
    "w": "b",
}
_CELL_CONSTANTS = (
    "tau_m",
    "refractory_period",
    "v_threshold",
    "v_reset",
    "default_bias",
    "unit_current",
    "jump",
    "membrane_decay",
    "membrane_kick",
    "synaptic_decay",
    "synaptic_kick",
)
_OVER_TIME = ("mode_of", "clears", "row_of_tick")
_OVER_TIME_PREFIXES = ("update_", "follow_", "ended_")


def _update(number: int, variable: str, learners: list[Learner], names: Mapping[str, str]) -> str:
    """Return one array's update: w ← keep·w + Σ over rules of step·drive, the tables saying which acts when."""
    terms = [f"taught(update_{number}_step_{k}(t), {one.rule.drive.brian2(names)})" for k, one in enumerate(learners)]
    return f"{variable} = update_{number}_keep(t)*{variable} + {' + '.join(terms)}"
