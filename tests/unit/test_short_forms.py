"""The feedback path, the modes of mirroring and groups, as they are written out."""

from __future__ import annotations

from typing import Any

import pytest

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Mode
from neuromirror.circuit.load import from_text
from neuromirror.errors import CircuitError

CHAIN: dict[str, Any] = {
    "name": "chain",
    "code": {"kind": "zero_mean"},
    "cells": {"cell": {}},
    "layers": {"sizes": [3, 4, 5, 6, 7], "bias": {}},
    "feedback": {"skip": ["W1"]},
    "rules": {name: {"drive": name, "updater": {"rate": 0.1}} for name in ("forward", "bias", "weight_mirror")},
    "stimulus": {"kind": "teacher"},
}


def modes(turns: str, **more: Any) -> dict[str, Mode]:
    mirroring = {"turns": turns, "rule": "weight_mirror", "noise": {"sd": 0.5}, **more}
    return Circuit({**CHAIN, "mirroring": mirroring}).description.modes


def said(mode: Mode) -> tuple[set[str], set[str], set[str]]:
    """Return what is noisy, what is on and what learns."""
    return set(mode.noise), set(mode.on), set(mode.learn)


def test_each_layer_is_noisy_in_turn() -> None:
    found = modes("each")
    assert {name: said(mode) for name, mode in found.items()} == {
        f"mirror_y{n}": ({f"y{n}"}, {f"W{n + 1}", f"x{n}", f"x{n + 1}"}, {f"B{n + 1}"}) for n in (1, 2, 3)
    }
    assert all(mode.noise[name].sd == 0.5 for mode in found.values() for name in mode.noise)
    assert {mode.bias for mode in found.values()} == {"blocked"}


def test_every_second_layer_is_noisy() -> None:
    found = modes("alternate", bias="on")
    assert said(found["mirror_even"]) == ({"y2"}, {"W3", "x2", "x3"}, {"B3"})
    assert said(found["mirror_odd"]) == ({"y1", "y3"}, {"W2", "W4", "x1", "x2", "x3", "x4"}, {"B2", "B4"})
    assert {mode.bias for mode in found.values()} == {"on"}


def test_what_leads_into_a_noisy_layer_may_be_left_on() -> None:
    """It transmits, and its own B does not learn by that."""
    each, alternate = modes("each", own_input="on"), modes("alternate", own_input="on")
    assert said(each["mirror_y3"]) == ({"y3"}, {"W3", "W4", "x3", "x4"}, {"B4"})
    assert said(alternate["mirror_even"]) == ({"y2"}, {"W2", "W3", "x2", "x3"}, {"B3"})
    odd = ({"y1", "y3"}, {"W1", "W2", "W3", "W4", "x1", "x2", "x3", "x4"}, {"B2", "B4"})
    assert said(alternate["mirror_odd"]) == odd
    for turns in ("together", "single"):
        with pytest.raises(CircuitError, match=r"mirroring\.own_input: does nothing here"):
            modes(turns, own_input="on")


@pytest.mark.parametrize(("turns", "noisy"), [("together", {"y1", "y2", "y3"}), ("single", {"y1"})])
def test_all_learn_at_once(turns: str, noisy: set[str]) -> None:
    (mode,) = modes(turns).values()
    assert said(mode)[0] == noisy
    assert said(mode)[2] == {"B2", "B3", "B4"}
    assert {"W1", "W2", "W3", "W4"} <= set(mode.on)


def test_a_step_of_mirroring_is_one_of_each_of_its_modes() -> None:
    steps = [{"repeat": 2, "steps": [{"mode": "mirroring", "examples": 7}, {"mode": "other", "duration": "1 s"}]}]
    circuit = Circuit({**CHAIN, "mirroring": {"rule": "weight_mirror"}, "modes": {"other": {}}, "schedule": steps})
    found = [(step.mode, step.examples) for step in circuit.description.schedule]  # type: ignore[union-attr]
    assert found == [("mirror_y1", 7), ("mirror_y2", 7), ("mirror_y3", 7), ("other", None)] * 2


def test_a_mode_that_the_file_states_itself_wins() -> None:
    circuit = Circuit({**CHAIN, "mirroring": {"rule": "weight_mirror"}, "modes": {"mirror_y2": {"on": ["W4"]}}})
    assert circuit.description.modes["mirror_y2"].on == ("W4",)


def test_mirroring_of_alternate_layers_is_without_warnings() -> None:
    for turns in ("each", "alternate"):
        problems = Circuit({**CHAIN, "mirroring": {"turns": turns, "rule": "weight_mirror"}}).problems()
        assert [(p.name, p.path) for p in problems] == [("unreachable", "populations.y0")], "there is no engaged mode"


def test_a_noisy_layer_that_is_driven_is_warned_of() -> None:
    mirroring = {"turns": "alternate", "own_input": "on", "rule": "weight_mirror"}
    names = {problem.name for problem in Circuit({**CHAIN, "mirroring": mirroring}).problems()}
    assert "noisy-layer-driven" in names


def test_groups_stand_for_their_members_and_names_win() -> None:
    engaged = {"on": ["@forward", "@feedback", "@gate", "@error", "x1"], "learn": {"@W": "forward", "@bias": "bias"}}
    engaged["learn"]["W2"] = "weight_mirror"
    engaged |= {"input": {"y0": "stimulus"}, "compare": {"d4": "y4 - target"}}
    found = Circuit({**CHAIN, "modes": {"engaged": engaged}}).description.modes["engaged"]
    assert set(found.on) == {
        *(f"W{n}" for n in range(1, 5)), *(f"B{n}" for n in range(2, 5)), *(f"g{n}" for n in range(1, 5)),
        *(f"e{n}" for n in range(1, 5)), "x1",
    }  # fmt: skip
    assert found.learn == {
        "W1": "forward", "W2": "weight_mirror", "W3": "forward", "W4": "forward",
        "y1.bias": "bias", "y2.bias": "bias", "y3.bias": "bias", "y4.bias": "bias",
    }  # fmt: skip


def test_a_group_that_there_is_not_is_refused() -> None:
    problems = Circuit({**CHAIN, "modes": {"one": {"on": ["@forwrad"]}}}).problems()
    assert [problem.name for problem in problems] == ["unknown-projection"]


def test_the_feedback_path_of_named_populations() -> None:
    images = {
        "image": {"path": "forward", "layer": 0, "shape": [2, 6, 6], "cell": "cell"},
        "maps": {"path": "forward", "layer": 1, "shape": [4, 4, 4], "cell": "cell"},
        "small": {"path": "forward", "layer": 2, "shape": [4, 2, 2], "cell": "cell"},
    }
    up = {
        "block_Wa": {"source": "image", "target": "maps", "connector": "conv", "kernel": 3, "weight": {"gain": 2.0}},
        "pool": {"source": "maps", "target": "small", "connector": "pool", "pool": "max", "kernel": 2, "stride": 2},
    }
    tables = {
        "name": "n",
        "code": CHAIN["code"],
        "cells": CHAIN["cells"],
        "feedback": {"weight": {"gain": 0.3}, "distinct": False},
    }
    found = Circuit({**tables, "populations": images, "projections": up}).description
    assert {n for n, p in found.populations.items() if p.path == "feedback"} == {"d_image", "d_maps", "d_small"}
    assert found.populations["d_maps"].shares == "maps"
    B, pool = found.projections["block_Ba"], found.projections["B_pool"]
    assert (B.source, B.target, B.mirrors, B.connector, B.kernel) == ("d_maps", "d_image", "block_Wa", "conv", (3, 3))
    assert B.weight is not None
    assert B.weight.gain == 0.3
    assert (pool.source, pool.target, pool.mirrors, pool.weight, pool.stride) == ("d_small", "d_maps", "pool", None, 2)
    assert {"x_image", "g_image", "x_maps", "g_maps", "e_maps", "x_small", "g_small", "e_small"} <= set(
        found.projections
    )
    assert "e_image" not in found.projections


SHORT = """name = "short"
code = { kind = "zero_mean" }
[cells.cell]
[layers]
sizes = [3, 2]
[feedback]
distinct = true
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[3, 2]", "[3, 2]\ncell = 'cel'", "6  layers.cell: there is no cell 'cel'. Did you mean 'cell'?"),
        ("= true", "= true\ncell = 'cel'", "8  feedback.cell: there is no cell 'cel'. Did you mean 'cell'?"),
        ("[cells.cell]", "[cells]", "4  layers.cell: there is no cell 'cell'. There are none."),
        ("[3, 2]", "[3, 'a']", "5  layers.sizes.1: found 'a', expected a whole number."),
        ("[3, 2]", "[3, 1e9]", "5  layers.sizes.1: found 1000000000.0, expected a whole number."),
        ("sizes =", "size =", "5  layers.size: unknown field. Did you mean 'sizes'?"),
        ("[3, 2]\n", "[3, 2]\ncell = 'cel'\ngian = 1.0\n", None),
        (
            "[3, 2]",
            "[1000000000, 1000000000]",
            "4  projections: 2000000000000000000 weights in all; at most 2147483648 are simulated.",
        ),
    ],
)
def test_a_fault_of_a_short_form_is_said_once_where_it_is(old: str, new: str, says: str | None) -> None:
    assert from_text(SHORT).problems() == ()
    problems = from_text(SHORT.replace(old, new), file="f.toml").problems()
    if says is None:
        assert [problem.path for problem in problems] == ["layers.cell", "layers.gian"]
    else:
        assert [str(problem) for problem in problems] == [f"error: f.toml:{says}"]
