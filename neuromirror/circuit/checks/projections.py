"""Checks of the projections, and of which B mirrors which W."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neuromirror.circuit.checks.connectors import check_connector
from neuromirror.circuit.checks.context import Context, Path, layers_of, paths_of
from neuromirror.circuit.description import Projection
from neuromirror.circuit.geometry import weights_of
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
        shapes = (c.circuit.populations[end].shape for end in (projection.source, projection.target))
        yield from _mask(c, path, projection, (target, source))
        yield from check_connector(c, path, projection, *shapes)
        total += weights_of(c.circuit, name) * c.circuit.code.cells_per_unit**2
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
    if projection.roles is not None and projection.role not in ("drive", "gate"):
        message = (
            f"a projection of the role '{projection.role}' does the same in all modes; only axons that drive or gate "
            'have roles by mode. Say role = "drive" (or "gate"), which holds in the other modes, or take the roles out.'
        )
        yield c.problem("axon-roles", (*path, "roles"), message)
    for mode in projection.roles or {}:
        yield from c.missing("modes", mode, (*path, "roles", mode), "mode")
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


def _mask(c: Context, path: Path, projection: Projection, shape: tuple[int, int]) -> Iterator[Problem]:
    if projection.mask is None:
        return
    where, entries = (*path, "mask"), projection.mask.numbers
    if projection.connector != "all_to_all":
        yield c.problem("mask", where, "only an all_to_all connector has a mask. Take it out.")
    elif entries.shape != shape:
        yield c.problem("wrong-shape", where, f"the mask is {entries.shape}. Expected (target, source) = {shape}.")
    elif (others := entries[(entries != 0) & (entries != 1)]).size:
        yield c.problem(
            "mask", where, f"found {others[0]:g}. Expected 1 where there is a synapse, 0 where there is none."
        )
    elif not entries.any():
        yield c.problem("mask", where, "there is no synapse at all. Take the projection out.")


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
        alike = ("connector", "kernel", "stride", "padding", "pool", "join")
        differ = [f for f in alike if getattr(projection, f) != getattr(forward, f)]
        if projection.role != "synapse" or forward.role != "synapse" or paths_of(ends) != ["feedback", "feedback"]:
            yield c.problem("wrong-mirror", (*path, "mirrors"), "feedback weights mirror forward weights.")
        elif layers_of(ends) != layers_of(opposite):
            yield c.problem(
                "wrong-mirror",
                (*path, "mirrors"),
                f"{name} leads from layer {layers_of(ends)[0]} to {layers_of(ends)[1]}, but {projection.mirrors} from "
                f"{layers_of(opposite)[1]} to {layers_of(opposite)[0]}. A B leads back where its W comes from.",
            )
        elif differ:
            message = (
                f"{name} differs from {projection.mirrors} in {', '.join(differ)}. A B has the connector of its W."
            )
            yield c.problem("wrong-mirror", (*path, differ[0]), message)
        elif [math.prod(p.shape) for p in ends if p] != [math.prod(p.shape) for p in opposite if p]:
            yield c.problem("wrong-mirror", (*path, "mirrors"), f"{name} has not the transposed shape of its W.")
