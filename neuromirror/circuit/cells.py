"""The cells of a population, one by one: those of their kind, with what differs from cell to cell."""

from __future__ import annotations

import math

from neuromirror.circuit.description import Cell, Parameters, Population


def values_of(parameters: Parameters) -> dict[str, tuple[object, ...]]:
    """Return the values of each parameter that a population gives, a value for each cell."""
    fields = type(parameters).model_fields
    return {name: values for name in fields if (values := getattr(parameters, name)) is not None}


def cells_of(population: Population, kind: Cell) -> list[Cell]:
    """Return the cells of a population as descriptions of their own.

    Parameters
    ----------
    population : Population
        Whose parameters have a value for each cell.
    kind : Cell
        Its kind of cell.
    """
    size = math.prod(population.shape)
    if population.parameters is None:
        return [kind] * size
    given = values_of(population.parameters)
    return [kind.model_copy(update={name: values[i] for name, values in given.items()}) for i in range(size)]
