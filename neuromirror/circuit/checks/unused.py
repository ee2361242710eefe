"""Checks for values that do nothing: in the long form, in short forms and in motifs.

A short form makes parts that the file does not state itself, so that ``layers.sizes`` says nothing where the file has
all its populations. Each value of a short form is tried: if the circuit is the same without it, it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neuromirror.circuit import templates
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Description, Motif
from neuromirror.circuit.feedback import feedback_path
from neuromirror.circuit.mirroring import with_mirroring
from neuromirror.circuit.model import Model
from neuromirror.circuit.unused import unused
from neuromirror.errors import Problem

LONG_FORMS: dict[str, dict[str, tuple[str, str, str]]] = {
    "layers": {
        "sizes": ("populations", "y", "shape"),
        "cell": ("populations", "y", "cell"),
        "weight": ("projections", "W", "weight"),
        "bias": ("populations", "y", "bias"),
    },
    "feedback": {
        "distinct": ("populations", "d", "shares"),
        "skip": ("projections", "B", "mirrors"),
        "cell": ("populations", "d", "cell"),
        "weight": ("projections", "B", "weight"),
        "cross": ("projections", "x", "role"),
        "cross_delay": ("projections", "x", "delay"),
        "transport": ("projections", "B", "transport"),
    },
    "mirroring": {
        "turns": ("modes", "mirror", "noise"),
        "own_input": ("modes", "mirror", "on"),
        "rule": ("modes", "mirror", "learn"),
        "rule_for": ("modes", "mirror", "learn"),
        "noise": ("modes", "mirror", "noise"),
        "bias": ("modes", "mirror", "bias"),
        "window": ("modes", "mirror", "window"),
        "signal": ("modes", "mirror", "signal"),
    },
}
"""Where the long form has what a field of a short form says.

The section, how the names of the parts that the short form makes there begin, and the field of each.
"""


NO_NAME = "no name"
"""What nothing in a file is called."""


def check_unused(c: Context) -> Iterator[Problem]:
    """Refuse the values of the long form that no simulator reads."""
    for value in unused(c.circuit):
        if not c.lost(value.path):
            yield c.problem("unused-value", value.path, f"does nothing here: {value.why}")


def check_idle_forms(c: Context, expanded: Description) -> Iterator[Problem]:
    """Refuse the values of short forms without which the circuit is the same.

    Parameters
    ----------
    c : Context
        Of the description as it was loaded.
    expanded : Description
    """
    for form in LONG_FORMS:
        table = getattr(c.circuit, form)
        if table is None:
            continue
        if not (table.model_fields_set or _stated(c.circuit, form)):
            continue
        if templates.expand(c.circuit.model_copy(update={form: None})) == expanded:
            yield c.problem("idle-form", (form,), f"this table does nothing: {_why(c.circuit, form)}")
            continue
        for path, without in _removals((form,), table):
            if templates.expand(c.circuit.model_copy(update={form: without})) == expanded:
                yield c.problem("idle-value", path, f"does nothing here: {_why(c.circuit, form, str(path[1]))}")
        if form == "layers":
            yield from _sizes(c)
    yield from _motifs(c)


def _removals(path: Path, table: Model) -> Iterator[tuple[Path, Model]]:
    """Yield the values that a table states and that are not so by default, with the table without each.

    A name that is not said is often found in another way, so that there is another name in its place.
    """
    for name in type(table).model_fields:
        value, info = getattr(table, name), type(table).model_fields[name]
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        if info.is_required() or value == default or name not in table.model_fields_set:
            continue
        if isinstance(value, dict):
            parts: list[tuple[Path, Any]] = [((name, key), {**value, key: NO_NAME}) for key in value]
        elif name == "skip":
            parts = [((name, k), value[:k] + value[k + 1 :]) for k in range(len(value))]
        elif isinstance(value, Model) and isinstance(default, Model):
            parts = [(below, inner) for below, inner in _removals((name,), value)]
        else:
            parts = [((name,), NO_NAME if default is None and isinstance(value, str) else default)]
        for below, less in parts:
            yield (*path, *below), table.model_copy(update={name: less})


def _why(description: Description, form: str, field: str | None = None) -> str:
    """Return which parts of the file stand in the way of a short form, and what to set instead."""
    stated = _stated(description, form)
    fields = getattr(description, form).model_fields_set if field is None else {field}
    for section, begins, long_field in (long for name, long in LONG_FORMS[form].items() if name in fields):
        names = [name for name in stated.get(section, ()) if name.startswith(begins)]
        if names:
            shown = names if field is not None else [name for part in stated.values() for name in part]
            more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
            instead = f"{section}.{names[0]}.{long_field}"
            return f"the file states {', '.join(shown[:6])}{more} itself. Set {instead} instead, or take this out."
    return "nothing that this short form makes depends on it. Take it out."


def _stated(description: Description, form: str) -> dict[str, list[str]]:
    """Return, by section, the names under which a short form would make parts that the file has itself."""
    bare = templates.expand(description.model_copy(update={"feedback": None, "mirroring": None}))
    if form == "layers":
        made: dict[str, Any] = dict(zip(("populations", "projections"), templates.forward_of(description), strict=True))
    elif form == "feedback" and description.feedback is not None:
        whole_path = description.feedback.model_copy(update={"skip": ()})
        parts = feedback_path(whole_path, bare.populations, bare.projections, description.modes)
        made = dict(zip(("populations", "projections"), parts, strict=True))
    else:
        whole = templates.expand(description.model_copy(update={"mirroring": None}))
        made = {
            "modes": with_mirroring(whole.model_copy(update={"mirroring": description.mirroring, "modes": {}})).modes
        }
    return {
        section: named
        for section, names in made.items()
        if (named := sorted(name for name in names if name in getattr(description, section)))
    }


def _sizes(c: Context) -> Iterator[Problem]:
    """Refuse a size of a layer that the file states otherwise."""
    layers = c.circuit.layers
    for index, size in enumerate(() if layers is None else layers.sizes):
        stated = c.size(f"y{index}")
        if stated is not None and stated != size:
            message = f"the file states y{index} itself, with {stated} cells. Write {stated}, or change y{index} there."
            yield c.problem("idle-size", ("layers", "sizes", index), message)


def _motifs(c: Context) -> Iterator[Problem]:
    """Refuse motifs that are not used, and what of a motif or its use does nothing."""
    used = {use.motif for use in c.circuit.use}
    for name, motif in c.circuit.motifs.items():
        path: Path = ("motifs", name)
        if name not in used and ("use",) not in {gone[:1] for gone in c.dropped}:
            message = 'nothing uses this motif. Take it out, or add [[use]] with motif = "{name}".'
            yield c.problem("idle-motif", path, message.replace("{name}", name))
        for parameter in motif.parameters:
            if f"${parameter}" not in _texts([motif.populations, motif.projections]):
                message = f'nothing in the motif is "${parameter}". Take it out.'
                yield c.problem("idle-motif", (*path, "parameters", parameter), message)
        yield from _inputs(c, path, motif)
    for index, use in enumerate(c.circuit.use):
        if use.first and use.repeat == 1:
            message = "a single use has no number. Take it out, or add repeat."
            yield c.problem("idle-motif", ("use", index, "first"), message)


def _inputs(c: Context, path: Path, motif: Motif) -> Iterator[Problem]:
    ends = _texts([{end: p.get(end) for end in ("source", "target")} for p in motif.projections.values()])
    for index, name in enumerate(motif.inputs):
        if index and name not in ends:  # layers count from the first
            message = f"no projection of the motif comes from '{name}' or leads there. Take it out."
            yield c.problem("idle-motif", (*path, "inputs", index), message)


def _texts(value: Any) -> set[str]:
    """Return all texts in nested tables and lists."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return {text for one in inside for text in _texts(one)}
    return {value} if isinstance(value, str) else set()
