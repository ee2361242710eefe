"""Traces of spikes against sums over all spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuromirror.errors import RequestError
from neuromirror.measure import exponential_traces

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Spikes on a grid of time steps, and windows of whole steps."""

    step_s: float
    steps: int
    windows: int
    cells: int
    tau_s: float
    fired: list[tuple[int, int]]

    def traces(self) -> FloatArray:
        """Compute the traces."""
        return exponential_traces(
            np.array([tick * self.step_s for tick, _ in self.fired]),
            np.array([cell for _, cell in self.fired], dtype=int),
            cells=self.cells,
            window_s=self.steps * self.step_s,
            windows=self.windows,
            tau_s=self.tau_s,
        )

    def sums(self) -> FloatArray:
        """Add up what each spike leaves at the end of each window, over all spikes before it."""
        found = np.zeros((self.windows, self.cells))
        for window in range(self.windows):
            for tick, cell in self.fired:
                left = (window + 1) * self.steps - tick
                if left > 0:
                    found[window, cell] += math.exp(-left * self.step_s / self.tau_s) / self.tau_s
        return found


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw spikes, some of them at borders of windows and some after the last."""
    step_s = draw(st.sampled_from([0.0001, 0.0005, 0.001]))
    steps, windows, cells = draw(st.integers(1, 20)), draw(st.integers(1, 40)), draw(st.integers(1, 4))
    spike = st.tuples(st.integers(0, steps * (windows + 2)), st.integers(0, cells - 1))
    tau_s = draw(st.floats(0.2, 20)) * steps * step_s
    fired = draw(st.lists(spike, max_size=30))
    return Case(step_s=step_s, steps=steps, windows=windows, cells=cells, tau_s=tau_s, fired=fired)


@given(cases())
@settings(deadline=None, max_examples=150)
def test_a_trace_is_the_sum_over_all_spikes_before(case: Case) -> None:
    found = case.traces()
    assert found.shape == (case.windows, case.cells)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, case.sums(), rtol=1e-9, atol=1e-200)


@given(cases(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_of_spikes_makes_no_difference(case: Case, random: Random) -> None:
    shuffled = random.sample(case.fired, len(case.fired))
    np.testing.assert_allclose(replace(case, fired=shuffled).traces(), case.traces(), rtol=1e-9)


def test_a_spike_between_steps_counts_from_its_own_time() -> None:
    found = exponential_traces(np.array([0.0013]), np.array([0]), cells=1, window_s=0.002, windows=2, tau_s=0.01)
    assert found[:, 0] == pytest.approx([math.exp(-0.07) / 0.01, math.exp(-0.27) / 0.01], rel=1e-12)


@pytest.mark.parametrize("window", [1, 3, 1000, 10**6])
def test_a_spike_at_a_border_belongs_to_the_window_that_it_begins(window: int) -> None:
    t_s, cell = np.array([window * 0.0025]), np.array([0])  # some of these quotients lie just below the whole number
    found = exponential_traces(t_s, cell, cells=1, window_s=0.0025, windows=window + 1, tau_s=0.007)
    assert found[window - 1, 0] == 0
    assert found[window, 0] == pytest.approx(math.exp(-0.0025 / 0.007) / 0.007, rel=1e-6)


@pytest.mark.parametrize("rate_Hz", [5.0, 100.0])
def test_the_mean_of_a_trace_is_the_rate(rate_Hz: float) -> None:
    """What a spike leaves has the integral 1; here it is summed over the ends of windows of 1 ms, from 0.7 ms on."""
    windows, window_s, tau_s = 100_000, 0.001, 0.02
    t_s = np.arange(0, windows * window_s, 1 / rate_Hz) + 0.0003
    cell = np.zeros(len(t_s), dtype=int)
    found = exponential_traces(t_s, cell, cells=1, window_s=window_s, windows=windows, tau_s=tau_s)
    one_spike = window_s / tau_s * math.exp(-0.0007 / tau_s) / -math.expm1(-window_s / tau_s)
    assert found.mean() == pytest.approx(rate_Hz * one_spike, rel=1e-3)  # the last 20 ms of 100 s are cut off
    assert one_spike == pytest.approx(1, rel=window_s / tau_s)


def test_without_spikes_traces_are_zero() -> None:
    found = exponential_traces(np.array([]), np.array([], dtype=int), cells=2, window_s=0.01, windows=3, tau_s=0.01)
    assert np.array_equal(found, np.zeros((3, 2)))


@pytest.mark.parametrize("t_s", [0.03, 0.030000001, 1.0, 1e6, 1e300])
def test_spikes_after_the_last_window_are_left_out(t_s: float) -> None:
    found = exponential_traces(np.array([t_s]), np.array([0]), cells=2, window_s=0.01, windows=3, tau_s=0.01)
    assert np.array_equal(found, np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"t_s": [0.1, 0.2]}, "expected equal lengths"),
        ({"t_s": [[0.1]], "cell": [[0]]}, "expected equal lengths"),
        ({"cells": 0}, "expected positive numbers"),
        ({"window_s": 0.0}, "expected positive numbers"),
        ({"window_s": math.nan}, "expected positive numbers"),
        ({"windows": 0}, "expected positive numbers"),
        ({"tau_s": -0.01}, "expected positive numbers"),
        ({"t_s": [-0.001]}, "expected finite times from 0 s on"),
        ({"t_s": [math.nan]}, "expected finite times"),
        ({"t_s": [math.inf]}, "expected finite times"),
        ({"cell": [-1]}, "cells from 0 to 1"),
        ({"cell": [2]}, "cells from 0 to 1"),
    ],
)
def test_what_is_no_train_of_spikes_is_refused(changes: dict[str, Any], says: str) -> None:
    asked: dict[str, Any] = {"t_s": [0.1], "cell": [1], "cells": 2, "window_s": 0.01, "windows": 3, "tau_s": 0.01}
    asked |= changes
    with pytest.raises(RequestError, match=says):
        exponential_traces(np.array(asked.pop("t_s")), np.array(asked.pop("cell")), **asked)
