"""Cells that carry y in the first half of a window and δ in the second (8.1), awake and in spikes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror import seeds
from neuromirror.backends.base import Options
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.stimulus import Stimulus
from neuromirror.measure import angle_deg
from neuromirror.plan import make_plan
from neuromirror.record.run import Run

UNIT_HZ, BETA, DT_S, TAU_S, RATE = 25.0, 4.0, 0.5e-3, 2.0, 0.01
TARGETS = pytest.mark.parametrize("target", ["numpy", "cpp_standalone"])
SHARED = {"populations.d0.shares": "y0", "populations.d1.shares": "y1", "projections.x0.delay": "0 s"}


def awake(length: str, **values: object) -> nm.Circuit:
    return nm.load("figure1").with_values({**SHARED, "schedule": [{"mode": "engaged", "duration": length}], **values})


def chain(length: str, **values: object) -> nm.Circuit:
    """Three layers whose weights hardly move, so that what they learn is the sum of all gradients at one place."""
    described = {
        "layers": {"sizes": [6, 5, 4], "bias": {"init": "constant"}},
        "feedback": {"distinct": False},
        "modes.engaged.compare": {"d2": "y2 - target"},
        "rules.forward.updater.rate": 1e-6,
        "rules.bias.updater.rate": 1e-6,
        "schedule": [{"mode": "engaged", "duration": length}],
    }
    return nm.load("chain4").with_values({**described, **values})


def halves(run: Run, population: str, windows: int, window_s: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of both halves of the first windows, as rates in code units, (windows, cells) each."""
    spikes, half = run.spikes(population), round(window_s / DT_S) // 2
    part = np.rint(spikes.t_s / DT_S).astype(int) // half
    counts = np.zeros((2 * windows, run.manifest.populations[population]["size"]))
    np.add.at(counts, (part[part < 2 * windows], spikes.cell[part < 2 * windows]), 2 / (window_s * UNIT_HZ))
    return counts[::2], counts[1::2]


def learned(run: Run, name: str) -> np.ndarray:
    return run.weights(name) - run.weights(name, 0)


@TARGETS
@pytest.mark.parametrize("estimated", [True, False])
def test_what_is_learned_follows_from_the_spikes(target: str, estimated: bool, tmp_path: Path) -> None:
    """The y of the first half is ``pre``, the δ of the second the error, which is measured from β.

    B learns by a rule that names all that it sees.
    """
    circuit = awake(
        "2 s",
        **{
            "rules.other": {"drive": "(pre - beta_pre)*(cross - beta_post) + k*post", "updater": {"rate": RATE}},
            "rules.other.constants": {"k": 0.1},
            "modes.engaged.learn": {"W1": "forward", "y1.bias": "bias", "B1": "other"},
            **({} if estimated else {"code.estimate": None}),
        },
    )
    run = nm.run(circuit, seed=5, target=target, out=tmp_path / "run", figures=False)
    (y0, d0), (_, d1) = (halves(run, name, 20) for name in ("y0", "y1"))
    share = 1 - math.exp(-0.1 / TAU_S) if estimated else 0.0
    beta = {name: np.full(size, BETA) for name, size in (("y0", 3), ("d0", 3), ("d1", 2))}
    W, B, bias = run.weights("W1", 0), run.weights("B1", 0), run.weights("y1.bias", 0)
    for window in range(1, 20):  # the first is the time to settle
        seen = {"y0": y0[window], "d0": d0[window], "d1": d1[window]}
        beta["y0"] = beta["y0"] + share * (y0[window] - beta["y0"])
        error = seen["d1"] - beta["d1"]
        W = W - RATE * np.outer(error, y0[window] - beta["y0"])
        bias = bias - RATE * error
        B = B + RATE * (np.outer(y0[window] - beta["d0"], error) + 0.1 * seen["d0"][:, None])
    np.testing.assert_allclose(run.weights("W1"), W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.weights("y1.bias"), bias, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.weights("B1"), B, rtol=1e-9, atol=1e-12)
    assert np.abs(learned(run, "W1")).max() > 0.01


@TARGETS
@pytest.mark.parametrize("upper", ["post", "cross"])
def test_sleep_and_wake_have_baselines_and_weights_of_their_own(target: str, upper: str, tmp_path: Path) -> None:
    """Asleep nothing takes turns: B is what a night after no day would make of the same spikes.

    What drives a cell asleep, ``cross``, is its own signal.
    """
    steps = [{"mode": "engaged", "duration": "0.5 s"}, {"mode": "mirror", "duration": "0.5 s"}]
    values = {"rules.mirror.updater": {"rate": 0.01, "decay": 0.5}, "time.settle": "0 s"}
    values["rules.mirror.drive"] = f"({upper} - beta_post)*(pre - beta_pre)"
    circuit = awake("1 s", **values, schedule=[*steps, {"mode": "engaged", "duration": "0.5 s"}])
    run = nm.run(circuit, seed=4, target=target, points=3, out=tmp_path / "run", figures=False)
    start, evening, morning, end = run.weight_steps()
    assert np.array_equal(run.weights("B1", start), run.weights("B1", evening))
    assert np.array_equal(run.weights("B1", morning), run.weights("B1", end))
    assert np.array_equal(run.weights("W1", evening), run.weights("W1", morning))
    assert np.array_equal(run.weights("y1.bias", evening), run.weights("y1.bias", morning))
    assert not np.array_equal(run.weights("W1", morning), run.weights("W1", end))
    read = {}
    for name in ("y0", "y1"):
        spikes = run.spikes(name)
        added = np.zeros((3000, run.manifest.populations[name]["size"]))
        np.add.at(added, (np.rint(spikes.t_s / DT_S).astype(int), spikes.cell), 1 / (7e-3 * UNIT_HZ))
        trace, read[name] = np.zeros(added.shape[1]), []
        for step in range(1000, 2000):
            trace = math.exp(-DT_S / 7e-3) * trace + added[step]
            if step % 5 == 4:
                read[name].append(trace)
    B, share, beta = (
        run.weights("B1", 0),
        1 - math.exp(-2.5e-3 / TAU_S),
        {"y0": np.full(3, BETA), "y1": np.full(2, BETA)},
    )
    for lower, upper in zip(read["y0"], read["y1"], strict=True):
        beta = {"y0": beta["y0"] + share * (lower - beta["y0"]), "y1": beta["y1"] + share * (upper - beta["y1"])}
        B = B + 0.01 * (np.outer(lower - beta["y0"], upper - beta["y1"]) - 0.5 * B)
    np.testing.assert_allclose(run.weights("B1"), B, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimated", [True, False])
def test_gradients_are_those_of_the_rate_model(estimated: bool, tmp_path: Path) -> None:
    """600 examples in spikes against as many as rates, of the same stimulus.

    Over seeds 0 to 5 the correlation of 20 weights or more is .94 to .99, and with distinct cells no higher; that of
    unrelated ones has a standard deviation of .2.
    """
    circuit = chain("60 s", **({} if estimated else {"code.estimate": None}))
    runs = {
        backend: nm.run(circuit, backend=backend, seed=1, points=1, out=tmp_path / backend, figures=False)
        for backend in ("brian2", "torch")
    }
    for name in ("W1", "W2"):
        found, expected = (learned(run, name).ravel() for run in runs.values())
        assert np.corrcoef(found, expected)[0, 1] > 0.93
        assert 0.4 < (found @ expected) / (expected @ expected) / 50 < 1.1, "a batch of rates is 50 examples"


def test_without_b_no_layer_below_learns_the_task(tmp_path: Path) -> None:
    """δ1 is then the cells' own spiking: what W1 learns is unrelated to its gradient, and W2 learns as before.

    Over seeds 0 to 5 the correlation of W1's 30 weights is -.41 to .29.
    """
    whole = nm.run(chain("60 s"), backend="torch", seed=1, points=1, out=tmp_path / "rates", figures=False)
    lesion = chain("60 s").without("B2")
    run = nm.run(lesion, seed=1, points=1, out=tmp_path / "lesion", figures=False)
    for name, low, high in (("W1", -0.6, 0.6), ("W2", 0.93, 1.0)):
        assert low < np.corrcoef(learned(run, name).ravel(), learned(whole, name).ravel())[0, 1] < high


def test_one_half_hardly_leaks_into_the_other(tmp_path: Path) -> None:
    """With nothing fed back the second half is at rest, whatever the first has said: only membranes remember it.

    3,000 windows and an input of variance 1 leave a standard error below .03 for each of three cells.
    """
    circuit = awake("300 s", **{"modes.engaged.compare": {}, "modes.engaged.on": ["W1", "e1"]})
    run = nm.run(circuit, seed=2, points=1, target="cpp_standalone", out=tmp_path / "run", figures=False)
    x = seeds.stream(2, "stimulus", "y0").standard_normal((3000, 3))
    first, second = halves(run, "y0", 3000)
    for half, low, high in ((first, 0.8, 1.2), (second, -0.08, 0.08)):
        slopes = [np.polyfit(x[:, i], half[:, i], 1)[0] for i in range(3)]
        assert low < np.mean(slopes) < high
    assert second.mean() == pytest.approx(BETA, abs=0.15)


@TARGETS
def test_the_loss_is_that_of_the_first_halves(target: str, tmp_path: Path) -> None:
    run = nm.run(awake("2 s"), seed=8, target=target, points=4, out=tmp_path / "run", figures=False)
    x = seeds.stream(8, "stimulus", "y0").standard_normal((20, 3))
    teacher = Stimulus(make_plan(awake("2 s"), 8)).teacher["W1"]
    targets = np.maximum(0, BETA + (np.maximum(0, BETA + x) - BETA) @ teacher.T)
    losses = 0.5 * ((halves(run, "y1", 20)[0] - targets) ** 2).sum(axis=1)
    found = [row["loss"] for row in run.metrics() if "loss" in row]
    np.testing.assert_allclose(found, losses.reshape(4, 5).mean(axis=1), rtol=1e-9)


def test_a_gate_closes_for_a_cell_that_was_silent(tmp_path: Path) -> None:
    """The output error of a silent y1 is large and negative; φ'(y1) = 0 keeps it from δ1, which then stays at β.

    Halves are ten membrane time constants long, in which membranes recover.
    """
    silent = {"populations.y1.bias": {"init": "constant", "value": -10.0}, "rules.bias.updater.rate": 0.0}
    rates = {}
    for name, on in (("gated", ["W1", "B1", "g0", "g1", "e1"]), ("open", ["W1", "B1", "g0", "e1"])):
        circuit = awake("8 s", **silent, **{"modes.engaged.on": on, "modes.engaged.window": "400 ms"})
        run = nm.run(circuit, seed=2, target="numpy", points=1, out=tmp_path / name, figures=False)
        y, d = halves(run, "y1", 20, 0.4)
        assert y.mean() * UNIT_HZ < 5
        rates[name] = d.mean() * UNIT_HZ
    assert rates["gated"] > 70
    assert rates["open"] < 30


def test_the_forward_weights_become_the_teachers(tmp_path: Path) -> None:
    options = Options(target="cpp_standalone", points=1)
    runs = nm.run_seeds(awake("40 s"), seeds=range(3), options=options, out=tmp_path / "runs", figures=False)
    for run in runs:
        teacher = Stimulus(make_plan(awake("40 s"), run.manifest.seed)).teacher["W1"]
        assert angle_deg(run.weights("W1", 0), teacher.T) > 90, "these seeds begin far away"
        assert angle_deg(run.weights("W1"), teacher.T) < 20
        np.testing.assert_array_equal(run.weights("B1"), run.weights("B1", 0))


def test_pairs_in_push_pull_take_turns(tmp_path: Path) -> None:
    """The first 40 s of a task; Dale's law holds all the while."""
    rates = {f"rules.{rule}.updater.rate": 0.02 for rule in ("forward", "bias")}
    values = {**SHARED, **rates, "code.beta": "100 Hz", "schedule": [{"mode": "engaged", "duration": "40 s"}]}
    circuit = nm.load("figure1_push_pull").with_values(values)
    options = Options(target="cpp_standalone", points=1)
    for run in nm.run_seeds(circuit, seeds=range(3), options=options, out=tmp_path / "runs", figures=False):
        plan = make_plan(circuit, run.manifest.seed)
        teacher = plan.coding.unit_weights(Stimulus(plan).teacher["W1"])
        before, after = (run.unit_weights("W1", step) for step in (0, -1))
        assert angle_deg(before, teacher.T) > 90, "these seeds begin far away"
        assert angle_deg(after, teacher.T) < 25
        assert run.weights("W1").min() >= 0


lengths = st.lists(st.tuples(st.sampled_from(["mirror", "engaged"]), st.integers(1, 9)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=50)
@given(half=st.integers(1, 60), whole=st.integers(1, 60), steps=lengths)
def test_halves_are_of_whole_ticks(half: int, whole: int, steps: list[tuple[str, int]]) -> None:
    """Each tick belongs to one part; windows of several lengths follow one another without a gap."""
    windows = {"engaged": 2 * half, "mirror": whole}
    values = {f"modes.{mode}.window": f"{count * 500} us" for mode, count in windows.items()}
    schedule = [{"mode": mode, "examples": examples} for mode, examples in steps]
    grid = Layout(make_plan(awake("1 s", **values, schedule=schedule), 0, "brian2"), DT_S).grid
    expected = []
    for mode, examples in steps:
        parts = (
            [("engaged", "y", half), ("engaged", "delta", half)] if mode == "engaged" else [("mirror", "both", whole)]
        )
        expected += [(mode, carries) for mode, carries, count in parts * examples for _ in range(count)]
    found = [(part.mode, part.carries) for part in grid.part_of_tick[: grid.ticks] for _ in range(grid.tick_steps)]
    assert found == expected
    for found_windows in grid.windows:
        before = half // grid.tick_steps if found_windows.mode == "engaged" else 0
        halves = (found_windows.ends - before).tolist() if before else []
        assert found_windows.halves.tolist() == halves
