"""Laws of homeostasis: the angle that normalisation leaves, and the rate that synaptic scaling comes to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import neuromirror as nm
from experiments.in_memory import simulate
from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import RequestError
from neuromirror.measure import angle_deg, gain, normalisation_floor_deg

RATES = ["reference", "torch", "brian2-rate"]
STILL = {"drive": "0", "updater": {"rate": 0.0}}
"""A rule that changes nothing: where a weight learns by it, synaptic scaling acts alone."""


def uneven(rows: int, columns: int, sd: float) -> np.ndarray:
    """Give random weights whose rows and columns have norms that differ, by lognormal factors."""
    rng = np.random.default_rng(3)
    factors = np.exp(sd * rng.standard_normal((rows, 1))) * np.exp(sd * rng.standard_normal((1, columns)))
    return rng.standard_normal((rows, columns)) / math.sqrt(columns) * factors


# ---- normalisation --------------------------------------------------------------------------------------------------


@given(W=arrays(float, (4, 3), elements=st.floats(0.01, 5) | st.floats(-5, -0.01)))
def test_the_floor_is_the_angle_of_rows_that_are_all_as_long(W: np.ndarray) -> None:
    rows = W.T / np.linalg.norm(W.T, axis=1, keepdims=True)
    columns = W.T / np.linalg.norm(W.T, axis=0, keepdims=True)
    # acos loses half of the digits near 0
    assert normalisation_floor_deg(W, "target") == pytest.approx(angle_deg(rows, W), abs=1e-5)
    assert normalisation_floor_deg(W, "source") == pytest.approx(angle_deg(columns, W), abs=1e-5)
    assert normalisation_floor_deg(W, "array") == 0.0


def test_there_is_no_floor_without_weights_or_of_other_normalisations() -> None:
    assert normalisation_floor_deg([[3.0, 0.0], [4.0, 0.0]], "target") == 0.0
    for W, per in (([[0.0, 0.0]], "target"), ([1.0, 2.0], "source"), ([[1.0]], "targets")):
        with pytest.raises(RequestError):
            normalisation_floor_deg(W, per)


@pytest.mark.parametrize("per", ["target", "source", "array"])
def test_normalisation_leaves_the_angle_between_wt_and_what_it_makes_of_wt(per: str) -> None:
    """Ten cells project to eight, and the memory is 20,000 examples: sampling leaves 1.1° or less (ReLU, fan-in 10).

    The norm is half of that which B would have, which halves the memory to 10,000 examples, 40 % more angle. At right
    angles to the floor it adds up with it as squares, to hardly more than the floor.
    """
    W = uneven(8, 10, 0.3)
    groups = {"target": 10, "source": 8, "array": 1}[per]
    circuit = mirroring(W, {"per": per, "norm": 0.5 * float(np.linalg.norm(W)) / math.sqrt(groups)})
    B = simulate(circuit, "torch").snapshots[-1].arrays["B1"]
    floor = normalisation_floor_deg(W, per)
    assert floor == 0.0 if per == "array" else 10 < floor < 40
    expected = math.hypot(floor, 1.13 * math.sqrt(2))
    assert angle_deg(B, W) == pytest.approx(expected, abs=0.5)
    if per == "array":
        assert gain(B, W) == pytest.approx(0.5, abs=0.01)


def test_decay_has_no_floor() -> None:
    W = uneven(8, 10, 0.3)
    assert angle_deg(simulate(mirroring(W), "torch").snapshots[-1].arrays["B1"], W) < 1.6


def mirroring(W: np.ndarray, normalise: dict[str, Any] | None = None) -> Circuit:
    """Give a circuit that mirrors W, with a zero-mean code and the baselines that it estimates."""
    updater: dict[str, Any] = {"rate": 0.02, "decay": 0.5}
    if normalise is not None:
        updater |= {"normalise": normalise}
    return Circuit(
        {
            "name": "mirroring",
            "code": {"kind": "zero_mean", "estimate": {"tau": "100 s"}},
            "cells": {"cell": {}},
            "layers": {"sizes": [W.shape[1], W.shape[0]], "weight": {"init": "values", "values": W.tolist()}},
            "feedback": {},
            "rules": {"mirror": {"drive": "weight_mirror", "updater": updater}},
            "modes": {"mirror": {"noise": {"y0": {}}, "on": ["W1", "x0", "x1"], "learn": {"B1": "mirror"}}},
            "schedule": [{"mode": "mirror", "examples": 200_000}],
            "time": {"batch": 200},
        }
    )


# ---- synaptic scaling -----------------------------------------------------------------------------------------------

W_EXCITING = [[0.6, 0.2, 0.4], [0.5, 0.9, -0.2]]
"""Of these the sum over sources is above 0: cells whose inputs are above their baseline are excited."""


def scaled(rate_Hz: float, tau_s: float, step: dict[str, Any], **values: Any) -> Circuit:
    """Give Figure 1 with inputs that stay one unit above the baseline, and synaptic scaling of what they excite."""
    return nm.load("figure1").with_values(
        {
            "populations.y1.norm": {"kind": "synaptic_scaling", "rate": f"{rate_Hz} Hz", "tau": f"{tau_s} s"},
            "projections.W1.weight": {"init": "values", "values": W_EXCITING},
            "rules.still": STILL,
            "modes": {"awake": {"input": {"y0": "stimulus"}, "on": ["W1"], "learn": {"W1": "still"}}},
            "stimulus": {"kind": "array", "inputs": [[1.0, 1.0, 1.0]]},
            "schedule": [{"mode": "awake", **step}],
            **values,
        }
    )


@pytest.mark.parametrize("backend", RATES)
@pytest.mark.parametrize("rate_Hz", [110.0, 140.0])
def test_the_excess_over_the_baseline_grows_as_a_logistic_function(backend: str, rate_Hz: float) -> None:
    """A constant input excites y1 by a in units of 25 Hz, with β = 4: da/dt = a·(1 − (β + a)/r)/τ, r the set point.

    a tends to r − β, from below or from above, with the time constant τ·r/(r − β). An update takes 1/500 of τ as one
    step.
    """
    tau_s, window_s, examples, r = 5.0, 0.01, 2000, rate_Hz / 25
    circuit = scaled(rate_Hz, tau_s, {"examples": examples}, **{"time.batch": 1, "time.window": f"{window_s} s"})
    before, *_, after = (one.arrays["W1"] for one in simulate(circuit, backend).snapshots)
    a, limit = np.sum(W_EXCITING, axis=1), r - 4
    growth = math.exp(-examples * window_s * limit / (r * tau_s))
    expected = limit / (1 + (limit / a - 1) * growth)
    assert ((a < limit) == (rate_Hz > 130)).all()
    np.testing.assert_allclose(after.sum(axis=1), expected, rtol=2e-3)
    assert np.abs(after.sum(axis=1) - a).min() > 0.1
    ratios = after / before
    np.testing.assert_allclose(ratios, np.repeat(ratios[:, :1], 3, axis=1), rtol=1e-12)


def test_scaling_stands_in_for_batch_norm() -> None:
    """With white input of sd σ and a zero-mean code a rectified cell has the mean rate σ‖w‖/√(2π), w its row of W.

    The set point then says ‖w‖, whatever it was before, and so the spread of what arrives. Over the last 40 s, two time
    constants of 2,000 examples, the mean of a cell's rate has a standard error of 1.3 %.
    """
    W = uneven(6, 10, 0.7)
    scaling = {"kind": "synaptic_scaling", "rate": "10 Hz", "tau": "20 s"}
    circuit = Circuit(
        {
            "name": "norms",
            "code": {"kind": "zero_mean", "unit": "25 Hz"},
            "cells": {"cell": {}},
            "populations": {
                "y0": {"path": "forward", "layer": 0, "shape": [10], "cell": "cell"},
                "y1": {"path": "forward", "layer": 1, "shape": [6], "cell": "cell", "norm": scaling},
            },
            "projections": {
                "W1": {
                    "source": "y0",
                    "target": "y1",
                    "connector": "all_to_all",
                    "weight": {"init": "values", "values": W.tolist()},
                }
            },
            "rules": {"still": STILL},
            "modes": {"noisy": {"noise": {"y0": {}}, "on": ["W1"], "learn": {"W1": "still"}}},
            "schedule": [{"mode": "noisy", "duration": "400 s"}],
        }
    )
    norms = np.linalg.norm(simulate(circuit, "torch").snapshots[-1].arrays["W1"], axis=1)
    before = np.linalg.norm(W, axis=1)
    assert before.max() > 3 * before.min()
    np.testing.assert_allclose(norms, 0.4 * math.sqrt(2 * math.pi), rtol=0.06)


@pytest.mark.parametrize("rate_Hz", [110.0, 140.0])
def test_spiking_cells_come_to_the_set_point(rate_Hz: float, tmp_path: Path) -> None:
    """From below and from above, in 20 s; the mean over the last 10 s has a standard error below 1 Hz.

    The time constant is τ·r/(r − β), 2.5 s or less: of the difference less than 2 % is left.
    """
    circuit = scaled(rate_Hz, 0.2 if rate_Hz < 120 else 0.7, {"duration": "20 s"})
    run = nm.run(circuit, target="numpy", points=2, out=tmp_path / "run", figures=False)
    still = circuit.with_values({"populations.y1.norm": None, "schedule.0.duration": "4 s"})
    alone = nm.run(still, target="numpy", points=2, out=tmp_path / "still", figures=False)

    def rates_Hz(of: nm.Run, start_s: float, stop_s: float) -> np.ndarray:
        spikes = of.spikes("y1")
        late = (spikes.t_s >= start_s) & (spikes.t_s < stop_s)
        return np.bincount(spikes.cell[late], minlength=2) / (stop_s - start_s)

    before = rates_Hz(alone, 0, 4)
    assert ((before > rate_Hz + 5) if rate_Hz < 120 else (before < rate_Hz - 5)).all()
    np.testing.assert_allclose(rates_Hz(run, 10, 20), rate_Hz, atol=3.0)
    ratios = run.weights("W1") / run.weights("W1", 0)
    np.testing.assert_allclose(ratios, np.repeat(ratios[:, :1], 3, axis=1), rtol=1e-10)
