"""Circuits changed in Python: values by dotted name, lesions, arrays, and files that come back as the same circuit."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.circuit.array_files import INLINE
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import from_text, shipped
from neuromirror.errors import CircuitError, RequestError
from neuromirror.plan import make_plan

TEXT = shipped()["figure1"].read_text(encoding="utf-8")
TABLES = tomllib.loads(TEXT)
W = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def figure1(*changes: str) -> Circuit:
    return from_text(TEXT, changes=changes)


def hashes(circuit: Circuit) -> tuple[str, str]:
    return circuit.sha256, circuit.protocol_sha256


def wide(inputs: int, outputs: int, weight: Any) -> Circuit:
    """Give Figure 1 with other sizes and these weights."""
    tables = {key: value for key, value in TABLES.items() if key not in ("populations", "projections")}
    short = {**tables, "layers": {"sizes": [inputs, outputs], "bias": {"init": "constant"}}, "feedback": {}}
    return Circuit(short).expand().with_values({"projections.W1.weight": weight})


# ---- with_values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ("code.beta=50 Hz", {"code.beta": "50 Hz"}),
        ("rules.forward.updater.rate=0.5", {"rules.forward.updater.rate": np.float32(0.5)}),
        ("schedule.0={mode='mirror', examples=12}", {"schedule.0": {"mode": "mirror", "examples": np.int64(12)}}),
        ("schedule.2={mode='mirror', examples=12}", {"schedule.2": {"mode": "mirror", "examples": 12}}),
        ("schedule.1=", {"schedule.1": None}),
        ("modes.engaged.learn.y1.bias=", {"modes.engaged.learn.y1.bias": None}),
        ("projections.x0.permutation=[2,0,1]", {"projections.x0.permutation": np.array([2, 0, 1])}),
        ("populations.y0.shape=[3]", {"populations.y0.shape": (3,)}),
        (
            f"projections.W1.weight={{init='values', values={W}}}",
            {"projections.W1.weight": {"init": "values", "values": np.array(W)}},
        ),
        (
            "populations.y1.bias={init='values', values=[1, 0]}",
            {"populations.y1.bias": {"init": "values", "values": np.array([True, False])}},
        ),
    ],
)
def test_a_value_of_python_is_what_set_reads(change: str, values: dict[str, Any]) -> None:
    changed = Circuit(TABLES).with_values(values)
    assert changed.problems() == ()
    assert hashes(changed) == hashes(figure1(change))
    assert changed.description == figure1(change).description


def test_the_circuit_that_is_changed_stays_as_it_was() -> None:
    circuit, array = Circuit(TABLES), np.array(W)
    changed = circuit.with_values({"projections.W1.weight": {"init": "values", "values": array}, "schedule.1": None})
    before = hashes(changed)
    array[:] = 0
    assert hashes(changed) == before
    assert changed.description.projections["W1"].weight.values[1, 2] == 6.0
    assert hashes(circuit) == hashes(Circuit(TABLES))
    assert len(circuit.description.schedule) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("schedule.9", "with_values schedule.9: there are 2 items, from 0 to 1."),
        ("schedule.x", "'x' stands where a list wants a number"),
        ("code.beta.deep", "with_values code.beta.deep: code.beta is a value, not a table."),
    ],
)
def test_names_that_lead_nowhere_are_refused(name: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        Circuit(TABLES).with_values({name: 1})
    with pytest.raises(RequestError, match=r"there is no code\.gamma to take out"):
        Circuit(TABLES).with_values({"code.gamma": None})


def test_problems_stand_where_their_values_come_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.replace('"8 mV"', '"8"'), encoding="utf-8")
    line = 1 + next(n for n, text in enumerate(TEXT.splitlines()) if '"8 mV"' in text)
    changed = nm.load(file).with_values({"code.beta": 5.0, "schedule.0": None, "schedule.0.mode": "miror"})
    found = {str(problem).split(": ")[1]: problem.path for problem in changed.problems()}
    assert found[f"{file}:{line}  cells.cell.noise"] == "cells.cell.noise"
    assert found["with_values code.beta  code.beta"] == "code.beta"
    assert found["with_values schedule.0.mode  schedule.0.mode"] == "schedule.0.mode"


# ---- lesions --------------------------------------------------------------------------------------------------------

NAMES = [*Circuit(TABLES).description.populations, *Circuit(TABLES).description.projections]


def mentioned(circuit: Circuit) -> set[str]:
    """Return every population and projection that the circuit names anywhere."""
    found = set()
    for projection in circuit.description.projections.values():
        found |= {projection.source, projection.target, projection.mirrors}
    for mode in circuit.description.modes.values():
        found |= {*mode.on, *mode.input, *mode.noise, *mode.compare}
        found |= {name.removesuffix(".bias") for name in mode.learn}
        found |= {text.split(" ")[0] for text in mode.compare.values()}
    return found - {None}


@given(st.sets(st.sampled_from(NAMES), max_size=6).filter(lambda names: not names >= {"y0", "y1", "d0", "d1"}))
@settings(deadline=None, max_examples=80)
def test_a_lesion_leaves_a_sound_circuit_that_names_nothing_that_is_gone(names: set[str]) -> None:
    circuit = Circuit(TABLES).without(*names)
    assert [problem for problem in circuit.problems() if problem.severity == "error"] == []
    left = {*circuit.description.populations, *circuit.description.projections}
    assert not names & left
    assert mentioned(circuit) <= left
    gone = names & {"y0", "y1", "d0", "d1"}
    ends = {name: {p.source, p.target} for name, p in Circuit(TABLES).description.projections.items()}
    assert set(NAMES) - left == names | {name for name, of in ends.items() if of & gone}


def test_a_lesion_one_name_at_a_time_is_the_same_lesion() -> None:
    circuit = Circuit(TABLES)
    assert circuit.without("d1", "g0").sha256 == circuit.without("g0").without("d1").sha256
    assert circuit.without().sha256 == circuit.sha256


def test_without_an_error_or_a_forward_signal_nothing_learns_from_them() -> None:
    engaged = Circuit(TABLES).without("e1").description.modes["engaged"]
    assert engaged.learn == {}
    assert Circuit(TABLES).without("x1").description.modes["mirror"].learn == {"B1": "mirror"}
    cross = Circuit(TABLES).method("kp").without("g0")
    assert set(cross.description.modes["engaged"].learn) == {"W1", "y1.bias"}
    assert cross.problems() == ()


def test_a_b_whose_w_is_gone_has_nothing_to_mirror() -> None:
    for circuit in (Circuit(TABLES), Circuit(TABLES).method("bp")):
        left = circuit.without("W1")
        assert left.description.projections["B1"].mirrors is None
        assert left.not_local == {}
        assert left.problems() == ()
        assert left.description.modes["engaged"].on == ("B1", "e1", "g0", "g1")


def test_who_shares_cells_goes_with_them() -> None:
    shared = Circuit(TABLES).with_values({"populations.d1.shares": "y1"}).without("y1")
    assert set(shared.description.populations) == {"d0", "y0"}
    assert set(shared.description.projections) == {"g0", "x0"}


def test_only_what_there_is_can_be_taken_out() -> None:
    with pytest.raises(RequestError, match="without W2: there is no population or projection of that name"):
        Circuit(TABLES).without("W2")
    with pytest.raises(RequestError, match="nothing is left"):
        Circuit(TABLES).without("y0", "y1", "d0", "d1")
    with pytest.raises(CircuitError):
        figure1("code.beta=5").without("W1")


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [30, 40])
def test_a_saved_circuit_is_the_same_circuit(cells: int, tmp_path: Path) -> None:
    """Arrays of up to a thousand numbers stay in the text; larger ones are beside it."""
    weights = np.random.default_rng(1).standard_normal((cells, 30))
    circuit = wide(30, cells, {"init": "values", "values": weights})
    file = circuit.save(tmp_path / "new" / "mine.toml")
    again = nm.load(file)
    assert hashes(again) == hashes(circuit)
    assert again.description == circuit.description
    np.testing.assert_array_equal(make_plan(again, 0).initial_arrays()["W1"], weights)
    files = {one.name for one in file.parent.iterdir()}
    assert files == ({"mine.toml", "mine.safetensors"} if cells * 30 > INLINE else {"mine.toml"})
    assert circuit.save(file) == file
    assert from_text(circuit.to_toml()).sha256 == circuit.sha256


def test_the_hash_depends_on_the_numbers_not_on_where_they_are(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    for name, key in (("one", "a"), ("two", "b")):
        safetensors.numpy.save_file({key: array}, tmp_path / f"{name}.safetensors")
    safetensors.numpy.save_file({"a": array + np.array([0, 0, 1e-12])}, tmp_path / "other.safetensors")
    inline = Circuit(TABLES).with_values({"projections.W1.weight": {"init": "values", "values": array.tolist()}})

    def named(name: str, key: str) -> Circuit:
        weight = {"init": "file", "file": str(tmp_path / f"{name}.safetensors"), "key": key}
        return Circuit(TABLES).with_values({"projections.W1.weight": weight})

    assert named("one", "a").sha256 == named("two", "b").sha256 == inline.sha256
    assert named("other", "a").sha256 != inline.sha256
    transposed = Circuit(TABLES).with_values({"projections.B1.weight": {"init": "values", "values": array.T}})
    reshaped = Circuit(TABLES).with_values({"projections.B1.weight": {"init": "values", "values": array.reshape(3, 2)}})
    assert transposed.sha256 != reshaped.sha256


def test_a_file_that_changes_later_does_not_change_the_circuit(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"W1": np.array(W)}, file)
    weight = {"init": "file", "file": str(file), "key": "W1"}
    circuit = Circuit(TABLES).with_values({"projections.W1.weight": weight})
    file.unlink()
    assert circuit.with_values({"about": "else"}).sha256 == circuit.sha256
    assert circuit.with_changes({"about": "else"}).sha256 == circuit.sha256


def test_paths_start_from_the_folder_of_the_file_that_says_them(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "one").mkdir()
    for folder, first in ((tmp_path, 1.0), (tmp_path / "one", 7.0)):
        safetensors.numpy.save_file({"W1": np.full((2, 3), first)}, folder / "w.safetensors")
    weight = 'weight = { init = "file", file = "w.safetensors", key = "W1" }'
    text = TEXT.replace('weight = { init = "normal", gain = 1.0 } }\nB1', weight + " }\nB1")
    (tmp_path / "one" / "base.toml").write_text(text, encoding="utf-8")
    (tmp_path / "top.toml").write_text('extends = "one/base.toml"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def first(circuit: Circuit) -> float:
        return float(make_plan(circuit, 0).initial_arrays()["W1"][0, 0])

    assert first(nm.load("one/base.toml")) == first(nm.load("top.toml")) == 7.0
    change = 'projections.W1.weight={init="file", file="w.safetensors", key="W1"}'
    assert first(nm.load("top.toml", [change])) == 1.0
    monkeypatch.chdir(tmp_path / "one")
    assert first(nm.load("../top.toml")) == 7.0


@pytest.mark.parametrize(
    ("weight", "path", "says"),
    [
        ('{ init = "file", file = "no.safetensors", key = "W1" }', "weight.file", "there is no such file"),
        (
            '{ init = "file", file = "w.safetensors", key = "W2" }',
            "weight.key",
            "no array 'W2'. There are: W1, lost, three",
        ),
        ('{ init = "file", file = "w.safetensors" }', "weight", "no key is named. There are: W1, lost, three"),
        ('{ init = "file", key = "W1" }', "weight", "no file is named"),
        ('{ init = "file", file = "w.safetensors", key = "lost" }', "weight.file", "2 of 6 entries are not finite"),
        ('{ init = "file", file = "bad.safetensors", key = "W1" }', "weight.file", "cannot be read"),
        ('{ init = "file", file = ".", key = "W1" }', "weight.file", "cannot be read"),
        ('{ init = "values", values = { file = "no.safetensors", key = "W1" } }', "weight.values.file", "no such file"),
        ('{ init = "values", values = { fil = "w.safetensors" } }', "weight.values", "is not an array of numbers"),
    ],
)
def test_what_cannot_be_read_is_said_where_it_is_named(weight: str, path: str, says: str, tmp_path: Path) -> None:
    lost = np.array([[np.nan, 0, 0], [0, 0, np.inf]])
    arrays = {"W1": np.array(W), "lost": lost, "three": np.zeros((3, 3))}
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    (tmp_path / "bad.safetensors").write_text("not so")
    text = TEXT.replace('weight = { init = "normal", gain = 1.0 } }\nB1', f"weight = {weight} }}\nB1")
    (tmp_path / "mine.toml").write_text(text.replace('"8 mV"', '"8"'), encoding="utf-8")
    found = nm.load(tmp_path / "mine.toml").problems()
    assert [problem.path for problem in found] == ["cells.cell.noise", f"projections.W1.{path}"]
    assert says in found[1].message
    line = 1 + next(n for n, one in enumerate(text.splitlines()) if one.startswith("W1"))
    assert (found[1].file, found[1].line) == (str(tmp_path / "mine.toml"), line)


def test_an_array_of_the_wrong_shape_is_refused_from_a_file_as_from_the_text(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"W1": np.zeros((3, 3))}, tmp_path / "w.safetensors")
    weight = {"init": "file", "file": str(tmp_path / "w.safetensors"), "key": "W1"}
    (problem,) = Circuit(TABLES).with_values({"projections.W1.weight": weight}).problems()
    assert problem.name == "wrong-shape"
    assert "weights are (3, 3)" in problem.message


@pytest.mark.parametrize(
    "array",
    [
        np.array([[np.nan, 0, 0], [0, 0, 0]]),
        np.array([["a", "b", "c"]] * 2),
        np.zeros((0, 3)),
        np.float64(3),
        np.zeros((2, 3), dtype=complex),
        [[True, 0, 0], [0, 0, 0]],
    ],
)
def test_what_is_no_array_of_numbers_is_refused(array: Any) -> None:
    changed = Circuit(TABLES).with_values({"projections.W1.weight": {"init": "values", "values": array}})
    assert [(p.name, p.path) for p in changed.problems()] == [("wrong-value", "projections.W1.weight.values")]


def test_names_called_like_the_fields_of_arrays_are_names(tmp_path: Path) -> None:
    tables = {**TABLES, "projections": {**TABLES["projections"], "file": TABLES["projections"]["x0"]}}
    tables["modes"] = {**TABLES["modes"], "values": {"learn": {"B1": "mirror"}, "on": ["file"]}}
    circuit = Circuit(tables)
    assert {problem.name for problem in circuit.problems()} == {"no-mirror"}
    assert nm.load(circuit.save(tmp_path / "a.toml")).sha256 == circuit.sha256


@pytest.mark.parametrize("name", ["a.txt", "a", "a.safetensors"])
def test_a_circuit_file_has_its_suffix(name: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"ends in \.toml"):
        Circuit(TABLES).save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_circuit_cannot_be_saved_where_nothing_can(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        Circuit(TABLES).save(tmp_path / "file" / "a.toml")


@pytest.mark.parametrize("backend", ["reference", "torch", "brian2"])
def test_a_record_holds_its_own_arrays(backend: str, tmp_path: Path) -> None:
    weights = np.random.default_rng(2).standard_normal((2, 501)) / 20
    source = wide(501, 2, {"init": "values", "values": weights}).save(tmp_path / "mine.toml")
    circuit = nm.load(source).with_changes({"schedule": [{"mode": "mirror", "examples": 2}]})
    for file in list(tmp_path.iterdir()):
        file.unlink()
    target = "numpy" if backend == "brian2" else "auto"
    run = nm.run(circuit, backend=backend, target=target, points=1, out=tmp_path / "run", figures=False)
    run.path.rename(tmp_path / "moved")
    again = nm.load(tmp_path / "moved" / "circuit.toml")
    assert again.sha256 == circuit.sha256 == run.manifest.circuit_sha256
    np.testing.assert_array_equal(nm.open_run(tmp_path / "moved").weights("W1", 0), weights)


def test_a_change_that_nothing_reads_is_refused() -> None:
    """The parameter of a motif that every use sets itself; the last of several changes of one value is the one read."""
    (problem,) = nm.load("resnet20", ["motifs.halving.parameters.size=9", "use.1.parameters.size=16"]).problems()
    assert (problem.name, problem.path) == ("idle-change", "motifs.halving.parameters.size")
    assert nm.load("resnet20", ["motifs.halving.parameters.size=16"]).problems() == ()
    twice = nm.load("figure1", ['code.beta="50 Hz"', 'code.beta="40 Hz"'])
    assert twice.problems() == ()
    assert twice.description.code.beta is not None
    assert twice.description.code.beta.Hz == 40
    assert nm.load("figure1", ["time.batch=50", 'time.window="20 ms"']).problems() == (), "as it stands there"
