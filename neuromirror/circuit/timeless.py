"""What of a circuit rates would pass over in silence: they know no time within an example, and so no delays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from neuromirror.circuit.axons import in_role
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Description, Mode
from neuromirror.errors import Problem

Locate = Callable[[Path], tuple[str | None, int | None]]


def timeless_problems(description: Description, locate: Locate) -> list[Problem]:
    """Return every B that would mirror as rates, and not in spikes, where what it joins is of different times.

    Axons of different length may differ by some milliseconds, which make no difference to a layer that settles. A
    difference of half of ``time.settle`` or more is meant.
    """
    c = Context(description, locate, set())
    return [problem for name, mode in description.modes.items() for problem in _shifted(c, name, mode)]


def _shifted(c: Context, mode_name: str, mode: Mode) -> Iterator[Problem]:
    drives = {p.target: (name, p.delay) for name, p in in_role(c.circuit, mode_name, mode, "drive").items()}
    for learner in mode.learn:
        projection = c.circuit.projections.get(learner)
        if projection is None or not {projection.source, projection.target} <= drives.keys():
            continue
        (upper, late), (lower, soon) = drives[projection.source], drives[projection.target]
        if c.circuit.time.settle.s and abs(late.s - soon.s) >= c.circuit.time.settle.s / 2:
            message = (
                f"delays of {late} of {upper} and {soon} of {lower} let {learner} join signals of different times, and "
                "rates have no time. Use --backend brian2, or delays that differ by less than half of time.settle."
            )
            yield c.problem("shifted-signals", ("projections", upper, "delay"), message)
