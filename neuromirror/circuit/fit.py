"""A circuit for other images: with another number of input channels, another size of image, other classes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import networkx as nx

from neuromirror.circuit.description import Description, Population, Projection
from neuromirror.circuit.geometry import Shape, output_shape
from neuromirror.errors import RequestError


def fitted(
    description: Description,
    *,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    classes: int | None = None,
) -> Description:
    """Return an expanded description whose populations are as large as the images and their classes ask for.

    Parameters
    ----------
    description : Description
        With one forward population that nothing projects to, the input, and one that projects nowhere, the output.
    channels, size, classes
        Channels of the input, its rows and columns, and cells of the output; as the file has them where left out.

    Raises
    ------
    RequestError
        If a number is less than one, the circuit has more ends than one, or an image is too small for a kernel.

    Notes
    -----
    A pool over its whole source stays one. An input of one axis, (cells,), keeps its size.
    """
    for what, numbers in (("channels", [channels]), ("size", size or []), ("classes", [classes])):
        if any(number is not None and number < 1 for number in numbers):
            raise RequestError(f"{what} {', '.join(map(str, numbers))}: expected whole numbers, at least 1.")
    path = forward_path(description)
    below, above, order = ends(path)
    shapes = {name: p.shape for name, p in description.populations.items() if p.path == "forward"}
    pools, changed = dict[str, Projection](), dict(shapes)
    if len(shapes[below]) == 3:
        changed[below] = (channels or shapes[below][0], *(size or shapes[below][1:]))
    for name in order[1:]:
        for key, p in path.items():
            if p.target == name:
                pools[key] = _whole(p, shapes, changed)
                changed[name] = _made(name, key, pools[key], changed)
    if classes is not None:
        changed[above] = (classes,)
    kernels = {p.mirrors: name for name, p in description.projections.items() if p.connector == "pool"}
    back = {kernels[key]: pool.kernel for key, pool in pools.items() if key in kernels}
    return description.model_copy(
        update={
            "populations": _resized(description, changed),
            "projections": {
                name: p.model_copy(update={"kernel": back[name]}) if name in back else pools.get(name, p)
                for name, p in description.projections.items()
            },
        }
    )


def forward_path(description: Description) -> dict[str, Projection]:
    """Return the projections that carry forward signals, by name."""
    forward = {name for name, population in description.populations.items() if population.path == "forward"}
    return {n: p for n, p in description.projections.items() if p.role == "synapse" and p.target in forward}


def ends(path: Mapping[str, Projection]) -> tuple[str, str, list[str]]:
    """Return the input of a forward path, its output, and all its populations in the order that signals reach them.

    Raises
    ------
    RequestError
        If it has not one of each.
    """
    graph = nx.DiGraph((p.source, p.target) for p in path.values())
    order = list(nx.lexicographical_topological_sort(graph))
    found = [[n for n in order if not degree(n)] for degree in (graph.in_degree, graph.out_degree)]
    for what, names in zip(("input", "output"), found, strict=True):
        if len(names) != 1:
            message = f"networks of torch have one {what}, but this circuit has {', '.join(names) or 'none'}."
            raise RequestError(f"{message} Leave the others out.")
    return found[0][0], found[1][0], [found[0][0], *(name for name in order if name != found[0][0])]


def _whole(p: Projection, before: Mapping[str, Shape], after: Mapping[str, Shape]) -> Projection:
    """Return a pool over all of its source as one of the source's new size, and other projections as they are."""
    old, new = before[p.source], after[p.source]
    if p.connector == "pool" and p.kernel == old[1:] and not p.padding:
        return p.model_copy(update={"kernel": new[1:]})
    return p


def _made(name: str, key: str, p: Projection, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of a population by one of the projections to it."""
    own, source = shapes[name], shapes[p.source]
    if p.connector == "shortcut":
        return source
    if p.connector not in ("conv", "local", "pool"):
        return own
    made = output_shape(p, source)
    if made is None:
        raise RequestError(
            f"projections.{key}: its kernel does not fit into {source[1]}×{source[2]}. Use larger images."
        )
    return made if p.connector == "pool" else (own[0], *made[1:])


def _resized(description: Description, shapes: Mapping[str, Shape]) -> dict[str, Population]:
    """Return all populations, those of the feedback path as large as what a cross-projection brings them."""
    across = {
        p.target: shapes[p.source]
        for p in description.projections.values()
        if p.connector == "one_to_one" and p.source in shapes and p.target not in shapes
    }
    sizes = {**across, **shapes}
    return {
        name: population.model_copy(update={"shape": sizes[name]}) if name in sizes else population
        for name, population in description.populations.items()
    }


def flat_side(cells: int, channels: int) -> int | None:
    """Return the side of the square images that an input of (cells,) takes, or None if none fill it."""
    side = math.isqrt(cells // channels)
    return side if side * side * channels == cells else None
