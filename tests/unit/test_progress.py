"""Progress: one line for each tenth where nobody watches, a bar on a terminal, and nothing left of it afterwards."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.progress import ProgressBar

LINE = re.compile(r" *(\d+)%  ([\d.]+) s simulated in [\d.]+ s")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(steps: list[float], total_s: float) -> list[tuple[int, float]]:
    """Give the percentages and times that are printed off a terminal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", io.StringIO())
        with ProgressBar() as bar:
            for done_s in steps:
                bar.update(done_s, total_s)
        text = sys.stderr.getvalue()  # type: ignore[attr-defined]
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(found)
    return [(int(match[1]), float(match[2])) for match in found if match]


def erased(text: str) -> bool:
    """Tell whether what was written on a terminal ends by erasing the bar's line and showing the cursor again."""
    return "simulated" in text and "\x1b[2K" in (end := text[text.rfind("simulated") :]) and "\x1b[?25h" in end


@given(st.integers(1, 500), st.floats(0.05, 1e5))
@settings(deadline=None)
def test_a_run_of_steps_prints_each_tenth_once(steps: int, total_s: float) -> None:
    printed = lines([total_s * (k + 1) / steps for k in range(steps)], total_s)
    percentages = [percent for percent, _ in printed]
    if steps >= 10:
        assert percentages == list(range(10, 101, 10))
    else:
        assert percentages == sorted({10 * (10 * (k + 1) // steps) for k in range(steps)})
    for percent, done_s in printed:
        assert done_s >= percent / 100 * total_s - 0.051  # printed to a tenth of a second


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.05, 1e5))
@settings(deadline=None)
def test_the_end_is_printed_once_whatever_came_before(shares: list[float], total_s: float) -> None:
    printed = [percent for percent, _ in lines([*(share * total_s for share in shares), total_s, total_s], total_s)]
    assert printed == sorted(set(printed))
    assert printed[-1] == 100


def test_nothing_is_printed_before_the_first_tenth() -> None:
    assert lines([0.0, 0.9, 0.99], 10.0) == []
    assert lines([0.0, 0.9, 1.0, 1.9], 10.0) == [(10, 1.0)]


def test_lines_go_to_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar() as bar:
        bar.update(5.0, 10.0)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(" 50%  5.0 s simulated")


def test_a_terminal_has_a_bar_that_moves_and_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressBar() as bar:
        shown = bar._bar
        assert shown is not None
        for done_s in (2.0, 10.0, 12.0):
            bar.update(done_s, 10.0)
            assert [task.completed for task in shown.tasks] == [min(done_s, 10.0)]
        shown.refresh()
    text = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "10.0 of 10.0 s simulated" in text
    assert not LINE.search(text)
    assert shown.finished
    assert not shown.live.is_started
    assert erased(text)


def test_an_interrupted_run_leaves_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = ProgressBar()

    def interrupted() -> None:
        with bar:
            bar.update(1.0, 10.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not bar._bar.live.is_started
    assert erased(sys.stderr.getvalue())  # type: ignore[attr-defined]
