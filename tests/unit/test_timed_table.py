"""Tables by time: on the numpy target each row is that which Brian2 itself looks up, at all times of a clock."""

from __future__ import annotations

from types import SimpleNamespace

import brian2 as b2
import numpy as np
import pytest

from neuromirror.backends.brian2.timed_table import timed_table


@pytest.mark.parametrize(("steps", "dt_ms"), [(1, 0.1), (5, 0.5), (7, 0.1), (25, 0.1), (3, 0.3)])
@pytest.mark.parametrize("columns", [0, 2])
def test_rows_are_those_of_brian2(steps: int, dt_ms: float, columns: int) -> None:
    """Times are the clock's: a number of steps times the step, rounded; beyond both ends too."""
    rows, dt_s = 100, dt_ms * 1e-3
    values = np.arange(rows * max(columns, 1), dtype=float).reshape((rows, columns) if columns else rows)
    clock = SimpleNamespace(clock=SimpleNamespace(dt_=dt_s))
    plain = b2.TimedArray(values, dt=steps * dt_s * b2.second)
    expected, found = (
        array.implementations["numpy"].get_code(clock)
        for array in (plain, timed_table(f"rows_{columns}", values, steps * dt_s))
    )
    where = (np.arange(columns),) if columns else ()
    for step in range(-3, rows * steps + 3, 1 if steps < 7 else 3):
        t = np.array(step * dt_s)
        np.testing.assert_array_equal(found(t, *where), expected(t, *where))


def test_modes_are_looked_up_by_number() -> None:
    table = timed_table("modes", np.array([3.0, 4.0, 5.0]), 1.0)
    at = table.implementations["numpy"].get_code(SimpleNamespace(clock=SimpleNamespace(dt_=5e-4)))
    assert [at(np.array([mode])) for mode in (0.0, 1.0, 2.0, 3.0)] == [3.0, 4.0, 5.0, 5.0]
