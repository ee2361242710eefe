"""Spiking cells of a user's own: their Brian2 equations, taken into the one group of all cells.

Each kind has its variables under a prefix, with its units. All cells of the group have them; in those of other kinds
they stand still. Signals, synapses, gates and relays are those of every other cell: what reaches a cell comes to the
user's equations as ``drive``, and its spikes leave by the user's threshold. The leaky membrane ``v`` of such a cell
rests, so that a relay's synapse, and nothing else, makes it fire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import brian2 as b2
from brian2.equations.equations import DIFFERENTIAL_EQUATION, PARAMETER, SingleEquation
from brian2.stateupdaters.explicit import euler
from brian2.utils.stringtools import word_substitute

from neuromirror import seeds
from neuromirror.backends.brian2.equations import refractory_period_s
from neuromirror.backends.brian2.quantities import quantity
from neuromirror.circuit.description import Cell
from neuromirror.plan import Plan

DRIVE = "drive"
STATEMENT = re.compile(r"\s*(\w+)\s*([-+*/]?)=(?!=)\s*(.+?)\s*")


def statements(reset: str) -> list[tuple[str, str]]:
    """Return the statements of a reset: the variable, and what it becomes.

    Raises
    ------
    ValueError
        If one of them is not ``variable = expression``.
    """
    found = []
    for line in (part for part in re.split(r"[;\n]", reset) if part.strip()):
        match = STATEMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"'{line.strip()}' is no statement such as v = v_reset or u += d.")
        name, operator, value = match.groups()
        found.append((name, f"{name} {operator} ({value})" if operator else value))
    return found


@dataclass(frozen=True)
class OwnKind:
    """One kind of cell as Brian2 code.

    Attributes
    ----------
    name : str
        The kind's.
    number : int
        Of the kind among all of a plan.
    cell : Cell
    """

    name: str
    number: int
    cell: Cell
    _parsed: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parsed", b2.Equations(self.cell.equations or ""))

    @property
    def prefix(self) -> str:
        """What the names of its variables begin with."""
        return f"own_{self.number}_"

    @cached_property
    def constants(self) -> dict[str, Any]:
        """The constants as quantities, by their names in the group."""
        return {self.prefix + name: quantity(text) for name, text in (self.cell.constants or {}).items()}

    @cached_property
    def _renamed(self) -> dict[str, str]:
        names = {*self._parsed.names, *(self.cell.constants or {}), DRIVE}
        return {name: self.prefix + name for name in names}

    @cached_property
    def equations(self) -> Any:
        """The user's equations with the names of the group."""
        return b2.Equations(self.cell.equations or "", **self._renamed)

    def _code(self, text: str) -> str:
        return word_substitute(text, self._renamed)

    def model(self) -> Any:
        """Return the variables that the group needs for these cells."""
        kept = [
            SingleEquation(PARAMETER, eq.varname, eq.dim, var_type=eq.var_type)
            if eq.type == DIFFERENTIAL_EQUATION
            else eq
            for eq in self.equations.values()
        ]
        return b2.Equations(kept) + b2.Equations(f"{self.prefix}{DRIVE} : volt\n{self.prefix}is : 1 (constant)")

    def state_variables(self) -> list[tuple[str, str]]:
        """Return the user's variables that are numbers, each with its unit as Brian2's code has it."""
        kept = [eq for eq in self._parsed.values() if eq.type in (DIFFERENTIAL_EQUATION, PARAMETER)]
        return [
            (eq.varname, "1" if eq.dim.is_dimensionless else repr(b2.get_unit(eq.dim)))
            for eq in kept
            if eq.var_type == "float"
        ]

    def step(self, variables: Mapping[str, Any]) -> str:
        """Return one time step of the user's equations, by Euler's method; cells of other kinds stand still."""
        changing = [eq for eq in self.equations.values() if eq.type == DIFFERENTIAL_EQUATION]
        lines = [
            f"{self.prefix}{DRIVE} = mV*"
            "(drive + noise_current*noise_sd + gain*(synaptic*synaptic_share - cancel*unit_current))",
            *(f"before_{eq.varname} = {eq.varname}" for eq in changing),
            euler(self.equations, variables),
        ]
        for eq in changing:
            moves = f"{self.prefix}is*" + ("int(not_refractory)*" if "unless refractory" in eq.flags else "")
            lines.append(f"{eq.varname} = before_{eq.varname} + {moves}({eq.varname} - before_{eq.varname})")
        return "\n".join(lines)

    def threshold(self) -> str:
        """Return the condition under which these cells fire."""
        return f"({self.prefix}is > 0 and ({self._code(self.cell.threshold or '')}))"

    def reset(self) -> str:
        """Return what happens where these cells have fired."""
        lines = []
        for name, value in statements(self.cell.reset or ""):
            own = self._code(name)
            # On two lines: Brian2 simplifies an expression before it looks for the names in it, such as mV in 0*mV - v.
            lines.append(f"after_{own} = {self._code(value)}")
            lines.append(f"{own} = {own} + {self.prefix}is*(after_{own} - {own})")
        return "\n".join(lines)

    def start(self, size: int, seed: int) -> dict[str, Any]:
        """Return the initial values of all cells of the group for the variables that the user gives one."""
        found = {}
        for name, text in (self.cell.start or {}).items():
            low, high = (quantity(one) for one in (text if isinstance(text, tuple) else (text, text)))
            share = seeds.stream(seed, "membranes", self.name, name).random(size)
            found[self.prefix + name] = low + share * (high - low)
        return found


@dataclass(frozen=True)
class OwnCells:
    """All kinds of a user's own that populations of a plan have."""

    plan: Plan

    @cached_property
    def kinds(self) -> list[OwnKind]:
        """The kinds, in alphabetical order."""
        described = self.plan.description
        used = sorted({p.cell for p in described.populations.values() if described.cells[p.cell].model == "custom"})
        return [OwnKind(name, number, described.cells[name]) for number, name in enumerate(used)]

    @property
    def constants(self) -> dict[str, Any]:
        """The constants of all kinds."""
        return {name: value for kind in self.kinds for name, value in kind.constants.items()}

    def model(self, equations: str) -> Any:
        """Return the equations of the group with those of a user's own."""
        if not self.kinds:
            return equations
        more = [kind.model() for kind in self.kinds]
        return sum(more, b2.Equations(equations))

    def step(self, leaky: Callable[..., str]) -> Callable[..., str]:
        """Return the step of all cells, from that of the leaky ones."""

        def whole(equations: Any, variables: Any, method_options: Any = None) -> str:
            own = [kind.step(variables) for kind in self.kinds]
            return "\n".join([*own, leaky(equations, variables, method_options)])

        return whole if self.kinds else leaky

    def threshold(self, leaky: str) -> str:
        """Return the threshold of all cells."""
        return " or ".join([leaky, *(kind.threshold() for kind in self.kinds)])

    def reset(self, leaky: str) -> str:
        """Return the reset of all cells."""
        return "\n".join([leaky, *(kind.reset() for kind in self.kinds)])

    def start(self, size: int, seed: int) -> dict[str, Any]:
        """Return the initial values of the variables of a user's own; they depend on the seed."""
        return {name: values for kind in self.kinds for name, values in kind.start(size, seed).items()}

    def marks(self, population: str) -> dict[str, float]:
        """Return of each kind whether a population's cells are of it."""
        cell = self.plan.description.populations[population].cell
        return {f"{kind.prefix}is": float(kind.name == cell) for kind in self.kinds}


def own_constants(cell: Cell, dt_s: float) -> dict[str, float]:
    """Return the constants of a cell of a user's own; its leaky membrane rests, so that a relay fires it like any."""
    assert cell.unit_current is not None
    assert not isinstance(cell.default_bias, str)
    return {
        "tau_m": 1.0,
        "refractory_period": refractory_period_s(cell, dt_s),
        "v_threshold": 1.0,
        "v_reset": 0.0,
        "default_bias": cell.default_bias.mV,
        "unit_current": cell.unit_current.mV,
        "synaptic_kick": 0.0,
        "membrane_decay": 1.0,
        "membrane_kick": 0.0,
    }
