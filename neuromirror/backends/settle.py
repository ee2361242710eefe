"""The activity of a circuit of rates for given inputs and noise (eqs 1, 3, 6, 13, 20), for arrays of any library.

Arrays are (example, cell); weights are (target, source).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neuromirror.modes import Axons, ModePlan
from neuromirror.plan import Plan

Arrays = Mapping[str, Any]


def settle(
    plan: Plan,
    mode: ModePlan,
    weights: Arrays,
    *,
    inputs: Arrays,
    noise: Arrays,
    targets: Arrays | None,
    zeros: Callable[[str], Any],
    tanh: Callable[[Any], Any],
) -> dict[str, Any]:
    """Return the signal of every population.

    Forward cells, with baseline β and default bias b⁻: y = φ(W(y − β) + b + b⁻), plus the cell's own noise; b is 0
    where biases do not act in the mode. Feedback cells that a cross-projection drives copy it: δ = y; the others follow
    δ = β + φ'(y)·(B(δ − β) + output error). A non-negative code clips forward rates at zero, never the feedback: an
    error below −β is kept, so that exact feedback weights give exact gradients.

    Parameters
    ----------
    plan, mode
        The circuit and its mode.
    weights : mapping of str to array
        Weights and biases.
    inputs : mapping of population to array (example, cell)
        Deviations from β that the stimulus imposes.
    noise : mapping of population to array (example, cell)
        Noise to add.
    targets : mapping of feedback population to array (example, cell), or None
        What the compared signal should be; None leaves the feedback path out.
    zeros : callable
        ``zeros(population)``: an array of zeros, (example, cell).
    tanh : callable
        The array library's.
    """
    signals: dict[str, Any] = {}
    for name in mode.order:
        if plan.description.populations[name].path == "forward":
            signals[name] = _forward(plan, mode, weights, signals, name, inputs, noise, zeros, tanh)
        elif targets is not None:
            signals[name] = plan.beta + _feedback(plan, mode, weights, signals, name, targets, zeros)
    return signals


def arriving(axons: Axons, signals: Arrays) -> Any:
    """Return what a one_to_one projection brings to each target cell."""
    signal = signals[axons.source]
    return signal if axons.permutation is None else signal[:, axons.permutation]


def deviation_arriving(plan: Plan, group: tuple[Axons, ...], signals: Arrays, beta: Arrays | None = None) -> Any:
    """Return the sum of the deviations from baseline that one_to_one projections bring, (example, cell)."""
    total: Any = 0.0
    for axons in group:
        baseline: Any = plan.beta if beta is None else beta[axons.source]
        if beta is not None and axons.permutation is not None:
            baseline = baseline[axons.permutation]
        total = total + (arriving(axons, signals) - baseline)
    return total


def _weighted(plan: Plan, mode: ModePlan, weights: Arrays, signals: Arrays, name: str) -> Any:
    total: Any = 0.0
    for axons in mode.synapses.get(name, ()):
        total = total + (signals[axons.source] - plan.beta) @ weights[axons.name].T
    return total


def _forward(
    plan: Plan,
    mode: ModePlan,
    weights: Arrays,
    signals: Arrays,
    name: str,
    inputs: Arrays,
    noise: Arrays,
    zeros: Callable[[str], Any],
    tanh: Callable[[Any], Any],
) -> Any:
    if name in inputs:
        signal = plan.beta + inputs[name]
    else:
        drive = zeros(name) + plan.default_bias(name) + _weighted(plan, mode, weights, signals, name)
        if name in mode.biased:
            drive = drive + weights[f"{name}.bias"]
        signal = plan.activation(name).phi(drive, tanh)
    if name in noise:
        signal = signal + noise[name]
    return signal * (signal > 0) if plan.non_negative else signal


def _feedback(
    plan: Plan,
    mode: ModePlan,
    weights: Arrays,
    signals: Arrays,
    name: str,
    targets: Arrays,
    zeros: Callable[[str], Any],
) -> Any:
    if name in mode.drives:
        return deviation_arriving(plan, mode.drives[name], signals)
    error = zeros(name) + _weighted(plan, mode, weights, signals, name)
    if name in mode.compare:
        error = error + (signals[mode.compare[name]] - targets[name])
    for axons in mode.gates.get(name, ()):
        error = error * plan.slope(axons.source, arriving(axons, signals))
    return error
