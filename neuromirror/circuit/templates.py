"""Short forms of a circuit file, and what they stand for.

``[layers]`` makes the forward path; `neuromirror.circuit.feedback` makes the path that mirrors it, and
`neuromirror.circuit.mirroring` the modes in which it learns to. What a file states itself under the same name wins over
what a short form would make.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from neuromirror.circuit.description import Description, Layers, Population, Projection
from neuromirror.circuit.feedback import feedback_path
from neuromirror.circuit.groups import with_groups
from neuromirror.circuit.mirroring import with_mirroring
from neuromirror.circuit.protocol import Item, Repeat, Step

Part = TypeVar("Part", Population, Projection)


def expand(description: Description) -> Description:
    """Replace the short forms by the populations, projections, modes and steps that they stand for.

    Parameters
    ----------
    description : Description
        As it was loaded.

    Returns
    -------
    Description
        The same circuit without ``layers``, ``feedback``, ``mirroring`` and motifs, which are written out already;
        expanding it again changes nothing.
    """
    populations, projections = dict(description.populations), dict(description.projections)
    forward = forward_of(description)
    populations, projections = _with(populations, forward[0]), _with(projections, forward[1])
    if description.feedback is not None:
        made = feedback_path(description.feedback, populations, projections, description.modes)
        populations, projections = _with(populations, made[0]), _with(projections, made[1])
    explicit = description.model_copy(
        update={
            "layers": None,
            "feedback": None,
            "motifs": {},
            "use": (),
            "populations": populations,
            "projections": projections,
        }
    )
    return with_groups(with_mirroring(explicit))


def forward_of(description: Description) -> tuple[dict[str, Population], dict[str, Projection]]:
    """Return the populations and projections that ``[layers]`` makes, whatever the file states itself."""
    cell = layers_cell(description)
    return ({}, {}) if description.layers is None or cell is None else _forward(description.layers, cell)


def layers_cell(description: Description) -> str | None:
    """Return the kind of cell of the populations that ``[layers]`` makes, or None where there is no such short form."""
    if description.layers is None:
        return None
    return description.layers.cell or next(iter(sorted(description.cells)), "cell")


def short_forms(path: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], ...]:
    """Return the key paths, in short forms, of which one makes what is at a path of the long form."""
    if path[:1] == ("modes",):
        return (("mirroring", *path[2:]),)
    if path[:1] in (("populations",), ("projections",)):
        if len(path) == 1:
            return ("layers",), ("feedback",), ("use",)
        return (("layers" if re.fullmatch(r"[yW]\d+", str(path[1])) else "feedback", *path[2:]),)
    return ()


def _with(own: dict[str, Part], made: dict[str, Part]) -> dict[str, Part]:
    """Add what a short form makes under names that the file does not use itself."""
    return {**own, **{name: one for name, one in made.items() if name not in own}}


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
            weight=layers.weight,
        )
        for layer in range(1, len(layers.sizes))
    }
    return populations, projections


def flat(items: tuple[Item, ...]) -> Iterator[Step]:
    """Yield the steps of a schedule in the order in which they run, repeats written out."""
    for item in items:
        if isinstance(item, Repeat):
            yield from list(flat(item.steps)) * item.repeat
        else:
            yield item
