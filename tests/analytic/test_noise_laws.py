"""The laws of noise: what the cells of a layer have in common, bursts, and Poisson spikes; what B makes of each.

Statistical bounds hold for fixed seeds; each docstring says how far they are from what is expected.
"""

from __future__ import annotations

import math

import brian2 as b2
import numpy as np
import pytest

from experiments.in_memory import simulate
from experiments.random_circuits import RATE_BACKENDS, Tables
from experiments.section import section
from neuromirror import seeds
from neuromirror.backends.brian2.network import SpikingNetwork
from neuromirror.backends.brian2.runtime import quieten, use_runtime
from neuromirror.backends.noise import NoiseSource, burst_code
from neuromirror.circuit.circuit import Circuit
from neuromirror.measure import angle_deg, correlated_angle_deg, rate_angle_deg
from neuromirror.plan import make_plan

every_backend = pytest.mark.parametrize("backend", RATE_BACKENDS)


def layer(
    sizes: list[int], noise: Tables, examples: int, *, code: Tables | None = None, activation: str = "linear"
) -> Circuit:
    """Return cells whose B is the mean product over all examples, in one update."""
    return Circuit(
        {
            "name": "noisy",
            "code": code or {"kind": "zero_mean"},
            "cells": {"cell": {"activation": activation}},
            "layers": {"sizes": sizes},
            "feedback": {},
            "rules": {"mirror": {"drive": "weight_mirror", "updater": {"rate": 1.0, "decay": 1.0}}},
            "modes": {"mirror": {"noise": {"y0": noise}, "on": ["W1", "x0", "x1"], "learn": {"B1": "mirror"}}},
            "schedule": [{"mode": "mirror", "examples": examples}],
            "time": {"batch": examples},
        }
    )


def drawn(circuit: Circuit, examples: int, seed: int = 0) -> np.ndarray:
    plan = make_plan(circuit, seed)
    return NoiseSource(plan).draw(plan.modes["mirror"], examples)["y0"]


@pytest.mark.parametrize("law", ["gaussian", "rademacher"])
@pytest.mark.parametrize("rho", [0.0, 0.05, 0.4])
def test_any_two_cells_have_the_correlation_and_each_its_variance(law: str, rho: float) -> None:
    """Of 40,000 examples; five standard errors, 0.005·5, which chance exceeds for one of 360 entries once in 5,000."""
    noise = drawn(layer([8, 3], {"law": law, "sd": 0.7, "correlation": rho}, 10), 40_000)
    covariance = noise.T @ noise / len(noise) / 0.7**2
    np.testing.assert_allclose(covariance, (1 - rho) * np.eye(8) + rho, atol=0.036)
    if law == "rademacher":
        assert set(np.unique(noise)) == {-0.7, 0.7}


def test_without_a_correlation_noise_is_what_it_always_was() -> None:
    expected = seeds.stream(0, "noise", "y0").standard_normal((50, 4))
    np.testing.assert_array_equal(drawn(layer([4, 3], {}, 10), 50), expected)
    np.testing.assert_array_equal(drawn(layer([4, 3], {"correlation": 0.0}, 10), 50), expected)


@pytest.mark.parametrize("noise", [{"correlation": 0.3}, {"law": "rademacher", "correlation": 0.3}])
def test_noise_does_not_depend_on_how_examples_are_batched(noise: Tables) -> None:
    plan = make_plan(layer([4, 3], noise, 10), 1)
    source = NoiseSource(plan)
    mode = plan.modes["mirror"]
    parts = [source.draw(mode, examples)["y0"] for examples in (3, 10, 1, 26)]
    np.testing.assert_array_equal(np.concatenate(parts), NoiseSource(plan).draw(mode, 40)["y0"])


@pytest.mark.parametrize(
    "noise",
    [
        {"correlation": 0.2},
        {"law": "rademacher", "correlation": 0.2},
        {"law": "bursts", "amplitude": 0.5, "cells": 2, "dwell": "40 ms"},
        {"law": "poisson"},
    ],
    ids=str,
)
def test_all_rate_backends_are_fed_the_same(noise: Tables) -> None:
    circuit = layer([5, 3], noise, 30, code={"kind": "baseline", "beta": "50 Hz"})
    found = [simulate(circuit, backend, 2).snapshots[-1].arrays["B1"] for backend in RATE_BACKENDS]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9, atol=1e-12)


# Correlated noise


@pytest.mark.parametrize(
    ("fan_in", "rho", "activation"),
    [(20, 0.05, "linear"), (100, 0.02, "relu"), (100, 0.2, "linear"), (100, 0.2, "relu")],
)
def test_a_common_source_leaves_an_angle_that_no_time_removes(fan_in: int, rho: float, activation: str) -> None:
    """tan θ = ρ√(n − 1) of linear and ReLU cells: B tends to a multiple of C·Wᵀ, here computed for 4,000 rows of W.

    What of W lies along the common source varies by √(2/rows), and tan θ by less than half as much: 1.1 % of 4,000
    rows and 3.6 % of 400. B of a run of 400 rows and 10,000 examples adds the angle of sampling, at a right angle to
    the law. Bounds are three standard errors, passed by chance once in 400 times, with the seeds given.
    """
    W = np.random.default_rng(0).standard_normal((4000, fan_in)) / math.sqrt(fan_in)
    C = (1 - rho) * np.eye(fan_in) + rho
    law = math.tan(math.radians(correlated_angle_deg(fan_in, rho)))
    assert tangent(C @ W.T, W) == pytest.approx(law, rel=0.033)
    examples = 10_000
    circuit = layer([fan_in, 400], {"correlation": rho}, examples, activation=activation)
    arrays = simulate(circuit, "torch").snapshots[-1].arrays
    sampling = math.tan(math.radians(rate_angle_deg(fan_in, examples, activation)))
    assert tangent(arrays["B1"], arrays["W1"]) == pytest.approx(math.hypot(law, sampling), rel=0.11)


def tangent(B: np.ndarray, W: np.ndarray) -> float:
    """Return tan θ of the angle between B and Wᵀ."""
    return math.tan(math.radians(angle_deg(B, W)))


def test_rows_of_w_that_add_up_to_zero_do_not_see_the_common_source() -> None:
    W = np.random.default_rng(0).standard_normal((10, 20))
    W -= W.mean(axis=1, keepdims=True)
    assert angle_deg((0.7 * np.eye(20) + 0.3) @ W.T, W) < 1e-5


# Bursts


@every_backend
@pytest.mark.parametrize(("cells", "order"), [(1, "given"), (2, "shuffled"), (8, "shuffled")])
def test_bursts_give_w_exactly(backend: str, cells: int, order: str) -> None:
    """After n probes up and n down, n a multiple of the cells at a time: B = s²·(k/n)·Wᵀ. A dwell of 2 windows doubles
    the number of examples and changes nothing."""
    noise = {"law": "bursts", "amplitude": 0.5, "cells": cells, "dwell": "40 ms", "order": order}
    arrays = simulate(layer([8, 5], noise, 32), backend, 3).snapshots[-1].arrays
    np.testing.assert_allclose(arrays["B1"], 0.25 * cells / 8 * arrays["W1"].T, rtol=1e-12, atol=1e-14)


def test_bursts_go_on_where_the_mode_was_left() -> None:
    noise = {"law": "bursts", "amplitude": 0.5, "dwell": "20 ms"}
    plan = make_plan(layer([4, 3], noise, 10), 1)
    source, mode = NoiseSource(plan), plan.modes["mirror"]
    parts = [source.draw(mode, examples)["y0"] for examples in (3, 10, 27)]
    code = burst_code(plan, "y0", mode.noise["y0"])
    np.testing.assert_array_equal(np.concatenate(parts), 0.5 * code.signs(np.arange(40)))


# Poisson


def test_poisson_rates_have_the_variance_of_counts() -> None:
    """Mean 0 and variance β/(unit·counts of a unit): five standard errors of 40,000·6 draws, 0.3 % of the variance."""
    circuit = layer([6, 3], {"law": "poisson"}, 10, code={"kind": "baseline", "beta": "50 Hz", "unit": "25 Hz"})
    noise = drawn(circuit, 40_000)
    expected = 2.0 / (25 * 0.02)
    assert noise.mean() == pytest.approx(0, abs=5 * math.sqrt(expected / noise.size))
    assert noise.var() == pytest.approx(expected, rel=5 * 0.004)
    assert noise.min() == -2.0


# Spikes


def recorded(variable: str, seconds: int, *changes: str, cells: int = 8) -> tuple[SpikingNetwork, np.ndarray]:
    """Return a network after a run with a variable of its cells y0 at every window, (windows, cells)."""
    plan = make_plan(section(cells, 2, f"{seconds} s", changes=list(changes)), 0, "brian2")
    quieten()
    use_runtime("numpy")
    spiking = SpikingNetwork(plan, 1)
    b2.seed(1)
    here = spiking.layout.cells("y0")
    record = list(range(here.start, here.stop))
    # after the window has begun and before it is over
    monitor = b2.StateMonitor(spiking.cells, variable, record=record, dt=2.5 * b2.ms, when="end")
    spiking.network.add(monitor)
    spiking.network.run(seconds * b2.second, namespace={})
    return spiking, np.asarray(getattr(monitor, variable)).T


def test_the_noise_of_spiking_cells_has_its_deviation_time_constant_and_correlation() -> None:
    """1,000 independent times of 4 s of 8 cells: five standard errors are 6 % of a variance, .08 of a correlation."""
    noise = "modes.mirror.noise.y0={sd=2.0, tau='4 ms', correlation=0.3}"
    _, found = recorded("noise", 4, noise)
    covariance = np.cov(found.T) / 4.0
    assert np.trace(covariance) / 8 == pytest.approx(1, abs=0.12)
    off = covariance[~np.eye(8, dtype=bool)]
    assert off.mean() == pytest.approx(0.3, abs=0.1)
    for lag in (1, 2):
        along = np.mean(found[lag:] * found[:-lag]) / np.mean(found**2)
        assert along == pytest.approx(math.exp(-lag * 2.5 / 4), abs=0.06)


def test_noise_of_spiking_cells_that_is_slow_is_so() -> None:
    """Of 6 s and 8 cells, 480 independent times: the correlation at a lag of τ is e⁻¹ within five standard errors."""
    _, found = recorded("noise", 6, "modes.mirror.noise.y0.tau=50 ms")
    assert np.mean(found[20:] * found[:-20]) / np.mean(found**2) == pytest.approx(math.exp(-1), abs=0.2)
    assert found.std() == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize(("at_once", "order"), [(1, "shuffled"), (4, "given"), (8, "shuffled")])
def test_spiking_cells_burst_in_the_same_order_as_rates(at_once: int, order: str) -> None:
    noise = f"modes.mirror.noise.y0={{law='bursts', amplitude=1.5, cells={at_once}, dwell='10 ms', order='{order}'}}"
    spiking, found = recorded("noise", 1, noise)
    mode = spiking.plan.modes["mirror"]
    np.testing.assert_allclose(found, NoiseSource(spiking.plan).draw(mode, len(found))["y0"])


def test_poisson_cells_fire_at_the_baseline_with_the_variance_of_poisson_processes() -> None:
    """8 cells, 10 s at 100 Hz: five standard errors of the rate are 5.6 Hz; windows of 20 ms, 4,000 of them, give the
    Fano factor within .11. It is 1 − β·dt, since a cell fires once a step at most; leaky cells have some .4."""
    spiking, _ = recorded("noise", 10, "modes.mirror.noise.y0={law='poisson'}")
    here, cells = spiking.layout.cells("y0"), np.asarray(spiking.spikes.i)
    mine = (cells >= here.start) & (cells < here.stop)
    windows = np.asarray(spiking.spikes.t / b2.ms)[mine] // 20
    counts = np.bincount((windows * 8 + cells[mine] - here.start).astype(int), minlength=500 * 8)
    assert counts.mean() / 0.02 == pytest.approx(100, abs=5.6)
    assert counts.var() / counts.mean() == pytest.approx(0.95, abs=0.11)
