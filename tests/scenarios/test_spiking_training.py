"""Spiking cells learn from images, awake and asleep in turn, and shams of mirroring do not align B."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.cli import main
from neuromirror.training.settings import Settings
from neuromirror.training.spiking import train_spiking_seeds

IMAGES = {"train_images": 40, "validation_images": 10, "test_images": 20}
SMALL = {
    "layers.sizes": [64, 8, 6, 10],
    "modes.engaged.compare": {"d3": "y3 - target"},
    "training.epochs": 2,
    "training.mirror_epochs": 1,
    "training.mirror_every": 10,
    "training.mirror_examples": 600,
}


def trained(method: str, out: Path, seeds: tuple[int, ...] = (0, 1), **more: object) -> list[nm.Run]:
    circuit = nm.load("digits_narrow").with_values({**SMALL, **more})
    settings = Settings(method=method, **IMAGES)
    return train_spiking_seeds(
        circuit, seeds_=seeds, out=out / method, settings=settings, target="cpp_standalone", figures=False
    )


def test_a_mirror_aligns_b_while_w_learns_and_shams_do_not(tmp_path: Path) -> None:
    runs = {method: trained(method, tmp_path) for method in ("wm", "permuted", "shifted")}
    for method, some in runs.items():
        for run in some:
            angles = run.manifest.summary["matrix_angles_deg"]
            moved = [np.abs(run.weights(f"W{k}") - run.weights(f"W{k}", 0)).max() for k in (1, 2, 3)]
            assert min(moved) > 1e-3, "every W learns"
            if method == "wm":
                assert max(angles.values()) < 30
            else:  # 48 and 60 weights: by chance their angles have a standard deviation of 57°/√48 = 8°
                assert min(angles.values()) > 60


def test_the_record_of_a_run(tmp_path: Path) -> None:
    (run,) = trained("wm", tmp_path, seeds=(3,))
    summary, rows = run.manifest.summary, run.metrics()
    assert run.manifest.complete
    assert (summary["backend"], summary["method"], summary["data"], summary["steps"]) == ("brian2", "wm", "digits", 40)
    assert [row["mode"] for row in rows].count("engaged") == 4
    tests = [row for row in rows if row["mode"] == "testing"]
    assert [sorted(key for key in row if "error" in key) for row in tests] == [
        ["validation_error_percent"],
        ["test_error_percent"],
    ]
    assert summary["top1_error_percent"] == tests[-1]["test_error_percent"]
    assert all(0 <= row["train_error_percent"] <= 100 for row in rows if row["mode"] == "engaged" and row["examples"])
    assert summary["matrix_angles_worst_deg"]["B2"] >= summary["matrix_angles_deg"]["B2"]
    kept = nm.load(run.path / "circuit.toml")
    assert kept.sha256 == run.manifest.circuit_sha256
    assert not kept.description.schedule, "the circuit is kept as it is trained, without the turns and the images"


def test_only_what_leads_to_the_output_learns_in_the_control(tmp_path: Path) -> None:
    (run,) = trained("output_only", tmp_path, seeds=(0,), **{"training.mirror_epochs": 0, "training.epochs": 1})
    for name in ("W1", "W2", "B2", "B3", "y1.bias", "y2.bias"):
        np.testing.assert_array_equal(run.weights(name), run.weights(name, 0))
    assert (run.weights("W3") != run.weights("W3", 0)).any()


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(*more: str) -> tuple[object, str, str]:
        quick = ["--train-images", "10", "--test-images", "10", "--set", "training.steps=10"]
        with pytest.raises(SystemExit) as stopped:
            main(["train", "digits_narrow", "--backend", "brian2", "--method", "bp", *quick, *more])
        return stopped.value.code, *capsys.readouterr()

    code, printed, said = call("--out", str(tmp_path / "run"), "--json", "--no-figures")
    assert code == 0, said
    assert "simulated time" in said
    found = json.loads(printed.splitlines()[-1])
    assert found["matrix_angles_deg"] == pytest.approx({"B2": 0, "B3": 0, "B4": 0}, abs=1e-5)
    assert "10 images to learn from" in call("--dry-run")[1]
    for more, says in (
        (["--resume", str(tmp_path / "run")], "a run goes on as it was begun"),
        (["--bf16"], "an option of networks of torch"),
        (["--target", "cuda"], "brian2 has numpy, cython, cpp_standalone"),
    ):
        code, _, said = call(*more)
        assert (code, says in said) == (2, True), said
