"""Time steps are checked against what happens in them, and cells are calibrated in steps where a formula misses β."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.circuit.description import Cell
from neuromirror.circuit.lif import CLOSE, lif_of, working_point
from neuromirror.circuit.rules import rule_of
from neuromirror.dynamics.first_passage import mean_steps
from neuromirror.dynamics.neurons import LIF
from neuromirror.errors import RequestError

FIGURE1 = LIF(tau_m_s=0.02, refractory_s=0.002, reset_V=0.0, threshold_V=0.02, noise_V=0.008)


def cell(tau_m: str, noise: str) -> Cell:
    """Give a leaky cell."""
    return Cell.model_validate({"tau_m": tau_m, "noise": noise})


def simulated_Hz(lif: LIF, current_V: float, dt_s: float, *, seed: int) -> tuple[float, float]:
    """Simulate 4000 cells in steps, from a random state; give their mean rate and its standard error."""
    cells, steps, burn_in, rng = 4000, 1000, 300, np.random.default_rng(seed)
    decay, held = math.exp(-dt_s / lif.tau_m_s), round(lif.refractory_s / dt_s)
    kick_V = lif.noise_V * math.sqrt(1 - decay**2)
    v_V, free_at, spikes = rng.uniform(0, lif.threshold_V, cells), rng.integers(0, 20, cells), np.zeros(cells)
    for step in range(burn_in + steps):
        moved = current_V + (v_V - current_V) * decay + kick_V * rng.standard_normal(cells)
        v_V = np.where(step >= free_at, moved, v_V)
        fired = (v_V > lif.threshold_V) & (step >= free_at)
        v_V[fired] = lif.reset_V
        free_at[fired] = step + 1 + held
        spikes += fired if step >= burn_in else 0
    rates_Hz = spikes / (steps * dt_s)
    return float(rates_Hz.mean()), float(rates_Hz.std() / math.sqrt(cells))


@pytest.mark.parametrize(("tau_m_ms", "dt_ms"), [(0.2, 0.5), (0.5, 0.5), (1.0, 0.5), (20.0, 5.0), (20.0, 0.5)])
def test_the_rate_in_steps_is_that_of_a_simulation_whatever_the_step(tau_m_ms: float, dt_ms: float) -> None:
    """4.5 standard errors, of 5 simulations one with probability 3e-5; the seeds are fixed."""
    lif = lif_of(cell(f"{tau_m_ms} ms", "8 mV"))
    current_V = 0.03 if tau_m_ms > 5 else 0.012
    found_Hz, error_Hz = simulated_Hz(lif, current_V, dt_ms * 1e-3, seed=round(10 * tau_m_ms + dt_ms))
    assert lif.rate_in_steps_Hz(current_V, dt_ms * 1e-3) == pytest.approx(found_Hz, abs=4.5 * error_Hz)


@given(st.floats(0.0, 0.9), st.floats(0.002, 0.02), st.floats(-0.01, 0.06))
@settings(deadline=None, max_examples=30)
def test_independent_steps_have_a_geometric_number(decay: float, noise_V: float, current_V: float) -> None:
    """Without memory of the step before m = 1/P(v > θ); with some it is at least 1."""
    given = {"noise_V": noise_V, "current_V": current_V, "reset_V": 0.0, "threshold_V": 0.02}
    alone = 0.5 * math.erfc((0.02 - current_V) / noise_V / math.sqrt(2))
    found = mean_steps(decay=0.0, **given)
    if alone > 1e-9:
        assert found == pytest.approx(1 / alone, rel=1e-6)
    remembered = mean_steps(decay=decay, **given)
    assert remembered is None or remembered >= 1


@pytest.mark.parametrize("dt_s", [0.00025, 0.0005])
@pytest.mark.parametrize("rate_Hz", [5.0, 50.0, 100.0])
def test_in_short_steps_the_formula_is_that_of_steps_up_to_what_it_claims(rate_Hz: float, dt_s: float) -> None:
    current_V = FIGURE1.bias_V(rate_Hz, dt_s)
    assert FIGURE1.rate_in_steps_Hz(current_V, dt_s) == pytest.approx(rate_Hz, rel=0.015)


@pytest.mark.parametrize("noise", ["2 mV", "8 mV"])
@pytest.mark.parametrize(
    ("tau_m", "dt_s"),
    [("0.2 ms", 5e-4), ("0.5 ms", 5e-4), ("1 ms", 5e-4), ("5 ms", 5e-4), ("20 ms", 5e-4), ("20 ms", 5e-3)],
)
@pytest.mark.parametrize("beta_Hz", [0.01, 20.0, 100.0])
def test_calibrated_cells_fire_at_beta(beta_Hz: float, tau_m: str, dt_s: float, noise: str) -> None:
    kind = cell(tau_m, noise)
    bias_V, slope_Hz_per_V = working_point(kind, beta_Hz, dt_s)
    assert lif_of(kind).rate_in_steps_Hz(bias_V, dt_s) == pytest.approx(beta_Hz, rel=CLOSE)
    assert slope_Hz_per_V > 0


def test_what_the_formula_calibrates_well_is_left_to_it() -> None:
    kind = cell("20 ms", "8 mV")
    bias_V, slope_Hz_per_V = working_point(kind, 100.0, 5e-4)
    assert bias_V == lif_of(kind).bias_V(100.0, 5e-4)
    assert slope_Hz_per_V == lif_of(kind).slope_Hz_per_V(bias_V, 5e-4)


def test_the_slope_in_steps_is_the_derivative_of_the_rate_in_steps() -> None:
    bias_V, step_V = FIGURE1.bias_in_steps_V(100.0, 5e-4), 1e-4
    rates_Hz = [FIGURE1.rate_in_steps_Hz(bias_V + sign * step_V, 5e-4) for sign in (1, -1)]
    derivative = (rates_Hz[0] - rates_Hz[1]) / (2 * step_V)
    assert FIGURE1.slope_in_steps_Hz_per_V(bias_V, 5e-4) == pytest.approx(derivative, rel=0.01)


def test_a_rate_that_no_current_makes_is_refused() -> None:
    with pytest.raises(RequestError, match="cannot be made to fire at 600 Hz"):
        FIGURE1.bias_in_steps_V(600.0, 5e-4)


# ---- what check says of steps ----------------------------------------------------------------------------------------


COARSE = ("time.dt=5 ms", "modes.mirror.window=5 ms", "projections.x0.delay=5 ms")


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        (["cells.cell.tau_m=0.02 ms"], "tau-below-step", "more than 10 times tau_m = 0.02 ms"),
        (["cells.cell.refractory=0.3 ms"], "refractory-dt", "0.3 ms is 0.5 ms in whole steps of 0.5 ms"),
        (["modes.mirror.signal.tau=1 ms"], "trace-dt", "is 27% above the rate in steps of 0.5 ms"),
        (["modes.mirror.noise.y0.tau=0.1 ms"], "noise-dt", "white in steps of 0.5 ms"),
        (["modes.mirror.noise.y0={law='poisson'}", "code.beta=3000 Hz"], "poisson-dt", "more than once in a step"),
        (["modes.mirror.noise.y0={law='poisson'}"], "lost-spikes", "and d0, which copies them, loses them"),
        ([*COARSE], "lost-spikes", "16% of the spikes of y0 follow another"),
        (["code.beta=0.01 Hz"], "noise-beyond-beta", "makes y0 fire at about 183 Hz"),
    ],
)
def test_steps_that_are_too_long_and_noise_beyond_beta_are_named(changes: list[str], name: str, message: str) -> None:
    found = [problem for problem in nm.load("figure1", changes).problems("brian2") if problem.name == name]
    assert message in found[0].message
    assert found[0].line is not None or found[0].file is not None


@pytest.mark.parametrize("circuit", ["figure1", "figure1_push_pull", "chain4", "digits", "digits_narrow"])
def test_shipped_circuits_have_steps_that_are_short_enough(circuit: str) -> None:
    names = {problem.name for problem in nm.load(circuit).problems("brian2")}
    assert not names & {"refractory-dt", "trace-dt", "noise-dt", "lost-spikes", "noise-beyond-beta", "rate-per-update"}


# ---- rates and memories ----------------------------------------------------------------------------------------------


RATE = "rules.mirror.updater={rate=0.1, decay=0.5}"


def rate_problems(*changes: str, circuit: str = "figure1") -> list[str]:
    """Give what is said of rates that are applied once an update."""
    return [one.message for one in nm.load(circuit, changes).problems() if one.name == "rate-per-update"]


def test_a_rate_by_which_a_b_mirrors_is_warned_of_with_the_memory_that_does_the_same() -> None:
    (message,) = rate_problems(RATE)
    assert "B1 learns 50 times as much in spikes in the same time" in message
    assert 'memory = "2.5 s"' in message, "50 windows of 2.5 ms, of which each update takes a share of 0.05"


@pytest.mark.parametrize("changes", [(), (RATE, "time.batch=1"), (RATE, "code={kind='zero_mean'}")])
def test_no_rate_is_warned_of_where_it_means_the_same(changes: tuple[str, ...]) -> None:
    assert not rate_problems(*changes)


def test_the_memory_that_is_advised_does_as_much_in_spikes_as_in_rates() -> None:
    updates = {}
    for spiking, batch in ((True, 1), (False, 50)):
        circuit = nm.load("figure1", ["rules.mirror.updater={memory='2.5 s', decay=0.5}"])
        step = rule_of(circuit.description, "mirror").updater.step(examples_seen=0, examples=batch, window_s=0.0025)
        updates[spiking] = step.keep ** (50 // batch)
    assert updates[True] == pytest.approx(updates[False], rel=0.01)
    assert updates[False] == pytest.approx(1 - 0.1 * 0.5)
