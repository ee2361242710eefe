"""Spiking circuits whose B follows its W, which no synapse could: for comparison with those that learn it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.base import Options
from neuromirror.circuit.circuit import Circuit

AWAKE = 'schedule=[{mode="engaged", duration="2 s"}]'
TARGETS = ["numpy", "cpp_standalone"]
MASK = [[1, 0, 1], [1, 1, 0]]


def masked(*, b_too: bool) -> list[str]:
    """Return changes that leave out synapses of W1, and where asked those of B1 that answer them."""
    of_b = np.transpose(MASK).tolist() if b_too else np.ones((3, 2), int).tolist()
    return [f"projections.W1.mask={MASK}", f"projections.B1.mask={of_b}"]


def runs(circuit: Circuit, target: str, out: Path) -> list[nm.Run]:
    options = Options(target=target, points=4)
    return nm.run_seeds(circuit, backend="brian2", seeds=[0, 1], options=options, out=out, figures=False)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mask", [pytest.param([], marks=pytest.mark.slow), masked(b_too=True)], ids=["all", "masked"])
def test_b_is_what_its_method_says_of_the_w_that_has_learned(target: str, mask: list[str], tmp_path: Path) -> None:
    circuit = nm.load("figure1", [AWAKE, *mask])
    for method in ("bp", "ss", "wt0"):
        for run in runs(circuit.method(method), target, tmp_path / method):
            first = run.weights("W1", run.weight_steps()[0]), run.weights("B1", run.weight_steps()[0])
            W, B = run.weights("W1"), run.weights("B1")
            assert np.abs(W - first[0]).max() > 0.05, "W has learned"
            match method:
                case "bp":
                    np.testing.assert_array_equal(B, W.T)
                case "ss":
                    np.testing.assert_array_equal(B, np.abs(first[1]) * np.sign(W.T))
                case "wt0":
                    np.testing.assert_array_equal(B, first[0].T)


@pytest.mark.parametrize("target", TARGETS)
def test_what_transmits_is_the_weight_of_the_moment(target: str, tmp_path: Path) -> None:
    """A B that follows W lets cells fire as one that has the same values of its own; W rests, so that both can."""
    rests = nm.load("figure1", [AWAKE, *masked(b_too=True), 'modes.engaged.learn={ "y1.bias" = "bias" }'])
    values = {method: runs(rests.method(method), target, tmp_path / method) for method in ("bp", "wt0")}
    for exact, initial in zip(values["bp"], values["wt0"], strict=True):
        for name in ("d0", "d1"):
            np.testing.assert_array_equal(exact.spikes(name).t_s, initial.spikes(name).t_s)
            np.testing.assert_array_equal(exact.spikes(name).cell, initial.spikes(name).cell)


def test_signs_that_transmit_are_those_of_w(tmp_path: Path) -> None:
    """Cells fire as they do with a B that has these values of its own: |B| as it began, with the signs of Wᵀ."""
    rests = nm.load("figure1", [AWAKE, 'modes.engaged.learn={ "y1.bias" = "bias" }'])
    signs = nm.run(rests.method("ss"), target="numpy", points=4, out=tmp_path / "ss", figures=False)
    drawn = nm.run(rests.method("fa"), target="numpy", points=4, out=tmp_path / "fa", figures=False)
    W, B = drawn.weights("W1"), drawn.weights("B1")
    assert (np.sign(B) != np.sign(W.T)).any()
    assert (B < 0).any()
    values = {"init": "values", "values": (np.abs(B) * np.sign(W.T)).tolist()}
    given = nm.run(
        rests.method("fa").with_values({"projections.B1.weight": values}),
        target="numpy",
        points=4,
        out=tmp_path / "given",
        figures=False,
    )
    np.testing.assert_array_equal(signs.weights("W1"), given.weights("W1"))
    np.testing.assert_array_equal(signs.spikes("d0").t_s, given.spikes("d0").t_s)
    assert not np.array_equal(drawn.spikes("d0").t_s, given.spikes("d0").t_s)


def test_b_has_no_synapse_that_its_w_has_not(tmp_path: Path) -> None:
    circuit = nm.load("figure1", [AWAKE, *masked(b_too=False)]).method("bp")
    for run in runs(circuit, "numpy", tmp_path / "run"):
        np.testing.assert_array_equal(run.weights("B1"), run.weights("W1").T)
        assert (run.weights("B1")[np.transpose(MASK) == 0] == 0).all()


def test_signs_of_pairs_are_for_rates(tmp_path: Path) -> None:
    circuit = nm.load("figure1_push_pull").method("ss")
    assert [problem.name for problem in circuit.problems("brian2")] == ["signs-of-pairs"]
    assert not circuit.problems("torch")
