"""Integrate-and-fire cells: the rate against integrals, expansions and simulations of its own, and its inverse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.special import erfc

from neuromirror.dynamics.neurons import CONTINUITY_CORRECTION, LIF, synaptic_kick
from neuromirror.errors import RequestError

FIGURE1 = LIF(tau_m_s=0.02, refractory_s=0.002, reset_V=0.0, threshold_V=0.02, noise_V=0.008)


@st.composite
def cells(draw: st.DrawFn, *, noise: tuple[float, float] = (0.1, 2.0)) -> LIF:
    """Draw a cell; its noise is between the given multiples of the way from reset to threshold."""
    reset_V = draw(st.floats(-0.01, 0.005))
    gap_V = draw(st.floats(0.005, 0.03))
    return LIF(
        tau_m_s=draw(st.floats(0.005, 0.05)),
        refractory_s=draw(st.just(0.0) | st.floats(0.0005, 0.005)),
        reset_V=reset_V,
        threshold_V=reset_V + gap_V,
        noise_V=gap_V * draw(st.floats(*noise)) if noise[1] else 0.0,
    )


def changed(cell: LIF, **changes: float) -> LIF:
    """Give a cell with some parameters changed."""
    return LIF(**{**{name: getattr(cell, name) for name in LIF.__dataclass_fields__}, **changes})


def gap_V(cell: LIF) -> float:
    """Give the way from reset to threshold."""
    return cell.threshold_V - cell.reset_V


# ---- the rate in continuous time ------------------------------------------------------------------------------------


@given(cells(), st.floats(-1, 3))
@settings(deadline=None, max_examples=200)
def test_the_rate_is_the_integral_of_the_textbook(cell: LIF, drive: float) -> None:
    """1/r = t_ref + τ√π ∫ exp(u²)(1 + erf u) du, from (V_reset − I)/(σ√2) to (θ − I)/(σ√2)."""
    current_V = cell.reset_V + drive * gap_V(cell)
    low, high = ((v - current_V) / (math.sqrt(2) * cell.noise_V) for v in (cell.reset_V, cell.threshold_V))
    assume(high < 10)  # below 1e-40 Hz otherwise
    integral, _ = quad(lambda u: math.exp(u * u) * erfc(-u), low, high, epsabs=0, epsrel=1e-12, limit=200)
    expected = 1 / (cell.refractory_s + cell.tau_m_s * math.sqrt(math.pi) * integral)
    assert cell.rate_Hz(current_V) == pytest.approx(expected, rel=1e-9)


@given(cells(noise=(0, 0)), st.floats(1.05, 5))
@settings(deadline=None, max_examples=30)
def test_without_noise_the_rate_is_that_of_the_membrane_s_way_to_threshold(cell: LIF, drive: float) -> None:
    current_V = cell.reset_V + drive * gap_V(cell)

    def arrival(_: float, v: np.ndarray) -> float:
        return float(v[0]) - cell.threshold_V

    arrival.terminal = True  # type: ignore[attr-defined]
    way = solve_ivp(
        lambda _, v: (current_V - v) / cell.tau_m_s,
        (0, 20 * cell.tau_m_s),
        [cell.reset_V],
        events=arrival,
        rtol=1e-10,
        atol=1e-13,
    )
    assert cell.rate_Hz(current_V) == pytest.approx(1 / (cell.refractory_s + way.t_events[0][0]), rel=1e-6)


@given(cells(noise=(0, 0)), st.floats(-2, 1))
@settings(deadline=None)
def test_without_noise_nothing_fires_below_threshold(cell: LIF, drive: float) -> None:
    current_V = min(cell.reset_V + drive * gap_V(cell), cell.threshold_V)
    assert cell.rate_Hz(current_V) == 0
    assert cell.rate_Hz(current_V, 0.0005) == 0


@given(cells(noise=(0, 0)), st.floats(1.2, 5), st.floats(0.001, 0.02))
@settings(deadline=None)
def test_weak_noise_shortens_the_way_by_its_variance(cell: LIF, drive: float, share: float) -> None:
    """T(σ) = T(0) − τσ²/2·(1/(I − θ)² − 1/(I − V_reset)²) + O(σ⁴), of the tail of erfc."""
    current_V = cell.reset_V + drive * gap_V(cell)
    noise_V = share * (current_V - cell.threshold_V)
    shorter_s = 1 / cell.rate_Hz(current_V) - 1 / changed(cell, noise_V=noise_V).rate_Hz(current_V)
    inverse_squares = 1 / (current_V - cell.threshold_V) ** 2 - 1 / (current_V - cell.reset_V) ** 2
    first_order_s = cell.tau_m_s * noise_V**2 / 2 * inverse_squares
    # The next term of the tail is smaller by 3σ²/(I − θ)²/2 · (1 − …), below 6·share²; rounding is far below 1e-12 s.
    assert shorter_s == pytest.approx(first_order_s, rel=6 * share**2, abs=1e-12)


@given(cells(), st.floats(-1, 3), st.floats(-1, 3))
@settings(deadline=None)
def test_the_rate_rises_with_the_current_up_to_the_refractory_limit(cell: LIF, one: float, other: float) -> None:
    low, high = (cell.rate_Hz(cell.reset_V + drive * gap_V(cell)) for drive in sorted((one, other)))
    assert low <= high
    assert high * cell.refractory_s < 1


@given(cells(), st.floats(-1, 3), st.floats(-0.1, 0.1), st.floats(0.5, 2), st.floats(0.5, 2))
@settings(deadline=None)
def test_the_rate_does_not_depend_on_the_zero_and_the_units(
    cell: LIF, drive: float, shift_V: float, volts: float, seconds: float
) -> None:
    current_V = cell.reset_V + drive * gap_V(cell)
    other = LIF(
        tau_m_s=cell.tau_m_s * seconds,
        refractory_s=cell.refractory_s * seconds,
        reset_V=cell.reset_V * volts + shift_V,
        threshold_V=cell.threshold_V * volts + shift_V,
        noise_V=cell.noise_V * volts,
    )
    assert other.rate_Hz(current_V * volts + shift_V) * seconds == pytest.approx(cell.rate_Hz(current_V), rel=1e-6)


# ---- the rate in time steps -----------------------------------------------------------------------------------------


def test_the_continuity_correction_is_a_value_of_the_zeta_function() -> None:
    from mpmath import mp, zeta

    assert pytest.approx(float(-zeta(mp.mpf(1) / 2) / mp.sqrt(2 * mp.pi)), rel=1e-14) == CONTINUITY_CORRECTION


@given(cells(noise=(0.1, 1)), st.floats(0.5, 2))
@settings(deadline=None)
def test_the_effect_of_the_step_vanishes_with_its_root(cell: LIF, drive: float) -> None:
    cell = changed(cell, refractory_s=0.002)  # a multiple of the steps below
    current_V = cell.reset_V + drive * gap_V(cell)
    lost = [cell.rate_Hz(current_V) - cell.rate_Hz(current_V, 0.002 / 4**k) for k in (7, 8, 9)]
    assert lost[2] > 0
    assert lost[0] / lost[1] == pytest.approx(2, rel=0.02)
    assert lost[1] / lost[2] == pytest.approx(2, rel=0.01)


def simulated_Hz(cell: LIF, current_V: float, dt_s: float, *, seed: int) -> tuple[float, float]:
    """Simulate 3000 cells in steps; give the mean of their rates and its standard error."""
    cells, steps, burn_in, rng = 3000, 1500, 500, np.random.default_rng(seed)
    decay = math.exp(-dt_s / cell.tau_m_s)
    kick_V, held = cell.noise_V * math.sqrt(1 - decay**2), round(cell.refractory_s / dt_s)
    v_V, free_at, spikes = rng.uniform(0, cell.threshold_V, cells), np.zeros(cells, dtype=int), np.zeros(cells)
    for step in range(burn_in + steps):
        moved = current_V + (v_V - current_V) * decay + kick_V * rng.standard_normal(cells)
        v_V = np.where(step >= free_at, moved, v_V)
        fired = v_V > cell.threshold_V
        v_V[fired] = cell.reset_V
        free_at[fired] = step + 1 + held
        spikes += fired if step >= burn_in else 0
    rates_Hz = spikes / (steps * dt_s)
    return float(rates_Hz.mean()), float(rates_Hz.std() / math.sqrt(cells))


@pytest.mark.parametrize("noise_V", [0.004, 0.008, 0.016])
@pytest.mark.parametrize("rate_Hz", [20.0, 50.0, 100.0])
def test_the_rate_in_steps_is_that_of_a_simulation_in_steps(noise_V: float, rate_Hz: float) -> None:
    """It claims an error of at most 1.5% up to 0.5 ms and 100 Hz.

    A true claim fails at 4.5 standard errors, of 9 simulations one with probability 6e-5; the seeds are fixed.
    """
    cell = changed(FIGURE1, noise_V=noise_V)
    current_V = cell.bias_V(rate_Hz, 0.0005)
    found_Hz, error_Hz = simulated_Hz(cell, current_V, 0.0005, seed=round(1e5 * noise_V + rate_Hz))
    assert found_Hz == pytest.approx(rate_Hz, abs=0.015 * rate_Hz + 4.5 * error_Hz)
    assert cell.rate_Hz(current_V) > 1.03 * found_Hz  # what continuous time would have is noticeably more


@pytest.mark.parametrize("noise_V", [0.0005, 0.001, 0.002])
@pytest.mark.parametrize("rate_Hz", [20.0, 100.0])
def test_weak_noise_leaves_at_most_half_a_step_of_each_interval(noise_V: float, rate_Hz: float) -> None:
    """A membrane that drifts over the threshold is seen half a step late on average, which is not corrected for.

    A true claim fails at 4.5 standard errors, of 6 simulations one with probability 4e-5; the seeds are fixed.
    """
    cell = changed(FIGURE1, noise_V=noise_V)
    found_Hz, error_Hz = simulated_Hz(cell, cell.bias_V(rate_Hz, 0.0005), 0.0005, seed=round(1e5 * noise_V + rate_Hz))
    longer_s = 1 / found_Hz - 1 / rate_Hz
    slack_s = 4.5 * error_Hz / found_Hz**2
    assert -slack_s <= longer_s <= 0.00025 + slack_s


@given(cells(noise=(0, 0)), st.floats(1.05, 5), st.sampled_from([0.0001, 0.0005, 0.001]))
@settings(deadline=None)
def test_without_noise_a_step_makes_the_interval_a_whole_number_of_steps(cell: LIF, drive: float, dt_s: float) -> None:
    current_V = cell.reset_V + drive * gap_V(cell)
    decay, v_V, steps = math.exp(-dt_s / cell.tau_m_s), cell.reset_V, 0
    while v_V < cell.threshold_V:
        v_V, steps = current_V + (v_V - current_V) * decay, steps + 1
        assume(abs(v_V - cell.threshold_V) > 1e-7 * gap_V(cell))  # else rounding decides when it arrives
    interval_s = (round(cell.refractory_s / dt_s) + steps) * dt_s
    assert cell.rate_Hz(current_V, dt_s) == pytest.approx(1 / interval_s, rel=1e-9)


@given(cells(), st.floats(0.5, 2), st.integers(0, 5), st.floats(-0.45, 0.45))
@settings(deadline=None)
def test_the_refractory_period_is_a_whole_number_of_steps(cell: LIF, drive: float, steps: int, off: float) -> None:
    dt_s, current_V = 0.0005, cell.reset_V + drive * gap_V(cell)
    whole = changed(cell, refractory_s=steps * dt_s)
    other = changed(cell, refractory_s=max(0.0, (steps + off) * dt_s))
    assert other.rate_Hz(current_V, dt_s) == pytest.approx(whole.rate_Hz(current_V, dt_s), rel=1e-12)


# ---- bias and slope -------------------------------------------------------------------------------------------------


@given(cells(), st.floats(0.01, 0.9), st.sampled_from([0.0, 0.0001, 0.0005]))
@settings(deadline=None)
def test_the_bias_makes_a_cell_fire_at_the_rate(cell: LIF, share: float, dt_s: float) -> None:
    rate_Hz = share / (cell.refractory_s + 0.5 * cell.tau_m_s)
    assert cell.rate_Hz(cell.bias_V(rate_Hz, dt_s), dt_s) == pytest.approx(rate_Hz, rel=1e-7)


@given(cells(noise=(0, 0)), st.floats(0.05, 0.9))
@settings(deadline=None)
def test_the_bias_of_a_cell_without_noise_is_the_inverse_of_its_charging_curve(cell: LIF, share: float) -> None:
    rate_Hz = share / (cell.refractory_s + 0.5 * cell.tau_m_s)
    charged = 1 - math.exp(-(1 / rate_Hz - cell.refractory_s) / cell.tau_m_s)
    assert cell.bias_V(rate_Hz) == pytest.approx(cell.reset_V + gap_V(cell) / charged, abs=1e-9)


@pytest.mark.parametrize("dt_s", [0.0, 0.0005])
@pytest.mark.parametrize("noise_V", [0.0, 0.008])
def test_a_rate_beyond_the_refractory_limit_is_refused(dt_s: float, noise_V: float) -> None:
    with pytest.raises(RequestError, match="refractory for 2 ms cannot be made to fire at 600 Hz"):
        changed(FIGURE1, noise_V=noise_V).bias_V(600.0, dt_s)


@pytest.mark.parametrize("noise_V", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("rate_Hz", [1.0, 100.0])
def test_a_cell_that_noise_alone_makes_fire_has_a_bias_too(noise_V: float, rate_Hz: float) -> None:
    cell = changed(FIGURE1, noise_V=noise_V)
    assert cell.rate_Hz(cell.bias_V(rate_Hz)) == pytest.approx(rate_Hz, rel=1e-6)


@given(cells(), st.floats(0, 3))
@settings(deadline=None)
def test_the_slope_is_the_derivative_of_the_integral(cell: LIF, drive: float) -> None:
    """dr/dI = r²τ√π·(f(θ) − f(V_reset))/(σ√2), with f = exp(u²)(1 + erf u) at the limits of the integral."""
    current_V, scale = cell.reset_V + drive * gap_V(cell), math.sqrt(2) * cell.noise_V
    low, high = ((v - current_V) / scale for v in (cell.reset_V, cell.threshold_V))
    at_limits = math.exp(high**2) * erfc(-high) - math.exp(low**2) * erfc(-low)
    expected = cell.rate_Hz(current_V) ** 2 * cell.tau_m_s * math.sqrt(math.pi) * at_limits / scale
    # Differences of 1e-4 of the gap, at most 1e-3 σ: an error of about 1e-6 of the slope.
    assert cell.slope_Hz_per_V(current_V) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rate_Hz", [20.0, 50.0, 90.0, 100.0])
@pytest.mark.parametrize("dt_s", [0.0, 0.0001, 0.0005])
def test_a_cell_without_noise_has_a_slope_in_steps_too(rate_Hz: float, dt_s: float) -> None:
    """Its rate is a staircase in steps of time; what projections are scaled by is the slope of the whole of it."""
    cell = changed(FIGURE1, noise_V=0.0)
    bias_V = cell.bias_V(rate_Hz)
    assert cell.slope_Hz_per_V(cell.bias_V(rate_Hz, dt_s), dt_s) == pytest.approx(cell.slope_Hz_per_V(bias_V), rel=0.25)


# ---- synapses -------------------------------------------------------------------------------------------------------


TIMES_S = st.floats(0.001, 0.1)


@given(TIMES_S, TIMES_S, st.floats(0.0001, 0.01))
@settings(deadline=None, max_examples=50)
def test_the_synaptic_kick_is_the_integral_of_membrane_and_current(
    tau_m_s: float, tau_syn_s: float, dt_s: float
) -> None:
    found = solve_ivp(
        lambda _, state: [(state[1] - state[0]) / tau_m_s, -state[1] / tau_syn_s],
        (0, dt_s),
        [0.0, 1.0],
        method="DOP853",
        rtol=1e-12,
        atol=1e-15,
    )
    assert synaptic_kick(tau_m_s, tau_syn_s, dt_s) == pytest.approx(found.y[0, -1], rel=1e-6)


@given(TIMES_S, TIMES_S, st.floats(0.0005, 0.01), st.integers(2, 5))
@settings(deadline=None)
def test_a_step_is_as_good_as_several_shorter_ones(tau_m_s: float, tau_syn_s: float, dt_s: float, parts: int) -> None:
    assume(abs(tau_m_s / tau_syn_s - 1) > 1e-3)
    short_s, v, current = dt_s / parts, 0.0, 1.0
    for _ in range(parts):
        v = v * math.exp(-short_s / tau_m_s) + current * synaptic_kick(tau_m_s, tau_syn_s, short_s)
        current *= math.exp(-short_s / tau_syn_s)
    assert v == pytest.approx(synaptic_kick(tau_m_s, tau_syn_s, dt_s), rel=1e-9)


@given(TIMES_S, st.floats(-10, -3), st.sampled_from([-1, 1]), st.floats(0.0001, 0.01))
@settings(deadline=None)
def test_equal_time_constants_are_no_exception(tau_s: float, digits: float, sign: int, dt_s: float) -> None:
    """From time constants that are equal to those that differ by 1e-3, the kick changes by at most as much."""
    off = 10**digits
    equal = synaptic_kick(tau_s, tau_s, dt_s)
    assert equal == pytest.approx(dt_s / tau_s * math.exp(-dt_s / tau_s), rel=1e-12)
    other = synaptic_kick(tau_s, tau_s * (1 + sign * off), dt_s)
    # d ln(kick)/d ln(tau_syn) is dt/2tau there, at most 5; cancellation leaves 1e-16·tau/dt/1e-6 < 1e-7.
    assert other == pytest.approx(equal, rel=off * (dt_s / tau_s / 2 * 1.1 + 1e-3) + 1.1e-6)
