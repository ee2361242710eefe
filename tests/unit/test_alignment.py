"""Angles and gains of known arrays, predicted angles against simulated signals, intervals against their error rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuromirror.errors import RequestError, UnsupportedError
from neuromirror.measure import (
    angle_deg,
    correlation_time_s,
    effective_examples,
    explained_variance,
    gain,
    mean_example_angle_deg,
    median_interval,
    over_seeds,
    paired_difference,
    rate_angle_deg,
    sampling_angle_deg,
    vector_angle_deg,
)

entries = st.floats(-4, 4).map(lambda x: round(x, 3))
matrices = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(arrays(float, shape, elements=entries), arrays(float, shape, elements=entries))
)


def nonzero(*values: np.ndarray) -> bool:
    """Tell whether all arrays have an angle."""
    return all(np.any(value != 0) for value in values)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 30.0, 90.0, 150.0, 180 - 1e-4, 180 - 1e-9, 180.0])
def test_known_angles(angle: float) -> None:
    turned = [math.cos(math.radians(angle)), math.sin(math.radians(angle))]
    assert vector_angle_deg([3.0, 0.0], turned) == pytest.approx(angle, abs=1e-13 if angle else 0)


def test_small_angles_keep_their_digits() -> None:
    W = np.random.default_rng(0).normal(size=(20, 30))
    other = np.random.default_rng(1).normal(size=(30, 20))
    other -= gain(other, W) * W.T
    B = W.T + 1e-10 * np.linalg.norm(W) * other / np.linalg.norm(other)
    assert angle_deg(B, W) == pytest.approx(math.degrees(1e-10), rel=1e-4)


@given(matrices, st.floats(1e-150, 1e150))
def test_an_angle_does_not_depend_on_scale(pair, scale: float) -> None:
    a, b = pair
    if nonzero(a, b):
        assert vector_angle_deg(scale * a, b) == pytest.approx(vector_angle_deg(a, b), abs=1e-9)
        assert vector_angle_deg(-a, b) == pytest.approx(180 - vector_angle_deg(a, b), abs=1e-9)
        assert vector_angle_deg(a, b) == vector_angle_deg(b, a)


@given(matrices)
def test_an_angle_of_weights_is_that_with_the_transpose(pair) -> None:
    a, W = pair
    np.testing.assert_allclose(angle_deg(a.T, W), vector_angle_deg(a, W), atol=1e-9)
    np.testing.assert_allclose(angle_deg(a.T, W), angle_deg(a, W.T), atol=1e-9)
    np.testing.assert_allclose(gain(a.T, W), gain(a, W.T), atol=1e-12)


@given(matrices, st.floats(-5, 5))
def test_gain_is_the_best_fit(pair, c: float) -> None:
    a, W = pair
    if nonzero(W):
        assert gain(c * W.T, W) == pytest.approx(c, abs=1e-12)
        best = np.linalg.lstsq(W.reshape(-1, 1), a.ravel(), rcond=None)[0][0]
        assert gain(a.T, W) == pytest.approx(best, abs=1e-9)


def test_arrays_of_zeros_have_no_angle() -> None:
    W, zeros = np.ones((2, 3)), np.zeros((3, 2))
    assert math.isnan(angle_deg(zeros, W))
    assert math.isnan(angle_deg(W.T, zeros.T))
    assert gain(zeros, W) == 0
    assert math.isnan(gain(W.T, zeros.T))
    assert math.isnan(angle_deg(np.full((3, 2), np.nan), W))
    assert math.isnan(angle_deg(np.full((3, 2), np.inf), W))
    assert math.isnan(gain(np.full((3, 2), np.nan), W))
    assert math.isnan(vector_angle_deg([], []))


def test_convolutions_are_compared_in_the_layout_of_W() -> None:
    W = np.random.default_rng(2).normal(size=(4, 3, 2, 2))
    assert angle_deg(2 * W, W) == pytest.approx(0, abs=1e-13)
    assert gain(2 * W, W) == pytest.approx(2)


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(RequestError, match=r"B has shape \(2, 3\) and W \(2, 3\). Expected \(3, 2\) for B"):
        angle_deg(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(RequestError, match="same shape"):
        vector_angle_deg([1.0], [1.0, 2.0])
    with pytest.raises(RequestError, match="expected a batch"):
        mean_example_angle_deg([1.0], [1.0])


def test_the_two_angles_of_a_batch_differ() -> None:
    a = np.array([[100.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    b = np.array([[100.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert mean_example_angle_deg(a, b) == pytest.approx(45)
    assert vector_angle_deg(a, b) < 1.2
    assert math.isnan(mean_example_angle_deg(a[2:], b[2:]))


# ---- theory ---------------------------------------------------------------------------------------------------------


def ornstein_uhlenbeck(rng: np.random.Generator, samples: int, cells: int, dt_over_tau: float) -> np.ndarray:
    """Simulate signals of unit variance and autocorrelation exp(−|t|/τ), shape (samples, cells)."""
    keep = math.exp(-dt_over_tau)
    signal = rng.normal(size=(samples, cells))
    signal[1:] *= math.sqrt(1 - keep**2)
    for t in range(1, samples):
        signal[t] += keep * signal[t - 1]
    return signal


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_sampling_law_against_simulated_signals(noise: float) -> None:
    fan_in, cells, dt_s, tau_s, duration_s = 40, 20, 0.002, 0.01, 20.0
    angles, predicted = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        lower = ornstein_uhlenbeck(rng, round(duration_s / dt_s), fan_in, dt_s / tau_s)
        W = rng.normal(size=(cells, fan_in))
        W /= np.linalg.norm(W, axis=1, keepdims=True)
        upper = lower @ W.T + noise * ornstein_uhlenbeck(rng, len(lower), cells, dt_s / tau_s)
        tau_c_s = correlation_time_s(lower, upper, dt_s, max_lag_s=0.1)
        r_squared = explained_variance(lower[::10], upper[::10])
        assert tau_c_s == pytest.approx(tau_s, rel=0.05)
        assert r_squared == pytest.approx(1 / (1 + noise**2), abs=0.02)
        predicted.append(sampling_angle_deg(fan_in, tau_c_s, r_squared, duration_s))
        angles.append(angle_deg((lower - lower.mean(0)).T @ (upper - upper.mean(0)), W))
    assert np.mean(angles) == pytest.approx(np.mean(predicted), rel=0.05)


def test_correlation_time_of_white_signals_is_one_step() -> None:
    rng = np.random.default_rng(4)
    lower, upper = rng.normal(size=(20000, 10)), rng.normal(size=(20000, 5))
    assert correlation_time_s(lower, upper, 0.02, 0.2) == pytest.approx(0.02, rel=0.01)
    assert correlation_time_s(lower, upper, 0.02, 0.0) == pytest.approx(0.02, rel=1e-12)
    lower[:, 3] = 7.0
    assert correlation_time_s(lower, upper, 0.02, 0.0) == pytest.approx(0.02, rel=1e-12)


def test_explained_variance_is_adjusted_for_the_number_of_regressors() -> None:
    rng = np.random.default_rng(5)
    lower, upper = rng.normal(size=(60, 40)), rng.normal(size=(60, 30))
    assert explained_variance(lower, upper) == pytest.approx(0, abs=0.2)
    assert explained_variance(lower, lower @ rng.normal(size=(40, 3))) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("activation", "phi"), [("relu", lambda x: np.maximum(x, 0)), ("linear", lambda x: x)])
@pytest.mark.parametrize("fan_in", [20, 50])
def test_rate_law_against_simulated_mirroring(activation: str, phi, fan_in: int) -> None:
    rng = np.random.default_rng(6)
    W = rng.normal(size=(200, fan_in))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    rate, decay, batch = 0.1, 0.5, 20 * fan_in
    mean = math.sqrt(1 / (2 * math.pi)) if activation == "relu" else 0.0
    B, angles = np.zeros(W.T.shape), []
    for step in range(300):
        pre = rng.normal(size=(batch, fan_in))
        B += rate * (pre.T @ (phi(pre @ W.T) - mean) / batch - decay * B)
        if step >= 100:
            angles.append(angle_deg(B, W))
    predicted = rate_angle_deg(fan_in, effective_examples(batch, rate * decay), activation)
    assert np.mean(angles) == pytest.approx(predicted, rel=0.04)


def test_the_laws_by_hand() -> None:
    assert sampling_angle_deg(100, 0.01, 0.5, 2.0) == pytest.approx(45)
    assert rate_angle_deg(99, 100, "linear") == pytest.approx(45)
    assert rate_angle_deg(1, 3.1, "relu") == pytest.approx(45)
    assert effective_examples(50, 0.05) == pytest.approx(1950)
    assert effective_examples(50, 1.0, positions=4) == pytest.approx(200)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: sampling_angle_deg(3, 0.01, 1.5, 2.0),
        lambda: sampling_angle_deg(3, 0.01, 0.5, 0.0),
        lambda: effective_examples(50, 0.0),
        lambda: rate_angle_deg(0, 10, "relu"),
        lambda: correlation_time_s(np.ones((5, 2)), np.ones((4, 2)), 0.1, 0.1),
        lambda: correlation_time_s(np.ones((5, 2)), np.ones((5, 2)), 0.1, 0.1),
        lambda: correlation_time_s(np.eye(5), np.eye(5), 0.1, 0.5),
        lambda: explained_variance(np.eye(4), np.eye(4)),
        lambda: explained_variance(np.ones((9, 2)), np.ones((9, 2))),
    ],
)
def test_values_out_of_range_are_refused(ask) -> None:
    with pytest.raises(RequestError):
        ask()


def test_a_law_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="no law for the activation 'tanh'"):
        rate_angle_deg(3, 10, "tanh")


# ---- uncertainty ----------------------------------------------------------------------------------------------------


def test_median_interval_by_hand() -> None:
    interval = median_interval(np.arange(1, 11))
    assert (interval.estimate, interval.low, interval.high) == (5.5, 2, 9)  # P(Bin(10, 1/2) <= 1) = 11/1024
    assert median_interval([3, 1, 2, 5, 4, 6]).low == 1
    few = median_interval([1.0, 2.0, 3.0])
    assert (few.estimate, few.low, few.high) == (2.0, -math.inf, math.inf)


def test_median_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    # 15 values: the interval from the 4th to the 12th covers with probability 1 - 2·P(Bin(15, 1/2) <= 3) = 0.9648.
    intervals = [median_interval(rng.exponential(size=15)) for _ in range(4000)]
    covered = np.mean([interval.low <= math.log(2) <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.9648, abs=4 * math.sqrt(0.9648 * 0.0352 / 4000))


def test_paired_difference_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    shared = rng.normal(size=(4000, 5)) * 10
    a, b = shared + rng.normal(size=(4000, 5)) + 1, shared + rng.normal(size=(4000, 5))
    intervals = [paired_difference(x, y, confidence=0.9) for x, y in zip(a, b, strict=True)]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / 4000))


def test_paired_difference_by_hand() -> None:
    interval = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert interval.estimate == pytest.approx(2)
    assert interval.high - interval.estimate == pytest.approx(4.302652729911275 / math.sqrt(3))  # t of 2 degrees
    assert interval.estimate - interval.low == pytest.approx(interval.high - interval.estimate)


def test_over_seeds() -> None:
    summary = over_seeds([1.0, 2.0, 3.0, 4.0])
    assert (summary.n, summary.mean, summary.smallest, summary.largest) == (4, 2.5, 1, 4)
    assert summary.sd == pytest.approx(math.sqrt(5 / 3))
    assert summary.standard_error == pytest.approx(math.sqrt(5 / 12))
    assert summary.median.estimate == 2.5
    assert math.isnan(over_seeds([1.0]).sd)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_intervals_hold_their_estimate(values: list[float], confidence: float) -> None:
    interval = median_interval(values, confidence)
    assert interval.low <= interval.estimate <= interval.high
    if len(values) > 1:
        difference = paired_difference(values, [0.0] * len(values), confidence)
        assert difference.low <= difference.estimate <= difference.high


@pytest.mark.parametrize(
    "ask",
    [
        lambda: median_interval([]),
        lambda: median_interval([1.0, math.nan]),
        lambda: median_interval([1.0], confidence=95),
        lambda: paired_difference([1.0, 2.0], [1.0, 2.0, 3.0]),
        lambda: paired_difference([1.0], [1.0]),
    ],
)
def test_values_that_give_no_interval_are_refused(ask) -> None:
    with pytest.raises(RequestError):
        ask()
