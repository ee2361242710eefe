"""Hashes, long forms and graphs: the same circuit however it is written, and another one as soon as it differs."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import CIRCUIT_PARTS, PROTOCOL_PARTS, Description
from neuromirror.circuit.graph import modes_of, sides
from neuromirror.circuit.load import from_text, load, shipped
from neuromirror.errors import CircuitError

TEXT = shipped()["figure1"].read_text(encoding="utf-8")
TABLES = tomllib.loads(TEXT)
BARE = {key: TABLES[key] for key in ("schema", "name", "code", "cells", "rules")}
SHORT = {
    **{key: value for key, value in TABLES.items() if key not in ("populations", "projections")},
    "layers": {"sizes": [3, 2], "bias": {"init": "constant"}},
    "feedback": {"cross_delay": "3.5 ms"},
}


def hashes(circuit: Circuit) -> tuple[str, str]:
    """Give the hashes of circuit and protocol."""
    return circuit.sha256, circuit.protocol_sha256


def figure1(*changes: str) -> Circuit:
    """Give Figure 1 with some changes, as after ``--set``."""
    return from_text(TEXT, changes=changes)


@st.composite
def chains(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the short form of a chain of two to five layers with its feedback path."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    forward = [f"W{layer}" for layer in range(1, len(sizes))]
    layers = {"sizes": sizes, "weight": {"gain": draw(st.sampled_from([0.5, 1.0, 2.0]))}}
    if draw(st.booleans()):
        layers["bias"] = {"init": "normal", "gain": 0.1}
    feedback = {
        "skip": draw(st.lists(st.sampled_from(forward), unique=True)),
        "cross_delay": draw(st.sampled_from(["0 s", "1 ms", "3.5 ms"])),
        "transport": draw(st.sampled_from(["none", "exact"])),
    }
    if len(feedback["skip"]) == len(forward):  # the feedback path of the output alone: there is no B, and no delay
        feedback = {"skip": feedback["skip"]}
    return {**BARE, "layers": layers, "feedback": feedback}


@st.composite
def shuffled(draw: st.DrawFn, tables: Any) -> Any:
    """Draw the same tables with the keys of each in another order."""
    if isinstance(tables, dict):
        return {key: draw(shuffled(tables[key])) for key in draw(st.permutations(list(tables)))}
    return [draw(shuffled(item)) for item in tables] if isinstance(tables, list) else tables


@given(shuffled(TABLES))
@settings(deadline=None, max_examples=60)
def test_the_order_of_keys_changes_nothing(tables: dict[str, Any]) -> None:
    figure, other = Circuit(TABLES), Circuit(tables)
    assert hashes(other) == hashes(figure)
    assert other.to_toml() == figure.to_toml()
    assert list(other.graph.edges(keys=True)) == list(figure.graph.edges(keys=True))
    assert list(other.graph) == list(figure.graph)


@given(st.permutations(TABLES["modes"]["engaged"]["on"]), st.integers(0, 4))
@settings(deadline=None, max_examples=20)
def test_what_is_on_is_a_set(on: list[str], again: int) -> None:
    tables = copy.deepcopy(TABLES)
    tables["modes"]["engaged"]["on"] = [*on, on[again]]
    assert hashes(Circuit(tables)) == hashes(Circuit(TABLES))


def test_the_order_of_the_schedule_and_of_a_permutation_matters() -> None:
    backwards = Circuit({**TABLES, "schedule": TABLES["schedule"][::-1]})
    assert backwards.protocol_sha256 != Circuit(TABLES).protocol_sha256
    permutations = ([0, 1, 2], [0, 2, 1], [1, 2, 0])
    assert len({figure1(f"projections.x0.permutation={order}").sha256 for order in permutations}) == 3


def entries(tables: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield every value of nested tables that is no table itself, with its path."""
    if isinstance(tables, dict | list):
        for key, value in tables.items() if isinstance(tables, dict) else enumerate(tables):
            yield from entries(value, (*path, key))
    else:
        yield path, tables


def replaced(tables: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """Give a copy of nested tables with one value replaced."""
    result = copy.deepcopy(tables)
    here: Any = result
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return result


TIMES = [
    path
    for path, value in entries(TABLES)
    if re.fullmatch(r"[\d.]+ m?s", str(value)) and path[-1] not in ("refractory", "dt") and path != ("time", "window")
]


@given(path=st.sampled_from(TIMES), microseconds=st.integers(100_000, 4_000_000))
@settings(deadline=None, max_examples=60)
def test_equal_times_in_other_units_are_equal_circuits(path: tuple[str | int, ...], microseconds: int) -> None:
    texts = [
        f"{microseconds} us",
        f"{microseconds}.000µs",
        f"{Decimal(microseconds).scaleb(-3):f} ms",
        f"  {Decimal(microseconds).scaleb(-6):f}   s ",
        f"{microseconds}e-6 s",
        f"+{Decimal(microseconds).scaleb(-6):f}s",
    ]
    circuits = [Circuit(replaced(TABLES, path, text)) for text in texts]
    assert len({hashes(circuit) for circuit in circuits}) == 1
    assert len({circuit.to_toml() for circuit in circuits}) == 1
    other = Circuit(replaced(TABLES, path, f"{microseconds + 1} us"))
    assert hashes(other) != hashes(circuits[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("code.beta=100 Hz", "code.beta=0.1 kHz"),
        ("cells.cell.noise=8 mV", "cells.cell.noise=0.008 V"),
        ("cells.cell.tau_m=20 ms", "cells.cell.tau_m=0.02 s"),
        ("rules.mirror.updater.memory=1 min", "rules.mirror.updater.memory=60 s"),
        ("rules.mirror.updater.memory=0.5 h", "rules.mirror.updater.memory=30 min"),
        ("rules.mirror.updater.decay=2", "rules.mirror.updater.decay=2.0"),
        ("modes.mirror.noise.y0.sd=2", "modes.mirror.noise.y0.sd=2.0"),
        ("projections.x1.delay=0 s", "projections.x1.delay=0 ms"),
        ("projections.x1.delay=0 s", "projections.x1.delay=-0 s"),
        ("populations.y1.bias.value=0.0", "populations.y1.bias.value=-0.0"),
        ("rules.forward.updater.decay=0.0", "rules.forward.updater.decay=-0.0"),
    ],
)
def test_equal_values_are_equal_circuits(one: str, other: str) -> None:
    assert hashes(figure1(one)) == hashes(figure1(other))


def test_defaults_may_be_written_out() -> None:
    assert hashes(figure1("projections.x1.delay=0 s", "cells.cell.v_rest=-70 mV", "schema=")) == hashes(figure1())


@given(chains())
@example(TABLES)
@example(SHORT)
@settings(deadline=None, max_examples=40)
def test_a_circuit_comes_back_from_its_text_and_its_long_form(tables: dict[str, Any]) -> None:
    circuit = Circuit(tables)
    for again in (from_text(circuit.to_toml()), circuit.expand(), circuit.expand().expand()):
        assert again.problems() == circuit.problems() == ()
        assert hashes(again) == hashes(circuit)
        assert again.description == circuit.description
        assert again.to_toml() == circuit.to_toml()


@given(st.floats(1e-6, 1e6), st.sampled_from(["us", "ms", "s", "min"]), st.floats(1e-6, 1e6))
@example(3.2432484338270954e-06, "ms", 9.159944803568848e-06)
@settings(deadline=None, max_examples=60)
def test_a_quantity_of_any_precision_comes_back_from_the_text(value: float, unit: str, threshold: float) -> None:
    tables = replaced(TABLES, ("cells", "cell", "tau_m"), f"{value!r} {unit}")
    circuit = Circuit(replaced(tables, ("cells", "cell", "v_threshold"), f"{threshold!r} mV"))
    again = from_text(circuit.to_toml())
    assert again.description == circuit.description
    assert hashes(again) == hashes(circuit)


@given(st.text(st.characters(codec="utf-8"), max_size=20))
@settings(deadline=None, max_examples=60)
def test_any_text_comes_back_from_the_text(about: str) -> None:
    assert from_text(Circuit({**TABLES, "about": about}).to_toml()).description.about == about


CIRCUIT_CHANGES = [
    "code.beta=90 Hz",
    "cells.cell.tau_m=21 ms",
    "cells.other={}",
    "populations.y1.bias.value=0.5",
    "projections.W1.weight.gain=2",
    "projections.g1=",
    "rules.forward.updater.rate=0.02",
    "rules.more={drive='bias', updater={rate=1}}",
    "modes.mirror.noise.y0.sd=1.5",
    "modes.mirror.window=3 ms",
    "modes.idle={}",
]
PROTOCOL_CHANGES = [
    "stimulus.sd=2",
    "schedule.0.duration=21 s",
    "schedule.1=",
    "schedule=",
    "schedule.0={mode='mirror', examples=8000}",
    "time.batch=51",
    "time.dt=0.1 ms",
    "training.epochs=3",
]


@pytest.mark.parametrize("change", CIRCUIT_CHANGES)
def test_a_change_of_the_circuit_changes_its_hash_alone(change: str) -> None:
    without = ["modes.engaged.on=['W1', 'B1', 'g0', 'e1']"] if "g1" in change else []
    before, after = figure1(*without), figure1(*without, change)
    assert after.sha256 != before.sha256
    assert after.protocol_sha256 == before.protocol_sha256


@pytest.mark.parametrize("change", PROTOCOL_CHANGES)
def test_a_change_of_the_protocol_changes_its_hash_alone(change: str) -> None:
    assert figure1(change).protocol_sha256 != figure1().protocol_sha256
    assert figure1(change).sha256 == figure1().sha256


@pytest.mark.parametrize("change", ["about=", "about=else", "name=else", "schema="])
def test_names_and_words_change_no_hash(change: str) -> None:
    assert hashes(figure1(change)) == hashes(figure1())


def test_every_part_of_a_file_belongs_to_one_hash_and_has_a_case() -> None:
    parts = {info.alias or name for name, info in Description.model_fields.items()}
    assert {*CIRCUIT_PARTS, *PROTOCOL_PARTS} == parts - {
        *("schema", "name", "about"),
        *("layers", "feedback", "motifs", "use", "mirroring"),  # short forms
    }
    assert {re.split(r"[.=]", change)[0] for change in CIRCUIT_CHANGES} == set(CIRCUIT_PARTS)
    assert {re.split(r"[.=]", change)[0] for change in PROTOCOL_CHANGES} == set(PROTOCOL_PARTS)


def changed(value: object) -> object:
    """Give another value of the same kind, if there is one that the format would take."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    match = re.fullmatch(r"(-?[\d.]+) (\w+)", str(value))
    return f"{Decimal(match[1]) * Decimal('1.25') or 1} {match[2]}" if match else value


def test_every_number_of_the_file_counts_in_its_hash() -> None:
    figure = Circuit(TABLES)
    tables = tomllib.loads(figure.to_toml())
    tried = 0
    for path, value in entries(tables):
        other = Circuit(replaced(tables, path, changed(value)))
        if changed(value) == value or other.problems():
            continue
        tried += 1
        same = [one == before for one, before in zip(hashes(other), hashes(figure), strict=True)]
        assert same == ([True, False] if path[0] in PROTOCOL_PARTS else [False, True]), path
    assert tried > 40


def test_hashes_are_sha256_in_hexadecimal_and_stay_what_they_are() -> None:
    circuit = Circuit(TABLES)
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in hashes(circuit))
    assert hashes(circuit) == hashes(Circuit(TABLES))
    assert circuit.sha256 != circuit.protocol_sha256


def test_a_circuit_does_not_follow_the_tables_that_it_was_made_from() -> None:
    tables = copy.deepcopy(TABLES)
    circuit = Circuit(tables)
    tables["code"]["beta"] = "1 Hz"
    tables["schedule"].clear()
    assert hashes(circuit) == hashes(Circuit(TABLES))
    assert hashes(circuit.with_changes({})) == hashes(Circuit(TABLES))


def test_whole_tables_are_replaced_by_with_changes() -> None:
    circuit = Circuit(TABLES)
    other = circuit.with_changes({"schedule": [{"mode": "mirror", "examples": 7}]})
    assert [step.examples for step in other.description.schedule if hasattr(step, "examples")] == [7]
    assert len(circuit.description.schedule) == 2
    assert circuit.with_changes({"schedule": [{"mode": "miror", "examples": 7}]}).problems()[0].name == "unknown-mode"


def test_the_short_form_of_figure1_is_figure1() -> None:
    assert Circuit(SHORT).problems() == ()
    assert Circuit(SHORT).description == Circuit(TABLES).description
    assert hashes(Circuit(SHORT)) == hashes(Circuit(TABLES))
    assert Circuit(SHORT).to_toml() == Circuit(TABLES).to_toml()


def test_the_short_form_of_three_layers_written_out() -> None:
    forward = {"path": "forward", "cell": "cell", "bias": {"init": "normal", "gain": 0.25}}
    feedback = {"path": "feedback", "cell": "upper"}
    copied = {"connector": "one_to_one"}
    weights = {"connector": "all_to_all"}
    W = {**weights, "weight": {"init": "normal", "gain": 2.0}}
    B = {**weights, "weight": {"init": "normal", "gain": 0.5}, "transport": "exact"}
    explicit = {
        **BARE,
        "cells": {"cell": {}, "another": {}, "upper": {}},
        "populations": {
            "y0": {"path": "forward", "cell": "cell", "layer": 0, "shape": [4]},
            "y1": {**forward, "layer": 1, "shape": [3]},
            "y2": {**forward, "layer": 2, "shape": [2]},
            "d0": {**feedback, "layer": 0, "shape": [4]},
            "d1": {**feedback, "layer": 1, "shape": [3]},
            "d2": {**feedback, "layer": 2, "shape": [2]},
        },
        "projections": {
            "W1": {**W, "source": "y0", "target": "y1"},
            "W2": {**W, "source": "y1", "target": "y2"},
            "B1": {**B, "source": "d1", "target": "d0", "mirrors": "W1"},
            "B2": {**B, "source": "d2", "target": "d1", "mirrors": "W2"},
            "x0": {**copied, "source": "y0", "target": "d0", "role": "drive", "delay": "6 ms"},
            "x1": {**copied, "source": "y1", "target": "d1", "role": "drive", "delay": "3 ms"},
            "x2": {**copied, "source": "y2", "target": "d2", "role": "drive"},
            "g0": {**copied, "source": "y0", "target": "d0", "role": "gate"},
            "g1": {**copied, "source": "y1", "target": "d1", "role": "gate"},
            "g2": {**copied, "source": "y2", "target": "d2", "role": "gate"},
            "e1": {**copied, "source": "d1", "target": "y1", "role": "error"},
            "e2": {**copied, "source": "d2", "target": "y2", "role": "error"},
        },
    }
    short = {
        **BARE,
        "cells": explicit["cells"],
        "layers": {
            "sizes": [4, 3, 2],
            "cell": "cell",
            "weight": {"gain": 2.0},
            "bias": {"init": "normal", "gain": 0.25},
        },
        "feedback": {"cell": "upper", "weight": {"gain": 0.5}, "cross_delay": "3 ms", "transport": "exact"},
    }
    assert Circuit(short).to_toml() == Circuit(explicit).to_toml()
    assert hashes(Circuit(short)) == hashes(Circuit(explicit))


def test_layers_without_feedback_are_the_forward_path_alone() -> None:
    graph = Circuit({**BARE, "layers": {"sizes": [2, 3, 4]}}).graph
    assert list(graph.edges(keys=True)) == [("y0", "y1", "W1"), ("y1", "y2", "W2")]


@pytest.mark.parametrize(
    ("skip", "populations", "projections"),
    [
        ([], "d0 d1 d2 y0 y1 y2", "B1 B2 W1 W2 e1 e2 g0 g1 g2 x0 x1 x2"),
        (["W1"], "d1 d2 y0 y1 y2", "B2 W1 W2 e1 e2 g1 g2 x1 x2"),
        (["W2"], "d0 d1 d2 y0 y1 y2", "B1 W1 W2 e1 e2 g0 g1 g2 x0 x1 x2"),
        (["W1", "W2"], "d1 d2 y0 y1 y2", "W1 W2 e1 e2 g1 g2 x1 x2"),
    ],
)
def test_skip_leaves_out_a_b_and_what_only_it_needs(skip: list[str], populations: str, projections: str) -> None:
    circuit = Circuit({**BARE, "layers": {"sizes": [4, 3, 2]}, "feedback": {"skip": skip}})
    assert list(circuit.description.populations) == populations.split()
    assert list(circuit.description.projections) == projections.split()


def test_the_top_layer_has_no_cross_delay_whatever_is_skipped() -> None:
    tables = {**BARE, "layers": {"sizes": [4, 3, 2]}, "feedback": {"skip": ["W1"], "cross_delay": "2 ms"}}
    found = Circuit(tables).description.projections
    assert {name: found[name].delay.ms for name in ("x1", "x2", "g1", "e1")} == {"x1": 2, "x2": 0, "g1": 0, "e1": 0}


def test_what_a_file_states_itself_wins_over_its_short_form() -> None:
    own = {"source": "y0", "target": "y1", "connector": "all_to_all", "weight": {"init": "constant", "value": 1.0}}
    circuit = Circuit({**SHORT, "projections": {"W1": own}})
    weight = circuit.description.projections["W1"].weight
    assert weight is not None
    assert (weight.init, weight.value) == ("constant", 1.0)
    assert circuit.description.projections["B1"] == Circuit(TABLES).description.projections["B1"]
    assert circuit.sha256 != Circuit(SHORT).sha256


@pytest.mark.parametrize(
    ("part", "own", "expected"),
    [
        (
            "populations",
            {"d1": {"path": "feedback", "layer": 1, "shape": [4], "cell": "cell"}},
            {
                ("wrong-mirror", "projections.B1.mirrors"),
                ("wrong-shape", "modes.engaged.compare.d1"),
                ("wrong-shape", "projections.e1"),
                ("wrong-shape", "projections.g1"),
                ("wrong-shape", "projections.x1"),
            },
        ),
        (
            "populations",
            {"d1": {"path": "feedback", "layer": 7, "shape": [2], "cell": "cell"}},
            {("wrong-mirror", "projections.B1.mirrors")},
        ),
        (
            "projections",
            {"x1": {"source": "d1", "target": "y1", "connector": "one_to_one", "role": "drive"}},
            {("wrong-path", "projections.x1.role")},
        ),
        (
            "projections",
            {"W1": {"source": "y1", "target": "y0", "connector": "all_to_all", "weight": {}}},
            {
                ("unknown-projection", "modes.engaged.on.4"),
                ("no-error", "modes.engaged.learn.W1"),
                ("no-error", "modes.engaged.learn.y1.bias"),
                ("driven-input", "modes.engaged.input.y0"),
            },
        ),
        (
            "populations",
            {"y1": {"shape": [4]}},
            {("missing-field", f"populations.y1.{k}") for k in ("path", "layer", "cell")},
        ),
    ],
)
def test_an_entry_that_does_not_fit_its_short_form_is_an_error(
    part: str, own: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    problems = Circuit({**SHORT, part: own}).problems()
    errors = {(problem.name, problem.path) for problem in problems if problem.severity == "error"}
    assert errors == expected


def test_feedback_without_layers_is_refused() -> None:
    with pytest.raises(CircuitError, match="mirrors the forward path, and there is none"):
        Circuit({**BARE, "feedback": {}}).expand()


@given(st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=20)
def test_repeat_is_the_steps_written_out(outer: int, inner: int) -> None:
    one, two = TABLES["schedule"]
    short = [{"repeat": outer, "steps": [one, {"repeat": inner, "steps": [two]}]}, two]
    circuit, explicit = (Circuit({**TABLES, "schedule": s}) for s in (short, [*[one, *[two] * inner] * outer, two]))
    assert hashes(circuit) == hashes(explicit)
    assert circuit.to_toml() == explicit.to_toml()
    assert len(circuit.description.schedule) == outer * (1 + inner) + 1


def test_the_graph_of_figure1() -> None:
    graph = Circuit(TABLES).graph
    assert graph.name == "figure1"
    cells = {"cell": "cell", "activation": "relu", "norm": "", "norm_when": "", "parameters": 0, "shares": ""}
    assert dict(graph.nodes(data=True)) == {
        "d0": {**cells, "path": "feedback", "layer": 0, "shape": "3", "size": 3},
        "d1": {**cells, "path": "feedback", "layer": 1, "shape": "2", "size": 2},
        "y0": {**cells, "path": "forward", "layer": 0, "shape": "3", "size": 3},
        "y1": {**cells, "path": "forward", "layer": 1, "shape": "2", "size": 2, "parameters": 2},
    }
    plain = {"mirrors": "", "permutation": "", "delay_s": 0.0, "transport": "none"}
    plain |= {"kernel": "", "stride": 1, "pool": "", "join": ""}
    copied = {**plain, "connector": "one_to_one", "weights": 0}
    weights = {**plain, "connector": "all_to_all", "role": "synapse", "roles": "synapse", "weights": 6}
    drives, gates = ({**copied, "role": role, "roles": role} for role in ("drive", "gate"))
    assert {(*ends, key): data for *ends, key, data in graph.edges(keys=True, data=True)} == {
        ("d1", "d0", "B1"): {**weights, "shape": "3 2", "mirrors": "W1"},
        ("y0", "y1", "W1"): {**weights, "shape": "2 3"},
        ("y0", "d0", "x0"): {**drives, "shape": "3 3", "delay_s": 0.0035},
        ("y0", "d0", "g0"): {**gates, "shape": "3 3"},
        ("y1", "d1", "x1"): {**drives, "shape": "2 2"},
        ("y1", "d1", "g1"): {**gates, "shape": "2 2"},
        ("d1", "y1", "e1"): {**copied, "role": "error", "roles": "error", "shape": "2 2"},
    }
    assert modes_of(graph) == {
        "engaged": {
            "on": {"W1", "B1", "g0", "g1", "e1"},
            "learn": {"W1": "forward", "y1.bias": "bias"},
            "noise": set(),
            "input": {"y0"},
            "compare": {"d1": "y1 - target"},
            "bias": "on",
            "roles": {},
        },
        "mirror": {
            "on": {"W1", "x0", "x1"},
            "learn": {"B1": "mirror"},
            "noise": {"y0"},
            "input": set(),
            "compare": {},
            "bias": "blocked",
            "roles": {},
        },
    }


def test_the_graph_knows_the_roles_of_axons_by_mode() -> None:
    roles, on = {"engaged": "gate", "mirror": "drive"}, ["W1", "B1", "x0", "g1", "e1"]
    graph = Circuit(TABLES).with_values({"projections.x0.roles": roles, "modes.engaged.on": on}).graph
    assert graph.edges["y0", "d0", "x0"]["roles"] == "drive gate"
    assert {name: mode["roles"] for name, mode in modes_of(graph).items()} == {
        "engaged": {"x0": "gate"},
        "mirror": {},
    }


@given(chains())
@settings(deadline=None, max_examples=40)
def test_the_graph_of_a_chain(tables: dict[str, Any]) -> None:
    circuit, sizes, skip = Circuit(tables), tables["layers"]["sizes"], tables["feedback"]["skip"]
    graph, top = circuit.graph, len(sizes) - 1
    mirrored = [layer for layer in range(1, top + 1) if f"W{layer}" not in skip]

    def layers_of(path: str) -> set[int]:
        return {data["layer"] for _, data in graph.nodes(data=True) if data["path"] == path}

    assert layers_of("forward") == set(range(top + 1))
    assert layers_of("feedback") == {*range(1, top + 1), *(layer - 1 for layer in mirrored)}
    assert list(graph) == sorted(graph)
    assert all(data["size"] == sizes[data["layer"]] for _, data in graph.nodes(data=True))
    for source, target, name, data in graph.edges(keys=True, data=True):
        assert sides(data["shape"]) == (graph.nodes[target]["size"], graph.nodes[source]["size"])
        assert (data["role"] == "synapse") == (name[0] in "WB")
        assert data["mirrors"] == (name.replace("B", "W") if name[0] == "B" else "")
        step = {"W": 1, "B": -1}.get(name[0], 0)
        assert graph.nodes[target]["layer"] - graph.nodes[source]["layer"] == step
    names = {name for *_, name in graph.edges(keys=True)}
    assert {name for name in names if name[0] == "B"} == {f"B{layer}" for layer in mirrored}
    assert {name for name in names if name[0] == "W"} == {f"W{layer}" for layer in range(1, top + 1)}
    assert {name for name in names if name[0] == "e"} == {f"e{layer}" for layer in range(1, top + 1)}
    for kind in "xg":
        assert {name for name in names if name[0] == kind} == {f"{kind}{layer}" for layer in layers_of("feedback")}


def test_a_population_of_several_dimensions_counts_all_its_cells() -> None:
    shapes = figure1("populations.y0.shape=[3, 1]", "populations.d0.shape=[1, 3, 1]").graph
    assert (shapes.nodes["y0"]["shape"], shapes.nodes["y0"]["size"]) == ("3 1", 3)
    assert (shapes.nodes["d0"]["shape"], shapes.nodes["d0"]["size"]) == ("1 3 1", 3)
    assert shapes.edges["y0", "y1", "W1"]["shape"] == "2 3"


def test_the_graph_has_permutations() -> None:
    graph = figure1("projections.x0.permutation=[2, 0, 1]").graph
    assert graph.edges["y0", "d0", "x0"]["permutation"] == "2 0 1"


@pytest.mark.parametrize("name", ["figure1", "resnet20"])
@pytest.mark.parametrize("kind", ["graphml", "gml", "gexf"])
def test_the_graph_is_written_for_other_programs_and_reads_back(tmp_path: Path, name: str, kind: str) -> None:
    graph, file = load(name).graph, tmp_path / f"circuit.{kind}"
    getattr(nx, f"write_{kind}")(graph, file)
    read = getattr(nx, f"read_{kind}")(file)
    assert {*read} == {*graph}
    for node, data in graph.nodes(data=True):
        assert read.nodes[node].items() >= data.items()
    edges = {(*ends, key): data for *ends, key, data in graph.edges(keys=True, data=True)}
    assert len(read.edges) == len(edges)
    if kind == "graphml":  # the others know no names of edges, or number them
        assert {(*ends, key): data for *ends, key, data in read.edges(keys=True, data=True)} == edges
        assert modes_of(read) == modes_of(graph)


def test_the_attributes_of_a_graph_are_numbers_and_texts() -> None:
    graph = load("resnet20").method("bp").graph
    attributes = [
        graph.graph,
        *(data for _, data in graph.nodes(data=True)),
        *(data for *_, data in graph.edges.data()),
    ]
    assert {type(value) for data in attributes for value in data.values()} <= {int, float, str}
