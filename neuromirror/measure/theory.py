"""What theory predicts of mirroring: the angles that sampling, correlated noise and normalisation leave.

Shape suffixes: T samples in time, N cells of the lower layer, M cells of the upper layer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from neuromirror.errors import RequestError, UnsupportedError, suggestion


def sampling_angle_deg(fan_in: float, tau_c_s: float, r_squared: float, duration_s: float) -> float:
    """Return the angle between B and Wᵀ that mirroring for a limited time leaves.

    tan²θ = N·τ_c / (R²·T)

    Parameters
    ----------
    fan_in : float
        N, the number of lower cells that project to each upper cell.
    tau_c_s : float
        τ_c in s, see `correlation_time_s`.
    r_squared : float
        R², the part of the upper signals' variance that the lower signals explain, above 0, at most 1; see
        `explained_variance`.
    duration_s : float
        T in s, the mirroring time; 2 / (decay rate in 1/s) once that is shorter.

    Returns
    -------
    float
        θ in degrees, 0 to 90.

    Raises
    ------
    RequestError
        If a value is out of range.

    Notes
    -----
    B averages products of two signals. The part of the upper signal that a given synapse does not carry is noise to
    it, of which T/τ_c samples are independent. Rows of W of unequal norm add a floor that this law lacks.
    """
    if not (fan_in > 0 and tau_c_s >= 0 and 0 < r_squared <= 1 and duration_s > 0):
        raise RequestError(
            f"fan_in {fan_in!r}, tau_c_s {tau_c_s!r}, r_squared {r_squared!r}, duration_s {duration_s!r}: "
            "expected positive numbers, r_squared at most 1."
        )
    return math.degrees(math.atan(math.sqrt(fan_in * tau_c_s / (r_squared * duration_s))))


def effective_examples(examples: float, forgetting: float, positions: float = 1.0) -> float:
    """Return the number of examples that a leaky average amounts to in its steady state.

    N_eff = examples·positions·(2 − a)/a

    Parameters
    ----------
    examples : float
        Examples to an update.
    forgetting : float
        a = η_B·λ, the part of B that one update takes away; above 0, at most 1.
    positions : float
        Positions of a convolution that are averaged; 1 for a dense array.

    Returns
    -------
    float
        N_eff, without unit.

    Raises
    ------
    RequestError
        If a value is out of range.
    """
    if not (examples > 0 and positions > 0 and 0 < forgetting <= 1):
        raise RequestError(
            f"examples {examples!r}, forgetting {forgetting!r}, positions {positions!r}: "
            "expected positive numbers, forgetting at most 1."
        )
    return examples * positions * (2.0 - forgetting) / forgetting


def rate_angle_deg(fan_in: float, n_effective: float, activation: str) -> float:
    """Return the angle between B and Wᵀ in the steady state of mirroring with rates.

    ReLU: tan²θ = (1.363·(n − 1) + 3.1) / N_eff; linear: tan²θ = (n + 1) / N_eff. Gaussian noise, means subtracted,
    biases blocked.

    Parameters
    ----------
    fan_in : float
        n, the number of lower cells that project to each upper cell; at least 1.
    n_effective : float
        N_eff, see `effective_examples`.
    activation : {"relu", "linear"}
        φ of the upper cells.

    Returns
    -------
    float
        θ in degrees, 0 to 90.

    Raises
    ------
    RequestError
        If a value is out of range.
    UnsupportedError
        If there is no law for the activation.

    Notes
    -----
    For one synapse of unit variance on both sides the product's variance is 1 for each other lower cell and 2 for its
    own. ReLU raises it: var φ / (E φ')² = (1/2 − 1/2π) / (1/4) = 1.363; 3.1 for the synapse's own cell was measured.
    """
    if not (fan_in >= 1 and n_effective > 0):
        raise RequestError(f"fan_in {fan_in!r}, n_effective {n_effective!r}: expected at least 1, and more than 0.")
    return math.degrees(math.atan(math.sqrt(_variance(fan_in, activation) / n_effective)))


def examples_for_angle(fan_in: float, angle_deg: float, activation: str) -> float:
    """Return the effective examples that bring B to an angle: the law of `rate_angle_deg` the other way round.

    Parameters
    ----------
    fan_in, activation
        As of `rate_angle_deg`.
    angle_deg : float
        θ in degrees, between 0 and 90.

    Raises
    ------
    RequestError, UnsupportedError
        As of `rate_angle_deg`.
    """
    if not (fan_in >= 1 and 0 < angle_deg < 90):
        raise RequestError(f"fan_in {fan_in!r}, angle_deg {angle_deg!r}: expected at least 1, and 0 to 90.")
    return _variance(fan_in, activation) / math.tan(math.radians(angle_deg)) ** 2


def _variance(fan_in: float, activation: str) -> float:
    """Return tan²θ of one effective example."""
    match activation:
        case "relu":
            return 1.363 * (fan_in - 1) + 3.1
        case "linear":
            return fan_in + 1
        case _:
            raise UnsupportedError(f"no law for the activation '{activation}'. There are: linear, relu.")


def correlated_angle_deg(fan_in: float, correlation: float) -> float:
    """Return the angle between B and Wᵀ that noise with a common source leaves, however long mirroring takes.

    tan θ = ρ·√(n − 1)

    Parameters
    ----------
    fan_in : float
        n, the number of lower cells that project to each upper cell; at least 1.
    correlation : float
        ρ of the signals of any two lower cells, 0 to 1. Spikes have less than the noise that drives them.

    Returns
    -------
    float
        θ in degrees, 0 to 90.

    Raises
    ------
    RequestError
        If a value is out of range.

    Notes
    -----
    B tends to C·Wᵀ with C = (1 − ρ)·1 + ρ·J, J all ones (eq. 11 of Akrout et al. 2019 with a covariance C). For
    Gaussian signals y and upper cells with a nonlinearity φ, Cov(φ(w·y), y) = ⟨φ′⟩·C·w by Stein's lemma: the law is
    that of linear and of ReLU cells alike. For many rows of independent weights of mean zero, ‖C·Wᵀ‖² is
    ‖W‖²·(1 + ρ²·(n − 1)) and ⟨C·Wᵀ, Wᵀ⟩ = ‖W‖². What the common source adds is along J: rows of W that add up to zero
    do not see it, and in rows of one sign it is larger. Cells in pairs of opposite sign (push-pull) have such rows.
    """
    if not (fan_in >= 1 and 0 <= correlation <= 1):
        raise RequestError(f"fan_in {fan_in!r}, correlation {correlation!r}: expected at least 1, and 0 to 1.")
    return math.degrees(math.atan(correlation * math.sqrt(fan_in - 1)))


def normalisation_floor_deg(W: ArrayLike, per: str) -> float:
    """Return the angle between B and Wᵀ that normalisation of B leaves, however long mirroring takes.

    cos θ = (mean of n) / √(mean of n²), n the norms of the columns of W per target cell of B, of its rows per source

    Parameters
    ----------
    W : array, shape (target, source)
        Forward weights.
    per : {"target", "source", "array"}
        Which weights of B are scaled together.

    Returns
    -------
    float
        θ in degrees; 0 for the whole array, and wherever the norms are equal.

    Raises
    ------
    RequestError
        If there is no such normalisation, or W is no matrix with a number that is not 0.

    Notes
    -----
    Mirroring pulls B toward a multiple of Wᵀ, and scaling leaves the direction of what it scales together as it is. So
    B comes to rest at Wᵀ with each of its rows (or columns) scaled to the same norm. Of ``per = "target"``, these are
    the columns of W: their differences are lost.
    """
    weights = np.asarray(W, dtype=np.float64)
    axes = {"target": 0, "source": 1, "array": None}
    if per not in axes:
        raise RequestError(f"normalisation per '{per}': {suggestion(per, axes)}")
    if weights.ndim != 2 or not weights.any():
        raise RequestError(f"weights of shape {weights.shape}: expected a matrix with a number that is not 0.")
    if axes[per] is None:
        return 0.0
    norms = np.sqrt(((weights / np.abs(weights).max()) ** 2).sum(axis=axes[per]))
    norms = norms[norms > 0]  # what has no direction stays 0
    return math.degrees(math.acos(min(1.0, float(norms.mean() / math.sqrt((norms**2).mean())))))


def correlation_time_s(lower_TN: np.ndarray, upper_TM: np.ndarray, dt_s: float, max_lag_s: float) -> float:
    """Return τ_c = ∫ ρ_l(t)·ρ_{l+1}(t) dt, over lags of both signs.

    Parameters
    ----------
    lower_TN, upper_TM : ndarray, shape (T, N) and (T, M)
        Signals of the two layers, sampled at the same times.
    dt_s : float
        Time between samples in s.
    max_lag_s : float
        Largest lag in s; several times the longer time constant, and far shorter than the signals.

    Returns
    -------
    float
        τ_c in s. White signals have τ_c = dt; two signals of correlation exp(−|t|/τ) have τ_c = τ.

    Raises
    ------
    RequestError
        If the arrays do not match, no cell varies, or the largest lag is not shorter than the signals.

    Notes
    -----
    ρ is the autocorrelation of each cell about its mean, averaged over the cells that vary.
    """
    lower_TN, upper_TM = checked_signals(lower_TN, upper_TM)
    lags = round(max_lag_s / dt_s)
    if not 0 <= lags < len(lower_TN):
        raise RequestError(f"max_lag_s {max_lag_s!r}: expected 0 to less than the signals' {len(lower_TN) * dt_s:g} s.")
    products = _autocorrelation(lower_TN, lags) * _autocorrelation(upper_TM, lags)
    return dt_s * float(products[0] + 2.0 * products[1:].sum())


def explained_variance(lower_TN: np.ndarray, upper_TM: np.ndarray) -> float:
    """Return R², the part of the upper signals' variance that a linear regression on the lower signals explains.

    R² = 1 − (SS_residual/(T − N − 1)) / (SS_total/(T − 1)), sums taken over all upper cells

    Parameters
    ----------
    lower_TN, upper_TM : ndarray, shape (T, N) and (T, M)
        Signals of the two layers, T > N + 1. For a delay between them, shift one before. Take samples further apart
        than the correlation time: the adjustment for the N regressors counts each sample as independent.

    Returns
    -------
    float
        At most 1; slightly below 0 by chance where nothing is explained.

    Raises
    ------
    RequestError
        If the arrays do not match, there are too few samples, or no upper cell varies.
    """
    lower_TN, upper_TM = checked_signals(lower_TN, upper_TM)
    samples, regressors = lower_TN.shape
    if samples <= regressors + 1:
        raise RequestError(f"{samples} samples for {regressors} lower cells: expected at least {regressors + 2}.")
    lower_TN = lower_TN - lower_TN.mean(axis=0)
    upper_TM = upper_TM - upper_TM.mean(axis=0)
    total = float(np.sum(upper_TM**2))
    if total == 0:
        raise RequestError("no upper cell varies: there is no variance to explain.")
    coefficients_NM = np.linalg.lstsq(lower_TN, upper_TM, rcond=None)[0]
    residual = float(np.sum((upper_TM - lower_TN @ coefficients_NM) ** 2))
    return 1.0 - (residual / (samples - regressors - 1)) / (total / (samples - 1))


def checked_signals(lower_TN: np.ndarray, upper_TM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the signals of two layers as float64, refusing what is not (samples, cells) of equally many samples."""
    lower_TN, upper_TM = np.asarray(lower_TN, dtype=np.float64), np.asarray(upper_TM, dtype=np.float64)
    if lower_TN.ndim != 2 or upper_TM.ndim != 2 or len(lower_TN) != len(upper_TM):
        raise RequestError(
            f"signals of shapes {lower_TN.shape} and {upper_TM.shape}: expected (samples, cells), equally many samples."
        )
    return lower_TN, upper_TM


def _autocorrelation(signal_TN: np.ndarray, lags: int) -> np.ndarray:
    varying_TN = signal_TN[:, np.any(signal_TN != signal_TN.mean(axis=0), axis=0)]
    if varying_TN.shape[1] == 0:
        raise RequestError("no cell of a layer varies: there is no correlation time.")
    covariance = _covariances(varying_TN, lags)
    return (covariance / covariance[0]).mean(axis=1)


def autocovariance(signal_TN: np.ndarray, lags: int) -> np.ndarray:
    """Return the autocovariance of cells about their means at lags of 0 to `lags` samples, averaged over the cells."""
    return _covariances(np.asarray(signal_TN, dtype=np.float64), lags).mean(axis=1)


def _covariances(signal_TN: np.ndarray, lags: int) -> np.ndarray:
    samples = len(signal_TN)
    centred_TN = signal_TN - signal_TN.mean(axis=0)
    padded = 2 ** math.ceil(math.log2(samples + lags + 1))  # zeros, so that the ends do not meet
    power = np.abs(np.fft.rfft(centred_TN, padded, axis=0)) ** 2
    return np.fft.irfft(power, padded, axis=0)[: lags + 1] / (samples - np.arange(lags + 1))[:, None]
