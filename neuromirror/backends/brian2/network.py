"""Builds the Brian2 network of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import brian2 as b2
import numpy as np

from neuromirror.backends.brian2 import equations
from neuromirror.backends.brian2.cells import cell_values
from neuromirror.backends.brian2.drives import CELL_NAMES, SYNAPSE_NAMES, run_drive
from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.homeostasis import Homeostasis
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.noises import Noises
from neuromirror.backends.brian2.normalise import STEPS
from neuromirror.backends.brian2.own_cells import OwnCells
from neuromirror.backends.brian2.tables import OVER_TIME, table_values
from neuromirror.backends.brian2.weights import MODELS, REFERENCES, places, transport_of, weight_values
from neuromirror.modes import Learner
from neuromirror.plan import Plan

SCHEDULE = ["start", "groups", "thresholds", "resets", "synapses", "end"]
"""Resets before synapses: a relay's strong synapse would otherwise be wiped out by the reset of the same step."""

FOLLOW, LEARN, KEEP = 0, 1, 2
WINDOW = KEEP + STEPS + 1
OPEN, SNAPSHOT = WINDOW + 1, WINDOW + 2
"""The order of what happens at a tick: baselines move, rules apply, homeostasis acts (in several places), a window
begins, projections open, and states are recorded."""

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
    """The Brian2 objects of a plan.

    Parameters
    ----------
    plan : Plan
    points : int
        Number of snapshots of weights over the run.
    population : str or None
        The only one whose spikes are recorded; None for all.
    """

    plan: Plan
    points: int
    population: str | None = None
    layout: Layout = field(init=False)
    homeostasis: Homeostasis = field(init=False)
    cells: Any = field(init=False)
    arrays: dict[str, Any] = field(init=False, default_factory=dict)
    tables: dict[str, Any] = field(init=False, default_factory=dict)
    monitors: dict[str, Any] = field(init=False, default_factory=dict)
    network: Any = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Layout(self.plan, self.plan.description.time.dt.s)
        self.homeostasis = Homeostasis(self.layout)
        b2.defaultclock.dt = self.layout.dt_s * b2.second
        for name, values in table_values(self.layout, self.plan).items():
            dt_s = self.grid.tick_s if name.startswith(OVER_TIME) else 1.0
            self.tables[name] = b2.TimedArray(values, dt=dt_s * b2.second, name=f"table_{name}")
        self._build_cells()
        recorded = self.recorded
        self.spikes = b2.SpikeMonitor(self.cells[recorded.start : recorded.stop], name="spikes")
        transported, weighted = self.plan.transported, self._projections("all_to_all")
        for name in sorted(weighted, key=lambda name: (name in transported, name)):  # a W before the B that follows it
            self._build_weights(name)
        self._build_axons()
        self._build_rules()
        self.clipped = self._monitor(self.cells, "clipped", "snapshots_clipped")
        more = self.homeostasis.build(self.cells, self.arrays, KEEP, self.grid.tick_s * b2.second)
        parts = [self.cells, self.spikes, self.clipped, *self.arrays.values(), *self.monitors.values(), *more]
        parts += [part for part in (self.axons, self.common) if part is not None]
        self.network = b2.Network(*parts)
        self.network.schedule = SCHEDULE

    @property
    def recorded(self) -> slice:
        """Which cells' spikes are recorded."""
        return slice(0, self.layout.size) if self.population is None else self.layout.cells(self.population)

    @property
    def grid(self) -> Grid:
        """The ticks of the run."""
        return self.layout.grid

    def _projections(self, connector: str) -> list[str]:
        """Return the projections that do anything in a scheduled mode."""
        modes = [self.plan.description.modes[mode] for mode in self.layout.scheduled]
        used = {name for mode in modes for name in (*mode.on, *mode.learn)} | set(self.plan.mirrors)
        used |= set(self.plan.mirrors.values())
        return [n for n, p in self.plan.description.projections.items() if n in used and p.connector == connector]

    def _build_cells(self) -> None:
        crossed = any(
            mode.gates or mode.errors or mode.compare
            for mode in map(self.plan.modes.get, self.layout.scheduled)
            if mode
        )
        seen = {name for learners in self.layout.learners.values() for one in learners for name in one.rule.drive.names}
        self.crossed = crossed or bool(seen & {"error", "cross"})
        step = equations.gated_membrane_step if self.crossed else equations.membrane_step
        extra = "".join(f"beta_{k} : 1\nerror_beta_{k} : 1\n" for k in range(len(self.layout.scheduled)))
        own, noises = OwnCells(self.plan), Noises(self.layout, self.plan)
        self.cells = b2.NeuronGroup(
            self.layout.size,
            own.model(equations.CELLS + noises.model() + extra + self.homeostasis.model()),
            threshold=noises.threshold(own.threshold("v > v_threshold")),
            reset=own.reset(equations.RESET),
            refractory=noises.refractory,  # pyright: ignore[reportArgumentType]
            method=own.step(step),
            namespace={
                **self.tables,
                **own.constants,
                "taught": equations.taught,
                "nominal": self.plan.beta,
                "gate_silent": equations.GATE_SILENT * self.plan.beta,
                "gate_decay": math.exp(-self.grid.dt_s / GATE_TAU_S),
            },
            name="cells",
        )
        for name, values in cell_values(self.layout, self.plan).items():
            setattr(self.cells, name, values)
        tick = self.grid.tick_s * b2.second
        self.common = noises.link(self.cells, self.tables, tick=tick, order=WINDOW)
        code = equations.WINDOW + noises.window()
        self.cells.run_regularly(code, dt=tick, order=WINDOW, name="window")

    def _build_weights(self, name: str) -> None:
        projection = self.plan.description.projections[name]
        transmits = any(name in self.plan.description.modes[mode].on for mode in self.layout.scheduled)
        source, target = self.layout.cells(projection.source), self.layout.cells(projection.target)
        transport = transport_of(self.plan, name)
        synapses = b2.Synapses(
            self.cells,
            self.cells,
            MODELS[transport] + "on_now : 1 (shared)",
            on_pre="synaptic_post += on_now*jump_post*w" if transmits else None,
            delay=projection.delay.s * b2.second if transmits else None,
            namespace={**self.tables, "taught": equations.taught},
            name=f"weights_{name}",
        )
        targets, sources = np.meshgrid(
            np.arange(target.start, target.stop), np.arange(source.start, source.stop), indexing="ij"
        )
        if transport != "none":
            forward = self.arrays[self.plan.transported[name]]
            synapses.variables.add_reference(REFERENCES[transport], forward, "w", index="twin")
        there = places(self.plan, name)
        synapses.connect(i=sources.ravel()[there], j=targets.ravel()[there])
        self.arrays[name] = synapses
        for variable, values in weight_values(self.plan, name).items():
            setattr(synapses, variable, values)
        if transmits:
            code = f"on_now = transmits_{name}(mode_of(t)*second)\n"
            if self.layout.changes(name):
                code += f"cancel_post += on_now*w*{self.plan.beta!r}\n"
            synapses.run_regularly(code, dt=self.grid.tick_s * b2.second, order=OPEN, name=f"open_weights_{name}")

    def _build_axons(self) -> None:
        """Join all cross-projections, and the axons that bring the compared signal, in one object."""
        self.axons = None
        rows = [row for name in self._projections("one_to_one") for row in self._axon_rows(name)]
        modes = {mode: self.plan.modes[mode] for mode in self.layout.scheduled}
        compared = {(source, target) for mode in modes.values() for target, source in mode.compare.items()}
        for source, target in sorted(compared):
            on = [float(modes[mode].compare.get(target) == source) for mode in self.layout.scheduled]
            start = self.layout.cells(source).start, self.layout.cells(target).start
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
            order=OPEN,
            name="open_axons",
        )

    def _axon_rows(self, name: str) -> list[_Axon]:
        projection = self.plan.description.projections[name]
        if self.layout.shared(projection.target):
            return []  # no axon is needed to bring cells their own signal
        modes = [self.plan.modes[mode] for mode in self.layout.scheduled]
        on = [float(name in self.plan.description.modes[mode.name].on) for mode in modes]
        crosses = [float(any(axons.name == name for axons in mode.cross.values())) for mode in modes]
        size = self.plan.sizes[projection.target]
        given = projection.permutation
        order = range(size) if given is None else self.plan.coding.order(np.array(given, dtype=np.intp)).tolist()
        source, target = self.layout.cells(projection.source).start, self.layout.cells(projection.target).start
        return [
            _Axon(source + j, target + i, projection.role, projection.delay.s, on, crosses) for i, j in enumerate(order)
        ]

    def _build_rules(self) -> None:
        tick = self.grid.tick_s * b2.second
        follow = "".join(
            f"beta_{k} = beta_{k} + follow_{k}(t)*(signal - beta_{k})\n"
            f"error_beta_{k} = error_beta_{k} + follow_{k}(t)*(error_trace - error_beta_{k})\n"
            for k in range(len(self.layout.scheduled))
        )
        if self.plan.description.code.estimate is not None:
            follow += "".join(
                f"{beta} = {beta} + ended_{k}(t)*({beta}_{k} - {beta})\n"
                for beta in ("beta", "error_beta")
                for k in range(len(self.layout.scheduled))
            )
            self.cells.run_regularly(follow, dt=tick, order=FOLLOW, name="follow_baselines")
        for number, (name, learners) in enumerate(self.layout.learners.items()):
            if name in self.arrays:
                shared = self.layout.shared(learners[0].target)
                names = {**SYNAPSE_NAMES, "cross": SYNAPSE_NAMES["post"]} if shared else SYNAPSE_NAMES
                code = _update(number, "w", learners, names, dale=self.plan.dale)
                run_drive(self.arrays[name], code, dt=tick, order=LEARN, name=f"learn_weights_{name}")
                self.monitors[name] = self._monitor(self.arrays[name], "w", f"snapshots_weights_{name}")
            else:
                code = _update(number, "b", learners, CELL_NAMES)
                here = self.layout.cells(learners[0].target)
                mine, label = self.cells[here.start : here.stop], f"learn_bias_{learners[0].target}"
                run_drive(mine, code, dt=tick, order=LEARN, name=label)
                if BIASES not in self.monitors:
                    self.monitors[BIASES] = self._monitor(self.cells, "b", "snapshots_bias")

    def _monitor(self, source: Any, variable: str, name: str) -> Any:
        interval_s = self.snapshot_ticks * self.grid.tick_s
        return b2.StateMonitor(
            source, variable, record=True, dt=interval_s * b2.second, when="start", order=SNAPSHOT, name=name
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


def _update(
    number: int, variable: str, learners: list[Learner], names: Mapping[str, str], *, dale: bool = False
) -> str:
    """Return one array's update: w ← keep·w + Σ over rules of step·drive, the tables saying which acts when.

    With ``dale`` weights do not fall below zero.
    """
    terms = [f"taught(update_{number}_step_{k}(t), {one.rule.drive.brian2(names)})" for k, one in enumerate(learners)]
    updated = f"update_{number}_keep(t)*{variable} + {' + '.join(terms)}"
    return f"{variable} = {f'clip({updated}, 0, inf)' if dale else updated}"
