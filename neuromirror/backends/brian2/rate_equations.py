"""The equations of a circuit of rates, as Brian2 code: each time step is one example.

A population is a NeuronGroup. Whatever reaches it is a summed variable of the Synapses of one projection, and its
signal follows from these, populations in the order in which the mode drives them. Signals are rates in units of
``code.unit``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromirror.modes import Axons, ModePlan
from neuromirror.plan import Plan

CELLS = """
signal : 1
given : 1
noise : 1
beta : 1
b : 1
"""
"""Variables of every cell.

``given`` is what the stimulus gives it: a deviation from the nominal baseline, or the target of a comparison. ``beta``
is the baseline that rules subtract, and ``b`` the bias.
"""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What one projection brings to each cell of its target, as a summed variable of its Synapses.

    Attributes
    ----------
    variable : str
        Of the target.
    source : str
        Population.
    code : str
        What each synapse brings, over its own ``w`` and the variables of its source, as ``signal_pre``; ``y`` is short
        for the signal.
    weights : str or None
        The array whose weights the synapses have; None where each target cell has one source cell.
    permutation : int array (target,) or None
        Of one_to_one: the source cell of each target cell; None where it is the cell of the same number.
    """

    variable: str
    source: str
    code: str
    weights: str | None = None
    permutation: NDArray[np.intp] | None = None


@dataclass(frozen=True, kw_only=True)
class Equations:
    """How a population comes by one or more of its variables.

    Attributes
    ----------
    arrivals : tuple of Arrival
        What it needs.
    model : str
        Equations that follow from them.
    code : str
        Statements that follow from them, once an example.
    """

    arrivals: tuple[Arrival, ...] = ()
    model: str = ""
    code: str = ""


def settling(plan: Plan, mode: ModePlan, name: str) -> Equations:
    """Return how the cells of a population come by their signal; see `neuromirror.backends.settle.settle`.

    ``baseline`` is the nominal β, and ``default_bias`` b⁻.
    """
    if plan.description.populations[name].path == "forward":
        return _forward(plan, mode, name)
    return _driven(mode, name) if name in mode.drives else _feedback(plan, mode, name)


def _forward(plan: Plan, mode: ModePlan, name: str) -> Equations:
    if name in mode.inputs:
        weighted, lines = (), ["signal = baseline + given"]
    else:
        weighted = _weighted(mode, name)
        terms = ["default_bias", *_variables(weighted)]
        if name in mode.biased:
            terms.append("b")
        lines = [f"u = {' + '.join(terms)}", f"signal = {plan.activation(name).phi_of_u}"]
    if name in mode.noise:
        lines.append("signal = signal + noise")
    if plan.non_negative:
        lines.append("signal = clip(signal, 0, inf)")
    return Equations(arrivals=weighted, code="\n".join(lines))


def _driven(mode: ModePlan, name: str) -> Equations:
    copied = _brought(mode.drives[name], "drive", "y - baseline")
    return Equations(arrivals=copied, code=f"signal = {' + '.join(['baseline', *_variables(copied)])}")


def _feedback(plan: Plan, mode: ModePlan, name: str) -> Equations:
    weighted = _weighted(mode, name)
    gates = [
        arrival
        for number, axons in enumerate(mode.gates.get(name, ()))
        for arrival in _brought((axons,), f"gate_{number}", plan.slope_of_y(axons.source))
    ]
    compared = (Arrival(variable="compared", source=mode.compare[name], code="y"),) if name in mode.compare else ()
    terms = [*_variables(weighted), *(["(compared - given)"] if compared else [])]
    passed = ["*".join([f"({' + '.join(terms)})", *_variables(gates)])] if terms else []
    return Equations(arrivals=(*weighted, *gates, *compared), code=f"signal = {' + '.join(['baseline', *passed])}")


def seeing(mode: ModePlan, name: str) -> Equations:
    """Return how rules that learn at the cells of a population come by ``error`` and ``cross``, signals being known."""
    named = {variable for one in mode.learners if one.target == name for variable in one.rule.drive.names}
    errors = mode.errors.get(name, ()) if "error" in named else ()
    crossing = (mode.cross[name],) if "cross" in named and name in mode.cross else ()
    brought = {
        "error": _brought(errors, "error_from", "y - beta_pre"),
        "cross": _brought(crossing, "cross_from", "y"),
    }
    sums = {variable: " + ".join(_variables(arrivals)) or "0" for variable, arrivals in brought.items()}
    return Equations(
        arrivals=(*brought["error"], *brought["cross"]),
        model="".join(f"{variable} = {total} : 1\n" for variable, total in sums.items()),
    )


def learner(variable: str) -> str:
    """Return what a variable that learns needs besides itself.

    That is the sum of its drive over the examples of a batch, their number, and the coefficients of the update. Brian2
    wants other names in synapses than in cells, so they bear that of the variable.
    """
    return f"total_{variable} : 1\n" + "".join(
        f"{name}_{variable} : 1 (shared)\n" for name in ("examples", "keep", "step")
    )


def add_up(variable: str, drive: str) -> str:
    """Return what is done with each example."""
    return f"total_{variable} = total_{variable} + ({drive})"


def update(v: str, *, dale: bool = False) -> str:
    """Return what is done at the end of a batch; see `neuromirror.rules.updater.Step`.

    With ``dale`` the variable does not fall below zero.
    """
    updated = f"keep_{v}*{v} + step_{v}*(total_{v}/examples_{v})"
    return f"{v} = {f'clip({updated}, 0, inf)' if dale else updated}\ntotal_{v} = 0"


def _weighted(mode: ModePlan, name: str) -> tuple[Arrival, ...]:
    return tuple(
        Arrival(variable=f"weighted_{number}", source=axons.source, code="w*(y - baseline)", weights=axons.name)
        for number, axons in enumerate(mode.synapses.get(name, ()))
    )


def _brought(group: tuple[Axons, ...], variable: str, code: str) -> tuple[Arrival, ...]:
    return tuple(
        Arrival(variable=f"{variable}_{number}", source=axons.source, code=code, permutation=axons.permutation)
        for number, axons in enumerate(group)
    )


def _variables(arrivals: tuple[Arrival, ...] | list[Arrival]) -> list[str]:
    return [arrival.variable for arrival in arrivals]
