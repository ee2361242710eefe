"""What the spiking backend learned follows from the spikes that it recorded, by the equations of the rules in NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror import seeds
from neuromirror.backends.stimulus import Stimulus
from neuromirror.plan import make_plan
from neuromirror.record.run import Run
from neuromirror.rules.updater import PlainUpdater

UNIT_HZ, BETA, DT_S, SETTLE_S, FOLLOW_TAU_S = 25.0, 4.0, 0.5e-3, 0.1, 2.0
DECAY, RATE = 2.0, 0.01
"""As in the shipped circuit."""

pytestmark = pytest.mark.parametrize("target", ["numpy", "cpp_standalone"])


def kicks(run: Run, population: str, kick: float, steps: int) -> np.ndarray:
    """Return what the spikes of each time step add to the signals, (steps, cells)."""
    spikes, cells = run.spikes(population), run.manifest.populations[population]["size"]
    added = np.zeros((steps, cells))
    np.add.at(added, (np.rint(spikes.t_s / DT_S).astype(int), spikes.cell), kick)
    return added


def traces(added: np.ndarray, tau_s: float, window_steps: int, start: float) -> np.ndarray:
    """Return the exponential traces of kicks as they are read at the end of every window, (windows, cells)."""
    decay = math.exp(-DT_S / tau_s)
    trace, read = np.full(added.shape[1], start), []
    for step, now in enumerate(added, start=1):
        trace = decay * trace + now
        if step % window_steps == 0:
            read.append(trace)
    return np.array(read)


@pytest.mark.parametrize("before_s", [0.0, 0.5])
def test_mirror_mode(target: str, before_s: float, tmp_path: Path) -> None:
    """The running baselines are those of this mode alone, whatever was before."""
    window_steps, windows = 5, 800
    before = f'{{mode="engaged", duration="{before_s} s"}}, ' if before_s else ""
    circuit = nm.load("figure1", [f'schedule=[{before}{{mode="mirror", duration="2 s"}}]'])
    run = nm.run(circuit, seed=4, target=target, out=tmp_path / "run", figures=False)
    first_step, start = round(before_s / DT_S), 0.0 if before_s else BETA  # counts before leave nothing behind
    kick = 1 / (7e-3 * UNIT_HZ)
    added = (kicks(run, name, kick, first_step + windows * window_steps)[first_step:] for name in ("d1", "d0"))
    pre, post = (traces(one, 7e-3, window_steps, start) for one in added)
    updater = PlainUpdater(decay=DECAY, memory=60.0, memory_from=0.5)
    beta_pre, beta_post = np.full(2, BETA), np.full(3, BETA)
    share = 1 - math.exp(-2.5e-3 / FOLLOW_TAU_S)
    B = run.weights("B1", 0)
    first = round(SETTLE_S / 2.5e-3)
    for window in range(first, windows):
        beta_pre = beta_pre + share * (pre[window] - beta_pre)
        beta_post = beta_post + share * (post[window] - beta_post)
        step = updater.step(examples_seen=window - first, examples=1, window_s=2.5e-3)
        B = step.keep * B + step.step * np.outer(post[window] - beta_post, pre[window] - beta_pre)
    np.testing.assert_allclose(run.weights("B1"), B, rtol=1e-9, atol=1e-12)
    assert np.abs(run.weights("B1") - run.weights("B1", 0)).max() > 0.1


@pytest.mark.parametrize("rests", [False, True])
def test_engaged_mode(target: str, rests: bool, tmp_path: Path) -> None:
    """The error of eq. 14 is what the error projection brings, about its mean in the mode of rest, or about β."""
    window_steps, rest, windows = 200, 15 if rests else 0, 30
    values = {"modes.rest": {"on": ["W1", "B1", "g0", "g1", "e1"], "window": "100 ms"}, "code.estimate.rest": "rest"}
    circuit = nm.load("figure1").with_values(
        {
            **(values if rests else {}),
            "schedule": [*([{"mode": "rest", "examples": rest}] if rests else []), {"mode": "engaged", "examples": 30}],
        }
    )
    run = nm.run(circuit, seed=5, target=target, out=tmp_path / "run", figures=False)
    whole = rest + windows
    counts = {
        name: kicks(run, name, 1 / (0.1 * UNIT_HZ), whole * window_steps).reshape(whole, window_steps, -1).sum(1)
        for name in ("y0", "d1")
    }
    share = 1 - math.exp(-0.1 / FOLLOW_TAU_S)
    beta_pre, beta_error = np.full(3, BETA), np.full(2, BETA)
    for arrived in counts["d1"][1:rest]:
        beta_error = beta_error + share * (arrived - beta_error)
    W, bias = run.weights("W1", 0), run.weights("y1.bias", 0)
    for pre, arrived in list(zip(counts["y0"], counts["d1"], strict=True))[rest + 1 :]:
        beta_pre = beta_pre + share * (pre - beta_pre)
        error = arrived - beta_error
        W = W - RATE * np.outer(error, pre - beta_pre)
        bias = bias - RATE * error
    np.testing.assert_allclose(run.weights("W1"), W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.weights("y1.bias"), bias, rtol=1e-9, atol=1e-12)
    assert np.abs(W - run.weights("W1", 0)).max() > 0.01


@pytest.mark.parametrize("before_s", [0.0, 0.2])
def test_the_first_count_begins_with_its_mode(target: str, before_s: float, tmp_path: Path) -> None:
    """Neither the β at which signals start nor the traces of the mode before are counted."""
    before = f'{{mode="mirror", duration="{before_s} s"}}, ' if before_s else ""
    changes = [f'schedule=[{before}{{mode="engaged", duration="0.3 s"}}]', 'time.settle="0 s"']
    run = nm.run(nm.load("figure1", changes), seed=6, target=target, out=tmp_path / "run", figures=False)
    first, steps = round(before_s / DT_S), round((before_s + 0.3) / DT_S)
    pre, arrived = (
        kicks(run, name, 1 / (0.1 * UNIT_HZ), steps)[first:].reshape(3, 200, -1).sum(1) for name in ("y0", "d1")
    )
    share = 1 - math.exp(-0.1 / FOLLOW_TAU_S)
    W, beta_pre = run.weights("W1", 0), np.full(3, BETA)
    for window in range(3):
        beta_pre = beta_pre + share * (pre[window] - beta_pre)
        W = W - RATE * np.outer(arrived[window] - BETA, pre[window] - beta_pre)
    np.testing.assert_allclose(run.weights("W1"), W, rtol=1e-9, atol=1e-12)


def test_the_loss_is_that_of_the_counts(target: str, tmp_path: Path) -> None:
    """Targets are those of the teacher, redrawn here; the loss of a row is the mean of the windows since the last."""
    steps = '{mode="engaged", duration="1 s"}, {mode="mirror", duration="500 ms"}, {mode="engaged", duration="2 s"}'
    circuit = nm.load("figure1", [f"schedule=[{steps}]"])
    run = nm.run(circuit, seed=8, target=target, points=7, out=tmp_path / "run", figures=False)
    x = seeds.stream(8, "stimulus", "y0").standard_normal((30, 3))
    teacher = Stimulus(make_plan(circuit, 8)).teacher["W1"]
    targets = BETA + (np.maximum(0, BETA + x) - BETA) @ teacher.T
    counts = kicks(run, "y1", 1 / (0.1 * UNIT_HZ), 7000).reshape(35, 200, 2).sum(axis=1)
    awake = np.concatenate([counts[:10], counts[15:]])
    losses = 0.5 * ((awake - np.maximum(0, targets)) ** 2).sum(axis=1)
    rows = [row for row in run.metrics() if "loss" in row]
    assert [row["t_s"] for row in rows] == [0.5, 1.0, 2.0, 2.5, 3.0, 3.5]
    np.testing.assert_allclose([row["loss"] for row in rows], losses.reshape(6, 5).mean(axis=1), rtol=1e-9)


def rate_Hz(run: Run, population: str) -> float:
    """Return the mean rate of a population in its second half of the run."""
    spikes, stop_s = run.spikes(population), run.manifest.phases[-1]["stop_s"]
    cells = run.manifest.populations[population]["size"]
    return float(np.sum(spikes.t_s > stop_s / 2)) / (cells * stop_s / 2)


def test_a_gate_closes_for_a_silent_cell(target: str, tmp_path: Path) -> None:
    """The output error of a silent y1 is large and negative; φ'(y1) = 0 keeps it from d1, which then stays at β."""
    silent = 'populations.y1.bias={init="constant", value=-40.0}'
    length = 'schedule=[{mode="engaged", duration="2 s"}]'
    rates = {}
    for name, on in (("gated", '["W1", "B1", "g0", "g1", "e1"]'), ("open", '["W1", "B1", "g0", "e1"]')):
        circuit = nm.load("figure1", [silent, length, f"modes.engaged.on={on}", "rules.bias.updater.rate=0.0"])
        run = nm.run(circuit, seed=2, target=target, out=tmp_path / name, figures=False)
        assert rate_Hz(run, "y1") < 5
        rates[name] = rate_Hz(run, "d1")
    assert rates["gated"] > 70
    assert rates["open"] < 30


def test_blocked_biases_do_nothing(target: str, tmp_path: Path) -> None:
    """A bias of two units shifts the rate of y1 by 50 Hz, and not at all where biases are blocked."""
    biased, length = 'populations.y1.bias={init="constant", value=2.0}', 'schedule=[{mode="mirror", duration="4 s"}]'
    rates = {}
    for bias in ("on", "blocked"):
        circuit = nm.load("figure1", [biased, length, f"modes.mirror.bias={bias}"])
        run = nm.run(circuit, seed=2, target=target, out=tmp_path / bias, figures=False)
        rates[bias] = rate_Hz(run, "y1")
    assert rates["blocked"] == pytest.approx(100, abs=15)
    assert rates["on"] > rates["blocked"] + 25


def test_a_delay_of_weights_is_that_of_their_effect(target: str, tmp_path: Path) -> None:
    """Without what W1 has yet to bring, y1 has only the mean that is taken away from its input, and is silent."""
    rates = {}
    for delay in ("0 ms", "10 s"):
        changes = ['projections.W1.weight={init="constant", value=1.0}', f"projections.W1.delay={delay}"]
        circuit = nm.load("figure1", ['schedule=[{mode="mirror", duration="1 s"}]', *changes])
        run = nm.run(circuit, seed=2, target=target, out=tmp_path / delay.replace(" ", ""), figures=False)
        rates[delay] = rate_Hz(run, "y1")
    assert rates["0 ms"] > 50
    assert rates["10 s"] < 5


def test_relays_lose_no_spike(target: str, tmp_path: Path) -> None:
    """Cells of the feedback path repeat what the drive brings, one step after it, unless they are refractory."""
    circuit = nm.load("figure1", ['schedule=[{mode="mirror", duration="4 s"}]', "code.beta=80 Hz"])
    run = nm.run(circuit, seed=6, target=target, out=tmp_path / "run", figures=False)
    for source, relay, delay_s in (("y0", "d0", 3.5e-3), ("y1", "d1", 0.0)):
        sent, heard = run.spikes(source), run.spikes(relay)
        arrived = {(round((t + delay_s) / DT_S), c) for t, c in zip(sent.t_s, sent.cell, strict=True)}
        fired = {(round(t / DT_S), c) for t, c in zip(heard.t_s, heard.cell, strict=True)}
        lags = [lag for lag in range(3) if len({(s + lag, c) for s, c in arrived} & fired) > 0.5 * len(arrived)]
        assert len(lags) == 1
        matched = len({(s + lags[0], c) for s, c in arrived} & fired)
        assert matched >= 0.995 * len(arrived)
        assert len(fired) - matched <= 0.01 * len(fired)
