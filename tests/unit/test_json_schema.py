"""The JSON Schema of circuit files takes what the package takes, and refuses what is wrong in itself."""

from __future__ import annotations

import json
import tomllib

import jsonschema
import pytest

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description
from neuromirror.circuit.json_schema import json_schema
from neuromirror.circuit.load import load, shipped

SCHEMA = json.loads(json.dumps(json_schema()))
FIGURE1 = shipped()["figure1"].read_text(encoding="utf-8")


def wrong(text: str) -> list[str]:
    """Return the dotted places that the schema finds fault with."""
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(tomllib.loads(text))
    return [".".join(map(str, error.absolute_path)) for error in found]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(Description.model_fields) - {"schema_"} <= set(SCHEMA["properties"])


@pytest.mark.parametrize("name", sorted(shipped()))
def test_it_takes_the_shipped_files_short_and_long(name: str) -> None:
    assert wrong(shipped()[name].read_text(encoding="utf-8")) == []
    assert wrong(load(name).to_toml()) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('beta = "100 Hz"', "beta = 100", "code.beta"),
        ('beta = "100 Hz"', 'beta = "100 ms"', "code.beta"),
        ('tau_m = "20 ms"', 'tau_n = "20 ms"', "cells.cell"),
        ('activation = "relu"', 'activation = "rleu"', "cells.cell.activation"),
        ("layer = 0", "layer = -1", "populations.y0.layer"),
        ("rate = 0.01 }\n[rules.bias]", 'rate = "fast" }\n[rules.bias]', "rules.forward.updater.rate"),
        ('memory = "60 s"', "memory = 0", "rules.mirror.updater.memory"),
        ('name = "figure1"', "", ""),
        ("batch = 50", "batch = 5.5", "time.batch"),
        ("schema = 2", "schema = 1", "schema"),
    ],
)
def test_it_refuses_what_the_package_refuses(old: str, new: str, place: str) -> None:
    text = FIGURE1.replace(old, new, 1)
    assert text != FIGURE1
    assert place in wrong(text)
    assert Circuit(tomllib.loads(text)).problems()


def test_a_file_that_extends_another_needs_nothing_of_its_own() -> None:
    assert wrong('extends = "figure1"') == []
    assert wrong('extends = { circuit = "figure1", without = ["projections.g0"] }') == []
    assert wrong("extends = 3") == ["extends"]
