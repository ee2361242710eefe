"""Tables that are looked up by time, or by the number of a mode taken as seconds, as TimedArrays of Brian2."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.plan import FloatArray


def timed_table(name: str, values: FloatArray, dt_s: float) -> Any:
    """Return a TimedArray with the values, of shape (rows,) or (rows, columns), of which each row holds for ``dt_s``.

    On the numpy target one number is looked up as a number: Brian2 does so by NumPy's functions of arrays, which takes
    several times as long as the look-up, some ten times in every window. The rows are the same.
    """
    table: Any = b2.TimedArray(values, dt=dt_s * b2.second, name=f"table_{name}")
    arrays = np.asarray(table.values)

    def implementation(owner: Any) -> Callable[..., Any]:
        return looked_up(arrays, dt_s, owner.clock.dt_ / dt_s)

    table.implementations.add_dynamic_implementation("numpy", implementation)
    return table


def looked_up(values: FloatArray, dt_s: float, step: float) -> Callable[..., Any]:
    """Return the function of a time, and of columns if there are some, that gives the row of the time.

    Parameters
    ----------
    values : array, shape (rows,) or (rows, columns)
    dt_s : float
        How long a row holds, in seconds. The last one holds for ever.
    step : float
        The time step of the simulation as a part of ``dt_s``. Times are multiples of it, but for rounding.
    """
    last, tolerance = len(values) - 1, min(step, 1.0) / 4

    def row(t: Any) -> int:
        return min(max(math.floor(np.asarray(t).item() / dt_s + tolerance), 0), last)

    if values.ndim == 1:
        return lambda t: values[row(t)]
    return lambda t, i: values[row(t), i]
