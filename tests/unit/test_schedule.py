"""The schedule as phases: contiguous, the same in examples and in time, and nothing shorter than one window."""

from __future__ import annotations

import math
import tomllib
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description
from neuromirror.circuit.load import from_text, shipped
from neuromirror.errors import CircuitError
from neuromirror.schedule import Phase, phases, signal_of, window_s

TEXT = shipped()["figure1"].read_text(encoding="utf-8")
TABLES = tomllib.loads(TEXT)
MICROSECONDS = st.integers(1, 10**6)
UNITS = {"s": Decimal("1e-6"), "ms": Decimal("1e-3"), "us": Decimal(1)}


def described(steps: list[dict[str, Any]], *, mirror: str = "20 ms", engaged: str = "100 ms") -> Description:
    """Give Figure 1 with another schedule, and with windows of two lengths."""
    modes = {
        "mirror": {**TABLES["modes"]["mirror"], "window": mirror},
        "engaged": {**TABLES["modes"]["engaged"], "window": engaged},
    }
    return Circuit({**TABLES, "modes": modes, "schedule": steps}).description


def written(microseconds: Decimal | int, unit: str = "us") -> str:
    """Write a time as a circuit file does, exactly."""
    return f"{Decimal(microseconds) * UNITS[unit]:f} {unit}"


@st.composite
def steps_of_figure1(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a schedule of both modes, in durations of at least one window of 100 ms or in examples."""
    step = st.fixed_dictionaries({"mode": st.sampled_from(["mirror", "engaged"])})
    steps = draw(st.lists(step, min_size=1, max_size=8))
    for one in steps:
        if draw(st.booleans()):
            one["examples"] = draw(st.integers(1, 10**6))
        else:
            one["duration"] = written(draw(st.integers(100_000, 10**9)))
    return steps


@given(steps_of_figure1())
@settings(deadline=None, max_examples=60)
def test_phases_follow_one_another_without_gaps(steps: list[dict[str, Any]]) -> None:
    found = phases(described(steps))
    assert [phase.mode for phase in found] == [step["mode"] for step in steps]
    assert (found[0].start_s, found[0].first_example) == (0.0, 0)
    for before, after in pairwise(found):
        assert after.start_s == before.stop_s
        assert after.first_example == before.first_example + before.examples
    for phase in found:
        assert phase.window_s == {"mirror": 0.02, "engaged": 0.1}[phase.mode]
        assert math.isclose(phase.stop_s - phase.start_s, phase.examples * phase.window_s, rel_tol=1e-6)
        assert isinstance(phase.examples, int)


@given(n=st.integers(1, 10**6), window=MICROSECONDS, unit=st.sampled_from(list(UNITS)))
@settings(deadline=None, max_examples=60)
def test_a_duration_of_n_windows_is_n_examples(n: int, window: int, unit: str) -> None:
    steps = [{"mode": "mirror", "duration": written(n * window, unit)}]
    (by_time,) = phases(described(steps, mirror=written(window, unit)))
    (by_examples,) = phases(described([{"mode": "mirror", "examples": n}], mirror=written(window, unit)))
    assert by_time.examples == n
    assert by_time == by_examples


@pytest.mark.parametrize(("n", "window"), [(113_957_183, 405_914), (248_917_496, 512_070), (887_489_906, 377_995)])
def test_a_duration_of_very_many_windows_loses_none(n: int, window: int) -> None:
    steps = [{"mode": "mirror", "duration": written(n * window)}]
    assert phases(described(steps, mirror=written(window)))[0].examples == n


@given(n=st.integers(1, 10**4), window=st.integers(100, 10**6), left=st.integers(1, 99))
@settings(deadline=None, max_examples=60)
def test_a_part_of_a_window_at_the_end_is_left_out(n: int, window: int, left: int) -> None:
    duration = n * window + Decimal(window * left) / 100
    (phase,) = phases(described([{"mode": "mirror", "duration": written(duration)}], mirror=written(window)))
    assert phase.examples == n


def test_figure1_runs_twenty_seconds_of_mirror_mode_and_five_engaged() -> None:
    mirror, engaged = phases(Circuit(TABLES).description)
    assert mirror == Phase(mode="mirror", window_s=0.0025, examples=8000, first_example=0, start_s=0.0)
    assert mirror.stop_s == 20.0
    assert engaged == Phase(mode="engaged", window_s=0.1, examples=50, first_example=8000, start_s=20.0)
    assert engaged.stop_s == 25.0


def test_a_mode_has_its_own_window_or_that_of_the_file() -> None:
    circuit = from_text(TEXT, changes=["modes.engaged.window=", "time.window=30 ms"]).description
    assert window_s(circuit, circuit.modes["mirror"]) == 0.0025
    assert window_s(circuit, circuit.modes["engaged"]) == 0.03
    assert phases(circuit)[1].examples == 166


def test_a_mode_has_its_own_signal_or_that_of_the_file() -> None:
    circuit = Circuit(TABLES).description
    assert signal_of(circuit, circuit.modes["mirror"]) == circuit.modes["mirror"].signal
    assert signal_of(circuit, circuit.modes["engaged"]) == circuit.time.signal
    assert signal_of(circuit, circuit.modes["engaged"]).kind == "count"


@given(inner=st.integers(1, 4), outer=st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_repeats_run_as_if_written_out(inner: int, outer: int) -> None:
    mirror, engaged = {"mode": "mirror", "duration": "1 s"}, {"mode": "engaged", "examples": 3}
    nested = [{"repeat": outer, "steps": [{"repeat": inner, "steps": [mirror, engaged]}, mirror]}, engaged]
    assert phases(described(nested)) == phases(described([*[*[mirror, engaged] * inner, mirror] * outer, engaged]))


@given(window=st.integers(2, 10**6))
@settings(deadline=None, max_examples=30)
def test_a_step_shorter_than_one_window_is_refused(window: int) -> None:
    lengths = {"mirror": written(window)}
    assert phases(described([{"mode": "mirror", "duration": written(window)}], **lengths))[0].examples == 1
    steps = [{"mode": "engaged", "examples": 1}, {"mode": "mirror", "duration": written(window - 1)}]
    with pytest.raises(CircuitError) as refused:
        phases(described(steps, **lengths))
    (problem,) = refused.value.problems
    assert (problem.name, problem.path) == ("step-length", "schedule.1.duration")
    assert "is shorter than one window of" in problem.message


def test_a_short_step_is_told_with_both_lengths_and_the_remedy() -> None:
    with pytest.raises(CircuitError, match=r"15 ms is shorter than one window of 20 ms\. Make the step longer\."):
        phases(described([{"mode": "mirror", "duration": "15 ms"}]))


def test_a_short_step_in_a_repeat_is_named_by_its_place_in_the_file() -> None:
    steps = [{"repeat": 2, "steps": [{"mode": "mirror", "examples": 1}, {"mode": "mirror", "duration": "1 ms"}]}]
    with pytest.raises(CircuitError) as refused:
        phases(described(steps))
    assert {problem.path for problem in refused.value.problems} == {"schedule.0.steps.1.duration"}


def test_a_short_step_is_found_by_the_checks_with_its_line() -> None:
    text = TEXT.replace('duration = "5 s"', 'duration = "5 ms"')
    (problem,) = from_text(text, file="short.toml").problems()
    line = text.splitlines().index('duration = "5 ms"') + 1
    assert (problem.name, problem.path, problem.line) == ("step-length", "schedule.1.duration", line)


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(CircuitError, match=r"schedule: nothing to run\. Add \[\[schedule\]\]") as refused:
        phases(described([]))
    assert [problem.name for problem in refused.value.problems] == ["no-schedule"]


@pytest.mark.parametrize(("duration", "window"), [("1e300 s", "1e-300 s"), ("1e300 s", "20 ms"), ("20 s", "1e-300 s")])
def test_more_windows_than_can_be_counted_are_refused(duration: str, window: str) -> None:
    with pytest.raises(CircuitError):
        phases(described([{"mode": "mirror", "duration": duration}], mirror=window))
