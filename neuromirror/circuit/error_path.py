"""How far down the error of the output comes: through every forward projection that has a B, and through no other."""

from __future__ import annotations

from collections.abc import Collection

from neuromirror.circuit.description import Description
from neuromirror.circuit.fit import ends, forward_path


def mirrored_projections(description: Description) -> frozenset[str]:
    """Return the forward projections that some feedback projection mirrors: weights, pools and shortcuts."""
    return frozenset(p.mirrors for p in description.projections.values() if p.mirrors is not None)


def reached_by_errors(description: Description, on: Collection[str]) -> frozenset[str]:
    """Return the forward populations that the error of the output reaches.

    Parameters
    ----------
    description : Description
        Of a circuit with one input and one output.
    on : collection of str
        The projections that transmit.

    Raises
    ------
    RequestError
        If it has not one of each.
    """
    path = {name: p for name, p in forward_path(description).items() if name in on}
    _, output, order = ends(path)
    returning, reached = mirrored_projections(description), {output}
    for population in reversed(order):
        if any(p.source == population and p.target in reached and name in returning for name, p in path.items()):
            reached.add(population)
    return frozenset(reached)


def without_errors(description: Description, on: Collection[str], learners: Collection[str]) -> list[str]:
    """Return what is to learn from errors and gets none: arrays into populations that no error reaches.

    Parameters
    ----------
    description : Description
    on : collection of str
    learners : collection of str
        Names of forward weights, ``X.bias`` and ``X.norm``.
    """
    reached = reached_by_errors(description, on)

    def target(name: str) -> str:
        projection = description.projections.get(name)
        return name.rpartition(".")[0] if projection is None else projection.target

    return [name for name in learners if target(name) not in reached]
