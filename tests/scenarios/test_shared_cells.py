"""Cells that carry both signals (8.1): what they do as rates, and mirroring with spikes, with half of the cells."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from experiments.in_memory import simulate
from neuromirror.backends.base import Options
from neuromirror.measure import angle_deg
from neuromirror.rules.updater import PlainUpdater

UNIT_HZ, BETA, DT_S, TRACE_S, WINDOW_S = 25.0, 4.0, 0.5e-3, 7e-3, 2.5e-3
SHARED = {"populations.d0.shares": "y0", "populations.d1.shares": "y1", "projections.x0.delay": "0 s"}


def asleep(duration: str, **values: object) -> nm.Circuit:
    return nm.load("figure1").with_values({**SHARED, "schedule": [{"mode": "mirror", "duration": duration}], **values})


def test_b_learns_from_what_the_forward_cells_fire(tmp_path: Path) -> None:
    updater = {"rate": 0.01, "decay": 0.5}
    circuit = asleep("1 s", **{"code.estimate": None, "time.settle": "0 s", "rules.mirror.updater": updater})
    run = nm.run(circuit, target="numpy", points=2, out=tmp_path / "run", figures=False)
    read = {}
    for y, d in (("y0", "d0"), ("y1", "d1")):
        fired, copied = run.spikes(y), run.spikes(d)
        np.testing.assert_array_equal(copied.t_s, fired.t_s)
        np.testing.assert_array_equal(copied.cell, fired.cell)
        added = np.zeros((2000, run.manifest.populations[y]["size"]))
        np.add.at(added, (np.rint(fired.t_s / DT_S).astype(int), fired.cell), 1 / (TRACE_S * UNIT_HZ))
        trace, traces = np.full(added.shape[1], BETA), []
        for now in added:
            trace = math.exp(-DT_S / TRACE_S) * trace + now
            traces.append(trace)
        read[y] = np.array(traces)[4::5]
    step = PlainUpdater(rate=0.01, decay=0.5).step(examples_seen=0, examples=1, window_s=WINDOW_S)
    B = run.weights("B1", 0)
    for lower, upper in zip(read["y0"], read["y1"], strict=True):
        B = step.keep * B + step.step * np.outer(lower - BETA, upper - BETA)
    np.testing.assert_allclose(run.weights("B1"), B, rtol=1e-9, atol=1e-12)


def test_shared_cells_learn_the_direction(tmp_path: Path) -> None:
    """Of 3→2 cells after 40 s; of the seeds 0 to 2 the median. Without a delay mirroring takes 1.7 times as long."""
    options = Options(points=1)
    runs = nm.run_seeds(asleep("40 s"), seeds=range(3), options=options, out=tmp_path / "runs", figures=False)
    assert np.median([angle_deg(run.weights("B1"), run.weights("W1")) for run in runs]) < 10.0


@pytest.mark.parametrize("backend", ["reference", "torch", "brian2-rate"])
def test_rules_see_the_noise_of_shared_cells(backend: str) -> None:
    """The mean of noise·(y1 − β) is 4Wᵀ, with a variance of 4; 2,000 examples leave 3°. Distinct cells get no noise."""
    drive = "noise_post*(pre - beta_pre)"
    values = {"rules.mirror.drive": drive, "rules.mirror.updater": {"memory": 4000, "memory_from": 1, "decay": 4.0}}
    shared = asleep("40 s", **values)
    learned = simulate(shared, backend).snapshots[-1].arrays
    assert angle_deg(learned["B1"], learned["W1"]) < 8.0
    distinct = simulate(shared.with_values({"populations.d0.shares": None}), backend).snapshots[-1].arrays
    assert np.abs(distinct["B1"]).max() < 0.01
