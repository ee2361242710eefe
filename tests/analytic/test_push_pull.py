"""Push-pull (8.2): what pairs of cells carry, mirror and learn is what units of signals of either sign would.

Tests of chance have fixed seeds; each says how often it would fail with others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from chosen_circuits import circuits
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from experiments.in_memory import simulate
from experiments.random_circuits import RATE_BACKENDS
from neuromirror.backends.settle import settle
from neuromirror.backends.torch.run import TorchEngine
from neuromirror.dynamics.codes import PushPull
from neuromirror.measure import angle_deg
from neuromirror.measure.theory import rate_angle_deg
from neuromirror.plan import Plan, make_plan, with_signs
from neuromirror.rules.updater import Step

Tables = dict[str, Any]
numbers = st.integers(0, 2**32)
MEAN = Step(keep=0.0, step=1.0)
"""An update after which B is the mean drive itself."""


def circuit_of(code: Tables, sizes: list[int], *, rate: float = 0.1, activation: str = "linear") -> nm.Circuit:
    """Return a chain that mirrors its first W, and then learns a task."""
    gates = [f"g{layer}" for layer in range(len(sizes))]
    W = [f"W{layer}" for layer in range(1, len(sizes))]
    B = [f"B{layer}" for layer in range(1, len(sizes))]
    errors = [f"e{layer}" for layer in range(1, len(sizes))]
    top = len(sizes) - 1
    return nm.Circuit(
        {
            "name": "chain",
            "code": code,
            "cells": {"cell": {"activation": activation, "refractory": "0 s"}},
            "layers": {"sizes": sizes, "bias": {"init": "normal", "gain": 0.1}},
            "feedback": {},
            "rules": {
                "mirror": {"drive": "weight_mirror", "updater": {"rate": rate, "decay": 0.5}},
                "forward": {"drive": "forward", "updater": {"rate": rate}},
                "bias": {"drive": "bias", "updater": {"rate": 0.1}},
            },
            "modes": {
                "mirror": {
                    "noise": {"y0": {}},
                    "on": ["W1", "x0", "x1"],
                    "learn": {"B1": "mirror"},
                    "bias": "blocked",
                },
                "engaged": {
                    "input": {"y0": "stimulus"},
                    "compare": {f"d{top}": f"y{top} - target"},
                    "on": [*W, *B, *gates, *errors],
                    "learn": {**dict.fromkeys(W, "forward"), **{f"y{k}.bias": "bias" for k in range(1, top + 1)}},
                },
            },
            "stimulus": {"kind": "teacher", "sd": 0.7, "bias_gain": 0.1},
            "schedule": [{"mode": "engaged", "examples": 40}],
            "time": {"batch": 8},
        }
    ).expand()


def engine_of(circuit: nm.Circuit, seed: int = 0) -> tuple[Plan, TorchEngine]:
    plan = make_plan(circuit, seed, "torch")
    return plan, TorchEngine(plan, dtype=torch.float64, device=torch.device("cpu"))


def mirrored(circuit: nm.Circuit, noise: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return B between units, the mean drive for this noise of cells, and W between units."""
    plan, engine = engine_of(circuit, seed)
    mode = plan.modes["mirror"]
    engine.present(mode, {}, {"y0": noise}, {}, len(noise))
    nominal = {name: np.full(size, plan.beta) for name, size in plan.sizes.items()}
    engine.learn(mode, mode.learners[0], MEAN, nominal)
    arrays = engine.arrays()
    return plan.coding.unit_weights(arrays["B1"]), plan.coding.unit_weights(arrays["W1"])


# ---- the code -------------------------------------------------------------------------------------------------------


@given(seed=numbers, beta=st.floats(0, 3), shape=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_a_pair_says_any_value_with_two_rates(seed: int, beta: float, shape: tuple[int, int]) -> None:
    values = 4 * np.random.default_rng(seed).standard_normal(shape)
    coding = PushPull(beta)
    rates = beta + coding.deviations(values)
    assert rates.shape == (shape[0], 2 * shape[1])
    assert rates.min() >= 0
    np.testing.assert_allclose(coding.values(rates), values, rtol=0, atol=1e-12)
    middle = np.abs(values) / 2 <= beta
    sums = rates[:, : shape[1]] + rates[:, shape[1] :]
    np.testing.assert_allclose(sums[middle], 2 * beta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sums[~middle], np.abs(values[~middle]), rtol=0, atol=1e-12)


@given(seed=numbers, shape=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_weights_of_either_sign_are_split_in_weights_of_one(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    W, signals, coding = rng.standard_normal(shape), rng.standard_normal(2 * shape[1]), PushPull(1.0)
    cells = coding.weights(W)
    assert cells.min() >= 0
    np.testing.assert_array_equal(coding.unit_weights(cells), W)
    np.testing.assert_allclose(coding.values(cells @ signals), W @ coding.values(signals), atol=1e-12)
    np.testing.assert_array_equal(coding.weights(W.T), cells.T)


# ---- the circuit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [None, "200 Hz"])
@given(seed=numbers)
@settings(max_examples=15, deadline=None)
def test_linear_units_are_those_of_a_zero_mean_code(beta: str | None, seed: int) -> None:
    """Without a baseline ReLU cells are halves of their unit; with one they are linear until one is silent."""
    sizes = [4, 3, 2]
    code = {"kind": "push_pull"} if beta is None else {"kind": "push_pull", "beta": beta}
    pairs = make_plan(circuit_of(code, sizes, activation="relu"), seed)
    single = make_plan(circuit_of({"kind": "zero_mean"}, sizes), seed)
    x = np.random.default_rng(seed).standard_normal((6, 4)) * 0.3
    found, expected = (
        settle(
            plan,
            plan.modes["engaged"],
            plan.initial_arrays(),
            inputs={"y0": plan.coding.deviations(x)},
            noise={},
            targets=None,
            zeros=lambda name, plan=plan: np.zeros((6, plan.sizes[name])),
            tanh=np.tanh,
        )
        for plan in (pairs, single)
    )
    for name in ("y0", "y1", "y2"):
        assert found[name].min() >= 0
        np.testing.assert_allclose(pairs.coding.values(found[name]), expected[name], rtol=0, atol=1e-12)


@given(seed=numbers)
@settings(max_examples=10, deadline=None)
def test_a_mirror_of_pairs_is_that_of_their_differences(seed: int) -> None:
    """B between units is the mean of (δ_on − δ_off)(δ_on − δ_off)ᵀ/2, whatever the cells do together."""
    noise = np.random.default_rng(seed).standard_normal((30, 8))
    common = 0.5 * np.random.default_rng(seed + 1).standard_normal((30, 1))
    single = mirrored(circuit_of({"kind": "zero_mean"}, [4, 3]), (noise[:, :4] - noise[:, 4:]) / np.sqrt(2), seed)
    pairs = mirrored(circuit_of({"kind": "push_pull", "beta": "2 kHz"}, [4, 3]), noise + common, seed)
    for found, expected in zip(pairs, single, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_weights_learn_a_task_as_those_of_units_do_at_half_the_rate(seed: int) -> None:
    """A cell has half its unit's error and half its signal; a weight of units is that of two cells, a bias the sum."""
    pairs, single = (
        (make_plan(circuit, seed), simulate(circuit, "torch", seed, points=6).snapshots)
        for circuit in (
            circuit_of({"kind": "push_pull", "beta": "2 kHz"}, [4, 3, 2], rate=0.1),
            circuit_of({"kind": "zero_mean"}, [4, 3, 2], rate=0.05),
        )
    )
    for found, expected in zip(pairs[1], single[1], strict=True):
        for name in ("W1", "W2", "B1", "B2"):
            units = pairs[0].coding.unit_weights(found.arrays[name])
            np.testing.assert_allclose(units, expected.arrays[name], rtol=0, atol=1e-10, err_msg=name)
        biases = pairs[0].coding.values(found.arrays["y1.bias"])
        np.testing.assert_allclose(biases, expected.arrays["y1.bias"], rtol=0, atol=1e-10)
        assert found.more.get("loss", 0.0) == pytest.approx(expected.more.get("loss", 0.0), rel=1e-9)
    moved = np.abs(single[1][-1].arrays["W1"] - single[1][0].arrays["W1"]).max()
    assert moved > 0.01


# ---- Dale's law -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", RATE_BACKENDS)
@given(circuit=circuits(), seed=numbers)
@settings(max_examples=10, deadline=None)
def test_under_dales_law_no_weight_is_negative(backend: str, circuit: nm.Circuit, seed: int) -> None:
    asked = circuit.with_values({"code": {"kind": "push_pull", "dale": True, "beta": "12 Hz"}})
    for snapshot in simulate(asked, backend, seed, points=20).snapshots:
        assert all(array.min() >= 0 for array in snapshot.arrays.values() if array.ndim == 2)


def test_without_dales_law_weights_may_become_negative() -> None:
    code = {"kind": "push_pull", "beta": "200 Hz"}
    free, kept = (
        simulate(circuit_of({**code, "dale": dale}, [4, 3], rate=0.3), "torch").snapshots[-1].arrays["W1"]
        for dale in (False, True)
    )
    assert free.min() < -0.01
    assert kept.min() == 0


@pytest.mark.parametrize("transport", ["exact", "sign"])
def test_transported_feedback_is_that_between_units(transport: str) -> None:
    code = {"kind": "push_pull", "dale": True}
    changes = {"projections.B1.transport": transport, "modes.mirror.learn": {}}
    circuit = circuit_of(code, [5, 4]).with_values(changes)
    plan = make_plan(circuit, 0)
    B, W = (plan.coding.unit_weights(plan.initial_arrays()[name]) for name in ("B1", "W1"))
    expected = W.T if transport == "exact" else np.abs(plan.drawn_arrays()["B1"]) * np.sign(W.T)
    np.testing.assert_allclose(B, expected, rtol=0, atol=1e-15)


@given(seed=numbers, shape=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_signs_are_those_between_units_whatever_both_cells_share(seed: int, shape: tuple[int, int]) -> None:
    """Rules may leave all four weights of a pair of units above zero; the sign between units is one all the same."""
    rng, coding = np.random.default_rng(seed), PushPull(1.0)
    W, sizes = rng.standard_normal(shape), np.abs(rng.standard_normal(shape))
    learned = coding.weights(W) + rng.random((2 * shape[0], 1))
    for cells in (learned, torch.as_tensor(learned)):
        found = np.asarray(with_signs(coding.magnitudes(sizes), np.asarray(coding.signs(cells))))
        assert found.min() >= 0
        np.testing.assert_allclose(coding.unit_weights(found), sizes * np.sign(W), rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", RATE_BACKENDS)
def test_permuted_cross_projections_permute_both_cells_of_a_pair(backend: str) -> None:
    code = {"kind": "push_pull", "beta": "30 Hz"}
    straight = circuit_of(code, [3, 2]).with_values({"schedule": [{"mode": "mirror", "examples": 40}]})
    order = {"x0": [2, 0, 1], "x1": [1, 0]}
    zero = {"projections.B1.weight": {"init": "constant"}}
    permuted = straight.with_values({f"projections.{x}.permutation": p for x, p in order.items()} | zero)
    plan = make_plan(straight, 0)
    B = [
        plan.coding.unit_weights(simulate(c, backend).snapshots[-1].arrays["B1"])
        for c in (straight.with_values(zero), permuted)
    ]
    np.testing.assert_allclose(B[1], B[0][np.ix_(*order.values())], rtol=0, atol=1e-12)
    assert np.abs(B[0]).max() > 0.1


# ---- how much mirroring it takes ------------------------------------------------------------------------------------


LOWER, UPPER, EXAMPLES, SEEDS = 20, 10, 800, 30
BETA = {"beta": "2 kHz"}


def tangents(code: Tables, cells: int, *, correlation: float = 0.0, lower: int = LOWER, seeds: int = SEEDS) -> Any:
    """Return tan θ of B after EXAMPLES, of each seed, with noise of which all cells share a part of the variance."""
    pairs = with_common_noise(code, cells, correlation=correlation, lower=lower, seeds=seeds)
    return np.array([np.tan(np.radians(angle_deg(B, W))) for B, W in pairs])


def with_common_noise(
    code: Tables, cells: int, *, correlation: float, lower: int, seeds: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return B after EXAMPLES and W, of each seed, with noise of which all cells share a part of the variance."""
    pairs = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        own, shared = rng.standard_normal((EXAMPLES, cells)), rng.standard_normal((EXAMPLES, 1))
        noise = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * shared
        pairs.append(mirrored(circuit_of(code, [lower, UPPER]), noise, seed))
    return pairs


def test_independent_noise_makes_push_pull_half_as_efficient_as_a_baseline() -> None:
    """Twice the cells, and so twice the spikes, give the same angle: that of the law for as many units.

    tan²θ has a standard error of 2% over 30 seeds; 8% are four of them, passed by chance once in 10 000 times.
    """
    baseline = tangents({"kind": "baseline", **BETA}, LOWER)
    pairs = tangents({"kind": "push_pull", **BETA}, 2 * LOWER)
    law = np.tan(np.radians(rate_angle_deg(LOWER, EXAMPLES, "linear")))
    for found in (baseline, pairs):
        assert (found**2).mean() == pytest.approx(law**2, rel=0.08)
    spikes_per_cell = 2
    assert spikes_per_cell * (pairs**2).mean() / (baseline**2).mean() == pytest.approx(2.0, rel=0.12)


def test_correlated_noise_ruins_a_baseline_and_not_push_pull() -> None:
    """A baseline's floor is the angle of C·Wᵀ, about 26° for n = 100 and ρ = 0.05; pairs lose what both cells share.

    What is left of push-pull is the sampling angle. Each seed's floor is that of its own W, so that what varies is the
    variance of the common source, √(2/EXAMPLES): the floor over 5 seeds has a standard error of 2.2%.
    """
    n, rho = 100, 0.05
    C = (1 - rho) * np.eye(n) + rho
    baseline = with_common_noise({"kind": "baseline", **BETA}, n, correlation=rho, lower=n, seeds=5)
    pairs = tangents({"kind": "push_pull", **BETA}, 2 * n, correlation=rho, lower=n, seeds=5)
    sampling = np.tan(np.radians(rate_angle_deg(n, EXAMPLES, "linear")))
    tangent, floor = (
        np.sqrt(np.mean([np.tan(np.radians(angle_deg(array, W))) ** 2 for array, W in arrays]))
        for arrays in (baseline, [(C @ W.T, W) for _, W in baseline])
    )
    assert np.sqrt(tangent**2 - sampling**2) == pytest.approx(floor, rel=0.1)
    assert np.sqrt((pairs**2).mean()) == pytest.approx(sampling, rel=0.1)
