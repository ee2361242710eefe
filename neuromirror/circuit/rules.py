"""From the rules of a description to the rules that backends run."""

from __future__ import annotations

from neuromirror.circuit.description import Description, Updater
from neuromirror.rules.expression import Drive
from neuromirror.rules.library import library
from neuromirror.rules.rule import Rule
from neuromirror.rules.updater import PlainUpdater
from neuromirror.units import Quantity


def rule_of(description: Description, name: str) -> Rule:
    """Return a rule of a checked description: its drive, looked up in the library where it is named, and updater."""
    described = description.rules[name]
    return Rule(
        name=name, drive=drive_of(described.drive, described.constants), updater=_plain_updater(described.updater)
    )


def drive_of(text: str, constants: dict[str, float]) -> Drive:
    """Return a drive from what a file says: a name of the library, or an expression.

    Raises
    ------
    ExpressionError
        If it is neither, or has a part that is no number whatever the synapse sees.
    """
    known = library()
    drive = Drive(known[text].drive if text in known else text, constants)
    drive.check_numbers()
    return drive


def _plain_updater(updater: Updater) -> PlainUpdater:
    if updater.memory is None:
        return PlainUpdater(rate=updater.rate or 0.0, decay=updater.decay, decay_times_rate=updater.decay_times_rate)
    return PlainUpdater(
        decay=updater.decay,
        memory=_length(updater.memory),
        memory_from=None if updater.memory_from is None else _length(updater.memory_from),
        memory_in="examples" if isinstance(updater.memory, int) else "seconds",
    )


def _length(memory: Quantity | int) -> float:
    return float(memory) if isinstance(memory, int) else memory.s
