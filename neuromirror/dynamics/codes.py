"""How the cells of a population carry the signals of its units (8.2): one cell each, or a pair in push-pull.

A unit of a push-pull code is a pair of cells, ON and OFF, and its value is the difference of their rates. All units of
a population have their ON cells first, and then, in the same order, their OFF cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Single:
    """A cell for each unit: cells and units are the same."""

    def deviations(self, values: Any) -> Any:
        """Return how far cells are from their baseline where units have these values, (…, cells)."""
        return values

    def values(self, signals: Any) -> Any:
        """Return the values of units whose cells have these signals, (…, units)."""
        return signals

    def weights(self, of_units: Any) -> Any:
        """Return the weights of cells, (target, source), that act as these weights of units."""
        return of_units

    def magnitudes(self, of_units: Any) -> Any:
        """Return the size that each weight of cells can have, whichever its sign, where units have these weights."""
        return of_units

    def signs(self, of_cells: Any) -> Any:
        """Return an array of the signs that weights of cells need, for units to have the signs of these weights."""
        return of_cells

    def unit_weights(self, of_cells: Any) -> Any:
        """Return the weights of units, (target, source), that these weights of cells amount to."""
        return of_cells

    def everywhere(self, mask: Any) -> Any:
        """Return the mask of cells for a mask of units."""
        return mask

    def order(self, permutation: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the source cell of each target cell, for the source unit of each target unit."""
        return permutation


@dataclass(frozen=True)
class PushPull(Single):
    """Two cells for each unit.

    A weight w of units is max(w, 0) from ON to ON and from OFF to OFF, and max(−w, 0) from ON to OFF and from OFF to
    ON, so that no weight of cells is negative and every cell excites only.

    Attributes
    ----------
    beta : float
        The rate of each cell at rest, in units of ``code.unit``; 0 for cells that are silent at rest.
    """

    beta: float = 0.0

    def deviations(self, values: Any) -> Any:
        """Return half of each value for ON and its negative for OFF, as far as no rate falls below zero.

        Beyond, one cell is silent and the other fires at the whole value, so that the difference is the value always.
        """
        on, off = (np.maximum(np.maximum(v / 2, v - self.beta), -self.beta) for v in (values, -values))
        return np.concatenate([on, off], axis=-1)

    def values(self, signals: Any) -> Any:
        """Return ON − OFF."""
        units = signals.shape[-1] // 2
        return signals[..., :units] - signals[..., units:]

    def weights(self, of_units: Any) -> Any:
        """Return the non-negative weights of cells that act as these weights of units on their difference."""
        same, other = np.maximum(of_units, 0.0), np.maximum(-of_units, 0.0)
        return np.block([[same, other], [other, same]])

    def magnitudes(self, of_units: Any) -> Any:
        """Return the size of each weight of units, for all four weights of cells that it may be found in."""
        return np.tile(np.abs(of_units), (2, 2))

    def signs(self, of_cells: Any) -> Any:
        """Return where each weight of units is found in those of cells by its sign: positive numbers there, else 0."""
        units = self.unit_weights(of_cells)
        m, n = units.shape
        found = of_cells * 1.0  # an array of its own
        found[:m, :n] = found[m:, n:] = units * (units > 0)
        found[:m, n:] = found[m:, :n] = -units * (units < 0)
        return found

    def unit_weights(self, of_cells: Any) -> Any:
        """Return half the sum of ON→ON and OFF→OFF, less half that of ON→OFF and OFF→ON.

        That is how much the target's difference changes with the source's, both cells of the source changing by half of
        it in opposite directions.
        """
        m, n = (size // 2 for size in of_cells.shape)
        same, other = of_cells[:m, :n] + of_cells[m:, n:], of_cells[:m, n:] + of_cells[m:, :n]
        return (same - other) / 2

    def everywhere(self, mask: Any) -> Any:
        """Return the mask of units for all four weights of cells of each."""
        return np.tile(mask, (2, 2))

    def order(self, permutation: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the same permutation for ON cells and for OFF cells."""
        return np.concatenate([permutation, permutation + len(permutation)])
