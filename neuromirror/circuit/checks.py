"""Checks of the circuit as a whole, each with a name, on an expanded description.

A check yields `Problem`s and stops at nothing, so that one look shows everything. Names that `validate` dropped are
known to be in trouble already: whatever points at them is passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from neuromirror.circuit.description import Description, Init, Item, Mode, Population, Projection, Repeat, Step
from neuromirror.dynamics.activations import ACTIVATIONS
from neuromirror.errors import Problem, dotted, suggestion
from neuromirror.rules.expression import PRESYNAPTIC, SYNAPTIC, Drive, ExpressionError
from neuromirror.rules.library import library

Path = tuple[str | int, ...]
MAX_WEIGHTS = 2**31
MAX_STEPS = 100_000
MAX_EXAMPLES = 10**9
COMPARE = re.compile(r"\s*(\w+)\s*-\s*target\s*")


@dataclass(frozen=True)
class _Context:
    circuit: Description
    locate: Callable[[Path], tuple[str | None, int | None]]
    dropped: set[Path]
    original: Callable[[Path], Path] = lambda path: path

    def lost(self, path: Path) -> bool:
        """Return whether a value, or what it belongs to, was taken out as wrong in itself."""
        return any(path[:length] in self.dropped for length in range(1, len(path) + 1))

    def problem(self, name: str, path: Path, message: str, severity: Literal["error", "warning"] = "error") -> Problem:
        path = self.original(path)
        file, line = self.locate(path)
        return Problem(name=name, path=dotted(path), message=message, severity=severity, file=file, line=line)

    def missing(self, section: str, name: str, path: Path, kind: str) -> Iterator[Problem]:
        """Report a name that a section lacks, unless it was dropped from there."""
        known = getattr(self.circuit, section)
        if name not in known and (section,) not in self.dropped and (section, name) not in self.dropped:
            yield self.problem(f"unknown-{kind}", path, f"there is no {kind} '{name}'. {suggestion(name, known)}")

    def size(self, population: str) -> int | None:
        found = self.circuit.populations.get(population)
        return None if found is None else math.prod(found.shape)


def check(
    circuit: Description,
    locate: Callable[[Path], tuple[str | None, int | None]],
    dropped: set[Path],
    original: Callable[[Path], Path],
) -> Iterator[Problem]:
    """Yield every problem of an expanded description.

    Parameters
    ----------
    circuit : Description
        Expanded.
    locate : callable
        Gives file and line for a key path.
    dropped : set of key paths
        What was taken out as wrong in itself.
    """
    context = _Context(circuit, locate, dropped, original)
    for section in (_code, _cells, _populations, _projections, _mirrors, _rules, _modes, _stimulus, _schedule):
        yield from section(context)


def check_short_forms(
    circuit: Description, locate: Callable[[Path], tuple[str | None, int | None]]
) -> Iterator[Problem]:
    """Yield the problems of the short forms themselves, on a description that is not expanded."""
    c, feedback = _Context(circuit, locate, set()), circuit.feedback
    if feedback is None:
        return
    if circuit.layers is None:
        yield c.problem("no-layers", ("feedback",), "this short form mirrors [layers], and there are none. Add them.")
        return
    if not feedback.distinct:
        yield c.problem(
            "not-built",
            ("feedback", "distinct"),
            "cells that carry both the forward and the feedback signal (8.1) are not built yet. Use distinct = true.",
        )
    known = [f"W{layer}" for layer in range(1, len(circuit.layers.sizes))]
    for index, name in enumerate(feedback.skip):
        if name not in known:
            message = f"[layers] makes no '{name}' whose B could be left out. {suggestion(name, known)}"
            yield c.problem("unknown-projection", ("feedback", "skip", index), message)


def _code(c: _Context) -> Iterator[Problem]:
    code = c.circuit.code
    if code.kind == "baseline" and code.beta is None and ("code", "beta") not in c.dropped:
        yield c.problem("no-beta", ("code",), 'a baseline code needs its rate. Add beta = "100 Hz".')
    if code.kind == "zero_mean" and code.beta is not None:
        yield c.problem("beta-of-zero-mean", ("code", "beta"), "a zero-mean code has no beta. Take it out.")
    if code.kind == "push_pull":
        yield c.problem(
            "not-built", ("code", "kind"), 'push-pull is not built yet. Use kind = "baseline" or "zero_mean".'
        )


def _cells(c: _Context) -> Iterator[Problem]:
    code = c.circuit.code
    for name, cell in c.circuit.cells.items():
        path: Path = ("cells", name)
        if not cell.v_threshold.si > max(cell.v_rest.si, cell.v_reset.si):
            yield c.problem(
                "threshold-below-rest",
                (*path, "v_threshold"),
                f"{cell.v_threshold} is not above rest ({cell.v_rest}) and reset ({cell.v_reset}).",
            )
        if code.kind != "baseline" or code.beta is None:
            continue
        if cell.refractory.s * code.beta.Hz >= 1:
            yield c.problem(
                "beta-above-refractory",
                (*path, "refractory"),
                f"cells refractory for {cell.refractory} cannot fire at beta = {code.beta}. Lower one of the two.",
            )
        try:
            ACTIVATIONS[cell.activation].inverse(code.beta.Hz / code.unit.Hz)
        except ValueError as error:
            yield c.problem("no-default-bias", (*path, "activation"), str(error))


def _populations(c: _Context) -> Iterator[Problem]:
    for name, population in c.circuit.populations.items():
        path: Path = ("populations", name)
        if not re.fullmatch(r"\w+", name):
            yield c.problem("bad-name", path, "a name has letters, digits and underscores only.")
        yield from c.missing("cells", population.cell, (*path, "cell"), "cell")
        if population.bias is not None:
            if population.path == "feedback":
                yield c.problem(
                    "feedback-bias", (*path, "bias"), "only cells of the forward path have a bias b (eq. 1)."
                )
            yield from _init(c, population.bias, (*path, "bias"), (math.prod(population.shape),))


def _init(c: _Context, init: Init, path: Path, shape: tuple[int, ...]) -> Iterator[Problem]:
    if init.init != "values":
        if init.values is not None:
            yield c.problem("unused-values", (*path, "values"), f'init = "{init.init}" uses no values.')
        return
    if init.values is None:
        if c.lost((*path, "values")):
            return
        yield c.problem("no-values", path, 'init = "values" needs values = [...].')
        return
    rows = init.values
    found = (len(rows), len(rows[0])) if isinstance(rows[0], tuple) else (len(rows),)
    if found != shape:
        what = "(target, source) = " if len(shape) == 2 else ""
        yield c.problem("wrong-shape", (*path, "values"), f"the values are {found}. Expected {what}{shape}.")


def _projections(c: _Context) -> Iterator[Problem]:
    total = 0
    for name, projection in c.circuit.projections.items():
        path: Path = ("projections", name)
        if not re.fullmatch(r"\w+", name):
            yield c.problem("bad-name", path, "a name has letters, digits and underscores only.")
        for end in ("source", "target"):
            yield from c.missing("populations", getattr(projection, end), (*path, end), "population")
        source, target = c.size(projection.source), c.size(projection.target)
        if source is None or target is None:
            continue
        if c.lost((*path, "role")):
            continue
        yield from _ends(c, path, projection)
        if projection.connector == "all_to_all":
            total += source * target
            yield from _all_to_all(c, path, projection, (target, source))
        else:
            yield from _one_to_one(c, path, projection, source, target)
    if total > MAX_WEIGHTS:
        yield c.problem("too-large", ("projections",), f"{total} weights in all; at most {MAX_WEIGHTS} are simulated.")


_ENDS = {
    "drive": ("forward", "feedback", "eq. 6"),
    "gate": ("forward", "feedback", "eq. 3"),
    "error": ("feedback", "forward", "eq. 4"),
}


def _ends(c: _Context, path: Path, projection: Projection) -> Iterator[Problem]:
    source = c.circuit.populations[projection.source]
    target = c.circuit.populations[projection.target]
    if projection.role != "synapse":
        wanted = _ENDS[projection.role]
        if (source.path, target.path) != wanted[:2]:
            yield c.problem(
                "wrong-path",
                (*path, "role"),
                f"a '{projection.role}' projection goes from the {wanted[0]} to the {wanted[1]} path ({wanted[2]}); "
                f"this one goes from {source.path} to {target.path}.",
            )
    elif source.path != target.path:
        yield c.problem(
            "wrong-path",
            path,
            f"weights connect cells of one path; {projection.source} is {source.path} and {projection.target} is "
            f"{target.path}. Give a cross-projection its role: drive, gate or error.",
        )


def _all_to_all(c: _Context, path: Path, projection: Projection, shape: tuple[int, int]) -> Iterator[Problem]:
    if projection.role != "synapse":
        yield c.problem("cross-connector", (*path, "connector"), "cross-projections are one_to_one.")
        return
    if projection.permutation is not None:
        yield c.problem("permutation", (*path, "permutation"), "only a one_to_one connector has a permutation.")
    if projection.weight is None:
        yield c.problem("no-weight", path, 'an all_to_all connector needs weight = { init = "normal", gain = 1.0 }.')
        return
    rows = projection.weight.values
    if projection.weight.init == "values" and rows is not None:
        found = (len(rows), len(rows[0]) if isinstance(rows[0], tuple) else 0)
        if found != shape:
            yield c.problem(
                "wrong-shape",
                path,
                f"weights are {found}, but source {projection.source} has {shape[1]} cells and target "
                f"{projection.target} has {shape[0]}. Expected (target, source) = {shape}.",
            )
    else:
        yield from _init(c, projection.weight, (*path, "weight"), shape)


def _one_to_one(c: _Context, path: Path, projection: Projection, source: int, target: int) -> Iterator[Problem]:
    if projection.role == "synapse":
        yield c.problem(
            "not-built", (*path, "connector"), "weights of a one_to_one connector are not built yet. Use all_to_all."
        )
    if projection.weight is not None:
        yield c.problem("unused-weight", (*path, "weight"), "a cross-projection copies and has no weight. Take it out.")
    if source != target:
        yield c.problem(
            "wrong-shape",
            path,
            f"one_to_one, but source {projection.source} has {source} cells and target {projection.target} {target}.",
        )
    permutation = projection.permutation
    if permutation is not None and (len(permutation) != target or sorted(permutation) != list(range(target))):
        yield c.problem(
            "permutation",
            (*path, "permutation"),
            f"expected each of the source's cells 0 to {target - 1} once, in the order of the target's cells.",
        )


def _mirrors(c: _Context) -> Iterator[Problem]:
    mirrored: dict[str, str] = {}
    for name, projection in c.circuit.projections.items():
        path: Path = ("projections", name)
        if projection.mirrors is None:
            if projection.transport != "none":
                yield c.problem("transport", (*path, "transport"), 'what to transport is not said. Add mirrors = "W…".')
            continue
        yield from c.missing("projections", projection.mirrors, (*path, "mirrors"), "projection")
        forward = c.circuit.projections.get(projection.mirrors)
        if forward is None:
            continue
        first = mirrored.setdefault(projection.mirrors, name)
        if first != name:
            yield c.problem("mirrored-twice", (*path, "mirrors"), f"{first} mirrors {projection.mirrors} already.")
        ends = [c.circuit.populations.get(p) for p in (projection.source, projection.target)]
        opposite = [c.circuit.populations.get(p) for p in (forward.target, forward.source)]
        if None in ends or None in opposite:
            continue
        if projection.role != "synapse" or forward.role != "synapse" or _where(ends) != ["feedback", "feedback"]:
            yield c.problem("wrong-mirror", (*path, "mirrors"), "feedback weights mirror forward weights.")
        elif _layers(ends) != _layers(opposite):
            yield c.problem(
                "wrong-mirror",
                (*path, "mirrors"),
                f"{name} leads from layer {_layers(ends)[0]} to {_layers(ends)[1]}, but {projection.mirrors} from "
                f"{_layers(opposite)[1]} to {_layers(opposite)[0]}. A B leads back where its W comes from.",
            )
        elif [math.prod(p.shape) for p in ends if p] != [math.prod(p.shape) for p in opposite if p]:
            yield c.problem("wrong-mirror", (*path, "mirrors"), f"{name} has not the transposed shape of its W.")


def _where(populations: list[Population | None]) -> list[str]:
    return [p.path for p in populations if p is not None]


def _layers(populations: list[Population | None]) -> list[int]:
    return [p.layer for p in populations if p is not None]


def _rules(c: _Context) -> Iterator[Problem]:
    for name, rule in c.circuit.rules.items():
        path: Path = ("rules", name)
        text = library()[rule.drive].drive if rule.drive in library() else rule.drive
        try:
            Drive(text, rule.constants)
        except ExpressionError as error:
            message = str(error)
            if rule.drive.isidentifier() and rule.drive not in library():
                message = f"the library has no rule '{rule.drive}'. {suggestion(rule.drive, library())}"
            yield c.problem("bad-drive", (*path, "drive"), message)
        updater, up = rule.updater, (*path, "updater")
        if any(c.lost((*up, key)) for key in ("rate", "memory", "decay", "memory_from", "decay_times_rate")):
            continue
        if updater.memory is None:
            if updater.rate is None:
                yield c.problem("no-rate", up, "an updater needs a rate or a memory.")
            elif updater.decay * (updater.rate if updater.decay_times_rate else 1) >= 2:
                yield c.problem("unstable-decay", up, "a decay of 2 or more of the weight at each update diverges.")
            if updater.memory_from is not None:
                yield c.problem("no-memory", (*up, "memory_from"), "this is for an updater with a memory.")
            continue
        if updater.rate is not None:
            yield c.problem("rate-and-memory", (*up, "rate"), "a memory replaces the rate. Take one of them out.")
        if updater.decay == 0:
            yield c.problem("no-decay", up, "a memory needs a decay above 0: the weight tends to ⟨drive⟩/decay.")
        if updater.memory_from is not None and isinstance(updater.memory_from, int) != isinstance(updater.memory, int):
            yield c.problem(
                "mixed-memory", (*up, "memory_from"), "give memory and memory_from both as times or both as examples."
            )


def _modes(c: _Context) -> Iterator[Problem]:
    for name, mode in c.circuit.modes.items():
        path: Path = ("modes", name)
        for index, projection in enumerate(mode.on):
            yield from c.missing("projections", projection, (*path, "on", index), "projection")
        for part in ("input", "noise", "compare"):
            for population in getattr(mode, part):
                yield from c.missing("populations", population, (*path, part, population), "population")
        for population in (*mode.input, *mode.noise):
            found = c.circuit.populations.get(population)
            if found is not None and found.path != "forward":
                yield c.problem(
                    "wrong-path", path, f"{population} is a feedback population: input and noise go to forward cells."
                )
        yield from _compare(c, path, mode)
        yield from _learn(c, path, mode)
        yield from _noise(c, path, mode)
        yield from _cycles(c, path, mode)
        signal = mode.signal or c.circuit.time.signal
        where = (*path, "signal") if mode.signal else ("time", "signal")
        if signal.kind == "trace" and signal.tau is None and not c.lost((*where, "tau")):
            yield c.problem("no-tau", where, 'a trace needs its time constant. Add tau = "10 ms".')


def _compare(c: _Context, path: Path, mode: Mode) -> Iterator[Problem]:
    for population, text in mode.compare.items():
        place = (*path, "compare", population)
        match = COMPARE.fullmatch(text)
        if match is None:
            yield c.problem("bad-compare", place, f"'{text}': expected \"POPULATION - target\".")
            continue
        yield from c.missing("populations", match[1], place, "population")
        ends = [c.circuit.populations.get(match[1]), c.circuit.populations.get(population)]
        if None not in ends and _where(ends) != ["forward", "feedback"]:
            message = 'the output error is formed in feedback cells, from forward cells: d1 = "y1 - target".'
            yield c.problem("wrong-path", place, message)
        if {c.size(population), c.size(match[1])} != {c.size(population)} and None not in (
            c.size(population),
            c.size(match[1]),
        ):
            yield c.problem(
                "wrong-shape", place, f"{match[1]} has {c.size(match[1])} cells and {population} {c.size(population)}."
            )


def _learn(c: _Context, path: Path, mode: Mode) -> Iterator[Problem]:
    weights = [name for name, projection in c.circuit.projections.items() if projection.role == "synapse"]
    known = [*weights, *(f"{p}.bias" for p, q in c.circuit.populations.items() if q.bias is not None)]
    for learner, rule in mode.learn.items():
        place = (*path, "learn", learner)
        yield from c.missing("rules", rule, place, "rule")
        if ("projections", learner) in c.dropped or ("populations", learner.removesuffix(".bias")) in c.dropped:
            continue
        projection = c.circuit.projections.get(learner)
        if projection is not None and projection.role != "synapse":
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
        if rule in c.circuit.rules:
            yield from _visible(c, place, mode, rule, target, is_bias=projection is None)


def _visible(c: _Context, place: Path, mode: Mode, rule: str, target: str, *, is_bias: bool) -> Iterator[Problem]:
    """Report a drive that names what its synapse cannot see in this mode."""
    named = c.circuit.rules[rule].drive
    try:
        names = Drive(library()[named].drive if named in library() else named, c.circuit.rules[rule].constants).names
    except ExpressionError:
        return
    if is_bias and (seen := names & ({*PRESYNAPTIC, *SYNAPTIC} - {"w"})):
        yield c.problem(
            "bias-rule", place, f"a bias has no presynaptic cell, but rule '{rule}' names {', '.join(sorted(seen))}."
        )
    arriving = {p.role for n, p in c.circuit.projections.items() if p.target == target and n in mode.on}
    if "error" in names and "error" not in arriving:
        yield c.problem(
            "no-error", place, f"rule '{rule}' needs the error, but no error projection to {target} is on in this mode."
        )
    if "cross" in names and not arriving & {"drive", "gate"}:
        yield c.problem(
            "no-cross", place, f"rule '{rule}' names cross, but no forward signal reaches {target} in this mode."
        )


def _noise(c: _Context, path: Path, mode: Mode) -> Iterator[Problem]:
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
    for name in mode.learn:
        projection = c.circuit.projections.get(name)
        forward = c.circuit.projections.get(projection.mirrors or "") if projection is not None else None
        if forward is not None and forward.source in mode.noise and forward.target in mode.noise:
            yield c.problem(
                "noisy-neighbours",
                (*path, "learn", name),
                f"{name} learns while both {forward.source} and {forward.target} are noisy; the noise of "
                f"{forward.target} only blurs what it learns. Let layers take turns (8.5).",
                "warning",
            )


def _cycles(c: _Context, path: Path, mode: Mode) -> Iterator[Problem]:
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


def _stimulus(c: _Context) -> Iterator[Problem]:
    if c.circuit.stimulus is not None or ("stimulus",) in c.dropped:
        return
    for name, mode in c.circuit.modes.items():
        if mode.input or mode.compare:
            part = "input" if mode.input else "compare"
            yield c.problem(
                "no-stimulus",
                ("modes", name, part),
                'nothing says where inputs come from. Add [stimulus] kind = "teacher".',
            )


def _schedule(c: _Context) -> Iterator[Problem]:
    total = yield from _steps(c, c.circuit.schedule, ("schedule",))
    if total > MAX_STEPS:
        yield c.problem("too-long", ("schedule",), f"{total} steps once repeated; at most {MAX_STEPS} are run.")


def _steps(c: _Context, items: tuple[Item, ...], path: Path) -> Generator[Problem, None, int]:
    """Check the steps at a path, and return their number once repeated."""
    total = 0
    for index, item in enumerate(items):
        here = (*path, index)
        if isinstance(item, Repeat):
            total += item.repeat * (yield from _steps(c, item.steps, (*here, "steps")))
            continue
        total += 1
        yield from c.missing("modes", item.mode, (*here, "mode"), "mode")
        if c.lost((*c.original(here), "duration")) or c.lost((*c.original(here), "examples")):
            continue
        yield from _length(c, item, (*here, "duration"))
        if (item.duration is None) == (item.examples is None):
            found = "neither" if item.duration is None else "both"
            yield c.problem(
                "step-length",
                here,
                f'a step has a duration, such as "20 s", or examples, such as 5000; this has {found}.',
            )
    return total


def windows_in(duration_s: float, window_s: float) -> int:
    """Return the number of whole windows in a duration; one that is whole but for rounding counts."""
    ratio = duration_s / window_s
    return math.floor(ratio * (1 + 1e-12) + 1e-9) if ratio < 2 * MAX_EXAMPLES else 2 * MAX_EXAMPLES


def _length(c: _Context, step: Step, path: Path) -> Iterator[Problem]:
    mode = c.circuit.modes.get(step.mode)
    if step.duration is None or mode is None:
        return
    window = mode.window or c.circuit.time.window
    examples = windows_in(step.duration.s, window.s)
    if examples < 1:
        message = f"{step.duration} is shorter than one window of {window}. Make the step longer."
        yield c.problem("step-length", path, message)
    elif examples > MAX_EXAMPLES:
        message = f"{step.duration} is more than {MAX_EXAMPLES} windows of {window}. Make the step shorter."
        yield c.problem("step-length", path, message)
