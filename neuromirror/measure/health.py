"""What makes a run that reached its end doubtful, in sentences: arrays that collapsed or exploded, silent cells.

Names of arrays and modes are those of the circuit; angles are in degrees, rates in Hz.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOVED = 10.0
"""The ratio of an array's norm at the end to that at the beginning, or the inverse, from which on it is told."""
UNALIGNED_DEG = 80.0
"""The angle between B and its Wᵀ above which mirroring has come to nothing: chance has 90° of large arrays."""
CLIPPED = 0.9
"""The share of examples from which on a population that is clipped at zero rate says next to nothing."""
SATURATED = 0.9
"""The share of the rate that the refractory period allows from which on a cell says next to nothing."""
LEAST_EXPECTED = 10.0
"""Spikes expected at β from which on none is no accident: of a Poisson process one cell in 22,000 has none."""
OFF_BETA = 2.0
"""The ratio of a population's mean rate to β, or the inverse, from which on it does not work about β."""


def moved_norms(first: Mapping[str, float | None], last: Mapping[str, float | None]) -> Iterator[str]:
    """Yield the arrays whose norm has moved tenfold.

    Parameters
    ----------
    first, last : mapping of str to float
        Norms by array, before the run and at its end; arrays that begin at 0 are left out.
    """
    for name in sorted(first.keys() & last.keys()):
        before, after = first[name], last[name]
        if not before or after is None or 1 / MOVED < after / before < MOVED:
            continue
        remedy = "Lower the rate of the rule that teaches it, or raise its decay"
        if after < before:
            remedy = "Lower the rate or the decay of the rule that teaches it"
        yield f"the norm of {name} went from {before:.3g} to {after:.3g}. {remedy}."


def unaligned(angles_deg: Mapping[str, float | None], mirrored: Mapping[str, str]) -> Iterator[str]:
    """Yield the arrays that learned to mirror another, and do not.

    Parameters
    ----------
    angles_deg : mapping of str to float or None
        The last angle of every B.
    mirrored : mapping of str to str
        The W of every B that learned in the run.
    """
    for name, forward in sorted(mirrored.items()):
        angle_deg = angles_deg.get(name)
        if angle_deg is None:
            yield f"{name} learned to mirror {forward}, and has no angle to it: one of them is all zeros."
        elif angle_deg > UNALIGNED_DEG:
            yield (
                f"{name} learned to mirror {forward}, and ends at {angle_deg:.1f}° to its transpose. Mirror for "
                "longer, or lower the rates of what learns in the meantime."
            )


def clipped_populations(shares: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield the populations that are clipped at zero rate in nearly all examples, from shares by mode."""
    for mode, of_mode in sorted(shares.items()):
        for name, share in sorted(of_mode.items()):
            if share >= CLIPPED:
                yield (
                    f"{name} is asked for a rate below zero in {share:.0%} of examples in {mode} mode. Raise "
                    "code.beta, or lower the weights and the noise."
                )


def doubtful_cells(
    mode: str, population: str, spikes: NDArray[np.int64], *, spent_s: float, beta_Hz: float, limit_Hz: float
) -> Iterator[str]:
    """Yield what is wrong with how often the cells of a population fired in a mode.

    Parameters
    ----------
    mode, population : str
    spikes : int array (cells,)
        Of each cell.
    spent_s : float
        Time spent in the mode, in seconds.
    beta_Hz : float
        The rate at rest.
    limit_Hz : float
        The rate that the refractory period allows.
    """
    cells = len(spikes)
    silent = int((spikes == 0).sum())
    if silent and beta_Hz * spent_s >= LEAST_EXPECTED:
        which = "no cell" if silent == cells else f"{silent} of {cells} cells"
        verb = "fired" if silent == cells else "never fired"
        yield f"{which} of {population} {verb} in {spent_s:g} s of {mode} mode, where code.beta is {beta_Hz:g} Hz."
    saturated = int((spikes >= SATURATED * limit_Hz * spent_s).sum()) if spent_s * limit_Hz >= LEAST_EXPECTED else 0
    if saturated:
        yield (
            f"{saturated} of {cells} cells of {population} fired in {mode} mode at nearly the {limit_Hz:g} Hz that "
            "their refractory period allows. Lower what drives them."
        )


def off_baseline(mode: str, rates_Hz: Mapping[str, float], *, spent_s: float, beta_Hz: float) -> Iterator[str]:
    """Yield the populations whose mean rate is not about β in a mode in which nothing but noise moves them.

    Parameters
    ----------
    mode : str
    rates_Hz : mapping of str to float
        By population; silent ones are left out.
    spent_s, beta_Hz : float
        See `doubtful_cells`.
    """
    for name, rate_Hz in sorted(rates_Hz.items()):
        if rate_Hz and max(rate_Hz, beta_Hz) * spent_s >= LEAST_EXPECTED:
            ratio = rate_Hz / beta_Hz
            if not 1 / OFF_BETA < ratio < OFF_BETA:
                yield (
                    f"{name} fired at {rate_Hz:.3g} Hz in {mode} mode, where code.beta is {beta_Hz:g} Hz. Lower the "
                    "noise and the weights, or set default_bias and code.beta to what the cells do."
                )


def of_rows(rows: Sequence[Mapping[str, Any]], mirrored: Mapping[str, str]) -> list[str]:
    """Return what the rows of the metrics say of arrays and losses.

    Parameters
    ----------
    rows : sequence of mapping
        See `neuromirror.record.store.RunWriter.metrics`; None stands for numbers that were not finite.
    mirrored : mapping of str to str
        The W of every B that learned in the run.
    """
    if not rows:
        return []
    first, last = rows[0], rows[-1]
    found = [*moved_norms(first.get("w_norm", {}), last.get("w_norm", {})), *unaligned(last["angles_deg"], mirrored)]
    lost = next((row for row in rows if "loss" in row and row["loss"] is None), None)
    if lost is not None:
        found.append(f"the loss is not finite from {lost['t_s']:g} s on. Lower the weights and the targets.")
    return found


def silent_populations(shares: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield the populations of rectified cells none of whose signals was above zero, from silent shares by mode."""
    for mode, of_mode in sorted(shares.items()):
        for name, share in sorted(of_mode.items()):
            if math.isclose(share, 1.0):
                yield f"no signal of {name} was above zero in {mode} mode: its cells are dead. Raise their biases."
