"""The course of training in spikes: which images are shown when, and how what the output fires is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.data.load import load_data
from neuromirror.errors import CircuitError, RequestError
from neuromirror.training.settings import Settings
from neuromirror.training.spiking import SpikingTraining, spiking_training
from neuromirror.training.spiking_record import error_percent
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
        ({"training.loss": "cross_entropy"}, "training.loss: spiking cells compare the output itself"),
        ({"training.warmup_epochs": 1}, "training.warmup_epochs: rates of spiking circuits stay"),
        ({"training.drops": [3]}, "training.drops: rates of spiking circuits stay"),
        ({"training.mirror_examples": None}, "training.mirror_examples: how long each mirror mode lasts"),
        ({"training.mirror_examples": 40}, "training.mirror_examples: a turn of 'mirror_y1' lasts 0.1 s"),
        ({"training.mirror_every": 1}, "training.mirror_every: a turn of 'engaged' lasts 0.1 s"),
        ({"training.mirror_angle_deg": 5}, "training.mirror_angle_deg: how long spiking cells mirror"),
        ({"modes.engaged.compare": {}}, "modes: training needs one mode that compares"),
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
