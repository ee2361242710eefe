"""What the command ``check`` says of training."""

from __future__ import annotations

from collections.abc import Sequence

from neuromirror.circuit.capabilities import BACKENDS, TRAINING
from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import Problem
from neuromirror.training.trainable import refusals


def training_lines(circuit: Circuit) -> list[str]:
    """Return on what a circuit trains, and why not on what else; nothing where it compares no output with a target.

    Parameters
    ----------
    circuit : Circuit
        One that is without errors.
    """
    if not any(mode.compare for mode in circuit.description.modes.values()):
        return []
    found = refusals(circuit)
    able = [name if _installed(name) else f"{name} (not installed)" for name, problems in found.items() if not problems]
    refused = [f"  not {name}, {_why(problems)}" for name, problems in found.items() if problems]
    return [f"trains on {', '.join(able) or 'no backend'}", *refused]


def _installed(name: str) -> bool:
    """Return whether a backend can train here; all take their images by torch."""
    return TRAINING.installed and BACKENDS[name].installed


def _why(problems: Sequence[Problem]) -> str:
    first, *others = problems
    more = f" And {len(others)} more." if others else ""
    return f"{first.path}: {first.message}{more}"
