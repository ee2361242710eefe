"""The order of bursts: every cell probed above and below, orthogonally, and nothing left of what lingers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromirror.dynamics.bursts import BurstCode


def code(cells: int, at_once: int, seed: int | None = None) -> BurstCode:
    def places(number: int) -> np.ndarray:
        return np.arange(cells) if seed is None else np.random.default_rng([seed, number]).permutation(cells)

    return BurstCode(cells=cells, at_once=at_once, places=places)


sizes = st.integers(1, 20).flatmap(
    lambda cells: st.tuples(st.just(cells), st.sampled_from([k for k in (1, 2, 4, 8, 16, 32) if k < 2 * cells]))
)


@given(sizes, st.one_of(st.none(), st.integers(0, 9)))
def test_half_a_round_is_orthogonal_and_of_mean_zero(size: tuple[int, int], seed: int | None) -> None:
    cells, at_once = size
    made = code(cells, at_once, seed)
    for half in range(4):
        signs = made.signs(np.arange(half * made.half, (half + 1) * made.half))
        np.testing.assert_array_equal(signs.sum(axis=0), np.zeros(cells))
        np.testing.assert_array_equal(signs.T @ signs, 2 * at_once * np.eye(cells))
        assert set(np.unique(np.abs(signs).sum(axis=1))) <= {0, *range(1, at_once + 1)}


@given(sizes)
def test_what_follows_what_cancels_over_a_round(size: tuple[int, int]) -> None:
    """What lingers of a slot in the next adds up, over the pairs of patterns that follow each other within the halves
    of a round, to nothing: they follow once with equal signs and once with opposite ones."""
    made = code(*size)
    first, second = (made.signs(np.arange(k * made.half, (k + 1) * made.half)) for k in (0, 1))
    lagged = sum(half[1:-1:2].T @ half[2::2] for half in (first, second))
    np.testing.assert_array_equal(lagged, np.zeros_like(lagged))


def test_one_cell_at_a_time() -> None:
    expected = [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 0], [-1, 0], [0, -1], [0, 1]]
    np.testing.assert_array_equal(code(2, 1).signs(np.arange(8)), expected)


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_new_round_has_a_new_order(at_once: int) -> None:
    made = code(16, at_once, seed=3)
    rounds = [made.signs(np.arange(k * 2 * made.half, (k + 1) * 2 * made.half)) for k in (0, 1)]
    assert not np.array_equal(*rounds)
