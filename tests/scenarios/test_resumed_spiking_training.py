"""Training in spikes that is cut short, at any moment and in any way, and goes on to the record of one that was not."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cut_short import assert_same, at_boundary, environment, kill_until_complete
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.backends.brian2.here import RunHere
from neuromirror.cli import main
from neuromirror.errors import RequestError
from neuromirror.record import checkpoint
from neuromirror.resuming import resume_run
from neuromirror.training.settings import Settings
from neuromirror.training.spiking import train_spiking_seeds
from neuromirror.training.train import evaluate

IMAGES = {"train_images": 10, "validation_images": 10, "test_images": 10}
VALUES = {
    "layers.sizes": [64, 6, 10],
    "modes.engaged.compare": {"d2": "y2 - target"},
    "modes.engaged.window": "60 ms",  # a boundary comes every 30 ms, in the middle of images too
    "code.beta": "60 Hz",
    "rules.mirror.updater.memory": "1 s",
    "training.epochs": 2.4,
    "training.mirror_epochs": 0.4,
    "training.mirror_every": 4,
    "training.mirror_examples": 60,
    "training.input_sd": 0.5,
}
"""One turn of mirroring alone, two epochs of 10 images in turns of four, each with a test, and one more at the end."""


def circuit() -> nm.Circuit:
    return nm.load("digits_narrow").with_values(VALUES)


def begin(folder: Path, target: str = "numpy", seeds: tuple[int, ...] = (3,), **heard_by: Any) -> None:
    chosen = Settings(method="wm", **IMAGES)
    train_spiking_seeds(circuit(), seeds_=seeds, out=folder, settings=chosen, target=target, figures=False, **heard_by)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where tests run in the background and it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not cut short."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    begin(folder)
    return folder


def cut(boundary: int, act: Callable[[], object], run: Callable[[], object]) -> None:
    """Run what ends by Ctrl-C at a boundary."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunHere, "_at_boundary", at_boundary(boundary, lambda: act() and None))
        with pytest.raises(KeyboardInterrupt):
            run()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was cut short."""
    folder = tmp_path_factory.mktemp("left") / "run"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    cut(60, interrupt, lambda: begin(folder))
    signal.signal(signal.SIGINT, before)
    return folder


def changed(folder: Path, left: Path, file: str = "manifest.json", **values: Any) -> Path:
    """Copy a run, with other values in one of its files."""
    shutil.copytree(left, folder)
    found = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**found, **values}))
    return folder


# ---- runs that go on ------------------------------------------------------------------------------------------------


def test_the_run_has_all_that_is_kept(whole: Path) -> None:
    """Else equal records would say little: errors that differ, and a worst angle that is not the last."""
    run = nm.open_run(whole)
    rows, summary = run.metrics(), run.manifest.summary
    assert len({row["train_error_percent"] for row in rows if "train_error_percent" in row}) > 2
    assert {key for row in rows for key in row if "error" in key} == {
        "train_error_percent",
        "validation_error_percent",
        "test_error_percent",
    }
    awake = [row["angles_deg"]["B2"] for row in rows if row["mode"] in ("engaged", "testing")]
    assert summary["matrix_angles_worst_deg"]["B2"] == max(awake) > awake[-1]
    assert summary["matrix_angles_deg"]["B2"] == rows[-1]["angles_deg"]["B2"]
    assert summary["top1_error_percent"] == rows[-1]["test_error_percent"]
    assert not (whole / checkpoint.FILE).exists()


def goes_on_to_the_same(boundary: int, stop: signal.Signals, folder: Path, whole: Path) -> None:
    said: list[str] = []
    cut(boundary, lambda: signal.raise_signal(stop), lambda: begin(folder, announce=said.append))
    assert said[-1].endswith(f"go on with: neuromirror train --resume {folder}")
    run = nm.open_run(folder)
    assert not run.manifest.complete
    assert run.weight_steps()[-1] == run.metrics()[-1]["examples"]
    assert nm.resume(folder, figures=False).manifest.complete
    assert_same(folder, whole)


@pytest.mark.parametrize(
    ("boundary", "stop"), [*((boundary, signal.SIGINT) for boundary in (2, 14, 15, 110)), (60, signal.SIGTERM)]
)
def test_an_interrupted_run_goes_on_to_the_same_record(
    boundary: int, stop: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    """At the beginning, the end of the first turn awake (the 14th) and after it, amid an image, in the last test."""
    goes_on_to_the_same(boundary, stop, tmp_path / "run", whole)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boundary=st.integers(2, 115), stop=st.sampled_from([signal.SIGINT, signal.SIGTERM]))
def test_a_run_interrupted_anywhere_goes_on_to_the_same_record(
    boundary: int, stop: signal.Signals, whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    goes_on_to_the_same(boundary, stop, tmp_path_factory.mktemp("cut") / "run", whole)


@pytest.mark.slow
def test_a_run_that_is_cut_short_again_and_again_comes_to_the_same_end(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint that it goes on from may be older than what has been recorded, or lost."""
    monkeypatch.setattr(checkpoint, "CHECKPOINT_S", 0.0)
    folder = tmp_path / "run"
    cut(50, interrupt, lambda: begin(folder))
    old = (folder / checkpoint.FILE).read_bytes()
    cut(30, interrupt, lambda: nm.resume(folder, figures=False))
    (folder / checkpoint.FILE).write_bytes(old)
    cut(60, interrupt, lambda: nm.resume(folder, figures=False))
    shutil.copytree(folder, tmp_path / "lost")
    checkpoint.discard(tmp_path / "lost")
    for name in ("run", "lost"):
        nm.resume(tmp_path / name, figures=False)
        assert_same(tmp_path / name, whole)


@pytest.mark.slow
def test_of_several_seeds_each_goes_on_by_itself(whole: Path, tmp_path: Path) -> None:
    """The second is stopped in its first half; the first is complete by then."""
    boundaries, before = [0], RunHere._at_boundary

    def count(self: RunHere) -> None:
        boundaries[0] += 1
        before(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunHere, "_at_boundary", count)
        begin(tmp_path / "one", seeds=(5,))
    cut(boundaries[0] + 40, interrupt, lambda: begin(tmp_path / "both", seeds=(5, 3)))
    assert_same(tmp_path / "both" / "seed-5", tmp_path / "one")
    nm.resume(tmp_path / "both" / "seed-3", figures=False)
    assert_same(tmp_path / "both" / "seed-3", whole)


LIFE = (
    "from neuromirror.record import checkpoint;"
    "checkpoint.CHECKPOINT_S = 0.05; checkpoint.CHECKPOINT_SHARE = 1.0;"
    "from neuromirror.cli import main; main()"
)
"""The command, with checkpoints that come often."""

KILLED = (
    "import os, signal; from neuromirror.backends.brian2.here import RunHere;"
    "from neuromirror.record import checkpoint; checkpoint.CHECKPOINT_S = 0.05; checkpoint.CHECKPOINT_SHARE = 1.0;"
    "before, left = RunHere._at_boundary, [80]\n"
    "def killed(self):\n"
    "    before(self)\n"
    "    left[0] -= 1\n"
    "    left[0] or os.kill(os.getpid(), signal.SIGKILL)\n"
    "RunHere._at_boundary = killed\n"
    "from neuromirror.cli import main; main()"
)


def command(target: str) -> list[str]:
    images = [text for name, count in IMAGES.items() for text in (f"--{name.replace('_', '-')}", str(count))]
    options = ["--backend", "brian2", "--target", target, "--method", "wm", "--seed", "3", "--out", "run"]
    return ["train", "net.toml", *options, "--no-figures", *images]


def test_a_killed_command_goes_on_to_the_same_record(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    circuit().save(tmp_path / "net.toml")
    done = subprocess.run([sys.executable, "-c", KILLED, *command("numpy")], cwd=tmp_path, env=environment(),
                          check=False, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--resume", "run", "--no-figures", "--json"])
    printed, said = capsys.readouterr()
    assert stopped.value.code == 0, said
    assert "run: goes on after " in said
    assert json.loads(printed.splitlines()[-1])["top1_error_percent"] is not None
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "epochs"), [("numpy", 4.4), ("cython", 8.4)])
def test_a_command_killed_at_random_times_comes_to_the_same_end(target: str, epochs: float, tmp_path: Path) -> None:
    """By SIGKILL, SIGTERM and SIGINT in turn, while it records."""
    longer = circuit().with_values({"training.epochs": epochs})
    begin(tmp_path / "short", target)  # compiles what the others find compiled
    whole = nm.train(longer, backend="brian2", target=target, method="wm", seed=3, out=tmp_path / "whole",
                     figures=False, **IMAGES)  # fmt: skip
    longer.save(tmp_path / "net.toml")
    again, folder = ["train", "--no-figures", "--resume", "run"], tmp_path / "run"
    kill_until_complete(LIFE, command(target), again=again, folder=folder, rows=len(whole.metrics()))
    assert_same(folder, tmp_path / "whole")


# ---- runs that do not go on -----------------------------------------------------------------------------------------


def test_a_standalone_run_says_that_it_cannot_and_keeps_what_there_is(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(done_s: float, total_s: float) -> None:
        if done_s > 0.5 * total_s:
            raise KeyboardInterrupt

    folder, said = tmp_path / "run", list[str]()
    with pytest.raises(KeyboardInterrupt):
        begin(folder, "cpp_standalone", announce=said.append, progress=stop)
    why = "it cannot be resumed, since standalone programs keep no state on their way, as targets numpy and cython do"
    assert said[-1].endswith(f"which are saved in {folder}; {why}")
    run = nm.open_run(folder)
    assert not run.manifest.complete
    assert 2 < len(run.metrics()) < len(nm.open_run(whole).metrics())
    assert run.weight_steps()[-1] == run.metrics()[-1]["examples"]
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--resume", str(folder)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {folder}: {why}. Start the run again.\n"
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_complete_run_does_not_go_on(whole: Path) -> None:
    with pytest.raises(RequestError, match=r"this run is complete\. Train again with another --out"):
        nm.resume(whole)


def test_changes_are_refused(left: Path, tmp_path: Path) -> None:
    folder = changed(tmp_path / "images", left, file="training.json", train_images=20)
    with pytest.raises(RequestError, match=r"digits: other images than the run began with\. Restore them"):
        nm.resume(folder)
    folder = changed(tmp_path / "circuit", left)
    text = (folder / "circuit.toml").read_text()
    (folder / "circuit.toml").write_text(text.replace("mirror_examples = 60", "mirror_examples = 61"))
    with pytest.raises(RequestError, match=r"circuit\.toml: another circuit than the run began with\. Restore"):
        nm.resume(folder)
    versions = {**json.loads((left / "manifest.json").read_text())["versions"], "torchvision": "0.1"}
    folder = changed(tmp_path / "version", left, versions=versions)
    with pytest.raises(RequestError, match=r"begun with torchvision 0\.1, and this is .*Install torchvision 0\.1"):
        nm.resume(folder)


def test_a_run_is_not_evaluated_apart(left: Path) -> None:
    with pytest.raises(RequestError, match=r"cells of brian2 are tested as they learn.* --resume, without --evaluate"):
        evaluate(left)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--backend", "brian2"], "--resume: a run goes on as it was begun. Leave out --backend."),
        (["--target", "numpy"], "--resume: a run goes on as it was begun. Leave out --target."),
        (["--train-images", "20"], "--resume: a run goes on as it was begun. Leave out --train-images."),
        (["--seed", "3"], "--resume: a run goes on as it was begun. Leave out --seed and --seeds."),
    ],
)
def test_a_run_goes_on_as_it_was_begun(
    arguments: list[str], says: str, left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments, "--resume", str(left)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {says}\n"


def test_directories_of_others_are_refused(left: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of ``run`` is none of training, and the other way round."""
    folder = changed(tmp_path / "run", left)
    with pytest.raises(RequestError, match=r"a run of 'neuromirror train'\. Go on with it by neuromirror train"):
        resume_run(folder)
    (folder / "training.json").unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--resume", str(folder)])
    assert stopped.value.code == 2
    assert "Give --resume a directory that 'neuromirror train' wrote." in capsys.readouterr().err
