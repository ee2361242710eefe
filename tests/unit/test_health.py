"""What makes a finished run doubtful is told in sentences, and what is well is not told of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromirror.measure import health

NORMS = st.floats(1e-100, 1e100)


@given(NORMS, NORMS)
def test_a_norm_is_told_of_exactly_where_it_has_moved_tenfold(before: float, after: float) -> None:
    ratio = after / before
    told = list(health.moved_norms({"W1": before}, {"W1": after}))
    assert bool(told) == (ratio >= 10 or ratio <= 0.1)
    assert all(text.startswith("the norm of W1 went from ") for text in told)


@pytest.mark.parametrize(("before", "after"), [(0.0, 3.0), (3.0, None), (None, 3.0)])
def test_norms_that_have_no_ratio_are_passed_over(before: float | None, after: float | None) -> None:
    assert not list(health.moved_norms({"W1": before}, {"W1": after}))


def test_a_norm_that_falls_to_zero_is_told_of() -> None:
    (text,) = health.moved_norms({"W1": 0.7}, {"W1": 0.0})
    assert text.startswith("the norm of W1 went from 0.7 to 0.")


def test_only_arrays_that_learned_to_mirror_are_told_of_by_their_angle() -> None:
    angles = {"B1": 79.9, "B2": 80.1, "B3": 100.0, "B4": None}
    told = list(health.unaligned(angles, {"B1": "W1", "B2": "W2", "B4": "W4"}))
    assert [text.split()[0] for text in told] == ["B2", "B4"]
    assert "ends at 80.1° to its transpose" in told[0]
    assert "has no angle to it" in told[1]


def test_a_loss_that_was_not_finite_is_told_of_with_its_time() -> None:
    row = {"angles_deg": {}, "w_norm": {}}
    rows = [{**row, "t_s": 0.0}, {**row, "t_s": 1.0, "loss": 2.0}, {**row, "t_s": 2.0, "loss": None}]
    (text,) = health.of_rows(rows, {})
    assert text.startswith("the loss is not finite from 2 s on")
    assert not health.of_rows(rows[:2], {})


def test_clipped_and_silent_populations_are_told_of_by_mode() -> None:
    shares = {"mirror": {"y0": 0.95, "y1": 0.5}}
    (text,) = health.clipped_populations(shares)
    assert text.startswith("y0 is asked for a rate below zero in 95% of examples in mirror mode")
    assert not list(health.silent_populations(shares))
    (text,) = health.silent_populations({"engaged": {"y1": 1.0}})
    assert text.startswith("no signal of y1 was above zero in engaged mode")


def cells_told(spikes: list[int], spent_s: float, beta_Hz: float = 100.0) -> list[str]:
    """Give what is told of cells that their refractory period allows 400 Hz."""
    found = health.doubtful_cells("mirror", "y0", np.array(spikes), spent_s=spent_s, beta_Hz=beta_Hz, limit_Hz=400.0)
    return list(found)


def test_silent_cells_are_told_of_where_silence_is_no_accident() -> None:
    assert not cells_told([90, 110, 100], 1.0)
    assert not cells_told([0, 9, 12], 0.09)  # of which 9 spikes were expected
    assert "1 of 3 cells of y0 never fired in 1 s of mirror mode" in cells_told([0, 100, 100], 1.0)[0]
    assert "no cell of y0 fired" in cells_told([0, 0, 0], 1.0)[0]
    assert not cells_told([0, 0, 0], 100.0, beta_Hz=0.01)


def test_saturated_cells_are_told_of() -> None:
    (text,) = cells_told([100, 365, 390], 1.0)
    assert "2 of 3 cells of y0 fired in mirror mode at nearly the 400 Hz" in text


def test_rates_off_the_baseline_are_told_of_from_a_factor_of_two() -> None:
    rates = {"y0": 199.0, "y1": 201.0, "y2": 49.0, "y3": 51.0, "y4": 0.0}
    told = list(health.off_baseline("mirror", rates, spent_s=1.0, beta_Hz=100.0))
    assert [text.split()[0] for text in told] == ["y1", "y2"]
