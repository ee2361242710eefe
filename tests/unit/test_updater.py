"""Updaters: where a weight comes to rest, and that a memory is an average whatever the windows and batches are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.circuit.load import from_text, shipped
from neuromirror.circuit.rules import rule_of
from neuromirror.rules.updater import PlainUpdater, Step

TEXT = shipped()["figure1"].read_text(encoding="utf-8")
NUMBERS = st.floats(-10, 10)
RATES = st.floats(0.001, 1)
DECAYS = st.floats(0.01, 1)
DRIVES = st.lists(NUMBERS, min_size=1, max_size=20)
BATCHES = st.lists(st.integers(1, 50), min_size=1, max_size=20)
MEMORY_UNITS = st.sampled_from(["seconds", "examples"])


def plain_step(updater: PlainUpdater) -> Step:
    """Give the step of an updater that does not depend on time."""
    return updater.step(examples_seen=0, examples=1, window_s=0.02)


def taught(updater: PlainUpdater, w: float, drives: list[float], examples: list[int], window_s: float) -> float:
    """Teach a weight by one update for each mean drive, over so many examples each."""
    seen = 0
    for drive, batch in zip(drives, examples, strict=True):
        step = updater.step(examples_seen=seen, examples=batch, window_s=window_s)
        w = step.keep * w + step.step * drive
        seen += batch
    return w


def close(found: float, expected: float, scale: float) -> bool:
    """Tell whether two numbers differ by the rounding of numbers of a given scale."""
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12 * scale)


# ---- rate and decay -------------------------------------------------------------------------------------------------


@given(RATES, DECAYS, NUMBERS, NUMBERS)
@settings(deadline=None)
def test_one_update_is_the_equation_of_its_reading(rate: float, decay: float, w: float, drive: float) -> None:
    times_rate = plain_step(PlainUpdater(rate=rate, decay=decay))
    literal = plain_step(PlainUpdater(rate=rate, decay=decay, decay_times_rate=False))
    assert close(times_rate.keep * w + times_rate.step * drive, w + rate * (drive - decay * w), 10)
    assert close(literal.keep * w + literal.step * drive, w + rate * drive - decay * w, 10)


@given(RATES, DECAYS, NUMBERS, NUMBERS)
@settings(deadline=None, max_examples=50)
def test_a_constant_drive_brings_a_weight_to_the_fixed_point_of_its_reading(
    rate: float, decay: float, w: float, drive: float
) -> None:
    for updater, fixed, forgotten in (
        (PlainUpdater(rate=rate, decay=decay), drive / decay, rate * decay),
        (PlainUpdater(rate=rate, decay=decay, decay_times_rate=False), rate * drive / decay, decay),
    ):
        step, here = plain_step(updater), w
        assert close(step.keep * fixed + step.step * drive, fixed, abs(fixed) + 1)
        for _ in range(20):
            here = step.keep * here + step.step * drive
        assert close(here - fixed, (1 - forgotten) ** 20 * (w - fixed), abs(w) + abs(fixed) + 1)


def test_the_numbers_of_the_paper() -> None:
    # C.2: a rate of 0.1 and a decay of 0.5. One reading forgets a twentieth of B at each update, the other a half.
    assert plain_step(PlainUpdater(rate=0.1, decay=0.5)) == Step(keep=0.95, step=0.1)
    assert plain_step(PlainUpdater(rate=0.1, decay=0.5, decay_times_rate=False)) == Step(keep=0.5, step=0.1)


@given(RATES, DECAYS)
@settings(deadline=None)
def test_the_readings_agree_where_the_decays_do(rate: float, decay: float) -> None:
    one = PlainUpdater(rate=rate, decay=decay)
    assert plain_step(one) == plain_step(PlainUpdater(rate=rate, decay=decay * rate, decay_times_rate=False))


@given(RATES, st.booleans(), NUMBERS, DRIVES)
@settings(deadline=None)
def test_without_decay_drives_add_up(rate: float, times_rate: bool, w: float, drives: list[float]) -> None:
    updater = PlainUpdater(rate=rate, decay_times_rate=times_rate)
    assert close(taught(updater, w, drives, [1] * len(drives), 0.02), w + rate * math.fsum(drives), 200)


@given(RATES, DECAYS, st.booleans(), st.integers(0, 10**6), st.integers(1, 100), st.floats(0.001, 1))
@settings(deadline=None)
def test_a_rate_does_not_depend_on_what_was_seen(
    rate: float, decay: float, times_rate: bool, seen: int, examples: int, window_s: float
) -> None:
    updater = PlainUpdater(rate=rate, decay=decay, decay_times_rate=times_rate)
    assert updater.step(examples_seen=seen, examples=examples, window_s=window_s) == plain_step(updater)


# ---- memory ---------------------------------------------------------------------------------------------------------


@given(DECAYS, st.floats(0.1, 50), st.floats(0.002, 0.2), MEMORY_UNITS, NUMBERS, st.data())
@settings(deadline=None)
def test_while_memory_grows_a_weight_is_the_average_of_all_it_has_seen(
    decay: float, first: float, window_s: float, unit: str, w: float, data: st.DataObject
) -> None:
    """Its initial value counts as `memory_from` of learning."""
    examples = data.draw(BATCHES)
    drives = data.draw(st.lists(NUMBERS, min_size=len(examples), max_size=len(examples)))
    updater = PlainUpdater(decay=decay, memory=1e9, memory_from=first, memory_in=unit)
    spans = [n * (window_s if unit == "seconds" else 1) for n in examples]
    total = first * w + math.fsum(span * drive / decay for span, drive in zip(spans, drives, strict=True))
    assert close(taught(updater, w, drives, examples, window_s), total / (first + math.fsum(spans)), 10 / decay)


@given(DECAYS, st.floats(50, 500), MEMORY_UNITS, st.floats(0.2, 1), NUMBERS, st.data())
@settings(deadline=None)
def test_with_its_full_memory_a_weight_is_an_exponential_average(
    decay: float, memory: float, unit: str, window_s: float, w: float, data: st.DataObject
) -> None:
    examples = data.draw(BATCHES)
    drives = data.draw(st.lists(NUMBERS, min_size=len(examples), max_size=len(examples)))
    updater = PlainUpdater(decay=decay, memory=memory, memory_in=unit)
    forgotten = [n * (window_s if unit == "seconds" else 1) / memory for n in examples]
    kept = [math.prod(1 - a for a in forgotten[k:]) for k in range(len(examples) + 1)]
    expected = kept[0] * w + math.fsum(
        kept[k + 1] * forgotten[k] * drive / decay for k, drive in enumerate(drives)
    )  # kept[k + 1] is what the updates after k leave of it
    assert close(taught(updater, w, drives, examples, window_s), expected, 10 / decay)


@given(DECAYS, st.floats(0.1, 5), st.floats(0.01, 0.1), MEMORY_UNITS, NUMBERS, st.data())
@settings(deadline=None)
def test_while_memory_grows_the_batch_makes_no_difference(
    decay: float, first: float, window_s: float, unit: str, w: float, data: st.DataObject
) -> None:
    batch = data.draw(st.integers(1, 20))
    drives = data.draw(st.lists(NUMBERS, min_size=3 * batch, max_size=3 * batch))
    updater = PlainUpdater(decay=decay, memory=1e6, memory_from=first, memory_in=unit)
    means = [math.fsum(drives[k : k + batch]) / batch for k in range(0, 3 * batch, batch)]
    single = taught(updater, w, drives, [1] * len(drives), window_s)
    assert close(single, taught(updater, w, means, [batch] * 3, window_s), 10 / decay)


@given(DECAYS, st.floats(0.01, 0.1), MEMORY_UNITS, NUMBERS, st.data())
@settings(deadline=None)
def test_with_a_long_memory_the_batch_makes_little_difference(
    decay: float, window_s: float, unit: str, w: float, data: st.DataObject
) -> None:
    """With a = span/memory of one example, (1 − a)ⁿ and 1 − na differ by at most n(n − 1)a²/2; so do the averages."""
    memory = 100 * (window_s if unit == "seconds" else 1)
    drives = data.draw(st.lists(NUMBERS, min_size=2, max_size=20))
    n, a = len(drives), 0.01
    updater = PlainUpdater(decay=decay, memory=memory, memory_in=unit)
    single = taught(updater, w, drives, [1] * n, window_s)
    batched = taught(updater, w, [math.fsum(drives) / n], [n], window_s)
    bound = n * (n - 1) / 2 * a**2 * (abs(w) + max(map(abs, drives)) / decay)
    assert abs(single - batched) <= bound + 1e-12 * 10 / decay


@given(DECAYS, st.floats(1, 100), st.integers(1, 50), st.integers(0, 1000), st.floats(0.001, 0.1), st.none() | RATES)
@settings(deadline=None)
def test_a_memory_in_seconds_counts_time_and_one_in_examples_counts_examples(
    decay: float, memory: float, examples: int, updates: int, window_s: float, first: float | None
) -> None:
    timed = PlainUpdater(decay=decay, memory=memory, memory_from=first)
    many = timed.step(examples_seen=updates * examples, examples=examples, window_s=window_s)
    long = timed.step(examples_seen=updates, examples=1, window_s=examples * window_s)
    assert many.keep == pytest.approx(long.keep, abs=1e-12)
    assert many.step == pytest.approx(long.step, rel=1e-12)
    counted = PlainUpdater(decay=decay, memory=memory, memory_from=first, memory_in="examples")
    assert counted.step(examples_seen=updates, examples=examples, window_s=window_s) == counted.step(
        examples_seen=updates, examples=examples, window_s=2 * window_s
    )


@given(DECAYS, st.floats(0.01, 100), st.integers(1, 10_000), st.integers(0, 10**6), MEMORY_UNITS, st.none() | RATES)
@settings(deadline=None)
def test_a_constant_drive_brings_a_memory_to_drive_over_decay(
    decay: float, memory: float, examples: int, seen: int, unit: str, first: float | None
) -> None:
    updater = PlainUpdater(decay=decay, memory=memory, memory_from=first, memory_in=unit)
    step = updater.step(examples_seen=seen, examples=examples, window_s=0.02)
    assert 0 <= step.keep < 1
    assert step.keep + decay * step.step == pytest.approx(1, rel=1e-12)


def test_a_memory_shorter_than_an_update_is_that_update() -> None:
    updater = PlainUpdater(decay=0.5, memory=10.0, memory_in="examples")
    assert updater.step(examples_seen=0, examples=50, window_s=0.02) == Step(keep=0, step=2)
    updater = PlainUpdater(decay=0.5, memory=10.0, memory_from=0.0, memory_in="examples")
    assert updater.step(examples_seen=0, examples=5, window_s=0.02) == Step(keep=0, step=2)


def test_memory_stops_growing_at_its_full_length() -> None:
    updater = PlainUpdater(decay=1.0, memory=10.0, memory_from=4.0, memory_in="examples")
    shares = [updater.step(examples_seen=k, examples=1, window_s=1.0).step for k in range(9)]
    assert shares == pytest.approx([1 / n for n in (5, 6, 7, 8, 9, 10, 10, 10, 10)])


# ---- many updates at once, and the updaters of files ----------------------------------------------------------------


UPDATERS = st.builds(
    PlainUpdater,
    rate=RATES,
    decay=DECAYS,
    decay_times_rate=st.booleans(),
    memory=st.none() | st.floats(0.1, 1000),
    memory_from=st.none() | st.floats(0.1, 10),
    memory_in=MEMORY_UNITS,
)


@given(UPDATERS, st.lists(st.integers(0, 10**6), max_size=20), st.integers(1, 100), st.floats(0.001, 1))
@settings(deadline=None)
def test_the_coefficients_of_many_updates_are_those_of_each(
    updater: PlainUpdater, seen: list[int], examples: int, window_s: float
) -> None:
    keep, step = updater.coefficients(examples_seen=np.array(seen, dtype=int), examples=examples, window_s=window_s)
    assert keep.dtype == step.dtype == np.float64
    assert [Step(keep=a, step=b) for a, b in zip(keep.tolist(), step.tolist(), strict=True)] == [
        updater.step(examples_seen=one, examples=examples, window_s=window_s) for one in seen
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rate": 0.1, "decay": 0.5}, {"rate": 0.1, "decay": 0.5}),
        (
            {"rate": 0.1, "decay": 0.5, "decay_times_rate": False},
            {"rate": 0.1, "decay": 0.5, "decay_times_rate": False},
        ),
        ({"memory": "60 s", "decay": 2.0}, {"memory": 60.0, "decay": 2.0}),
        (
            {"memory": "1 min", "memory_from": "500 ms", "decay": 2.0},
            {"memory": 60.0, "memory_from": 0.5, "decay": 2.0},
        ),
        (
            {"memory": 40960, "memory_from": 100, "decay": 2.0},
            {"memory": 40960.0, "memory_from": 100.0, "decay": 2.0, "memory_in": "examples"},
        ),
    ],
)
def test_the_updater_that_a_file_describes(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    inside = ", ".join(
        f"{key} = {str(value).lower() if value is False else repr(value)}" for key, value in changes.items()
    )
    description = from_text(TEXT, changes=[f"rules.mirror.updater={{ {inside} }}"]).description
    assert rule_of(description, "mirror").updater == PlainUpdater(**expected)
