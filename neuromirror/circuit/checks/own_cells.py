"""Checks of spiking cells of a user's own: what they need, and what they have no use for. Brian2 checks the rest."""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.cells import values_of
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.errors import Problem

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
    yield from _populations(c)


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
