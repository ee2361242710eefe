"""Choices by name: a name that the format has and for which there is no code ends in an error, on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import BaseModel

import neuromirror as nm
from neuromirror.backends.base import Options
from neuromirror.backends.examples import digits, examples_of
from neuromirror.backends.torch.mirror_sites import mean_of
from neuromirror.backends.torch.network import _layer, _stage
from neuromirror.backends.torch.norms import batch_norm
from neuromirror.circuit import templates
from neuromirror.circuit.capabilities import BACKENDS, TRAINING, unsupported
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description, Mirroring, Norm, Updater
from neuromirror.circuit.protocol import ArrayStimulus, Training
from neuromirror.errors import NeuromirrorError, UnknownChoiceError, UnsupportedError, choice
from neuromirror.plan import Plan
from neuromirror.simulation import run_seeds
from neuromirror.training.optimizer import _options

MADE_UP = "of no code"
SHORT = ["schedule.0.examples=4", "schedule.0.duration=", "schedule.1.examples=2", "schedule.1.duration="]


def with_value(part: Any, path: tuple[str, ...], value: object) -> Any:
    """Put a value into a model or mapping, past its checks."""
    key, below = path[0], path[1:]
    if isinstance(part, BaseModel):
        return part.model_copy(update={key: with_value(getattr(part, key), below, value) if below else value})
    return {**part, key: with_value(part[key], below, value) if below else value}


def made_up(circuit: Circuit, path: str) -> Circuit:
    """Return a circuit one of whose choices is a name without code, as if the format and the checks had it."""
    circuit.check()
    circuit.__dict__["description"] = with_value(circuit.description, tuple(path.split(".")), MADE_UP)
    return circuit


IN_RUNS = {
    "Noise.law": ("modes.mirror.noise.y0.law", []),
    "Code.kind": ("code.kind", []),
    "Init.init": ("projections.W1.weight.init", []),
    "Signal.kind": ("modes.mirror.signal.kind", []),
    "Normalise.per": ("rules.mirror.updater.normalise.per", ["rules.mirror.updater.normalise.per=target"]),
    "Mode.bias": ("modes.mirror.bias", []),
    "Projection.role": ("projections.x0.role", []),
    "Cell.activation": ("cells.cell.activation", []),
}


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("field", sorted(IN_RUNS))
def test_no_backend_runs_what_it_does_not_know(backend: str, field: str, tmp_path: Path) -> None:
    path, changes = IN_RUNS[field]
    if (backend, field) == ("brian2", "Cell.activation"):
        pytest.skip("spiking cells have no activation: a warning says so")
    circuit = made_up(nm.load("figure1", [*SHORT, *changes]), path)
    with pytest.raises(NeuromirrorError, match=MADE_UP):
        run_seeds(circuit, backend=backend, seeds=[0], out=str(tmp_path / "r"), options=Options(target="auto"))


@pytest.mark.parametrize("law", ["bursts", "poisson"])
def test_a_law_of_spikes_is_no_gaussian_noise_of_networks(law: str) -> None:
    from neuromirror.backends.torch.shards import _draw
    from neuromirror.circuit.description import Noise

    with pytest.raises(UnknownChoiceError, match=law):
        _draw(torch.zeros(3, 4), Noise(law=law, amplitude=1.0, dwell="20 ms"), torch.Generator())  # type: ignore[arg-type]


def _expanded(form: str, field: str) -> None:
    tables = {"layers": {"sizes": [2, 3, 2]}, "feedback": {}, "mirroring": {}, "rules": {"mirror": RULE}}
    described = nm.Circuit({**BARE, **tables})._validation.description
    assert described is not None
    templates.expand(with_value(described, (form, field), MADE_UP))


RULE = {"drive": "weight_mirror", "updater": {"rate": 0.1}}
BARE: dict[str, Any] = {"name": "bare", "code": {"kind": "zero_mean"}, "cells": {"cell": {}}}


def _network(path: str) -> None:
    described = made_up(nm.load("resnet20"), path).description
    name = path.split(".")[1]
    if name in described.projections and described.projections[name].connector != "shortcut":
        _layer(described, described.projections[name].mirrors or name, name)
    forward = {n: p for n, p in described.projections.items() if p.mirrors is None and p.role == "synapse"}
    _stage(described, "layer1_0_b" if "layer1" in name else name, forward)


def _stimulus(field: str) -> None:
    given = ArrayStimulus(kind="array", inputs=[[0.0] * 3], targets=[[0.0] * 2])  # type: ignore[arg-type]
    examples_of(Plan(nm.load("figure1", SHORT), 0), with_value(given, (field,), MADE_UP))


def _loss() -> None:
    from neuromirror.training.loop import Trainer

    trainer = Trainer.__new__(Trainer)
    trainer.training = Training().model_copy(update={"loss": MADE_UP})
    trainer.loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))


ELSEWHERE: dict[str, Callable[[], object]] = {
    "Mirroring.turns": lambda: _expanded("mirroring", "turns"),
    "Mirroring.own_input": lambda: _expanded("mirroring", "own_input"),
    "Feedback.cross": lambda: _expanded("feedback", "cross"),
    "Projection.connector": lambda: _network("projections.W_stem.connector"),
    "Projection.transport": lambda: _network("projections.layer1_0_Ba.transport"),
    "Projection.join": lambda: _network("projections.layer1_0_skip.join"),
    "Projection.pool": lambda: _network("projections.P_head.pool"),
    "Norm.when": lambda: _network("populations.stem.norm.when"),
    "Norm.backward": lambda: batch_norm(Norm(kind="batch_norm").model_copy(update={"backward": MADE_UP}), (3,)),
    "Updater.kind": lambda: _options(Updater(rate=1.0).model_copy(update={"kind": MADE_UP}), Training()),
    "Training.mirror_means": lambda: mean_of(torch.zeros(2, 3, 4, 4), MADE_UP),
    "Training.loss": _loss,
    "ArrayStimulus.order": lambda: _stimulus("order"),
    "ArrayStimulus.kind": lambda: _stimulus("kind"),
    "DigitsStimulus.part": lambda: digits(MADE_UP, 1.0, 1.0),
}


@pytest.mark.parametrize("field", sorted(ELSEWHERE))
def test_what_there_is_no_code_for_is_an_error(field: str) -> None:
    with pytest.raises((UnsupportedError, UnknownChoiceError), match=MADE_UP):
        ELSEWHERE[field]()


CAPABLE = {
    "Cell.activation": "cells.cell.activation",
    "Code.kind": "code.kind",
    "Noise.law": "modes.mirror.noise.y0.law",
    "Projection.connector": "projections.W1.connector",
    "Projection.transport": "projections.B1.transport",
    "Norm.kind": "populations.y1.norm.kind",
    "Updater.kind": "rules.mirror.updater.kind",
    "Normalise.per": "rules.mirror.updater.normalise.per",
}


@pytest.mark.parametrize("backend", [*BACKENDS.values(), TRAINING], ids=lambda backend: backend.about)
@pytest.mark.parametrize("field", sorted(CAPABLE))
def test_a_backend_refuses_what_it_does_not_list(field: str, backend: Any) -> None:
    scaled = 'populations.y1.norm={kind="synaptic_scaling", rate="110 Hz", tau="20 s"}'
    circuit = nm.load("figure1", [scaled, "rules.mirror.updater.normalise.per=target"])
    described = made_up(circuit, CAPABLE[field]).description
    found = unsupported(described, backend, lambda _: (None, None))
    assert any(f"'{MADE_UP}'" in problem.message for problem in found)


BY_OTHER_MEANS = {
    "Cell.model": "anything but custom has the leaky membrane's equations; checks/own_cells",
    "Cell.default_bias": "a voltage, or calibrate",
    "Parameters.default_bias": "a voltage, or calibrate",
    "Population.path": "a population of another path has no role in any connector: checks/projections",
    "Feedback.transport": "that of each B",
    "Mirroring.bias": "that of each mode",
    "Mode.input": "the one choice",
    "Noise.order": "asked where bursts are ordered",
    "DigitsStimulus.order": "as that of arrays",
    "DigitsStimulus.kind": "the tag of the union",
    "Stimulus.kind": "the tag of the union",
    "Training.mirror_memory": "asked at each turn",
    "Training.augment": "neuromirror.data.augment has a table of its own, and a test",
    "Projection.roles": "as role",
    "Description.schema_": "versions are migrated",
}


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield annotation
    for argument in () if get_origin(annotation) is Literal else get_args(annotation):
        yield from _literals(argument)


def _models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if model not in seen:
        seen.add(model)
        for info in model.model_fields.values():
            for inner in _inside(info.annotation):
                _models(inner, seen)
    return seen


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def test_every_choice_of_the_format_is_looked_at() -> None:
    """A new choice needs a place here, and a case that shows what becomes of a name without code."""
    fields = {
        f"{model.__name__}.{name}"
        for model in _models(Description, set())
        for name, info in model.model_fields.items()
        if any(_literals(info.annotation))
    }
    covered = {*IN_RUNS, *ELSEWHERE, *CAPABLE, *BY_OTHER_MEANS}
    assert fields - covered == set()
    assert covered - fields == set()


def test_a_choice_says_what_there_is_code_for() -> None:
    assert choice("noise.law", "gaussian", "gaussian", "poisson") == "gaussian"
    with pytest.raises(UnknownChoiceError, match=r'noise\.law = "pink": there is no code .* gaussian, poisson\.'):
        choice("noise.law", "pink", "gaussian", "poisson")
    assert Mirroring().turns == "each"
