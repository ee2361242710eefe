"""Stimuli from arrays and from the digits: which example is presented when, and that every backend learns from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.backends.examples import digits
from neuromirror.backends.stimulus import Stimulus
from neuromirror.circuit.circuit import Circuit
from neuromirror.plan import make_plan

INPUTS = np.arange(12.0).reshape(4, 3)
TARGETS = np.arange(8.0).reshape(4, 2) - 4


def figure1(order: str = "given", schedule: list[dict[str, Any]] | None = None, **values: Any) -> Circuit:
    stimulus = {"kind": "array", "inputs": INPUTS, "targets": TARGETS, "order": order}
    steps = schedule or [{"mode": "engaged", "examples": 4}]
    return nm.load("figure1").with_values({"stimulus": stimulus, "schedule": steps, **values})


def presented(circuit: Circuit, batches: list[int], seed: int = 0) -> list[int]:
    """Return the number of each example that the stimulus draws in these batches, checked against its target."""
    plan = make_plan(circuit, seed)
    stimulus, rows = Stimulus(plan), []
    for batch in batches:
        assert stimulus.draw(plan.modes["mirror"], 5) == ({}, {}), "who gets nothing takes nothing"
        inputs, targets = stimulus.draw(plan.modes["engaged"], batch)
        numbers = (inputs["y0"][:, 0] / 3).astype(int)
        np.testing.assert_array_equal(inputs["y0"], INPUTS[numbers])
        np.testing.assert_array_equal(targets["d1"], plan.beta + TARGETS[numbers])
        rows += list(numbers)
    return rows


@given(batches=st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(deadline=None, max_examples=20)
def test_examples_come_in_the_order_given_and_start_anew_after_the_last(batches: list[int]) -> None:
    assert presented(figure1(), batches) == [k % 4 for k in range(sum(batches))]


@given(batches=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 10))
@settings(deadline=None, max_examples=20)
def test_every_pass_of_shuffled_examples_has_each_once_whatever_the_batches(batches: list[int], seed: int) -> None:
    rows = presented(figure1("shuffled"), batches, seed)
    whole = presented(figure1("shuffled"), [sum(batches)], seed)
    assert rows == whole
    for start in range(0, len(rows) - 3, 4):
        assert sorted(rows[start : start + 4]) == [0, 1, 2, 3]


def test_the_order_is_the_seeds_and_another_for_each_pass() -> None:
    orders = {tuple(presented(figure1("shuffled"), [40], seed)) for seed in range(5)}
    assert len(orders) == 5
    one = orders.pop()
    assert len({one[start : start + 4] for start in range(0, 40, 4)}) > 3


@pytest.mark.parametrize("backend", ["reference", "torch", "brian2"])
def test_what_is_given_is_what_input_cells_do(backend: str, tmp_path: Path) -> None:
    """A first update by -error*(pre - beta_pre) with known inputs; in spikes the counts follow the inputs."""
    if backend == "brian2":
        wide = {"kind": "array", "inputs": [[2.0, 0.0, -2.0], [-2.0, 2.0, 0.0]], "targets": [[0.0, 0.0]] * 2}
        circuit = figure1(schedule=[{"mode": "engaged", "examples": 60}], stimulus=wide)
        run = nm.run(circuit, target="numpy", points=1, out=tmp_path / "run", figures=False)
        spikes = run.spikes("y0")
        window = (spikes.t_s / 0.1).astype(int)
        rates = np.array([[((window % 2 == k) & (spikes.cell == i)).sum() / 3.0 for i in range(3)] for k in (0, 1)])
        np.testing.assert_allclose(rates, [[150, 100, 50], [50, 150, 100]], atol=12)
        return
    circuit = figure1(**{"code.estimate": None, "time.batch": 4})
    run = nm.run(circuit, backend=backend, points=1, out=tmp_path / "run", figures=False)
    W = run.weights("W1", 0)
    y = np.maximum(4 + INPUTS @ W.T, 0)
    error = (y - (4 + TARGETS)) * (y > 0)
    np.testing.assert_allclose(run.weights("W1"), W - 0.01 * error.T @ INPUTS / 4, rtol=1e-9, atol=1e-12)


def test_targets_come_back_from_a_record(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).standard_normal((500, 3))
    stimulus = {"kind": "array", "inputs": inputs, "targets": np.zeros((500, 2))}
    circuit = figure1(stimulus=stimulus)
    run = nm.run(circuit, backend="torch", points=1, out=tmp_path / "run", figures=False)
    again = nm.load(run.path / "circuit.toml")
    assert again.protocol_sha256 == circuit.protocol_sha256 != figure1().protocol_sha256
    assert again.sha256 == nm.load("figure1").sha256
    assert "circuit.safetensors" in run.circuit_toml


# ---- digits ---------------------------------------------------------------------------------------------------------


def test_the_parts_of_the_digits() -> None:
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    (inputs, targets), (held_out, of_held_out) = (digits(part, 2.0, 3.0) for part in ("train", "test"))
    assert (inputs.shape, targets.shape) == ((1437, 64), (1437, 10))
    assert (held_out.shape, of_held_out.shape) == ((360, 64), (360, 10))
    assert abs(inputs.mean()) < 1e-12
    assert inputs.std() == pytest.approx(2.0)
    np.testing.assert_array_equal(np.vstack([targets, of_held_out]).argmax(axis=1), classes)
    assert set(np.unique(targets)) == {0.0, 3.0}
    assert np.corrcoef(np.vstack([inputs, held_out]).ravel(), pixels.ravel())[0, 1] == pytest.approx(1.0)


CHAIN = {
    "name": "digits",
    "code": {"kind": "baseline", "beta": "100 Hz", "estimate": {"tau": "2 s"}},
    "cells": {"cell": {"activation": "linear", "noise": "8 mV", "tau_syn": "8 ms"}},
    "layers": {"sizes": [64, 10], "weight": {"gain": 0.0}},
    "feedback": {"skip": ["W1"]},
    "rules": {"forward": {"drive": "forward", "updater": {"rate": 0.01}}},
    "modes": {
        "engaged": {
            "input": {"y0": "stimulus"},
            "compare": {"d1": "y1 - target"},
            "on": ["W1", "g1", "e1"],
            "learn": {"W1": "forward"},
            "window": "100 ms",
        }
    },
    "stimulus": {"kind": "digits", "order": "shuffled"},
    "schedule": [{"mode": "engaged", "examples": 6000}],
    "time": {"batch": 10},
}


def accuracy(W: np.ndarray) -> float:
    """Return the share of test images whose class a linear readout finds; a tenth without learning."""
    inputs, targets = digits("test", 1.0, 1.0)
    return float(((inputs @ W.T).argmax(axis=1) == targets.argmax(axis=1)).mean())


SPIKING = pytest.param("brian2", 600, 0.003, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("backend", "examples", "rate"),
    [("torch", 800, 0.03), ("brian2-rate", 800, 0.03), ("reference", 800, 0.03), SPIKING],
)
def test_the_digits_are_learned_on_every_backend(backend: str, examples: int, rate: float, tmp_path: Path) -> None:
    """One layer from weights of 0. The standard error of an accuracy by chance is .016, that of one of .45 .026."""
    changes = {"schedule.0.examples": examples, "rules.forward.updater.rate": rate}
    target = "numpy" if backend == "brian2" else "auto"
    circuit = Circuit(CHAIN).with_values(changes)
    run = nm.run(circuit, backend=backend, target=target, points=2, out=tmp_path / "run", figures=False)
    assert accuracy(run.weights("W1", 0)) < 0.15
    assert accuracy(run.weights("W1")) > 0.45


def test_digits_need_their_cells() -> None:
    wrong = Circuit({**CHAIN, "layers": {"sizes": [63, 9]}}).problems()
    assert [(problem.name, problem.path) for problem in wrong] == [
        ("wrong-shape", "modes.engaged.input.y0"),
        ("wrong-shape", "modes.engaged.compare.d1"),
    ]
