"""Intervals: that they cover as often as they say, by enumeration, by simulation, and against other formulas."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.errors import RequestError
from neuromirror.measure import Interval, median_interval, over_seeds, paired_difference

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)
CONFIDENCES = st.sampled_from([0.5, 0.68, 0.8, 0.9, 0.95, 0.99, 0.999]) | st.floats(0.01, 0.999)


def coverage(n: int, k: int) -> Fraction:
    """Give the probability that the median lies between the k-th smallest and the k-th largest of n values.

    It does not if fewer than k of them lie below it, or fewer than k above: by enumeration, each n-subset alike.
    """
    return 1 - 2 * Fraction(sum(math.comb(n, below) for below in range(k)), 2**n)


@given(st.integers(1, 120), CONFIDENCES)
@settings(deadline=None, max_examples=300)
def test_the_interval_of_the_median_is_the_shortest_that_covers_enough(n: int, confidence: float) -> None:
    interval = median_interval(np.arange(1.0, n + 1), confidence)
    if math.isinf(interval.low):
        assert interval.high == math.inf
        assert coverage(n, 1) < Fraction(confidence)
        return
    k = round(interval.low)
    assert interval.high == n + 1 - k
    slack = Fraction(1, 10**12)  # the confidence is a float
    assert coverage(n, k) >= Fraction(confidence) - slack
    assert 2 * (k + 1) > n + 1 or coverage(n, k + 1) < Fraction(confidence) + slack


@pytest.mark.parametrize(("n", "known"), [(1, False), (5, False), (6, True), (7, True)])
def test_six_values_are_needed_for_95_percent(n: int, known: bool) -> None:
    assert math.isfinite(median_interval(np.arange(n)).low) is known


@pytest.mark.parametrize("n", [6, 9, 20, 51])
@pytest.mark.parametrize("law", ["normal", "lognormal", "cauchy"])
def test_the_interval_of_the_median_covers_as_often_as_the_binomial_law_says(n: int, law: str) -> None:
    """Of 4000 intervals, the number that cover is binomial: beyond 4.5 sd with probability 7e-6, of 12 cases 8e-5."""
    rng = np.random.default_rng([n, len(law)])
    draw = {"normal": rng.standard_normal, "lognormal": rng.lognormal, "cauchy": rng.standard_cauchy}[law]
    median = 1.0 if law == "lognormal" else 0.0
    ranks = median_interval(np.arange(1.0, n + 1))
    expected = float(coverage(n, round(ranks.low)))
    assert expected >= 0.95
    intervals = [median_interval(draw(size=n)) for _ in range(4000)]
    covered = np.mean([interval.low <= median <= interval.high for interval in intervals])
    assert covered == pytest.approx(expected, abs=4.5 * math.sqrt(expected * (1 - expected) / 4000))


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_the_interval_of_a_paired_difference_covers_as_often_as_it_says(n: int, confidence: float) -> None:
    """Of 4000 intervals, the number that cover is binomial: beyond 4.5 sd with probability 7e-6, of 9 cases 6e-5."""
    rng = np.random.default_rng([n, round(1000 * confidence)])
    seeds = 5 * rng.normal(size=(4000, n))  # what both have of a seed leaves no trace
    a, b = seeds + rng.normal(size=(4000, n)) + 2, seeds + rng.normal(size=(4000, n))
    intervals = [paired_difference(one, other, confidence) for one, other in zip(a, b, strict=True)]
    covered = np.mean([interval.low <= 2 <= interval.high for interval in intervals])
    assert covered == pytest.approx(confidence, abs=4.5 * math.sqrt(confidence * (1 - confidence) / 4000))


@given(st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=2, max_size=20), CONFIDENCES)
@settings(deadline=None)
def test_the_paired_difference_is_that_of_another_implementation(
    pairs: list[tuple[float, float]], confidence: float
) -> None:
    from scipy.stats import t as student

    differences = [a - b for a, b in pairs]
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(pairs))
    half = float(student.ppf(0.5 + confidence / 2, len(pairs) - 1)) * error
    found = paired_difference([a for a, _ in pairs], [b for _, b in pairs], confidence)
    assert found.estimate == pytest.approx(mean, abs=1e-9)
    assert found.low == pytest.approx(mean - half, rel=1e-9, abs=1e-8)
    assert found.high == pytest.approx(mean + half, rel=1e-9, abs=1e-8)
    assert found.confidence == confidence


@given(VALUES, CONFIDENCES, st.floats(-100, 100), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_intervals_move_with_the_values_and_do_not_know_their_order(
    values: list[float], confidence: float, shift: float, random: Random
) -> None:
    found = median_interval(values, confidence)
    shuffled = random.sample(values, len(values))
    assert median_interval(shuffled, confidence) == found
    moved = median_interval([value + shift for value in values], confidence)
    assert moved.estimate == pytest.approx(found.estimate + shift, abs=1e-9)
    if math.isfinite(found.low):
        assert {found.low, found.high} <= set(values)
        assert (moved.low, moved.high) == pytest.approx((found.low + shift, found.high + shift), abs=1e-9)
    mirrored = median_interval([-value for value in values], confidence)
    assert mirrored == Interval(estimate=-found.estimate, low=-found.high, high=-found.low, confidence=confidence)


@given(VALUES)
@settings(deadline=None)
def test_a_wider_confidence_has_a_wider_interval(values: list[float]) -> None:
    intervals = [median_interval(values, confidence) for confidence in (0.5, 0.9, 0.99)]
    assert sorted((interval.low for interval in intervals), reverse=True) == [interval.low for interval in intervals]
    assert sorted(interval.high for interval in intervals) == [interval.high for interval in intervals]


@given(VALUES, CONFIDENCES)
@settings(deadline=None)
def test_a_summary_is_that_of_another_implementation(values: list[float], confidence: float) -> None:
    found = over_seeds(values, confidence)
    assert found.n == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert (found.smallest, found.largest) == (min(values), max(values))
    assert found.median == median_interval(values, confidence)
    assert found.median.estimate == pytest.approx(statistics.median(values), abs=1e-12)
    if len(values) == 1:
        assert math.isnan(found.sd)
        assert math.isnan(found.standard_error)
    else:
        assert found.sd == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-9)
        assert found.standard_error == pytest.approx(found.sd / math.sqrt(len(values)))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -0.5, math.nan])
def test_a_confidence_is_between_zero_and_one(confidence: float) -> None:
    for ask in (
        lambda: median_interval([1.0, 2.0], confidence),
        lambda: paired_difference([1.0, 2.0], [0.0, 0.0], confidence),
        lambda: over_seeds([1.0, 2.0], confidence),
    ):
        with pytest.raises(RequestError, match="between 0 and 1"):
            ask()


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ([1.0], [2.0], "at least 2"),
        ([], [], "at least 2"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "expected pairs"),
        ([1.0, math.nan], [1.0, 2.0], "1 of 2 values are not finite"),
        ([1.0, 2.0], [math.inf, -math.inf], "2 of 2 values are not finite"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "expected a list"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused(a: list[float], b: list[float], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        paired_difference(a, b)


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [1.0, -math.inf]])
def test_what_is_no_list_of_numbers_is_refused(values: list[float]) -> None:
    for ask in (median_interval, over_seeds):
        with pytest.raises(RequestError, match=r"expected a list|not finite"):
            ask(values)
