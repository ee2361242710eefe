"""How often cells are asked for a negative rate: counted as it follows from their noise and their input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chosen_circuits import circuits
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import neuromirror as nm
from experiments.in_memory import simulate
from experiments.random_circuits import RATE_BACKENDS

BETA = 4.0
"""Of Figure 1, in units of ``code.unit``."""


def figure1(step: dict[str, Any], **changes: Any) -> nm.Circuit:
    return nm.load("figure1").with_values({"schedule": [step], **changes})


def summary(circuit: nm.Circuit, folder: Path, **options: Any) -> dict[str, dict[str, float]]:
    run = nm.run(circuit, out=folder, figures=False, **options)
    assert all(0 <= share <= 1 for row in run.metrics() for share in row.get("clipped", {}).values())
    return run.manifest.summary["clipped"]


def test_noise_about_a_baseline_is_clipped_as_its_law_says(tmp_path: Path) -> None:
    """The share of 6 000 examples has a standard error of 0.5%; four of them are passed once in 10 000 times."""
    sd = 4.0
    circuit = figure1({"mode": "mirror", "examples": 2000}, **{"modes.mirror.noise.y0.sd": sd})
    found = summary(circuit, tmp_path / "run", backend="torch")
    assert set(found) == {"mirror"}
    assert set(found["mirror"]) == {"y0", "y1"}
    assert found["mirror"]["y0"] == pytest.approx(norm.cdf(-BETA / sd), abs=0.02)


@given(circuit=circuits(), seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_rate_backends_count_the_same(circuit: nm.Circuit, seed: int) -> None:
    runs = [simulate(circuit, backend, seed, points=5).snapshots for backend in RATE_BACKENDS]
    code = circuit.description.code
    forward = {name for name, p in circuit.description.populations.items() if p.path == "forward"}
    for snapshots in zip(*runs, strict=True):
        first, *others = (one.more.get("clipped") for one in snapshots)
        counted = code.non_negative and code.beta is not None and snapshots[0].examples > 0
        assert (set(first or ()) if counted else first) == (forward if counted else None)
        for other in others:
            assert other == (None if first is None else pytest.approx(first, abs=1e-12))


def test_noise_of_spiking_cells_is_clipped_as_its_law_says(tmp_path: Path) -> None:
    """The mean over a window T of noise of variance σ² and time constant τ is Gaussian, of variance
    σ²·2τ/T·(1 − τ/T·(1 − exp(−T/τ))); a window is clipped where it lies below −β.

    12 000 windows, hardly correlated, leave a standard error of 0.35%.
    """
    sd, tau_s, window_s = 9.0, 5e-3, 20e-3
    x = tau_s / window_s
    of_mean = sd * math.sqrt(2 * x * (1 - x * (1 - math.exp(-1 / x))))
    changes = {
        "modes.mirror.noise.y0.sd": sd,
        "modes.mirror.window": "20 ms",
        "modes.mirror.learn": {},
        "populations.y0.shape": [60],
        "populations.d0.shape": [60],
    }
    found = summary(figure1({"mode": "mirror", "duration": "4 s"}, **changes), tmp_path / "run", target="numpy")
    assert set(found["mirror"]) == {"y0", "y1"}, "relay cells ask for nothing"
    assert found["mirror"]["y0"] == pytest.approx(norm.cdf(-BETA / of_mean), abs=0.016)
    assert 0.1 < norm.cdf(-BETA / of_mean) < 0.4


@pytest.mark.parametrize(("weight", "clipped"), [(-0.2, False), (-1.2, True)])
def test_input_through_weights_is_counted_with_its_mean_taken_away(
    weight: float, clipped: bool, tmp_path: Path
) -> None:
    """y1 is asked for β + 3·w·2: 2.8 or −3.2."""
    changes = {
        "stimulus": {"kind": "array", "inputs": np.full((1, 3), 2.0), "targets": np.zeros((1, 2))},
        "projections.W1.weight": {"init": "constant", "value": weight},
        "modes.engaged.learn": {},
    }
    circuit = figure1({"mode": "engaged", "duration": "4 s"}, **changes)
    found = summary(circuit, tmp_path / "run", target="numpy")["engaged"]
    assert (found["y0"], found["y1"] > 0.9 if clipped else found["y1"] < 0.1) == (0.0, True)
    assert set(found) == {"y0", "y1", "d0", "d1"}
