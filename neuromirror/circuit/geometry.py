"""Sizes and shapes: what a connector makes of its source, the shape of its weights, and the number of parameters."""

from __future__ import annotations

import math

from neuromirror.circuit.description import Description, Population, Projection
from neuromirror.errors import choice

Shape = tuple[int, ...]
WINDOWED = ("conv", "local", "pool")
"""Connectors with a kernel that moves over the source."""
WEIGHTED = ("all_to_all", "conv", "local")


def output_shape(projection: Projection, source: Shape) -> Shape | None:
    """Return the shape that a windowed connector makes of its source, channels of a ``pool`` only.

    Parameters
    ----------
    projection : Projection
        With ``kernel``, ``stride`` and ``padding``.
    source : tuple of int
        (channels, height, width).

    Returns
    -------
    tuple of int or None
        (channels, height, width), with as many channels as the source has; None where the kernel does not fit.
    """
    if projection.kernel is None or len(source) != 3:
        return None
    sides = [
        (side + 2 * projection.padding - kernel) // projection.stride + 1
        for side, kernel in zip(source[1:], projection.kernel, strict=True)
    ]
    return (source[0], *sides) if min(sides) >= 1 else None


def weight_shape(projection: Projection, source: Shape, target: Shape) -> Shape | None:
    """Return the shape of a projection's weights; None where it has none.

    ``all_to_all``: (target, source), numbers of cells. ``conv``: (out, in, height, width) of the kernel. ``local``:
    the same for every place of the target, (height, width, out, in, kernel height, kernel width). A B that mirrors a
    convolution has the layout of its W, whose source is B's target.
    """
    if projection.connector == "all_to_all":
        return (math.prod(target), math.prod(source))
    if projection.connector not in WEIGHTED or projection.kernel is None:
        return None
    lower, upper = (target, source) if projection.mirrors is not None else (source, target)
    kernel = (upper[0], lower[0], *projection.kernel)
    return kernel if choice("connector", projection.connector, "conv", "local") == "conv" else (*upper[1:], *kernel)


def fan_in(projection: Projection, shape: Shape) -> int:
    """Return the number of synapses of one target cell, from the shape of the weights."""
    if projection.connector == "all_to_all":
        return shape[1]
    out, into, *kernel = shape[-4:]
    return math.prod(kernel) * (out if projection.mirrors is not None else into)


def weights_of(description: Description, name: str) -> int:
    """Return the number of weights of a projection of an expanded description; 0 where it has none or lacks an end."""
    projection = description.projections[name]
    ends = [description.populations.get(end) for end in (projection.source, projection.target)]
    if projection.weight is None or None in ends:
        return 0
    if projection.mask is not None:
        return int((projection.mask.numbers != 0).sum())
    source, target = (end.shape for end in ends if end is not None)
    return math.prod(weight_shape(projection, source, target) or (0,))


def own_parameters(population: Population) -> int:
    """Return the number of biases, and of the gains and shifts of batch norm, of a population."""
    channels = population.shape[0] if len(population.shape) == 3 else math.prod(population.shape)
    normalised = population.norm is not None and population.norm.kind == "batch_norm"
    biases = 0 if population.bias is None else channels
    return biases + (2 * channels if normalised else 0)


def forward_parameters(description: Description) -> tuple[int, int]:
    """Return how many parameters the forward path has, and in how many weighted arrays.

    Parameters are weights, biases, and gains and shifts of batch norm; the arrays are those of weights.
    """
    counts = [
        weights_of(description, name)
        for name, projection in description.projections.items()
        if (target := description.populations.get(projection.target)) is not None and target.path == "forward"
    ]
    own = sum(own_parameters(p) for p in description.populations.values() if p.path == "forward")
    return sum(counts) + own, sum(count > 0 for count in counts)
