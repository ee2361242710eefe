"""Which backends can teach a circuit images, and what of the circuit stands in the way of the others.

Known without torch, Brian2 or any images.
"""

from __future__ import annotations

from neuromirror.circuit.capabilities import TRAINING
from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import CircuitError, Problem
from neuromirror.plan import Plan
from neuromirror.training.roles import roles_of
from neuromirror.training.spiking_roles import spiking_roles_of


def refusals(circuit: Circuit) -> dict[str, tuple[Problem, ...]]:
    """Return for each backend of ``neuromirror train`` why it does not take a circuit; nothing where it does.

    Parameters
    ----------
    circuit : Circuit
        One that is without errors.
    """
    ways = {"brian2": lambda: spiking_roles_of(circuit), TRAINING.name: lambda: roles_of(Plan(circuit, 0))}
    found: dict[str, tuple[Problem, ...]] = {}
    for name, roles in ways.items():
        try:
            roles()
        except CircuitError as error:
            found[name] = error.problems
        else:
            found[name] = ()
    return found
