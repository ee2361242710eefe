"""The way to Figures 2 and 3 of the paper, in small: JPEG folders, two ranks, a kill, and all four methods."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from on_ranks import done, start, trained
from PIL import Image

import neuromirror as nm
from neuromirror.cli import main

METHODS = ("bp", "wm", "fa", "ss")
SMALL = {
    "training.batch": "8",
    "training.micro_batch": "4",
    "training.epochs": "2",
    "training.mirror_epochs": "1",
    "training.warmup_epochs": "0.5",
    "training.drops": "[1.5]",
    "training.mirror_examples": "64",
}
"""What differs from the recipes of the paper."""


def tree(root: Path) -> Path:
    """Make JPEG images of four classes, each of its own colour and grain, 24 to learn from and 8 to test."""
    drawn = np.random.default_rng(0)
    for part, images in (("train", 6), ("val", 2)):
        for number, name in enumerate(("n01440764", "n01443537", "n01484850", "n01491361")):
            for image in range(images):
                pixels = drawn.integers(0, 90, (40 + 3 * image, 48, 3))
                pixels[..., number % 3] += 50 * (1 + number // 3)
                file = root / part / name / f"{name}_{image}.JPEG"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(file, quality=90)
    return root


def called(*arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert not ended.value.code


def test_from_jpeg_folders_to_figures_2_and_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, runs = tree(tmp_path / "set"), tmp_path / "runs"
    called("data", "check", data)
    jobs = [
        {
            "circuit": str(changed(tmp_path, method)),
            "data": str(data),
            "out": str(runs / method),
            "delta_images": 8,
        }
        for method in METHODS
        if method != "wm"
    ]
    for ranks in trained(jobs, tmp_path):
        assert [rank["error"] for rank in ranks] == [None, None]
        assert ranks[0]["fingerprint"] == ranks[1]["fingerprint"]
    options = ["--delta-images", "8", "--checkpoint-steps", "2", "--no-figures", "--json"]
    wm = ["train", changed(tmp_path, "wm"), "--data", data, "--out", runs / "wm", *options]
    log = tmp_path / "kills.log"
    script = Path(__file__).with_name("killed_ranks.py")
    code, said = done(start([script, *wm], restarts=1, KILLS="1", KILL_SEED="4", KILL_LOG=str(log)))
    assert code == 0, said
    assert len(log.read_text().splitlines()) == 1, "no process was killed"
    for method in METHODS:
        run = nm.open_run(runs / method)
        assert run.manifest.complete
        assert run.manifest.summary["method"] == method
        assert [row["step"] for row in run.metrics()][-1] == 6
    capsys.readouterr()
    called("train", "--resume", runs / "wm", "--evaluate", "--json")
    evaluated = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert evaluated["test_error_percent"] == nm.open_run(runs / "wm").manifest.summary["top1_error_percent"]
    mirrored, random = (
        median(nm.open_run(runs / method).manifest.summary["matrix_angles_deg"].values()) for method in ("wm", "fa")
    )
    assert mirrored < 75
    assert random > 85
    for figure in ("2", "3"):
        called("report", runs, "--figure", figure, "--out", tmp_path / f"{figure}.png")
        assert (tmp_path / f"{figure}.png").read_bytes()[:4] == b"\x89PNG"


def changed(folder: Path, method: str) -> Path:
    """Write a recipe with its changes: for small images, and with an eighth of its channels in every layer."""
    file = folder / f"{method}.toml"
    recipe = nm.load(f"imagenet/resnet18_{method}", [f"{name}={value}" for name, value in SMALL.items()])
    recipe = recipe.fitted(size=(32, 32), classes=4).expand()
    layers = {
        name: population.shape
        for name, population in recipe.description.populations.items()
        if len(population.shape) == 3 and population.shape[0] > 3
    }
    narrow = {f"populations.{name}.shape": [shape[0] // 8, *shape[1:]] for name, shape in layers.items()}
    file.write_text(recipe.with_values(narrow).to_toml())
    return file
