"""Checks of the code, the cells and the populations."""

from __future__ import annotations

import math
from collections.abc import Iterator

from neuromirror.circuit.activations import activation_of, fault
from neuromirror.circuit.cells import cells_of, values_of
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Cell, Code, Init, Population
from neuromirror.errors import Problem


def check_code(c: Context) -> Iterator[Problem]:
    code = c.circuit.code
    if code.kind == "baseline" and code.beta is None and ("code", "beta") not in c.dropped:
        yield c.problem("no-beta", ("code",), 'a baseline code needs its rate. Add beta = "100 Hz".')
    if code.kind == "zero_mean" and code.beta is not None:
        yield c.problem("beta-of-zero-mean", ("code", "beta"), "a zero-mean code has no beta. Take it out.")
    if code.dale and code.kind != "push_pull":
        message = "only cells in push-pull can each excite or inhibit alone: their weights have one sign. Take it out."
        yield c.problem("dale", ("code", "dale"), message)


def check_cells(c: Context) -> Iterator[Problem]:
    code = c.circuit.code
    for name, cell in c.circuit.cells.items():
        path: Path = ("cells", name)
        faults = list(_activation(c, path, cell))
        yield from faults
        if (found := _never_fires(cell)) is not None:
            yield c.problem("threshold-below-rest", (*path, "v_threshold"), found)
        if code.kind == "push_pull" and code.beta is None and not faults and activation_of(cell).phi(0.0, math.tanh):
            message = "cells of a push-pull code without beta are silent at rest, but phi(0) is not 0. Add beta."
            yield c.problem("no-default-bias", (*path, "phi"), message)
        if not code.non_negative or code.beta is None:
            continue
        if (found := _too_slow(cell, code)) is not None:
            yield c.problem("beta-above-refractory", (*path, "refractory"), found)
        if not any(p.path == "forward" and p.cell == name for p in c.circuit.populations.values()):
            continue  # b⁻ acts in forward cells
        if faults:
            continue
        try:
            activation_of(cell).inverse(code.beta.Hz / code.unit.Hz)
        except ValueError as error:
            yield c.problem("no-default-bias", (*path, "activation"), str(error))


def _activation(c: Context, path: Path, cell: Cell) -> Iterator[Problem]:
    fields = {"phi": '"log(1 + exp(u))"', "slope": '"1 - exp(-y)"'}
    if cell.activation != "expr":
        for name in fields:
            if getattr(cell, name) is not None and not c.lost((*path, "activation")):
                message = f"activation '{cell.activation}' has its own. Take it out, or say activation = \"expr\"."
                yield c.problem("activation", (*path, name), message)
        return
    lacking = [name for name in fields if getattr(cell, name) is None]
    for name in lacking:
        if not c.lost((*path, name)):
            message = f'activation = "expr" needs its {name}. Add {name} = {fields[name]}.'
            yield c.problem("activation", path, message)
    if not lacking and (found := fault(cell, non_negative=c.circuit.code.non_negative)) is not None:
        yield c.problem("activation", (*path, found[0]), found[1])


def _never_fires(cell: Cell) -> str | None:
    if cell.model == "custom" or cell.v_threshold.si > max(cell.v_rest.si, cell.v_reset.si):
        return None
    return f"{cell.v_threshold} is not above rest ({cell.v_rest}) and reset ({cell.v_reset})."


def _too_slow(cell: Cell, code: Code) -> str | None:
    if not code.non_negative or code.beta is None or cell.refractory.s * code.beta.Hz < 1:
        return None
    return f"cells refractory for {cell.refractory} cannot fire at beta = {code.beta}. Lower one of the two."


def check_populations(c: Context) -> Iterator[Problem]:
    for name, population in c.circuit.populations.items():
        path: Path = ("populations", name)
        yield from c.named(path)
        if c.raw is None or name in c.raw.populations:  # a short form says itself of what kind its cells are
            yield from c.missing("cells", population.cell, (*path, "cell"), "cell")
        if population.bias is not None:
            if population.path == "feedback":
                yield c.problem(
                    "feedback-bias", (*path, "bias"), "only cells of the forward path have a bias b (eq. 1)."
                )
            yield from init(c, population.bias, (*path, "bias"), (math.prod(population.shape),))
        yield from _norm(c, path, population)
        yield from _shares(c, path, population)
        yield from _parameters(c, (*path, "parameters"), population)


def _parameters(c: Context, path: Path, population: Population) -> Iterator[Problem]:
    """Check what differs from cell to cell; of cells that cannot be, the first is reported."""
    kind, size = c.circuit.cells.get(population.cell), math.prod(population.shape)
    if population.parameters is None:
        return
    there = c.original(path)
    lengths = {name: len(values) for name, values in values_of(population.parameters).items()}
    for name, length in lengths.items():
        shortened = any(gone[: len(there) + 1] == (*there, name) for gone in c.dropped)
        if length != size and not shortened:
            message = f"found {length} values. Expected {size}, one for each cell."
            yield c.problem("wrong-shape", (*path, name), message)
    if kind is None or set(lengths.values()) - {size} or c.lost(there):
        return
    given, cells = {*lengths}, cells_of(population, kind)
    for problem, found_in, concerned in (
        ("threshold-below-rest", _never_fires, {"v_threshold", "v_rest", "v_reset"}),
        ("beta-above-refractory", lambda cell: _too_slow(cell, c.circuit.code), {"refractory"}),
    ):
        found = ((index, found_in(cell)) for index, cell in enumerate(cells))
        index, message = next(((i, text) for i, text in found if text is not None), (0, None))
        if message is not None and given & concerned:
            name = min(given & concerned, key=["v_threshold", "v_reset", "v_rest", "refractory"].index)
            yield c.problem(problem, (*path, name, index), f"cell {index}: {message}")


def _norm(c: Context, path: Path, population: Population) -> Iterator[Problem]:
    norm, here = population.norm, (*path, "norm")
    if norm is None:
        return
    if population.path == "feedback":
        yield c.problem("norm", here, "only forward populations are normalised. Take it out.")
    scaling = norm.kind == "synaptic_scaling"
    for name in ("rate", "tau"):
        if scaling and getattr(norm, name) is None and not c.lost((*here, name)):
            example = '"100 Hz"' if name == "rate" else '"100 s"'
            yield c.problem("norm", here, f"synaptic scaling needs its {name}. Add {name} = {example}.")
        if not scaling and getattr(norm, name) is not None:
            yield c.problem("norm", (*here, name), f"batch_norm has no {name}. Take it out.")


def _shares(c: Context, path: Path, population: Population) -> Iterator[Problem]:
    if population.shares is None:
        return
    here = (*path, "shares")
    yield from c.missing("populations", population.shares, here, "population")
    other = c.circuit.populations.get(population.shares)
    if other is None:
        return
    if (population.path, other.path) != ("feedback", "forward"):
        yield c.problem("shared-cells", here, "feedback populations share the cells of forward ones (8.1).")
    elif (population.layer, population.shape) != (other.layer, other.shape):
        message = (
            f"{population.shares} is in layer {other.layer} with shape {other.shape}, and this is in layer "
            f"{population.layer} with {population.shape}. Shared cells are the same cells."
        )
        yield c.problem("shared-cells", here, message)


def init(c: Context, init: Init, path: Path, shape: tuple[int, ...]) -> Iterator[Problem]:
    if init.init != "values":
        if init.values is not None:
            yield c.problem("unused-values", (*path, "values"), f'init = "{init.init}" uses no values.')
        return
    if init.values is None:
        if c.lost((*path, "values")):
            return
        yield c.problem("no-values", path, 'init = "values" needs values = [...].')
        return
    found = init.values.shape
    if found != shape:
        what = "(target, source) = " if len(shape) == 2 else ""
        yield c.problem("wrong-shape", (*path, "values"), f"the values are {found}. Expected {what}{shape}.")
