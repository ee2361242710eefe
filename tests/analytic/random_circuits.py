"""Random circuits for the backends that simulate rates, and runs of them that are kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuromirror.backends.base import Options, Snapshot, load_backend
from neuromirror.circuit.circuit import Circuit
from neuromirror.plan import make_plan

Tables = dict[str, Any]

RATE_BACKENDS = ("reference", "torch")
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


@dataclass
class Kept:
    """A recorder that keeps everything in memory."""

    snapshots: list[Snapshot] = field(default_factory=list)
    phase_ends: list[Snapshot] = field(default_factory=list)

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        self.snapshots.append(snapshot)
        if keep_arrays:
            self.phase_ends.append(snapshot)

    def spikes(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        raise AssertionError("rates do not spike")

    def progress(self, done_s: float) -> None:
        pass


def simulate(circuit: Circuit, backend: str, seed: int = 0, *, dtype: str = "float64", points: int = 1) -> Kept:
    """Run a circuit's schedule and return its snapshots; the first of each list is the initial state."""
    kept = Kept()
    with one_thread():
        load_backend(backend).run([make_plan(circuit, seed, backend)], [kept], Options(dtype=dtype, points=points))
    return kept


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: arrays this small gain nothing from more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def one_to_one(source: str, target: str, role: str, permutation: list[int] | None = None) -> Tables:
    """Return a cross-projection."""
    axons = {"source": source, "target": target, "connector": "one_to_one", "role": role}
    return axons if permutation is None else {**axons, "permutation": permutation}


def dense(source: str, target: str, weight: Tables, **more: str) -> Tables:
    """Return a projection with weights."""
    return {"source": source, "target": target, "connector": "all_to_all", "weight": weight, **more}


@st.composite
def codes(draw: st.DrawFn) -> Tables:
    """Draw a code; a baseline is one that every activation can have."""
    estimate = {"estimate": {"tau": draw(st.sampled_from(["0.1 s", "3 s"]))}} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        return {"kind": "zero_mean", **estimate}
    return {"kind": "baseline", "beta": f"{draw(st.sampled_from([5, 12, 22]))} Hz", "unit": "25 Hz", **estimate}


def weights() -> st.SearchStrategy[Tables]:
    """Draw how an array begins."""
    return st.one_of(
        st.builds(lambda gain: {"init": "normal", "gain": gain}, st.sampled_from([0.3, 1.0])),
        st.builds(lambda value: {"init": "constant", "value": value}, st.sampled_from([-0.5, 0.25])),
    )


@st.composite
def drives(draw: st.DrawFn, visible: frozenset[str], *, is_bias: bool) -> str:
    """Draw an expression that torch can separate, over what a synapse (or a bias) sees."""
    post = [factor for name, factors in POST_FACTORS.items() if name in visible for factor in factors]
    sides = [CONSTANTS, post, W_FACTORS] + ([] if is_bias else [PRE_FACTORS])

    def product() -> str:
        chosen = [draw(st.sampled_from(side)) for side in sides if draw(st.booleans())]
        return "*".join(chosen) or "k"

    divisor = "(2 + tanh(post))" if is_bias else "(1 + pre**2)"
    shape = draw(st.sampled_from(["{a}", "{a} + {b}", "{a} - {b}", "-({a} - {b})", "({a})*({b})", "({a} + {b})/{d}"]))
    squared = draw(st.sampled_from(["{e}", "{e}", "({e})**2"]))
    return squared.format(e=shape.format(a=product(), b=product(), d=divisor))


@st.composite
def updaters(draw: st.DrawFn) -> Tables:
    """Draw an updater that cannot diverge by itself."""
    decay = draw(st.sampled_from([0.0, 0.5, 1.3]))
    memory, start = draw(st.sampled_from([(None, None), (9, 2), ("400 ms", "50 ms")]))
    if memory is None:
        return {"rate": draw(st.sampled_from([0.01, 0.1])), "decay": decay, "decay_times_rate": draw(st.booleans())}
    return {"memory": memory, "decay": decay + 1.0, **({"memory_from": start} if draw(st.booleans()) else {})}


def visible_to(tables: Tables, mode: Tables, target: str) -> frozenset[str]:
    """Return which postsynaptic variables rules of a target can name in a mode."""
    roles = [
        tables["projections"][name]["role"]
        for name in mode["on"]
        if "role" in tables["projections"][name] and tables["projections"][name]["target"] == target
    ]
    bringing = roles.count("drive") or roles.count("gate")
    return frozenset({"post", "noise_post"} | ({"error"} & set(roles)) | ({"cross"} if bringing == 1 else set()))


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    """Draw a circuit of two to four layers of one to five cells, with modes that make sense and others."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    kinds = draw(st.lists(st.sampled_from(ACTIVATIONS), min_size=len(sizes), max_size=len(sizes)))
    tables: Tables = {
        "name": "random",
        "code": draw(codes()),
        "cells": {f"cell{layer}": {"activation": kind} for layer, kind in enumerate(kinds)},
        "populations": draw(_populations(sizes)),
        "projections": draw(_projections(sizes)),
        "rules": {},
        "modes": {},
        "stimulus": {"kind": "teacher", "sd": 0.9, "bias_gain": draw(st.sampled_from([0.0, 0.4]))},
        "time": {"batch": draw(st.integers(1, 4)), "window": draw(st.sampled_from(["10 ms", "35 ms"]))},
    }
    for name in ["one", "two", "three"][: draw(st.integers(1, 3))]:
        tables["modes"][name] = draw(_modes(tables, len(sizes) - 1, name))
    steps = st.builds(
        lambda mode, examples: {"mode": mode, "examples": examples},
        st.sampled_from(sorted(tables["modes"])),
        st.integers(1, 9),
    )
    tables["schedule"] = draw(st.lists(steps, min_size=1, max_size=3))
    return Circuit(tables)


@st.composite
def _populations(draw: st.DrawFn, sizes: list[int]) -> Tables:
    found = {}
    for layer, size in enumerate(sizes):
        common = {"layer": layer, "shape": [size], "cell": f"cell{layer}"}
        found[f"y{layer}"] = {"path": "forward", **common}
        found[f"d{layer}"] = {"path": "feedback", **common}
        if draw(st.booleans()):
            found[f"y{layer}"]["bias"] = draw(weights())
    return found


@st.composite
def _projections(draw: st.DrawFn, sizes: list[int]) -> Tables:
    found = {}
    steps = [(layer - 1, layer) for layer in range(1, len(sizes))]
    if len(sizes) > 2 and draw(st.booleans()):
        steps.append((len(sizes) - 3, len(sizes) - 1))
    for lower, upper in steps:
        name = str(upper) if upper == lower + 1 else f"{lower}to{upper}"
        found[f"W{name}"] = dense(f"y{lower}", f"y{upper}", draw(weights()))
        transport = draw(st.sampled_from(["none", "none", "exact"]))
        B = dense(f"d{upper}", f"d{lower}", draw(weights()), mirrors=f"W{name}", transport=transport)
        found[f"B{name}"] = B
    for layer, size in enumerate(sizes):
        y, d = f"y{layer}", f"d{layer}"
        permutations = st.one_of(st.none(), st.permutations(range(size)))
        for kind, role, source, target in (("x", "drive", y, d), ("g", "gate", y, d), ("e", "error", d, y)):
            for copy in ("", "again")[: draw(st.sampled_from([1, 1, 1, 2]))]:
                found[f"{kind}{layer}{copy}"] = one_to_one(source, target, role, draw(permutations))
    return found


@st.composite
def _modes(draw: st.DrawFn, tables: Tables, top: int, name: str) -> Tables:
    """Draw a mode, and add its rules to the tables."""
    kind = draw(st.sampled_from(["mirror", "engaged", "any"]))
    projections = tables["projections"]
    layers = st.integers(0, top)
    if kind == "mirror":
        lower = draw(st.integers(0, top - 1))
        inputs, noisy, compared = set(), {lower}, set()
        on = [f"W{lower + 1}", f"x{lower}", f"x{lower + 1}"]
    elif kind == "engaged":
        inputs, noisy, compared = {0}, draw(st.sets(layers, max_size=1)), {top}
        on = [axons for axons in projections if axons[0] in "WBge"]
    else:
        inputs, noisy, compared = draw(st.sets(layers)), draw(st.sets(layers)), draw(st.sets(layers))
        on = draw(st.lists(st.sampled_from(sorted(projections)), unique=True))
    biased = [population for population, described in tables["populations"].items() if "bias" in described]
    driven = {f"y{layer}" for layer in inputs}
    mode: Tables = {
        "input": {population: "stimulus" for population in sorted(driven)},
        "noise": {f"y{layer}": draw(_noise()) for layer in sorted(noisy)},
        "compare": {f"d{layer}": f"y{layer} - target" for layer in sorted(compared)},
        "on": [axons for axons in on if axons[0] != "W" or projections[axons]["target"] not in driven],
        "bias": "blocked" if driven & set(biased) else draw(st.sampled_from(["on", "blocked"])),
        "learn": {},
    }
    learners = [axons for axons, p in projections.items() if axons[0] in "WB" and p.get("transport") != "exact"]
    for learner in [*learners, *(f"{population}.bias" for population in biased)]:
        if draw(st.booleans()):
            rule = f"{name}{len(mode['learn'])}"
            tables["rules"][rule] = draw(_rules(tables, mode, learner))
            mode["learn"][learner] = rule
    return mode


def _noise() -> st.SearchStrategy[Tables]:
    # No sd equals a baseline: a cell exactly on the edge of silence is a matter of rounding.
    return st.fixed_dictionaries(
        {"law": st.sampled_from(["gaussian", "rademacher"]), "sd": st.sampled_from([0.3, 1.1])}
    )


@st.composite
def _rules(draw: st.DrawFn, tables: Tables, mode: Tables, learner: str) -> Tables:
    is_bias = learner.endswith(".bias")
    target = learner.removesuffix(".bias") if is_bias else tables["projections"][learner]["target"]
    visible = visible_to(tables, mode, target)
    choices = [drives(visible, is_bias=is_bias)]
    if not is_bias:
        choices.append(st.just("weight_mirror"))
        if "cross" in visible:
            choices.append(st.just("-(pre - beta_pre)*(cross - beta_post) - k*w"))
    if "error" in visible:
        choices.append(st.just("bias" if is_bias else "forward"))
    return {"drive": draw(st.one_of(choices)), "constants": {"k": 0.4}, "updater": draw(updaters())}
