"""A weight that a mode's ``learn`` does not list is bit-identical after the mode, on every backend and target."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.circuit.capabilities import able

WAYS = [
    ("brian2", "numpy"),
    pytest.param("brian2", "cython", marks=pytest.mark.slow),
    pytest.param("brian2", "cpp_standalone", marks=pytest.mark.slow),
    ("torch", "auto"),
    ("brian2-rate", "auto"),
    ("reference", "auto"),
]
CODES = {
    "baseline": [],
    "push_pull": ['code.kind="push_pull"'],
    "push_pull under Dale's law": ['code.kind="push_pull"', "code.dale=true"],
    "zero_mean": ['code.kind="zero_mean"', "code.beta=", "code.estimate=", 'cells.cell.activation="linear"'],
}
RULES = {"mirror": {"W1": "mirror", "B1": "mirror"}, "engaged": {"W1": "forward", "B1": "mirror"}}
"""By which rule each array would learn in each mode."""

taught = st.sets(st.sampled_from(["W1", "B1"]))


def learn(mode: str, names: set[str]) -> str:
    """Give what a mode teaches, for ``--set``."""
    rules = {**RULES[mode], "y1.bias": "bias"}
    return f"modes.{mode}.learn={{{', '.join(f'{json.dumps(name)} = {rules[name]!r}' for name in sorted(names))}}}"


@pytest.mark.parametrize(("backend", "target"), WAYS)
@pytest.mark.parametrize("code", [pytest.param(one, marks=pytest.mark.slow) if "Dale" in one else one for one in CODES])
@given(asleep=taught, awake=taught, biases=st.booleans(), seed=st.integers(0, 2**31))
@example(asleep=set(), awake=set(), biases=False, seed=0)
@example(asleep={"B1"}, awake={"W1"}, biases=True, seed=1)
@example(asleep={"B1", "W1"}, awake={"B1"}, biases=False, seed=2)
@settings(max_examples=3, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_not_listed_keeps_every_bit(
    code: str, backend: str, target: str, asleep: set[str], awake: set[str], biases: bool, seed: int
) -> None:
    """And what is listed moves, so that the comparison could fail."""
    changes = [
        *CODES[code],
        learn("mirror", asleep),
        learn("engaged", awake := awake | ({"y1.bias"} if biases else set())),
        'time.settle="0 ms"',
        'schedule=[{mode="mirror", examples=40}, {mode="engaged", examples=10}, {mode="mirror", examples=20}]',
    ]
    circuit = nm.load("figure1", changes)
    if backend not in able(circuit.description):
        pytest.skip(f"{backend} has no such code")
    with tempfile.TemporaryDirectory() as folder:
        run = nm.run(circuit, backend=backend, target=target, seed=seed, out=Path(folder) / "run", figures=False)
        listed = {"mirror": asleep, "engaged": awake}
        for phase, (before, after) in zip(run.manifest.phases, pairwise(run.weight_steps()), strict=True):
            for name in ("W1", "B1", "y1.bias"):
                same = run.weights(name, before).tobytes() == run.weights(name, after).tobytes()
                assert same == (name not in listed[phase["mode"]]), (phase, name)
