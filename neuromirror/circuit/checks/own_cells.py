"""Checks of spiking cells of a user's own: what they need, and what they have no use for. Brian2 checks the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from neuromirror.circuit.cells import values_of
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Cell
from neuromirror.errors import Problem
from neuromirror.rules.magnitude import runaway_text
from neuromirror.rules.names import name_fault

_EXAMPLES = {
    "equations": '"dv/dt = (drive - v)/(20*ms) : volt"',
    "threshold": '"v > 20*mV"',
    "reset": '"v = 0*mV"',
    "unit_current": '"2 mV"',
}
_OPTIONAL = ("constants", "start")
_VARIED = {"refractory", "tau_syn", "default_bias"}


def check_own_cells(c: Context) -> Iterator[Problem]:
    for name, cell in c.circuit.cells.items():
        path: Path = ("cells", name)
        if c.lost((*path, "model")):
            continue
        if cell.model != "custom":
            for field in (*_EXAMPLES, *_OPTIONAL):
                if getattr(cell, field) is not None:
                    message = f'a cell of model "{cell.model}" has none. Take it out, or say model = "custom".'
                    yield c.problem("custom-cell", (*path, field), message)
            continue
        for field, example in _EXAMPLES.items():
            if getattr(cell, field) is None and not c.lost((*path, field)):
                message = f'a cell of model "custom" needs its {field}. Add {field} = {example}.'
                yield c.problem("custom-cell", path, message)
        if cell.default_bias == "calibrate" and not c.lost((*path, "default_bias")):
            message = 'only leaky cells are calibrated. Add default_bias = "20 mV", at which the cell fires at beta.'
            yield c.problem("custom-cell", path, message)
        for constant in cell.constants or {}:
            if (fault := name_fault(constant)) is not None:
                yield c.problem("custom-cell", (*path, "constants", constant), f"it {fault}. Choose another name.")
        yield from _runaways(c, path, cell)
    yield from _populations(c)


def _runaways(c: Context, path: Path, cell: Cell) -> Iterator[Problem]:
    """Yield the fields with a number too large to compute, which would keep Brian2 busy for ever."""
    for where, text in _expressions(cell):
        if (part := runaway_text(text)) is not None:
            part = part if len(part) <= 80 else f"{part[:77]}..."
            message = f"'{part}' is too large a number to compute. Write a smaller one."
            yield c.problem("runaway-number", (*path, *where), message)


def _expressions(cell: Cell) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every expression of a cell of a user's own, with its field, without Brian2's parser."""
    equations = re.sub(r"#.*", "", cell.equations or "")
    for text in re.findall(r"=([^:]*)", equations):
        yield ("equations",), " ".join(text.split())
    for unit in re.findall(r":([^\n=]*)", equations):
        yield ("equations",), re.sub(r"\s\([^()]*\)\s*$", "", unit)  # without flags, such as (unless refractory)
    yield ("threshold",), cell.threshold or ""
    for statement in re.split(r"[;\n]", cell.reset or ""):
        yield ("reset",), statement.partition("=")[2]
    for field in ("constants", "start"):
        for name, values in (getattr(cell, field) or {}).items():
            for value in values if isinstance(values, tuple) else (values,):
                # "2 mV" is a number and a unit, and no expression of Python's.
                yield (field, name), re.sub(r"(?<=[\d.)])\s+(?=[A-Za-z(])", "*", str(value))


def _populations(c: Context) -> Iterator[Problem]:
    for name, population in c.circuit.populations.items():
        kind = c.circuit.cells.get(population.cell)
        if kind is None or kind.model != "custom" or population.parameters is None:
            continue
        path: Path = ("populations", name, "parameters")
        values = values_of(population.parameters)
        for field in values:
            if field not in _VARIED:
                message = (
                    f"cells of model 'custom' have no {field}; {', '.join(sorted(_VARIED))} may differ. Take it out."
                )
                yield c.problem("custom-cell", (*path, field), message)
        if "calibrate" in values.get("default_bias", ()):
            message = "only leaky cells are calibrated. Give each cell its default bias."
            yield c.problem("custom-cell", (*path, "default_bias"), message)
