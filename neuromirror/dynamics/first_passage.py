r"""How many time steps a leaky membrane with white noise takes from reset to threshold, looked at once a step.

From one step to the next the membrane moves to a Gaussian about :math:`I + (v - I)e^{-dt/\tau_m}`, of standard
deviation :math:`s = \sigma\sqrt{1 - e^{-2dt/\tau_m}}`. With :math:`p(v'|v)` its density, the mean number of steps until
it is above threshold obeys

.. math:: m(v) = 1 + \int_{-\infty}^{\theta} p(v'|v)\,m(v')\,dv'

which is solved at the nodes of a Gauss-Legendre quadrature (Nyström's method): exact for the simulation in steps,
whatever the ratio of step and time constant, where Siegert's formula is that of continuous time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NODES_PER_SD = 2.5
"""Nodes for each standard deviation of one step: rates are right to 1e-8."""
MOST_NODES = 800
"""More are not solved for: steps are then so short that Siegert's formula, corrected for them, is as good."""
REACH = 8.0
"""How far below its mean the free membrane is followed, in its standard deviations."""


def mean_steps(*, decay: float, noise_V: float, current_V: float, reset_V: float, threshold_V: float) -> float | None:
    """Return the mean number of steps from reset to a spike.

    Parameters
    ----------
    decay : float
        exp(−dt/τ_m), what a step leaves of a deviation of the membrane.
    noise_V : float
        Standard deviation σ of the free membrane, in volts, above 0.
    current_V, reset_V, threshold_V : float
        In volts above rest.

    Returns
    -------
    float or None
        At least 1; infinite where the threshold is out of reach; None where a step is too short to be solved for.
    """
    step_V = noise_V * math.sqrt((1 - decay) * (1 + decay))
    lowest_V = min(reset_V, current_V) - REACH * noise_V
    nodes = max(32, math.ceil(NODES_PER_SD * (threshold_V - lowest_V) / step_V)) if step_V else MOST_NODES + 1
    if nodes > MOST_NODES:
        return None
    x, weights = np.polynomial.legendre.leggauss(nodes)
    half_V = 0.5 * (threshold_V - lowest_V)
    v_V = half_V * (x + 1) + lowest_V

    def moves(start_V: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of membranes at each start, (starts,), that come to each node, (starts, nodes)."""
        from_mean = (v_V - (current_V + (start_V[:, None] - current_V) * decay)) / step_V
        return np.exp(-0.5 * from_mean**2) * (half_V / (step_V * math.sqrt(2 * math.pi))) * weights

    steps = np.linalg.solve(np.eye(nodes) - moves(v_V), np.ones(nodes))
    mean = 1.0 + float((moves(np.array([reset_V])) @ steps)[0])
    return mean if math.isfinite(mean) and mean >= 1 else math.inf


def share_at_once(*, decay: float, noise_V: float, current_V: float, reset_V: float, threshold_V: float) -> float:
    """Return the share of membranes that are above threshold one step after reset; parameters as of `mean_steps`."""
    step_V = noise_V * math.sqrt((1 - decay) * (1 + decay))
    short_V = threshold_V - (current_V + (reset_V - current_V) * decay)
    if step_V == 0:
        return float(short_V < 0)
    return 0.5 * math.erfc(short_V / step_V / math.sqrt(2))
