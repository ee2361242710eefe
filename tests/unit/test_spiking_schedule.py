"""The course of training in spikes: which images are shown when, and how what the output fires is judged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.backends.base import Snapshot
from neuromirror.data.load import load_data
from neuromirror.errors import CircuitError, RequestError
from neuromirror.training.settings import Settings
from neuromirror.training.spiking import SpikingTraining, spiking_training
from neuromirror.training.spiking_record import SpikingRecorder, error_percent
from neuromirror.training.spiking_schedule import TESTING, labels_of

IMAGES = {"train_images": 30, "test_images": 10}


def training(
    validation_images: int = 0, method: str | None = None, settle: str = "100 ms", **values: Any
) -> SpikingTraining:
    changes = {f"training.{name}": value for name, value in values.items()}
    circuit = nm.load("digits_narrow").with_values({"time.settle": settle, **changes})
    return spiking_training(circuit, Settings(method=method, validation_images=validation_images, **IMAGES))


@settings(max_examples=15, deadline=None)
@given(
    epochs=st.integers(1, 30).map(lambda n: n / 10),
    mirror_epochs=st.integers(0, 10).map(lambda n: n / 10),
    every=st.integers(1, 40),
    validation=st.sampled_from([0, 10]),
    seed=st.integers(0, 99),
)
def test_every_epoch_shows_every_image_once_and_every_full_turn_mirrors(
    epochs: float, mirror_epochs: float, every: int, validation: int, seed: int
) -> None:
    mirror_epochs = min(mirror_epochs, epochs)
    try:
        run = training(validation, settle="0 s", epochs=epochs, mirror_epochs=mirror_epochs, mirror_every=every)
    except RequestError:
        assert round(30 * (epochs - mirror_epochs)) == 0
        return
    parts = [phase.part for phase in run.phases]
    shown, plan, data = sum(p.examples for p in run.phases if p.part == "train"), run.plan(seed), run.fitted.data
    assert shown == round(30 * (epochs - mirror_epochs))
    first, images = 0, {part: [] for part in ("train", "validation", "test")}
    for phase in run.phases:
        if phase.part is not None:
            images[phase.part] += plan.presented[first : first + phase.examples].tolist()
            first += phase.examples
    assert first == len(plan.presented)
    for start in range(0, shown, 30):
        epoch = images["train"][start : start + 30]
        assert len(set(epoch)) == len(epoch)
        assert set(epoch) <= set(range(30))
    tested = "validation" if validation else "test"
    whole = -(-shown // 30)
    assert parts.count(tested) == whole
    assert images[tested] == list(range(30, 40)) * whole
    if validation and shown:
        assert images["test"] == list(range(40, 50))
    every = min(every, 30)
    turns = round(mirror_epochs * 30 / every) + sum(p.examples == every for p in run.phases if p.part == "train")
    for mode in run.roles.mirrors:
        assert sum(p.mode == mode for p in run.phases) == turns
    labels = labels_of(data, plan.presented)
    truth = np.concatenate([part.labels.numpy() for part in (data.train, data.validation, data.test) if part])
    np.testing.assert_array_equal(labels, truth[plan.presented])


def test_what_is_simulated_shows_images_as_deviations_and_asks_for_the_class() -> None:
    run = training(input_sd=2.0, target=3.0)
    stimulus, data = run.scheduled.description.stimulus, run.fitted.data
    train = np.array(stimulus.inputs)[:30]
    assert train.mean() == pytest.approx(0, abs=1e-9)
    assert train.std() == pytest.approx(2)
    np.testing.assert_array_equal(np.array(stimulus.targets)[:30], 3 * np.eye(10)[data.train.labels.numpy()])


def test_nothing_learns_in_tests_and_seeds_differ_in_order_alone() -> None:
    run = training()
    assert run.scheduled.description.modes[TESTING].learn == {}
    plans = [run.plan(seed) for seed in (0, 1)]
    assert (plans[0].presented != plans[1].presented).any()
    assert sorted(plans[0].presented) == sorted(plans[1].presented)


def test_every_epoch_has_an_order_of_its_own() -> None:
    run = training(epochs=3, mirror_epochs=0)
    presented, images = run.plan(0).presented, IMAGES["train_images"]
    first = np.cumsum([0, *(phase.examples for phase in run.phases if phase.part is not None)])
    orders = {
        phase.epoch: tuple(presented[start : start + phase.examples])
        for phase, start in zip((phase for phase in run.phases if phase.part is not None), first, strict=False)
        if phase.part == "train"
    }
    assert len(set(orders.values())) == 3
    assert {tuple(sorted(order)) for order in orders.values()} == {tuple(range(images))}


def recorder_of(run: SpikingTraining) -> tuple[SpikingRecorder, list[Any]]:
    """Return what records a run with seed 0, and the rows that it writes."""
    rows: list[Any] = []
    plan = run.plan(0)
    writer: Any = SimpleNamespace(
        metrics=rows.append,
        weights=lambda *_: None,
        path=None,
        rows=0,
        written_rows=lambda: rows,
        manifest=SimpleNamespace(learned=()),
    )
    labels = labels_of(run.fitted.data, plan.presented)
    recorder = SpikingRecorder(
        plan=plan,
        writer=writer,
        phases=run.phases,
        labels=labels,
        output="y4",
        about={},
        progress_to=lambda _: None,
    )
    return recorder, rows


UNRESTED = {"code.estimate.rest": None, "training.rest_examples": None}
TURNS = {
    "feedback.distinct": False,
    "feedback.cross_delay": "0 s",
    "modes.engaged.signal": {"kind": "count"},
    "modes.rest.signal": {"kind": "count"},
    "training.mirror_every": 10,
}
"""Shared cells, which carry y in the first half of a window."""


@pytest.mark.parametrize("turns", [False, True])
def test_an_image_is_judged_by_the_spikes_of_its_window(turns: bool) -> None:
    """The right cell fires in its first and last time step, a wrong one once within it, and all the time outside."""
    circuit = nm.load("digits_narrow").with_values(TURNS if turns else {"training.mirror_every": 10})
    run = spiking_training(circuit, Settings(**IMAGES))
    plan, (ticks, cells) = run.plan(0), (list[int](), list[int]())
    labels, seen = labels_of(run.fitted.data, plan.presented), 0
    shown = [stretch.part is not None for stretch in run.phases]
    for number, phase in enumerate(plan.phases):
        for window in range(phase.examples if shown[number] else 0):
            begin = round((phase.start_s + window * phase.window_s) / 0.0005)
            end = begin + (100 if turns else 200)
            right, wrong = labels[seen], (labels[seen] + 1) % 10
            last = window + 1 == phase.examples and not any(shown[number + 1 : number + 2])
            after = [end] * 3 if turns or last else []  # else it would be in the window of the next image
            ticks += [begin, begin + 50, end - 1, *after]
            cells += [right, wrong, right, *(wrong for _ in after)]
            seen += 1
    recorder, rows = recorder_of(run)
    recorder.spikes("y4", np.array(ticks), np.array(cells, dtype=np.int32))
    for number, phase in enumerate(plan.phases):
        recorder.snapshot(
            Snapshot(phase=number, examples=number + 1, t_s=phase.stop_s, arrays=plan.initial_arrays()),
            keep_arrays=True,
        )
    errors = [value for row in rows for key, value in row.items() if key.endswith("error_percent")]
    assert len(errors) == sum(shown)
    assert set(errors) == {0.0}


def test_the_worst_angle_is_that_after_turns_awake() -> None:
    """B is far from its W at the end of every turn asleep, and ever nearer to it awake."""
    run = training(mirror_every=10)
    recorder, rows = recorder_of(run)
    plan = run.plan(0)
    for number, phase in enumerate(plan.phases):
        arrays = plan.initial_arrays()
        if run.phases[number].part is not None:
            arrays["B2"] = arrays["W2"].T + arrays["B2"] / (number + 1)
        recorder.snapshot(
            Snapshot(phase=number, examples=number + 1, t_s=phase.stop_s, arrays=arrays), keep_arrays=True
        )
    awake = [row["angles_deg"]["B2"] for row, stretch in zip(rows, run.phases, strict=True) if stretch.part is not None]
    assert awake[-1] < awake[0] < rows[0]["angles_deg"]["B2"]
    assert recorder.summary()["matrix_angles_worst_deg"]["B2"] == awake[0]


def test_methods_differ_in_nothing_that_is_shown_awake() -> None:
    """Engaged examples are equal, in number and order, whatever goes on asleep."""
    shown = {}
    for method in ("wm", "fa", "bp", "wt0", "output_only", "permuted", "shifted"):
        run = training(method=method)
        shown[method] = run.plan(3).presented
        assert bool(run.roles.mirrors) == (method in ("wm", "permuted", "shifted"))
    for order in shown.values():
        np.testing.assert_array_equal(order, shown["wm"])


@settings(deadline=None)
@given(st.data())
def test_errors_are_those_of_a_guess_among_the_largest(data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=6)))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts))))
    right = []
    for row, label in zip(counts.tolist(), labels.tolist(), strict=True):
        best = [k for k, count in enumerate(row) if count == max(row)]
        right.append((label in best) / len(best))
    assert error_percent(counts, labels) == pytest.approx(100 * (1 - np.mean(right)))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"training.batch": 2}, "training.batch: spiking cells learn after every image"),
        (
            {"training.loss": "cross_entropy", "training.target": None},
            "training.loss: spiking cells compare the output itself",
        ),
        ({"training.warmup_epochs": 1}, "training.warmup_epochs: rates of spiking circuits stay"),
        ({"training.drops": [3]}, "training.drops: rates of spiking circuits stay"),
        ({"training.mirror_examples": None}, "training.mirror_examples: how long each mirror mode lasts"),
        ({"training.mirror_examples": 40}, "training.mirror_examples: a turn of 'mirror_y1' lasts 0.1 s"),
        ({"training.rest_examples": None}, "training.rest_examples: how long 'rest' lasts is not said"),
        ({"training.rest_examples": 1}, "training.rest_examples: a turn of 'rest' lasts 0.1 s"),
        ({"code.estimate.rest": None}, "training.rest_examples: does nothing here: there is no mode of rest"),
        ({"modes.rest.input": {"y0": "stimulus"}}, "modes.rest.input: training shows images"),
        ({"modes.rest.learn": {"@W": "forward"}}, "modes.rest.learn: nothing learns at rest"),
        ({"training.mirror_every": 1}, "training.mirror_every: a turn of 'engaged' lasts 0.1 s"),
        (
            {"training.mirror_angle_deg": 5, "training.mirror_examples": None},
            "training.mirror_angle_deg: how long spiking cells mirror",
        ),
        ({**UNRESTED, "modes.engaged.compare": {}}, "modes: training needs one mode that compares"),
        ({"code.kind": "zero_mean", "code.beta": None}, "backend 'brian2' has no code 'zero_mean'"),
    ],
)
def test_what_training_in_spikes_would_pass_over_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(CircuitError) as caught:
        spiking_training(nm.load("digits_narrow").with_values(values), Settings(**IMAGES))
    assert says in str(caught.value)


def test_options_of_torch_are_refused() -> None:
    with pytest.raises(RequestError, match="--bf16: an option of networks of torch"):
        spiking_training("digits_narrow", Settings(bf16=True))


@pytest.mark.parametrize(("wanted", "nth"), [(None, 5), (359, 5), (360, 4), (449, 4), (500, 3), (600, 2), (898, 2)])
def test_digits_give_as_many_test_images_as_are_wanted(wanted: int | None, nth: int) -> None:
    data = load_data("digits", size=(8, 8), test_images=wanted)
    assert len(data.test) == (wanted or 359)
    assert len(data.train) == 1797 - 1797 // nth
    assert not set(data.train.members) & set(data.test.members)
