"""Whole numbers that are asked for."""

from __future__ import annotations

import numpy as np

from neuromirror.errors import RequestError


def checked_whole(name: str, value: int, least: int) -> int:
    """Return a whole number.

    Raises
    ------
    RequestError
        If it is none, or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise RequestError(f"{name} {value!r}: expected a whole number from {least}.")
    return int(value)
