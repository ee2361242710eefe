"""Runs that go on by the command that began them, and runs that begin where another one has come to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import neuromirror as nm
from experiments.tiny_nets import conv_tables
from neuromirror.errors import RequestError
from neuromirror.training import checkpoint
from neuromirror.training import train as going
from neuromirror.training.loop import Trainer
from neuromirror.training.session import Session

SETTINGS = {
    "data": "digits",
    "method": "wm",
    "train_images": 64,
    "test_images": 20,
    "delta_images": 8,
    "figures": False,
}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def circuit(**training: Any) -> nm.Circuit:
    made = conv_tables()
    own = {"batch": 16, "micro_batch": 8, "epochs": 4, "mirror_epochs": 1, "warmup_epochs": 1, "drops": [3]}
    return nm.Circuit({**made, "training": {**made["training"], **own, **training}})


def cut(folder: Path, monkeypatch: pytest.MonkeyPatch, step: int = 10, **training: Any) -> Path:
    """Begin a run of sixteen steps, and stop it."""
    advance = Trainer.advance

    def stopped(trainer: Trainer, images: int | None = None) -> None:
        if trainer.step == step:
            raise KeyboardInterrupt
        advance(trainer, images)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", stopped)
        with pytest.raises(KeyboardInterrupt):
            nm.train(circuit(**training), out=folder, checkpoint_steps=1, **SETTINGS)
    return folder


def shared(folder: Path) -> dict[str, torch.Tensor]:
    state = checkpoint.newest(folder / "checkpoints")
    assert state is not None
    return state.shared


def assert_same_end(folder: Path, other: Path) -> None:
    found, expected = shared(folder), shared(other)
    assert all(torch.equal(found[name], expected[name]) for name in {*found, *expected})
    assert (folder / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return nm.train(circuit(), out=tmp_path / "whole", **SETTINGS).path


def test_the_same_command_goes_on_to_the_same_end(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cut(tmp_path / "run", monkeypatch)
    nm.train(circuit(), out=folder, or_resume=True, workers=1, keep_checkpoints=1, checkpoint_steps=3, **SETTINGS)
    assert_same_end(folder, whole)
    assert len(list((folder / "checkpoints").iterdir())) == 1


def test_where_there_is_no_run_it_begins_one(whole: Path, tmp_path: Path) -> None:
    assert_same_end(nm.train(circuit(), out=tmp_path / "run", or_resume=True, **SETTINGS).path, whole)


def test_a_complete_run_is_left_alone(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert nm.train(circuit(), out=whole, or_resume=True, **SETTINGS).manifest.complete
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*")}


@pytest.mark.parametrize("left", [[], ["circuit.toml"], ["circuit.toml", "training.json", "metrics.jsonl"]])
def test_a_run_that_was_killed_before_it_began_is_begun(left: list[str], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in left:
        (folder / name).write_text("half")
    nm.train(circuit(), out=folder, or_resume=True, **SETTINGS)
    assert_same_end(folder, whole)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("dear")
    with pytest.raises(RequestError, match="has files in it; a run overwrites nothing"):
        nm.train(circuit(), out=tmp_path / "run", or_resume=True, **SETTINGS)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "dear"


@pytest.mark.parametrize(
    ("training", "settings", "said"),
    [
        ({"epochs": 5}, {}, r"training\.epochs 4 → 5\."),
        ({"rate": 0.3, "drops": [2]}, {}, r"training\.rate 0\.1 → 0\.3; training\.drops \[3.*\] → \[2.*\]\."),
        ({}, {"dtype": "float64"}, r"--dtype float32 → float64\."),
        ({}, {"seed": 4, "test_images": 10}, r"--seed 0 → 4; --test-images 20 → 10\."),
        ({}, {"method": "fa"}, r"--method wm → fa; "),
    ],
)
@pytest.mark.parametrize("complete", [False, True])
def test_another_way_is_refused_with_its_differences(
    training: Any,
    settings: Any,
    said: str,
    complete: bool,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = whole if complete else cut(tmp_path / "run", monkeypatch)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(RequestError, match=rf"this run was begun in another way: .*{said}"):
        nm.train(circuit(**training), out=folder, or_resume=True, **{**SETTINGS, **settings})
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_fork_of_which_nothing_differs_ends_as_the_other_would(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cut(tmp_path / "run", monkeypatch)
    fork = nm.train(circuit(), out=tmp_path / "fork", fork=folder, **SETTINGS)
    assert_same_end(fork.path, whole)
    assert fork.manifest.summary["forked_from"] == {"run": "run", "step": 10}
    assert not nm.open_run(folder).manifest.complete


def test_a_fork_is_the_other_up_to_there_and_its_own_from_there(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cut(tmp_path / "run", monkeypatch)
    fork = nm.train(circuit(rate=0.01, epochs=5), out=tmp_path / "fork", fork=folder, **SETTINGS)
    rows, others = fork.metrics(), nm.open_run(whole).metrics()
    before = [row for row in rows if row["step"] <= 10]
    assert before == others[: len(before)]
    assert rows[-1]["step"] == 20
    assert rows[len(before)] != others[len(before)]


def test_a_fork_that_is_killed_before_its_own_checkpoint_begins_there_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fork = cut(tmp_path / "run", monkeypatch), tmp_path / "fork"

    def killed(session: Session) -> None:
        raise SystemError

    with monkeypatch.context() as patched:
        patched.setattr(Session, "save", killed)
        with pytest.raises(SystemError):
            nm.train(circuit(), out=fork, fork=folder, **SETTINGS)
    with pytest.raises(RequestError, match="stopped before it had a checkpoint of its own"):
        nm.resume(fork, figures=False)
    nm.train(circuit(), out=fork, fork=folder, or_resume=True, **SETTINGS)
    assert_same_end(fork, whole)


def test_a_fork_that_goes_on_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, said = cut(tmp_path / "run", monkeypatch), list[str]()
    fork = nm.train(circuit(), out=tmp_path / "fork", fork=folder, **SETTINGS).path
    manifest = fork / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    going.resume(fork, figures=False, announce=said.append)
    assert said == [f"{fork}: goes on after step 16 of 16"]


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"batch": 32}, "it has 4 steps to an epoch and 4 of mirroring alone, and this run 2 and 2"),
        ({"mirror_epochs": 0}, "4 of mirroring alone, and this run 4 and 0"),
        ({"epochs": 2}, "its newest checkpoint is of step 10, and this run ends at 8"),
    ],
)
def test_a_fork_that_counts_steps_otherwise_is_refused(
    training: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cut(tmp_path / "run", monkeypatch)
    with pytest.raises(RequestError, match=said):
        nm.train(circuit(**training), out=tmp_path / "fork", fork=folder, **SETTINGS)
    assert not (tmp_path / "fork").exists()


def test_a_fork_of_nothing_or_of_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="there is no checkpoint in it"):
        nm.train(circuit(), out=tmp_path / "fork", fork=tmp_path / "nowhere", **SETTINGS)
    folder = cut(tmp_path / "run", monkeypatch)
    wide = circuit().with_values({"populations.y1.shape": [5, 8, 8]})
    with pytest.raises(RequestError, match="the checkpoint is of other arrays"):
        nm.train(wide, out=tmp_path / "fork", fork=folder, **SETTINGS)
    assert not (tmp_path / "fork").exists()


def test_with_several_processes_a_directory_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuromirror.backends.torch.ranks import Ranks
    from neuromirror.training import train

    two = Ranks(0, 2)
    monkeypatch.setattr(two, "gathered", lambda value: [value, value])
    monkeypatch.setattr(train, "joined", lambda: two)
    with pytest.raises(RequestError, match="several processes need one directory"):
        nm.train(circuit(), **SETTINGS)


def test_a_manifest_that_was_complete_stays_readable_after_a_fork(whole: Path, tmp_path: Path) -> None:
    fork = nm.train(circuit(epochs=6), out=tmp_path / "fork", fork=whole, **SETTINGS)
    assert json.loads((fork.path / "manifest.json").read_text())["summary"]["forked_from"]["step"] == 16
    shutil.rmtree(whole)
    assert len(fork.metrics()) == len(nm.open_run(tmp_path / "fork").metrics())
