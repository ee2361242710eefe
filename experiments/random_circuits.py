"""Random circuits for the backends that simulate rates: all of what they can run, in circuits of a few cells.

Whoever asks for a circuit brings what chooses: a random generator here, hypothesis in the tests, which then finds the
simplest circuit that fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from neuromirror.circuit.circuit import Circuit

T = TypeVar("T")
Tables = dict[str, Any]

RATE_BACKENDS = ("reference", "torch", "brian2-rate")
ACTIVATIONS = ("relu", "linear", "tanh", "rectified_tanh")

POST_FACTORS = {
    "post": ("post", "(post - beta_post)", "tanh(post)", "exp(-post**2)", "sqrt(1 + post**2)"),
    "noise_post": ("noise_post", "abs(noise_post)", "sign(noise_post)"),
    "error": ("error", "tanh(error)", "error*tanh(post)"),
    "cross": ("cross", "(cross - beta_post)", "1/(1 + cross**2)"),
}
PRE_FACTORS = ("pre", "(pre - beta_pre)", "beta_pre", "noise_pre", "abs(pre)", "tanh(pre - beta_pre)")
W_FACTORS = ("w", "abs(w)", "tanh(w)", "(k - w)")
CONSTANTS = ("0.5", "-1.5", "k", "beta_post")
SUMS = ("{a}", "{a} + {b}", "{a} - {b}", "-({a} - {b})", "({a})*({b})", "({a} + {b})/{d}")


class Chooser(Protocol):
    """What makes the choices that a random circuit consists of; the first option is the simplest."""

    def one_of(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        ...

    def some_of(self, options: Sequence[T]) -> list[T]:
        """Return any number of the options, without repeats."""
        ...

    def order(self, size: int) -> list[int]:
        """Return a permutation of the numbers below a size."""
        ...


@dataclass(frozen=True)
class RandomChooser:
    """Chooses by a random generator."""

    rng: np.random.Generator

    def one_of(self, options: Sequence[T]) -> T:
        """Return one of the options, each as likely."""
        return options[int(self.rng.integers(len(options)))]

    def some_of(self, options: Sequence[T]) -> list[T]:
        """Return each of the options with a probability of a half."""
        return [option for option in options if self.rng.random() < 0.5]

    def order(self, size: int) -> list[int]:
        """Return a permutation, each as likely."""
        return [int(number) for number in self.rng.permutation(size)]


def either(choose: Chooser) -> bool:
    """Choose between no and yes."""
    return choose.one_of([False, True])


def one_to_one(source: str, target: str, role: str, permutation: list[int] | None = None) -> Tables:
    """Return a cross-projection."""
    axons = {"source": source, "target": target, "connector": "one_to_one", "role": role}
    return axons if permutation is None else {**axons, "permutation": permutation}


def dense(source: str, target: str, weight: Tables, **more: Any) -> Tables:
    """Return a projection with weights."""
    return {"source": source, "target": target, "connector": "all_to_all", "weight": weight, **more}


def random_circuit(choose: Chooser) -> Circuit:
    """Return a circuit of two to four layers of one to five cells, with modes that make sense and others."""
    sizes = [choose.one_of(range(1, 6)) for _ in range(choose.one_of(range(2, 5)))]
    tables: Tables = {
        "name": "random",
        "code": _code(choose),
        "cells": {f"cell{layer}": {"activation": choose.one_of(ACTIVATIONS)} for layer in range(len(sizes))},
        "populations": _populations(choose, sizes),
        "projections": _projections(choose, sizes),
        "rules": {},
        "modes": {},
        "stimulus": {"kind": "teacher", "sd": 0.9, "bias_gain": choose.one_of([0.0, 0.4])},
        "time": {"batch": choose.one_of(range(1, 5)), "window": choose.one_of(["10 ms", "35 ms"])},
    }
    for name in ["one", "two", "three"][: choose.one_of(range(1, 4))]:
        tables["modes"][name] = _mode(choose, tables, len(sizes) - 1, name)
    tables["schedule"] = [
        {"mode": choose.one_of(sorted(tables["modes"])), "examples": choose.one_of(range(1, 10))}
        for _ in range(choose.one_of(range(1, 4)))
    ]
    modes = tables["modes"].values()
    if not any(mode.get("compare") for mode in modes):  # nothing has a target
        del tables["stimulus"]["bias_gain"]
        if not any(mode.get("input") for mode in modes):
            del tables["stimulus"]["sd"]
    return Circuit(tables)


def _code(choose: Chooser) -> Tables:
    """Choose a code; a baseline is one that every activation can have."""
    estimate = {"estimate": {"tau": choose.one_of(["0.1 s", "3 s"])}} if either(choose) else {}
    kind = choose.one_of(["baseline", "zero_mean", "push_pull"])
    if kind == "zero_mean":
        return {"kind": kind, **estimate}
    baseline = {"beta": f"{choose.one_of([5, 12, 22])} Hz"} if kind == "baseline" or either(choose) else {}
    dale = {"dale": either(choose)} if kind == "push_pull" else {}
    return {"kind": kind, "unit": "25 Hz", **baseline, **dale, **estimate}


def _weight(choose: Chooser) -> Tables:
    """Choose how an array begins."""
    if either(choose):
        return {"init": "constant", "value": choose.one_of([-0.5, 0.25])}
    return {"init": "normal", "gain": choose.one_of([0.3, 1.0])}


def _populations(choose: Chooser, sizes: list[int]) -> Tables:
    found = {}
    for layer, size in enumerate(sizes):
        common = {"layer": layer, "shape": [size], "cell": f"cell{layer}"}
        found[f"y{layer}"] = {"path": "forward", **common}
        found[f"d{layer}"] = {"path": "feedback", **common, **({"shares": f"y{layer}"} if either(choose) else {})}
        if either(choose):
            found[f"y{layer}"]["bias"] = _weight(choose)
        if layer > 0 and choose.one_of([False, False, True]):
            # So slow that nothing runs away by it: a cell with a mean input below 0 moves away from the set point.
            found[f"y{layer}"]["norm"] = {"kind": "synaptic_scaling", "rate": "20 Hz", "tau": "10 s"}
    return found


def _projections(choose: Chooser, sizes: list[int]) -> Tables:
    found = {}
    steps = [(layer - 1, layer) for layer in range(1, len(sizes))]
    if len(sizes) > 2 and either(choose):
        steps.append((len(sizes) - 3, len(sizes) - 1))
    for lower, upper in steps:
        name = str(upper) if upper == lower + 1 else f"{lower}to{upper}"
        found[f"W{name}"] = dense(
            f"y{lower}", f"y{upper}", _weight(choose), **_mask(choose, sizes[upper], sizes[lower])
        )
        transport = choose.one_of(["none", "none", "none", "exact", "sign"])
        B = dense(f"d{upper}", f"d{lower}", _weight(choose), mirrors=f"W{name}", transport=transport)
        found[f"B{name}"] = {**B, **_mask(choose, sizes[lower], sizes[upper])}
    for layer, size in enumerate(sizes):
        y, d = f"y{layer}", f"d{layer}"
        for kind, role, source, target in (("x", "drive", y, d), ("g", "gate", y, d), ("e", "error", d, y)):
            for copy in ("", "again")[: choose.one_of([1, 1, 1, 2])]:
                permutation = choose.order(size) if either(choose) else None
                found[f"{kind}{layer}{copy}"] = one_to_one(source, target, role, permutation)
    return found


def _mask(choose: Chooser, targets: int, sources: int) -> Tables:
    """Choose which synapses there are: mostly all, otherwise some, one at least."""
    if not choose.one_of([False, False, True]):
        return {}
    mask = [[choose.one_of([1, 1, 0]) for _ in range(sources)] for _ in range(targets)]
    mask[0][0] = 1
    return {"mask": mask}


def _mode(choose: Chooser, tables: Tables, top: int, name: str) -> Tables:
    """Choose a mode, and add its rules to the tables."""
    kind = choose.one_of(["mirror", "engaged", "any"])
    projections, layers = tables["projections"], range(top + 1)
    inputs, noisy, compared = list[int](), list[int](), list[int]()
    if kind == "mirror":
        lower = choose.one_of(range(top))
        noisy = [lower]
        on = [f"W{lower + 1}", f"x{lower}", f"x{lower + 1}"]
    elif kind == "engaged":
        inputs, compared = [0], [top]
        noisy = [choose.one_of(layers)] if either(choose) else []
        on = [axons for axons in projections if axons[0] in "WBge"]
    else:
        inputs, noisy, compared = choose.some_of(layers), choose.some_of(layers), choose.some_of(layers)
        on = choose.some_of(sorted(projections))
    biased = [population for population, described in tables["populations"].items() if "bias" in described]
    driven = {f"y{layer}" for layer in inputs}
    bias = "blocked" if driven & set(biased) else choose.one_of(["on", "blocked", "everywhere"])
    noise = {f"y{layer}": _noise(choose) for layer in sorted(noisy)}
    mode: Tables = {
        "input": {population: "stimulus" for population in sorted(driven)},
        "noise": noise,
        "compare": {f"d{layer}": f"y{layer} - target" for layer in sorted(compared)},
        "on": [axons for axons in on if axons[0] != "W" or projections[axons]["target"] not in driven],
        "bias": bias,
        "learn": {},
    }
    learners = [axons for axons, p in projections.items() if axons[0] in "WB" and p.get("transport", "none") == "none"]
    scaled = {population: either(choose) for population, p in tables["populations"].items() if "norm" in p}
    acting = [name for name in biased if bias == "everywhere" or (bias == "on" and name not in noise)]
    for learner in [*learners, *(f"{population}.bias" for population in acting)]:
        together = scaled.get(projections[learner]["target"]) if learner in projections else None
        if either(choose) if together is None else together:  # all weights of a scaled cell learn, or none does
            rule = f"{name}{len(mode['learn'])}"
            tables["rules"][rule] = _rule(choose, tables, mode, learner)
            mode["learn"][learner] = rule
    return mode


def _noise(choose: Chooser) -> Tables:
    # No sd equals a baseline: a cell exactly on the edge of silence is a matter of rounding.
    return {"law": choose.one_of(["gaussian", "rademacher"]), "sd": choose.one_of([0.3, 1.1])}


def _rule(choose: Chooser, tables: Tables, mode: Tables, learner: str) -> Tables:
    is_bias = learner.endswith(".bias")
    target = learner.removesuffix(".bias") if is_bias else tables["projections"][learner]["target"]
    visible = _visible(tables, mode, target)
    choices = ["own"]
    if not is_bias:
        choices.append("weight_mirror")
        if "cross" in visible:
            choices += ["kolen_pollack", "-(pre - beta_pre)*(cross - beta_post) - k*w"]
    if "error" in visible:
        choices.append("bias" if is_bias else "forward")
    chosen = choose.one_of(choices)
    drive = _drive(choose, visible, is_bias=is_bias) if chosen == "own" else chosen
    updater = _updater(choose)
    # A weight of which an update leaves nothing but rounding would be scaled up with all its rounding.
    lasting = updater.get("decay_times_rate", False)
    if not is_bias and "norm" not in tables["populations"][target] and lasting and either(choose):
        updater["normalise"] = {"per": choose.one_of(["target", "source", "array"]), "norm": choose.one_of([0.5, 1.2])}
    constants = {"k": 0.4} if re.search(r"\bk\b", drive) else {}
    return {"drive": drive, "constants": constants, "updater": updater}


def _visible(tables: Tables, mode: Tables, target: str) -> frozenset[str]:
    """Return which postsynaptic variables rules of a target can name in a mode."""
    roles = [
        tables["projections"][name]["role"]
        for name in mode["on"]
        if "role" in tables["projections"][name] and tables["projections"][name]["target"] == target
    ]
    bringing = roles.count("drive") or roles.count("gate")
    return frozenset({"post", "noise_post"} | ({"error"} & set(roles)) | ({"cross"} if bringing == 1 else set()))


def _drive(choose: Chooser, visible: frozenset[str], *, is_bias: bool) -> str:
    """Choose an expression that torch can separate, over what a synapse (or a bias) sees."""
    post = [factor for name, factors in POST_FACTORS.items() if name in visible for factor in factors]
    sides = [CONSTANTS, post, W_FACTORS] + ([] if is_bias else [PRE_FACTORS])

    def product() -> str:
        return "*".join([choose.one_of(side) for side in sides if either(choose)]) or "k"

    divisor = "(2 + tanh(post))" if is_bias else "(1 + pre**2)"
    expression = choose.one_of(SUMS).format(a=product(), b=product(), d=divisor)
    return choose.one_of(["{e}", "{e}", "({e})**2"]).format(e=expression)


def _updater(choose: Chooser) -> Tables:
    """Choose an updater that cannot diverge by itself."""
    decay = choose.one_of([0.0, 0.5, 1.3])
    memory, start = choose.one_of([(None, None), (9, 2), ("400 ms", "50 ms")])
    if memory is None:
        return {"rate": choose.one_of([0.01, 0.1]), "decay": decay, "decay_times_rate": either(choose)}
    return {"memory": memory, "decay": decay + 1.0, **({"memory_from": start} if either(choose) else {})}
