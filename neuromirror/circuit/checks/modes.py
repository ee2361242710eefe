"""Checks of the modes: what transmits, what learns, and what is noisy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import networkx as nx

from neuromirror.circuit.axons import in_role, role_in
from neuromirror.circuit.biases import biased_in
from neuromirror.circuit.checks.context import Context, Path, paths_of
from neuromirror.circuit.description import Mode, Projection
from neuromirror.circuit.protocol import Signal
from neuromirror.circuit.rules import drive_of
from neuromirror.errors import Problem, suggestion
from neuromirror.rules.expression import PRESYNAPTIC, SYNAPTIC, ExpressionError

COMPARE = re.compile(r"\s*(\w+)\s*-\s*target\s*")


def check_modes(c: Context) -> Iterator[Problem]:
    for name, mode in c.circuit.modes.items():
        path: Path = ("modes", name)
        yield from c.named(path)
        for index, projection in enumerate(mode.on):
            yield from c.missing("projections", projection, c.on(name, index, projection), "projection")
        for part in ("input", "noise", "compare"):
            for population in getattr(mode, part):
                yield from c.missing("populations", population, (*path, part, population), "population")
        for population in (*mode.input, *mode.noise):
            found = c.circuit.populations.get(population)
            if found is not None and found.path != "forward":
                yield c.problem(
                    "wrong-path", path, f"{population} is a feedback population: input and noise go to forward cells."
                )
        yield from _inputs(c, path, mode)
        yield from _compare(c, path, mode)
        yield from _learn(c, path, mode)
        yield from _noise(c, path, mode)
        yield from _cycles(c, path, mode)
        if mode.signal is not None:
            yield from _signal(c, (*path, "signal"), mode.signal)
    yield from _signal(c, ("time", "signal"), c.circuit.time.signal)


def _signal(c: Context, path: Path, signal: Signal) -> Iterator[Problem]:
    if signal.kind == "trace" and signal.tau is None and not c.lost((*path, "tau")):
        yield c.problem("no-tau", path, 'a trace needs its time constant. Add tau = "10 ms".')
    if signal.kind == "count" and signal.tau is not None:
        message = 'only a trace has a time constant. Take it out, or say kind = "trace".'
        yield c.problem("unused-tau", (*path, "tau"), message)


def _inputs(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    """Refuse what would act on a cell besides the stimulus, which sets its signal."""
    for population in mode.input:
        place = (*path, "input", population)
        for name, projection in c.circuit.projections.items():
            if projection.role == "synapse" and projection.target == population and name in mode.on:
                message = f"the stimulus sets the signal of {population}, and {name} drives it too. Leave {name} off."
                yield c.problem("driven-input", place, message)
        if population in biased_in(c.circuit, mode):
            message = f"the stimulus sets the signal of {population}, and its bias acts too. Take the bias out."
            yield c.problem("driven-input", place, message)


def _compare(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    for population, text in mode.compare.items():
        place = (*path, "compare", population)
        match = COMPARE.fullmatch(text)
        if match is None:
            yield c.problem("bad-compare", place, f"'{text}': expected \"POPULATION - target\".")
            continue
        yield from c.missing("populations", match[1], place, "population")
        ends = [c.circuit.populations.get(match[1]), c.circuit.populations.get(population)]
        if None not in ends and paths_of(ends) != ["forward", "feedback"]:
            message = 'the output error is formed in feedback cells, from forward cells: d1 = "y1 - target".'
            yield c.problem("wrong-path", place, message)
        if {c.size(population), c.size(match[1])} != {c.size(population)} and None not in (
            c.size(population),
            c.size(match[1]),
        ):
            yield c.problem(
                "wrong-shape", place, f"{match[1]} has {c.size(match[1])} cells and {population} {c.size(population)}."
            )


def _learn(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    weights = [name for name, projection in c.circuit.projections.items() if projection.weight is not None]
    known = [*weights, *(f"{p}.bias" for p, q in c.circuit.populations.items() if q.bias is not None)]
    known += [f"{p}.norm" for p, q in c.circuit.populations.items() if q.norm and q.norm.kind == "batch_norm"]
    for learner, rule in mode.learn.items():
        place = (*path, "learn", learner)
        yield from c.missing("rules", rule, place, "rule")
        if ("projections", learner) in c.dropped or ("populations", learner.rpartition(".")[0]) in c.dropped:
            continue
        projection = c.circuit.projections.get(learner)
        if projection is not None and projection.role != "synapse":  # or one whose weights were left out
            yield c.problem("unknown-learner", place, f"{learner} copies and has no weights that could learn.")
            continue
        if learner not in known:
            yield c.problem(
                "unknown-learner", place, f"there is nothing to learn in '{learner}'. {suggestion(learner, known)}"
            )
            continue
        if projection is not None and projection.transport != "none":
            yield c.problem(
                "learning-transport", place, f"{learner} is transported from {projection.mirrors} and cannot learn."
            )
        target = projection.target if projection is not None else learner.removesuffix(".bias")
        yield from _acts(c, place, mode, learner)
        if rule in c.circuit.rules and not learner.endswith(".norm"):
            yield from _visible(c, place, mode, rule, target, is_bias=projection is None)


def _acts(c: Context, place: Path, mode: Mode, learner: str) -> Iterator[Problem]:
    """Report a bias that is to learn in a mode in which it does not act."""
    population, _, part = learner.rpartition(".")
    if part != "bias" or population in biased_in(c.circuit, mode):
        return
    why, remedy = ("biases are blocked", "on") if mode.bias == "blocked" else (f"{population} is noisy", "everywhere")
    message = f'{learner} does not act in this mode, as {why}: it cannot learn. Take it out, or say bias = "{remedy}".'
    yield c.problem("idle-bias", place, message)


def _visible(c: Context, place: Path, mode: Mode, rule: str, target: str, *, is_bias: bool) -> Iterator[Problem]:
    """Report a drive that names what its synapse cannot see in this mode."""
    described = c.circuit.rules[rule]
    try:
        names = drive_of(described.drive, described.constants).names
    except ExpressionError:
        return
    if is_bias and (seen := names & ({*PRESYNAPTIC, *SYNAPTIC} - {"w"})):
        yield c.problem(
            "bias-rule", place, f"a bias has no presynaptic cell, but rule '{rule}' names {', '.join(sorted(seen))}."
        )
    arriving: dict[str, list[str]] = {}
    for name, projection in c.circuit.projections.items():
        if projection.target == target and name in mode.on:
            arriving.setdefault(role_in(projection, str(place[1])), []).append(name)
    if "error" in names and "error" not in arriving:
        yield c.problem(
            "no-error", place, f"rule '{rule}' needs the error, but no error projection to {target} is on in this mode."
        )
    bringing = arriving.get("drive", arriving.get("gate", []))
    if "cross" in names and not bringing:
        yield c.problem(
            "no-cross", place, f"rule '{rule}' names cross, but no forward signal reaches {target} in this mode."
        )
    if "cross" in names and len(bringing) > 1:
        message = f"rule '{rule}' names cross, and {', '.join(sorted(bringing))} bring {target} more than one signal."
        yield c.problem("many-cross", place, message)


def _noise(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    """Warn where the noise of the mode spoils what it is for (8.5)."""
    for name, projection in c.circuit.projections.items():
        if projection.role == "synapse" and projection.target in mode.noise and name in mode.on:
            yield c.problem(
                "noisy-layer-driven",
                (*path, "on"),
                f"{projection.target} is noisy while its input {name} is on: its cells are then correlated, which B "
                f"copies. Leave {name} out of on.",
                "warning",
            )
    shifted = [name for name in mode.noise if name in biased_in(c.circuit, mode)]
    for name in mode.learn:
        projection = c.circuit.projections.get(name)
        forward = c.circuit.projections.get(projection.mirrors or "") if projection is not None else None
        if forward is not None and forward.source in shifted:
            yield c.problem(
                "shifted-noise",
                (*path, "bias"),
                f"{name} learns from the noise of {forward.source}, which its own bias shifts from its baseline: B "
                'copies that too. Say bias = "on", which leaves the bias of noisy layers out.',
                "warning",
            )
        if forward is not None and forward.source in mode.noise and forward.target in mode.noise:
            yield c.problem(
                "noisy-neighbours",
                (*path, "learn", name),
                f"{name} learns while both {forward.source} and {forward.target} are noisy; the noise of "
                f"{forward.target} only blurs what it learns. Let layers take turns (8.5).",
                "warning",
            )


def check_mirroring(c: Context) -> Iterator[Problem]:
    """Warn of modes that cannot mirror, in a circuit without other problems."""
    for name, mode in c.circuit.modes.items():
        yield from _mirrors(c, ("modes", name), mode)


def check_reach(c: Context) -> Iterator[Problem]:
    """Warn of populations that no mode makes any use of, in a circuit without other problems."""
    reached = {p for mode in c.circuit.modes.values() for p in (*mode.input, *mode.noise, *mode.compare)}
    for name in {name for mode in c.circuit.modes.values() for name in (*mode.on, *mode.learn)}:
        if (projection := c.circuit.projections.get(name)) is not None:
            reached |= {projection.source, projection.target}
    for name in c.circuit.populations:
        if c.circuit.modes and name not in reached:
            message = (
                "no mode has input, noise or a projection that is on for it. Take it out, or turn on what leads to it."
            )
            yield c.problem("unreachable", ("populations", name), message, "warning")


def _mirrors(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    """Warn where a B learns by what both its cells fire, and something that makes them a mirror of W is missing."""
    for name, rule in mode.learn.items():
        projection, described = c.circuit.projections.get(name), c.circuit.rules.get(rule)
        if projection is None or described is None or (forward := _forward(c, projection.mirrors)) is None:
            continue
        try:
            names = drive_of(described.drive, described.constants).names
        except ExpressionError:
            continue
        if not {"pre", "post"} <= names:
            continue
        driven = {p.target for p in in_role(c.circuit, str(path[1]), mode, "drive").values()}
        lacking = [f"{d} copies no forward cells" for d in (projection.target, projection.source) if d not in driven]
        if projection.mirrors not in mode.on:
            lacking.append(f"{projection.mirrors} does not transmit")
        if forward.source not in mode.noise and not mode.input:
            lacking.append(f"{forward.source} is not noisy")
        if name in mode.on:
            lacking.append(f"{name} transmits while it learns")
        if lacking:
            message = f"{name} will hardly come to mirror {projection.mirrors} here: {'; '.join(lacking)} (5.1, 5.2)."
            yield c.problem("no-mirror", (*path, "learn", name), message, "warning")


def _forward(c: Context, name: str | None) -> Projection | None:
    return c.circuit.projections.get(name) if name is not None else None


def _cycles(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    """Refuse loops: a rate is settled in one pass, and feedback does not drive the forward path."""
    graph = nx.DiGraph()
    for name, projection in c.circuit.projections.items():
        if name in mode.on and projection.role != "error":
            graph.add_edge(projection.source, projection.target)
    for population, text in mode.compare.items():
        match = COMPARE.fullmatch(text)
        if match is not None:
            graph.add_edge(match[1], population)
    try:
        cycle = nx.find_cycle(graph)
    except nx.NetworkXNoCycle:
        return
    yield c.problem(
        "cycle", (*path, "on"), f"the signal runs in a circle: {' → '.join(a for a, _ in cycle)} → {cycle[0][0]}."
    )
