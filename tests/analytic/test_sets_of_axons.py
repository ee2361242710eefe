"""One set of axons that drives asleep and gates awake, or two sets that do so (8.4): same numbers, other lesions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chosen_circuits import circuits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import neuromirror as nm
from experiments.in_memory import simulate
from experiments.random_circuits import RATE_BACKENDS
from neuromirror.circuit.circuit import Circuit

BOTH = 'schedule=[{mode="mirror", duration="500 ms"}, {mode="engaged", duration="500 ms"}]'
RATES = 'schedule=[{mode="mirror", examples=300}, {mode="engaged", examples=300}]'
ONE = {
    **{f"projections.g{layer}": None for layer in (0, 1)},
    **{f"projections.x{layer}.roles": {"engaged": "gate"} for layer in (0, 1)},
    "modes.engaged.on": ["W1", "B1", "x0", "x1", "e1"],
}


def pairs(circuit: Circuit) -> list[tuple[str, str]]:
    """Return the drives and gates of the same cells that are never on at once, each in one pair."""
    projections, modes = circuit.description.projections, circuit.description.modes.values()
    found = dict[str, str]()
    for gate, g in projections.items():
        for drive, x in projections.items():
            same = (g.role, x.role, g.source, g.target) == ("gate", "drive", x.source, x.target)
            if same and drive not in found.values() and not any({gate, drive} <= set(mode.on) for mode in modes):
                found.setdefault(gate, drive)
    return [(drive, gate) for gate, drive in found.items()]


def in_two_sets(circuit: Circuit) -> Circuit:
    """Return the circuit with both of each pair permuted alike."""
    described, values = circuit.description, dict[str, Any]()
    for drive, gate in pairs(circuit):
        projection = described.projections[drive]
        given = projection.permutation or range(described.populations[projection.target].shape[0])
        values[f"projections.{gate}.permutation"] = list(given)
    return circuit.with_values(values)


def in_one_set(circuit: Circuit) -> Circuit:
    """Return the circuit with one projection in place of each pair."""
    values: dict[str, Any] = {}
    modes = circuit.description.modes
    replaced = {gate: drive for drive, gate in pairs(circuit)}
    for gate, drive in replaced.items():
        values[f"projections.{gate}"] = None
        values[f"projections.{drive}.roles"] = {name: "gate" for name, mode in modes.items() if gate in mode.on}
    for name, mode in modes.items():
        values[f"modes.{name}.on"] = [replaced.get(one, one) for one in mode.on]
    return circuit.with_values(values)


@pytest.mark.parametrize("backend", RATE_BACKENDS)
def test_rates_are_the_same_in_one_set_and_two(backend: str) -> None:
    """Of circuits that hypothesis makes up; rounding may differ where several gates come in another order."""

    @settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
    @given(circuit=circuits(), seed=st.integers(0, 2**32))
    def same(circuit: Circuit, seed: int) -> None:
        two = in_two_sets(circuit)
        assume(pairs(two))
        one = in_one_set(two)
        expected, found = (simulate(each, backend, seed).snapshots[-1] for each in (two, one))
        largest = max(1.0, *(float(np.abs(array).max()) for array in expected.arrays.values()))
        for name, array in expected.arrays.items():
            np.testing.assert_allclose(found.arrays[name], array, rtol=0, atol=1e-9 * largest, err_msg=name)

    same()


def test_spikes_are_the_same_in_one_set_and_two(tmp_path: Path) -> None:
    """Bit for bit, where both sets have the delay of the one."""
    two = nm.load("figure1", [BOTH, 'projections.g0.delay="3.5 ms"'])
    runs = [
        nm.run(circuit, seed=3, target="numpy", points=4, out=tmp_path / name, figures=False)
        for name, circuit in (("two", two), ("one", two.with_values(ONE)))
    ]
    for name in ("y0", "y1", "d0", "d1"):
        np.testing.assert_array_equal(runs[0].spikes(name).t_s, runs[1].spikes(name).t_s)
        np.testing.assert_array_equal(runs[0].spikes(name).cell, runs[1].spikes(name).cell)
    for name in ("W1", "B1", "y1.bias"):
        np.testing.assert_array_equal(runs[0].weights(name), runs[1].weights(name))
        assert not np.array_equal(runs[0].weights(name), runs[0].weights(name, 0))


@pytest.mark.parametrize("backend", ["reference", "torch", "brian2-rate"])
def test_permuting_the_one_set_permutes_both_effects(backend: str) -> None:
    """As permuting both of two sets does, and permuting either of them does not."""
    order = {"projections.x0.permutation": [2, 0, 1]}
    # A low baseline, so that y0 is silent at times and its gates close; B learns awake too, by what its gates let pass.
    values = {"code.beta": "10 Hz", "code.estimate": None, "modes.engaged.learn.B1": "awake"}
    two = nm.load("figure1", [RATES]).with_values(
        {**values, "rules.awake": {"drive": "post*pre", "updater": {"rate": 0.01}}}
    )

    def learned(circuit: Circuit) -> np.ndarray:
        return simulate(circuit, backend, 1).snapshots[-1].arrays["B1"]

    one = learned(two.with_values({**ONE, **order}))
    both = learned(two.with_values({**order, "projections.g0.permutation": [2, 0, 1]}))
    np.testing.assert_allclose(one, both, rtol=1e-12)
    for either in (order, {"projections.g0.permutation": [2, 0, 1]}):
        assert np.abs(learned(two.with_values(either)) - one).max() > 1e-3


@pytest.mark.parametrize("backend", ["reference", "brian2"])
def test_a_lesion_of_the_one_set_takes_both_effects_away(backend: str, tmp_path: Path) -> None:
    """Asleep d1 copies nothing and awake nothing gates it; of two sets each lesion leaves the other effect."""
    two = nm.load("figure1", [BOTH if backend == "brian2" else RATES])
    one = two.with_values(ONE)
    for circuit, lesion, drives, gates in (
        (one, "x1", False, False),
        (two, "x1", False, True),
        (two, "g1", True, False),
    ):
        left = circuit.without(lesion)
        plan = nm.plan.make_plan(left, 0, backend)
        assert ("d1" in plan.modes["mirror"].drives, "d1" in plan.modes["engaged"].gates) == (drives, gates)
        target = {"target": "numpy"} if backend == "brian2" else {}
        folder = tmp_path / f"{lesion}-{drives}-{gates}"
        run = nm.run(left, backend=backend, points=2, out=folder, figures=False, **target)
        silent = np.linalg.norm(run.weights("B1") - run.weights("B1", 0))
        assert silent > 0
    with pytest.raises(nm.RequestError, match="g1"):
        one.without("g1")


CHAIN = """
schema = 2
extends = { circuit = "chain4", without = ["schedule"] }
name = "one"
feedback.cross = "one"
schedule = [{ mode = "mirroring", examples = 40 }, { mode = "engaged", examples = 40 }]
"""


def test_the_short_form_writes_one_set_or_two(tmp_path: Path) -> None:
    """One set gates in the modes that have @gate on, and drives in the others, those of mirroring among them."""
    (tmp_path / "one.toml").write_text(CHAIN)
    (tmp_path / "two.toml").write_text(CHAIN.replace('"one"', '"two"'))
    one, two = (nm.load(tmp_path / f"{name}.toml") for name in ("one", "two"))
    described = one.description
    assert {n for n, p in described.projections.items() if p.role == "gate"} == set()
    assert described.projections["x2"].roles == {"engaged": "gate"}
    assert set(described.modes["engaged"].on) >= {"x0", "x1", "x2", "x3", "e1", "W1", "B1"}
    assert set(described.modes["mirror_y1"].on) == {"W2", "x1", "x2"}
    assert {n for n, p in two.description.projections.items() if p.role == "gate"} == {"g0", "g1", "g2", "g3"}
    found, expected = (simulate(circuit, "torch", 1).snapshots[-1].arrays for circuit in (one, two))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    again = one.expand()
    assert again.sha256 == one.sha256 != two.sha256
    assert 'engaged = "gate"' in again.to_toml()
