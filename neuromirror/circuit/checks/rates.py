"""Checks of rates, which are applied once an update and so mean something else in spikes than as rates."""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.checks.context import Context
from neuromirror.circuit.description import Mode, Rule
from neuromirror.circuit.rules import drive_of
from neuromirror.errors import Problem
from neuromirror.rules.expression import ExpressionError


def check_rates(c: Context) -> Iterator[Problem]:
    """Warn of rules by which a B mirrors that have a rate in place of a memory, where backends update unlike often."""
    batch = c.circuit.time.batch
    if c.circuit.code.beta is None or batch == 1:
        return  # nothing spikes, or all backends update after each example
    for name, rule in c.circuit.rules.items():
        if not rule.updater.rate or rule.updater.memory is not None or rule.updater.kind != "plain":
            continue
        for mode in c.circuit.modes.values():
            if (learner := _mirroring(c, mode, name, rule)) is not None:
                message = (
                    f"a rate is applied once an update, which is a window when spiking and {batch} examples as rates: "
                    f"{learner} learns {batch} times as much in spikes in the same time. Say it as a memory, such as "
                    f"{_as_memory(c, mode, rule)}."
                )
                yield c.problem("rate-per-update", ("rules", name, "updater", "rate"), message, "warning")
                break


def _mirroring(c: Context, mode: Mode, name: str, rule: Rule) -> str | None:
    """Return a B that learns by a rule from what its two cells fire in a mode, if one does."""
    try:
        seen = drive_of(rule.drive, rule.constants).names
    except ExpressionError:
        return None
    if not {"pre", "post"} <= seen:
        return None
    learners = [learner for learner, by in mode.learn.items() if by == name]
    mirrors = {name for name, projection in c.circuit.projections.items() if projection.mirrors is not None}
    return next((learner for learner in learners if learner in mirrors), None)


def _as_memory(c: Context, mode: Mode, rule: Rule) -> str:
    """Return the memory that says what a rate does on the rate backends."""
    updater, window = rule.updater, mode.window or c.circuit.time.window
    share = updater.decay * ((updater.rate or 0.0) if updater.decay_times_rate else 1.0)
    if not share:
        return 'memory = "60 s" with a decay'
    return f'memory = "{c.circuit.time.batch * window.s / share:.3g} s"'
