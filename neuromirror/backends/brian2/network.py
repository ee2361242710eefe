"""Builds the Brian2 network of a plan."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.backends.brian2 import equations
from neuromirror.backends.brian2.axons import EFFECTS, Axon, axons_of, comparing
from neuromirror.backends.brian2.cells import cell_values
from neuromirror.backends.brian2.drives import run_drive
from neuromirror.backends.brian2.finite import LOST, MODEL, Finite
from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.homeostasis import Homeostasis
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.noises import Noises
from neuromirror.backends.brian2.normalise import STEPS
from neuromirror.backends.brian2.own_cells import OwnCells
from neuromirror.backends.brian2.tables import OVER_TIME, table_values, transmits
from neuromirror.backends.brian2.timed_table import timed_table
from neuromirror.backends.brian2.turns import REMEMBER, Turns
from neuromirror.backends.brian2.weights import MODELS, REFERENCES, places, transport_of, weight_values
from neuromirror.modes import Learner
from neuromirror.plan import Plan

SCHEDULE = ["start", "groups", "thresholds", "resets", "synapses", "end"]
"""Resets before synapses: a relay's strong synapse would otherwise be wiped out by the reset of the same step."""

REMEMBERED, FOLLOW, LEARN, KEEP = -1, 0, 1, 2
WINDOW = KEEP + STEPS + 1
OPEN, SNAPSHOT = WINDOW + 1, WINDOW + 2
"""The order of what happens at a tick: signals are remembered, baselines move, rules apply, homeostasis acts (in
several places), a window begins, projections open, and states are recorded."""

RELAY_THRESHOLDS = 3.0
"""Where a spike of a drive projection has brought its target by the next step, in distances from rest to threshold."""

BIASES = ".bias"
"""Key of the monitor of all biases; no projection can have this name."""
RECORDED = {BIASES: "b", LOST: "lost"}
"""The variable of the cells that each monitor of a name of its own records; others record the weights ``w``."""


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
    turns: Turns = field(init=False)
    cells: Any = field(init=False)
    arrays: dict[str, Any] = field(init=False, default_factory=dict)
    tables: dict[str, Any] = field(init=False, default_factory=dict)
    monitors: dict[str, Any] = field(init=False, default_factory=dict)
    network: Any = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Layout(self.plan, self.plan.description.time.dt.s)
        self.homeostasis, self.turns = Homeostasis(self.layout), Turns(self.layout)
        b2.defaultclock.dt = self.layout.dt_s * b2.second
        for name, values in table_values(self.layout, self.plan).items():
            dt_s = self.grid.tick_s if name.startswith(OVER_TIME) else 1.0
            self.tables[name] = timed_table(name, values, dt_s)
        self._build_cells()
        recorded = self.recorded
        watched = self.cells if self.population is None else self.cells[recorded.start : recorded.stop]
        self.spikes = b2.SpikeMonitor(watched, name="spikes")
        transported, weighted = self.plan.transported, self._projections("all_to_all")
        for name in sorted(weighted, key=lambda name: (name in transported, name)):  # a W before the B that follows it
            self._build_weights(name)
        self._build_axons()
        self._build_rules()
        self.monitors[LOST] = self._monitor(self.cells, "lost", "snapshots_lost")
        self.clipped = self._monitor(self.cells, "clipped", "snapshots_clipped")
        more = self.homeostasis.build(self.cells, self.arrays, KEEP, self.grid.tick_s * b2.second)
        # Brian2 makes no subgroups of cells with a linked variable, so these are linked when there are all.
        tick_s, noises = self.grid.tick_s, Noises(self.layout, self.plan)
        self.common = noises.link(self.cells, self.tables, tick=tick_s * b2.second, order=WINDOW)
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
        modes = [self.plan.modes[name] for name in self.layout.scheduled]
        crossed = any(mode.gates or mode.errors or mode.compare for mode in modes)
        seen = {name for learners in self.layout.learners.values() for one in learners for name in one.rule.drive.names}
        self.crossed = not self.turns.taken and (crossed or bool(seen & {"error", "cross"}))
        step = equations.gated_membrane_step if self.crossed else equations.membrane_step
        extra = "".join(f"beta_{k} : 1\nerror_beta_{k} : 1\n" for k in range(len(self.layout.scheduled)))
        own, noises = OwnCells(self.plan), Noises(self.layout, self.plan)
        self.cells = b2.NeuronGroup(
            self.layout.size,
            own.model(equations.CELLS + self.turns.model() + noises.model() + MODEL + extra + self.homeostasis.model()),
            threshold=noises.threshold(own.threshold("v > v_threshold")),
            reset=own.reset(equations.RESET),
            refractory=noises.refractory,  # pyright: ignore[reportArgumentType]
            method=own.step(step),
            namespace={
                **self.tables,
                **own.constants,
                "taught": equations.taught,
                "gate_decay": math.exp(-self.grid.dt_s / equations.GATE_TAU_S),
            },
            name="cells",
        )
        for name, values in cell_values(self.layout, self.plan).items():
            setattr(self.cells, name, values)
        tick = self.grid.tick_s * b2.second
        if self.turns.taken:
            self.cells.run_regularly(REMEMBER, dt=tick, order=REMEMBERED, name="remember")
        code = equations.WINDOW + self.turns.window() + noises.window() + self.finite.window()
        self.cells.run_regularly(code, dt=tick, order=WINDOW, name="window")

    @property
    def finite(self) -> Finite:
        """What is looked at for numbers that are not finite."""
        return Finite(self.layout, self.plan, self.crossed)

    def _build_weights(self, name: str) -> None:
        projection = self.plan.description.projections[name]
        opens = any(transmits(self.plan, name, part) for part in self.layout.parts)
        source, target = self.layout.cells(projection.source), self.layout.cells(projection.target)
        transport = transport_of(self.plan, name)
        synapses = b2.Synapses(
            self.cells,
            self.cells,
            MODELS[transport] + "on_now : 1 (shared)",
            on_pre="synaptic_post += on_now*jump_post*w" if opens else None,
            delay=projection.delay.s * b2.second if opens else None,
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
        if opens:
            code = f"on_now = transmits_{name}(mode_of(t)*second)\n"
            if self.layout.changes(name):
                code += "cancel_post += on_now*w*nominal_post\n" + self.turns.opened()
            synapses.run_regularly(code, dt=self.grid.tick_s * b2.second, order=OPEN, name=f"open_weights_{name}")

    def _build_axons(self) -> None:
        """Join all cross-projections, and the axons that bring the compared signal, in one object."""
        self.axons, rows = None, self.axon_rows()
        if not rows:
            return
        kinds = sorted({row.kind for row in rows})
        switches = np.array([row.on for row in rows]).T
        crosses = np.array([row.crosses for row in rows]).T
        self.tables["axon_on"] = timed_table("axon_on", switches, 1.0)
        self.tables["axon_crosses"] = timed_table("axon_crosses", crosses, 1.0)
        effects = [EFFECTS[kind] for kind in kinds if self.crossed or kind in ("drive", "compare")]
        if self.crossed:
            effects.append("cross_post += crosses*signal_kick_pre")
        model = "on_now : 1\ncrosses : 1\nrow : integer (constant)\n"
        model += "".join(f"is_{kind} : 1 (constant)\n" for kind in kinds)
        self.axons = b2.Synapses(
            self.cells,
            self.cells,
            model,
            on_pre="\n".join(effects),
            namespace={**self.tables, "relay": RELAY_THRESHOLDS},
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

    def axon_rows(self) -> list[Axon]:
        """Return all of these axons."""
        rows = [row for name in self._projections("one_to_one") for row in axons_of(self.layout, self.plan, name)]
        return rows + comparing(self.layout)

    def _build_baselines(self) -> None:
        """Have running averages of each mode move with its windows, and the rules use those that are baselines."""
        estimate, modes = self.plan.description.code.estimate, self.layout.scheduled
        if estimate is None:
            return
        code = ""
        for beta, signal in (("beta", self.turns.forward_signal), ("error_beta", self.turns.error_signal)):
            at_rest = f"{beta}_{modes.index(estimate.rest)}" if estimate.rest in modes else "nominal"
            for k in range(len(modes)):
                average = f"{beta}_{k}"
                used = f"{average} + {beta}_rests(mode_now*second, i)*({at_rest} - {average})"
                code += f"{average} = {average} + follow_{k}(t)*({signal} - {average})\n"
                code += f"{beta} = {beta} + ended_{k}(t)*({used} - {beta})\n"
        self.cells.run_regularly(code, dt=self.grid.tick_s * b2.second, order=FOLLOW, name="follow_baselines")

    def _build_rules(self) -> None:
        tick = self.grid.tick_s * b2.second
        self._build_baselines()
        for number, (name, learners) in enumerate(self.layout.learners.items()):
            if name in self.arrays:
                code = _update(number, "w", learners, self.turns.names(learners[0]), dale=self.plan.dale)
                run_drive(self.arrays[name], code, dt=tick, order=LEARN, name=f"learn_weights_{name}")
                self.monitors[name] = self._monitor(self.arrays[name], "w", f"snapshots_weights_{name}")
            else:
                code = _update(number, "b", learners, self.turns.names(learners[0]))
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
        """Ticks between two snapshots."""
        return self.grid.snapshot_ticks(self.points)

    @property
    def duration(self) -> Any:
        """The run's length: that of the schedule, and the steps in which its last window is learned from and read.

        Brian2 takes times that differ by less than a ten-thousandth of a clock's step for the same, so that a clock of
        long steps needs more than one of ours to come to its last.
        """
        grid, longest = self.grid, max(1, self.snapshot_ticks) * self.grid.tick_steps
        return (grid.ticks * grid.tick_steps + 1 + math.ceil(2e-4 * longest)) * grid.dt_s * b2.second

    def seen_as(self, plan: Plan) -> SpikingNetwork:
        """Return these Brian2 objects as those of another plan that is run by the same program."""
        seen = copy.copy(self)
        seen.plan, seen.layout = plan, Layout(plan, self.layout.dt_s)
        return seen


def _update(
    number: int, variable: str, learners: list[Learner], names: Mapping[str, str], *, dale: bool = False
) -> str:
    """Return one array's update: w ← keep·w + Σ over rules of step·drive, the tables saying which acts when.

    With ``dale`` weights do not fall below zero.
    """
    terms = [f"taught(update_{number}_step_{k}(t), {one.rule.drive.brian2(names)})" for k, one in enumerate(learners)]
    updated = f"update_{number}_keep(t)*{variable} + {' + '.join(terms)}"
    return f"{variable} = {f'clip({updated}, 0, inf)' if dale else updated}"
