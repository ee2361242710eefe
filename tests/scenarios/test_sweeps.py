"""Sweeps: one program for many runs, each of which is what it would be alone; going on; failures; Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_reproducible import digests

import neuromirror as nm
from neuromirror.backends.base import Options, load_backend
from neuromirror.backends.brian2 import programs, standalone
from neuromirror.backends.brian2.programs import values_of
from neuromirror.circuit.circuit import Circuit
from neuromirror.cli import main
from neuromirror.errors import RequestError
from neuromirror.plan import make_plan
from neuromirror.record.lock import Held
from neuromirror.simulation import recorder_of
from neuromirror.sweeps import tasks

MIRROR = 'schedule=[{mode="mirror", duration="200 ms"}]'
BOTH = 'schedule=[{mode="mirror", duration="300 ms"}, {mode="engaged", duration="300 ms"}]'
COMPILED = pytest.mark.skipif(standalone.compiler() is None, reason="there is no C++ compiler")

DATA: list[dict[str, Any]] = [
    {"code.beta": "60 Hz"},
    {"code.unit": "20 Hz"},
    {"code.estimate.tau": "1 s"},
    {"cells.cell.tau_m": "10 ms"},
    {"cells.cell.tau_syn": "5 ms"},
    {"cells.cell.refractory": "0 ms"},
    {"cells.cell.v_threshold": "-55 mV"},
    {"cells.cell.noise": "4 mV"},
    {"cells.cell.default_bias": "19 mV"},
    {"populations.y0.parameters": {"tau_m": ["10 ms", "20 ms", "30 ms"]}},
    {"populations.y1.bias": {"init": "constant", "value": 0.3}},
    {"projections.W1.weight": {"init": "rademacher", "gain": 2.0}},
    {"projections.W1.weight": {"init": "values", "values": [[1.0, 0.5, -1.0], [0.0, 2.0, 1.0]]}},
    {"projections.x0.delay": "1 ms"},
    {"rules.mirror.updater": {"rate": 0.1, "decay": 0.5}},
    {"rules.forward.updater.rate": 0.1},
    {"modes.mirror.noise.y0.sd": 1.0},
    {"modes.mirror.noise.y0.tau": "10 ms"},
    {"modes.mirror.signal": {"kind": "count"}},
    {"time.settle": "50 ms"},
    {"stimulus.sd": 0.5},
]
"""Changes of `BOTH` that are data to its program."""
BURSTS = {"law": "bursts", "amplitude": 2.0, "cells": 2, "dwell": "10 ms"}
COMMON = {"law": "gaussian", "correlation": 0.2}
CODE: list[dict[str, Any]] = [
    {"time.dt": "0.25 ms"},
    {"schedule.0.duration": "600 ms"},
    {"modes.mirror.on": ["W1", "x0"]},
    {"modes.mirror.window": "5 ms"},
    {"modes.engaged.window": "50 ms"},
    {"modes.mirror.noise.y0": {"law": "poisson"}},
    {"modes.mirror.noise.y0": COMMON},
    {"modes.mirror.noise.y0": BURSTS},
    {"rules.mirror.drive": "(post - beta_post)*pre"},
    {"rules.mirror.updater.normalise": {"per": "array", "norm": 2.0}},
    {"projections.W1.delay": "2 ms"},
    {"projections.W1.mask": [[1, 0, 1], [1, 1, 1]]},
]
"""Changes for which another program is needed."""


def program_of(circuit: Circuit) -> tuple[list[str], dict[str, bytes], set[str]]:
    """Return the lines of a circuit's program, the data that it begins with, and what a run gives it anew."""
    simulator: Any = load_backend("brian2")
    gc.collect()  # names of code are numbered where a program of before is still there
    with simulator.builder(Options(points=20)) as build:
        program = build([make_plan(circuit, 0)])
        files = (program.directory / "static_arrays").iterdir()
        data = {file.name: file.read_bytes() for file in files}
        given = set(values_of(programs._opened(program).spiking))
        source = re.sub(r"codeobject_\d+", "codeobject", (program.directory / "joined.cpp").read_text())
        return sorted(source.splitlines()), data, given  # Brian2 sets its clocks up in any order


def in_program(name: str) -> set[str]:
    """Return what the files of a program can call a value that it is given."""
    owner, _, variable = name.partition(".")
    kinds = (f"_static_array__array_{owner}_{variable}", f"_static_array__dynamic_array_{owner}_{variable}")
    return {f"{owner}_values"} if variable == "values" else set(kinds)


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write programs, and compile none."""
    monkeypatch.setattr(standalone.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stderr=""))


@pytest.mark.usefixtures("compiling")
@pytest.mark.parametrize(
    "start",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"modes.mirror.noise.y0": BURSTS}, marks=pytest.mark.slow),
        {"modes.mirror.noise.y0": COMMON},
    ],
)
def test_plans_of_one_key_have_the_same_source_and_are_given_all_that_differs(start: dict) -> None:
    simulator: Any = load_backend("brian2")
    base = nm.load("figure1", [BOTH]).with_values(start)
    key = simulator.key(make_plan(base, 0), Options(points=20))
    source, data, _ = program_of(base)
    own = [one for one in DATA if not any("noise" in name for name in one)] if start else DATA
    if start:
        name = "amplitude" if "amplitude" in start["modes.mirror.noise.y0"] else "correlation"
        own = [{f"modes.mirror.noise.y0.{name}": 0.1}, *own[::4]]
    for change in own:
        circuit = base.with_values(change)
        assert simulator.key(make_plan(circuit, 3), Options(points=20)) == key, change
        theirs, changed, given = program_of(circuit)
        assert theirs == source, change
        differ = {name for name in changed if changed[name] != data[name]}
        assert changed.keys() == data.keys()
        assert differ, change
        assert differ <= set().union(*map(in_program, given)), change


def test_what_is_code_has_a_key_of_its_own() -> None:
    simulator: Any = load_backend("brian2")
    base = nm.load("figure1", [BOTH])
    circuits = [base, *(base.with_values(change) for change in CODE)]
    circuits += [circuits[8].with_values({"modes.mirror.noise.y0.cells": 1})]
    keys = [simulator.key(make_plan(one, 0), Options(points=20)) for one in circuits]
    keys += [simulator.key(make_plan(base, 0), Options(points=5))]
    assert len(set(keys)) == len(keys)


@COMPILED
def test_a_hundred_runs_are_built_once_and_each_is_what_it_is_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, run = list[Any](), subprocess.run
    monkeypatch.setattr(standalone.subprocess, "run", lambda *a, **k: (compiled.append(a[0]), run(*a, **k))[1])
    said: list[str] = []
    circuit = nm.load("figure1", [MIRROR])
    vary = {
        "code.beta": ["60 Hz", "80 Hz", "100 Hz", "110 Hz", "120 Hz"],
        "modes.mirror.noise.y0.sd": [0.5, 1.0, 1.5, 2.0],
    }
    swept = nm.sweep(
        circuit, vary, seeds=5, out=tmp_path / "sweep", target="cpp_standalone", points=5, announce=said.append
    )
    assert ["joined.cpp" in command for command in compiled].count(True) == 1
    assert len(compiled) == 101
    assert "100 runs, 1 build" in said
    assert len(swept.runs) == 100
    assert not swept.failed
    monkeypatch.undo()
    for beta, sd, seed in (("60 Hz", 0.5, 0), ("120 Hz", 2.0, 4), ("100 Hz", 1.0, 2)):
        one = circuit.with_values({"code.beta": beta, "modes.mirror.noise.y0.sd": sd})
        alone = nm.run(one, seed=seed, out=tmp_path / beta, target="cpp_standalone", points=5, figures=False)
        name = f"beta={beta.replace(' ', '')},sd={sd}"
        assert digests(tmp_path / "sweep" / name / f"seed-{seed}") == digests(alone.path), name
    ends = [run.angles_deg("B1")[-1] for run in swept.runs[-5:]]
    assert swept.rows()[-1]["angle_deg"].estimate == pytest.approx(np.mean(ends))


@COMPILED
@pytest.mark.slow
def test_whatever_is_data_gives_what_it_gives_alone(tmp_path: Path) -> None:
    simulator: Any = load_backend("brian2")
    base, options = nm.load("figure1", [BOTH]), Options(target="cpp_standalone", points=20)
    plans = [make_plan(base.with_values(change), number % 3) for number, change in enumerate(DATA)]
    with simulator.builder(options) as build:
        program = build([make_plan(base, 0)])
        for number, plan in enumerate(plans):
            folder = tmp_path / f"{number}"
            how = {"backend": "brian2", "target": "cpp_standalone", "points": 20}
            recorder = recorder_of(plan, folder, **how, progress_to=lambda _: None)
            program.run(plan, recorder)
            recorder.close(0.0)
    for number, plan in enumerate(plans):
        alone = tmp_path / f"alone-{number}"
        nm.run_seeds(plan.circuit, seeds=[plan.seed], options=options, out=alone, figures=False)
        assert digests(tmp_path / f"{number}") == digests(alone), DATA[number]


@COMPILED
def test_several_processes_run_the_same_program(tmp_path: Path) -> None:
    circuit, vary = nm.load("figure1", [MIRROR]), {"code.beta": ["80 Hz", "100 Hz"], "time.dt": ["0.5 ms", "0.25 ms"]}
    said: list[str] = []
    for jobs in (1, 2):
        out = tmp_path / f"jobs-{jobs}"
        nm.sweep(circuit, vary, seeds=2, out=out, target="cpp_standalone", points=4, jobs=jobs, announce=said.append)
    assert said.count("8 runs, 2 builds") == 2
    assert digests(tmp_path / "jobs-1") == digests(tmp_path / "jobs-2")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_goes_on_with_what_is_left(jobs: int, tmp_path: Path) -> None:
    def sweep(**options: Any) -> Any:
        options = {"seeds": 2, "backend": "reference", "points": 3, "out": tmp_path / "out", "jobs": jobs, **options}
        return nm.sweep(nm.load("figure1", [MIRROR]), {"code.beta": ["90 Hz", "100 Hz"]}, **options)

    first = sweep()
    assert [run.path.relative_to(tmp_path).as_posix() for run in first.runs] == [
        f"out/beta={beta}Hz/seed-{seed}" for beta in (90, 100) for seed in (0, 1)
    ]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*/*") if path.is_file()}
    cut = first.runs[2].path / "manifest.json"
    cut.write_text(cut.read_text().replace('"complete": true', '"complete": false'))
    said: list[str] = []
    again = sweep(seeds=3, announce=said.append)
    assert "3 of them still to be run" in said[0]
    assert len(again.runs) == 6
    assert not again.left()
    kept = {path for path in written if path.exists() and path.stat().st_mtime_ns == written[path]}
    assert set(written) - kept == {path for path in written if path.parent == cut.parent}
    assert sweep(seeds=3, announce=said.append).left() == 0
    assert said[-1].endswith("all 6 runs have been run.")
    for options, wrong in (({"points": 7}, "points 3, not 7"), ({"backend": "torch"}, "backend reference, not torch")):
        with pytest.raises(RequestError, match=wrong):
            sweep(**options)
    with pytest.raises(RequestError, match="a run of another circuit"):
        nm.sweep(
            nm.load("figure1", [MIRROR, "code.unit=20 Hz"]),
            {"code.beta": ["90 Hz"]},
            backend="reference",
            points=3,
            out=tmp_path / "out",
        )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("")
    with pytest.raises(RequestError, match="overwrites nothing"):
        sweep(out=tmp_path / "other")


def test_a_sweep_that_was_killed_after_its_last_run_has_its_table_when_it_goes_on(tmp_path: Path) -> None:
    def sweep() -> None:
        nm.sweep(
            nm.load("figure1", [MIRROR]), {"code.beta": ["90 Hz"]}, backend="torch", points=3, out=tmp_path / "out"
        )

    sweep()
    said, table = tmp_path / "out" / "sweep.json", tmp_path / "out" / "table.txt"
    whole = said.read_text(), table.read_text()
    said.write_text(whole[0].replace('"state": "done"', '"state": "left"'))
    table.unlink()
    sweep()
    assert (said.read_text(), table.read_text()) == whole


def test_two_processes_do_not_run_one_sweep(tmp_path: Path) -> None:
    refused: list[str] = []

    def sweep(announce: Callable[[str], None]) -> Any:
        circuit = nm.load("figure1", [MIRROR])
        vary, out = {"code.beta": ["90 Hz"]}, tmp_path / "out"
        return nm.sweep(circuit, vary, seeds=2, backend="reference", points=3, out=out, announce=announce)

    def another(_: str) -> None:
        with pytest.raises(RequestError, match="out: another process is writing there") as found:
            sweep(lambda _: None)
        refused.append(str(found.value))

    assert len(sweep(another).runs) == 2
    assert refused
    assert not sweep(lambda _: None).left()


def test_a_run_that_another_process_is_writing_is_not_taken_away(tmp_path: Path) -> None:
    """That of a worker whose sweep was killed, for one."""

    def sweep() -> Any:
        circuit = nm.load("figure1", [MIRROR])
        return nm.sweep(circuit, {"code.beta": ["90 Hz"]}, backend="reference", points=3, out=tmp_path)

    folder = sweep().runs[0].path
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    with Held(folder), pytest.raises(RequestError, match="seed-0: another process is writing there"):
        sweep()
    assert manifest.exists()
    assert nm.open_run(sweep().runs[0].path).manifest.complete


def test_a_run_of_another_seed_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    def sweep(*seeds: int) -> Any:
        circuit = nm.load("figure1", [MIRROR])
        return nm.sweep(circuit, {"code.beta": ["90 Hz"]}, seeds=seeds, backend="reference", points=3, out=tmp_path)

    folder = sweep(0).runs[0].path
    folder.rename(folder.with_name("seed-1"))
    with pytest.raises(RequestError, match="seed-1: this is a run of another circuit"):
        sweep(1)


@pytest.mark.parametrize(("seeds", "statistic"), [(5, "mean"), (6, "median")])
def test_medians_are_of_as_many_seeds_as_an_interval_needs(seeds: int, statistic: str, tmp_path: Path) -> None:
    circuit = nm.load("figure1", [MIRROR])
    swept = nm.sweep(circuit, {"code.beta": ["90 Hz"]}, seeds=seeds, backend="torch", points=2, out=tmp_path / "out")
    (row,), angles = swept.rows(), [run.angles_deg("B1")[-1] for run in swept.runs]
    assert (row["statistic"], row["runs"]) == (statistic, seeds)
    assert row["angle_deg"].estimate == pytest.approx(getattr(np, statistic)(angles))
    assert np.isfinite([row["angle_deg"].low, row["angle_deg"].high]).all()


def test_a_run_that_ends_early_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "load_backend", lambda _: SimpleNamespace(run=lambda *_: None))
    swept = nm.sweep(
        nm.load("figure1", [MIRROR]), {"code.beta": ["90 Hz"]}, backend="reference", points=3, out=tmp_path / "out"
    )
    assert not swept.runs
    assert list(swept.failed.values()) == ["it stopped before its end"]


def test_ctrl_c_that_a_library_takes_for_an_error_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ValueError("what became of it")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(tasks, "load_backend", lambda _: SimpleNamespace(run=run))
    said: list[str] = []
    try:
        with pytest.raises(KeyboardInterrupt):
            nm.sweep(
                nm.load("figure1", [MIRROR]),
                {"code.beta": ["90 Hz"]},
                seeds=2,
                backend="reference",
                points=3,
                out=tmp_path / "out",
                announce=said.append,
            )
    finally:
        signal.signal(signal.SIGINT, before)
    assert said[-1].startswith("0 of 2 runs are done, 2 are left")


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "figure1", "--vary", "code.beta=90 Hz", "--backend", "reference", "--out", f"{tmp_path}/link/x"])
    assert ended.value.code == 2
    assert "a run cannot be written there" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_that_fails_is_recorded_and_the_others_go_on(
    jobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["sweep", "figure1", "--set", MIRROR, "--vary", "rules.mirror.updater={rate=0.1},{rate=1e308}"]
    command += ["--seeds", "2", "--backend", "reference", "--out", "out", "--jobs", jobs, "--json"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    printed, said = capsys.readouterr()
    assert "2 of 4 runs failed" in said
    assert "no longer finite" in said
    found = json.loads(printed.splitlines()[-1])
    assert [one["state"] for one in found["runs"]] == ["done", "done", "failed", "failed"]
    assert "no longer finite" in found["runs"][2]["error"]
    assert [row["runs"] for row in found["table"]] == [2]
    assert (tmp_path / "out" / "table.txt").read_text() == "\n".join(printed.splitlines()[:2]) + "\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_leaves_finished_runs_and_says_what_is_left(jobs: int, tmp_path: Path) -> None:
    length = 'schedule=[{mode="mirror", examples=20000}]'
    command = ["sweep", "figure1", "--set", length, "--vary", "code.beta=80 Hz,90 Hz,100 Hz", "--seeds", "20"]
    command += ["--backend", "torch", "--out", "out", "--points", "2", "--jobs", str(jobs)]

    def complete() -> set[Path]:
        files = (tmp_path / "out").glob("*/*/manifest.json")
        return {file.parent for file in files if json.loads(file.read_text())["complete"]}

    with subprocess.Popen(
        [sys.executable, "-m", "neuromirror", *command],
        cwd=tmp_path,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as program:
        started = time.monotonic()
        while len(complete()) < 3 and time.monotonic() < started + 500:
            assert program.poll() is None
            time.sleep(0.1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGINT)
        _, said = program.communicate(timeout=500)
    assert program.returncode == 130, said
    done = len(complete())
    assert f"{done} of 60 runs are done, {60 - done} are left" in said
    assert "the same command with --out out goes on with them" in said
    states = [one["state"] for one in json.loads((tmp_path / "out" / "sweep.json").read_text())["runs"]]
    assert states.count("done") == done
    assert states.count("left") == 60 - done
