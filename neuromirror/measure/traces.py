"""The signals that rules read of spikes, made again from a record."""

from __future__ import annotations

import numpy as np

from neuromirror.errors import RequestError


def exponential_traces(
    t_s: np.ndarray, cell: np.ndarray, *, cells: int, window_s: float, windows: int, tau_s: float
) -> np.ndarray:
    """Return each cell's exponentially filtered rate at the end of every window, in Hz.

    s(t) = Σ exp(−(t − t_spike)/τ)/τ over the spikes until t

    Parameters
    ----------
    t_s : ndarray, shape (spikes,)
        Times in s; the first window begins at 0.
    cell : ndarray of int, shape (spikes,)
        The cell that fired, below `cells`.
    cells : int
        Number of cells.
    window_s : float
        Length of a window in s.
    windows : int
        Number of windows; spikes after the last are left out.
    tau_s : float
        Time constant in s.

    Returns
    -------
    ndarray of float64, shape (windows, cells)

    Raises
    ------
    RequestError
        If the arrays do not match, a time is below 0 or not finite, there is no such cell, or a number is not above 0.
    """
    from scipy.signal import lfilter  # here: loading it takes seconds that most measures need not spend

    t_s, cell = np.asarray(t_s, dtype=np.float64), np.asarray(cell, dtype=np.int64)
    if t_s.shape != cell.shape or t_s.ndim != 1:
        raise RequestError(f"spike times of shape {t_s.shape} and cells of shape {cell.shape}: expected equal lengths.")
    if not (cells > 0 and window_s > 0 and windows > 0 and tau_s > 0):
        raise RequestError(
            f"cells {cells!r}, window_s {window_s!r}, windows {windows!r}, tau_s {tau_s!r}: expected positive numbers."
        )
    if t_s.size and not (t_s.min() >= 0 and t_s.max() < np.inf and cell.min() >= 0 and cell.max() < cells):
        raise RequestError(
            f"times from {t_s.min():g} to {t_s.max():g} s and cells from {cell.min()} to {cell.max()}: "
            f"expected finite times from 0 s on, and cells from 0 to {cells - 1}."
        )
    window = np.floor(t_s / window_s + 1e-6)  # a spike at a border belongs to the window it begins
    inside = window < windows
    window, cell = window[inside].astype(np.int64), cell[inside]
    left_s = (window + 1) * window_s - t_s[inside]
    kicks = np.bincount(window * cells + cell, weights=np.exp(-left_s / tau_s) / tau_s, minlength=windows * cells)
    return np.asarray(lfilter([1.0], [1.0, -np.exp(-window_s / tau_s)], kicks.reshape(windows, cells), axis=0))
