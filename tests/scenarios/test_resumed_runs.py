"""Spiking runs that are cut short, at any moment and in any way, and go on to the record of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import brian2 as b2
import numpy as np
import pytest
from cut_short import assert_same, at_boundary, kill_until_complete, record_of

import neuromirror as nm
from neuromirror.backends.base import Options, Snapshot, load_backend
from neuromirror.backends.brian2 import here
from neuromirror.backends.brian2.here import RunHere
from neuromirror.cli import main
from neuromirror.errors import RequestError, RunError, UnsupportedError
from neuromirror.plan import make_plan
from neuromirror.record import checkpoint, parts
from neuromirror.record.lock import Held
from neuromirror.recorder import RunRecorder

CHANGES = [
    'schedule=[{mode="mirror", duration="200 ms"}, {mode="engaged", duration="200 ms"}, {mode="mirror", examples=40}]',
    'projections.x0.delay="5 ms"',  # spikes are under way
    'projections.W1.delay="3 ms"',
    'code.estimate={ tau = "1 s" }',
]
SHORT_PARTS = 20
"""Spikes to a part, so that a run has several."""


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_SPIKES", SHORT_PARTS)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where tests run in the background and it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def begin(
    folder: Path, target: str = "numpy", announce: Callable[[str], None] = lambda _: None, **options: Any
) -> None:
    circuit = nm.load("figure1", CHANGES)
    chosen = Options(target=target, **options)
    nm.run_seeds(circuit, seeds=[3], out=folder, options=chosen, figures=False, announce=announce)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not cut short."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "PART_SPIKES", SHORT_PARTS)
        begin(folder)
    return folder


def cut(
    folder: Path, number: int, act: Callable[[], None], error: type[BaseException] = KeyboardInterrupt
) -> list[str]:
    """Begin a run that is cut short at a boundary, and return what is said."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunHere, "_at_boundary", at_boundary(number, act))
        with pytest.raises(error):
            begin(folder, announce=said.append)
    return said


# ---- what is handed over as a run goes ------------------------------------------------------------------------------


def test_a_run_in_many_stretches_is_that_in_one(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boundaries come at every tick, or not before the last snapshots; parts are longer, which changes their files."""
    monkeypatch.setattr(parts, "PART_SPIKES", 2**17)
    for name, ticks in (("many", 1), ("one", None)):
        found = (lambda *_: 1) if ticks else (lambda layout, snapshot: layout.grid.ticks)
        monkeypatch.setattr(here, "boundary_ticks", found)
        begin(tmp_path / name)
    assert_same(tmp_path / "many", tmp_path / "one")
    in_parts, at_once = nm.open_run(whole), nm.open_run(tmp_path / "one")
    assert len(list((whole / "spikes").glob("y0-*"))) > 2
    assert len(list((tmp_path / "one" / "spikes").glob("y0-*"))) == 1
    for name in in_parts.manifest.populations:
        found, expected = in_parts.spikes(name), at_once.spikes(name)
        assert np.array_equal(found.t_s, expected.t_s)
        assert np.array_equal(found.cell, expected.cell)
    assert (whole / "metrics.jsonl").read_bytes() == (tmp_path / "one" / "metrics.jsonl").read_bytes()


class Listening:
    """A recorder that notes which spikes of a population it has been given by each snapshot."""

    def __init__(self) -> None:
        self.ticks = np.zeros(0, np.int64)
        self.by_snapshot: list[tuple[float, int]] = []

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        self.by_snapshot.append((snapshot.t_s, len(self.ticks)))

    def spikes(self, population: str, ticks: np.ndarray, cells: np.ndarray) -> None:
        if population == "y0":
            self.ticks = np.concatenate([self.ticks, ticks])

    def progress(self, done_s: float) -> None:
        pass


@pytest.mark.parametrize("target", ["numpy", "cpp_standalone"])
def test_spikes_come_before_the_snapshots_of_their_time(target: str) -> None:
    plan, heard = make_plan(nm.load("figure1", CHANGES), 3, "brian2"), Listening()
    load_backend("brian2").run([plan], [heard], Options(target=target, points=5))
    assert len(heard.by_snapshot) > 4
    assert (np.diff(heard.ticks) >= 0).all()
    for t_s, given in heard.by_snapshot:
        assert given >= np.sum(heard.ticks < round(t_s / plan.description.time.dt.s))


def test_memory_holds_what_came_since_the_last_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    before = RunHere._at_boundary

    def watched(self: RunHere) -> None:
        held.append(len(self.spiking.spikes.t) + len(self.spiking.clipped.t))
        before(self)
        assert len(self.spiking.spikes.t) == len(self.spiking.clipped.t) == 0
        assert isinstance(self.recorder, RunRecorder)
        assert all(len(held) < SHORT_PARTS for held in self.recorder._parts.state().values())

    monkeypatch.setattr(RunHere, "_at_boundary", watched)
    begin(tmp_path / "run")
    assert len(held) > 100
    assert max(held) < SHORT_PARTS


def test_what_is_recorded_can_be_read_while_a_run_goes(tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []

    def look() -> None:
        run = nm.open_run(tmp_path / "run")
        seen.append((float(run.times_s()[-1]), len(run.spikes("y0"))))
        raise RunError("enough")

    cut(tmp_path / "run", 150, look, RunError)
    ((reached_s, spikes),) = seen
    assert reached_s > 0.25
    assert spikes > 5


# ---- runs that go on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("boundary", [2, 81, 82, 137])
def test_an_interrupted_run_goes_on_to_the_same_record(
    stop: signal.Signals, boundary: int, whole: Path, tmp_path: Path
) -> None:
    """Among the moments are the beginning, the end of a phase (the 81st boundary) and the one after it."""
    said = cut(tmp_path / "run", boundary, lambda: signal.raise_signal(stop))
    assert said[-1].endswith(f"go on with: neuromirror run --resume {tmp_path / 'run'}")
    run = nm.open_run(tmp_path / "run")
    assert not run.manifest.complete
    assert run.weight_steps()[-1] == run.metrics()[-1]["examples"]
    assert nm.resume(tmp_path / "run", figures=False).manifest.complete
    assert_same(tmp_path / "run", whole)


def test_a_run_that_is_cut_short_again_and_again_comes_to_the_same_end(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint that it goes on from may be older than what has been recorded."""
    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    cut(tmp_path / "run", 40, lambda: signal.raise_signal(signal.SIGINT))
    old = (tmp_path / "run" / checkpoint.FILE).read_bytes()
    for boundary in (30, 60):
        with pytest.MonkeyPatch.context() as patched:
            act = at_boundary(boundary, lambda: signal.raise_signal(signal.SIGINT))
            patched.setattr(RunHere, "_at_boundary", act)
            with pytest.raises(KeyboardInterrupt):
                nm.resume(tmp_path / "run", figures=False)
    (tmp_path / "run" / checkpoint.FILE).write_bytes(old)
    nm.resume(tmp_path / "run", figures=False)
    assert_same(tmp_path / "run", whole)


def test_two_processes_do_not_go_on_with_one_run(whole: Path, tmp_path: Path) -> None:
    """Not while it is being run, either, nor while another goes on with it."""
    folder, refused = tmp_path / "run", "another process is writing there. Wait until it has ended."

    def another() -> None:
        with pytest.raises(RequestError, match=refused):
            nm.resume(folder, figures=False)

    def another_and_ctrl_c() -> None:
        another()
        signal.raise_signal(signal.SIGINT)

    cut(folder, 30, another_and_ctrl_c)
    before = record_of(folder)
    with Held(folder):
        another()
    assert record_of(folder) == before
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunHere, "_at_boundary", at_boundary(30, another))
        nm.resume(folder, figures=False)
    assert_same(folder, whole)


def test_a_second_ctrl_c_does_not_wait(whole: Path, tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    cut(tmp_path / "run", 60, twice)
    assert not (tmp_path / "run" / checkpoint.FILE).exists()
    nm.resume(tmp_path / "run", figures=False)
    assert_same(tmp_path / "run", whole)


def test_ctrl_c_stays_ignored_where_it_is() -> None:
    """As in the background of a script; Brian2 has a handler of its own for it."""
    program = "import os, signal, neuromirror.backends.brian2; os.kill(os.getpid(), signal.SIGINT); print('goes on')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "goes on\n", done.stderr


def test_checkpoints_cost_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is followed by a hundred times the time that it took, by a clock that only checkpoints move."""
    now_s, written = [0.0], [0]

    def save(*_: Any) -> None:
        written[0] += 1
        now_s[0] += 1.0

    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(perf_counter=lambda: now_s[0]))
    before = RunHere._at_boundary

    def pass_time(self: RunHere) -> None:
        now_s[0] += 2.0
        before(self)

    monkeypatch.setattr(RunHere, "_at_boundary", pass_time)
    begin(tmp_path / "run")
    assert 3 <= written[0] <= 0.011 * now_s[0] + 1


LIFE = (
    "from neuromirror.record import checkpoint, parts;"
    f"checkpoint.CHECKPOINT_S = 0.05; checkpoint.CHECKPOINT_SHARE = 1.0; parts.PART_SPIKES = {SHORT_PARTS};"
    "from neuromirror.cli import main; main()"
)
"""The command, with checkpoints that come often."""


@pytest.mark.slow
@pytest.mark.parametrize(("target", "phase"), [("numpy", "2400 ms"), ("cython", "9600 ms")])
def test_a_command_killed_at_random_times_comes_to_the_same_end(target: str, phase: str, tmp_path: Path) -> None:
    """By SIGKILL, SIGTERM and SIGINT in turn, while it records."""
    longer = nm.load("figure1", [change.replace("200 ms", phase) for change in CHANGES])
    begin(tmp_path / "short", target)  # compiles what the others find compiled
    whole = nm.run(longer, seed=3, target=target, out=tmp_path / "whole", figures=False)
    longer.save(tmp_path / "net.toml")
    command = ["run", "--no-figures", "net.toml", "--seed", "3", "--target", target, "--out", "run"]
    again = ["run", "--no-figures", "--resume", "run"]
    folder = tmp_path / "run"
    kill_until_complete(LIFE, command, again=again, folder=folder, rows=len(whole.metrics()))
    assert_same(folder, tmp_path / "whole")


def test_numbers_drawn_ahead_are_dropped_before_a_state_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that goes on would leave out those that compiled code has drawn and not used."""
    device: Any = b2.get_device()
    left, before = list[int](), RunHere._at_boundary

    def drawn_ahead(self: RunHere) -> None:
        device.rand_buffer_index[:] = device.randn_buffer_index[:] = 5
        before(self)
        left.extend((*device.rand_buffer_index, *device.randn_buffer_index))

    monkeypatch.setattr(RunHere, "_at_boundary", drawn_ahead)
    begin(tmp_path / "run")
    assert left
    assert not any(left)


@pytest.mark.slow
def test_cython_draws_the_same_numbers_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those that it has drawn ahead, which are dropped at every boundary."""
    monkeypatch.setattr(here, "drop_numbers_drawn_ahead", lambda: None)
    begin(tmp_path / "many", "cython")
    monkeypatch.setattr(here, "boundary_ticks", lambda layout, snapshot: layout.grid.ticks)
    monkeypatch.setattr(parts, "PART_SPIKES", SHORT_PARTS)
    begin(tmp_path / "one", "cython")
    for name in ("metrics.jsonl", *(f"weights/{step:010d}/B.safetensors" for step in (0, 80, 90, 130))):
        found = (tmp_path / "many" / name, tmp_path / "one" / name)
        assert found[0].exists() == found[1].exists()
        assert not found[0].exists() or found[0].read_bytes() == found[1].read_bytes()


# ---- runs that do not go on -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cut short."""
    folder = tmp_path_factory.mktemp("left") / "run"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    cut(folder, 20, lambda: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, before)
    return folder


def changed(folder: Path, left: Path, **values: Any) -> Path:
    """Copy a run, with other values in its manifest."""
    shutil.copytree(left, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **values}))
    return folder


def test_a_complete_run_does_not_go_on(whole: Path) -> None:
    with pytest.raises(RequestError, match=r"this run is complete\. Run again with another --out"):
        nm.resume(whole)


@pytest.mark.parametrize(
    ("backend", "target", "says"),
    [
        ("brian2", "cpp_standalone", "standalone programs keep no state on their way, as targets numpy and cython do"),
        ("torch", "cpu, float64", "runs of backend 'torch' keep no state on their way"),
        ("reference", "numpy", "runs of backend 'reference' keep no state on their way"),
        ("brian2-rate", "numpy, float64", "runs of backend 'brian2-rate' keep no state on their way"),
    ],
)
def test_runs_that_keep_no_state_say_so(backend: str, target: str, says: str, left: Path, tmp_path: Path) -> None:
    folder = changed(tmp_path / "run", left, backend=backend, target=target)
    with pytest.raises(UnsupportedError, match=f"it cannot be resumed, since {says}. Start the run again."):
        nm.resume(folder)


def test_another_circuit_or_version_is_refused(left: Path, tmp_path: Path) -> None:
    folder = changed(tmp_path / "circuit", left)
    text = (folder / "circuit.toml").read_text()
    (folder / "circuit.toml").write_text(text.replace('delay = "3 ms"', 'delay = "4 ms"'))
    with pytest.raises(RequestError, match=r"circuit\.toml: another circuit than the run began with\. Restore"):
        nm.resume(folder)
    versions = {**json.loads((left / "manifest.json").read_text())["versions"], "numpy": "1.0"}
    folder = changed(tmp_path / "version", left, versions=versions)
    with pytest.raises(RequestError, match=r"begun with numpy 1\.0, and this is .*Install numpy 1\.0, or start"):
        nm.resume(folder)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (checkpoint.FILE, b"no archive", r"checkpoint\.npz: cannot be read .* Start the run again"),
        ("options.json", b'{"points": "many"}', r"options\.json: .* are not the options of a run"),
        ("options.json", b"{", r"options\.json:1"),
        ("metrics.jsonl", b"", r"0 rows of metrics, but \d+ were written"),
    ],
)
def test_a_damaged_run_says_what_is_wrong(file: str, content: bytes, says: str, left: Path, tmp_path: Path) -> None:
    folder = changed(tmp_path / "run", left)
    (folder / file).write_bytes(content)
    with pytest.raises(RequestError, match=says):
        nm.resume(folder)


@pytest.mark.parametrize("lost", ["spikes", "weights/0000000000"])
def test_what_was_written_must_still_be_there(lost: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    cut(folder, 60, lambda: signal.raise_signal(signal.SIGINT))
    before = record_of(folder)
    shutil.move(folder / lost, tmp_path / "lost")
    with pytest.raises(RequestError, match=f"{lost}.* is missing, which was written. Restore it, or start"):
        nm.resume(folder)
    shutil.move(tmp_path / "lost", folder / lost)
    assert record_of(folder) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["figure1"], "Leave out the circuit."),
        (["--seed", "2"], "Leave out --seed."),
        (["--points", "7"], "Leave out --points."),
        (["--set", "code.beta=20 Hz"], "Leave out --set."),
        (["--backend", "torch"], "Leave out --backend."),
    ],
)
def test_a_run_goes_on_as_it_was_begun(
    arguments: list[str], says: str, left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run", *arguments, "--resume", str(left)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: --resume: a run goes on as it was begun. {says}\n"


def test_the_command_goes_on_and_reports(
    left: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = changed(tmp_path / "run", left)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--resume", str(folder), "--no-figures", "--json"])
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert f"{folder}: goes on after 0.045 of 0.5 s\n" in err
    assert json.loads(out.splitlines()[-1])["run_dir"] == str(folder)
    assert_same(folder, whole)


def test_run_needs_a_circuit_or_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["run"])
    assert stopped.value.code == 2
    assert "name a circuit, such as figure1, or a run to go on with: --resume DIR" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forked processes")
def test_a_forked_process_holds_nothing(tmp_path: Path) -> None:
    """Workers that load images outlive a process that is killed, for a moment; its run can go on at once."""
    reading, writing = os.pipe()
    begun, begins = os.pipe()
    held = Held(tmp_path)
    if (child := os.fork()) == 0:
        os.close(writing)
        os.write(begins, b".")
        os.read(reading, 1)  # until the parent lets go
        os._exit(0)
    os.read(begun, 1)
    with pytest.raises(RequestError, match="another process"):
        Held(tmp_path)
    held.release()
    Held(tmp_path).release()
    os.close(writing)
    os.waitpid(child, 0)
