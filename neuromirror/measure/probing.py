r"""What theory predicts of mirroring by probes: bursts by turns, of which every pattern is followed by its negative.

The signals are a part s that the probes determine, and the rest ε, which is the cells' own spiking; likewise u and ζ of
the upper layer. Probes of different cells are orthogonal, so that the products s·u add up to Wᵀ without an error, and
only the other three products, s·ζ, ε·u and ε·ζ, blur B.

Shape suffixes: T samples in time, N cells of the lower layer, M cells of the upper layer, K cells of either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuromirror.errors import RequestError
from neuromirror.measure.theory import autocovariance, checked_signals


def probed_part(signal_TK: np.ndarray, probe_TK: np.ndarray, lags: int) -> np.ndarray:
    """Return the part of signals that probes determine, by linear regression on the probes of this and earlier times.

    s_k(t) = Σ_l a_l·p_k(t − l),  with the same a_l for all cells

    Parameters
    ----------
    signal_TK : ndarray, shape (T, K)
        Signals.
    probe_TK : ndarray, shape (T, K)
        What the probes do to each cell: to those of the lower layer directly, to those of the upper one W times that.
    lags : int
        Number of times l, from 0 on; at least 1, fewer than T.

    Returns
    -------
    ndarray of float64, shape (T, K)
        Without the mean of the signals.

    Raises
    ------
    RequestError
        If the arrays do not match, or `lags` is out of range.
    """
    signal_TK, probe_TK = checked_signals(signal_TK, probe_TK)
    if signal_TK.shape != probe_TK.shape or not 0 < lags < len(signal_TK):
        raise RequestError(
            f"signals {signal_TK.shape}, probes {probe_TK.shape}, lags {lags!r}: expected arrays of one shape, and "
            "1 or more lags, fewer than there are samples."
        )
    return _filtered(probe_TK, _kernel(signal_TK, probe_TK, lags))


def passed_correlation(lower_TN: np.ndarray, upper_TM: np.ndarray, W_MN: np.ndarray, lags: int) -> float:
    """Return the correlation ρ of lower cells in what the upper cells pass on, which `correlated_angle_deg` takes.

    ρ is the mean over pairs of cells of their covariance in what is passed on, over the mean for j = k; see
    `passed_covariance`, of which these are the parameters and errors.

    Returns
    -------
    float
        Without unit.
    """
    covariance_NN = passed_covariance(lower_TN, upper_TM, W_MN, lags)
    own = np.eye(len(covariance_NN), dtype=bool)
    return float(covariance_NN[~own].mean() / covariance_NN[own].mean())


def passed_covariance(lower_TN: np.ndarray, upper_TM: np.ndarray, W_MN: np.ndarray, lags: int) -> np.ndarray:
    """Return the covariance C of lower cells in what the upper cells pass on: B, which copies it, tends to C·Wᵀ.

    C_jk = cov(x_j, g∗x_k) with the filter g by which z = g∗(W·x) fits best. Membranes and synapses smooth, and in g∗x
    slow noise in common outweighs the spikes that are each cell's own by more than in x.

    Parameters
    ----------
    lower_TN, upper_TM : ndarray, shape (T, N) and (T, M)
        Signals x and z of the two layers, in one unit.
    W_MN : ndarray, shape (M, N)
        Forward weights.
    lags : int
        Number of times over which g extends, a quarter of them before the present; at least 1, fewer than T.

    Returns
    -------
    ndarray of float64, shape (N, N)
        In the unit of x·z over that of W.

    Raises
    ------
    RequestError
        If the arrays do not match, or `lags` is out of range.
    """
    lower_TN, upper_TM = checked_signals(lower_TN, upper_TM)
    if W_MN.shape != (upper_TM.shape[1], lower_TN.shape[1]) or not 0 < lags < len(lower_TN):
        raise RequestError(
            f"signals {lower_TN.shape} and {upper_TM.shape}, W {W_MN.shape}, lags {lags!r}: expected W (target, "
            "source), and 1 or more lags, fewer than there are samples."
        )
    early = lags // 4  # the lower signals may be delayed on their way to where both are read
    x_TN, z_TM = (signal - signal.mean(axis=0) for signal in (lower_TN, upper_TM))
    before_TM, now_TN = z_TM[: len(z_TM) - early], x_TN[: len(x_TN) - early]
    passed_TN = _filtered(x_TN[early:], _kernel(before_TM, x_TN[early:] @ W_MN.T, lags))
    return now_TN.T @ passed_TN / len(passed_TN)


def _shifted(signal_TK: np.ndarray, lag: int) -> np.ndarray:
    return np.concatenate([np.zeros((lag, signal_TK.shape[1])), signal_TK[: len(signal_TK) - lag]])


def _kernel(signal_TK: np.ndarray, probe_TK: np.ndarray, lags: int) -> np.ndarray:
    """Return the a_l with which signals about their means fit Σ_l a_l·p(t − l) best, the ends of them left aside."""
    shifted, centred_TK = [_shifted(probe_TK, lag) for lag in range(lags)], signal_TK - signal_TK.mean(axis=0)
    products = np.array([np.vdot(probe_TK, one) for one in shifted])
    lag = np.arange(lags)
    gram, moment = products[np.abs(lag[:, None] - lag)], np.array([np.vdot(one, centred_TK) for one in shifted])
    return np.asarray(np.linalg.lstsq(gram, moment, rcond=None)[0])


def _filtered(probe_TK: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.asarray(sum(a * _shifted(probe_TK, lag) for lag, a in enumerate(kernel)))


@dataclass(frozen=True, kw_only=True)
class ProbingLaw:
    """What limits mirroring by probes.

    Attributes
    ----------
    tau_s : float
        τ of tan²θ = N·τ/T, in s: that of the sampling law is τ_c/R².
    strong_s : float
        What τ is where the probes are strong and their dwell is long, in s: the products s·ζ and ε·u alone are left,
        F_l·r_l/P_l + F_u·r_u/P_u, with the rates r in Hz, the Fano factors F of long counts about what the probes
        determine, and the variances P of s and u in Hz².
    fano_lower, fano_upper : float
        F_l and F_u, without unit.
    """

    tau_s: float
    strong_s: float
    fano_lower: float
    fano_upper: float


def probing_law(
    lower_TN: np.ndarray,
    upper_TM: np.ndarray,
    probed_TN: np.ndarray,
    driven_TM: np.ndarray,
    *,
    dt_s: float,
    max_lag_s: float,
) -> ProbingLaw:
    """Return the law of mirroring by probes, from signals and the parts of them that the probes determine.

    τ = ∫ (C_x·C_z − C_s·C_u) dt / Σ_j cov(x_j, z)²,  averages over the cells of both layers

    Parameters
    ----------
    lower_TN, upper_TM : ndarray, shape (T, N) and (T, M)
        Signals x and z of the two layers as the rule reads them, in Hz.
    probed_TN, driven_TM : ndarray, shape (T, N) and (T, M)
        Their parts s and u; see `probed_part`.
    dt_s : float
        Time between samples in s.
    max_lag_s : float
        Largest lag of the autocovariances C, in s; more than a few time constants of the signals, of which the probes'
        dwell is one.

    Returns
    -------
    ProbingLaw

    Raises
    ------
    RequestError
        If the arrays do not match, or the largest lag is not shorter than the signals.
    """
    lower_TN, upper_TM = checked_signals(lower_TN, upper_TM)
    lags = round(max_lag_s / dt_s)
    if not 0 <= lags < len(lower_TN):
        raise RequestError(f"max_lag_s {max_lag_s!r}: expected 0 to less than the signals' {len(lower_TN) * dt_s:g} s.")
    x, z, s, u = (autocovariance(one, lags) for one in (lower_TN, upper_TM, probed_TN, driven_TM))
    rest_x, rest_z = (autocovariance(a - b, lags) for a, b in ((lower_TN, probed_TN), (upper_TM, driven_TM)))
    centred_TN, centred_TM = lower_TN - lower_TN.mean(axis=0), upper_TM - upper_TM.mean(axis=0)
    covariance_NM = centred_TN.T @ centred_TM / len(lower_TN)
    blurred = _both_sides(x * z - s * u, dt_s)
    # Part of the measured covariance is the blur of a run this long; it has no place in what B tends to.
    learned = float(np.mean(np.sum(covariance_NM**2, axis=0)))
    learned -= lower_TN.shape[1] * blurred / (len(lower_TN) * dt_s)
    spectrum_x, spectrum_z = _both_sides(rest_x, dt_s), _both_sides(rest_z, dt_s)
    return ProbingLaw(
        tau_s=blurred / learned,
        strong_s=spectrum_x / float(s[0]) + spectrum_z / float(u[0]),
        fano_lower=spectrum_x / float(lower_TN.mean()),
        fano_upper=spectrum_z / float(upper_TM.mean()),
    )


def _both_sides(covariance: np.ndarray, dt_s: float) -> float:
    """Return the integral over lags of both signs."""
    return dt_s * float(covariance[0] + 2.0 * covariance[1:].sum())
