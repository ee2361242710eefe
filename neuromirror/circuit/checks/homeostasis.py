"""Checks of normalisation and synaptic scaling."""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Mode
from neuromirror.circuit.homeostasis import scalings, weights_into
from neuromirror.errors import Problem


def check_homeostasis(c: Context) -> Iterator[Problem]:
    for name, mode in c.circuit.modes.items():
        yield from _normalised(c, ("modes", name, "learn"), mode)
        yield from _scaled(c, ("modes", name, "learn"), mode)


def _normalised(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    for learner, rule in mode.learn.items():
        described = c.circuit.rules.get(rule)
        if described is None or described.updater.normalise is None:
            continue
        if learner not in c.circuit.projections and ("projections", learner) not in c.dropped:
            message = f"rule '{rule}' normalises weights, and {learner} has none. Let it learn by a rule of its own."
            yield c.problem("normalised-bias", (*path, learner), message)


def _scaled(c: Context, path: Path, mode: Mode) -> Iterator[Problem]:
    for population in scalings(c.circuit):
        weights = weights_into(c.circuit, population)
        learning = [name for name in weights if name in mode.learn]
        still = [name for name in weights if name not in mode.learn]
        if learning and still:
            message = (
                f"synaptic scaling of {population} keeps the ratios of all weights of a cell, and {', '.join(still)} "
                f"cannot change here. List {', '.join(weights)}, or none of them."
            )
            yield c.problem("partly-scaled", (*path, learning[0]), message)
        for name in learning:
            rule = c.circuit.rules.get(mode.learn[name])
            if rule is not None and rule.updater.normalise is not None:
                message = (
                    f"rule '{mode.learn[name]}' keeps the norm of {name}, and synaptic scaling of {population} moves "
                    "it. Take one of the two out."
                )
                yield c.problem("scaled-and-normalised", (*path, name), message)


def check_scaling(c: Context) -> Iterator[Problem]:
    """Warn of synaptic scaling that never acts, in a circuit without other problems."""
    for population in scalings(c.circuit):
        weights = weights_into(c.circuit, population)
        if not any(name in mode.learn for mode in c.circuit.modes.values() for name in weights):
            message = "no weight into it learns in any mode, so that synaptic scaling never acts. Add one to learn."
            yield c.problem("idle-scaling", ("populations", population, "norm"), message, "warning")
