"""A run directory: what is written is read back, the same calls give the same bytes, and damage is named."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromirror.errors import RequestError, RunError
from neuromirror.record import Manifest, Run, RunWriter, open_run

MANIFEST = Manifest(
    circuit="figure1",
    circuit_sha256="c" * 64,
    protocol_sha256="d" * 64,
    backend="brian2",
    target="numpy",
    seed=3,
    dt_s=0.0005,
    versions={"numpy": "2.3.5"},
    device="cpu",
    populations={"y0": {"path": "forward", "layer": 0, "size": 3}, "y1": {"path": "forward", "layer": 1, "size": 2}},
    projections={
        "W1": {"source": "y0", "target": "y1", "role": "synapse", "mirrors": None},
        "B1": {"source": "d1", "target": "d0", "role": "synapse", "mirrors": "W1"},
    },
    phases=({"mode": "mirror", "start_s": 0.0, "stop_s": 1.0, "first_example": 0, "examples": 50},),
    learned=("B1", "W1"),
)
W1 = np.arange(6, dtype=np.float64).reshape(2, 3) / 7
ROW = {"phase": 0, "mode": "mirror", "examples": 50, "t_s": 1.0, "angles_deg": {"B1": 0.1 + 0.2}, "gain": {"B1": 1.0}}


def line(**values: object) -> bytes:
    """Give a row of the metrics with some of its values replaced, as a line."""
    return json.dumps({**ROW, **values}).encode() + b"\n"


def part(ticks: list[float], cells: list[int]) -> bytes:
    """Give a file of spikes."""
    buffer = io.BytesIO()
    np.savez(buffer, ticks=np.array(ticks), cells=np.array(cells))
    return buffer.getvalue()


def write(path: Path, manifest: Manifest = MANIFEST) -> RunWriter:
    """Write one small run; everything but the path and the manifest is fixed."""
    writer = RunWriter.create(path, manifest, 'name = "figure1"\n')
    writer.metrics({**ROW, "angles_deg": {"B1": math.nan}, "examples": np.int64(0), "t_s": np.float32(0.5)})
    writer.spikes("y0", np.array([1, 5, 5]), np.array([0, 2, 1], np.int32))
    writer.spikes("y0", np.array([9, 7]), np.array([1, 0], np.int32))
    writer.spikes("y1", np.empty(0, np.int64), np.empty(0, np.int32))
    writer.weights(0, {"W1": W1, "y1.bias": np.zeros(2)}, {"B1": W1.T})
    writer.weights(50, {"W1": W1, "y1.bias": np.ones(2)}, {"B1": 2 * W1.T})
    writer.metrics(ROW)
    writer.timings({"run_s": 1.25})
    counts = {"y0": 5, "y1": 0}
    gain = {"B1": np.float64(1.5)}
    writer.finish({"examples": 50, "run_dir": str(path), "wall_s": 1.0, "gain": gain, "spikes": counts})
    return writer


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give a small run, written and opened."""
    return open_run(write(tmp_path / "run").path)


def files(path: Path) -> dict[str, bytes]:
    """Give the content of every file below a directory."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_what_is_written_is_read_back(run: Run) -> None:
    assert run.manifest.complete
    assert run.manifest.summary == {"examples": 50, "gain": {"B1": 1.5}, "spikes": {"y0": 5, "y1": 0}}
    assert run.circuit_toml == 'name = "figure1"\n'
    assert run.mirrored == {"B1": "W1"}
    assert run.times_s().tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(run.angles_deg("B1"), [np.nan, 0.1 + 0.2])
    assert run.gain("B1").tolist() == [1.0, 1.0]
    assert run.metrics()[1] == ROW
    spikes = run.spikes("y0")
    np.testing.assert_allclose(spikes.t_s, np.array([1, 5, 5, 7, 9]) * 0.0005, rtol=1e-15)
    assert spikes.cell.tolist() == [0, 2, 1, 0, 1]
    assert spikes.t_s.dtype == np.float64
    assert spikes.cell.dtype == np.int32
    assert len(run.spikes("y1")) == 0


def test_weights_of_each_step(run: Run) -> None:
    assert run.weight_steps() == [0, 50]
    np.testing.assert_array_equal(run.weights("B1"), 2 * W1.T)
    np.testing.assert_array_equal(run.weights("B1", step=0), W1.T)
    np.testing.assert_array_equal(run.weights("B1", step=-2), W1.T)
    np.testing.assert_array_equal(run.weights("y1.bias"), [1, 1])
    assert run.weights("W1").dtype == np.float64


def test_layout(run: Run) -> None:
    assert sorted(files(run.path)) == [
        "circuit.toml",
        "manifest.json",
        "metrics.jsonl",
        "spikes/y0-0000.npz",
        "spikes/y0-0001.npz",
        "spikes/y1-0000.npz",
        "timings.json",
        "weights/0000000000/B.safetensors",
        "weights/0000000000/W.safetensors",
        "weights/0000000050/B.safetensors",
        "weights/0000000050/W.safetensors",
    ]


def test_metrics_have_sorted_keys_and_exact_floats(run: Run) -> None:
    line = (run.path / "metrics.jsonl").read_text().splitlines()[1]
    assert line.startswith('{"angles_deg": {"B1": 0.30000000000000004}, "examples": 50, "gain"')


def test_the_same_calls_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = write(tmp_path / "one").path
    monkeypatch.setattr("time.time", lambda: 2e9)
    invocation = {"started": "2030-01-01T00:00:00+00:00", "finished": None, "command_line": "neuromirror run other"}
    two = write(tmp_path / "elsewhere" / "two", dataclasses.replace(MANIFEST, invocation=invocation)).path
    first, second = files(one), files(two)
    manifests = [json.loads(content.pop("manifest.json")) for content in (first, second)]
    assert first == second
    assert manifests[0] != manifests[1]
    for manifest in manifests:
        assert set(manifest.pop("invocation")) == {"started", "finished", "command_line"}
    assert json.dumps(manifests[0]) == json.dumps(manifests[1])


def test_an_interrupted_run_keeps_what_there_is(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "run", MANIFEST, "")
    writer.metrics(ROW)
    assert open_run(writer.path).times_s().tolist() == [1.0], "rows are there while the run goes"
    writer.interrupt()
    run = open_run(writer.path)
    assert not run.manifest.complete
    assert run.manifest.invocation["finished"] is not None
    with (writer.path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": 0, "mo')
    assert open_run(writer.path).times_s().tolist() == [1.0], "half a row, of a run that was killed, is left out"


def test_a_directory_with_files_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match=r"has files in it; a run overwrites nothing. Give --out"):
        RunWriter.create(tmp_path, MANIFEST, "")
    with pytest.raises(RequestError, match="is a file"):
        RunWriter.create(tmp_path / "notes.txt", MANIFEST, "")
    with pytest.raises(RequestError, match="cannot be written there"):
        RunWriter.create(tmp_path / "notes.txt" / "run", MANIFEST, "")
    assert sorted(files(tmp_path)) == ["notes.txt"]


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    assert open_run(write(tmp_path).path).manifest.complete


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.spikes("y2"), "no population 'y2'"),
        (lambda run: run.angles_deg("B2"), r"no angles_deg of 'B2' in this run. There are: B1"),
        (lambda run: run.weights("W2"), r"no array 'W2'. There are: B1, W1, y1.bias"),
        (lambda run: run.weights("W1", step=7), "no weights of step 7. Recorded steps: 0, 50"),
        (lambda run: run.weights("W1", step=-3), "no weights of step -3"),
    ],
)
def test_what_is_not_there_is_named(run: Run, ask, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ask(run)


def test_a_writer_knows_its_populations(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "run", MANIFEST, "")
    with pytest.raises(RequestError, match="spikes of 'z0': no such population"):
        writer.spikes("z0", np.empty(0, np.int64), np.empty(0, np.int32))
    writer.interrupt()


def test_a_rate_run_has_no_spikes(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "run", dataclasses.replace(MANIFEST, backend="torch", dt_s=None), "")
    writer.finish({})
    with pytest.raises(RequestError, match=r"no spikes in this run, which backend 'torch' ran.*--backend brian2"):
        open_run(writer.path).spikes("y0")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("manifest.json", None, "not found. Point to a run directory"),
        ("manifest.json", b"{", r"manifest.json:1: not JSON"),
        ("manifest.json", b"[]", "no 'schema'"),
        ("manifest.json", b'{"schema": 2}', "schema 2, but this version reads schema 1"),
        ("manifest.json", b'{"schema": 1, "circuit": "a"}', "field 'circuit_sha256' is missing"),
        ("manifest.json", b'{"schema": 1, "colour": "a"}', "unknown field 'colour'"),
        ("manifest.json", b'{"schema": 1, "circuit": 1}', "'circuit' is 1, expected str"),
        ("manifest.json", b"[" * 100_000, r"manifest.json:1: nested too deeply"),
        ("manifest.json", b"9" * 5000, r"manifest.json:1: cannot be read"),
        ("metrics.jsonl", b"", r"metrics.jsonl:1: no rows, though the run is complete"),
        ("metrics.jsonl", json.dumps(ROW).encode() + b"\n{\n", r"metrics.jsonl:2: not JSON"),
        ("metrics.jsonl", json.dumps(ROW).encode() + b'\n{"a": 1}\n', r"metrics.jsonl:2: a row has 'phase'"),
        ("metrics.jsonl", b"[" * 100_000, r"metrics.jsonl:1: nested too deeply"),
        ("metrics.jsonl", line(angles_deg={"B1": "steep"}), r"jsonl:1: angles_deg of B1 is 'steep', expected a number"),
        ("metrics.jsonl", line(angles_deg={"B1": math.nan}), r"jsonl:1: angles_deg of B1 is nan, expected a number"),
        ("metrics.jsonl", line(angles_deg=3), r"jsonl:1: 'angles_deg' is 3, expected a number for each array"),
        ("metrics.jsonl", line(gain={"B2": 1.0}), r"jsonl:1: there is no gain of B1"),
        ("metrics.jsonl", line(examples=-1), r"jsonl:1: 'examples' is -1, expected a whole number from 0"),
        ("metrics.jsonl", line(examples=49), r"jsonl:1: the last row is of 49 of 50 examples, though the run is comp"),
        ("metrics.jsonl", line(t_s=None), r"jsonl:1: 't_s' is None, expected a number"),
        ("metrics.jsonl", line(t_s=10**400), r"jsonl:1: 't_s' is 10000"),
        ("metrics.jsonl", line(loss="low"), r"jsonl:1: 'loss' is 'low', expected a number or null"),
        ("metrics.jsonl", b"3\n", "a row is a JSON object"),
        ("metrics.jsonl", b"\xff", "cannot be read"),
        ("spikes/y0-0001.npz", b"PK", "cannot be read"),
        ("spikes/y0-0001.npz", b"", "cannot be read"),
        ("spikes/y0-0001.npz", part([9, 7], [0]), "2 ticks and 1 cells, expected one of each a spike"),
        ("spikes/y0-0001.npz", part([9, 7], [0, 3]), "cells that are not among the 3"),
        ("spikes/y0-0001.npz", part([9.5, 7], [0, 1]), "'ticks' are float64 of shape"),
        ("spikes/y0-0001.npz", part([9], [0]), r"y0-0002.npz: not found, .* have 4 spikes of 5"),
        ("spikes/y0-0001.npz", None, r"not found, .* have 3 spikes of 5"),
        ("spikes/y0-0000.npz", None, "not found, and there is a part after it"),
        ("spikes/y1-0000.npz", None, "not found, though the run is complete"),
        ("weights/0000000050/W.safetensors", b"1234", "cannot be read"),
        ("weights/0000000050/W.safetensors", None, "not found, though the run is complete"),
        ("weights/0000000050/B.safetensors", None, "not found, though the run is complete"),
        ("weights/0000000000/B.safetensors", None, "not found, though the run is complete"),
    ],
)
def test_damage_is_named(run: Run, file: str, content: bytes | None, message: str) -> None:
    damaged = run.path / file
    if content is None:
        damaged.unlink()
    else:
        damaged.write_bytes(content)

    def read_all() -> None:
        again = open_run(run.path)
        again.metrics()
        again.spikes("y0")
        again.spikes("y1")
        again.weights("W1")

    with pytest.raises(RequestError, match=message) as caught:
        read_all()
    assert str((run.path / file).parent) in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "train" not in str(caught.value)


@pytest.mark.parametrize("folder", ["spikes", "weights", "weights/0000000050"])
def test_a_folder_that_a_complete_run_lacks_is_named(run: Run, folder: str) -> None:
    shutil.rmtree(run.path / folder)
    again = open_run(run.path)
    with pytest.raises(RequestError, match=rf"{folder}.*: not found, though the run is complete"):
        again.spikes("y0") if folder == "spikes" else again.weights("W1")


def test_an_entry_of_the_manifest_is_checked() -> None:
    content = json.loads(MANIFEST.to_json())
    content["populations"]["y0"].pop("size")
    with pytest.raises(RequestError, match=r"entry of 'populations'.*expected the keys layer, path, size"):
        Manifest.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("seed",), -3, r"mine\.json: seed -3: expected a whole number from 0"),
        (("seed",), True, "'seed' is True, expected int"),
        (("dt_s",), 0.0, "'dt_s' is 0.0, expected a time in s above 0"),
        (("dt_s",), math.inf, "'dt_s' is inf"),
        (("learned",), [3], "'learned' has 3, expected texts"),
        (("versions", "numpy"), 2, "'versions' has 2, expected texts"),
        (("populations", "y0", "size"), "3", "'size' of an entry of 'populations' is '3', expected a whole number"),
        (("populations", "y0", "layer"), -1, "'layer' of an entry of 'populations' is -1"),
        (("projections", "B1", "mirrors"), 4, "'mirrors' of an entry of 'projections' is 4, expected a text or null"),
        (("phases", 0, "stop_s"), math.nan, "'stop_s' of an entry of 'phases' is nan, expected a finite number"),
        (("phases", 0, "examples"), 1.5, "'examples' of an entry of 'phases' is 1.5, expected a whole number"),
    ],
)
def test_a_value_of_the_manifest_is_checked(path: tuple, value: object, message: str) -> None:
    content = json.loads(MANIFEST.to_json())
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    with pytest.raises(RequestError, match=message):
        Manifest.from_json(json.dumps(content), file="mine.json")


names = st.text("abcxyz_019", min_size=1, max_size=6)


@given(
    seed=st.integers(0, 2**63 - 1),
    dt_s=st.none() | st.floats(1e-6, 1),
    names=st.lists(names, unique=True, max_size=4),
    summary=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False) | names | st.booleans()),
)
def test_any_manifest_survives_json(seed: int, dt_s: float | None, names: list[str], summary: dict) -> None:
    populations = {name: {"path": "forward", "layer": layer, "size": 1} for layer, name in enumerate(names)}
    manifest = dataclasses.replace(
        MANIFEST, seed=seed, dt_s=dt_s, populations=populations, learned=tuple(names), summary=summary
    )
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    ("file", "write_it"),
    [
        ("metrics.jsonl", lambda writer: writer.metrics(ROW)),
        ("spikes/y0-0002.npz", lambda writer: writer.spikes("y0", np.array([1]), np.array([0], np.int32))),
        ("weights/0000000099/W.safetensors", lambda writer: writer.weight_files(99, b"W", b"B")),
        ("timings.json", lambda writer: writer.timings({"wall_s": 1.0})),
        ("manifest.json", lambda writer: writer.interrupt()),
        (
            "metrics.jsonl",
            lambda writer: (setattr(writer._metrics_file, "close", writer._metrics_file.write), writer.interrupt()),
        ),
    ],
)
def test_a_full_disk_is_named_and_what_was_written_stays(
    file: str, write_it: Callable[[RunWriter], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = write(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(writer, "_metrics_file", SimpleNamespace(write=full, close=lambda: None))
    said = rf"^{re.escape(str(tmp_path / 'run' / file))}: cannot be written \(No space left on device\)\. What was"
    with pytest.raises(RunError, match=said):
        write_it(writer)
    assert {path: path.read_bytes() for path in before} == before
