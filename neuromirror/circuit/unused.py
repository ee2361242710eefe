"""Values of a circuit's long form that no simulator reads, because another value of the same part takes their place.

A noise whose law is ``poisson`` has no ``sd``, weights that begin as ``constant`` have no ``gain``, and where each mode
has a window of its own nothing is left for ``time.window``. Such a value would stand in the file and do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from neuromirror.circuit.description import Cell, Description, Init, Noise, Norm, Projection, Rule
from neuromirror.circuit.model import Model
from neuromirror.circuit.protocol import Training
from neuromirror.circuit.rules import drive_of
from neuromirror.circuit.templates import flat
from neuromirror.rules.expression import ExpressionError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Unused:
    """A value that has no effect.

    Attributes
    ----------
    path : key path
        Of the value.
    why : str
        What makes it so, as a sentence.
    """

    path: Path
    why: str


def unused(description: Description) -> Iterator[Unused]:
    """Yield the values of an expanded description that have no effect, and are not what they are by default."""
    yield from _of_circuit(description)
    yield from _of_protocol(description)


def without_unused(description: Description) -> Description:
    """Return an expanded description with what has no effect as it is by default."""
    for value in list(unused(description)):
        description = _reset(description, value.path)
    return description


def of_run(description: Description) -> Description:
    """Return of an expanded description what a simulation of its schedule depends on.

    Two descriptions of which this is equal give the same run. They may differ in names, in the training from images, in
    modes in which no step is, rules by which nothing learns, kinds of cells that no population has, values that no
    simulator reads, and the initial values of a B that is made of its W.
    """
    scheduled = {step.mode for step in flat(description.schedule)}
    modes = {name: mode for name, mode in description.modes.items() if name in scheduled}
    cells = {population.cell for population in description.populations.values()}
    rules = {rule for mode in modes.values() for rule in mode.learn.values()}
    update: dict[str, Any] = {
        "name": "unnamed",
        "about": "",
        "cells": {name: cell for name, cell in description.cells.items() if name in cells},
        "projections": {name: _as_transported(projection) for name, projection in description.projections.items()},
        "rules": {name: rule for name, rule in description.rules.items() if name in rules},
        "modes": modes,
        "training": None,
    }
    return without_unused(description.model_copy(update=update))


def _as_transported(projection: Projection) -> Projection:
    """Return a projection without the initial values that transport replaces; the signs leave the magnitudes."""
    replaced = projection.transport in ("exact", "initial") and projection.weight is not None
    return projection.model_copy(update={"weight": Init()}) if replaced else projection


def _of_circuit(description: Description) -> Iterator[Unused]:
    code = description.code
    if code.estimate is not None and not any(mode.compare for mode in description.modes.values()):
        why = "no mode forms an error whose baseline this could be. Take it out, or add compare to a mode."
        yield from _fields(("code", "estimate"), code.estimate, ("rest",), why)
    norms = [p.norm for p in description.populations.values() if p.norm is not None]
    if code.beta is None and not any(norm.kind == "synaptic_scaling" for norm in norms):
        why = "a code without beta has no rates, and nothing is measured in this unit. Take it out."
        yield from _fields(("code",), code, ("unit",), why)
    for name, cell in description.cells.items():
        yield from _of_cell(("cells", name), cell)
    for name, population in description.populations.items():
        path: Path = ("populations", name)
        if population.bias is not None:
            yield from _of_init((*path, "bias"), population.bias)
        if population.norm is not None:
            yield from _of_norm((*path, "norm"), population.norm)
    for name, projection in description.projections.items():
        yield from _of_projection(description, name, projection)
    for name, rule in description.rules.items():
        yield from _of_rule(("rules", name), rule)
    for name, mode in description.modes.items():
        for population, noise in mode.noise.items():
            yield from _of_noise(("modes", name, "noise", population), noise)


def _of_cell(path: Path, cell: Cell) -> Iterator[Unused]:
    if cell.model != "custom":
        return
    why = 'a cell of model "custom" has its own equations in place of it. Take it out, or say model = "lif".'
    yield from _fields(path, cell, ("tau_m", "v_rest", "v_reset", "v_threshold", "noise"), why)
    named = {*re.findall(r"\w+", " ".join(filter(None, (cell.equations, cell.threshold, cell.reset))))}
    for name in cell.constants or {}:
        if name not in named:
            yield Unused((*path, "constants", name), "neither equations, threshold nor reset name it. Take it out.")


def _of_init(path: Path, init: Init) -> Iterator[Unused]:
    why = f'weights and biases that begin as init = "{init.init}" have none. Take it out, or change init.'
    if init.init not in ("normal", "rademacher"):
        yield from _fields(path, init, ("gain",), why)
    if init.init != "constant":
        yield from _fields(path, init, ("value",), why)


def _of_norm(path: Path, norm: Norm) -> Iterator[Unused]:
    if norm.kind == "synaptic_scaling":
        why = "synaptic scaling has none: it is of batch_norm. Take it out."
        yield from _fields(path, norm, ("when", "eps", "momentum", "backward"), why)


def _of_projection(description: Description, name: str, projection: Projection) -> Iterator[Unused]:
    path: Path = ("projections", name)
    if projection.weight is not None:
        yield from _of_init((*path, "weight"), projection.weight)
    elif projection.mirrors is not None:
        why = f"{name} has no weights that could be transported. Take it out."
        yield from _fields(path, projection, ("transport",), why)
    for mode in projection.roles or {}:
        if mode in description.modes and name not in description.modes[mode].on:
            why = f"{name} is not on in mode '{mode}', and has no role there. Take it out, or list {name} in on."
            yield Unused((*path, "roles", mode), why)


def _of_rule(path: Path, rule: Rule) -> Iterator[Unused]:
    updater = rule.updater
    if updater.memory is not None or updater.kind == "sgd":
        other = "an updater with a memory" if updater.memory is not None else "the kind sgd"
        why = f"{other} has none: its decay is of the weight by itself. Take it out."
        yield from _fields((*path, "updater"), updater, ("decay_times_rate",), why)
    try:
        named = {*re.findall(r"\w+", drive_of(rule.drive, rule.constants).text)}
    except ExpressionError:
        return
    for name in rule.constants:
        if name not in named:
            yield Unused((*path, "constants", name), "the drive does not name it. Take it out.")


def _of_noise(path: Path, noise: Noise) -> Iterator[Unused]:
    if noise.law in ("bursts", "poisson"):
        why = f'without effect where the law is {noise.law}. Take it out, or say law = "gaussian".'
        yield from _fields(path, noise, ("sd", "tau"), why)


def _of_protocol(description: Description) -> Iterator[Unused]:
    modes = description.modes.values()
    for field in ("window", "signal"):
        if modes and all(getattr(mode, field) is not None for mode in modes):
            named = f"modes.{next(iter(description.modes))}.{field}"
            why = f"every mode states its {field} itself. Set {named} and those of the others instead, or take it out."
            yield from _fields(("time",), description.time, (field,), why)
    stimulus = description.stimulus
    if stimulus is not None:
        of_targets = ("gain", "bias_gain", "amplitude", "targets")
        others = [name for name in type(stimulus).model_fields if name not in ("kind", *of_targets)]
        if not any(mode.compare for mode in modes):
            why = "no mode compares anything with a target. Take it out, or add compare to a mode."
            yield from _fields(("stimulus",), stimulus, of_targets, why)
        if not any(mode.compare or mode.input for mode in modes):
            why = "no mode has an input or a target. Take it out, or add input to a mode."
            yield from _fields(("stimulus",), stimulus, others, why)
    if description.training is not None:
        yield from _of_training(description.training)
        if description.code.estimate is None or description.code.estimate.rest is None:
            why = "there is no mode of rest. Take it out, or name one in code.estimate.rest."
            yield from _fields(("training",), description.training, ("rest_examples",), why)


def _of_training(training: Training) -> Iterator[Unused]:
    path: Path = ("training",)
    if training.loss != "squared":
        why = f'the loss {training.loss} has targets of 0 and 1. Take it out, or say loss = "squared".'
        yield from _fields(path, training, ("target",), why)
    if training.mirror_angle_deg is not None:
        why = "mirror_angle_deg says how many examples each turn has. Take one of the two out."
        yield from _fields(path, training, ("mirror_examples",), why)
    if not training.drops:
        why = "there are no drops. Take it out, or add drops = [30]."
        yield from _fields(path, training, ("drop_factor",), why)


def _fields(path: Path, table: Model, names: tuple[str, ...] | list[str], why: str) -> Iterator[Unused]:
    """Yield those of a table's fields that are not what they are by default; other tables may lack some."""
    for name in names:
        info = type(table).model_fields.get(name)
        if info is not None and getattr(table, name) != info.get_default(call_default_factory=True):
            yield Unused((*path, name), why)


def _reset(part: Any, path: Path) -> Any:
    """Return a model or a mapping with the value at a path as it is by default: an entry of a mapping is taken out."""
    key, below = path[0], path[1:]
    if isinstance(part, Model):
        name = str(key)
        default = type(part).model_fields[name].get_default(call_default_factory=True)
        return part.model_copy(update={name: _reset(getattr(part, name), below) if below else default})
    return {k: _reset(v, below) if k == key else v for k, v in part.items() if k != key or below}
