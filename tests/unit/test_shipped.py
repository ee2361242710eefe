"""The shipped circuits: they are checked, expanded and sized as published, and refused in few words where not run."""

from __future__ import annotations

import tomllib

import pytest

import neuromirror as nm
from neuromirror.circuit.capabilities import BACKENDS, able
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.geometry import forward_parameters
from neuromirror.circuit.load import shipped

NAMES = sorted(shipped())
WARNED = {"chain6_together", "chain6_single"}
"""Schedules of section 8.5 that are known to work badly."""


def test_all_are_there() -> None:
    chains = {"chain4", "chain6", "chain6_alternate", "chain6_together", "chain6_single"}
    residual = {"resnet18", "resnet20", "resnet50", "resnet18_norm_first", "resnet50_norm_first"}
    assert {"figure1", "figure1_push_pull", *residual, *chains} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_circuit_is_sound(name: str) -> None:
    circuit = nm.load(name)
    assert circuit.name == name.rpartition("/")[2]
    assert {problem.severity for problem in circuit.problems()} <= ({"warning"} if name in WARNED else set())
    assert (circuit.problems() != ()) == (name in WARNED)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_written_out(name: str) -> None:
    circuit = nm.load(name)
    again = Circuit(tomllib.loads(circuit.to_toml()))
    assert (again.sha256, again.protocol_sha256) == (circuit.sha256, circuit.protocol_sha256)
    assert again.to_toml() == circuit.to_toml()


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_runs_it_or_refuses_each_feature_once(name: str) -> None:
    circuit = nm.load(name)
    for backend in BACKENDS:
        refused = [problem for problem in circuit.problems(backend) if problem.severity == "error"]
        assert (refused == []) == (backend in able(circuit.description))
        assert len(refused) <= 7
        assert all(f"backend '{backend}' has no" in problem.message for problem in refused)


@pytest.mark.parametrize(
    ("name", "parameters", "arrays"),
    [
        ("resnet18", 11_689_512, 21),
        ("resnet50", 25_557_032, 54),
        ("resnet18_norm_first", 11_689_512, 21),
        ("resnet50_norm_first", 25_557_032, 54),
        ("figure1", 8, 1),
        ("chain4", 3 * 420, 3),
    ],
)
def test_the_forward_path_has_the_published_size(name: str, parameters: int, arrays: int) -> None:
    """He et al. 2016, as torchvision counts them: weights, biases of the head, gains and shifts of batch norm."""
    assert forward_parameters(nm.load(name).description) == (parameters, arrays)


def test_resnet20_has_the_size_of_its_paper() -> None:
    """0.27 million (He et al. 2016, section 4.2), and two convolutions in shortcuts besides its 20 weighted layers."""
    parameters, arrays = forward_parameters(nm.load("resnet20").description)
    assert round(parameters / 1e6, 2) == 0.27
    assert arrays == 20 + 2


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_norm_first_is_the_same_circuit_in_another_order(name: str) -> None:
    after, before = nm.load(name).description, nm.load(f"{name}_norm_first").description
    assert {p.norm.when for p in before.populations.values() if p.norm is not None} == {"before"}
    assert {p.join for p in before.projections.values() if p.connector == "shortcut"} == {"before"}
    populations = {
        key: p if p.norm is None else p.model_copy(update={"norm": p.norm.model_copy(update={"when": "before"})})
        for key, p in after.populations.items()
    }
    projections = {
        key: p if p.join is None else p.model_copy(update={"join": "before"}) for key, p in after.projections.items()
    }
    changed = {"populations": populations, "projections": projections, "name": before.name, "about": before.about}
    assert after.model_copy(update=changed) == before


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("resnet")])
def test_every_weight_but_the_first_is_mirrored_by_turns(name: str) -> None:
    found = nm.load(name).description
    weights = {n for n, p in found.projections.items() if p.weight is not None and p.mirrors is None}
    mirrored = {p.mirrors for p in found.projections.values() if p.weight is not None and p.mirrors is not None}
    assert weights - mirrored == {"W_stem"}
    learned = {b for mode in found.modes.values() for b in mode.learn if mode.noise}
    assert {found.projections[b].mirrors for b in learned} == mirrored
    assert set(found.modes["engaged"].learn) >= weights
