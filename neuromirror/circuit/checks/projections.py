"""Checks of the projections, and of which B mirrors which W."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neuromirror.circuit.checks.cells import init
from neuromirror.circuit.checks.context import Context, Path, layers_of, paths_of
from neuromirror.circuit.description import Projection
from neuromirror.errors import Problem

MAX_WEIGHTS = 2**31


def check_projections(c: Context) -> Iterator[Problem]:
    total = 0
    for name, projection in c.circuit.projections.items():
        path: Path = ("projections", name)
        yield from c.named(path)
        for end in ("source", "target"):
            yield from c.missing("populations", getattr(projection, end), (*path, end), "population")
        source, target = c.size(projection.source), c.size(projection.target)
        if source is None or target is None:
            continue
        if c.lost((*path, "role")):
            continue
        yield from _ends(c, path, projection)
        if projection.connector == "all_to_all":
            total += source * target
            yield from _all_to_all(c, path, projection, (target, source))
        else:
            yield from _one_to_one(c, path, projection, source, target)
    if total > MAX_WEIGHTS:
        yield c.problem("too-large", ("projections",), f"{total} weights in all; at most {MAX_WEIGHTS} are simulated.")


_ENDS = {
    "drive": ("forward", "feedback", "eq. 6"),
    "gate": ("forward", "feedback", "eq. 3"),
    "error": ("feedback", "forward", "eq. 4"),
}


def _ends(c: Context, path: Path, projection: Projection) -> Iterator[Problem]:
    source = c.circuit.populations[projection.source]
    target = c.circuit.populations[projection.target]
    if projection.role != "synapse":
        wanted = _ENDS[projection.role]
        if (source.path, target.path) != wanted[:2]:
            yield c.problem(
                "wrong-path",
                (*path, "role"),
                f"a '{projection.role}' projection goes from the {wanted[0]} to the {wanted[1]} path ({wanted[2]}); "
                f"this one goes from {source.path} to {target.path}.",
            )
    elif source.path != target.path:
        yield c.problem(
            "wrong-path",
            path,
            f"weights connect cells of one path; {projection.source} is {source.path} and {projection.target} is "
            f"{target.path}. Give a cross-projection its role: drive, gate or error.",
        )


def _all_to_all(c: Context, path: Path, projection: Projection, shape: tuple[int, int]) -> Iterator[Problem]:
    if projection.role != "synapse":
        yield c.problem("cross-connector", (*path, "connector"), "cross-projections are one_to_one.")
        return
    if projection.permutation is not None:
        yield c.problem("permutation", (*path, "permutation"), "only a one_to_one connector has a permutation.")
    if projection.weight is None:
        yield c.problem("no-weight", path, 'an all_to_all connector needs weight = { init = "normal", gain = 1.0 }.')
        return
    rows = projection.weight.values
    if projection.weight.init == "values" and rows is not None:
        found = (len(rows), len(rows[0]) if isinstance(rows[0], tuple) else 0)
        if found != shape:
            yield c.problem(
                "wrong-shape",
                path,
                f"weights are {found}, but source {projection.source} has {shape[1]} cells and target "
                f"{projection.target} has {shape[0]}. Expected (target, source) = {shape}.",
            )
    else:
        yield from init(c, projection.weight, (*path, "weight"), shape)


def _one_to_one(c: Context, path: Path, projection: Projection, source: int, target: int) -> Iterator[Problem]:
    if projection.role == "synapse":
        yield c.problem(
            "not-built", (*path, "connector"), "weights of a one_to_one connector are not built yet. Use all_to_all."
        )
    if projection.weight is not None:
        yield c.problem("unused-weight", (*path, "weight"), "a cross-projection copies and has no weight. Take it out.")
    if source != target:
        yield c.problem(
            "wrong-shape",
            path,
            f"one_to_one, but source {projection.source} has {source} cells and target {projection.target} {target}.",
        )
    permutation = projection.permutation
    if permutation is not None and (len(permutation) != target or sorted(permutation) != list(range(target))):
        yield c.problem(
            "permutation",
            (*path, "permutation"),
            f"expected each of the source's cells 0 to {target - 1} once, in the order of the target's cells.",
        )


def check_mirrors(c: Context) -> Iterator[Problem]:
    mirrored: dict[str, str] = {}
    for name, projection in c.circuit.projections.items():
        path: Path = ("projections", name)
        if projection.mirrors is None:
            if projection.transport != "none":
                yield c.problem("transport", (*path, "transport"), 'what to transport is not said. Add mirrors = "W…".')
            continue
        yield from c.missing("projections", projection.mirrors, (*path, "mirrors"), "projection")
        forward = c.circuit.projections.get(projection.mirrors)
        if forward is None:
            continue
        first = mirrored.setdefault(projection.mirrors, name)
        if first != name:
            yield c.problem("mirrored-twice", (*path, "mirrors"), f"{first} mirrors {projection.mirrors} already.")
        ends = [c.circuit.populations.get(p) for p in (projection.source, projection.target)]
        opposite = [c.circuit.populations.get(p) for p in (forward.target, forward.source)]
        if None in ends or None in opposite:
            continue
        if projection.role != "synapse" or forward.role != "synapse" or paths_of(ends) != ["feedback", "feedback"]:
            yield c.problem("wrong-mirror", (*path, "mirrors"), "feedback weights mirror forward weights.")
        elif layers_of(ends) != layers_of(opposite):
            yield c.problem(
                "wrong-mirror",
                (*path, "mirrors"),
                f"{name} leads from layer {layers_of(ends)[0]} to {layers_of(ends)[1]}, but {projection.mirrors} from "
                f"{layers_of(opposite)[1]} to {layers_of(opposite)[0]}. A B leads back where its W comes from.",
            )
        elif [math.prod(p.shape) for p in ends if p] != [math.prod(p.shape) for p in opposite if p]:
            yield c.problem("wrong-mirror", (*path, "mirrors"), f"{name} has not the transposed shape of its W.")
