r"""The leaky integrate-and-fire cell: its equation, its stationary rate, and the bias that makes it fire at β.

.. math:: \tau_m \dot v = v_\mathrm{rest} + I - v + \sigma\sqrt{2\tau_m}\,\xi(t)

with a spike, a reset and a refractory period where :math:`v` passes the threshold. Currents are in volts, as the
steady displacement of the membrane that they cause; :math:`\sigma` is the standard deviation of the free membrane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx

from neuromirror.dynamics.first_passage import mean_steps, share_at_once
from neuromirror.errors import RequestError

CONTINUITY_CORRECTION = 0.5825971579390107
"""−ζ(1/2)/√(2π): how far, in standard deviations of one step, a barrier watched at steps seems to stand off
(Broadie, Glasserman & Kou 1997)."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


@dataclass(frozen=True, kw_only=True)
class LIF:
    """Parameters of a leaky integrate-and-fire cell, in SI units.

    Attributes
    ----------
    tau_m_s : float
        Membrane time constant, in seconds.
    refractory_s : float
        Refractory period, in seconds.
    reset_V, threshold_V : float
        Above rest, in volts.
    noise_V : float
        Standard deviation σ that intrinsic white noise gives the free membrane, in volts.
    """

    tau_m_s: float
    refractory_s: float
    reset_V: float
    threshold_V: float
    noise_V: float

    def rate_Hz(self, current_V: float, dt_s: float = 0.0) -> float:
        """Return the stationary rate for a constant current (Siegert 1951; Ricciardi 1977).

        Parameters
        ----------
        current_V : float
            In volts above rest.
        dt_s : float
            Time step of a simulation that looks for spikes once a step; 0 for continuous time. The step raises the
            effective threshold by 0.583 standard deviations of the noise of one step, which leaves an error of at
            most 1.5% up to 0.5 ms and 100 Hz.
        """
        refractory_s = round(self.refractory_s / dt_s) * dt_s if dt_s else self.refractory_s
        if self.noise_V == 0:
            return self._rate_without_noise(current_V, refractory_s, dt_s)
        threshold_V = self.threshold_V + self._threshold_shift_V(dt_s)
        scale = math.sqrt(2) * self.noise_V
        low, high = (self.reset_V - current_V) / scale, (threshold_V - current_V) / scale
        if high > 25:
            return 0.0
        u = 0.5 * (high - low) * (_NODES + 1) + low
        integral = 0.5 * (high - low) * float(_WEIGHTS @ erfcx(-u))
        return 1 / (refractory_s + self.tau_m_s * math.sqrt(math.pi) * integral)

    def _threshold_shift_V(self, dt_s: float) -> float:
        return CONTINUITY_CORRECTION * self.noise_V * math.sqrt(-math.expm1(-2 * dt_s / self.tau_m_s))

    def _rate_without_noise(self, current_V: float, refractory_s: float, dt_s: float) -> float:
        if current_V <= self.threshold_V:
            return 0.0
        climb_s = self.tau_m_s * math.log((current_V - self.reset_V) / (current_V - self.threshold_V))
        if dt_s:
            climb_s = math.ceil(climb_s / dt_s - 1e-9) * dt_s
        return 1 / (refractory_s + climb_s)

    def rate_in_steps_Hz(self, current_V: float, dt_s: float) -> float:
        """Return the stationary rate of a simulation that looks for spikes once a step, exactly.

        Parameters
        ----------
        current_V : float
            In volts above rest.
        dt_s : float
            Time step, in seconds. For steps so short that `neuromirror.dynamics.first_passage` does not solve for them
            it is `rate_Hz`.
        """
        if self.noise_V == 0:
            return self.rate_Hz(current_V, dt_s)
        steps = mean_steps(**self._in_steps(dt_s), current_V=current_V)
        if steps is None:
            return self.rate_Hz(current_V, dt_s)
        return 1 / ((round(self.refractory_s / dt_s) + steps) * dt_s)

    def share_at_once(self, current_V: float, dt_s: float) -> float:
        """Return the share of spikes that follow another in the first step after its refractory period."""
        return share_at_once(**self._in_steps(dt_s), current_V=current_V)

    def _in_steps(self, dt_s: float) -> dict[str, float]:
        return {
            "decay": math.exp(-dt_s / self.tau_m_s),
            "noise_V": self.noise_V,
            "reset_V": self.reset_V,
            "threshold_V": self.threshold_V,
        }

    def _unreached(self, rate_Hz: float, dt_s: float, current_V: float) -> str:
        """Return why a large current does not make the cell fire at a rate."""
        refractory_s = round(self.refractory_s / dt_s) * dt_s + dt_s if dt_s else self.refractory_s
        if refractory_s * rate_Hz > 0.9:
            return (
                f"cells refractory for {self.refractory_s * 1e3:g} ms cannot be made to fire at {rate_Hz:g} Hz in "
                f"steps of {dt_s * 1e3:g} ms. Lower code.beta, the refractory period or time.dt."
            )
        return (
            f"cells with tau_m = {self.tau_m_s:g} s cannot be made to fire at {rate_Hz:g} Hz: a current of "
            f"{current_V:.3g} V makes them fire at {self.rate_Hz(current_V, dt_s):.3g} Hz. Lower tau_m."
        )

    def slope_Hz_per_V(self, current_V: float, dt_s: float = 0.0) -> float:
        """Return the slope of the rate against the current, by central differences.

        Without noise the rate of a simulation in steps is a staircase, whose slope is that of the curve through it.
        """
        step = 1e-4 * (self.threshold_V - self.reset_V)
        if self.noise_V == 0 and dt_s:
            between = replace(self, refractory_s=round(self.refractory_s / dt_s) * dt_s + dt_s / 2)
            current_V = max(current_V, self.threshold_V + 2 * step)
            return between.slope_Hz_per_V(current_V)
        return (self.rate_Hz(current_V + step, dt_s) - self.rate_Hz(current_V - step, dt_s)) / (2 * step)

    def bias_in_steps_V(self, rate_Hz: float, dt_s: float) -> float:
        """Return the current at which a simulation in steps fires at a rate, exactly; see `rate_in_steps_Hz`.

        Raises
        ------
        RequestError
            If no current makes it fire so fast.
        """
        near_V, gap_V = self.bias_V(rate_Hz, dt_s), self.threshold_V - self.reset_V

        def above_Hz(current_V: float) -> float:
            return self.rate_in_steps_Hz(current_V, dt_s) - rate_Hz

        low_V = high_V = near_V
        while above_Hz(low_V) > 0:
            low_V -= 2 * (near_V - low_V) + 0.05 * gap_V
        while above_Hz(high_V) < 0:
            high_V += 2 * (high_V - near_V) + 0.05 * gap_V
            if high_V > 1e4 * gap_V:
                raise RequestError(self._unreached(rate_Hz, dt_s, high_V))
        return near_V if low_V == high_V else float(brentq(above_Hz, low_V, high_V, xtol=1e-10 * gap_V))  # pyright: ignore[reportArgumentType]

    def slope_in_steps_Hz_per_V(self, current_V: float, dt_s: float) -> float:
        """Return the slope of `rate_in_steps_Hz` against the current: that between a tenth more and a tenth less.

        Weak noise leaves steps in the rate, where intervals are whole numbers of time steps; this is the slope of the
        whole of it.
        """
        rate_Hz = self.rate_in_steps_Hz(current_V, dt_s)
        if rate_Hz == 0:
            return 0.0
        try:
            low_V, high_V = (self.bias_in_steps_V(share * rate_Hz, dt_s) for share in (0.9, 1.1))
        except RequestError:  # no current makes it fire so much faster
            return 0.0
        return 0.2 * rate_Hz / (high_V - low_V)

    def bias_V(self, rate_Hz: float, dt_s: float = 0.0) -> float:
        """Return the current at which the cell fires at a rate: b⁻ of Appendix B, φ(b⁻) = β.

        Raises
        ------
        RequestError
            If no current makes it fire so fast.
        """
        gap = self.threshold_V - self.reset_V
        low, high = self.reset_V - 10 * gap, self.threshold_V + gap
        while self.rate_Hz(low, dt_s) > rate_Hz:  # noise alone makes it fire
            low -= high - low
        while self.rate_Hz(high, dt_s) < rate_Hz:
            high += 2 * (high - low)
            if high > 1e4 * gap:
                raise RequestError(self._unreached(rate_Hz, dt_s, high))
        found: Any = brentq(lambda current: self.rate_Hz(current, dt_s) - rate_Hz, low, high, xtol=1e-12)
        return float(found)


def synaptic_kick(tau_m_s: float, tau_syn_s: float, dt_s: float) -> float:
    """Return what a synaptic current of 1 V at the start of a step adds to the membrane by its end, in volts.

    The current decays exponentially with ``tau_syn_s`` while the membrane integrates it: the exact solution of
    τ_m v' = −v + i, τ_syn i' = −i.
    """
    a, b = dt_s / tau_m_s, dt_s / tau_syn_s
    if abs(a - b) < 1e-6 * a:
        return a * math.exp(-a)
    return tau_syn_s / (tau_syn_s - tau_m_s) * (math.exp(-b) - math.exp(-a))
