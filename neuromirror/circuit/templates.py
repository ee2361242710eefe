"""Short forms of a circuit file, and what they stand for.

``[layers]`` makes the forward path, ``[feedback]`` the feedback path that mirrors it. What a file states itself under
the same name wins over what a short form would make.
"""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.description import (
    Description,
    Feedback,
    Init,
    Item,
    Layers,
    Population,
    Projection,
    Repeat,
    Step,
)
from neuromirror.units import Quantity


def expand(description: Description) -> Description:
    """Replace the short forms by the populations and projections that they stand for.

    Parameters
    ----------
    description : Description
        As it was loaded.

    Returns
    -------
    Description
        The same circuit without ``layers`` and ``feedback``; expanding it again changes nothing.
    """
    if description.layers is None:
        return description
    cell = description.layers.cell or next(iter(sorted(description.cells)), "cell")
    populations, projections = _forward(description.layers, cell)
    if description.feedback is not None:
        more = _feedback(description.feedback, description.layers, description.feedback.cell or cell)
        populations |= more[0]
        projections |= more[1]
    return description.model_copy(
        update={
            "layers": None,
            "feedback": None,
            "populations": {**populations, **description.populations},
            "projections": {**projections, **description.projections},
        }
    )


def _forward(layers: Layers, cell: str) -> tuple[dict[str, Population], dict[str, Projection]]:
    populations = {
        f"y{layer}": Population(
            path="forward", layer=layer, shape=(size,), cell=cell, bias=layers.bias if layer else None
        )
        for layer, size in enumerate(layers.sizes)
    }
    projections = {
        f"W{layer}": Projection(
            source=f"y{layer - 1}",
            target=f"y{layer}",
            connector="all_to_all",
            weight=Init(init="normal", gain=layers.gain),
        )
        for layer in range(1, len(layers.sizes))
    }
    return populations, projections


def _feedback(feedback: Feedback, layers: Layers, cell: str) -> tuple[dict[str, Population], dict[str, Projection]]:
    mirrored = [layer for layer in range(1, len(layers.sizes)) if f"W{layer}" not in feedback.skip]
    needed = sorted({layer - 1 for layer in mirrored} | set(range(1, len(layers.sizes))))
    populations = {
        f"d{layer}": Population(path="feedback", layer=layer, shape=(layers.sizes[layer],), cell=cell)
        for layer in needed
    }
    projections = {
        f"B{layer}": Projection(
            source=f"d{layer}",
            target=f"d{layer - 1}",
            connector="all_to_all",
            weight=Init(init="normal", gain=feedback.gain),
            mirrors=f"W{layer}",
            transport=feedback.transport,
        )
        for layer in mirrored
    }
    for layer in needed:
        y, d = f"y{layer}", f"d{layer}"
        delay = Quantity(feedback.cross_delay.si * (needed[-1] - layer), "time")
        projections[f"x{layer}"] = Projection(source=y, target=d, connector="one_to_one", role="drive", delay=delay)
        projections[f"g{layer}"] = Projection(source=y, target=d, connector="one_to_one", role="gate")
        if layer:
            projections[f"e{layer}"] = Projection(source=d, target=y, connector="one_to_one", role="error")
    return populations, projections


def flat(items: tuple[Item, ...]) -> Iterator[Step]:
    """Yield the steps of a schedule in the order in which they run, repeats written out."""
    for item in items:
        if isinstance(item, Repeat):
            yield from list(flat(item.steps)) * item.repeat
        else:
            yield item
