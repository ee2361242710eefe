"""Rates of spiking cells in silence, beside those of Siegert's formula.

Every cell gets a steady current, set so that the continuous formula gives a certain rate, and nothing else.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import neuromirror as nm
from neuromirror.backends.brian2.standalone import compiler
from neuromirror.dynamics.neurons import LIF

START_S, STOP_S = 0.2, 1.2
CELLS = {5: 7500, 10: 2800, 20: 1200, 50: 320, 100: 80}
"""Number of cells by rate in Hz: slow cells fire less often, and less regularly."""


@dataclass(frozen=True)
class Measured:
    """A rate in Hz, its standard error, and what the formula gives for continuous time and for the time step."""

    rate_Hz: float
    error_Hz: float
    continuous_Hz: float
    corrected_Hz: float

    @property
    def off(self) -> float:
        """How far the rate is from the formula for continuous time, as a share of it."""
        return self.rate_Hz / self.continuous_Hz - 1


def lif(noise_mV: float) -> LIF:
    """Return a cell with an intrinsic noise of the membrane."""
    return LIF(tau_m_s=0.02, refractory_s=0.002, reset_V=0.0, threshold_V=0.02, noise_V=noise_mV * 1e-3)


@functools.cache
def measured(noise_mV: float, dt_ms: float, share: float = 1.0) -> dict[int, Measured]:
    """Return what cells do, by the rate in Hz that the continuous formula gives.

    Parameters
    ----------
    noise_mV : float
        Intrinsic noise of the membrane.
    dt_ms : float
        Time step.
    share : float
        Of the cells that are counted otherwise.
    """
    sizes = {rate: max(2, round(share * cells)) for rate, cells in CELLS.items()}
    current_V = {rate: lif(noise_mV).bias_V(rate) for rate in CELLS}
    silent = nm.Circuit(
        {
            "name": "silence",
            "code": {"kind": "baseline", "beta": "50 Hz"},
            "cells": {
                f"at{rate}": {"noise": f"{noise_mV} mV", "default_bias": f"{current_V[rate] * 1e3!r} mV"}
                for rate in CELLS
            },
            "populations": {
                f"y{rate}": {"path": "forward", "layer": 0, "shape": [cells], "cell": f"at{rate}"}
                for rate, cells in sizes.items()
            },
            "modes": {"silence": {}},
            "schedule": [{"mode": "silence", "duration": f"{STOP_S} s"}],
            "time": {"dt": f"{dt_ms} ms"},
        }
    )
    target = "cpp_standalone" if compiler() and dt_ms < 0.4 else "auto"
    with tempfile.TemporaryDirectory() as folder:
        run = nm.run(silent, target=target, out=Path(folder) / "run", figures=False)
        counts = {rate: _counted(run, f"y{rate}", cells) for rate, cells in sizes.items()}
    return {
        rate: Measured(
            rate_Hz=float(count.mean()) / (STOP_S - START_S),
            error_Hz=float(count.std(ddof=1)) / np.sqrt(len(count)) / (STOP_S - START_S),
            continuous_Hz=float(rate),
            corrected_Hz=lif(noise_mV).rate_Hz(current_V[rate], dt_ms * 1e-3),
        )
        for rate, count in counts.items()
    }


def _counted(run: nm.Run, population: str, cells: int) -> np.ndarray:
    spikes = run.spikes(population)
    return np.bincount(spikes.cell[spikes.t_s >= START_S], minlength=cells)
