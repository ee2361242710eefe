"""Checks of the learning rules."""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.rules import drive_of
from neuromirror.errors import Problem, suggestion
from neuromirror.rules.expression import ExpressionError
from neuromirror.rules.library import library


def check_rules(c: Context) -> Iterator[Problem]:
    for name, rule in c.circuit.rules.items():
        path: Path = ("rules", name)
        yield from c.named(path)
        try:
            drive_of(rule.drive, rule.constants)
        except ExpressionError as error:
            message = str(error)
            if rule.drive.isidentifier() and rule.drive not in library():
                message = f"the library has no rule '{rule.drive}'. {suggestion(rule.drive, library())}"
            yield c.problem("bad-drive", (*path, "drive"), message)
        updater, up = rule.updater, (*path, "updater")
        if any(c.lost((*up, key)) for key in ("rate", "memory", "decay", "memory_from", "decay_times_rate")):
            continue
        if updater.kind == "plain" and (updater.momentum or updater.nesterov):
            yield c.problem("momentum", up, 'momentum is for kind = "sgd". Change the kind, or take it out.')
        if updater.kind == "sgd" and updater.memory is not None:
            yield c.problem("momentum", (*up, "memory"), 'a memory is for kind = "plain": sgd has a rate.')
        if updater.nesterov and not updater.momentum:
            yield c.problem("momentum", (*up, "nesterov"), "Nesterov's formula needs a momentum above 0.")
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
