"""Checks of spiking cells of a user's own, which only Brian2 can do: before a run, with a place in the file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import brian2 as b2

from neuromirror.backends.brian2.exclusive import alone
from neuromirror.backends.brian2.own_cells import DRIVE, statements
from neuromirror.backends.brian2.own_steps import too_long_step
from neuromirror.backends.brian2.quantities import quantity
from neuromirror.backends.brian2.runtime import quieten, use_runtime
from neuromirror.circuit.description import Cell
from neuromirror.errors import CircuitError, Problem, dotted, suggestion
from neuromirror.plan import Plan

Fault = tuple[tuple[str, ...], str]


def check_own_cells(plan: Plan) -> None:
    """Raise `CircuitError` with all that Brian2 has against a plan's cells of a user's own."""
    problems, described = [], plan.description
    dt_s = described.time.dt.s
    for name in sorted({population.cell for population in described.populations.values()}):
        if described.cells[name].model == "custom":
            with alone():
                faults = [*_faults(described.cells[name]), *_in_steps(described.cells[name], dt_s)]
            for where, message in faults:
                path = ("cells", name, *where)
                file, line = plan.circuit.place(path)
                problems.append(
                    Problem(name="custom-equations", path=dotted(path), message=message, file=file, line=line)
                )
    if problems:
        raise CircuitError(problems)


@cache
def _faults(cell: Cell) -> tuple[Fault, ...]:
    found = list(_in_names(cell))
    return tuple(found or _in_units(cell))


@cache
def _in_steps(cell: Cell, dt_s: float) -> tuple[Fault, ...]:
    """Return what of equations that Brian2 takes is too fast for the time step."""
    found = None if _faults(cell) else too_long_step(cell, dt_s)
    return () if found is None else ((("equations",), found),)


def _in_names(cell: Cell) -> Iterator[Fault]:
    """Yield what is wrong with the texts themselves."""
    for name, text in (cell.constants or {}).items():
        yield from _in_quantity(("constants", name), text)
    for name, texts in (cell.start or {}).items():
        for text in texts if isinstance(texts, tuple) else (texts,):
            yield from _in_quantity(("start", name), text)
    try:
        equations = b2.Equations(cell.equations or "")
    except Exception as error:
        yield ("equations",), _said(error)
        return
    if "v" not in equations.diff_eq_names:
        yield ("equations",), "there is no dv/dt = …: a cell has a membrane v."
    if DRIVE in equations.names:
        yield ("equations",), f"{DRIVE} is what reaches the cell, in volts. Use it, and do not declare it."
    elif DRIVE not in equations.identifiers:
        yield ("equations",), f"nothing reaches the cell: its input is called {DRIVE}, in volts. Add it to dv/dt."
    variables = {name for name in equations.names if equations[name].type != "subexpression"}
    for name in sorted({*(cell.start or {})} - variables):
        yield ("start", name), f"the equations have no variable '{name}'. {suggestion(name, variables)}"
    for name in sorted({*(cell.constants or {})} & {*equations.names, DRIVE}):
        yield ("constants", name), f"the equations declare '{name}' too. Choose another name."
    try:
        for name, _ in statements(cell.reset or ""):
            if name not in variables:
                yield ("reset",), f"the equations have no variable '{name}'. {suggestion(name, variables)}"
    except ValueError as error:
        yield ("reset",), str(error)


def _in_quantity(where: tuple[str, ...], text: str | float) -> Iterator[Fault]:
    try:
        quantity(text)
    except ValueError as error:
        yield where, str(error)


def _in_units(cell: Cell) -> Iterator[Fault]:
    """Yield the first part that Brian2 refuses in a group of one such cell, part by part.

    Brian2 refuses a user's text with errors of many kinds, of its own, of sympy and of Python's parser, so all are
    taken for what they say of the text.
    """
    quieten()
    use_runtime("numpy")
    parts: dict[str, dict[str, Any]] = {
        "equations": {},
        "threshold": {"threshold": cell.threshold, "refractory": 1 * b2.ms},
        "reset": {"reset": cell.reset},
    }
    given: dict[str, Any] = {"namespace": {name: quantity(text) for name, text in (cell.constants or {}).items()}}
    for part, more in parts.items():
        given |= more
        try:
            model = b2.Equations(cell.equations or "") + b2.Equations(f"{DRIVE} : volt")
            group = b2.NeuronGroup(1, model, method="euler", **given)
            b2.Network(group).run(0 * b2.second, namespace={})
        except Exception as error:
            yield (part,), _said(error)
            return
    dimensions = {name: equation.dim for name, equation in b2.Equations(cell.equations or "").items()}
    for name, texts in (cell.start or {}).items():
        for text in texts if isinstance(texts, tuple) else (texts,):
            if b2.get_dimensions(quantity(text)) is not dimensions[name]:
                yield ("start", name), f"{text!r} has not the unit of {name} in the equations."


def _said(error: BaseException) -> str:
    """Return what Brian2 says first of all that it says, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = error.args[0] if isinstance(error, KeyError) and error.args else error  # a KeyError quotes its message
    text = " ".join(str(said).split()) or type(error).__name__
    return f"Brian2 says: {text if len(text) <= 300 else text[:297] + '...'}"
