"""Checks of connectors: which fields each has, and whether the shapes of its ends fit."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neuromirror.circuit.checks.cells import init
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Projection
from neuromirror.circuit.geometry import WEIGHTED, WINDOWED, Shape, output_shape, weight_shape
from neuromirror.errors import Problem

_FIELDS = {
    "kernel": (None, WINDOWED),
    "stride": (1, WINDOWED),
    "padding": (0, WINDOWED),
    "groups": (1, ("conv",)),
    "pool": (None, ("pool",)),
    "join": (None, ("shortcut",)),
    "permutation": (None, ("one_to_one",)),
}
"""Fields that only some connectors have, with the value that they have where nothing is said."""


def check_connector(c: Context, path: Path, projection: Projection, source: Shape, target: Shape) -> Iterator[Problem]:
    """Yield the problems of one projection between two shapes."""
    connector = projection.connector
    yield from _fields(c, path, projection)
    if projection.role != "synapse":
        if connector != "one_to_one":
            yield c.problem("cross-connector", (*path, "connector"), "cross-projections are one_to_one.")
        else:
            yield from _one_to_one(c, path, projection, source, target)
        return
    if connector == "one_to_one":
        message = "weights of a one_to_one connector are not built yet. Use all_to_all, or a shortcut without weights."
        yield c.problem("not-built", (*path, "connector"), message)
        return
    if connector in WINDOWED:
        yield from _windowed(c, path, projection, source, target)
    if connector == "shortcut":
        yield from _shortcut(c, path, projection, source, target)
    if connector in WEIGHTED:
        yield from _weights(c, path, projection, source, target)
    elif projection.weight is not None:
        message = f"a {connector} passes the signal on and has no weights. Take the weight out."
        yield c.problem("unused-weight", (*path, "weight"), message)


def _fields(c: Context, path: Path, projection: Projection) -> Iterator[Problem]:
    for name, (unsaid, connectors) in _FIELDS.items():
        if getattr(projection, name) != unsaid and projection.connector not in connectors:
            known = ", ".join(connectors)
            problem = "permutation" if name == "permutation" else "connector-field"
            message = f"a connector '{projection.connector}' has no {name}; it is for {known}. Take it out."
            yield c.problem(problem, (*path, name), message)
    if projection.groups != 1 and projection.connector == "conv":
        message = "convolutions in groups are not built. Use groups = 1, or several projections."
        yield c.problem("not-built", (*path, "groups"), message)


def _windowed(c: Context, path: Path, projection: Projection, source: Shape, target: Shape) -> Iterator[Problem]:
    if projection.connector == "pool" and projection.pool is None and not c.lost((*path, "pool")):
        yield c.problem("connector-field", path, 'a pool needs pool = "max" or "average".')
    if projection.kernel is None:
        if not c.lost((*path, "kernel")):
            yield c.problem("connector-field", path, f"a {projection.connector} needs its kernel, such as kernel = 3.")
        return
    lower, upper = (target, source) if projection.mirrors is not None else (source, target)
    for end, shape in ((projection.source, source), (projection.target, target)):
        if len(shape) != 3:
            message = f"{end} has shape {shape}. A {projection.connector} needs (channels, height, width)."
            yield c.problem("wrong-shape", path, message)
            return
    made = output_shape(projection, lower)
    size = "×".join(map(str, projection.kernel))
    if made is None:
        message = f"a kernel of {size} does not fit into {lower[1]}×{lower[2]} with padding {projection.padding}."
        yield c.problem("wrong-shape", (*path, "kernel"), message)
        return
    expected = made if projection.connector == "pool" else (upper[0], *made[1:])
    if expected != upper:
        where = projection.source if projection.mirrors is not None else projection.target
        message = (
            f"a kernel of {size} with stride {projection.stride} and padding {projection.padding} makes {expected} of "
            f"{lower}, but {where} has {upper}."
        )
        yield c.problem("wrong-shape", path, message)


def _shortcut(c: Context, path: Path, projection: Projection, source: Shape, target: Shape) -> Iterator[Problem]:
    if projection.join is None and not c.lost((*path, "join")):
        message = 'a shortcut needs join = "before" or "after": where it meets the nonlinearity of its target.'
        yield c.problem("connector-field", path, message)
    if source != target:
        message = (
            f"a shortcut, but source {projection.source} has shape {source} and target {projection.target} {target}."
        )
        yield c.problem("wrong-shape", path, message)


def _weights(c: Context, path: Path, projection: Projection, source: Shape, target: Shape) -> Iterator[Problem]:
    connector, weight = projection.connector, projection.weight
    if weight is None:
        if not c.lost((*path, "weight")):
            message = f"a connector '{connector}' needs weight = {{ init = \"normal\", gain = 1.0 }}."
            yield c.problem("no-weight", path, message)
        return
    values = weight.values
    if connector == "all_to_all" and weight.init == "values" and values is not None:
        shape, found = (math.prod(target), math.prod(source)), values.shape
        if found != shape:
            yield c.problem(
                "wrong-shape",
                path,
                f"weights are {found}, but source {projection.source} has {shape[1]} cells and target "
                f"{projection.target} has {shape[0]}. Expected (target, source) = {shape}.",
            )
    elif connector != "all_to_all" and weight.init == "values":
        message = f'weights of a {connector} begin as init = "normal" or "constant".'
        yield c.problem("not-built", (*path, "weight", "init"), message)
    else:
        yield from init(c, weight, (*path, "weight"), weight_shape(projection, source, target) or ())


def _one_to_one(c: Context, path: Path, projection: Projection, source: Shape, target: Shape) -> Iterator[Problem]:
    if projection.weight is not None:
        yield c.problem("unused-weight", (*path, "weight"), "a cross-projection copies and has no weight. Take it out.")
    cells, own = math.prod(source), math.prod(target)
    if cells != own:
        yield c.problem(
            "wrong-shape",
            path,
            f"one_to_one, but source {projection.source} has {cells} cells and target {projection.target} {own}.",
        )
    permutation = projection.permutation
    if permutation is not None and (len(permutation) != own or sorted(permutation) != list(range(own))):
        yield c.problem(
            "permutation",
            (*path, "permutation"),
            f"expected each of the source's cells 0 to {own - 1} once, in the order of the target's cells.",
        )
