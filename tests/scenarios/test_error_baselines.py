"""Errors are measured from what feedback cells fire at rest, so that a steady error is none the less an error (8.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromirror as nm

REST: dict[str, Any] = {
    "modes.rest": {"on": ["W1", "B1", "g0", "g1", "e1"], "window": "100 ms"},
    "code.estimate.rest": "rest",
}


def awake(tmp_path: Path, backend: str, values: dict[str, Any], *, points: int = 10) -> nm.Run:
    circuit = nm.load("figure1").with_values(values)
    target = "numpy" if backend == "brian2" else "auto"
    return nm.run(circuit, backend=backend, target=target, points=points, out=tmp_path, figures=False)


@pytest.mark.parametrize("estimated", [True, False])
def test_biases_learn_as_rates_whether_baselines_are_estimated_or_not(estimated: bool, tmp_path: Path) -> None:
    """The teacher's biases are found: from a loss above 1 it falls to that of rounding, and stays there."""
    values = {
        "stimulus.bias_gain": 1.0,
        "rules.forward.updater.rate": 0.2,
        "rules.bias.updater.rate": 0.2,
        "schedule": [{"mode": "engaged", "examples": 20_000}],
        **({} if estimated else {"code.estimate": None}),
    }
    losses = [row["loss"] for row in awake(tmp_path / "run", "torch", values, points=400).metrics() if "loss" in row]
    assert losses[0] > 1
    assert max(losses[-len(losses) // 3 :]) < 1e-20


@pytest.mark.parametrize("backend", ["torch", "reference", "brian2-rate"])
def test_cells_that_rest_fire_at_the_nominal_baseline_as_rates(backend: str, tmp_path: Path) -> None:
    """So W learns the same to the bit with rest in between and without, where no input has a running mean."""
    step = {"mode": "engaged", "examples": 100}
    resting = {**REST, "schedule": [step, {"mode": "rest", "examples": 40}, step]}
    without = {"schedule": [step, step]}
    found = [awake(tmp_path / name, backend, v).weights("W1") for name, v in (("with", resting), ("without", without))]
    np.testing.assert_array_equal(*found)


def test_a_steady_error_teaches_biases_in_spikes(tmp_path: Path) -> None:
    """Targets 50 Hz above and 37.5 Hz below what two cells fire, of which only biases can learn.

    After 12 s awake they are within 15 Hz; over seeds 0 to 2 the farthest is 11.5 Hz away. Where the mean of the error
    awake is subtracted they stay 26 Hz or more away.
    """
    deviations = np.array([2.0, -1.5])
    run = awake(
        tmp_path / "run",
        "brian2",
        {
            **REST,
            "stimulus": {"kind": "array", "inputs": [[0.0] * 3], "targets": [deviations.tolist()]},
            "rules.forward.updater.rate": 0.0,
            "rules.bias.updater.rate": 0.02,
            "schedule": [
                {
                    "repeat": 2,
                    "steps": [{"mode": "rest", "duration": "1 s"}, {"mode": "engaged", "duration": "6 s"}],
                }
            ],
        },
    )
    spikes = run.spikes("y1")
    rates_Hz = [np.sum((spikes.t_s > 8.5) & (spikes.cell == cell)) / 5.5 for cell in range(2)]
    assert np.abs(rates_Hz - (100 + 25 * deviations)).max() < 15
