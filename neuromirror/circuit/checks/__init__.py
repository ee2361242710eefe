"""Checks of the circuit as a whole, each with a name, on an expanded description.

A check yields `Problem`s and stops at nothing, so that one look shows everything. Names that `validate` dropped are
known to be in trouble already: whatever points at them is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from neuromirror.circuit.checks.baselines import check_baselines
from neuromirror.circuit.checks.cells import check_cells, check_code, check_populations
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.checks.homeostasis import check_homeostasis, check_scaling
from neuromirror.circuit.checks.modes import COMPARE, check_mirroring, check_modes, check_reach
from neuromirror.circuit.checks.noise import check_noise
from neuromirror.circuit.checks.own_cells import check_own_cells
from neuromirror.circuit.checks.projections import check_mirrors, check_projections
from neuromirror.circuit.checks.protocol import check_schedule, check_stimulus, windows_in
from neuromirror.circuit.checks.rates import check_rates
from neuromirror.circuit.checks.rules import check_rules
from neuromirror.circuit.checks.unused import check_idle_forms, check_unused
from neuromirror.circuit.description import Description
from neuromirror.circuit.feedback import GATE
from neuromirror.circuit.templates import layers_cell
from neuromirror.errors import Problem, suggestion

__all__ = ["COMPARE", "check", "check_effects", "check_short_forms", "windows_in"]


_SECTIONS = (
    check_code,
    check_cells,
    check_own_cells,
    check_populations,
    check_projections,
    check_mirrors,
    check_rules,
    check_modes,
    check_noise,
    check_baselines,
    check_homeostasis,
    check_stimulus,
    check_schedule,
)


def check(
    circuit: Description,
    locate: Callable[[Path], tuple[str | None, int | None]],
    dropped: set[Path],
    original: Callable[[Path], Path],
    place: Callable[[Path], Path],
    raw: Description | None = None,
) -> Iterator[Problem]:
    """Yield every problem of an expanded description.

    Parameters
    ----------
    circuit : Description
        Expanded.
    locate : callable
        Gives file and line for a key path.
    dropped : set of key paths
        What was taken out as wrong in itself.
    original, place, raw
        See `neuromirror.circuit.checks.context.Context`.
    """
    context = Context(circuit, locate, dropped, original, place, raw)
    found = [problem for section in _SECTIONS for problem in section(context)]
    yield from found
    yield from check_rates(context)
    if not found and not dropped:  # what is missing may be missing because of another problem
        yield from check_mirroring(context)
        yield from check_scaling(context)
        yield from check_reach(context)


def check_effects(
    circuit: Description,
    expanded: Description,
    locate: Callable[[Path], tuple[str | None, int | None]],
    place: Callable[[Path], Path],
) -> Iterator[Problem]:
    """Yield what does nothing, in a circuit without other errors: a description before and after it is expanded."""
    yield from check_unused(Context(expanded, locate, set(), place=place, raw=circuit))
    yield from check_idle_forms(Context(circuit, locate, set()), expanded)


def check_short_forms(
    circuit: Description,
    expanded: Description,
    locate: Callable[[Path], tuple[str | None, int | None]],
    dropped: set[Path],
) -> Iterator[Problem]:
    """Yield the problems of the short forms themselves, on a description before and after it is expanded."""
    c, feedback = Context(circuit, locate, dropped), circuit.feedback
    for form, cell in (("layers", layers_cell(circuit)), ("feedback", feedback and feedback.cell)):
        if cell is not None:
            yield from c.missing("cells", cell, (form, "cell"), "cell")
    if circuit.mirroring is not None:
        for cell in circuit.mirroring.rule_for:
            yield from c.missing("cells", cell, ("mirroring", "rule_for", cell), "cell")
    if feedback is None:
        return
    forward = {name for name, population in expanded.populations.items() if population.path == "forward"}
    if not forward:
        if not any(path[0] in ("layers", "populations", "motifs", "use") for path in dropped):
            message = "this short form mirrors the forward path, and there is none. Add [layers] or populations."
            yield c.problem("no-layers", ("feedback",), message)
        return
    for name, mode in circuit.modes.items():
        if feedback.cross == "one" and {GATE, "@drive"} <= {*mode.on}:
            message = 'one set of axons either drives or gates in a mode. Leave one of "@drive" and "@gate" out.'
            yield c.problem("axon-roles", ("modes", name, "on"), message)
    known = [n for n, p in expanded.projections.items() if p.role == "synapse" and p.target in forward]
    for index, name in enumerate(feedback.skip):
        if name not in known and not c.lost(("projections", name)):
            message = f"there is no '{name}' whose B could be left out. {suggestion(name, known)}"
            yield c.problem("unknown-projection", ("feedback", "skip", index), message)
