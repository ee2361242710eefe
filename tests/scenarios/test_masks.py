"""Synapses that a mask leaves out do not exist, on every backend: weight 0, nothing learned, nothing transmitted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.circuit.circuit import Circuit
from neuromirror.measure import angle_deg
from neuromirror.plan import make_plan
from neuromirror.record.run import Run

BACKENDS = ["reference", "torch", "brian2-rate", "brian2"]
RATES = BACKENDS[:3]
MASK = np.array([[1, 0, 1], [1, 1, 0]])
ONES = np.ones((2, 3))


def masked(mask: np.ndarray = MASK, **values: Any) -> Circuit:
    """Give Figure 1 with masks of W and B."""
    return nm.load("figure1").with_values({"projections.W1.mask": mask, "projections.B1.mask": mask.T, **values})


def simulate(circuit: Circuit, backend: str, folder: Path, seconds: tuple[float, float] = (0.6, 0.4)) -> Run:
    steps = [{"mode": "mirror", "duration": f"{seconds[0]} s"}, {"mode": "engaged", "duration": f"{seconds[1]} s"}]
    if backend != "brian2":
        steps = [{"mode": step["mode"], "examples": examples} for step, examples in zip(steps, (400, 200), strict=True)]
    circuit = circuit.with_values({"schedule": steps, "rules.forward.updater.rate": 0.05})
    target = "numpy" if backend == "brian2" else "auto"
    return nm.run(circuit, backend=backend, target=target, points=4, out=folder, figures=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masked_weights_are_zero_and_stay_so_while_the_others_learn(backend: str, tmp_path: Path) -> None:
    run = simulate(masked(), backend, tmp_path / "run")
    for name, mask in (("W1", MASK), ("B1", MASK.T)):
        first = run.weights(name, 0)
        for step in run.weight_steps():
            np.testing.assert_array_equal(run.weights(name, step)[mask == 0], 0.0)
        assert (run.weights(name)[mask == 1] != first[mask == 1]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mask_of_ones_changes_nothing(backend: str, tmp_path: Path) -> None:
    plain = simulate(nm.load("figure1"), backend, tmp_path / "plain")
    ones = simulate(masked(ONES), backend, tmp_path / "ones")
    for name in ("W1", "B1", "y1.bias"):
        np.testing.assert_array_equal(ones.weights(name), plain.weights(name))


@pytest.mark.parametrize("backend", RATES)
def test_a_mask_is_a_weight_of_zero_that_no_rule_moves(backend: str, tmp_path: Path) -> None:
    """Where nothing learns in W, its mask acts as zeros in its values do."""
    weights = np.array([[1.2, 0.1, -0.6], [-0.5, 0.9, 0.3]])
    given = {"init": "values", "values": weights}
    zeros = {"init": "values", "values": weights * MASK}
    unmasked = nm.load("figure1").with_values({"modes.engaged.learn": {}})
    mask = {"projections.W1.mask": MASK, "projections.W1.weight": given}
    one = simulate(unmasked.with_values(mask), backend, tmp_path / "one")
    other = simulate(unmasked.with_values({"projections.W1.weight": zeros}), backend, tmp_path / "other")
    for name in ("W1", "B1"):
        np.testing.assert_array_equal(one.weights(name), other.weights(name))


def test_the_rate_backends_agree_on_masks(tmp_path: Path) -> None:
    runs = [simulate(masked(), backend, tmp_path / backend) for backend in RATES]
    for name in ("W1", "B1", "y1.bias"):
        for run in runs[1:]:
            np.testing.assert_allclose(run.weights(name), runs[0].weights(name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_masked_b_mirrors_a_masked_w(backend: str, tmp_path: Path) -> None:
    weights = {"init": "values", "values": np.array([[1.2, 0.1, -0.6], [-0.5, 0.9, 0.3]])}
    circuit = masked(**{"projections.W1.weight": weights, "projections.B1.weight": {"init": "constant"}})
    run = simulate(circuit, backend, tmp_path / "run", seconds=(8.0, 0.1))
    step = run.weight_steps()[1]
    assert angle_deg(run.weights("B1", step), run.weights("W1", step)) < (12.0 if backend == "brian2" else 8.0)


@pytest.mark.parametrize("method", ["bp", "ss"])
@pytest.mark.parametrize("backend", RATES)
def test_transport_brings_nothing_where_there_is_no_synapse(backend: str, method: str, tmp_path: Path) -> None:
    circuit = nm.load("figure1").with_values({"projections.B1.mask": MASK.T}).method(method)
    circuit = circuit.with_values({"schedule": [{"mode": "engaged", "examples": 300}]})
    run = nm.run(circuit, backend=backend, out=tmp_path / "run", figures=False)
    for step in run.weight_steps():
        B, W = run.weights("B1", step), run.weights("W1", step)
        assert (B[MASK.T == 0] == 0).all()
        assert (np.sign(B) == np.sign(W.T) * MASK.T).all()


@pytest.mark.slow
def test_compiled_programs_know_masks(tmp_path: Path) -> None:
    circuit = masked(**{"schedule": [{"mode": "mirror", "duration": "0.5 s"}]})
    runs = nm.run_seeds(
        circuit,
        seeds=[0, 1],
        options=nm.backends.base.Options(target="cpp_standalone", points=2),
        out=tmp_path / "runs",
        figures=False,
    )
    for run in runs:
        np.testing.assert_array_equal(
            run.weights("B1", 0), make_plan(circuit, run.manifest.seed).initial_arrays()["B1"]
        )
        assert (run.weights("B1")[MASK.T == 0] == 0).all()


def test_the_fan_in_is_the_number_of_synapses() -> None:
    rng = np.random.default_rng(0)
    mask = (rng.random((200, 300)) < rng.uniform(0.05, 1, (200, 1))).astype(float)
    mask[:, 0], mask[0], mask[1] = 1, 0, 1
    tables = {
        "name": "sparse",
        "code": {"kind": "zero_mean"},
        "cells": {"cell": {}},
        "layers": {"sizes": [300, 200], "weight": {"gain": 2.0}},
    }
    plain = Circuit(tables).expand()
    sparse = plain.with_values({"projections.W1.mask": mask, "schedule": []})
    before, after = (make_plan(c.with_values(_RUN), 5).initial_arrays()["W1"] for c in (plain, sparse))
    counts = mask.sum(axis=1)
    np.testing.assert_array_equal(after[0], 0)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-12)
    expected = np.where(mask > 0, before * np.sqrt(300 / np.maximum(counts, 1))[:, None], 0)
    np.testing.assert_allclose(after, expected, rtol=1e-12)
    # each row's sum of squares is 4 times a chi-square of its count of degrees of freedom, over that count
    z = ((after[1:] ** 2).sum(axis=1) / 4 - 1) * np.sqrt(counts[1:] / 2)
    assert abs(z.mean()) < 4 / math.sqrt(len(z))


_RUN = {"modes": {"idle": {}}, "schedule": [{"mode": "idle", "examples": 1}]}


def test_the_weights_of_a_masked_projection_are_counted(capsys, tmp_path: Path) -> None:
    from neuromirror import cli

    file = masked().save(tmp_path / "masked.toml")
    with pytest.raises(SystemExit):
        cli.main(["check", str(file)])
    assert "7 projections, 8 weights" in capsys.readouterr().out
