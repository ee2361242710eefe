"""Sparse bursts that probe a layer: few cells at a time, above and below the baseline by turns.

The cells of a layer have places, and those of a group of k neighbouring places burst together. The group goes through k
patterns, the rows of the Hadamard matrix of Sylvester's construction, which tell every cell to fire above its baseline
or below; each pattern is followed or preceded by its negative. Then the next group has its turn. Over a turn of all
groups the signals of any two cells are orthogonal, and all have mean zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What is on in some stretches of time, one entry each.

    Attributes
    ----------
    round : int array
        The round, counted from 0; each has an order of its own.
    group : int array
        The group of places that bursts.
    pattern : int array
        Row of the Hadamard matrix.
    sign : int array
        1 or −1, by which the pattern is multiplied.
    """

    round: NDArray[np.int_]
    group: NDArray[np.int_]
    pattern: NDArray[np.int_]
    sign: NDArray[np.int_]


@dataclass(frozen=True, kw_only=True)
class BurstCode:
    """The order in which the cells of a layer burst.

    A round has 4 slots for each pattern of each group: all patterns by turns with their negatives, and all of them once
    more. The second time every other pattern begins with its negative, so that what lingers from the slot before, such
    as a filtered signal, adds to what is found in one half what it takes away in the other.

    Attributes
    ----------
    cells : int
        Number of cells of the layer.
    at_once : int
        k, a power of 2.
    places : callable
        Gives for the number of a round the place of every cell, a permutation, (cells,).
    """

    cells: int
    at_once: int
    places: Callable[[int], NDArray[np.int_]]

    @property
    def half(self) -> int:
        """Slots of half a round, after which every pattern and its negative were on."""
        return 2 * self.at_once * -(-self.cells // self.at_once)

    def slots(self, numbers: NDArray[np.int_]) -> Slots:
        """Return what is on in slots, which are counted from 0."""
        halves, within = np.divmod(numbers, self.half)
        patterns, second = np.divmod(within, 2)
        turned = (halves % 2) * (patterns % 2)
        group, pattern = np.divmod(patterns, self.at_once)
        return Slots(round=halves // 2, group=group, pattern=pattern, sign=1 - 2 * ((second + turned) % 2))

    def signs(self, numbers: NDArray[np.int_]) -> NDArray[np.float64]:
        """Return how every cell deviates from its baseline in slots: 1, −1 or, where its group is silent, 0.

        Returns
        -------
        float array (slots, cells)
        """
        slots = self.slots(numbers)
        rounds, which = np.unique(slots.round, return_inverse=True)
        place = np.array([self.places(int(number)) for number in rounds]).reshape(-1, self.cells)[which]
        group, seat = np.divmod(place, self.at_once)
        parity = np.zeros_like(seat)
        for bit in range(self.at_once.bit_length() - 1):
            parity ^= (seat >> bit) & (slots.pattern[:, None] >> bit) & 1
        return np.where(group == slots.group[:, None], slots.sign[:, None] * (1.0 - 2.0 * parity), 0.0)
