"""What B tends to in mirror mode, and how fast: the derivations of section 6 and Appendix B, and the laws of the docs.

Statistical bounds hold for fixed seeds; each docstring says how far they are from what is expected.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

import neuromirror as nm
from experiments.in_memory import simulate
from experiments.random_circuits import ACTIVATIONS, RATE_BACKENDS, Tables, dense
from neuromirror import seeds
from neuromirror.backends.rate import RateEngine
from neuromirror.backends.reference import ReferenceEngine
from neuromirror.circuit.circuit import Circuit
from neuromirror.measure import angle_deg, effective_examples, gain, rate_angle_deg
from neuromirror.plan import Plan, make_plan

ZERO_MEAN = {"kind": "zero_mean"}
CENTRED = {"kind": "zero_mean", "estimate": {"tau": "1 s"}}
every_backend = pytest.mark.parametrize("backend", RATE_BACKENDS)


def plain_average(examples: int, batch: int) -> Tables:
    """Return an updater that weighs all examples alike from the start, and the timing that goes with it."""
    return {"updater": {"memory": 10 * examples, "memory_from": 1, "decay": 1.0}, "batch": batch, "examples": examples}


def mirror(
    sizes: list[int],
    *,
    activation: str = "linear",
    code: Tables = ZERO_MEAN,
    W: np.ndarray | None = None,
    noise: Tables | None = None,
    bias: Tables | None = None,
    mode: Tables | None = None,
    drive: str = "weight_mirror",
    updater: Tables | None = None,
    batch: int = 50,
    examples: int = 1000,
) -> Circuit:
    """Return a circuit whose first layer is noisy while B1 learns."""
    noisy = {"noise": {"y0": noise or {}}, "on": ["W1", "x0", "x1"], "learn": {"B1": "mirror"}, "bias": "blocked"}
    init = None if W is None else {"init": "values", "values": W.tolist()}
    return Circuit(
        {
            "name": "mirror",
            "code": code,
            "cells": {"cell": {"activation": activation}},
            "layers": {"sizes": sizes, **({"bias": bias} if bias else {})},
            "feedback": {},
            "projections": {"W1": dense("y0", "y1", init)} if init else {},
            "rules": {"mirror": {"drive": drive, "updater": updater or {"rate": 0.1, "decay": 0.5}}},
            "modes": {"mirror": {**noisy, **(mode or {})}},
            "schedule": [{"mode": "mirror", "examples": examples}],
            "time": {"batch": batch},
        }
    )


def mirrored(circuit: Circuit, seed: int, backend: str = "torch") -> tuple[np.ndarray, np.ndarray]:
    """Return B1 and W1 at the end of a run."""
    arrays = simulate(circuit, backend, seed).snapshots[-1].arrays
    return arrays["B1"], arrays["W1"]


# What B is, exactly, given the noise


UPDATERS = {
    "rate": {"rate": 0.1, "decay": 0.5},
    "literal": {"rate": 0.1, "decay": 0.5, "decay_times_rate": False},
    "examples": {"memory": 300, "decay": 2.0},
    "seconds": {"memory": "4 s", "decay": 2.0},
    "growing": {"memory": "4 s", "memory_from": "0.5 s", "decay": 2.0},
}


def coefficients(updater: str, done: int, examples: int) -> tuple[float, float]:
    """Return what an update keeps of B and takes of the mean drive; docs/rules.md, for windows of 20 ms."""
    covered_s, learned_s = 0.02 * examples, 0.02 * (done + examples)
    match updater:
        case "rate":
            return 1 - 0.1 * 0.5, 0.1
        case "literal":
            return 1 - 0.5, 0.1
        case "examples":
            share = examples / 300
        case "seconds":
            share = covered_s / 4
        case _:
            share = covered_s / min(4, 0.5 + learned_s)
    return 1 - share, share / 2.0


@every_backend
@pytest.mark.parametrize("updater", UPDATERS)
@pytest.mark.parametrize("tau_s", [None, 2.0])
def test_b_follows_from_the_noise(backend: str, updater: str, tau_s: float | None) -> None:
    """Rectified cells about β = 1.6, whose averages move before the rule applies; the last of 13 updates is smaller."""
    beta, sd, batch, total, seed = 1.6, 1.2, 20, 247, 4
    code = {"kind": "baseline", "beta": "40 Hz", "unit": "25 Hz", **({"estimate": {"tau": "2 s"}} if tau_s else {})}
    circuit = mirror(
        [4, 3], activation="relu", code=code, noise={"sd": sd}, updater=UPDATERS[updater], batch=batch, examples=total
    )
    first, last = (simulate(circuit, backend, seed).snapshots[k].arrays for k in (0, -1))
    W, B, noise = first["W1"], first["B1"], seeds.stream(seed, "noise", "y0")
    mean0, mean1 = np.full(4, beta), np.full(3, beta)
    for done in range(0, total, batch):
        examples = min(batch, total - done)
        y0 = np.maximum(0, beta + sd * noise.standard_normal((examples, 4)))
        y1 = np.maximum(0, beta + (y0 - beta) @ W.T)
        if tau_s is not None:
            share = -np.expm1(-0.02 * examples / tau_s)
            mean0 = mean0 + share * (y0.mean(axis=0) - mean0)
            mean1 = mean1 + share * (y1.mean(axis=0) - mean1)
        keep, step = coefficients(updater, done, examples)
        B = keep * B + step * np.einsum("bi,bj->ij", y0 - mean0, y1 - mean1) / examples
    np.testing.assert_allclose(last["B1"], B, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(last["W1"], W)


# What B tends to


@pytest.mark.parametrize("sd", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_gain_of_linear_cells_is_the_variance_over_the_decay(sd: float, seed: int) -> None:
    """B is C·Wᵀ/λ, C the covariance of N examples: its gain has a standard error of at most (s²/λ)·√(2/N).

    Five of these are allowed, which chance exceeds 6 times in ten million; the initial B has 1 part in 20,000 left.
    """
    examples = 20_000
    average = plain_average(examples, 2000)
    average["updater"] = {**average["updater"], "decay": 0.5}
    B, W = mirrored(mirror([8, 5], noise={"sd": sd}, **average), seed)
    expected = sd**2 / 0.5
    assert gain(B, W) == pytest.approx(expected, rel=5 * math.sqrt(2 / examples) + 5e-4)


PHI = {
    "relu": lambda u: np.maximum(u, 0),
    "linear": lambda u: u,
    "tanh": np.tanh,
    "rectified_tanh": lambda u: np.maximum(np.tanh(u), 0),
}
W_3X2 = np.array([[1.0, -0.5], [0.2, 0.9], [-0.7, -0.4]])


def expected_products(activation: str, sd: float, beta: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of (y0 − β)(y1 − β) for every synapse of B, by quadrature over both cells."""
    level, default_bias = 0.0, 0.0
    if beta is not None:
        level, default_bias = beta, math.atanh(beta) if "tanh" in activation else beta
    lowest = -np.inf if beta is None else 0.0
    z = np.linspace(-7, 7, 1001)
    density = np.exp(-(z**2) / 2)
    weight = np.outer(density, density) / density.sum() ** 2
    cell = np.maximum(level + sd * z, lowest) - level
    lower = np.stack(np.meshgrid(cell, cell, indexing="ij"))
    upper = np.maximum(PHI[activation](np.tensordot(W_3X2, lower, 1) + default_bias), lowest) - level
    means = np.tensordot(lower * weight, upper, ([1, 2], [1, 2]))
    squares = np.tensordot(lower**2 * weight, upper**2, ([1, 2], [1, 2]))
    return means, np.sqrt(squares - means**2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("beta", "sd"), [(None, 0.8), (0.6, 0.2), (0.6, 0.9)])
def test_b_tends_to_the_expected_product(activation: str, beta: float | None, sd: float) -> None:
    """Noise and cells are clipped at zero in a baseline code: with β 0.6 and sd 0.9, a quarter of the noise is.

    Every entry of B is within five standard errors, which chance exceeds for one of the 72 with probability 4e-5.
    """
    examples = 200_000
    code = ZERO_MEAN if beta is None else {"kind": "baseline", "beta": f"{25 * beta} Hz", "unit": "25 Hz"}
    average = plain_average(examples, 20_000)
    B, _ = mirrored(mirror([2, 3], activation=activation, code=code, W=W_3X2, noise={"sd": sd}, **average), 2)
    means, deviations = expected_products(activation, sd, beta)
    errors = (B - means) / (deviations / math.sqrt(examples) + 1e-4)
    assert np.abs(errors).max() < 5


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_little_noise_meets_the_slope_at_the_default_bias(activation: str) -> None:
    """Equation 21: B tends to s²·φ'(b⁻)·Wᵀ. The quadrature that the test above relies on says so too."""
    beta, sd = 0.6, 0.02
    means, _ = expected_products(activation, sd, beta)
    slope = 1 - beta**2 if "tanh" in activation else 1.0
    np.testing.assert_allclose(means, sd**2 * slope * W_3X2.T, rtol=3e-3)
    code = {"kind": "baseline", "beta": f"{25 * beta} Hz", "unit": "25 Hz"}
    average = plain_average(100_000, 10_000)
    B, W = mirrored(mirror([2, 3], activation=activation, code=code, W=W_3X2, noise={"sd": sd}, **average), 0)
    # five standard errors of the gain, see above, and the quadrature's 0.3%; B(0) is left with 1e-5
    assert gain(B, W) == pytest.approx(sd**2 * slope, rel=5 * math.sqrt(2 / 100_000) + 3e-3 + 0.03)


# The angle


def rms_angle_deg(angles_deg: list[float]) -> float:
    """Return the angle whose tan² is the mean of tan², which the laws predict."""
    return math.degrees(math.atan(math.sqrt(np.mean(np.tan(np.radians(angles_deg)) ** 2))))


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize(("fan_in", "examples", "band"), [(20, 1000, 0.08), (20, 10_000, 0.08), (100, 4000, 0.03)])
def test_the_angle_follows_the_law(activation: str, fan_in: int, examples: int, band: float) -> None:
    """Over 12 seeds the standard error is about 2.5% of the angle with 20 inputs, and 0.7% with 100."""
    circuit = mirror([fan_in, 10], activation=activation, code=CENTRED, **plain_average(examples, examples // 10))
    angles = [angle_deg(*mirrored(circuit, seed)) for seed in range(12)]
    assert rms_angle_deg(angles) == pytest.approx(rate_angle_deg(fan_in, examples, activation), rel=band)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("times_rate", [True, False])
def test_both_readings_of_the_decay(activation: str, times_rate: bool) -> None:
    """The two fixed points of docs/rules.md, ⟨d⟩/λ and η⟨d⟩/λ, and the angles that forgetting leaves.

    With η 0.1 and λ 0.5 linear cells tend to 2 Wᵀ and rectified ones to Wᵀ, ten times less in the literal reading.
    Standard errors over 12 seeds are about 2% of the angle and 1% of the gain.
    """
    updater = {"rate": 0.1, "decay": 0.5, "decay_times_rate": times_rate}
    examples = 100 * (100 if times_rate else 20)
    circuit = mirror([20, 10], activation=activation, code=CENTRED, updater=updater, batch=100, examples=examples)
    found = [mirrored(circuit, seed) for seed in range(12)]
    a = 0.1 * 0.5 if times_rate else 0.5
    law = rate_angle_deg(20, effective_examples(100, a), activation)
    assert rms_angle_deg([angle_deg(B, W) for B, W in found]) == pytest.approx(law, rel=0.08)
    expected = (1.0 if times_rate else 0.1) * (2.0 if activation == "linear" else 1.0)
    assert np.mean([gain(B, W) for B, W in found]) == pytest.approx(expected, rel=0.04)


@every_backend
@pytest.mark.parametrize(
    ("updater", "fixed_point", "forgotten"),
    [
        ({"rate": 0.1, "decay": 0.5}, 0.7 / 0.5, 0.05),
        ({"rate": 0.1, "decay": 0.5, "decay_times_rate": False}, 0.1 * 0.7 / 0.5, 0.5),
        ({"memory": 250, "decay": 0.5}, 0.7 / 0.5, 10 / 250),
    ],
)
def test_a_constant_drive_leads_to_the_fixed_point(
    backend: str, updater: Tables, fixed_point: float, forgotten: float
) -> None:
    circuit = mirror([2, 3], drive="0.7", updater=updater, batch=10, examples=300)
    snapshots = simulate(circuit, backend, 0, points=30).snapshots
    initial = snapshots[0].arrays["B1"]
    for update, snapshot in enumerate(snapshots):
        expected = fixed_point + (initial - fixed_point) * (1 - forgotten) ** update
        np.testing.assert_allclose(snapshot.arrays["B1"], expected, rtol=1e-12)
    assert len(snapshots) == 31


# Biases


def test_biases_left_unblocked_cost_what_their_spread_of_gains_costs() -> None:
    """A rectified cell with bias b and weights w is above zero for the part Φ(b/‖w‖) of Gaussian noise, which is what
    its weights are multiplied by in B (Stein). Biases of sd 0.5 and 1 of the drive thus cost 19 and 30 degrees."""
    for sd, cost in ((0.5, 19.0), (1.0, 30.0)):
        circuit = mirror(
            [20, 80],
            activation="relu",
            code=CENTRED,
            bias={"init": "normal", "gain": sd},
            mode={"bias": "on"},
            **plain_average(40_000, 4000),
        )
        found = []
        for seed in range(5):
            arrays = simulate(circuit, "torch", seed).snapshots[-1].arrays
            B, W, b = arrays["B1"], arrays["W1"], arrays["y1.bias"]
            gains = ndtr(b / np.linalg.norm(W, axis=1))
            np.testing.assert_allclose(np.linalg.norm(B, axis=0) / np.linalg.norm(W, axis=1), gains, atol=0.05)
            found.append(angle_deg(B, W))
            # 40,000 examples leave 1.5 degrees of their own, at a right angle to this
            assert found[-1] == pytest.approx(angle_deg((gains[:, None] * W).T, W), abs=0.6)
        assert np.mean(found) == pytest.approx(cost, abs=2.5)


@every_backend
def test_blocked_biases_leave_no_trace(backend: str) -> None:
    biased = mirror(
        [5, 4],
        activation="relu",
        code=CENTRED,
        bias={"init": "normal", "gain": 1.0},
        drive="post - beta_post",
        examples=200,
    )
    bare = mirror([5, 4], activation="relu", code=CENTRED, drive="post - beta_post", examples=200)
    first, last = (simulate(biased, backend, 0).snapshots[k].arrays for k in (0, -1))
    np.testing.assert_array_equal(last["B1"], mirrored(bare, 0, backend)[0])
    np.testing.assert_array_equal(last["y1.bias"], first["y1.bias"])
    assert np.abs(last["B1"] - first["B1"]).max() > 0


# The default bias


def engine(plan: Plan, backend: str) -> RateEngine:
    """Return a backend's engine, to show it examples of one's own."""
    if backend == "reference":
        return ReferenceEngine(plan)
    if backend == "brian2-rate":
        from neuromirror.backends.brian2.rate import Brian2RateEngine

        return Brian2RateEngine(plan)
    import torch

    from neuromirror.backends.torch.run import TorchEngine

    return TorchEngine(plan, dtype=torch.float64, device=torch.device("cpu"))


def response(plan: Plan, backend: str, deviations: list[float]) -> np.ndarray:
    """Return what the upper cells do when lower cells deviate from β by these numbers."""
    built = engine(plan, backend)
    mode = plan.modes["mirror"]
    built.present(mode, {"y0": np.array([deviations])}, {}, {}, 1)
    np.testing.assert_allclose(built.means()["y0"], plan.beta + np.array(deviations), rtol=1e-15)
    return built.means()["y1"]


@every_backend
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("beta", [0.2, 0.8])
def test_at_the_default_bias_cells_rest_at_beta_and_respond_both_ways(
    backend: str, activation: str, beta: float
) -> None:
    """Appendix B: φ(b⁻) = β, and the response to small deviations is φ'(b⁻)·W."""
    code = {"kind": "baseline", "beta": f"{25 * beta} Hz", "unit": "25 Hz"}
    plan = make_plan(mirror([2, 3], activation=activation, code=code, W=W_3X2), 0, backend)
    np.testing.assert_allclose(response(plan, backend, [0.0, 0.0]), beta, rtol=1e-14)
    slope = 1 - beta**2 if "tanh" in activation else 1.0
    for deviation in (np.array([1e-6, 0.0]), np.array([0.0, 1e-6]), np.array([-2e-6, 1e-6])):
        found = response(plan, backend, deviation.tolist()) - beta
        np.testing.assert_allclose(found, slope * W_3X2 @ deviation, rtol=1e-4)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 1.0), (0.0, 0.5), (-1.0, 0.0)])
def test_without_the_default_bias_rectified_cells_carry_less_or_nothing(
    factor: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upper cells with b⁻ = 0 lose what is below zero, and B half of its gain.

    With b⁻ = −β they are silent, and teach B nothing.
    """
    code = {"kind": "baseline", "beta": "100 Hz", "unit": "25 Hz", "estimate": {"tau": "1 s"}}
    circuit = mirror([6, 4], activation="relu", code=code, noise={"sd": 0.5}, **plain_average(20_000, 2000))
    right = Plan.default_bias
    monkeypatch.setattr(Plan, "default_bias", lambda plan, name: (factor if name == "y1" else 1.0) * right(plan, name))
    for backend in RATE_BACKENDS:
        plan = make_plan(mirror([2, 3], activation="relu", code=code, W=np.tile([1.0, -1.0], (3, 1))), 0, backend)
        below, above = (response(plan, backend, deviations)[0] for deviations in ([-0.5, 0.0], [0.5, 0.0]))
        assert (below, above) == {1.0: (3.5, 4.5), 0.0: (0.0, 0.5), -1.0: (0.0, 0.0)}[factor]
    B, W = mirrored(circuit, 0)
    # five standard errors of the gain; B(0) is left with 1 part in 20,000
    assert gain(B, W) == pytest.approx(expected * 0.25, abs=0.25 * 5 * math.sqrt(2 / 20_000) + 1e-3)
    if factor == -1.0:
        assert np.abs(B).max() < 1e-3


# Several layers


def chain(sizes: list[int], modes: Tables, examples: int) -> Circuit:
    """Return a linear circuit that mirrors in several modes, one after the other."""
    average = plain_average(examples, 2000)
    return Circuit(
        {
            "name": "chain",
            "code": ZERO_MEAN,
            "cells": {"cell": {"activation": "linear"}},
            "layers": {"sizes": sizes},
            "feedback": {},
            "rules": {"mirror": {"drive": "weight_mirror", "updater": average["updater"]}},
            "modes": modes,
            "schedule": [{"mode": mode, "examples": examples} for mode in modes],
            "time": {"batch": average["batch"]},
        }
    )


def test_layers_that_take_turns_all_align() -> None:
    """Each at the angle of its own fan-in; one seed's standard deviation is 8% of it at most."""
    modes = {
        f"mirror{layer}": {
            "noise": {f"y{layer - 1}": {}},
            "on": [f"W{layer}", f"x{layer - 1}", f"x{layer}"],
            "learn": {f"B{layer}": "mirror"},
        }
        for layer in (1, 2, 3)
    }
    arrays = simulate(chain([10, 20, 40, 30], modes, 10_000), "torch", 0).snapshots[-1].arrays
    for layer, fan_in in ((1, 10), (2, 20), (3, 40)):
        angle = angle_deg(arrays[f"B{layer}"], arrays[f"W{layer}"])
        assert angle == pytest.approx(rate_angle_deg(fan_in, 10_000, "linear"), rel=0.25)


def test_one_noisy_input_for_all_layers_copies_the_correlations_that_it_makes() -> None:
    """Section 8.5: the signal of y1 has covariance C = W1·W1ᵀ, so B2 tends to C·W2ᵀ. For square W1 of independent
    entries the eigenvalues of C have a variance of the square of their mean, which puts B2 at 45 degrees."""
    modes = {
        "mirror": {"noise": {"y0": {}}, "on": ["W1", "W2", "x0", "x1", "x2"], "learn": {"B1": "mirror", "B2": "mirror"}}
    }
    arrays = simulate(chain([60, 60, 60], modes, 40_000), "torch", 1).snapshots[-1].arrays
    W1, W2 = arrays["W1"], arrays["W2"]
    expected = angle_deg(W1 @ W1.T @ W2.T, W2)
    assert expected == pytest.approx(45, abs=3)
    assert angle_deg(arrays["B2"], W2) == pytest.approx(expected, abs=1)
    assert angle_deg(arrays["B1"], W1) < 3


# The shipped circuit


FIGURE1 = ['schedule=[{mode="mirror", examples=5000}]']


def test_figure1_as_rates_aligns() -> None:
    """5,000 examples alone would leave 1.6 degrees (the linear law), what is left of the initial B about as much."""
    circuit = nm.load("figure1", FIGURE1)
    angles = [angle_deg(*mirrored(circuit, seed)) for seed in range(10)]
    assert np.median(angles) < 2.5
    assert max(angles) < 5


def test_figure1_as_rates_is_the_same_on_the_reference() -> None:
    circuit = nm.load("figure1", FIGURE1)
    for seed in range(2):
        B, W = mirrored(circuit, seed, "reference")
        torch_B, torch_W = mirrored(circuit, seed, "torch")
        np.testing.assert_array_equal(W, torch_W)
        np.testing.assert_allclose(B, torch_B, rtol=1e-10)
