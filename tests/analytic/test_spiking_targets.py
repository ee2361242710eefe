"""What mirroring with spikes reaches: the angle between B and Wᵀ after a stated time, as the median over seeds.

Seeds are 0 to 9 and the initial weights differ among them. By resampling 100 other runs (40 of 20→10), the median of
ten seeds misses its bound with a probability of 8 % for 3→2 after 20 s, 3 % after 60 s, 17 % for 5,000 examples as
rates, and less than 1 % for the others: these tests say what the shipped circuit does, and notice what makes it worse.
"""

from __future__ import annotations

import numpy as np
import pytest

from experiments.section import mirror, section


@pytest.mark.parametrize(
    ("length", "backend", "most_deg"),
    [
        ("20 s", "brian2", 5.0),
        pytest.param("60 s", "brian2", 3.5, marks=pytest.mark.slow),
        ("5000 examples", "torch", 2.5),
    ],
)
def test_three_cells_to_two_learn_the_direction(length, backend, most_deg):
    found = mirror(section(3, 2, length), seeds=10, backend=backend)
    assert np.median(found.angles_deg) <= most_deg


@pytest.mark.slow
def test_twenty_cells_to_ten_learn_in_60_s_as_the_law_says():
    """Angle at most 6.5°; within 10 % of the law.

    Over 40 seeds, with which the ratio's median, 1.08, has a standard error of 0.015. Of the 8 % above the law 6 are
    the angle that unequal rows of W leave: with rows of equal norm the ratio is 1.00.
    """
    found = mirror(section(20, 10, "60 s"), seeds=40, law=True)
    assert np.median(found.angles_deg[:10]) <= 6.5
    assert np.median(found.ratios) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_hundred_cells_to_fifty_learn_in_60_s_as_the_law_says():
    """Angle at most 13°; within 10 % of the law. The ratio's median has a standard error of 0.006."""
    found = mirror(section(100, 50, "60 s"), seeds=10, law=True)
    assert np.median(found.angles_deg) <= 13.0
    assert np.median(found.ratios) == pytest.approx(1.0, abs=0.1)
