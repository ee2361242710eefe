"""Lesions: a circuit without some of its populations or projections, and without all that then has no meaning."""

from __future__ import annotations

from collections.abc import Sequence

from neuromirror.circuit.axons import role_in
from neuromirror.circuit.checks import COMPARE
from neuromirror.circuit.description import Description, Mode, Projection
from neuromirror.circuit.rules import drive_of
from neuromirror.errors import RequestError, suggestion


def lesioned(description: Description, names: Sequence[str]) -> Description:
    """Return an expanded description without some populations and projections.

    With a population go those that share its cells, the projections from and to them, its noise, its input and its
    comparisons. A projection that is gone transmits and learns in no mode. A B whose W is gone stays as it begins, with
    nothing to mirror. What learned from an error or a forward signal that no longer arrives does not learn any more.

    Parameters
    ----------
    description : Description
        Expanded and checked.
    names : sequence of str
        Of populations or projections.

    Raises
    ------
    RequestError
        If there is nothing of a name, or no population is left.
    """
    known = {**description.populations, **description.projections}
    for name in names:
        if name not in known:
            raise RequestError(
                f"without {name}: there is no population or projection of that name. {suggestion(name, known)}"
            )
    populations = {
        name: p for name, p in description.populations.items() if name not in names and p.shares not in names
    }
    if not populations:
        raise RequestError("without all populations: nothing is left. Keep one of them.")
    projections = {
        name: projection
        for name, projection in description.projections.items()
        if name not in names and projection.source in populations and projection.target in populations
    }
    kept = {name: _with_mirror(projection, projections) for name, projection in projections.items()}
    less = description.model_copy(update={"populations": populations, "projections": kept})
    modes = {name: _mode(description, less, name, mode) for name, mode in description.modes.items()}
    return less.model_copy(update={"modes": modes})


def _with_mirror(projection: Projection, left: dict[str, Projection]) -> Projection:
    if projection.mirrors is None or projection.mirrors in left:
        return projection
    return projection.model_copy(update={"mirrors": None, "transport": "none"})


def _mode(before: Description, after: Description, key: str, mode: Mode) -> Mode:
    populations, on = after.populations, tuple(name for name in mode.on if name in after.projections)
    compare = {
        name: text
        for name, text in mode.compare.items()
        if name in populations and (match := COMPARE.fullmatch(text)) and match[1] in populations
    }
    learn = {
        name: rule
        for name, rule in mode.learn.items()
        if (name in after.projections or name.removesuffix(".bias") in populations)
        and _arriving(after, key, on, _target(before, name)) >= _needed(before, rule)
    }
    return mode.model_copy(
        update={
            "input": {name: source for name, source in mode.input.items() if name in populations},
            "noise": {name: noise for name, noise in mode.noise.items() if name in populations},
            "compare": compare,
            "on": on,
            "learn": learn,
        }
    )


def _target(description: Description, learner: str) -> str:
    projection = description.projections.get(learner)
    return learner.removesuffix(".bias") if projection is None else projection.target


def _needed(description: Description, rule: str) -> set[str]:
    """Return what a rule takes from other cells: ``error``, ``cross``."""
    described = description.rules[rule]
    return {"error", "cross"} & set(drive_of(described.drive, described.constants).names)


def _arriving(description: Description, mode: str, on: Sequence[str], target: str) -> set[str]:
    """Return what cross-projections that are on bring to a population in a mode."""
    brings = {"error": "error", "drive": "cross", "gate": "cross"}
    arriving = (description.projections[name] for name in on if description.projections[name].target == target)
    return {brings[role] for projection in arriving if (role := role_in(projection, mode)) in brings}
