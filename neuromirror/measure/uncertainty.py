"""How sure a number is: intervals over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from neuromirror.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and its confidence interval, in the unit of the values it was made of.

    Attributes
    ----------
    estimate, low, high : float
    confidence : float
        The share of such intervals that contain the true value, at least.
    """

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class SeedSummary:
    """One number measured over several seeds, in its own unit.

    Attributes
    ----------
    n : int
        Number of seeds.
    mean, sd, standard_error : float
        Mean, sample standard deviation (n − 1) and standard error of the mean; the last two are nan for one seed.
    median : Interval
        Median, with its interval by order statistics.
    smallest, largest : float
    """

    n: int
    mean: float
    sd: float
    standard_error: float
    median: Interval
    smallest: float
    largest: float


def median_interval(x: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the median and an interval for it that holds for any continuous distribution.

    Parameters
    ----------
    x : array, shape (n,)
        Independent values, at least one.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Interval
        From the k-th smallest to the k-th largest value, k as large as coverage allows. Fewer than six values cannot
        give 95 %: the interval then runs from −inf to inf.

    Raises
    ------
    RequestError
        If there are no values, or some are not finite, or the confidence is out of range.

    Notes
    -----
    The number of values below the true median is binomial (n, 1/2), so the interval misses with probability
    2·P(fewer than k); David & Nagaraja 2003, "Order Statistics", section 7.1.
    """
    from scipy.special import bdtr  # here: loading scipy takes time that most commands need not spend

    values = np.sort(_values(x, least=1))
    n, missed = len(values), 1.0 - _checked(confidence)
    # k is one more than the largest count that both tails together exceed with at most the probability to be missed.
    k = int(np.count_nonzero(2.0 * bdtr(np.arange(n, dtype=np.float64), n, 0.5) <= missed))
    low, high = (values[k - 1], values[n - k]) if k else (-math.inf, math.inf)
    return Interval(estimate=float(np.median(values)), low=float(low), high=float(high), confidence=confidence)


def paired_difference(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the mean of a − b over pairs, with Student's t interval.

    Parameters
    ----------
    a, b : array, shape (n,)
        Values of two methods, paired by seed; at least two pairs.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Interval
        Mean difference, in the unit of the values.

    Raises
    ------
    RequestError
        If the lengths differ, there are fewer than two pairs, some values are not finite, or the confidence is out of
        range.

    Notes
    -----
    Mean ± t·sd/√n, with t the quantile of Student's distribution of n − 1 degrees of freedom.
    """
    a, b = _values(a, least=2), _values(b, least=2)
    if a.shape != b.shape:
        raise RequestError(f"{len(a)} values against {len(b)}: expected pairs, one of each seed.")
    return mean_interval(a - b, confidence)


def mean_interval(x: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the mean with Student's t interval: mean ± t·sd/√n, as for normal values.

    Parameters
    ----------
    x : array, shape (n,)
        Independent values, at least one; of one the interval runs from −inf to inf.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    RequestError
        If there are no values, or some are not finite, or the confidence is out of range.
    """
    from scipy.special import stdtrit

    values, middle = _values(x, least=1), 0.5 + _checked(confidence) / 2
    mean, half = float(values.mean()), math.inf
    if len(values) > 1:
        half = float(stdtrit(len(values) - 1, middle) * values.std(ddof=1) / math.sqrt(len(values)))
    return Interval(estimate=mean, low=mean - half, high=mean + half, confidence=confidence)


def over_seeds(x: ArrayLike, confidence: float = 0.95) -> SeedSummary:
    """Return the summary of one number over seeds.

    Parameters
    ----------
    x : array, shape (n,)
        One value a seed.
    confidence : float
        Of the interval of the median, between 0 and 1.

    Raises
    ------
    RequestError
        As for `median_interval`.
    """
    values = _values(x, least=1)
    sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    return SeedSummary(
        n=len(values),
        mean=float(values.mean()),
        sd=sd,
        standard_error=sd / math.sqrt(len(values)),
        median=median_interval(values, confidence),
        smallest=float(values.min()),
        largest=float(values.max()),
    )


def _values(x: ArrayLike, *, least: int) -> np.ndarray:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or len(values) < least:
        raise RequestError(f"values of shape {values.shape}: expected a list of at least {least}.")
    if not np.isfinite(values).all():
        raise RequestError(f"{np.count_nonzero(~np.isfinite(values))} of {len(values)} values are not finite.")
    return values


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise RequestError(f"confidence {confidence!r}: expected a number between 0 and 1, such as 0.95.")
    return confidence
