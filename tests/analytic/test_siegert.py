"""Spiking cells in silence fire at the rate of Siegert's formula.

Every cell gets a steady current, set so that the continuous formula gives 5 to 100 Hz, and nothing else. So many cells
are counted for a second that a deviation of 3 % is at least five standard errors, as each measurement checks on its own
counts. Cells are independent: a right rate would fail one comparison with a probability below 1e-6, and one that is off
by 1.7 %, the most that the correction for dt was seen to be, with one of 2 % at the largest standard error.
"""

from __future__ import annotations

import numpy as np
import pytest

from experiments.siegert import CELLS, measured
from neuromirror.backends.brian2.standalone import compiler

QUIET_MV, NOISY_MV = 2, 8
"""Intrinsic noise of the membrane: the default, and that of Figure 1."""
COARSE_MS, FINE_MS = (0.5, 0.25), (0.1, 0.05)
TOLERANCE = 0.03


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
