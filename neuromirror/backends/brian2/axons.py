"""The axons of cross-projections, one by one, for the one Synapses object that has them all.

One set of axons that does different things in different modes (8.4) has as many synapses on each target cell as it does
things, each open in its own modes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neuromirror.backends.brian2.layout import Layout
from neuromirror.circuit.axons import all_roles, role_in
from neuromirror.plan import Plan

EFFECTS = {
    "drive": "v_post += on_now*is_drive*relay*v_threshold_post/membrane_decay_post",
    "compare": "synaptic_post += on_now*is_compare*jump_post",
    "gate": "gate_trace_post += on_now*is_gate*gate_kick_post",
    "error": "error_trace_post += on_now*is_error*signal_kick_pre",
}
"""What a spike does at a synapse of each kind; what drives makes up for what the membrane loses until the next step."""


class Axon(NamedTuple):
    """One synapse of a cross-projection.

    Its cells are numbered among all; it says part by part of the modes' windows whether it transmits, and whether rules
    see it as ``cross``.
    """

    source: int
    target: int
    kind: str
    delay_s: float
    on: list[float]
    crosses: list[float]


def axons_of(layout: Layout, plan: Plan, name: str) -> list[Axon]:
    """Return the axons of a projection with a role; none between cells that are the same."""
    projection = plan.description.projections[name]
    if layout.shared(projection.target) or layout.shared(projection.source):
        return []
    size = plan.sizes[projection.target]
    given = projection.permutation
    order = range(size) if given is None else plan.coding.order(np.array(given, dtype=np.intp)).tolist()
    source, target = layout.cells(projection.source).start, layout.cells(projection.target).start
    found = []
    for role in all_roles(projection):
        modes = [plan.modes[part.mode] if role_in(projection, part.mode) == role else None for part in layout.parts]
        on = [float(mode is not None and name in plan.description.modes[mode.name].on) for mode in modes]
        crosses = [
            float(mode is not None and any(axons.name == name for axons in mode.cross.values())) for mode in modes
        ]
        if any(on):
            delay_s = projection.delay.s
            found += [Axon(source + j, target + i, role, delay_s, on, crosses) for i, j in enumerate(order)]
    return found


def comparing(layout: Layout) -> list[Axon]:
    """Return the axons that bring the signal that feedback cells of their own compare with a target."""
    modes = [layout.plan.modes[part.mode] for part in layout.parts]
    compared = {(s, t) for mode in modes for t, s in mode.compare.items() if not layout.shared(t)}
    found = []
    for source, target in sorted(compared):
        on = [float(mode.compare.get(target) == source) for mode in modes]
        start, off = (layout.cells(source).start, layout.cells(target).start), [0.0] * len(on)
        found += [Axon(start[0] + k, start[1] + k, "compare", 0.0, on, off) for k in range(layout.plan.sizes[target])]
    return found
