"""All fields of the format, walked: a value of each changes the expanded circuit, or is refused; none does nothing.

Fields are taken from the models, so that a new field without a circuit in which it acts makes a test fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel
from test_checks import SHORT_FORMS
from test_choices import _models as models_of

import neuromirror as nm
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description
from neuromirror.circuit.load import from_text
from neuromirror.errors import RequestError
from neuromirror.units import Quantity

DOCUMENTATION = {"Description.name", "Description.about", "Description.schema_"}
"""What names and describes a file, and counts in no hash."""

OWN_CELL = {
    "model": "custom",
    "equations": "dv/dt = (drive - v)/tau : volt",
    "threshold": "v > 20*mV",
    "reset": "v = 0*mV",
    "constants": {"tau": "20 ms"},
    "start": {"v": "0 mV"},
    "default_bias": "22 mV",
    "unit_current": "2 mV",
}
BURSTS = {"law": "bursts", "amplitude": 2.0, "dwell": "5 ms", "cells": 1, "order": "given"}
RESTS = {name: {"on": ["W1", "B1", "e1"]} for name in ("rest", "other")}
SCALED = {"kind": "synaptic_scaling", "rate": "110 Hz", "tau": "20 s"}
ARRAYS = {"kind": "array", "inputs": [[0.0] * 3] * 2, "targets": [[0.0] * 2] * 2}


def _with(name: str, **values: Any) -> Circuit:
    return nm.load(name).with_values({key.replace("__", "."): value for key, value in values.items()})


def _modes(name: str) -> dict[str, Any]:
    """Return the modes of a circuit as a file states them."""
    modes = nm.load(name).description.modes
    return {key: mode.model_dump(by_alias=True, exclude_defaults=True) for key, mode in modes.items()}


def _bases() -> dict[str, Circuit]:
    figure = nm.load("figure1")
    return {
        "figure1": figure,
        "short forms": from_text(SHORT_FORMS).with_values({"use.0.repeat": 2}),
        "chain4": nm.load("chain4"),
        "bursts": _with("figure1", modes__mirror__noise__y0=BURSTS),
        "scaled": _with("figure1", populations__y1__norm=SCALED),
        "arrays": _with("figure1", stimulus=ARRAYS),
        "sgd": _with("figure1", rules__mirror__updater={"kind": "sgd", "rate": 0.1, "momentum": 0.5}),
        "normalised": _with("figure1", rules__mirror__updater__normalise={"per": "target"}),
        "rates": _with("figure1", rules__mirror__updater={"rate": 0.1, "decay": 0.5}),
        "own cell": _with("figure1", cells__cell=OWN_CELL),
        "varied": _with("figure1", populations__y0__parameters={"tau_m": ["20 ms"] * 3}),
        "repeat": _with("figure1", schedule__0={"repeat": 2, "steps": [{"mode": "mirror", "examples": 8}]}),
        "push-pull": nm.load("figure1_push_pull"),
        "digits": nm.load("digits"),
        "rests": _with("figure1", modes={**_modes("figure1"), **RESTS}, code__estimate__rest="rest"),
        "squared": _with("digits", training={"loss": "squared", "target": 2.0}),
        "bare": from_text(BARE),
        "resnet20": nm.load("resnet20"),
    }


BARE = """
name = "bare"
code = { kind = "zero_mean" }
cells = { cell = {}, linear = { activation = "linear" } }
layers.sizes = [3, 2, 4]
populations.z = { path = "forward", layer = 0, shape = [2], cell = "cell" }
[feedback]
"""
LARGE = {"resnet20": ("training", "populations.stem", "projections.P_head")}
"""Of large circuits, what of them is walked."""


SAMPLES: dict[str, list[Any]] = {
    "Cell.equations": ["dv/dt = (2*drive - v)/tau : volt"],
    "Cell.threshold": ["v > 21*mV"],
    "Cell.reset": ["v = 1*mV"],
    "Cell.constants": [{"tau": "21 ms"}],
    "Cell.start": [{"v": "1 mV"}],
    "Population.bias": [{"init": "constant", "value": 0.25}],
    "Population.norm": [SCALED, {"kind": "batch_norm", "when": "before"}],
    "Population.parameters": [{"tau_m": ["10 ms", "20 ms", "30 ms"]}],
    "Population.cell": ["linear"],
    "Population.shape": [[4, 1]],
    "Parameters.tau_m": [["10 ms", "20 ms", "30 ms"]],
    **{f"Parameters.{name}": [["3 ms"] * 3] for name in ("tau_syn", "refractory")},
    **{f"Parameters.{name}": [["1 mV"] * 3] for name in ("noise", "default_bias")},
    **{f"Parameters.{name}": [["-71 mV"] * 3] for name in ("v_rest", "v_reset")},
    "Parameters.v_threshold": [["-51 mV"] * 3],
    "Projection.weight": [{"gain": 0.25}],
    "Projection.permutation": [[2, 0, 1]],
    "Projection.mask": [[[1, 0, 1], [0, 1, 1]]],
    "Updater.normalise": [{"per": "array"}],
    "Updater.memory": ["30 s"],
    "Updater.memory_from": ["1 s"],
    "Rule.drive": ["pre*post"],
    "Rule.updater": [{"rate": 0.05}],
    "Estimate.rest": ["other"],
    "Code.estimate": [{"tau": "3 s"}],
    "Mode.input": [{}],
    "Mode.compare": [{}],
    "Mode.noise": [{"y0": {"sd": 1.5}}],
    "Mode.on": [["W1"]],
    "Mode.learn": [{}],
    "Mode.signal": [{"kind": "count"}, {"kind": "trace", "tau": "9 ms"}],
    "Timing.signal": [{"kind": "trace", "tau": "9 ms"}],
    "Mirroring.noise": [{"sd": 1.5}],
    "Mirroring.signal": [{"kind": "trace", "tau": "9 ms"}],
    "Layers.sizes": [[3, 2, 4, 5]],
    "Layers.cell": ["linear"],
    "Layers.weight": [{"gain": 0.25}],
    "Layers.bias": [{"init": "constant", "value": 0.25}],
    "Feedback.skip": [["W1"], []],
    "Feedback.cell": ["linear"],
    "Feedback.weight": [{"gain": 0.25}],
    "Motif.parameters": [{"size": 5}],
    "Motif.populations": [{"a": {"layer": 2, "shape": ["$size"], "cell": "cell"}}],
    "Motif.projections": [{}],
    "Use.name": ["branch"],
    "Use.inputs": [{"from": "y1"}],
    "Use.parameters": [{"size": 7}],
    "ArrayStimulus.inputs": [[[1.0] * 3] * 2],
    "ArrayStimulus.targets": [[[1.0] * 2] * 2],
    "Step.mode": ["engaged"],
    "Step.examples": [16],
    "Step.duration": ["3 s"],
    "Repeat.steps": [[{"mode": "mirror", "examples": 3}]],
    "Description.stimulus": [{"kind": "teacher", "sd": 2.0}],
    "Description.schedule": [[{"mode": "engaged", "examples": 3}]],
    "Description.training": [{"epochs": 7}],
    "Description.layers": [{"sizes": [3, 2, 4, 5]}],
    "Description.feedback": [{"weight": {"gain": 0.25}}],
    "Description.mirroring": [{"turns": "alternate"}],
    "Description.code": [{"kind": "baseline", "beta": "40 Hz"}],
    "Description.cells": [{"cell": {"tau_m": "11 ms"}}],
    "Description.projections": [{}],
    "Description.time": [{"batch": 7}],
    "Training.drops": [[3]],
    "Training.mirror_angle_deg": [20.0],
}
"""Other values of fields that are no single numbers, times or choices."""

POPULATION = {"layer": 0, "shape": [3], "cell": "cell"}
SLOPED = {"cells.cell.activation": "expr", "cells.cell.phi": "2*u", "cells.cell.slope": "2.0"}
KERNEL = {"motifs.basic.projections.Wa.kernel": 1, "motifs.basic.projections.Wa.padding": 0}
TWIG = {"parameters": {"size": 5}, "inputs": ["from"], "output": "a"}
TWIG["populations"] = {"a": {"layer": 1, "shape": ["$size"], "cell": "cell"}}
MORE = {"drive": "pre*post", "updater": {"rate": 1}}
TOGETHER: dict[str, tuple[str, dict[str, Any]]] = {
    "ArrayStimulus.kind": ("arrays", {"stimulus": {"kind": "teacher"}}),
    "Stimulus.kind": ("figure1", {"stimulus": ARRAYS}),
    "DigitsStimulus.kind": ("digits", {"stimulus": {"kind": "teacher"}}),
    "Cell.model": ("figure1", {"cells.cell": OWN_CELL}),
    "Cell.phi": ("figure1", SLOPED),
    "Cell.slope": ("figure1", SLOPED),
    "Description.modes": ("figure1", {"modes.third": {}}),
    "Description.populations": ("bare", {"populations.z.shape": [3]}),
    "Description.rules": ("figure1", {"rules.more": MORE}),
    "Description.motifs": ("short forms", {"motifs.twig.parameters.size": 5}),
    "Description.use": ("short forms", {"use.0.repeat": 3}),
    "Init.values": ("figure1", {"projections.W1.weight": {"init": "values", "values": [[1, 2, 3], [4, 5, 6]]}}),
    "Mirroring.rule": (
        "chain4",
        {"rules.more": {"drive": "pre*post", "updater": {"rate": 1}}, "mirroring.rule": "more"},
    ),
    "Mirroring.rule_for": ("resnet20", {"mirroring.rule_for": {"linear": "mirror"}}),
    "Motif.output": (
        "short forms",
        {"motifs.twig.populations.b": {"layer": 1, "shape": ["$size"], "cell": "cell"}, "motifs.twig.output": "b"},
    ),
    "Population.shares": (
        "figure1",
        {"populations.d0.shares": "y0", "populations.d1.shares": "y1", "projections.x0.delay": "0 ms"},
    ),
    "Projection.connector": ("resnet20", {"motifs.basic.projections.Wb.connector": "local"}),
    "Projection.roles": (
        "figure1",
        {"projections.g0.roles": {"mirror": "drive"}, "modes.mirror.on": ["W1", "g0", "x1"]},
    ),
    "Motif.inputs": (
        "short forms",
        {"motifs.twig.inputs": ["to"], "motifs.twig.projections.W.source": "to", "use.0.inputs": {"to": "y1"}},
    ),
    "Norm.kind": ("scaled", {"populations.y1.norm": {"kind": "batch_norm"}}),
    "Projection.join": ("resnet20", {"motifs.basic.projections.skip.join": "before"}),
    "Projection.kernel": ("resnet20", KERNEL),
    "Projection.padding": ("resnet20", KERNEL),
    "Projection.mirrors": ("figure1", {"projections.B1.mirrors": None}),
    "Projection.source": (
        "figure1",
        {"populations.y2": {"path": "forward", **POPULATION}, "projections.g0.source": "y2"},
    ),
    "Projection.target": (
        "figure1",
        {"populations.d2": {"path": "feedback", **POPULATION}, "projections.g0.target": "d2"},
    ),
    "Projection.transport": ("figure1", {"modes.mirror.learn": {}, "projections.B1.transport": "exact"}),
    "Rule.constants": ("figure1", {"rules.mirror.drive": "k*pre*post", "rules.mirror.constants": {"k": 2.0}}),
    "Signal.kind": ("figure1", {"modes.mirror.signal": {"kind": "count"}}),
    "Use.motif": (
        "short forms",
        {"motifs.leaf": {**TWIG, "projections": {}}, "use.1": {"motif": "leaf", "name": "l", "inputs": {"from": "y1"}}},
    ),
}
"""Changes of fields that need another value beside them: the circuit, and all the values."""

TRIED = ["30 ms", "60 Hz", "3 mV", 2, 3, 0.25, 0.75, True, "90 Hz"]
MOST_PLACES = 2
"""Places of one field that are tried in one circuit."""


def others(name: str, annotation: Any, value: Any) -> Iterator[Any]:
    """Give values that may be another value of a field."""
    yield from SAMPLES.get(name, ())
    if name in SAMPLES:
        return
    yield from (member for literal in _literals(annotation) for member in get_args(literal) if member != value)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
        yield value / 2
    elif isinstance(value, Quantity):
        yield from (str(Quantity(value.si * factor, value.dimension)) for factor in (0.5, 2.0, 1.1))
    yield from (tried for tried in TRIED if tried != value)


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _literals(argument)


def places(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Any, Any]]:
    """Give the name of every field of a description, its dotted path, its type and its value."""
    if isinstance(part, BaseModel):
        for name, info in type(part).model_fields.items():
            here, value = (*path, info.alias or name), getattr(part, name)
            yield f"{type(part).__name__}.{name}", ".".join(here), info.annotation, value
            yield from places(value, here)
    elif isinstance(part, dict | tuple):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            yield from places(value, (*path, str(key)))


def outcome(base: Circuit, path: str, value: Any) -> str:
    """Say what becomes of a value: the circuit or the protocol changes, it is refused, or nothing happens."""
    try:
        changed = base.with_values({path: value})
        if any(problem.severity == "error" for problem in changed.problems()):
            return "refused"
    except RequestError:
        return "refused"
    same = (changed.sha256, changed.protocol_sha256) == (base.sha256, base.protocol_sha256)
    return "nothing" if same else "changes"


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, Counter[str]], list[str]]:
    """What becomes of other values, by field, and where nothing does."""
    counts: dict[str, Counter[str]] = {}
    idle: list[str] = []
    for label, base in _bases().items():
        base.check()
        read = base._validation.description
        tried = Counter[str]()
        for name, path, annotation, value in places(read):
            if name in DOCUMENTATION or name in TOGETHER or not path.startswith(LARGE.get(label, "")):
                continue
            if tried[name] >= MOST_PLACES or counts.get(name, {}).get("changes", 0):
                continue
            tried[name] += 1
            for other in others(name, annotation, value):
                what = outcome(base, path, other)
                counts.setdefault(name, Counter())[what] += 1
                if what == "nothing" and not _equal(base, path, other):
                    idle.append(f"{label}: {path} = {other!r}")
                if what == "changes":
                    break
    return counts, idle


@pytest.mark.parametrize("field", sorted(TOGETHER))
def test_what_acts_with_other_values_alone_does(field: str) -> None:
    label, values = TOGETHER[field]
    base = _bases()[label] if label != "figure1" else nm.load("figure1")
    changed = base.with_values(values)
    changed.check()
    assert (changed.sha256, changed.protocol_sha256) != (base.sha256, base.protocol_sha256)


def _equal(base: Circuit, path: str, other: Any) -> bool:
    """Whether a value is the one that stands there, in other words."""
    return base.with_values({path: other})._validation.description == base._validation.description


def test_no_value_of_any_field_does_nothing(found: tuple[dict[str, Counter[str]], list[str]]) -> None:
    assert found[1] == []


def test_every_field_acts_in_some_circuit(found: tuple[dict[str, Counter[str]], list[str]]) -> None:
    fields = {f"{model.__name__}.{name}" for model in models_of(Description, set()) for name in model.model_fields}
    acting = {name for name, counts in found[0].items() if counts["changes"]}
    assert fields - DOCUMENTATION - acting - TOGETHER.keys() - REFUSED.keys() == set()
    assert not REFUSED.keys() & acting


REFUSED = {"Projection.groups": "convolutions in groups are not built"}
"""Fields with one value that is not refused."""
