"""Homeostasis of spiking circuits: weights follow from the spikes that were recorded, by its equations in NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.record.run import Run
from neuromirror.rules.updater import PlainUpdater

UNIT_HZ, BETA, DT_S, TRACE_S, WINDOW_STEPS = 25.0, 4.0, 0.5e-3, 7e-3, 5
KINDS = ("target", "source", "array")
PHASE_S = 0.5

COMPILED = pytest.param("cython", marks=pytest.mark.slow)
pytestmark = pytest.mark.parametrize("target", ["numpy", COMPILED, "cpp_standalone"])


def kicks(run: Run, population: str, kick: float) -> np.ndarray:
    """Return what the spikes of each time step add to the signals, (steps, cells)."""
    spikes, steps = run.spikes(population), round(run.manifest.phases[-1]["stop_s"] / DT_S)
    added = np.zeros((steps, run.manifest.populations[population]["size"]))
    np.add.at(added, (np.rint(spikes.t_s / DT_S).astype(int), spikes.cell), kick)
    return added


def traces(run: Run, population: str) -> np.ndarray:
    """Return the traces that rules read at the end of every window, (windows, cells)."""
    decay, read = math.exp(-DT_S / TRACE_S), []
    added = kicks(run, population, 1 / (TRACE_S * UNIT_HZ))
    trace = np.full(added.shape[1], BETA)
    for step, now in enumerate(added, start=1):
        trace = decay * trace + now
        if step % WINDOW_STEPS == 0:
            read.append(trace)
    return np.array(read)


def normalised(B: np.ndarray, per: str, norm: float) -> np.ndarray:
    axis = {"target": 1, "source": 0, "array": None}[per]
    return B * norm / np.linalg.norm(B, axis=axis, keepdims=True)


def test_normalised_weights_follow_from_the_spikes(target: str, tmp_path: Path) -> None:
    """B learns in three modes, in each by a rule of its own with a norm of its own, and rests in a fourth."""
    mirror = nm.load("figure1").description.modes["mirror"]
    tables = {"noise": {"y0": {"sd": 2.0, "tau": "5 ms"}}, "on": list(mirror.on), "bias": "blocked"}
    tables |= {"window": "2.5 ms", "signal": {"kind": "trace", "tau": "7 ms"}}
    values = {"code.estimate": None, "modes.rest": {**tables, "learn": {}}, "time.settle": "0 s"}
    for number, per in enumerate(KINDS):
        updater = {"rate": 0.002, "decay": 0.5, "normalise": {"per": per, "norm": 1.0 + number}}
        values[f"rules.{per}"] = {"drive": "weight_mirror", "updater": updater}
        values[f"modes.{per}"] = {**tables, "learn": {"B1": per}}
    order = ("target", "source", "rest", "array")
    values["schedule"] = [{"mode": mode, "duration": f"{PHASE_S} s"} for mode in order]
    run = nm.run(nm.load("figure1").with_values(values), target=target, points=4, out=tmp_path / "run", figures=False)
    pre, post = (traces(run, name) for name in ("d1", "d0"))
    step = PlainUpdater(rate=0.002, decay=0.5).step(examples_seen=0, examples=1, window_s=2.5e-3)
    B, windows = run.weights("B1", 0), round(PHASE_S / 2.5e-3)
    for phase, mode in enumerate(order):
        before = B
        for window in range(phase * windows, (phase + 1) * windows) if mode in KINDS else ():
            B = step.keep * B + step.step * np.outer(post[window] - BETA, pre[window] - BETA)
            B = normalised(B, mode, 1.0 + KINDS.index(mode))
        found = run.weights("B1", run.weight_steps()[phase + 1])
        np.testing.assert_allclose(found, B, rtol=1e-9, atol=1e-12)
        if mode == "rest":
            np.testing.assert_array_equal(found, run.weights("B1", run.weight_steps()[phase]))
        else:
            assert np.abs(B - normalised(before, mode, 1.0 + KINDS.index(mode))).max() > 0.01


def test_scaled_weights_follow_from_the_counts(target: str, tmp_path: Path) -> None:
    """W learns the task and is scaled after each update, then rests while it transmits."""
    rate, tau_s, set_point = 0.01, 3.0, 130 / UNIT_HZ
    circuit = nm.load("figure1").with_values(
        {
            "code.estimate": None,
            "populations.y1.norm": {"kind": "synaptic_scaling", "rate": "130 Hz", "tau": f"{tau_s} s"},
            "modes.engaged.learn": {"W1": "forward"},
            "time.settle": "0 s",
            "schedule": [{"mode": "engaged", "duration": "3 s"}, {"mode": "mirror", "duration": "300 ms"}],
        }
    )
    run = nm.run(circuit, target=target, points=4, out=tmp_path / "run", figures=False)
    counts = {
        name: kicks(run, name, 1 / (0.1 * UNIT_HZ))[:6000].reshape(30, 200, -1).sum(axis=1)
        for name in ("y0", "y1", "d1")
    }
    W = run.weights("W1", 0)
    for pre, fired, arrived in zip(*counts.values(), strict=True):
        W = W - rate * np.outer(arrived - BETA, pre - BETA)
        W = W * np.exp(0.1 / tau_s * (1 - fired / set_point))[:, None]
    first, awake, asleep = run.weight_steps()
    np.testing.assert_allclose(run.weights("W1", awake), W, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(run.weights("W1", asleep), run.weights("W1", awake))
    assert np.abs(W - run.weights("W1", first)).max() > 0.01
