"""The law of mirroring by probes, on counts of cells whose own spiking is independent of what drives them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neuromirror.dynamics.bursts import BurstCode
from neuromirror.errors import RequestError
from neuromirror.measure import angle_deg, correlated_angle_deg, passed_correlation, probed_part, probing_law

CELLS, UPPER = 16, 40
WINDOW_S, BETA_HZ = 0.02, 100.0


def counts(at_once: int, fano: float, windows: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return lower and upper signals in Hz, what the probes do to them, and W; a slot is a window."""
    rng = np.random.default_rng(seed)
    code = BurstCode(cells=CELLS, at_once=at_once, places=lambda number: np.arange(CELLS))
    W = rng.standard_normal((UPPER, CELLS))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    probe = 80.0 * code.signs(np.arange(windows))
    own = math.sqrt(fano * BETA_HZ / WINDOW_S)
    lower = BETA_HZ + probe + own * rng.standard_normal(probe.shape)
    upper = BETA_HZ + (lower - BETA_HZ) @ W.T + own * rng.standard_normal((windows, UPPER))
    return lower, upper, probe, W


@pytest.mark.parametrize("at_once", [1, 4, 16])
@pytest.mark.parametrize("fano", [0.1, 1.0])
def test_what_remains_is_the_cells_own_spiking(at_once: int, fano: float) -> None:
    """tan²θ = (N/T)·T_w·(3x + 2)/(1 + x)², x = P·T_w/(F·β): the products of probe and spiking, 3 P F β, and of spiking
    with spiking, 2 (Fβ)²/T_w, over the square of what teaches, P + Fβ/T_w.

    A cell's products with itself vary twice as much, which adds about 1/N. 20 rounds and 6 seeds of 640 synapses: tan²θ
    has a standard error of about 2 %.
    """
    windows = 20 * 4 * CELLS
    x = 80.0**2 * at_once / CELLS * WINDOW_S / (fano * BETA_HZ)
    expected_s = WINDOW_S * (3 * x + 2) / (1 + x) ** 2
    squares, laws = [], []
    for seed in range(6):
        lower, upper, probe, W = counts(at_once, fano, windows, seed)
        B = (lower - lower.mean(axis=0)).T @ (upper - upper.mean(axis=0))
        squares.append(math.tan(math.radians(angle_deg(B, W))) ** 2)
        laws.append(probing_law(lower, upper, probe, probe @ W.T, dt_s=WINDOW_S, max_lag_s=0.0))
    found_s = np.mean(squares) * windows * WINDOW_S / CELLS
    assert found_s == pytest.approx(expected_s * (1 + 1 / CELLS), rel=0.06)
    assert np.mean([law.tau_s for law in laws]) == pytest.approx(expected_s, rel=0.03)
    assert np.mean([law.fano_lower for law in laws]) == pytest.approx(fano, rel=0.03)
    assert np.mean([law.strong_s for law in laws]) == pytest.approx(3 * WINDOW_S / x, rel=0.03)


def test_without_spiking_of_their_own_nothing_remains() -> None:
    lower, upper, probe, W = counts(4, 0.0, 4 * CELLS, 0)
    assert angle_deg((lower - lower.mean(axis=0)).T @ (upper - upper.mean(axis=0)), W) < 1e-5
    law = probing_law(lower, upper, probe, probe @ W.T, dt_s=WINDOW_S, max_lag_s=0.0)
    assert abs(law.tau_s) < 1e-12


def test_the_part_that_probes_determine_is_found_through_a_filter() -> None:
    """A trace of a probe: an exponential, here of 3 samples; the noise of 20,000·4 samples leaves 1 %."""
    rng = np.random.default_rng(0)
    probe = rng.choice([-1.0, 0.0, 1.0], (20_000, 4))
    kernel = np.exp(-np.arange(40) / 3)
    exact = np.apply_along_axis(lambda one: np.convolve(one, kernel)[: len(probe)], 0, probe)
    noisy = 7.0 + exact + rng.standard_normal(exact.shape)
    found = probed_part(noisy, probe, 40)
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.05


@pytest.mark.slow
def test_noise_in_common_counts_as_the_upper_cells_pass_it() -> None:
    """Slow noise with a source in common and white spiking of each cell's own, which a slow filter passes less of.

    B = cov(x, g∗W·x) of 50,000 samples is at the angle of the correlation so measured, for 300 rows within 10 %, and
    that is much larger than the correlation of the signals themselves.
    """
    rng = np.random.default_rng(1)
    kernel = np.exp(-np.arange(30) / 5)
    slow, mean = (
        np.apply_along_axis(lambda one: np.convolve(one, kernel)[:50_000], 0, rng.standard_normal((50_000, cells)))
        for cells in (CELLS, 1)
    )
    x = math.sqrt(0.9) * slow + math.sqrt(0.1) * mean + 3 * rng.standard_normal(slow.shape)
    W = rng.standard_normal((300, CELLS)) / 4
    passed = np.apply_along_axis(lambda one: np.convolve(one, kernel)[:50_000], 0, x)
    rho = passed_correlation(x, passed @ W.T, W, 30)
    assert rho > 1.5 * np.corrcoef(x.T)[~np.eye(CELLS, dtype=bool)].mean()
    assert angle_deg(x.T @ passed @ W.T, W) == pytest.approx(correlated_angle_deg(CELLS, rho), rel=0.1)


def test_what_does_not_match_is_refused() -> None:
    with pytest.raises(RequestError, match="expected arrays of one shape"):
        probed_part(np.zeros((10, 2)), np.zeros((10, 3)), 2)
    with pytest.raises(RequestError, match="expected W"):
        passed_correlation(np.zeros((10, 2)), np.zeros((10, 3)), np.zeros((2, 3)), 2)
    with pytest.raises(RequestError, match="less than the signals"):
        probing_law(*[np.zeros((10, 2))] * 4, dt_s=0.01, max_lag_s=0.1)
