"""Images that change while a run is stopped, or while it goes on, are refused by name, whoever reads them and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from cut_short import at_boundary
from PIL import Image

import neuromirror as nm
from experiments.tiny_nets import tiny
from neuromirror.backends.brian2.here import RunHere
from neuromirror.cli import main
from neuromirror.data import images as images_module
from neuromirror.data.contents import ChangedImageError, Contents
from neuromirror.data.load import Data, load_data
from neuromirror.data.pack import pack_directory
from neuromirror.errors import RequestError, RunError
from neuromirror.training import image_contents
from neuromirror.training.image_contents import FILE, KeptContents
from neuromirror.training.loop import Trainer
from neuromirror.training.train import evaluate

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SIZE = (8, 8)
TRAINING: dict[str, Any] = {"batch": 8, "micro_batch": 4, "epochs": 3, "mirror_epochs": 0}
"""Two steps to an epoch."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[True, False], ids=["kept in memory", "read in every epoch"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    return request.param


def images(folder: Path, classes: str = "ab") -> Path:
    """Write 8 training and 4 test images a class, whose files have one size whatever their pixels are."""
    drawn = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 4)):
        for label in classes:
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = drawn.integers(0, 256, SIZE, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{number}.bmp")
    return folder


def invert(file: Path) -> None:
    """Replace an image by another of the same length."""
    size = file.stat().st_size
    Image.fromarray(255 - np.array(Image.open(file))).save(file)
    assert file.stat().st_size == size


def run(folder: Path, data: Path, **options: Any) -> nm.Run:
    return nm.train(tiny(**TRAINING), data=data, method="fa", out=folder, figures=False, **options)


def rows(record: nm.Run) -> bytes:
    """Return the metrics, losses and angles among them, to the last bit."""
    return (record.path / "metrics.jsonl").read_bytes()


def stopped(folder: Path, data: Path, steps: int, **options: Any) -> Path:
    """Return a run that was stopped after so many steps."""
    advance = Trainer.advance

    def interrupted(trainer: Trainer, count: int | None = None) -> None:
        if trainer.step == steps:
            raise KeyboardInterrupt
        advance(trainer, count)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Trainer, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(folder, data, checkpoint_steps=1, **options)
    return folder


def test_all_pixels_replaced_while_a_run_is_stopped_are_refused_with_the_first(
    kept: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = images(tmp_path / "set")
    folder = stopped(tmp_path / "run", data, steps=3)
    for file in data.rglob("*.bmp"):
        invert(file)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", str(folder), "--no-figures"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{data}/train/a/0.bmp: this image is not what it was when {folder} read it" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for file in data.rglob("*.bmp"):
        invert(file)
    uncut = run(tmp_path / "uncut", data)
    assert rows(nm.resume(folder, figures=False)) == rows(uncut)


def test_an_image_replaced_while_spiking_cells_are_stopped_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"layers.sizes": [64, 4, 10], "modes.engaged.compare": {"d2": "y2 - target"}}
    changes |= {"training.epochs": 1, "training.mirror_epochs": 0, "training.mirror_every": 8}
    circuit = nm.load("digits_narrow").with_values({**changes, "training.mirror_examples": 60})
    data, folder = images(tmp_path / "set", "abcdefghij"), tmp_path / "run"
    shown: dict[str, Any] = {"train_images": 16, "test_images": 8}

    def stop() -> None:
        raise KeyboardInterrupt

    def train(out: Path) -> nm.Run:
        options = {"backend": "brian2", "target": "numpy", "method": "wm", "figures": False, **shown}
        return nm.train(circuit, data=data, out=out, **options)

    with monkeypatch.context() as patched:
        patched.setattr(RunHere, "_at_boundary", at_boundary(4, stop))
        with pytest.raises(KeyboardInterrupt):
            train(folder)
    for file in (data / "test").rglob("*.bmp"):
        invert(file)
    with pytest.raises(RequestError, match=r"test/./.\.bmp: this image is not what it was when .* read it"):
        nm.resume(folder, figures=False)
    for file in (data / "test").rglob("*.bmp"):
        invert(file)
    assert rows(nm.resume(folder, figures=False)) == rows(train(tmp_path / "uncut"))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_changes_while_a_run_goes_on_ends_it_where_it_is_read_again(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    data, advance = images(tmp_path / "set"), Trainer.advance
    changed = data / "train" / "b" / "5.bmp"

    def changing(trainer: Trainer, count: int | None = None) -> None:
        advance(trainer, count)
        if trainer.step == 3:  # in the midst of the second epoch, whatever the workers have read ahead
            invert(changed)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", changing)
        with pytest.raises(
            RunError, match=r"train/b/5\.bmp: this image is not what it was when this run first read it"
        ):
            run(tmp_path / "run", data, workers=workers, checkpoint_steps=1)
    assert not nm.open_run(tmp_path / "run").manifest.complete
    with pytest.raises(RequestError, match=r"train/b/5\.bmp: this image is not what it was when"):
        evaluate(tmp_path / "run")
    invert(changed)
    uncut = run(tmp_path / "uncut", data)
    assert rows(nm.resume(tmp_path / "run", figures=False)) == rows(uncut)


def test_an_image_of_another_size_is_named_before_any_is_read(tmp_path: Path) -> None:
    data = images(tmp_path / "set")
    folder = stopped(tmp_path / "run", data, steps=1)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(data / "test" / "a" / "2.bmp")
    with pytest.raises(
        RequestError, match=r"run began with\. The first: .*test/a/2\.bmp: \d+ bytes, where the run began"
    ):
        nm.resume(folder, figures=False)


def test_packed_copies_are_held_against_what_a_run_has_read_without_reading_them(tmp_path: Path) -> None:
    data = images(tmp_path / "set")
    folder = stopped(tmp_path / "run", data, steps=1)
    pack_directory(data, tmp_path / "same")
    invert(data / "train" / "a" / "3.bmp")
    pack_directory(data, tmp_path / "other")
    same, other = (load_data(tmp_path / name, size=SIZE) for name in ("same", "other"))
    assert same.sha256 == other.sha256
    image_contents.compare(folder, same)
    with pytest.raises(RequestError, match=r"other/train-000000\.tar, train/a/3\.bmp: this image is not what it was"):
        image_contents.compare(folder, other)


def test_a_run_forks_from_another_on_the_same_images_alone(tmp_path: Path) -> None:
    data = images(tmp_path / "set")
    folder = stopped(tmp_path / "run", data, steps=3)
    invert(data / "train" / "a" / "0.bmp")
    with pytest.raises(RequestError, match=r"train/a/0\.bmp: this image is not what it was when"):
        run(tmp_path / "forked", data, fork=folder)
    assert not (tmp_path / "forked").exists()
    invert(data / "train" / "a" / "0.bmp")
    assert run(tmp_path / "forked", data, fork=folder).manifest.complete


def test_records_of_earlier_versions_go_on_and_know_their_images_from_then_on(tmp_path: Path) -> None:
    """They have a hash of names and labels, and no checksums."""
    data = images(tmp_path / "set")
    folder, uncut = stopped(tmp_path / "run", data, steps=3), run(tmp_path / "uncut", data)
    (folder / FILE).unlink()
    earlier = load_data(data, size=SIZE).names_sha256
    for file in (folder / "manifest.json", *folder.glob("checkpoints/*/state.json")):
        text = file.read_text(encoding="utf-8")
        then = load_data(data, size=SIZE).sha256
        assert then in text
        file.write_text(text.replace(then, earlier), encoding="utf-8")
    assert rows(nm.resume(folder, figures=False)) == rows(uncut)
    assert all(array.all() for name, array in kept_of(folder).items() if name.endswith("known"))
    invert(data / "test" / "b" / "1.bmp")
    with pytest.raises(ChangedImageError, match=r"test/b/1\.bmp: this image is not what it was"):
        evaluate(folder)


def kept_of(folder: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load((folder / FILE).read_bytes())


@pytest.mark.parametrize(
    "content",
    [b"", b"no arrays", safetensors.numpy.save({"train.size": np.zeros(3)}), None],
    ids=["empty", "text", "other arrays", "other images"],
)
def test_damaged_checksums_are_refused(content: bytes | None, tmp_path: Path) -> None:
    data = images(tmp_path / "set")
    folder = stopped(tmp_path / "run", data, steps=1)
    if content is None:
        content = safetensors.numpy.save({name: array[1:] for name, array in kept_of(folder).items()})
    (folder / FILE).write_bytes(content)
    with pytest.raises(RequestError, match=rf"{FILE}: .* Put back the file that the run has written, or train anew\.$"):
        nm.resume(folder, figures=False)


def test_digits_have_no_file_of_checksums(tmp_path: Path) -> None:
    options = {"train_images": 40, "test_images": 10, "method": "fa", "figures": False}
    assert not (nm.train(tiny(**TRAINING), out=tmp_path / "run", **options).path / FILE).exists()


# ---- several ranks --------------------------------------------------------------------------------------------------


class TwoRanks:
    """This rank and one that has read something else."""

    size, rank, is_first = 2, 0, True

    def __init__(self, other: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self.other = other

    def gathered(self, own: Any) -> list[Any]:
        return [own, self.other]

    def on_first(self, do: Any) -> None:
        do()


def test_ranks_know_what_the_others_have_read_and_refuse_another_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    data = load_data(images(tmp_path / "set"), size=SIZE)
    assert data.train.known.all()  # for mean and sd
    assert not data.test.known.any()
    data.test.batch([0, 1])
    data.test.compare(data.test.read())
    nothing = (np.empty(0, np.int64), np.empty(0, np.uint32))
    ranks: Any = TwoRanks({"train": nothing, "test": (np.array([1, 5]), np.array([data.test.crc32[1], 77], np.uint32))})
    KeptContents(data, tmp_path, ranks).save()
    assert np.flatnonzero(data.test.known).tolist() == [0, 1, 5]
    assert np.flatnonzero(kept_of(tmp_path)["test.known"]).tolist() == [0, 1, 5]
    ranks.other["test"] = (np.array([0]), np.array([78], np.uint32))
    with pytest.raises(ChangedImageError, match=r"test/a/0\.bmp"):
        KeptContents(data, tmp_path, ranks).save()


def test_checksums_are_compared_with_what_is_known_alone() -> None:
    contents = Contents(4)
    assert contents.first_other({2: 7, 0: 5}) is None
    assert contents.first_other({3: 8, 2: 7}) is None
    assert contents.first_other({1: 1, 3: 9, 2: 6}) == 2
    assert contents.known.tolist() == [True, False, True, True]
    assert contents.crc32.tolist() == [5, 0, 7, 8]
    contents.note(1, b"abc")
    assert contents.taken() == {1: 0x352441C2}
    assert contents.taken() == {}


def test_the_hash_is_of_sizes_too(tmp_path: Path) -> None:
    first, second = images(tmp_path / "x" / "set"), images(tmp_path / "y" / "set")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(second / "test" / "a" / "2.bmp")
    found: list[Data] = [load_data(root, size=SIZE) for root in (first, second)]
    assert found[0].sha256 != found[1].sha256
    assert found[0].names_sha256 == found[1].names_sha256
