"""The leaky cells of a circuit file as `neuromirror.dynamics.neurons` has them, and where they work: b⁻ and their gain.

Apart from the checks that need no rates, since those load no scipy.
"""

from __future__ import annotations

from functools import lru_cache

from neuromirror.circuit.description import Cell
from neuromirror.dynamics.neurons import LIF
from neuromirror.errors import RequestError

LEAST_SLOPE = 1e-3
"""The least change of a rate, as a share of it, that a current from reset to threshold makes at the default bias."""

CLOSE = 0.025
"""How near to β, as a share of it, Siegert's formula has to bring a simulation in steps to be calibrated by it."""


def lif_of(cell: Cell) -> LIF:
    """Return a leaky cell's parameters, its voltages above rest."""
    return LIF(
        tau_m_s=cell.tau_m.s,
        refractory_s=cell.refractory.s,
        reset_V=cell.v_reset.si - cell.v_rest.si,
        threshold_V=cell.v_threshold.si - cell.v_rest.si,
        noise_V=cell.noise.si,
    )


@lru_cache(maxsize=256)
def working_point(cell: Cell, beta_Hz: float, dt_s: float) -> tuple[float, float]:
    """Return a leaky cell's default bias in volts and the slope of its rate there, in Hz per volt (Appendix B).

    Both are by Siegert's formula, corrected for the step, where that brings a simulation in steps within 2.5% of β, as
    it does for steps up to about a thirtieth of ``tau_m``; otherwise they are those of the simulation in steps itself.

    Parameters
    ----------
    cell : Cell
    beta_Hz : float
        The rate at which it is to fire, where ``default_bias = "calibrate"``.
    dt_s : float
        Time step, in seconds.

    Raises
    ------
    RequestError
        If no current makes it fire at that rate, or if its rate at the bias that is given does not depend on its input.
    """
    lif, calibrated = lif_of(cell), isinstance(cell.default_bias, str)
    bias_V = lif.bias_V(beta_Hz, dt_s) if isinstance(cell.default_bias, str) else cell.default_bias.si
    rate_Hz, slope_Hz_per_V = lif.rate_Hz(bias_V, dt_s), lif.slope_Hz_per_V(bias_V, dt_s)
    reached_Hz = lif.rate_in_steps_Hz(bias_V, dt_s)
    if lif.noise_V and abs(reached_Hz - rate_Hz) > CLOSE * max(rate_Hz, reached_Hz):
        bias_V = lif.bias_in_steps_V(beta_Hz, dt_s) if calibrated else bias_V
        rate_Hz, slope_Hz_per_V = lif.rate_in_steps_Hz(bias_V, dt_s), lif.slope_in_steps_Hz_per_V(bias_V, dt_s)
    if not slope_Hz_per_V * (lif.threshold_V - lif.reset_V) > LEAST_SLOPE * rate_Hz:
        raise RequestError(
            f"cells with a default bias of {cell.default_bias} fire at {rate_Hz:g} Hz whatever their "
            'input. Choose a default_bias near the threshold, or "calibrate".'
        )
    return bias_V, slope_Hz_per_V
