"""Noise of which a part is common to all cells of a population, in any library and in spikes."""

from __future__ import annotations

from typing import Any


def shares(correlation: Any) -> tuple[Any, Any]:
    """Return the amplitudes of a cell's own noise and of the common one, √(1 − ρ) and √ρ.

    Their sum, both of unit variance, is of unit variance too, and that of any two cells has the correlation ρ.
    """
    return (1.0 - correlation) ** 0.5, correlation**0.5
