"""Circuits for other images: sizes, channels and classes, on both paths."""

from __future__ import annotations

from typing import Any

import pytest

import neuromirror as nm
from neuromirror.circuit.fit import ends, flat_side, forward_path
from neuromirror.errors import RequestError

Tables = dict[str, Any]
SHIPPED = ("resnet18", "resnet20", "resnet50")


def shapes(circuit: nm.Circuit) -> dict[str, tuple[int, ...]]:
    return {name: population.shape for name, population in circuit.description.populations.items()}


def net(populations: Tables, projections: Tables) -> nm.Circuit:
    return nm.Circuit(
        {
            "name": "net",
            "code": {"kind": "zero_mean"},
            "cells": {"relu": {}},
            "populations": {
                name: {"path": "forward", "layer": layer, "shape": shape, "cell": "relu"}
                for layer, (name, shape) in enumerate(populations.items())
            },
            "projections": {
                name: {"source": name.split("_")[1], "target": name.split("_")[2], **p}
                for name, p in projections.items()
            },
            "feedback": {},
        }
    )


CONV: Tables = {"connector": "conv", "weight": {}}
POOL: Tables = {"connector": "pool", "pool": "max"}
DENSE: Tables = {"connector": "all_to_all", "weight": {}}
SMALL = net(
    {"image": [2, 9, 8], "a": [3, 4, 4], "p": [3, 2, 2], "b": [3, 2, 2], "whole": [3, 1, 1], "out": [5]},
    {
        "W_image_a": {**CONV, "kernel": [3, 2], "stride": 2, "padding": 0},
        "P_a_p": {**POOL, "kernel": 2, "stride": 2},
        "W_p_b": {**CONV, "kernel": 3, "padding": 1},
        "S_p_b": {"connector": "shortcut", "join": "after"},
        "P_b_whole": {**POOL, "pool": "average", "kernel": 2},
        "W_whole_out": DENSE,
    },
)
"""A strided convolution, pools of a window and of a whole image, a shortcut, and a head."""


@pytest.mark.parametrize("circuit", [*SHIPPED, "chain4", "digits", SMALL], ids=str)
def test_a_circuit_that_fits_already_stays_as_it_is(circuit: str | nm.Circuit) -> None:
    circuit = nm.load(circuit) if isinstance(circuit, str) else circuit
    populations = circuit.description.populations
    below, above, _ = ends(forward_path(circuit.description))
    said: Tables = {"classes": populations[above].shape[0]}
    if len(populations[below].shape) == 3:
        said |= {"channels": populations[below].shape[0], "size": populations[below].shape[1:]}
    for fitted in (circuit.fitted(), circuit.fitted(**said)):
        assert (fitted.sha256, fitted.protocol_sha256) == (circuit.sha256, circuit.protocol_sha256)


def test_sizes_run_through_windows_and_stop_at_the_pool_of_a_whole_image() -> None:
    fitted = SMALL.fitted(size=(21, 12), channels=4, classes=7)
    fitted.check()
    assert shapes(fitted) == {
        "image": (4, 21, 12), "a": (3, 10, 6), "p": (3, 5, 3), "b": (3, 5, 3), "whole": (3, 1, 1), "out": (7,),
        "d_image": (4, 21, 12), "d_a": (3, 10, 6), "d_p": (3, 5, 3), "d_b": (3, 5, 3), "d_whole": (3, 1, 1),
        "d_out": (7,),
    }  # fmt: skip
    kernels = {name: p.kernel for name, p in fitted.description.projections.items() if p.kernel is not None}
    assert kernels == {
        "W_image_a": (3, 2), "B_W_image_a": (3, 2), "P_a_p": (2, 2), "B_P_a_p": (2, 2), "W_p_b": (3, 3),
        "B_W_p_b": (3, 3), "P_b_whole": (5, 3), "B_P_b_whole": (5, 3),
    }  # fmt: skip


def test_what_is_not_said_stays() -> None:
    before = shapes(SMALL)
    assert shapes(SMALL.fitted(channels=1)) == before | {"image": (1, 9, 8), "d_image": (1, 9, 8)}
    assert shapes(SMALL.fitted(classes=2)) == before | {"out": (2,), "d_out": (2,)}
    wider = shapes(SMALL.fitted(size=(9, 12)))
    assert (wider["image"], wider["a"], wider["out"]) == ((2, 9, 12), (3, 4, 6), (5,))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_fit_other_images(name: str) -> None:
    circuit = nm.load(name)
    fitted = circuit.fitted(channels=1, size=(28, 28), classes=7)
    fitted.check()
    before, after = shapes(circuit), shapes(fitted)
    assert after["image"] == (1, 28, 28)
    assert (after["head"], after["d_head"]) == ((7,), (7,))
    assert after["pool"] == before["pool"]
    for population, shape in after.items():
        if f"d_{population}" in after:
            assert after[f"d_{population}"] == shape
        if population not in ("image", "d_image"):
            assert len(shape) == len(before[population])
            assert shape[0] == before[population][0] or population.endswith("head")
    again = fitted.fitted(channels=before["image"][0], size=before["image"][1:], classes=before["head"][0])
    assert again.sha256 == circuit.sha256


def test_a_dense_circuit_keeps_its_input() -> None:
    circuit = nm.load("chain4")
    before, after = shapes(circuit), shapes(circuit.fitted(channels=3, size=(5, 5), classes=4))
    assert after == before | {"y3": (4,), "d3": (4,)}


def test_an_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(RequestError, match=r"projections\.W_image_a: its kernel does not fit into 2×8"):
        SMALL.fitted(size=(2, 8))
    with pytest.raises(RequestError, match=r"projections\.P_a_p: its kernel does not fit into 1×4"):
        SMALL.fitted(size=(4, 8))
    assert shapes(SMALL.fitted(size=(5, 4)))["b"] == (3, 1, 1)


@pytest.mark.parametrize(
    "said", [{"channels": 0}, {"classes": 0}, {"size": (0, 9)}, {"size": (9, -1)}, {"classes": -2}]
)
def test_sizes_are_whole_numbers_from_one(said: Tables) -> None:
    with pytest.raises(RequestError, match=f"{next(iter(said))}.*at least 1"):
        SMALL.fitted(**said)


@pytest.mark.parametrize(
    ("populations", "projections", "says"),
    [
        ({"a": [2], "b": [2], "c": [2]}, {"W_a_c": DENSE, "W_b_c": DENSE}, "one input, but this circuit has a, b"),
        ({"a": [2], "b": [2], "c": [2]}, {"W_a_b": DENSE, "W_a_c": DENSE}, "one output, but this circuit has b, c"),
        ({"a": [2]}, {}, "one input, but this circuit has none"),
    ],
)
def test_a_circuit_has_one_input_and_one_output(populations: Tables, projections: Tables, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        net(populations, projections).fitted(classes=2)


def test_images_that_fill_a_flat_input_are_square() -> None:
    assert (flat_side(64, 1), flat_side(3 * 25, 3), flat_side(784, 1)) == (8, 5, 28)
    assert (flat_side(63, 1), flat_side(64, 3), flat_side(2, 3)) == (None, None, None)
