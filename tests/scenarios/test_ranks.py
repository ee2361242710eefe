"""Several processes train one network: what one alone would, alike on all, and on after any end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from on_ranks import done, start, trained
from PIL import Image

import neuromirror as nm
from experiments.tiny_nets import Tables, conv_tables
from neuromirror.training import checkpoint

SCRIPT = Path(__file__).with_name("killed_ranks.py")
STEPS = 88
"""Of four epochs of digits in batches of 64, one of them of mirroring alone."""


def tables(*, norms: bool = True, **training: Any) -> Tables:
    """Return a small net of two convolutions and a head, whose batches are four micro-batches."""
    made = conv_tables()
    if not norms:
        for population in made["populations"].values():
            population.pop("norm", None)
        made["modes"]["engaged"]["learn"].pop("@norm")
    own = {"batch": 64, "micro_batch": 16, "epochs": 4, "mirror_epochs": 1, "warmup_epochs": 1}
    return {**made, "training": {**made["training"], **own, **training}}


def written(folder: Path, name: str, **options: Any) -> str:
    """Write a circuit, and return the path of its file."""
    file = folder / f"{name}.toml"
    file.write_text(nm.Circuit(tables(**options)).to_toml())
    return str(file)


def broken_set(root: Path, unreadable: int) -> str:
    """Make class folders of 40 small images, of which some cannot be read."""
    drawn = np.random.default_rng(0)
    for part, images in (("train", 40), ("test", 8)):
        for number in range(images):
            file = root / part / "ab"[number % 2] / f"{number:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = drawn.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(file)
            if part == "train" and number >= images - unreadable:
                file.write_bytes(b"no image")
    return str(root)


def arrays_of(folder: Path) -> dict[str, torch.Tensor]:
    """Return W, B and momentum of the last checkpoint, as they are."""
    state = checkpoint.newest(folder / "checkpoints")
    assert state is not None
    return state.shared


def assert_close(folder: Path, other: Path, tolerance: float) -> None:
    found, expected = arrays_of(folder), arrays_of(other)
    assert found.keys() == expected.keys()
    for name in (name for name in found if not name.endswith("num_batches_tracked")):
        apart = (found[name] - expected[name]).norm() / expected[name].norm()
        assert apart <= tolerance, (name, float(apart))


def assert_same(folder: Path, other: Path) -> None:
    """Assert that two runs have the same weights and the same metrics, bit for bit."""
    found, expected = arrays_of(folder), arrays_of(other)
    assert all(torch.equal(found[name], expected[name]) for name in {*found, *expected})
    for name in ("metrics.jsonl", *(p.relative_to(other) for p in sorted(other.glob("weights/*/*")))):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


Runs = tuple[Path, dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Return what several trainings on two ranks came to, which are done once for all workers of a test session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "ranks"
    folder.mkdir(exist_ok=True)
    found = folder / "found.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            found.write_text(json.dumps(trained_in(folder)))
    return folder, json.loads(found.read_text())


def trained_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Do several trainings on two ranks, in the same two processes."""
    common = {"data": "digits", "method": "wm", "delta_images": 16}
    images = {"data": broken_set(folder / "set", 3), "method": "bp", "delta_images": 0}
    fewer = broken_set(folder / "fewer", 3)
    (folder / "fewer" / "train" / "a" / "00.png").unlink()
    small = written(folder, "small", batch=8, micro_batch=2, epochs=2)
    jobs = {
        "plain": {**common, "circuit": written(folder, "plain", norms=False), "dtype": "float64"},
        "norms": {**common, "circuit": written(folder, "norms"), "checkpoint_steps": 7},
        "kp": {**common, "circuit": written(folder, "norms"), "method": "kp"},
        "broken": {**images, "circuit": small, "max_broken_images": 3},
        "too many broken": {**images, "circuit": small, "max_broken_images": 2},
        "none may be broken": {**images, "circuit": small},
        "diverges": {**common, "circuit": written(folder, "wild", norms=False, rate=1e30, epochs=3)},
        "cannot be divided": {**common, "circuit": written(folder, "whole", micro_batch=64)},
        "bent": {**common, "circuit": written(folder, "norms"), "of_rank": {"1": {"bent_at": 30}}},
        "other images": {
            **{**images, "max_broken_images": 3, "circuit": small},
            "of_rank": {"1": {"data": fewer}},
        },
        "taken": {**common, "circuit": written(folder, "plain", norms=False)},
    }
    for name, job in jobs.items():
        job["out"] = str(folder / ("plain" if name == "taken" else name))
    return dict(zip(jobs, trained(list(jobs.values()), folder), strict=True))


@pytest.mark.parametrize("name", ["plain", "norms", "kp", "broken"])
def test_w_b_and_momentum_are_the_same_on_all_ranks_bit_for_bit(runs: Runs, name: str) -> None:
    first, second = runs[1][name]
    assert first["error"] is second["error"] is None
    assert first["fingerprint"] == second["fingerprint"]


def test_without_batch_norm_two_ranks_train_as_one_process_does(runs: Runs, tmp_path: Path) -> None:
    circuit = str(runs[0] / "plain.toml")
    nm.train(circuit, data="digits", method="wm", delta_images=16, dtype="float64", out=tmp_path / "one", figures=False)
    assert_close(runs[0] / "plain", tmp_path / "one", 1e-12)
    found, expected = (nm.open_run(path).metrics() for path in (runs[0] / "plain", tmp_path / "one"))
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row.get("loss", 0.0) == pytest.approx(other.get("loss", 0.0), rel=1e-12)
        assert row.get("test_error_percent") == other.get("test_error_percent")


def test_ranks_exchange_gradients_once_a_step_and_b_once_a_turn(runs: Runs) -> None:
    """Besides these, the means that mirroring subtracts, and a few numbers."""
    arrays = {name: one for name, one in arrays_of(runs[0] / "norms").items() if not name.startswith("momentum")}
    feedback = sum(one.nbytes for name, one in arrays.items() if name.endswith(".feedback"))
    forward = sum(one.nbytes for name, one in arrays.items() if name.endswith(("weight", "bias", "biases.head")))
    means = 4 * (1 + 6 + 4 + 10 + 6)  # of channels and cells at the ends of each B at most
    for rank in runs[1]["norms"]:
        exchanged, engaged = rank["exchanged"], STEPS * 3 // 4
        assert exchanged["gradients"] == engaged * forward
        assert STEPS * feedback <= exchanged["mirroring"] <= STEPS * (feedback + means)
        assert exchanged["control"] <= 64 * STEPS + 1000


def test_broken_images_of_all_ranks_are_counted_and_named(runs: Runs) -> None:
    summary = nm.open_run(runs[0] / "broken").manifest.summary
    assert {Path(name).name for name in summary["broken_images"]} == {"37.png", "38.png", "39.png"}
    rows = nm.open_run(runs[0] / "broken").metrics()
    assert sum(len(row.get("broken_images", ())) for row in rows) == 3


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("too many broken", "RunError", "training image number 3 that cannot be read"),
        ("none may be broken", "UnreadableImageError", "this image cannot be read"),
        ("diverges", "DivergenceError", "no longer finite after"),
        ("cannot be divided", "RequestError", "2 processes: they cannot divide a batch of 64 images in micro-batches"),
        ("bent", "RunError", "after 44 steps ranks differ from rank 0 in "),
        ("other images", "RequestError", "rank 1: images 39 to learn from ("),
        ("taken", "RequestError", "has files in it; a run overwrites nothing"),
    ],
)
def test_what_goes_wrong_on_one_rank_ends_all_in_a_sentence(runs: Runs, name: str, kind: str, said: str) -> None:
    errors = [rank["error"] for rank in runs[1][name]]
    assert any(error[0] == kind for error in errors)
    assert all(said in error[1] for error in errors)


@pytest.mark.slow
def test_a_run_of_two_ranks_goes_on_in_one_process_and_ends_as_it_would(runs: Runs, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    job = {"data": "digits", "method": "wm", "delta_images": 16, "dtype": "float64", "checkpoint_steps": 40}
    trained([{**job, "circuit": str(runs[0] / "plain.toml"), "out": str(cut)}], tmp_path)
    manifest = cut / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    shutil.rmtree(sorted((cut / "checkpoints").iterdir())[-1])
    assert [path.name for path in (cut / "checkpoints").iterdir()] == ["step-0000000080"]
    nm.resume(cut, figures=False)
    assert_close(cut, runs[0] / "plain", 1e-12)
    found, expected = (nm.open_run(path).metrics()[-1] for path in (cut, runs[0] / "plain"))
    for name in ("loss", "train_error_percent"):  # of an epoch that both ranks have begun
        assert found[name] == pytest.approx(expected[name], rel=1e-12)


def test_statistics_of_batch_norm_are_the_mean_of_all_ranks_where_they_are_used(runs: Runs) -> None:
    run = runs[0] / "norms"
    first, *_, last = (safetensors.torch.load_file(path) for path in sorted(run.glob("weights/*/W.safetensors")))
    state = checkpoint.newest(run / "checkpoints")
    assert state is not None
    assert state.said["step"] == STEPS
    assert len(state.own) == 2
    for population in ("y1", "y2"):
        assert torch.all(first[f"{population}.norm.running_var"] == 1)  # nothing has been seen yet
        for name in ("running_mean", "running_var"):
            one, other = (own[f"norms.{population}.{name}"] for own in state.own)
            assert torch.equal(one, other)
            assert torch.equal(one, last[f"{population}.norm.{name}"])


def wait_for(what: Callable[[], bool], process: Any) -> None:
    until = time.monotonic() + 120
    while not what():
        assert process.poll() is None, done(process)
        assert time.monotonic() < until
        time.sleep(0.02)


def command(folder: Path, out: Path, *more: str) -> list[str]:
    settings = ["--data", "digits", "--method", "wm", "--delta-images", "16", "--checkpoint-steps", "7"]
    return ["-m", "neuromirror", "train", f"{folder}/norms.toml", *settings, "--no-figures", "--out", str(out), *more]


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(command(runs[0], out))
    wait_for(lambda: (out / "checkpoints").is_dir() and any((out / "checkpoints").glob("step-*[0-9]")), process)
    process.send_signal(signal.SIGTERM)
    _, said = done(process)
    kept = sorted(int(path.name[5:]) for path in (out / "checkpoints").iterdir())
    manifest = nm.open_run(out).manifest
    if not manifest.complete:  # it has ended in the midst of an interval, and has saved there
        assert kept[-1] < STEPS, said
        assert len(nm.open_run(out).metrics()) >= 1
    code, said = done(start(command(runs[0], out, "--or-resume")))
    assert code == 0, said
    assert_same(out, runs[0] / "norms")


@pytest.mark.slow
def test_killed_at_twenty_moments_a_run_goes_on_by_itself_to_the_same_bits(runs: Runs, tmp_path: Path) -> None:
    kills, seed = 20, 11
    out, log = tmp_path / "run", tmp_path / "kills.log"
    environment = {"KILLS": str(kills), "KILL_SEED": str(seed), "KILL_LOG": str(log)}
    code, said = done(start([SCRIPT, *command(runs[0], out)[2:]], restarts=kills, **environment), 1200)
    assert code == 0, said
    assert len(log.read_text().splitlines()) == kills
    assert_same(out, runs[0] / "norms")
    assert not list((out / "checkpoints").glob("*.part"))
