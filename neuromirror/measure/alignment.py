"""Angle and gain between feedback weights and the transpose of the forward weights, and between error signals.

Shape suffixes: N examples (rows of a batch), K values of one example.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from neuromirror.errors import RequestError


def angle_deg(B: ArrayLike, W: ArrayLike) -> float:
    """Return the angle between B and Wᵀ, taken as vectors.

    Parameters
    ----------
    B : array, shape (source, target)
        Feedback weights. Of a convolution they are kept in W's own layout.
    W : array, shape (target, source) or (out, in, kh, kw)
        Forward weights.

    Returns
    -------
    float
        Degrees, from 0 (B is a positive multiple of Wᵀ) to 180; nan where either array is all zeros or not finite.

    Raises
    ------
    RequestError
        If the shapes do not match.

    Notes
    -----
    Akrout et al. 2019, section 7 ("matrix angles").
    """
    B, transposed = _matched(B, W)
    return vector_angle_deg(B, transposed)


def gain(B: ArrayLike, W: ArrayLike) -> float:
    """Return the scalar c that best fits B = c·Wᵀ by least squares: c = ⟨B, Wᵀ⟩ / ⟨W, W⟩.

    Parameters
    ----------
    B, W : array
        As for `angle_deg`.

    Returns
    -------
    float
        Without unit; nan where W is all zeros, or either is not finite.

    Raises
    ------
    RequestError
        If the shapes do not match.
    """
    B, transposed = _matched(B, W)
    scale_B, scale_W = _largest(B), _largest(transposed)
    if not (math.isfinite(scale_B) and math.isfinite(scale_W) and scale_W > 0):
        return math.nan
    if scale_B == 0:
        return 0.0
    unit = transposed / scale_W
    return float(np.vdot(B / scale_B, unit) / np.vdot(unit, unit) * (scale_B / scale_W))


def norm(array: ArrayLike) -> float:
    """Return the Euclidean norm of all entries; infinite only where it is beyond what floats hold, not its square."""
    array = np.asarray(array, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        plain = float(np.linalg.norm(array))
        largest = _largest(array)
        if (math.isfinite(plain) and plain > 0) or not (math.isfinite(largest) and largest > 0):
            return plain
        return largest * float(np.linalg.norm(array / largest))


def vector_angle_deg(a: ArrayLike, b: ArrayLike) -> float:
    """Return the angle between two arrays of the same shape, each taken as one vector.

    For error signals this is the angle of the whole batch; see `mean_example_angle_deg` for the other definition, which
    gives other numbers.

    Parameters
    ----------
    a, b : array, any one shape

    Returns
    -------
    float
        Degrees, 0 to 180; nan where either array is all zeros or not finite.

    Raises
    ------
    RequestError
        If the shapes differ.

    Notes
    -----
    With u and v of norm 1 the angle is 2·atan2(‖u − v‖, ‖u + v‖), which keeps its accuracy near 0 and 180 degrees,
    where arccos(u·v) loses half of its digits (Kahan 2006, "How futile are mindless assessments of roundoff in
    floating-point computation?", section 12).
    """
    u, v = _same_shape(a, b)
    return float(_row_angles_deg(u.reshape(1, -1), v.reshape(1, -1))[0])


def mean_example_angle_deg(a: ArrayLike, b: ArrayLike) -> float:
    """Return the mean over examples of the angle between corresponding rows.

    Parameters
    ----------
    a, b : array, shape (N, K) or (N, ...)
        Two batches of error signals.

    Returns
    -------
    float
        Degrees. Rows that are all zeros on either side, or not finite, have no angle and are left out; nan if that
        leaves none.

    Raises
    ------
    RequestError
        If the shapes differ, or there is no axis of examples.
    """
    a, b = _same_shape(a, b)
    if a.ndim < 2:
        raise RequestError(f"arrays of shape {a.shape}: expected a batch, (examples, values) or more axes.")
    angles = _row_angles_deg(a.reshape(len(a), -1), b.reshape(len(b), -1))
    known = angles[~np.isnan(angles)]
    return math.fsum(known) / len(known) if len(known) else math.nan


def _matched(B: ArrayLike, W: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    B, W = np.asarray(B, dtype=np.float64), np.asarray(W, dtype=np.float64)
    transposed = W.T if W.ndim == 2 else W
    if B.shape != transposed.shape:
        raise RequestError(f"B has shape {B.shape} and W {W.shape}. Expected {transposed.shape} for B.")
    return B, transposed


def _same_shape(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise RequestError(f"shapes {a.shape} and {b.shape}: expected two arrays of the same shape.")
    return a, b


def _largest(array: np.ndarray) -> float:
    return float(np.max(np.abs(array), initial=0.0))


def _row_angles_deg(a_NK: np.ndarray, b_NK: np.ndarray) -> np.ndarray:
    """Return the angle between each row of two arrays; nan where a row is all zeros or not finite."""
    if not a_NK.shape[1]:
        return np.full(len(a_NK), np.nan)
    u, v = _unit_rows(a_NK), _unit_rows(b_NK)
    return np.degrees(2.0 * np.arctan2(_row_norms(u - v), _row_norms(u + v)))


def _unit_rows(rows_NK: np.ndarray) -> np.ndarray:
    # Dividing by the largest entry first keeps the squares from overflow and underflow.
    largest = np.max(np.abs(rows_NK), axis=1, initial=0.0, keepdims=True)
    with np.errstate(invalid="ignore"):
        scaled = rows_NK / np.where((largest > 0) & np.isfinite(largest), largest, np.nan)
        return scaled / _row_norms(scaled)[:, None]


def _row_norms(rows_NK: np.ndarray) -> np.ndarray:
    # Not by BLAS, whose threads cost more than they give for many short rows.
    return np.sqrt(np.einsum("nk,nk->n", rows_NK, rows_NK))
