"""What the input of a noisy layer leaves between B and Wᵀ: the law against matrices, signals, and circuits as rates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.errors import RequestError
from neuromirror.measure import (
    angle_deg,
    driven_angle_deg,
    driven_covariance,
    driven_share,
    passed_covariance,
    rate_angle_deg,
)

SHARES = st.lists(st.floats(0.1, 1.0), min_size=1, max_size=4)


def weights(rng: np.random.Generator, upper: int, lower: int) -> np.ndarray:
    return rng.standard_normal((upper, lower)) / math.sqrt(lower)


@settings(max_examples=25, deadline=None)
@given(shares=SHARES, grow=st.sampled_from([0.5, 1.0, 1.5]), seed=st.integers(0, 2**32 - 1))
def test_the_law_is_that_of_random_matrices(shares: list[float], grow: float, seed: int) -> None:
    """C·Wᵀ is at the law's angle to Wᵀ for layers of 100 cells and more; the law lacks terms of 1/n, a few percent."""
    rng = np.random.default_rng(seed)
    sizes = [max(100, round(400 * grow**k)) for k in range(len(shares) + 1)]
    C = np.eye(sizes[0])
    for share, below, size in zip(shares, sizes, sizes[1:], strict=False):
        C = driven_covariance(share, weights(rng, size, below), C)
        assert np.trace(C) == pytest.approx(size)
    W = weights(rng, 300, sizes[-1])
    found = math.tan(math.radians(angle_deg(C @ W.T, W)))
    assert found == pytest.approx(math.tan(math.radians(driven_angle_deg(shares, sizes))), rel=0.08)


@settings(deadline=None)
@given(share=st.floats(0.0, 0.99), size=st.integers(1, 50))
def test_equal_layers_come_to_a_sine_that_is_the_share(share: float, size: int) -> None:
    deep = driven_angle_deg([share] * 3000, [size] * 3001)
    assert math.sin(math.radians(deep)) == pytest.approx(share, abs=1e-6)


def test_a_layer_that_nothing_drives_begins_anew() -> None:
    assert driven_angle_deg([], [5]) == driven_angle_deg([0.7, 0.0], [5, 5, 5]) == 0.0
    assert driven_angle_deg([0.7, 0.0, 0.4], [5] * 4) == pytest.approx(driven_angle_deg([0.4], [5, 5]))


@settings(deadline=None)
@given(share=st.floats(0.0, 1.0), scale=st.floats(0.1, 10.0), seed=st.integers(0, 2**32 - 1))
def test_the_share_is_found_in_the_covariance(share: float, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W, below = weights(rng, 6, 4), np.cov(rng.standard_normal((4, 9)))
    assert driven_share(scale * driven_covariance(share, W, 3.0 * below), W, below) == pytest.approx(share, abs=1e-9)


def test_the_share_is_found_in_signals_as_the_upper_cells_pass_them() -> None:
    """Slow input, white noise of each cell's own, and upper cells that smooth: f is that of the smoothed signals.

    20,000 samples of 20 cells leave f a standard error of about 0.01.
    """
    rng = np.random.default_rng(3)
    kernel = np.exp(-np.arange(30) / 5)

    def smooth(signal: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(lambda one: np.convolve(one, kernel)[: len(one)], 0, signal)

    below = smooth(rng.standard_normal((20_000, 20)))
    V, W = weights(rng, 20, 20), weights(rng, 30, 20)
    drive, own = below @ V.T, 3.0 * rng.standard_normal(below.shape)
    upper = smooth(drive + own) @ W.T
    passed = [np.mean((one - one.mean(axis=0)) * smooth(one)) for one in (drive, own)]
    found = driven_share(passed_covariance(drive + own, upper, W, 30), V, np.eye(20))
    assert found == pytest.approx(passed[0] / sum(passed), abs=0.04)


def test_rates_with_a_single_noisy_input_are_at_the_law(tmp_path: Path) -> None:
    """Linear cells without noise of their own have f = 1, tan²θ = L, to which sampling adds its part.

    Layers of 60 cells, 8,000 examples, 3 seeds: the standard error of a mean angle is below 1°, from the draw of W.
    """
    sizes = [60] * 5
    changes = [
        f"layers.sizes={sizes}", 'modes.engaged.compare={ d4 = "y4 - target" }', 'mirroring.turns="single"',
        "mirroring.noise.sd=0.5", 'rules.mirror.updater={ memory = "1 h", memory_from = "2.5 ms", decay = 2.0 }',
        'schedule=[{ mode = "mirroring", examples = 8000 }]',
    ]  # fmt: skip
    circuit = nm.load("chain4", changes)
    runs = nm.run_seeds(circuit, backend="torch", seeds=range(3), out=tmp_path / "runs", figures=False)
    sampling = math.tan(math.radians(rate_angle_deg(60, 8000, "linear"))) ** 2
    for layer in range(4):
        driven = math.tan(math.radians(driven_angle_deg([1.0] * layer, sizes[: layer + 1]))) ** 2
        found = np.mean([run.angles_deg(f"B{layer + 1}")[-1] for run in runs])
        assert found == pytest.approx(math.degrees(math.atan(math.sqrt(driven + sampling))), abs=3.0)


def test_what_does_not_match_is_refused() -> None:
    W, one = np.ones((3, 2)), np.eye(2)
    with pytest.raises(RequestError, match=r"share 1\.5"):
        driven_covariance(1.5, W, one)
    with pytest.raises(RequestError, match=r"expected W \(N, K\)"):
        driven_covariance(0.5, W, np.eye(3))
    with pytest.raises(RequestError, match="drives no cell"):
        driven_covariance(0.5, 0 * W, one)
    with pytest.raises(RequestError, match=r"expected \(3, 3\)"):
        driven_share(one, W, one)
    with pytest.raises(RequestError, match="no two cells together"):
        driven_share(one, one, one)
    with pytest.raises(RequestError, match="one more sizes"):
        driven_angle_deg([0.5], [3])
