"""What spiking cells ask of a circuit besides its features: times in whole steps, and rates that they can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from neuromirror.circuit.cells import cells_of
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Cell, Description
from neuromirror.circuit.shared_cells import shared_cells
from neuromirror.circuit.steps import step_problems
from neuromirror.circuit.templates import flat
from neuromirror.errors import Problem, RequestError
from neuromirror.units import Quantity

Locate = Callable[[Path], tuple[str | None, int | None]]

MOST_STEPS = 10**9
"""Time steps of the longest window."""
MOST_DELAY_STEPS = 100_000
"""Time steps of the longest delay, each of which takes a place in the queue of every axon."""
HIGHEST_SHARE = 0.75
"""The largest β as a share of the rate at which a cell fires in every step that its refractory period leaves.

Above it little room is left for a signal above the baseline.
"""
_USUAL = (1e-2, 1e2)
"""β·τ_m between which a current always makes a cell fire at β; outside, the cell's rate has to be computed."""


def spiking_problems(description: Description, locate: Locate) -> list[Problem]:
    """Return what stands between an expanded circuit and its simulation with spiking cells, and what is doubtful."""
    c = Context(description, locate, set())
    sections = (_windows, _delays, _unsettled, _activations, _rates, _signs, step_problems, shared_cells)
    return [problem for section in sections for problem in section(c)]


def _whole(time: Quantity, dt: Quantity, most: float) -> bool:
    """Return whether a time is a whole number of steps; the tolerance is that of decimal fractions in binary."""
    steps = time.s / dt.s
    return steps <= most and abs(steps - round(steps)) <= 1e-6


def _windows(c: Context) -> Iterator[Problem]:
    """Yield the scheduled modes whose windows are not whole numbers of time steps."""
    scheduled, dt = {step.mode for step in flat(c.circuit.schedule)}, c.circuit.time.dt
    for name, mode in c.circuit.modes.items():
        window = mode.window or c.circuit.time.window
        if name in scheduled and not (window.s > 0.5 * dt.s and _whole(window, dt, MOST_STEPS)):
            path = ("modes", name, "window") if mode.window else ("time", "window")
            message = f"a window of {window} is not a whole number of time steps of {dt}. Change the window or time.dt."
            yield c.problem("window-dt", path, message)


def _delays(c: Context) -> Iterator[Problem]:
    """Yield the delays that are not whole numbers of time steps, or longer than axons can hold."""
    dt = c.circuit.time.dt
    for name, projection in c.circuit.projections.items():
        path, delay = ("projections", name, "delay"), projection.delay
        if not delay.s <= MOST_DELAY_STEPS * dt.s:
            longest = f"{MOST_DELAY_STEPS * dt.s:g} s"
            message = f"a delay of {delay} is more than {MOST_DELAY_STEPS} time steps of {dt}: at most {longest}."
            yield c.problem("delay-dt", path, f"{message} Lower it.")
        elif not _whole(delay, dt, MOST_DELAY_STEPS):
            message = f"a delay of {delay} is not a whole number of time steps of {dt}. Change the delay or time.dt."
            yield c.problem("delay-dt", path, message)


def _unsettled(c: Context) -> Iterator[Problem]:
    """Warn of modes that learn in no step, because each ends before they have settled."""
    settle, longest = c.circuit.time.settle, dict[str, float]()
    for step in flat(c.circuit.schedule):
        if step.mode in c.circuit.modes:
            window = c.circuit.modes[step.mode].window or c.circuit.time.window
            # A step without a length of its own has a problem that is reported already.
            length_s = step.duration.s if step.duration else (step.examples or math.inf) * window.s
            longest[step.mode] = max(length_s, longest.get(step.mode, 0.0))
    for name, length_s in longest.items():
        if c.circuit.modes[name].learn and length_s <= settle.s:
            message = f"mode '{name}' learns nothing: it never lasts longer than the {settle} in which it settles."
            yield c.problem("settle-only", ("time", "settle"), message, "warning")


def _activations(c: Context) -> Iterator[Problem]:
    """Warn of cells whose activation the spiking neurons are not like."""
    for name, cell in c.circuit.cells.items():
        if cell.model == "lif" and cell.activation in ("linear", "tanh", "expr"):
            message = (
                f"'{cell.activation}' is for rates: spiking cells are leaky integrate-and-fire, whose rates have a "
                "threshold and no negative values."
            )
            yield c.problem("unused-activation", ("cells", name, "activation"), message, "warning")


def _rates(c: Context) -> Iterator[Problem]:
    """Yield the cells that cannot be made to fire at β, or whose rate there does not depend on their input."""
    code = c.circuit.code
    if code.kind == "push_pull" and code.beta is None:
        message = 'spiking cells in push-pull need the rate at which they fire at rest. Add beta = "50 Hz".'
        yield c.problem("no-beta", ("code",), message)
    if not code.non_negative or code.beta is None:
        return
    kinds = {p.cell for p in c.circuit.populations.values() if p.parameters is None and p.cell in c.circuit.cells}
    for name in sorted(kinds):
        if (fault := _cell_fault(c.circuit, c.circuit.cells[name])) is not None:
            yield c.problem(fault[1], ("cells", name, fault[0]), fault[2])
    for name, population in c.circuit.populations.items():
        if population.parameters is not None and population.cell in c.circuit.cells:
            cells = dict.fromkeys(cells_of(population, c.circuit.cells[population.cell]))
            fault = next((fault for cell in cells if (fault := _cell_fault(c.circuit, cell)) is not None), None)
            if fault is not None:
                yield c.problem(fault[1], ("populations", name, "parameters"), fault[2])


def _signs(c: Context) -> Iterator[Problem]:
    """Yield every B that would have to take the signs of a weight that two pairs of cells make up."""
    for name, projection in c.circuit.projections.items():
        if projection.transport == "sign" and c.circuit.code.kind == "push_pull":
            message = (
                "in push-pull the sign of a weight is that of a sum over four synapses, which spiking backends do not "
                'follow. Use transport = "exact", another code, or --backend torch.'
            )
            yield c.problem("signs-of-pairs", ("projections", name, "transport"), message)


def _cell_fault(circuit: Description, cell: Cell) -> tuple[str, str, str] | None:
    """Return what keeps a leaky cell from its working point: a field, the check's name and a message."""
    beta, dt = circuit.code.beta, circuit.time.dt
    if beta is None or cell.model != "lif" or cell.refractory.s * beta.Hz >= 1:
        return None  # the last is reported for every backend
    if not cell.v_threshold.si > max(cell.v_rest.si, cell.v_reset.si):
        return None  # so is this
    most_Hz = 1 / ((round(min(cell.refractory.s / dt.s, 1e15)) + 1) * dt.s)
    if isinstance(cell.default_bias, str) and beta.Hz > HIGHEST_SHARE * most_Hz:
        message = (
            f"cells refractory for {cell.refractory} fire at most at {most_Hz:g} Hz in steps of {dt}, and code.beta = "
            f"{beta} is more than {HIGHEST_SHARE:g} of that. Lower code.beta, the refractory period or time.dt."
        )
        return "refractory", "beta-above-steps", message
    usual = _USUAL[0] < beta.Hz * cell.tau_m.s < _USUAL[1] and cell.noise.si < cell.v_threshold.si - cell.v_reset.si
    if isinstance(cell.default_bias, str) and usual:
        return None
    from neuromirror.circuit.lif import working_point  # here: it loads scipy, which few checks need

    try:
        working_point(cell, beta.Hz, dt.s)
    except RequestError as error:
        return "default_bias", "no-working-point", str(error)
    return None
