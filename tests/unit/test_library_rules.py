"""Rules of the library: their equations, and which loss each descends (Appendix A; eqs 4, 5, 16 to 19)."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.backends.reference import ReferenceEngine
from neuromirror.circuit.circuit import Circuit
from neuromirror.plan import FloatArray, make_plan
from neuromirror.rules import library as library_package
from neuromirror.rules.expression import VARIABLES, Drive
from neuromirror.rules.library import library

torch = pytest.importorskip("torch")

SIZES = st.integers(1, 4)
ROUNDING = 1e-12


# ---- the library ----------------------------------------------------------------------------------------------------


def test_the_library_has_the_rule_of_each_of_its_modules() -> None:
    modules = {module.name for module in pkgutil.iter_modules(library_package.__path__)}
    assert {"weight_mirror", "forward", "bias"} <= modules
    assert set(library()) == modules
    for name, rule in library().items():
        assert rule.name == name
        assert "eq" in rule.source or re.search(r"\d{4}", rule.source), "an equation, or a paper"
        assert Drive(rule.drive).names <= set(VARIABLES)


@given(st.integers(0, 2**32), SIZES, SIZES)
@settings(deadline=None, max_examples=50)
def test_drives_are_the_products_of_their_equations(seed: int, targets: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    post, beta_post, error, cross = rng.normal(size=(4, targets))
    pre, beta_pre = rng.normal(size=(2, sources))
    seen: dict[str, Any] = {"post": post[:, None], "beta_post": beta_post[:, None], "error": error[:, None]}
    seen |= {"cross": cross[:, None], "pre": pre, "beta_pre": beta_pre, "w": rng.normal(size=(targets, sources))}
    equations = {
        "weight_mirror": np.outer(post - beta_post, pre - beta_pre),  # eqs 7, 15
        "forward": -np.outer(error, pre - beta_pre),  # eqs 4, 14
        "bias": -error[:, None],
        "kolen_pollack": -np.outer(cross - beta_post, pre - beta_pre),
    }
    assert set(equations) == set(library())
    for name, expected in equations.items():
        np.testing.assert_allclose(Drive(library()[name].drive).evaluate(seen), expected, rtol=1e-15)


# ---- Appendix A: the weight mirror as gradient descent --------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """One update of B in mirror mode by the reference backend, and the signals that it was made of."""

    before: FloatArray
    after: FloatArray
    x_NL: FloatArray
    y_NU: FloatArray


@dataclass(frozen=True, kw_only=True)
class Case:
    """A mirror of random size, with everything in it drawn from a seed."""

    lower: int
    upper: int
    examples: int
    code: str
    activation: str
    rate: float
    decay: float
    seed: int


CASES = st.builds(
    Case,
    lower=SIZES,
    upper=SIZES,
    examples=st.integers(1, 4),
    code=st.sampled_from(["zero_mean", "baseline"]),
    activation=st.sampled_from(["relu", "linear"]),
    rate=st.floats(0.05, 1),
    decay=st.floats(0.05, 1),
    seed=st.integers(0, 10**6),
)


def mirror_once(case: Case, updater: dict[str, Any]) -> Mirrored:
    """Run one update of mirror mode, each side centred on a baseline of its own for every cell."""
    baseline = {"kind": "baseline", "beta": "200 Hz", "unit": "5 Hz"}  # beta is 40 units: no rate falls below zero
    tables = {
        "schema": 2,
        "name": "appendix A",
        "code": baseline if case.code == "baseline" else {"kind": "zero_mean"},
        "cells": {"cell": {"activation": case.activation}},
        "layers": {"sizes": [case.lower, case.upper]},
        "feedback": {},
        "rules": {"mirror": {"drive": "weight_mirror", "updater": updater}},
        "modes": {
            "mirror": {
                "noise": {"y0": {"sd": 1.0}},
                "on": ["W1", "x0", "x1"],
                "learn": {"B1": "mirror"},
                "bias": "blocked",
            }
        },
        "schedule": [{"mode": "mirror", "examples": case.examples}],
    }
    plan, rng = make_plan(Circuit(tables), case.seed), np.random.default_rng(case.seed)
    engine, mode = ReferenceEngine(plan), plan.modes["mirror"]
    arrays, (learner,) = engine.arrays(), mode.learners
    noise = rng.normal(size=(case.examples, case.lower))
    engine.present(mode, {}, {"y0": noise}, {}, case.examples)
    beta = {name: plan.beta + 0.3 * rng.normal(size=size) for name, size in plan.sizes.items()}
    step = learner.rule.updater.step(examples_seen=0, examples=case.examples, window_s=mode.window_s)
    engine.learn(mode, learner, step, beta)
    arriving = plan.beta + noise @ arrays["W1"].T  # for relu and linear cells the default bias is beta itself
    y = np.maximum(arriving, 0) if case.activation == "relu" else arriving
    x_NL, y_NU = plan.beta + noise - beta["d0"], y - beta["d1"]
    return Mirrored(before=arrays["B1"], after=engine.arrays()["B1"], x_NL=x_NL, y_NU=y_NU)


def gradient(found: Mirrored, weight_of_norm: float) -> tuple[FloatArray, float]:
    """Give ∂L/∂B of L = ⟨−Σ xᵢyⱼBᵢⱼ⟩ + weight_of_norm·‖B‖² by automatic differentiation, and a bound on its terms."""
    B = torch.tensor(found.before, requires_grad=True)
    outer = torch.einsum("ni,nj->nij", torch.tensor(found.x_NL), torch.tensor(found.y_NU))
    loss = -(outer * B).sum(dim=(1, 2)).mean() + weight_of_norm * (B**2).sum()
    loss.backward()
    scale = float(outer.abs().max()) + 2 * weight_of_norm * float(np.abs(found.before).max())
    return B.grad.numpy(), scale


@given(CASES)
@settings(deadline=None)
def test_eq_18_as_it_is_printed_descends_the_loss_of_eq_19(case: Case) -> None:
    found = mirror_once(case, {"rate": case.rate, "decay": case.decay, "decay_times_rate": False})
    slope, scale = gradient(found, case.decay / (2 * case.rate))
    assert found.before.shape == (case.lower, case.upper)
    assert np.abs(found.after - found.before + case.rate * slope).max() <= ROUNDING * case.rate * scale


@given(CASES)
@settings(deadline=None, max_examples=50)
def test_the_default_reading_descends_a_loss_whose_second_term_has_no_rate(case: Case) -> None:
    found = mirror_once(case, {"rate": case.rate, "decay": case.decay})
    slope, scale = gradient(found, case.decay / 2)
    assert np.abs(found.after - found.before + case.rate * slope).max() <= ROUNDING * case.rate * scale


@given(CASES)
@settings(deadline=None, max_examples=50)
def test_without_decay_it_descends_f_alone_which_has_no_minimum(case: Case) -> None:
    found = mirror_once(case, {"rate": case.rate})
    slope, scale = gradient(found, 0.0)
    assert np.abs(found.after - found.before + case.rate * slope).max() <= ROUNDING * case.rate * scale
    again, _ = gradient(Mirrored(before=found.after, after=found.after, x_NL=found.x_NL, y_NU=found.y_NU), 0.0)
    np.testing.assert_array_equal(again, slope)  # as steep after the step as before it


# ---- forward rule and bias rule as gradient descent -----------------------------------------------------------------

TORCH_PHI = {
    "linear": lambda u: u,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "rectified_tanh": lambda u: torch.relu(torch.tanh(u)),
}


def awake(sizes: list[int], activation: str, rate: float) -> dict[str, Any]:
    """Give a circuit that learns its task with B = Wᵀ, so that its errors are those of backpropagation."""
    layers = range(1, len(sizes))
    on = [f"{kind}{layer}" for layer in layers for kind in ("W", "g", "e", *(["B"] if layer > 1 else []))]
    learn = {f"W{layer}": "forward" for layer in layers} | {f"y{layer}.bias": "bias" for layer in layers}
    return {
        "schema": 2,
        "name": "awake",
        "code": {"kind": "zero_mean"},
        "cells": {"cell": {"activation": activation}},
        "layers": {"sizes": sizes, "bias": {"init": "normal", "gain": 0.5}},
        "feedback": {"transport": "exact"},
        "rules": {name: {"drive": name, "updater": {"rate": rate}} for name in ("forward", "bias")},
        "modes": {
            "engaged": {
                "input": {"y0": "stimulus"},
                "compare": {f"d{len(sizes) - 1}": f"y{len(sizes) - 1} - target"},
                "on": on,
                "learn": learn,
            }
        },
        "stimulus": {"kind": "teacher"},
        "schedule": [{"mode": "engaged", "examples": 1}],
    }


@given(
    st.lists(SIZES, min_size=2, max_size=4),
    st.sampled_from(sorted(TORCH_PHI)),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=60)
def test_forward_and_bias_rule_descend_half_the_squared_error(
    sizes: list[int], activation: str, examples: int, seed: int
) -> None:
    rate = 0.25
    plan, rng = make_plan(Circuit(awake(sizes, activation, rate)), seed), np.random.default_rng(seed)
    engine, mode, top = ReferenceEngine(plan), plan.modes["engaged"], len(sizes) - 1
    before = engine.arrays()
    inputs, targets = rng.normal(size=(examples, sizes[0])), rng.normal(size=(examples, sizes[-1]))
    engine.present(mode, {"y0": inputs}, {}, {f"d{top}": targets}, examples)
    zeros = {name: np.zeros(size) for name, size in plan.sizes.items()}
    for learner in mode.learners:
        step = learner.rule.updater.step(examples_seen=0, examples=examples, window_s=mode.window_s)
        engine.learn(mode, learner, step, zeros)
    after = engine.arrays()

    weights = {name: torch.tensor(array, requires_grad=True) for name, array in before.items() if name[0] != "B"}
    y = torch.tensor(inputs)
    for layer in range(1, top + 1):
        y = TORCH_PHI[activation](y @ weights[f"W{layer}"].T + weights[f"y{layer}.bias"])
    loss = 0.5 * ((y - torch.tensor(targets)) ** 2).sum(dim=1).mean()
    loss.backward()
    assert engine.loss(mode) == pytest.approx(loss.item(), rel=ROUNDING)
    assert len(weights) == 2 * top
    for name, weight in weights.items():
        np.testing.assert_allclose(after[name], before[name] - rate * weight.grad.numpy(), rtol=0, atol=1e-12)
