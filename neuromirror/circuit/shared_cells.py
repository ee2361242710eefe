"""What spiking cells can do that carry both signals, forward and feedback (8.1).

Asleep a feedback cell fires as the forward cell does, so that one cell can be both. Awake they fire differently, and
the cells take turns; see `neuromirror.circuit.turns`.
"""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.axons import in_role
from neuromirror.circuit.checks.context import Context
from neuromirror.circuit.description import Mode, Population
from neuromirror.circuit.templates import flat
from neuromirror.circuit.turns import turning
from neuromirror.errors import Problem


def shared_cells(c: Context) -> Iterator[Problem]:
    """Yield what of a circuit cells that are shared cannot do when spiking."""
    shared = {name: p for name, p in c.circuit.populations.items() if p.shares in c.circuit.populations}
    for name, population in shared.items():
        yield from _one_kind(c, name, population)
    scheduled = {step.mode for step in flat(c.circuit.schedule)}
    for name, mode in c.circuit.modes.items():
        if name in scheduled:
            yield from turning(c, name, mode)
            yield from _copies(c, name, mode, shared)


def _one_kind(c: Context, name: str, population: Population) -> Iterator[Problem]:
    owner = c.circuit.populations[population.shares or ""]
    if population.cell != owner.cell or population.parameters is not None:
        message = f"its cells are those of {population.shares}. Give both the same cell, and parameters there."
        yield c.problem("shared-kind", ("populations", name), message)


def _copies(c: Context, mode_name: str, mode: Mode, shared: dict[str, Population]) -> Iterator[Problem]:
    """Report drive projections that do not bring shared cells exactly what they fire themselves."""
    for name, projection in in_role(c.circuit, mode_name, mode, "drive").items():
        if projection.target not in shared:
            continue
        place, own = ("projections", name), shared[projection.target].shares
        if projection.source != own:
            message = f"the cells of {projection.target} are those of {own}, and fire as {own} does. Take it out."
            yield c.problem("shared-drive", (*place, "source"), message)
        elif projection.delay.s or list(projection.permutation or ()) != sorted(projection.permutation or ()):
            what = "delay" if projection.delay.s else "permutation"
            message = f"{projection.target} and {own} are the same cells, and no axon is between. Take the {what} out."
            yield c.problem("shared-drive", (*place, what), message)
