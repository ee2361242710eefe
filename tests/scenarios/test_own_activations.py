"""Activation functions of a user's own: the same on every rate backend, and refused where the slope is wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.circuit.activations import activation_of
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Cell
from neuromirror.dynamics.activations import ACTIVATIONS
from neuromirror.plan import make_plan

RATES = ["reference", "torch", "brian2-rate"]
OWN = {
    "softplus": ("log(1 + exp(u))", "1 - exp(-y)"),
    "sigmoid": ("1/(1 + exp(-u))", "y*(1 - y)"),
    "signed_log": ("sign(u)*log(1 + abs(u))", "exp(-abs(y))"),
    "signed_square": ("u + sign(u)*abs(u)**2/10", "sqrt(1 + 4*abs(y)/10)"),
    "scaled": ("5*u/2", "5/2"),
}
ALIKE = {
    "relu": ("(u + abs(u))/2", "(1 + sign(y))/2 * sign(y)"),
    "tanh": ("tanh(u)", "1 - y*y"),
    "linear": ("u", "1"),
}


def cell(phi: str, slope: str) -> Cell:
    return Cell(activation="expr", phi=phi, slope=slope)


def chain(activation: dict[str, Any], code: dict[str, Any]) -> Circuit:
    """Give a chain of three layers that mirrors and learns awake."""
    return Circuit(
        {
            "name": "own",
            "code": code,
            "cells": {"cell": activation, "plain": {"activation": "linear"}},
            "layers": {"sizes": [4, 3, 2], "bias": {"init": "normal", "gain": 0.3}, "cell": "cell"},
            "feedback": {"cell": "plain"},
            "populations": {"y0": {"path": "forward", "layer": 0, "shape": [4], "cell": "plain"}},
            "rules": {
                "mirror": {"drive": "weight_mirror", "updater": {"rate": 0.05, "decay": 0.5}},
                "forward": {"drive": "forward", "updater": {"rate": 0.05}},
            },
            "modes": {
                "mirror": {
                    "noise": {"y1": {}},
                    "on": ["W2", "x1", "x2"],
                    "learn": {"B2": "mirror"},
                    "bias": "blocked",
                },
                "engaged": {
                    "input": {"y0": "stimulus"},
                    "compare": {"d2": "y2 - target"},
                    "on": ["W1", "W2", "B2", "g1", "g2", "e1", "e2"],
                    "learn": {"W1": "forward", "W2": "forward"},
                },
            },
            "stimulus": {"kind": "teacher"},
            "schedule": [{"mode": "mirror", "examples": 40}, {"mode": "engaged", "examples": 40}],
            "time": {"batch": 10},
        }
    )


CODES = {"zero_mean": {"kind": "zero_mean"}, "baseline": {"kind": "baseline", "beta": "15 Hz", "unit": "25 Hz"}}


def simulate(circuit: Circuit, backend: str, folder: Path) -> dict[str, np.ndarray]:
    run = nm.run(circuit, backend=backend, points=2, out=folder, figures=False)
    return {name: run.weights(name) for name in ("W1", "W2", "B2")}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", OWN)
def test_the_rate_backends_agree(name: str, code: str, tmp_path: Path) -> None:
    phi, slope = OWN[name]
    circuit = chain({"activation": "expr", "phi": phi, "slope": slope}, CODES[code])
    found = [simulate(circuit, backend, tmp_path / backend) for backend in RATES]
    before = make_plan(circuit, 0).initial_arrays()
    for array in ("W1", "W2", "B2"):
        assert np.abs(found[0][array] - before[array]).max() > 1e-4
        for one in found[1:]:
            np.testing.assert_allclose(one[array], found[0][array], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("backend", RATES)
def test_an_expression_of_a_known_activation_is_that_activation(name: str, backend: str, tmp_path: Path) -> None:
    phi, slope = ALIKE[name]
    own = simulate(
        chain({"activation": "expr", "phi": phi, "slope": slope}, CODES["baseline"]), backend, tmp_path / "o"
    )
    known = simulate(chain({"activation": name}, CODES["baseline"]), backend, tmp_path / "k")
    for array in own:
        np.testing.assert_allclose(own[array], known[array], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OWN)
def test_scalars_and_arrays_of_both_libraries_are_computed_alike(name: str) -> None:
    own, inputs = activation_of(cell(*OWN[name])), np.linspace(-30, 30, 61)
    outputs = own.phi(inputs, np.tanh)
    np.testing.assert_allclose([own.phi(float(u), math.tanh) for u in inputs], outputs, rtol=1e-14)
    np.testing.assert_allclose(own.phi(torch.tensor(inputs), torch.tanh).numpy(), outputs, rtol=1e-12)
    slopes = own.slope(outputs)
    assert slopes.shape == outputs.shape
    np.testing.assert_allclose([own.slope(float(y)) for y in outputs], slopes, rtol=1e-14)
    np.testing.assert_allclose(own.slope(torch.tensor(outputs)).numpy(), slopes, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("u", [-1e4, 1e4])
def test_what_overflows_is_infinite_on_every_library(u: float) -> None:
    own = activation_of(cell("exp(u)", "y"))
    expected = 0.0 if u < 0 else math.inf
    assert own.phi(u, math.tanh) == expected
    assert own.phi(np.array([u]), np.tanh)[0] == expected
    assert own.phi(torch.tensor([u]), torch.tanh)[0] == expected


@pytest.mark.parametrize("backend", RATES)
def test_a_run_that_overflows_ends_in_an_error(backend: str, tmp_path: Path) -> None:
    square = {"activation": "expr", "phi": "u + sign(u)*abs(u)**2", "slope": "sqrt(1 + 4*abs(y))"}
    with pytest.raises(nm.RunError, match=r"no longer finite|cannot be computed"):
        simulate(chain(square, CODES["zero_mean"]), backend, tmp_path / "run")


@given(st.sampled_from(sorted(OWN)), st.floats(0.05, 0.95))
def test_the_default_bias_gives_the_baseline(name: str, beta: float) -> None:
    own = activation_of(cell(*OWN[name]))
    assert own.phi(own.inverse(beta), math.tanh) == pytest.approx(beta, rel=1e-9)
    assert own.slope(beta) > 0


@given(st.sampled_from(sorted(set(ACTIVATIONS) & set(ALIKE))), st.floats(0.05, 0.9))
def test_the_default_bias_is_that_of_a_known_activation(name: str, beta: float) -> None:
    assert activation_of(cell(*ALIKE[name])).inverse(beta) == pytest.approx(ACTIVATIONS[name].inverse(beta), abs=1e-9)


def problems(phi: str, slope: str, code: str = "zero_mean") -> list[tuple[str, str]]:
    found = chain({"activation": "expr", "phi": phi, "slope": slope}, CODES[code]).problems()
    return [(problem.path, problem.message) for problem in found if problem.severity == "error"]


@pytest.mark.parametrize(
    ("phi", "slope", "field", "says"),
    [
        ("log(1 + exp(u))", "exp(-y)", "slope", "Expected the derivative of phi"),
        ("u*u", "2*sqrt(y)", "slope", "but phi rises by -40"),
        ("log(1 + exp(u))", "1 - exp(-u)", "slope", "'u' is not the output y of a cell"),
        ("log(1 + exp(y))", "1 - exp(-y)", "phi", "'y' is not the input u of a cell"),
        ("tanh(u)", "1 - y*y*1.01", "slope", "the slope is"),
        ("u + w", "1", "phi", "'w' is not the input u"),
        ("exp(1)", "0", "phi", "does not depend on the input u"),
        ("log(u)", "exp(-y)", "phi", "phi(-20) is not a finite number"),
        ("1/u", "-y*y", "phi", "phi(0) is not a finite number"),
        ("__import__('os')", "1", "phi", "only abs, exp, log, sign, sqrt, tanh can be called"),
        ("u.real", "1", "phi", "'u.real' is not allowed in phi"),
        ("u", "1 if y else 0", "slope", "is not allowed in a slope"),
        ("u; u", "1", "phi", "is not an expression"),
        ("u", "log(y - y)", "slope", "the slope is -inf"),
    ],
)
def test_what_is_no_activation_is_refused(phi: str, slope: str, field: str, says: str) -> None:
    ((path, message),) = problems(phi, slope)
    assert path == f"cells.cell.{field}"
    assert says in message


def test_where_a_code_clips_the_slope_is_not_asked_for() -> None:
    assert problems("u", "sign(y)") != []
    assert problems("u", "sign(y)", "baseline") == []


def test_a_baseline_that_is_never_reached_is_refused() -> None:
    ((path, message),) = problems("1/(1 + exp(-u)) - 1/2", "(y + 1/2)*(1/2 - y)", "baseline")
    assert path == "cells.cell.activation"
    assert "phi does not rise through beta, 0.6" in message


def test_expressions_count_in_the_hash_and_come_back_from_a_file(tmp_path: Path) -> None:
    one, other = (
        chain({"activation": "expr", "phi": phi, "slope": s}, CODES["zero_mean"])
        for phi, s in OWN.values()
        if phi[0] in "l1"
    )
    assert one.sha256 != other.sha256
    assert nm.load(one.save(tmp_path / "one.toml")).sha256 == one.sha256
