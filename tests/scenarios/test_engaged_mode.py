"""Awake, the circuit learns its task: W becomes the teacher's, on every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.base import Options
from neuromirror.backends.stimulus import Stimulus
from neuromirror.measure.alignment import angle_deg
from neuromirror.plan import make_plan

SEEDS = range(3)


@pytest.mark.parametrize(
    ("backend", "length", "rate"),
    [
        ("brian2", 'duration="40 s"', 0.01),
        ("torch", "examples=4000", 0.05),
        ("brian2-rate", "examples=4000", 0.05),
        ("reference", "examples=4000", 0.05),
    ],
)
def test_the_forward_weights_become_the_teachers(backend: str, length: str, rate: float, tmp_path: Path) -> None:
    rates = [f"rules.{rule}.updater.rate={rate}" for rule in ("forward", "bias")]
    circuit = nm.load("figure1", [f'schedule=[{{mode="engaged", {length}}}]', *rates])
    target = "cpp_standalone" if backend == "brian2" else "auto"
    options = Options(target=target, points=1)
    runs = nm.run_seeds(circuit, backend=backend, seeds=SEEDS, options=options, out=tmp_path / "runs", figures=False)
    for run in runs:
        teacher = Stimulus(make_plan(circuit, run.manifest.seed)).teacher["W1"]
        before, after = (run.weights("W1", step) for step in (run.weight_steps()[0], -1))
        assert angle_deg(before, teacher.T) > 90, "these seeds begin far away"
        assert angle_deg(after, teacher.T) < 15
        assert np.linalg.norm(after - teacher) < 0.25 * np.linalg.norm(before - teacher)


def test_without_the_error_projection_nothing_is_learned(tmp_path: Path) -> None:
    """An error that nothing brings is no error: the rule of eq. 14 is refused."""
    circuit = nm.load("figure1", ['modes.engaged.on=["W1", "B1", "g0", "g1"]'])
    assert {problem.name for problem in circuit.problems()} == {"no-error"}
