r"""The floor that cells of unequal drive leave: B has each row of W as large as its cell's response made it.

B tends to Wᵀ·diag(g), g_i the slope with which the i-th upper cell answers a small part of its input in the presence of
all the rest. The larger its row of W, the more the rest shakes its membrane, and the flatter is its response.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from neuromirror.errors import RequestError

if TYPE_CHECKING:
    from neuromirror.dynamics.neurons import LIF


def row_gains(B: ArrayLike, W: ArrayLike) -> np.ndarray:
    """Return the gain of every row of W in B: the g_i that fit the i-th column of B best as g_i times that row.

    Parameters
    ----------
    B : array, shape (N, M)
        Feedback weights.
    W : array, shape (M, N)
        Forward weights, none of whose rows is 0.

    Returns
    -------
    ndarray of float64, shape (M,)

    Raises
    ------
    RequestError
        If the shapes do not match, or a row of W is 0.
    """
    B, W = np.asarray(B, dtype=np.float64), np.asarray(W, dtype=np.float64)
    if W.ndim != 2 or B.shape != W.shape[::-1] or not np.all(W.any(axis=1)):
        raise RequestError(f"B {B.shape} and W {W.shape}: expected (N, M) and (M, N), and no row of W that is 0.")
    return np.sum(B.T * W, axis=1) / np.sum(W * W, axis=1)


def gain_floor_deg(W: ArrayLike, gains: ArrayLike) -> float:
    """Return the angle between Wᵀ and Wᵀ·diag(g), which unequal gains leave however long mirroring takes.

    cos θ = Σ g_i·n_i² / √(Σ n_i² · Σ g_i²·n_i²),  n_i the norms of the rows of W

    Parameters
    ----------
    W : array, shape (M, N)
        Forward weights.
    gains : array, shape (M,)
        g; see `row_gains` for those of a B, and `siegert_gains` for those that the cells' response predicts.

    Returns
    -------
    float
        θ in degrees; 0 where all gains are equal.

    Raises
    ------
    RequestError
        If the shapes do not match, or W or the gains are all 0.
    """
    W, gains = np.asarray(W, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if W.ndim != 2 or gains.shape != W.shape[:1] or not (W.any() and gains.any()):
        raise RequestError(f"W {W.shape} and gains {gains.shape}: expected (M, N) and (M,), neither of them all 0.")
    learned = gains[:, None] * W
    along = float(np.sum(learned * W)) / float(np.sum(W * W))
    return math.degrees(math.atan2(float(np.linalg.norm(learned - along * W)), along * float(np.linalg.norm(W))))


def siegert_gains(cell: LIF, bias_V: float, drive_V: ArrayLike, shift_V: ArrayLike, dt_s: float = 0.0) -> np.ndarray:
    """Return the slope of each cell's rate under its drive, relative to that at the bias without any.

    g_i = φ'(b + μ_i; √(σ² + s_i²)) / φ'(b; σ),  φ(I; σ) Siegert's rate

    Parameters
    ----------
    cell : neuromirror.dynamics.neurons.LIF
        Of which σ is the intrinsic noise.
    bias_V : float
        b, in V above rest.
    drive_V : array, shape (M,)
        s, the standard deviation that its input gives each cell's free membrane, in V.
    shift_V : array, shape (M,)
        μ, the mean of its input, in V.
    dt_s : float
        Time step in s; see `neuromirror.dynamics.neurons.LIF.rate_Hz`.

    Returns
    -------
    ndarray of float64, shape (M,)

    Raises
    ------
    RequestError
        If the shapes do not match.

    Notes
    -----
    The drive is taken as white noise. That of synapses as slow as the membrane, and of bursts, is not white; what the
    formula leaves out is measured by ``python -m experiments.long_mirroring``.
    """
    drive_V, shift_V = np.asarray(drive_V, dtype=np.float64), np.asarray(shift_V, dtype=np.float64)
    if drive_V.ndim != 1 or drive_V.shape != shift_V.shape:
        raise RequestError(f"drive {drive_V.shape} and shift {shift_V.shape}: expected one number of each for a cell.")
    slopes = [
        replace(cell, noise_V=math.hypot(cell.noise_V, float(sd_V))).slope_Hz_per_V(bias_V + float(mean_V), dt_s)
        for sd_V, mean_V in zip(drive_V, shift_V, strict=True)
    ]
    return np.array(slopes) / cell.slope_Hz_per_V(bias_V, dt_s)
