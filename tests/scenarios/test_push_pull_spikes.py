"""Push-pull in spikes: pairs of cells that say a number, mirror W and learn a task; Dale's law on the way.

Runs have fixed seeds; bounds leave three times the spread over seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.base import Options
from neuromirror.backends.stimulus import Stimulus
from neuromirror.measure import angle_deg, gain, sampling_law
from neuromirror.plan import make_plan

SEEDS = range(3)


def test_the_difference_of_two_rates_is_the_input(tmp_path: Path) -> None:
    """8 s of 20 pairs: the mean rate of 20 cells has a standard error below 1 Hz (Poisson: 0.8 Hz at 100 Hz)."""
    x = np.repeat([1.0, -1.0], 10)
    changes = {
        "code.beta": "100 Hz",
        "populations.y0.shape": [20],
        "populations.d0.shape": [20],
        "stimulus": {"kind": "array", "inputs": x[None], "targets": np.zeros((1, 2))},
        "modes.engaged.learn": {},
        "schedule": [{"mode": "engaged", "duration": "8 s"}],
    }
    circuit = nm.load("figure1_push_pull").with_values(changes)
    run = nm.run(circuit, target="numpy", points=1, out=tmp_path / "run", figures=False)
    assert run.in_pairs
    assert run.manifest.populations["y0"]["size"] == 40
    rates_Hz = np.bincount(run.spikes("y0").cell, minlength=40) / 8
    on_Hz, off_Hz = rates_Hz[:20], rates_Hz[20:]
    for sign, here in ((1, slice(None, 10)), (-1, slice(10, None))):
        assert (on_Hz - off_Hz)[here].mean() == pytest.approx(25 * sign, abs=5)
        assert (on_Hz + off_Hz)[here].mean() == pytest.approx(200, abs=10)
    rows = [label.get_text() for label in run.raster().axes[1].get_yticklabels()]
    assert [row.split("$")[2].split()[0] for row in rows] == ["ON", "OFF"] * 4
    assert run.unit_weights("W1").shape == (2, 20)


def test_pairs_mirror_under_dales_law(tmp_path: Path) -> None:
    circuit = nm.load("figure1_push_pull", ['schedule=[{mode="mirror", duration="20 s"}]'])
    assert circuit.description.code.dale
    options = Options(target="cpp_standalone", points=40)
    for run in nm.run_seeds(circuit, seeds=SEEDS, options=options, out=tmp_path / "runs", figures=False):
        B, W = run.unit_weights("B1"), run.unit_weights("W1")
        assert run.weights("B1").min() >= 0
        assert angle_deg(run.unit_weights("B1", 0), W) > 60
        assert angle_deg(B, W) < 15
        assert run.angles_deg("B1")[-1] == pytest.approx(angle_deg(B, W))
        assert run.gain("B1")[-1] == pytest.approx(gain(B, W))
        law = sampling_law(run, "B1")
        assert law.fan_in == 3
        np.testing.assert_array_equal(run.weights("W1"), run.weights("W1", 0))


def test_pairs_learn_a_task(tmp_path: Path) -> None:
    """W between units becomes the teacher's."""
    rates = [f"rules.{rule}.updater.rate=0.02" for rule in ("forward", "bias")]
    circuit = nm.load("figure1_push_pull", ['schedule=[{mode="engaged", duration="40 s"}]', "code.beta=100 Hz", *rates])
    options = Options(target="cpp_standalone", points=1)
    for run in nm.run_seeds(circuit, seeds=SEEDS, options=options, out=tmp_path / "runs", figures=False):
        plan = make_plan(circuit, run.manifest.seed)
        teacher = plan.coding.unit_weights(Stimulus(plan).teacher["W1"])
        before, after = (run.unit_weights("W1", step) for step in (run.weight_steps()[0], -1))
        assert angle_deg(before, teacher.T) > 90, "these seeds begin far away"
        assert angle_deg(after, teacher.T) < 20
        assert run.weights("W1").min() >= 0
