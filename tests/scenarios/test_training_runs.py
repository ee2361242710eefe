"""Training runs, whole: what is learned and recorded, runs that are cut short and go on, requests that are wrong."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from cut_short import heed
from PIL import Image

import neuromirror as nm
from experiments.tiny_nets import Tables, conv_tables, dense_tables, tiny
from neuromirror.backends.torch.mirror import Mirror
from neuromirror.cli import main
from neuromirror.data.images import Images
from neuromirror.errors import RequestError, RunError
from neuromirror.plan import Plan
from neuromirror.record.store import RunWriter
from neuromirror.training import checkpoint
from neuromirror.training.loop import Trainer
from neuromirror.training.optimizer import ForwardUpdater
from neuromirror.training.session import Session
from neuromirror.training.train import evaluate

METHODS = ("wm", "bp", "fa", "ss", "kp")
SMALL: dict[str, Any] = {"train_images": 100, "test_images": 50, "figures": False}
"""Five steps to an epoch of the tiny circuits."""
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def record_of(folder: Path) -> dict[str, bytes | str]:
    """Return all that two identical runs have in common: every file but times, and checkpoints, for going on."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != "timings.json" and not name.startswith("checkpoints/"):
            found[name] = path.read_bytes()
    manifest = json.loads(found["manifest.json"])
    del manifest["invocation"]
    return {**found, "manifest.json": json.dumps(manifest, sort_keys=True)}


def assert_same(folder: Path, other: Path) -> None:
    found, expected = record_of(folder), record_of(other)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def weights_of(folder: Path) -> bytes:
    """Return the weights at the end of a run."""
    last = sorted((folder / "weights").iterdir())[-1]
    return (last / "W.safetensors").read_bytes() + (last / "B.safetensors").read_bytes()


# ---- what is learned -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_digits_are_learned_by_every_method(method: str, tmp_path: Path) -> None:
    """Chance is 90%; over ten seeds the error was 9 to 22%, with feedback alignment up to 40%."""
    circuit = tiny(epochs=6, mirror_epochs=1, warmup_epochs=1, drops=[5])
    settings: dict[str, Any] = {**SMALL, "train_images": 200, "test_images": 200}
    run = nm.train(circuit, data="digits", method=method, out=tmp_path / "run", **settings)
    summary, rows = run.manifest.summary, run.metrics()
    assert summary["top1_error_percent"] < (60 if method == "fa" else 40)
    assert rows[0]["test_error_percent"] > 70
    assert summary["top1_error_percent"] == rows[-1]["test_error_percent"]
    assert rows[-1]["loss"] < rows[-4]["loss"]
    assert summary["steps"] == rows[-1]["step"] == 60
    assert [row["epoch"] for row in rows] == list(range(7))
    assert [row["mode"] for row in rows] == (["mirroring"] * 2 if method == "wm" else ["engaged"] * 2) + ["engaged"] * 5
    worst = max(summary["matrix_angles_deg"].values())
    assert {"bp": worst == 0, "wm": worst < 30, "fa": worst > 50, "ss": 30 < worst < 60, "kp": worst < 80}[method]
    deltas = summary["delta_angles_deg"]
    assert deltas.keys() == {"y1", "y2", "head"}
    assert (max(deltas.values()) == 0) == (method == "bp")


def test_the_weight_mirror_aligns_before_anything_is_learned(tmp_path: Path) -> None:
    run = nm.train(tiny(mirror_epochs=8, epochs=8, mirror_examples=100), method="wm", out=tmp_path / "run", **SMALL)
    before, after = run.metrics()[0], run.metrics()[-1]
    assert max(after["angles_deg"].values()) < 25 < 60 < min(before["angles_deg"].values())
    assert "loss" not in after
    assert run.manifest.summary["top1_error_percent"] is None
    assert (run.path / "weights" / "0000000000" / "W.safetensors").read_bytes() == (
        run.path / "weights" / "0000000800" / "W.safetensors"
    ).read_bytes()


def test_loss_and_training_error_of_a_row_are_means_since_the_row_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    wrong: list[float] = []
    loss_of = Trainer.loss

    def noted(trainer: Trainer, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = loss_of(trainer, output, labels)
        found.append(loss.item())
        wrong.append(float((output.argmax(dim=1) != labels).float().mean()))
        return loss

    monkeypatch.setattr(Trainer, "loss", noted)
    run = nm.train(tiny(epochs=3), method="bp", out=tmp_path / "run", delta_images=0, **SMALL)
    assert len(found) == 3 * 5 * 2  # two parts to a batch
    for epoch, row in enumerate(run.metrics()[1:]):
        part = slice(10 * epoch, 10 * epoch + 10)
        assert row["loss"] == pytest.approx(np.mean(found[part]), rel=1e-6)
        assert row["train_error_percent"] == pytest.approx(100 * np.mean(wrong[part]), rel=1e-6)


def test_dense_circuits_take_images_as_rows_of_cells(tmp_path: Path) -> None:
    circuit = nm.Circuit(dense_tables((64, 20, 10), epochs=6, rate=0.05))
    run = nm.train(circuit, method="wm", out=tmp_path / "run", **{**SMALL, "train_images": 200})
    assert run.manifest.summary["top1_error_percent"] < 45


# ---- the same again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["wm", "kp"])
def test_the_same_seed_gives_the_same_record_bit_by_bit_and_another_does_not(method: str, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        nm.train(tiny(augment="crop_flip"), method=method, seed=seed, out=tmp_path / name, **SMALL)
    assert_same(tmp_path / "one", tmp_path / "two")
    assert weights_of(tmp_path / "one") != weights_of(tmp_path / "three")


def test_all_methods_see_the_same_images_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    following = Trainer._next

    def noted(trainer: Trainer) -> Any:
        images, labels = following(trainer)
        seen.append(hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest())
        return images, labels

    monkeypatch.setattr(Trainer, "_next", noted)
    orders = {}
    for method in METHODS:
        seen.clear()
        circuit = tiny(augment="crop_flip", epochs=2.6 if method == "wm" else 2)  # 3 steps of mirroring alone
        nm.train(circuit, method=method, out=tmp_path / method, **SMALL)
        orders[method] = list(seen)
    assert {len(order) for order in orders.values()} == {10}
    assert all(order == orders["bp"] for order in orders.values())
    assert len(set(orders["bp"])) == 10


def test_several_seeds_have_a_directory_each_and_are_those_of_runs_alone(tmp_path: Path) -> None:
    tiny().save(tmp_path / "net.toml")
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(tmp_path / "net.toml"), "--train-images", "100", "--test-images", "50", "--no-figures",
              "--method", "fa", "--seed", "4", "--seeds", "2", "--out", str(tmp_path / "runs")])  # fmt: skip
    assert stopped.value.code == 0
    nm.train(tiny(), method="fa", seed=5, out=tmp_path / "alone", **SMALL)
    assert_same(tmp_path / "runs" / "seed-5", tmp_path / "alone")


# ---- how long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "steps", "rows"),
    [
        ({"steps": 4}, 4, [0, 3, 4]),
        ({"epochs": 1.3}, 6, [0, 3, 5, 6]),
        ({"epochs": 0.5, "mirror_epochs": 0.2}, 2, [0, 1, 2]),
        ({"epochs": 2, "steps": 7, "mirror_every": 3}, 7, [0, 3, 5, 7]),
    ],
)
def test_steps_and_rows_of_short_runs(training: Tables, steps: int, rows: list[int], tmp_path: Path) -> None:
    run = nm.train(tiny(**training), method="wm", out=tmp_path / "run", **SMALL)
    assert run.manifest.summary["steps"] == steps
    assert [row["step"] for row in run.metrics()] == rows
    assert run.manifest.summary["examples"] == 20 * steps
    phases = run.manifest.phases
    assert [phase["mode"] for phase in phases] == ["mirroring", "engaged"]
    assert sum(phase["examples"] for phase in phases) == 20 * steps


def test_validation_images_stand_in_for_test_images_until_the_end(tmp_path: Path) -> None:
    run = nm.train(tiny(), method="wm", out=tmp_path / "run", validation_images=30, **SMALL)
    *before, last = run.metrics()
    evaluated = [row for row in before if row["step"] == 0 or row["step"] > 3]
    assert all("validation_error_percent" in row and "test_error_percent" not in row for row in evaluated)
    assert last["validation_error_percent"] == run.manifest.summary["validation_error_percent"]
    assert last["test_error_percent"] == run.manifest.summary["top1_error_percent"]
    assert evaluate(run.path) == {
        "validation_error_percent": last["validation_error_percent"],
        "test_error_percent": last["test_error_percent"],
    }


# ---- cut short, and going on -----------------------------------------------------------------------------------------

CUT: dict[str, Any] = {**SMALL, "method": "wm", "seed": 3}
WHOLE: dict[str, Any] = {"epochs": 3, "mirror_every": 2, "micro_batch": 8}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the record of a run that nothing cut short."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "run"
    nm.train(tiny(**WHOLE), out=folder, **CUT)
    torch.set_num_threads(threads)
    return folder


def stopping(act: Callable[..., Any], number: int, *, before: bool = False, stop: Callable[[], object]) -> Any:
    """Return a function that stops the run at its n-th call, before it does its work or after."""
    calls = 0

    def acted(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == number:
            stop()
        result = act(*given, **options)
        if not before and calls == number:
            stop()
        return result

    return acted


def interrupt() -> None:
    raise KeyboardInterrupt


MOMENTS = [
    (Mirror, "turn", 3),
    (Mirror, "turn", 9),
    (ForwardUpdater, "step", 4),
    (Trainer, "_next", 1),
    (Trainer, "loss", 11),
    (Trainer, "advance", 7),
    (Session, "_row", 1),
    (Session, "_row", 3),
    (RunWriter, "metrics", 1),
    (RunWriter, "metrics", 4),
    (RunWriter, "weight_files", 2),
    (checkpoint, "save", 3),
    (Session, "save", 2),
]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name", "number"), MOMENTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_interrupted_run_goes_on_to_the_same_end(
    owner: Any, name: str, number: int, before: bool, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        act = stopping(getattr(owner, name), number, before=before, stop=interrupt)
        patched.setattr(owner, name, act)
        with pytest.raises(KeyboardInterrupt):
            nm.train(tiny(**WHOLE), out=folder, checkpoint_steps=2, **CUT)
    if not folder.exists():
        assert (name, number) in {("_row", 1), ("metrics", 1)}  # nothing was recorded yet
        return
    assert not nm.open_run(folder).manifest.complete
    assert nm.resume(folder, figures=False).manifest.complete
    assert weights_of(folder) == weights_of(whole)
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    resumed, uncut = (nm.open_run(path).manifest.summary for path in (folder, whole))
    assert resumed == uncut


@pytest.fixture
def heard() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where tests run in the background and it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("owner", "name"), [(Mirror, "turn"), (ForwardUpdater, "step"), (Session, "_row")])
def test_ctrl_c_waits_for_the_end_of_the_step(
    owner: Any, name: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, handler = tmp_path / "run", signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        act = stopping(getattr(owner, name), 3, stop=lambda: signal.raise_signal(signal.SIGINT))
        patched.setattr(owner, name, act)
        with pytest.raises(KeyboardInterrupt):
            nm.train(tiny(**WHOLE), out=folder, **CUT)
    assert signal.getsignal(signal.SIGINT) is handler
    (kept,) = (folder / "checkpoints").iterdir()
    assert kept.name == {"turn": "step-0000000002", "step": "step-0000000006", "_row": "step-0000000005"}[name]
    nm.resume(folder, figures=False)
    assert_same_but_settings(folder, whole)


def assert_same_but_settings(folder: Path, other: Path) -> None:
    assert json.loads((folder / "training.json").read_text()) == json.loads((other / "training.json").read_text())
    assert_same(folder, other)


@pytest.mark.usefixtures("heard")
def test_a_second_ctrl_c_does_not_wait(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "turn", stopping(Mirror.turn, 5, stop=twice))
        with pytest.raises(KeyboardInterrupt):
            nm.train(tiny(**WHOLE), out=tmp_path / "run", **CUT)
    assert not (tmp_path / "run" / "checkpoints").exists()
    nm.resume(tmp_path / "run", figures=False)
    assert_same_but_settings(tmp_path / "run", whole)


def test_a_run_interrupted_again_before_its_first_row_can_still_go_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", stopping(Trainer.advance, 1, before=True, stop=interrupt))
        with pytest.raises(KeyboardInterrupt):
            nm.train(tiny(**WHOLE), out=tmp_path / "run", **CUT)
    shutil.rmtree(tmp_path / "run" / "checkpoints", ignore_errors=True)
    with monkeypatch.context() as patched:
        patched.setattr(Session, "_row", stopping(Session._row, 1, before=True, stop=interrupt))
        with pytest.raises(KeyboardInterrupt):
            nm.resume(tmp_path / "run", figures=False)
    nm.resume(tmp_path / "run", figures=False)
    assert_same_but_settings(tmp_path / "run", whole)


def test_a_damaged_newest_checkpoint_costs_only_time(whole: Path, tmp_path: Path, monkeypatch: Any) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", stopping(Trainer.advance, 12, stop=interrupt))
        with pytest.raises(KeyboardInterrupt):
            nm.train(tiny(**WHOLE), out=tmp_path / "run", checkpoint_steps=3, **CUT)
    (arrays,) = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1].glob("*.distcp")
    arrays.write_bytes(arrays.read_bytes()[:1000])
    nm.resume(tmp_path / "run", figures=False)
    assert weights_of(tmp_path / "run") == weights_of(whole)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_a_run_killed_at_random_events_comes_to_the_same_end(seed: int, whole: Path, tmp_path: Path) -> None:
    tiny(**WHOLE).save(tmp_path / "net.toml")
    arguments = [str(tmp_path / "net.toml"), "--method", "wm", "--seed", "3", "--train-images", "100",
                 "--test-images", "50", "--no-figures", "--checkpoint-steps", "2"]  # fmt: skip
    script = [sys.executable, str(Path(__file__).with_name("killed_runs.py")), str(tmp_path / "run"), str(seed)]
    done = subprocess.run([*script, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    lives = int(done.stdout.splitlines()[-1].split()[0])
    assert lives > 3
    assert weights_of(tmp_path / "run") == weights_of(whole)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert not list((tmp_path / "run" / "checkpoints").glob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_command_killed_at_random_times_comes_to_the_same_end(stop: signal.Signals, tmp_path: Path) -> None:
    """The command itself, killed from outside up to a sixth of the metrics of the whole after it began or went on."""
    circuit = tiny(epochs=60, micro_batch=2)
    circuit.save(tmp_path / "net.toml")
    most = len(nm.train(circuit, out=tmp_path / "whole", **CUT).metrics()) // 6
    folder, chance = tmp_path / "run", random.Random(int(stop))
    start = ["train", "net.toml", "--method", "wm", "--seed", "3", "--train-images", "100", "--test-images", "50",
             "--no-figures", "--checkpoint-steps", "2", "--out", "run"]  # fmt: skip
    command, kills = start, 0
    while True:
        running = subprocess.Popen([sys.executable, "-m", "neuromirror", *command], cwd=tmp_path, env=ENVIRONMENT,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed)  # fmt: skip
        metrics = folder / "metrics.jsonl"
        before = metrics.stat().st_mtime_ns if metrics.exists() else 0
        while running.poll() is None and not (metrics.exists() and metrics.stat().st_mtime_ns > before):
            time.sleep(0.002)
        if kills < 5:
            last = metrics.read_bytes().count(b"\n") + chance.randrange(most)
            while running.poll() is None and metrics.read_bytes().count(b"\n") < last:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.1))
            running.send_signal(stop)
        _, said = running.communicate(timeout=120)
        if running.returncode == 0:
            break
        assert running.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL), said
        kills += 1
        command = ["train", "--resume", "run", "--no-figures"]
    assert kills >= 2
    assert weights_of(folder) == weights_of(tmp_path / "whole")
    assert (folder / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_run_whose_loss_is_lost_says_so_and_its_record_stays(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the loss is no longer finite after .* Lower training\.rate"):
        nm.train(nm.Circuit(dense_tables(rate=1e30, warmup_epochs=0)), method="bp", out=tmp_path / "run", **SMALL)
    run = nm.open_run(tmp_path / "run")
    assert not run.manifest.complete
    assert run.metrics()[0]["step"] == 0
    with pytest.raises(RunError, match=r"no longer finite"):
        nm.resume(tmp_path / "run", figures=False)


# ---- what going on and evaluating refuse -----------------------------------------------------------------------------


def cut_short(folder: Path, *, steps: int = 4, **settings: Any) -> Path:
    """Return the directory of a run that stopped after so many steps."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "advance", stopping(Trainer.advance, steps + 1, before=True, stop=interrupt))
        with pytest.raises(KeyboardInterrupt):
            nm.train(tiny(), out=folder, **{**CUT, "checkpoint_steps": 1, **settings})
    return folder


def test_a_complete_run_is_not_gone_on_with(whole: Path) -> None:
    before = record_of(whole)
    for _ in range(2):
        with pytest.raises(RequestError, match=r"this run is complete\. Train again with another --out for more\.$"):
            nm.resume(whole)
    assert record_of(whole) == before


def test_evaluation_of_a_complete_run_is_its_recorded_error(whole: Path) -> None:
    before = record_of(whole)
    assert evaluate(whole) == {"test_error_percent": nm.open_run(whole).metrics()[-1]["test_error_percent"]}
    assert record_of(whole) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("padding = 1", "padding = 1 "), ("momentum = 0.9", "momentum = 0.8"), ("epochs = 2", "epochs = 3")],
    ids=["none", "circuit", "protocol"],
)
@pytest.mark.parametrize("do", [nm.resume, evaluate])
def test_another_circuit_than_the_run_began_with_is_refused(
    do: Callable[[Path], object], old: str, new: str, tmp_path: Path
) -> None:
    folder = cut_short(tmp_path / "run")
    text = (folder / "circuit.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "circuit.toml").write_text(text.replace(old, new), encoding="utf-8")
    if new.strip() == old:
        do(folder)
        return
    with pytest.raises(RequestError, match=r"another circuit than the run began with\. Restore the file\.$"):
        do(folder)
    assert not nm.open_run(folder).manifest.complete


def images(folder: Path, *, seed: int = 0, size: int = 8) -> Path:
    """Write class folders of grey noise."""
    drawn = np.random.default_rng(seed)
    for part, count in (("train", 34), ("test", 4)):
        for label in "abc":
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = drawn.integers(0, 256, (size, size), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{number}.png")
    return folder


@pytest.mark.parametrize("steps", [0, 4])
def test_other_images_than_the_run_began_with_are_refused(steps: int, tmp_path: Path) -> None:
    data = images(tmp_path / "data")
    settings = {"train_images": None, "test_images": None, "data": data}
    folder = cut_short(tmp_path / "run", steps=steps, **settings)
    assert (folder / "checkpoints").exists() == (steps > 0)
    (data / "train" / "a" / "0.png").rename(data / "train" / "a" / "00.png")
    with pytest.raises(RequestError, match=r"other images than the run began with\. Restore them, or train anew\.$"):
        nm.resume(folder, figures=False)
    (data / "train" / "a" / "00.png").rename(data / "train" / "a" / "0.png")
    summary = nm.resume(folder, figures=False).manifest.summary
    assert summary["data"] == "data"
    assert summary["top1_error_percent"] is not None


def test_a_path_is_a_directory_even_if_it_is_called_as_a_known_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "digits")
    run = nm.train(tiny(), data=Path("digits"), method="bp", out=tmp_path / "run", train_images=30, figures=False)
    assert json.loads((run.path / "training.json").read_text())["data"] != "digits"
    assert nm.open_run(run.path).manifest.projections["W_head"]["target"] == "head"
    assert run.manifest.summary["data_sha256"] != nm.train(
        tiny(), data="digits", method="bp", out=tmp_path / "other", **SMALL
    ).manifest.summary["data_sha256"]  # fmt: skip


# ---- other numbers, other machinery ----------------------------------------------------------------------------------


def final(folder: Path) -> dict[str, np.ndarray]:
    run = nm.open_run(folder)
    return {name: run.weights(name) for name in ("W1", "W2", "W_head", "B2", "B_W_head")}


def test_formats_of_memory_and_numbers_change_no_more_than_rounding(tmp_path: Path) -> None:
    def trained(name: str, method: str, **settings: Any) -> dict[str, np.ndarray]:
        nm.train(tiny(epochs=1.2, mirror_epochs=0.4), method=method, out=tmp_path / name, **SMALL, **settings)
        return final(tmp_path / name)

    # Noise in float64 is not that of float32: there the mirror is left out.
    for found, expected in (
        (trained("plain", "kp"), trained("double", "kp", dtype="float64")),
        (trained("contiguous", "wm", channels_last=False), trained("last", "wm")),
    ):
        for key, array in found.items():
            np.testing.assert_allclose(array, expected[key], atol=2e-4, err_msg=key)


def test_in_bfloat16_it_learns_too(tmp_path: Path) -> None:
    settings = {**SMALL, "train_images": 200, "bf16": True}
    run = nm.train(tiny(epochs=5, warmup_epochs=1), method="wm", out=tmp_path / "run", **settings)
    assert run.manifest.summary["top1_error_percent"] < 50
    assert evaluate(run.path) == {"test_error_percent": run.manifest.summary["top1_error_percent"]}


def test_workers_change_nothing(tmp_path: Path) -> None:
    circuit = tiny(augment="crop_flip")
    before = multiprocessing.active_children()
    for workers in (0, 2):
        nm.train(circuit, method="wm", out=tmp_path / str(workers), workers=workers, **SMALL)
    assert weights_of(tmp_path / "0") == weights_of(tmp_path / "2")
    assert (tmp_path / "0" / "metrics.jsonl").read_bytes() == (tmp_path / "2" / "metrics.jsonl").read_bytes()
    assert set(multiprocessing.active_children()) <= set(before)


def test_the_metrics_are_written_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = nm.train(tiny(), method="wm", out=tmp_path / "run", tensorboard=True, **SMALL)
    (events,) = (run.path / "tensorboard").iterdir()
    for name in (b"angles_deg/B2", b"test_error_percent", b"delta_angles_deg/y1", b"loss"):
        assert name in events.read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_compiled_passes_learn_the_same(tmp_path: Path) -> None:
    circuit = tiny(epochs=1.2, mirror_epochs=0.4)
    for compiled in (False, True):
        nm.train(circuit, method="wm", out=tmp_path / str(compiled), compile=compiled, **SMALL)
    expected = final(tmp_path / "False")
    for key, array in final(tmp_path / "True").items():
        np.testing.assert_allclose(array, expected[key], atol=1e-3, err_msg=key)


# ---- the command -----------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: object
    out: str
    err: str


Call = Callable[..., Outcome]
FEW = ("--train-images", "100", "--test-images", "50", "--no-figures")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Give a function that runs ``train`` in a folder with a tiny circuit, ``net.toml``."""
    monkeypatch.chdir(tmp_path)
    tiny().save("net.toml")

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            main(["train", *arguments])
        return Outcome(stopped.value.code, *capsys.readouterr())

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_json_is_the_last_line_with_the_keys_that_are_documented(call: Call, tmp_path: Path) -> None:
    outcome = call("net.toml", "--method", "wm", "--seed", "2", "--json", "--out", "mine", *FEW)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out.splitlines()[-1])
    assert found.keys() >= {
        "run_dir", "circuit_sha256", "protocol_sha256", "backend", "seed", "examples", "simulated_s", "wall_s",
        "matrix_angles_deg", "gain", "method", "epochs", "steps", "top1_error_percent", "delta_angles_deg",
        "images_per_s", "data", "data_sha256", "validation_error_percent",
    }  # fmt: skip
    assert (found["run_dir"], found["seed"], found["method"], found["backend"]) == ("mine", 2, "wm", "torch")
    assert (found["steps"], found["epochs"], found["examples"]) == (10, 2.0, 200)
    assert found["matrix_angles_deg"].keys() == found["gain"].keys() == {"B2", "B_W_head"}
    assert found["images_per_s"] > 0
    record = nm.open_run(tmp_path / "mine")
    assert record.manifest.summary == {k: v for k, v in found.items() if k not in ("run_dir", "wall_s", "images_per_s")}
    assert re.search(r"^seed 2  test error: \d+\.\d\d%$", outcome.out, re.MULTILINE)
    assert (
        "tiny-wm: 10 steps of 20 images, the first 3 of mirroring alone; digits, 100 images to learn from"
        in outcome.err
    )


def test_json_of_several_seeds_and_of_an_evaluation(call: Call, tmp_path: Path) -> None:
    outcome = call("net.toml", "--method", "fa", "--seeds", "2", "--json", "--out", "both", *FEW)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out.splitlines()[-1])
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    evaluated = call("--resume", "both/seed-1", "--evaluate", "--json")
    error = found["runs"][1]["top1_error_percent"]
    assert evaluated.code == 0
    assert json.loads(evaluated.out.splitlines()[-1]) == {"test_error_percent": error}
    assert evaluated.out.splitlines()[0] == f"both/seed-1  test error: {error:.2f}%"


def test_figures_are_drawn_and_named(call: Call, tmp_path: Path) -> None:
    outcome = call("net.toml", "--method", "wm", "--out", "run", *FEW[:-1])
    assert outcome.code == 0, outcome.err
    drawn = sorted((tmp_path / "run" / "figures").glob("*.png"))
    assert drawn
    assert [line.split()[-1] for line in outcome.out.splitlines() if line.startswith("figure")] == [
        str(path.relative_to(tmp_path)) for path in drawn
    ]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(call: Call, tmp_path: Path) -> None:
    before = contents(tmp_path)
    outcome = call("net.toml", "--method", "wm", "--dry-run", *FEW)
    assert outcome.code == 0, outcome.err
    assert re.match(r"tiny-wm: 10 steps of 20 images, the first 3 of mirroring alone; digits, 100 images", outcome.out)
    assert "5 an epoch, 2 epochs: 3 of mirroring alone, 7 of learning; 10 turns of mirroring" in outcome.out
    assert len(re.findall(r"^ +\d+\.\d°  +20  +\d+  +\d+  B\w+$", outcome.out, re.M)) == 2
    assert re.findall(r"^ +(\d+)  +(\d+)  +(\d+)  +\S+ k", outcome.out, re.M) == [
        ("1", "10", "2"),
        ("2", "10", "1"),
        ("4", "5", "1"),
    ]
    assert "for these rows add --set training.micro_batch=5" in outcome.out
    assert "hours" not in outcome.out
    assert contents(tmp_path) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_dry_run_says_the_steps_and_turns_that_a_run_has(
    method: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, before = [], Mirror.turn

    def turn(self: Mirror, *arguments: Any, **options: Any) -> None:
        turns.append(options["number"])
        before(self, *arguments, **options)

    monkeypatch.setattr(Mirror, "turn", turn)
    some = ("net.toml", "--method", method, "--set", "training.mirror_every=2", *FEW)
    planned = call(*some, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert turns == []
    found = json.loads(planned.out.splitlines()[-1])
    done = call(*some, "--out", "run", "--json")
    assert done.code == 0, done.err
    run = json.loads(done.out.splitlines()[-1])
    assert found["length"]["total"] == run["steps"]
    assert found["course"]["turns"] == len(set(turns))
    # η_W at its peak, from epoch 0.5 on where nothing mirrors, and from 0.6 + 0.5 on where B does.
    assert found["rates"][-1] == [pytest.approx(1.1 if method == "wm" else 0.5), 0.1]


def test_a_dry_run_gives_times_and_shares_where_speeds_are_given(call: Call) -> None:
    some = ("net.toml", "--dry-run", "--json", *FEW)
    outcome = call(*some, "--throughput", "100", "--bandwidth-gbit", "0.001")
    assert outcome.code == 0, outcome.err
    assert "100 images/s each, 0.001 Gbit/s each" in outcome.out
    found = json.loads(outcome.out.splitlines()[-1])
    alone, _, four = found["rows"]
    course = found["course"]
    assert alone["duration"]["run_s"] == pytest.approx(
        (course["batches"] * 20 + course["turns"] * course["turn"] / course["image"]) / 100
    )
    assert alone["duration"]["exchange"] == 0 < four["duration"]["exchange"] < 1
    assert "exchange  efficiency" in outcome.out
    assert "efficiency" not in call(*some[:2], *FEW, "--throughput", "100").out


def test_a_dry_run_decodes_no_image_and_draws_no_weight(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, name, number in itertools.product(("train", "test"), ("cat", "dog"), range(20)):
        folder = tmp_path / "pets" / part / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / f"{number}.png")
    monkeypatch.setattr(Images, "batch", never)
    monkeypatch.setattr(Images, "original", never)
    monkeypatch.setattr(Images, "whole", never)
    monkeypatch.setattr(Plan, "draw_arrays", never)
    outcome = call("net.toml", "--dry-run", "--data", "pets", "--no-figures")
    assert outcome.code == 0, outcome.err
    assert "pets, 40 images to learn from and 40 to test" in outcome.out


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("not in a dry run")


def test_a_run_that_was_cut_short_goes_on_by_command(call: Call, tmp_path: Path) -> None:
    folder = cut_short(tmp_path / "run")
    outcome = call("--resume", "run", "--no-figures")
    assert outcome.code == 0, outcome.err
    assert "run: goes on after step 4 of 10" in outcome.err
    assert nm.open_run(folder).manifest.complete
    again = call("--resume", "run")
    assert again.code == 2
    assert re.fullmatch(r"error: run: this run is complete\. Train again with another --out for more\.\n", again.err)


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no circuit": ((), "name a circuit, such as resnet20, or a run to go on with: --resume DIR"),
    "missing circuit": (("none.toml",), "none.toml"),
    "unknown shipped circuit": (("resnet21",), "resnet2"),
    "unknown data": (("net.toml", "--data", "digtis"), "Did you mean 'digits'"),
    "data that is a file": (("net.toml", "--data", "net.toml"), "a file, where a directory"),
    "unknown method": (("net.toml", "--method", "bq"), "method 'bq'.*(Did you mean|There are)"),
    "unknown device": (("net.toml", "--device", "tpu9"), "--device tpu9: .* Use --device cpu"),
    "unknown dtype": (("net.toml", "--dtype", "float16"), "--dtype float16: expected float32 or float64"),
    "two kinds of numbers": (("net.toml", "--dtype", "float64", "--bf16"), "--bf16: "),
    "negative workers": (("net.toml", "--workers", "-1"), "--workers -1: expected 0 or more"),
    "no training images": (("net.toml", "--train-images", "0"), "--train-images 0: expected 1 or more"),
    "more images than there are": (("net.toml", "--train-images", "99999"), "1438 training images. Ask for fewer"),
    "more test images": (("net.toml", "--test-images", "999"), "898 test images. Ask for fewer"),
    "too many for validation": (("net.toml", "--validation-images", "1438"), "validation.* Ask for fewer"),
    "half an image": (("net.toml", "--train-images", "1.5"), "1.5"),
    "negative time": (("net.toml", "--checkpoint-s", "-1"), "--checkpoint-s -1.0: expected 0 or more"),
    "no seconds": (("net.toml", "--checkpoint-s", "soon"), "soon"),
    "no checkpoint steps": (("net.toml", "--checkpoint-steps", "0"), "--checkpoint-steps 0: expected 1 or more"),
    "a single image of δ": (("net.toml", "--delta-images", "1"), "--delta-images 1: "),
    "negative seed": (("net.toml", "--seed", "-1"), "seed -1"),
    "no seeds": (("net.toml", "--seeds", "0"), "--seeds 0: expected a number of runs from 1"),
    "a batch of more than all": (("net.toml", "--train-images", "19"), "training.batch 20: .* smaller batch"),
    "nothing to do": (("net.toml", "--set", "training.epochs=0", "--set", "training.mirror_epochs=0"), "no step"),
    "unknown change": (("net.toml", "--set", "training.epoch=3"), "Did you mean 'epochs'"),
    "an image for no kernel": (("net.toml", "--set", "populations.image.shape=[1, 1, 1]"), "projections.W1"),
    "cells that no image fills": (("net.toml", "--set", "populations.image.shape=[7]"), "projections.W1|7 cells"),
    "another backend": (
        ("net.toml", "--backend", "reference"),
        "--backend reference: training is done by torch, or in spikes by brian2",
    ),
    "no mode compares": (("net.toml", "--set", "modes.engaged.compare={}"), "modes: .* one mode that compares"),
    "only mirror modes": (("chain4",), "code.kind: training has no code 'baseline'"),
    "spiking digits": (("digits",), "zero_mean"),
    "evaluation of nothing": (("net.toml", "--evaluate"), "--evaluate: of which run"),
    "going on with nothing": (("--resume", "nowhere"), "nowhere/training.json: cannot be read"),
    "going on with a file": (("--resume", "net.toml"), "net.toml/training.json: cannot be read"),
    "evaluating nothing": (("--resume", "nowhere", "--evaluate"), "nowhere/training.json: cannot be read"),
    "going on with a circuit": (("net.toml", "--resume", "nowhere"), "Leave out the circuit"),
    "going on elsewhere": (("--resume", "nowhere", "--out", "here"), "Leave out the circuit, --set and --out"),
    "going on otherwise": (("--resume", "nowhere", "--train-images", "3"), "Leave out --train-images"),
    "going on with a seed": (("--resume", "nowhere", "--seed", "3"), "Leave out --seed"),
    "a throughput of a run": (("net.toml", "--throughput", "9"), "--throughput: of the plan .* Add --dry-run"),
    "a throughput of nothing": (
        ("net.toml", "--dry-run", "--throughput", "0"),
        "--throughput 0: expected a number above",
    ),
    "a bandwidth of no number": (
        ("net.toml", "--dry-run", "--throughput", "1", "--bandwidth-gbit", "nan"),
        "nan: expected",
    ),
    "a bandwidth alone": (("net.toml", "--dry-run", "--bandwidth-gbit", "9"), "share of which time.* Add --throughput"),
    "a throughput of spikes": (
        ("net.toml", "--dry-run", "--throughput", "9", "--backend", "brian2"),
        "--throughput: of networks of torch",
    ),
    "a dry run of too few images": (("net.toml", "--dry-run", "--train-images", "19"), "training.batch 20: .* smaller"),
    "a dry run of unknown data": (("net.toml", "--dry-run", "--data", "digtis"), "Did you mean 'digits'"),
    "going on dryly": (("--resume", "nowhere", "--dry-run"), "--dry-run: .* Leave out --resume"),
    "a taken directory": (("net.toml", "--out", "."), "has files in it"),
    "unknown option": (("net.toml", "--epochs", "3"), "--epochs"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_requests_get_one_line_and_write_nothing(what: str, call: Call, tmp_path: Path) -> None:
    before = contents(tmp_path)
    arguments, says = WRONG[what]
    outcome = call(*arguments)
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    errors = [line for line in outcome.err.splitlines() if not line.startswith("warning: ")]
    assert errors
    assert all(line.startswith("error: ") for line in errors), outcome.err
    assert re.search(says, outcome.err), outcome.err
    assert "Traceback" not in outcome.err
    assert "bug" not in outcome.err
    assert contents(tmp_path) == before


def test_wrong_requests_from_python_are_request_errors(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"train: .*wrokers.* See neuromirror\.training\.settings\.Settings"):
        nm.train(tiny(), out=tmp_path / "run", wrokers=2)
    with pytest.raises(RequestError, match="--workers '2': expected a whole number"):
        nm.train(tiny(), out=tmp_path / "run", workers="2")
    with pytest.raises(RequestError, match="seed 'a'"):
        nm.train(tiny(), out=tmp_path / "run", seed="a")  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []


def test_tables_of_the_tiny_circuits_are_circuits() -> None:
    for tables in (conv_tables(), dense_tables()):
        assert nm.Circuit(tables).check() == ()
