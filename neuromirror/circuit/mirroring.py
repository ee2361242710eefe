"""The short form ``[mirroring]``: the modes in which every B learns, by each of the schedules of section 8.5."""

from __future__ import annotations

from neuromirror.circuit.axons import role_in
from neuromirror.circuit.description import Description, Mirroring, Mode
from neuromirror.circuit.fit import forward_path
from neuromirror.circuit.protocol import Item, Repeat, Step
from neuromirror.errors import choice

NAME = "mirroring"
"""What steps of the schedule name: all modes of the short form, one after the other, each as long as the step says."""


def with_mirroring(description: Description) -> Description:
    """Replace ``mirroring`` by modes, and the steps that name it by one of each."""
    mirroring = description.mirroring
    if mirroring is None:
        return description
    modes = {
        name: _mode(description, mirroring, name, noisy, everything=everything)
        for name, (noisy, everything) in _turns(description, mirroring).items()
    }
    schedule = tuple(_written_out(item, list(modes)) for item in description.schedule)
    return description.model_copy(
        update={"mirroring": None, "modes": {**modes, **description.modes}, "schedule": schedule}
    )


def _turns(description: Description, mirroring: Mirroring) -> dict[str, tuple[list[str], bool]]:
    """Return by mode the populations that are noisy, and whether signals run through the whole forward path."""
    sources = {
        description.projections[p.mirrors].source
        for p in description.projections.values()
        if p.weight is not None and p.mirrors in description.projections
    }
    layers = {name: description.populations[name].layer for name in sources if name in description.populations}
    ordered = sorted(layers, key=lambda name: (layers[name], name))
    match mirroring.turns:
        case "each":
            return {f"mirror_{name}": ([name], False) for name in ordered}
        case "alternate":
            halves = {"even": [n for n in ordered if layers[n] % 2 == 0], "odd": [n for n in ordered if layers[n] % 2]}
            return {f"mirror_{half}": (noisy, False) for half, noisy in halves.items() if noisy}
        case "together":
            return {"mirror_all": (ordered, True)}
    choice("mirroring.turns", mirroring.turns, "single")
    return {"mirror_single": (ordered[:1], True)}


def _mode(description: Description, mirroring: Mirroring, mode: str, noisy: list[str], *, everything: bool) -> Mode:
    """Return the mode in which some populations are noisy, and the B above them (or all) learn."""
    projections = description.projections
    forward = list(forward_path(description))
    taught = [w for w in forward if everything or (projections[w].source in noisy and projections[w].weight)]
    drives_on = choice("mirroring.own_input", mirroring.own_input, "off", "on") == "on"
    driving = [w for w in forward if drives_on and projections[w].target in noisy]
    on = [name for name in forward if name in (*taught, *driving)]
    learn = [b for b, p in projections.items() if p.weight is not None and p.mirrors in taught]
    ends = {end for b in learn for end in (projections[b].source, projections[b].target)}
    drives = [name for name, p in projections.items() if role_in(p, mode) == "drive" and p.target in ends]
    return Mode(
        noise={name: mirroring.noise for name in noisy},
        on=(*on, *drives),
        learn={b: _rule(description, mirroring, b) for b in learn},
        bias=mirroring.bias,
        window=mirroring.window,
        signal=mirroring.signal,
    )


def _rule(description: Description, mirroring: Mirroring, b: str) -> str:
    """Return the rule that teaches a B: that for the kind of cell that its W leads to, or the common one."""
    upper = description.projections[description.projections[b].mirrors or ""].target
    kind = description.populations[upper].cell if upper in description.populations else ""
    return mirroring.rule_for.get(kind, mirroring.rule)


def _written_out(item: Item, modes: list[str]) -> Item:
    if isinstance(item, Repeat):
        return item.model_copy(update={"steps": tuple(_written_out(step, modes) for step in item.steps)})
    if item.mode != NAME or not modes:
        return item
    return Repeat(repeat=1, steps=tuple(Step(mode=m, duration=item.duration, examples=item.examples) for m in modes))
