"""What the input of a noisy layer leaves between B and Wᵀ: cells that others drive are correlated, and B copies that.

Of the variance of a layer's cells, as the next layer passes it on, a share f comes from the layer's input and the rest
from what is each cell's own: its noise and its spiking. With C the covariance of the layer below, relative to its mean
variance, the layer's own is

    C' = (1 − f)·1 + f·P/⟨P_ii⟩,  P = W·C·Wᵀ

and the B above it tends to C'·Wᵀ (eq. 11 of Akrout et al. 2019 with a covariance).

Shape suffixes: K cells of the layer below, N cells of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neuromirror.errors import RequestError


def driven_covariance(share: float, W_NK: np.ndarray, below_KK: np.ndarray) -> np.ndarray:
    """Return the covariance of a layer's cells, relative to their mean variance: C' = (1 − f)·1 + f·P/⟨P_ii⟩.

    Parameters
    ----------
    share : float
        f, the part of the variance that comes from the layer's input; 0 to 1.
    W_NK : ndarray, shape (N, K)
        The weights of that input.
    below_KK : ndarray, shape (K, K)
        C of the layer below; all that counts is C up to a factor.

    Returns
    -------
    ndarray of float64, shape (N, N)

    Raises
    ------
    RequestError
        If the share is out of range, the arrays do not match, or no weight differs from 0.
    """
    if not 0 <= share <= 1:
        raise RequestError(f"share {share!r}: expected 0 to 1.")
    driven_NN = _driven(W_NK, below_KK)
    return (1.0 - share) * np.eye(len(driven_NN)) + share * driven_NN


def driven_share(passed_NN: np.ndarray, W_NK: np.ndarray, below_KK: np.ndarray) -> float:
    """Return f, the part of the variance of a layer's cells that comes from its input, from their covariance.

    It is what fits the covariances of different cells best: f = Σ_{i≠j} C_ij·P_ij / Σ_{i≠j} P_ij², with C and P both
    relative to their mean diagonal.

    Parameters
    ----------
    passed_NN : ndarray, shape (N, N)
        C of the layer, such as `neuromirror.measure.passed_covariance` finds it, up to a factor; N at least 2.
    W_NK, below_KK : ndarray
        As of `driven_covariance`.

    Returns
    -------
    float
        Between 0 and 1: what chance leaves beyond is cut off.

    Raises
    ------
    RequestError
        If the arrays do not match, no cell varies, or the input drives no two cells together.
    """
    driven_NN = _driven(W_NK, below_KK)
    passed_NN = np.asarray(passed_NN, dtype=np.float64)
    if passed_NN.shape != driven_NN.shape or not np.trace(passed_NN) > 0:
        raise RequestError(
            f"covariance {passed_NN.shape} of {len(driven_NN)} cells: expected {driven_NN.shape}, variances above 0."
        )
    others = ~np.eye(len(driven_NN), dtype=bool)
    together = driven_NN[others]
    if not together.any():
        raise RequestError("the input drives no two cells together: nothing tells its share of their variance.")
    found = float(passed_NN[others] @ together) / float(together @ together) * len(passed_NN) / np.trace(passed_NN)
    return min(1.0, max(0.0, float(found)))


def driven_angle_deg(shares: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the angle between B and Wᵀ that the input of the layer below leaves, however long mirroring takes.

    tan²θ = v_L,  v_l = f_l²·(n_l/n_{l−1})·(1 + v_{l−1}),  v_0 = 0

    Parameters
    ----------
    shares : sequence of float
        f_1 to f_L, 0 to 1: of each layer that another drives, from the lowest up to the layer that B projects to.
    sizes : sequence of int
        n_0 to n_L, cells of these layers and, first, of the layer below them all, whose cells are independent.

    Returns
    -------
    float
        θ in degrees.

    Raises
    ------
    RequestError
        If a value is out of range, or there are not just one more sizes than shares.

    Notes
    -----
    v is the variance of the eigenvalues of C, relative to their squared mean. For independent weights of mean zero and
    many cells the angle between C·Wᵀ and Wᵀ is at tan²θ = v, and W·C·Wᵀ has v' = (n'/n)·(1 + v). Layers of one size
    with the same f come to sin θ = f. With f = 1, no noise but that of the lowest layer, tan θ = √L.
    """
    if len(sizes) != len(shares) + 1 or min(sizes) < 1 or not all(0 <= share <= 1 for share in shares):
        raise RequestError(
            f"shares {list(shares)!r} and sizes {list(sizes)!r}: expected shares of 0 to 1, and one more sizes than "
            "shares, all at least 1."
        )
    spread = 0.0
    for share, below, size in zip(shares, sizes, sizes[1:], strict=False):
        spread = share**2 * size / below * (1.0 + spread)
    return math.degrees(math.atan(math.sqrt(spread)))


def _driven(W_NK: np.ndarray, below_KK: np.ndarray) -> np.ndarray:
    """Return W·C·Wᵀ relative to its mean diagonal."""
    W_NK, below_KK = np.asarray(W_NK, dtype=np.float64), np.asarray(below_KK, dtype=np.float64)
    if W_NK.ndim != 2 or below_KK.shape != (W_NK.shape[1], W_NK.shape[1]):
        raise RequestError(f"W {W_NK.shape}, covariance {below_KK.shape}: expected W (N, K) and (K, K).")
    driven_NN = W_NK @ below_KK @ W_NK.T
    if not np.trace(driven_NN) > 0:
        raise RequestError("the input drives no cell: expected a weight that is not 0, and variances above 0.")
    return driven_NN * (len(driven_NN) / np.trace(driven_NN))
