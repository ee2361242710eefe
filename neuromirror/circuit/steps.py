"""Whether a time step is short enough for what a spiking circuit does in it: a step against each time constant.

Linear equations are integrated exactly, so that nothing becomes unstable; what a long step takes away is the meaning of
a time constant, spikes that follow each other closely, and the response to noise about β.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from neuromirror.circuit.axons import in_role
from neuromirror.circuit.cells import cells_of
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Cell, Mode, Population
from neuromirror.circuit.templates import flat
from neuromirror.errors import Problem, RequestError
from neuromirror.units import Quantity

MOST_STEPS_OF_TAU = 10.0
"""Time steps in ``tau_m`` upside down: a membrane whose step is longer than so many time constants has no memory."""
ROUNDED = 0.1
"""The share by which a time may be off when it is rounded to whole steps."""
ABOVE_RATE = 0.1
"""The share by which the mean of a trace may be above the rate: dt/2τ."""
LOST_SPIKES = 0.01
"""The share of spikes that follow another so soon that relay cells do not pass them on."""
OFF_BETA = 2.0
"""The ratio of the mean rate of noisy cells to β from which on they do not work about β."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(31)


def step_problems(c: Context) -> Iterator[Problem]:
    """Yield what time steps are too long for, and noise that takes cells away from β."""
    for path, cell in _kinds(c):
        yield from _cell(c, path, cell)
    scheduled = {step.mode for step in flat(c.circuit.schedule)}
    for name, mode in c.circuit.modes.items():
        if name in scheduled:
            yield from _signals(c, name, mode)
            yield from _noise(c, name, mode)
            yield from _relays(c, name, mode)


def _kinds(c: Context) -> Iterator[tuple[Path, Cell]]:
    """Yield the kinds of cells that populations have, and where each is; of cells that differ, each kind once."""
    for name in sorted({p.cell for p in c.circuit.populations.values() if p.parameters is None}):
        if name in c.circuit.cells:
            yield ("cells", name), c.circuit.cells[name]
    for name, population in c.circuit.populations.items():
        if population.parameters is not None and population.cell in c.circuit.cells:
            for cell in dict.fromkeys(cells_of(population, c.circuit.cells[population.cell])):
                yield ("populations", name, "parameters"), cell


def _cell(c: Context, path: Path, cell: Cell) -> Iterator[Problem]:
    dt, refractory = c.circuit.time.dt, cell.refractory
    if cell.model == "lif" and dt.s > MOST_STEPS_OF_TAU * cell.tau_m.s:
        message = (
            f"a step of {dt} is more than {MOST_STEPS_OF_TAU:g} times tau_m = {cell.tau_m}: nothing of the membrane is "
            "left by the next. Lower time.dt."
        )
        yield c.problem("tau-below-step", (*path, "tau_m"), message)
    rounded_s = round(min(refractory.s / dt.s, 1e15)) * dt.s
    if abs(rounded_s - refractory.s) > ROUNDED * refractory.s:
        message = (
            f"a refractory period of {refractory} is {rounded_s * 1e3:g} ms in whole steps of {dt}. Change it, or "
            "time.dt."
        )
        yield c.problem("refractory-dt", (*path, "refractory"), message, "warning")


def _signals(c: Context, name: str, mode: Mode) -> Iterator[Problem]:
    """Warn of traces that step and rate tell apart."""
    signal, dt = mode.signal or c.circuit.time.signal, c.circuit.time.dt
    if signal.kind == "trace" and signal.tau is not None and dt.s > 2 * ABOVE_RATE * signal.tau.s:
        share = _trace_above(dt, signal.tau)
        message = (
            f"a trace of {signal.tau} is {share:.0%} above the rate in steps of {dt}. Lower time.dt, or take a longer "
            "tau."
        )
        path: Path = ("modes", name, "signal") if mode.signal else ("time", "signal")
        yield c.problem("trace-dt", (*path, "tau"), message, "warning")


def _trace_above(dt: Quantity, tau: Quantity) -> float:
    """Return by which share the mean of a trace is above the rate."""
    ratio = dt.s / tau.s
    return ratio / -math.expm1(-ratio) - 1 if ratio < 700 else ratio - 1


def _noise(c: Context, name: str, mode: Mode) -> Iterator[Problem]:
    code, dt = c.circuit.code, c.circuit.time.dt
    for population, noise in mode.noise.items():
        path: Path = ("modes", name, "noise", population)
        if noise.law == "gaussian" and dt.s > noise.tau.s:
            message = f"noise of tau = {noise.tau} is white in steps of {dt}. Lower time.dt, or say a longer tau."
            yield c.problem("noise-dt", (*path, "tau"), message, "warning")
        if noise.law == "poisson" and code.beta is not None and code.beta.Hz * dt.s > 1:
            message = f"a Poisson process of {code.beta} fires more than once in a step of {dt}. Lower time.dt."
            yield c.problem("poisson-dt", (*path, "law"), message)
        described = c.circuit.populations.get(population)
        if noise.law != "gaussian" or code.beta is None or described is None:
            continue
        # What is linear about β stays there; only noise beyond it can move the mean, and only then is it computed.
        is_beyond = noise.sd * code.unit.Hz > OFF_BETA * code.beta.Hz
        rate_Hz = _noisy_Hz(c, described, noise.sd, noise.tau.s) if is_beyond else None
        if rate_Hz is not None and rate_Hz > OFF_BETA * code.beta.Hz:
            message = (
                f"noise of sd {noise.sd:g} times {code.unit} about beta = {code.beta} makes {population} fire at "
                f"about {rate_Hz:.3g} Hz. Lower sd or code.unit, or raise code.beta."
            )
            yield c.problem("noise-beyond-beta", (*path, "sd"), message, "warning")


def _noisy_Hz(c: Context, population: Population, sd: float, tau_s: float) -> float | None:
    """Return about the mean rate of noisy cells: over the currents that their membranes see; None if unknown."""
    cell, dt_s, beta = c.circuit.cells.get(population.cell), c.circuit.time.dt.s, c.circuit.code.beta
    if cell is None or cell.model != "lif" or population.parameters is not None or beta is None:
        return None
    from neuromirror.circuit.lif import lif_of, working_point  # here: it loads scipy, which few checks need

    try:
        bias_V, slope_Hz_per_V = working_point(cell, beta.Hz, dt_s)
    except (RequestError, ValueError, ArithmeticError):
        return None
    lif = lif_of(cell)
    spread_V = sd * c.circuit.code.unit.Hz / slope_Hz_per_V * math.sqrt(tau_s / (tau_s + lif.tau_m_s))
    rates_Hz = [lif.rate_Hz(bias_V + spread_V * x, dt_s) for x in _NODES]
    return float(_WEIGHTS @ np.array(rates_Hz) / _WEIGHTS.sum())


def _relays(c: Context, name: str, mode: Mode) -> Iterator[Problem]:
    """Warn of relay cells that lose the spikes which follow another in the first step that is not refractory.

    A relay fires one step after its driver, and so is refractory still when the next comes.
    """
    told = set[str]()
    for key, projection in in_role(c.circuit, name, mode, "drive").items():
        source, target = (c.circuit.populations.get(end) for end in (projection.source, projection.target))
        if source is None or target is None or target.shares is not None or source.cell in told:
            continue
        told.add(source.cell)
        share = _lost_share(c, source, mode, projection.source)
        if share > LOST_SPIKES:
            message = (
                f"at rest {share:.0%} of the spikes of {projection.source} follow another within the refractory period "
                f"and a step of {c.circuit.time.dt}, and {projection.target}, which copies them, loses them. Lower "
                "time.dt."
            )
            yield c.problem("lost-spikes", ("projections", key), message, "warning")


def _lost_share(c: Context, population: Population, mode: Mode, name: str) -> float:
    cell, beta, dt_s = c.circuit.cells.get(population.cell), c.circuit.code.beta, c.circuit.time.dt.s
    if cell is None or beta is None:
        return 0.0
    if name in mode.noise and mode.noise[name].law == "poisson":
        steps = round(min(cell.refractory.s / dt_s, 1e6)) + 1
        return -math.expm1(steps * math.log1p(-min(beta.Hz * dt_s, 1 - 1e-9)))
    if cell.model != "lif" or population.parameters is not None or 20 * dt_s < cell.tau_m.s:
        return 0.0
    from neuromirror.circuit.lif import lif_of, working_point  # here: it loads scipy, which few checks need

    try:
        bias_V, _ = working_point(cell, beta.Hz, dt_s)
    except (RequestError, ValueError, ArithmeticError):
        return 0.0
    return lif_of(cell).share_at_once(bias_V, dt_s)
