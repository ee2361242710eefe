"""Training images that cannot be read: left out where that is allowed, counted, named in the record, never replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import neuromirror as nm
from experiments.tiny_nets import tiny
from neuromirror.cli import main
from neuromirror.data import Batches, Data, augmented, load_data, order
from neuromirror.data import images as images_module
from neuromirror.errors import RunError
from neuromirror.training.loop import Trainer

# A process of several threads may be forked here: what the workers do needs none of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SIZE = (8, 8)
BROKEN = ("train/a/3.png", "train/b/11.png", "train/c/7.png")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["kept", "read each time"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a tree of noise with three broken images for training, kept in memory or not."""
    if request.param != "kept":
        monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    drawn = np.random.default_rng(0)
    for part, count in (("train", 15), ("test", 4)):
        for label in "abc":
            (tmp_path / "set" / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = drawn.integers(0, 256, (12, 10), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / part / label / f"{number}.png")
    for name, left in zip(BROKEN, (0, 60, 20)):
        file = tmp_path / "set" / name
        file.write_bytes(file.read_bytes()[:left])
    return tmp_path / "set"


def name_of(data: Data, index: int) -> str:
    """Give the name of a training image."""
    return data.train.source.identity(int(data.train.members[index])).decode()


def train(root: Path, out: Path, **settings: Any) -> nm.Run:
    """Teach a small circuit."""
    options = {"method": "bp", "figures": False, "max_broken_images": 3, "delta_images": 8, **settings}
    return nm.train(tiny(batch=9, micro_batch=3, epochs=3, mirror_epochs=0), data=root, out=out, **options)


def test_unless_it_is_allowed_the_first_one_ends_the_run(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"set/train/./\d+\.png: this image cannot be read \("):
        train(root, tmp_path / "run", max_broken_images=0)


@pytest.mark.parametrize(("workers", "augment"), [(0, "flip"), (0, "resized_crop"), (2, "resized_crop")])
def test_a_batch_is_its_images_without_those_that_are_broken(root: Path, workers: int, augment: str) -> None:
    data = load_data(root, size=SIZE, max_broken_images=3)
    data.broken.begin()
    batches = Batches(data.train, data, batch=9, size=SIZE, augment=augment, seed=4, workers=workers)
    indices, sizes, met = order(4, 1, len(data.train)).tolist(), [], list(data.broken.loaded)
    for step, (images, labels) in enumerate(batches.epoch(1)):
        shown = indices[9 * step : 9 * step + 9]
        left = [index for index in shown if name_of(data, index) not in BROKEN]
        assert labels.tolist() == data.train.labels[left].tolist()
        for row, index in enumerate(left):
            image = data.train.original(index)
            expected = augmented(image, augment=augment, size=SIZE, seed=4, epoch=1, index=index) / 255
            torch.testing.assert_close(images[row, 0], (expected[0] - data.mean[0]) / data.std[0], rtol=0, atol=2e-6)
        met += [name for index in shown if (name := name_of(data, index)) in BROKEN and name not in met]
        assert list(data.broken.found) == met  # and not those of batches that a worker has ready
        sizes.append(len(labels))
    assert sum(sizes) == 42
    assert set(data.broken.found) == set(BROKEN)
    assert len(list(batches.all())) == 5


def test_mean_and_sd_are_those_of_images_that_can_be_read(root: Path) -> None:
    data = load_data(root, size=SIZE, max_broken_images=3)
    assert set(data.broken.loaded) == set(BROKEN)
    readable = [index for index in range(45) if name_of(data, index) not in BROKEN]
    pixels = data.train.batch(readable).double() / 255
    assert data.mean[0] == pytest.approx(pixels.mean().item(), rel=1e-12)
    assert data.std[0] == pytest.approx(pixels.std(correction=0).item(), rel=1e-12)
    assert data.channels == 1


def test_they_are_named_in_the_record_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("neuromirror.data.load.SAMPLED", 1)
    run = train(root, tmp_path / "run")
    named = run.manifest.summary["broken_images"]
    assert sorted(named) == sorted(BROKEN)
    told = [row.get("broken_images", []) for row in run.metrics()]
    assert [name for names in told for name in names] == named
    tiny(batch=9, micro_batch=3, epochs=1, mirror_epochs=0).save(tmp_path / "tiny.toml")
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path / "tiny.toml"), "--data", str(root), "--method", "bp", "--out",
              str(tmp_path / "other"), "--max-broken", "3", "--no-figures"])  # fmt: skip
    assert ended.value.code == 0
    assert "seed 0  left out, not readable: 3 of the training images (train/" in capsys.readouterr().out


def record_of(folder: Path) -> dict[str, Any]:
    """Return all that two identical runs have in common."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "checkpoints" not in path.parts and path.name not in ("timings.json", "training.json")
    }
    manifest = json.loads(files["manifest.json"])
    del manifest["invocation"]
    return {**files, "manifest.json": manifest}


def test_workers_and_going_on_change_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuromirror.data.load.SAMPLED", 1)
    whole = record_of(train(root, tmp_path / "whole").path)
    assert record_of(train(root, tmp_path / "workers", workers=2).path) == whole
    advance = Trainer.advance
    for stop in (1, 7, 12):
        folder = tmp_path / f"stopped-{stop}"

        def stopped(trainer: Trainer, images: int | None = None, stop: int = stop) -> None:
            if trainer.step == stop:
                raise KeyboardInterrupt
            advance(trainer, images)

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "advance", stopped)
            with pytest.raises(KeyboardInterrupt):
                train(root, folder, checkpoint_steps=1)
        nm.resume(folder, figures=False)
        assert record_of(folder) == whole


def test_several_seeds_are_those_of_runs_alone(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuromirror.training.settings import Settings
    from neuromirror.training.train import train_seeds

    monkeypatch.setattr("neuromirror.data.load.SAMPLED", 1)
    settings = Settings(data=str(root), method="bp", max_broken_images=3, delta_images=8)
    circuit = tiny(batch=9, micro_batch=3, epochs=3, mirror_epochs=0)
    runs = train_seeds(circuit, seeds_=[5, 6], out=tmp_path / "both", settings=settings, figures=False)
    assert record_of(runs[1].path) == record_of(train(root, tmp_path / "alone", seed=6).path)


def test_one_more_than_is_allowed_ends_the_run_by_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuromirror.data.load.SAMPLED", 1)
    with pytest.raises(RunError, match=r"training image number 3 that cannot be read \(.+\), where max_broken_images"):
        train(root, tmp_path / "run", max_broken_images=2, delta_images=0)
    if (tmp_path / "run").exists():  # not where all images are decoded before the run begins
        manifest = nm.open_run(tmp_path / "run").manifest
        assert not manifest.complete
        assert sorted(manifest.summary["broken_images"]) == sorted(BROKEN)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_images_for_tests_and_validation_are_never_left_out(part: str, root: Path, tmp_path: Path) -> None:
    broken = "test/b/2.png"
    if part == "validation":
        data = load_data(root, size=SIZE, validation_images=6, max_broken_images=4)
        assert data.validation is not None
        broken = data.validation.source.identity(int(data.validation.members[2])).decode()
    (root / broken).write_bytes(b"")
    with pytest.raises(RunError, match=rf"{broken}: this image cannot be read"):
        train(root, tmp_path / "run", max_broken_images=9, validation_images=6 if part == "validation" else 0)


def test_a_batch_of_which_none_can_be_read_ends_the_run(root: Path, tmp_path: Path) -> None:
    for file in root.glob("train/*/*.png"):
        if file.name != "0.png":
            file.write_bytes(b"")
    with pytest.raises(RunError, match=r"none of the \d+ training images of a batch can be read.*The first: .*\.png"):
        train(root, tmp_path / "run", max_broken_images=45, delta_images=0)
    for file in root.glob("train/*/*.png"):
        file.write_bytes(b"")
    with pytest.raises(RunError, match=r"none of the training images can be read"):
        load_data(root, size=SIZE, max_broken_images=45)


def test_spikes_leave_nothing_out(root: Path) -> None:
    with pytest.raises(nm.errors.RequestError, match="max-broken-images"):
        nm.train("digits_narrow", data=root, backend="brian2", max_broken_images=1)
