"""Spiking cells in silence fire at the rate of Siegert's formula.

Every cell gets a steady current, set so that the continuous formula gives 5 to 100 Hz, and nothing else. So many cells
are counted for a second that a deviation of 3 % is at least five standard errors, as each measurement checks on its own
counts. Cells are independent: a right rate would fail one comparison with a probability below 1e-6, and one that is off
by 1.7 %, the most that the correction for dt was seen to be, with one of 2 % at the largest standard error.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.brian2.standalone import compiler
from neuromirror.dynamics.neurons import LIF

START_S, STOP_S = 0.2, 1.2
CELLS = {5: 7500, 10: 2800, 20: 1200, 50: 320, 100: 80}
"""Number of cells by rate in Hz: slow cells fire less often, and less regularly."""
QUIET_MV, NOISY_MV = 2, 8
"""Intrinsic noise of the membrane: the default, and that of Figure 1."""
COARSE_MS, FINE_MS = (0.5, 0.25, 0.1), (0.05,)
TOLERANCE = 0.03


@dataclass(frozen=True)
class Measured:
    """A rate in Hz, its standard error, and what the formula gives for continuous time and for the time step."""

    rate_Hz: float
    error_Hz: float
    continuous_Hz: float
    corrected_Hz: float

    @property
    def off(self) -> float:
        return self.rate_Hz / self.continuous_Hz - 1


def lif(noise_mV: float) -> LIF:
    return LIF(tau_m_s=0.02, refractory_s=0.002, reset_V=0.0, threshold_V=0.02, noise_V=noise_mV * 1e-3)


@functools.cache
def measured(noise_mV: float, dt_ms: float) -> dict[int, Measured]:
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
                for rate, cells in CELLS.items()
            },
            "modes": {"silence": {}},
            "schedule": [{"mode": "silence", "duration": f"{STOP_S} s"}],
            "time": {"dt": f"{dt_ms} ms"},
        }
    )
    target = "cpp_standalone" if compiler() and dt_ms < 0.4 else "auto"
    with tempfile.TemporaryDirectory() as folder:
        run = nm.run(silent, target=target, out=Path(folder) / "run", figures=False)
        counts = {rate: counted(run, f"y{rate}", cells) for rate, cells in CELLS.items()}
    return {
        rate: Measured(
            rate_Hz=float(count.mean()) / (STOP_S - START_S),
            error_Hz=float(count.std(ddof=1)) / np.sqrt(len(count)) / (STOP_S - START_S),
            continuous_Hz=float(rate),
            corrected_Hz=lif(noise_mV).rate_Hz(current_V[rate], dt_ms * 1e-3),
        )
        for rate, count in counts.items()
    }


def counted(run: nm.Run, population: str, cells: int) -> np.ndarray:
    spikes = run.spikes(population)
    return np.bincount(spikes.cell[spikes.t_s >= START_S], minlength=cells)


@pytest.mark.parametrize("noise_mV", [QUIET_MV, NOISY_MV])
@pytest.mark.parametrize("dt_ms", [*COARSE_MS, *(pytest.param(dt_ms, marks=pytest.mark.slow) for dt_ms in FINE_MS)])
def test_rates_are_those_of_the_formula_corrected_for_the_time_step(noise_mV, dt_ms):
    for rate in measured(noise_mV, dt_ms).values():
        assert 5 * rate.error_Hz <= TOLERANCE * rate.corrected_Hz, rate
        assert rate.rate_Hz == pytest.approx(rate.corrected_Hz, rel=TOLERANCE), rate


@pytest.mark.parametrize("noise_mV", [QUIET_MV, NOISY_MV])
def test_the_distance_from_the_continuous_formula_falls_with_the_time_step(noise_mV):
    """The mean over rates, of which one step's standard error is 0.2 %; it falls by 1.3 % or more each time."""
    mean_off = [np.mean([rate.off for rate in measured(noise_mV, dt_ms).values()]) for dt_ms in COARSE_MS]
    assert mean_off == sorted(mean_off)
    assert mean_off[-1] < 0, "a cell that looks for spikes once a step misses some"


@pytest.mark.slow
@pytest.mark.parametrize("noise_mV", [QUIET_MV, NOISY_MV])
def test_rates_tend_to_the_continuous_formula_as_the_time_step_vanishes(noise_mV):
    """What is missed falls as √dt: the straight line in √dt through the rates at four steps meets 0 at the formula.

    The line's value there has 1.3 standard errors of one rate, at most 0.8 %; the curvature adds 0.6 % at most.
    """
    steps_ms = (*COARSE_MS, *FINE_MS)
    for rate in CELLS:
        off = [measured(noise_mV, dt_ms)[rate].off for dt_ms in steps_ms]
        assert np.polyval(np.polyfit(np.sqrt(steps_ms), off, 1), 0.0) == pytest.approx(0.0, abs=TOLERANCE), rate


@pytest.mark.slow
def test_rates_are_those_of_the_continuous_formula_at_a_fine_time_step():
    """At 6.25 µs, where the correction for dt is 1.7 % at 5 Hz and less above."""
    if compiler() is None:
        pytest.skip("needs a C++ compiler: without one it takes hours")
    for rate in measured(QUIET_MV, 0.00625).values():
        assert 5 * rate.error_Hz <= TOLERANCE * rate.continuous_Hz, rate
        assert rate.rate_Hz == pytest.approx(rate.continuous_Hz, rel=TOLERANCE), rate
