"""The search for a learning rate: a grid by factors of two, and more seeds where rates are too close to tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean

SEEDS = (1000, 1001, 1002)
"""What rates are tried with, the first always; no result has any of them."""

CLOSE = 0.5
"""Rates whose errors differ by fewer points are tried with another seed."""

Try = tuple[float, int]
"""A rate and a seed."""


def chosen(errors: Mapping[float, Sequence[float]]) -> float:
    """Return the rate of the least mean error; errors in percent, by rate, a seed each."""
    return min(sorted(errors), key=lambda rate: mean(errors[rate]))


def next_tries(errors: Mapping[float, Sequence[float]]) -> list[Try]:
    """Return what has to be tried next, given the errors in percent of each rate for the first seeds; or nothing.

    The best rate must lie inside of those tried, and apart by `CLOSE` from all others, unless they have had all seeds.
    """
    best, tried = chosen(errors), sorted(errors)
    if best == tried[0]:
        return [(best / 2, SEEDS[0])]
    if best == tried[-1]:
        return [(best * 2, SEEDS[0])]
    close = [rate for rate in tried if mean(errors[rate]) < mean(errors[best]) + CLOSE]
    if len(close) == 1:
        return []
    return [(rate, SEEDS[len(errors[rate])]) for rate in close if len(errors[rate]) < len(SEEDS)]


def tuned(
    first: Mapping[str, Sequence[float]], error_of: Callable[[list[tuple[str, float, int]]], list[float]]
) -> dict[str, dict[float, list[float]]]:
    """Return the errors of every rate tried, by method.

    Parameters
    ----------
    first : mapping of str to sequence of float
        The rates that each method begins with.
    error_of : callable
        Returns the error in percent of each of several (method, rate, seed): infinite where training diverged.
    """
    errors: dict[str, dict[float, list[float]]] = {method: {} for method in first}
    wanted = [(method, rate, SEEDS[0]) for method, rates in first.items() for rate in rates]
    while wanted:
        for (method, rate, _), error in zip(wanted, error_of(wanted), strict=True):
            errors[method].setdefault(rate, []).append(error)
        wanted = [(method, rate, seed) for method, found in errors.items() for rate, seed in next_tries(found)]
    return errors
