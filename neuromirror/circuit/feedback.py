"""The short form ``[feedback]``: for every forward population its feedback cells, for every W its B.

Names follow those of the forward path: y1 has d1, W1 has B1, and the cross-projections are x1, g1 and e1; there is no
g1 where one set of axons, x1, drives and gates. Other names get d_, B_, x_, g_ and e_ in front; in the names that a
motif makes, a last part that begins with W has a B there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from neuromirror.circuit.description import Feedback, Mode, Population, Projection
from neuromirror.circuit.geometry import WEIGHTED
from neuromirror.errors import choice
from neuromirror.units import Quantity

Populations = dict[str, Population]
Projections = dict[str, Projection]


def counterpart(name: str, letter: str) -> str:
    """Return the name of what belongs to a forward population or projection, such as ``d1`` for ``y1``."""
    if match := re.fullmatch(r"[yW](\d+)", name):
        return f"{letter}{match[1]}"
    if letter == "B" and (match := re.fullmatch(r"((?:.*_)?)W([^_]*)", name)):
        return f"{match[1]}B{match[2]}"
    return f"{letter}_{name}"


GATE = "@gate"
"""What a mode has on in which one set of axons gates."""


def feedback_path(
    feedback: Feedback, populations: Populations, projections: Projections, modes: Mapping[str, Mode]
) -> tuple[Populations, Projections]:
    """Return the feedback populations of a forward path, and its feedback and cross-projections.

    Parameters
    ----------
    feedback : Feedback
    populations, projections : dict
        Those of the forward path; others are passed over.
    modes : mapping of str to Mode
        As the file states them, groups not yet written out.
    """
    forward = {name: p for name, p in populations.items() if p.path == "forward"}
    upward = {
        name: p
        for name, p in projections.items()
        if p.role == "synapse" and p.source in forward and p.target in forward
    }
    mirrored = {name: p for name, p in upward.items() if name not in feedback.skip}
    targets = {p.target for p in upward.values()}
    needed = [name for name in forward if name in targets | {p.source for p in mirrored.values()}]
    cells = {
        counterpart(name, "d"): Population(
            path="feedback",
            layer=forward[name].layer,
            shape=forward[name].shape,
            cell=feedback.cell or forward[name].cell,
            shares=None if feedback.distinct else name,
        )
        for name in needed
    }
    made = {counterpart(name, "B"): _back(feedback, name, projection) for name, projection in mirrored.items()}
    one_set = choice("feedback.cross", feedback.cross, "two", "one") == "one"
    gating = {key: "gate" for key, mode in modes.items() if GATE in mode.on and one_set}
    top = max((forward[name].layer for name in needed), default=0)
    for name in needed:
        y, d = name, counterpart(name, "d")
        delay = Quantity(feedback.cross_delay.si * (top - forward[name].layer), "time")
        made[counterpart(name, "x")] = _across(y, d, "drive", delay=delay, roles=gating or None)
        if not one_set:
            made[counterpart(name, "g")] = _across(y, d, "gate")
        if name in targets:
            made[counterpart(name, "e")] = _across(d, y, "error")
    return cells, made


def _back(feedback: Feedback, name: str, projection: Projection) -> Projection:
    """Return the projection that leads back where another comes from."""
    weighted = projection.connector in WEIGHTED
    return projection.model_copy(
        update={
            "source": counterpart(projection.target, "d"),
            "target": counterpart(projection.source, "d"),
            "weight": feedback.weight if weighted else None,
            "permutation": None,
            "delay": Quantity(0.0, "time"),
            "mirrors": name,
            "transport": feedback.transport if weighted else "none",
        }
    )


def _across(source: str, target: str, role: str, **more: object) -> Projection:
    said = {"source": source, "target": target, "connector": "one_to_one", "role": role}
    return Projection.model_validate({**said, **more})
