"""Packed images: the same images, order and hash as the folders they come from, and no damage goes unnoticed."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neuromirror.cli import main
from neuromirror.data import Batches, load_data, shard_index
from neuromirror.data import images as images_module
from neuromirror.data.check import check_directory
from neuromirror.data.pack import pack_directory
from neuromirror.data.shard_index import FILE, read_index
from neuromirror.errors import RequestError, RunError

SIZE = (8, 8)
LONG = "a name of more than a hundred bytes, which a header of tar alone has no room for, ünd ändere " + "ß" * 40


def tree(root: Path, *, count: int = 6) -> Path:
    """Write a tree of noise of several sizes, some of whose names are not simple."""
    drawn = np.random.default_rng(0)
    names = {"a": "0.png", "b b": LONG + ".png"}
    for part, images in (("train", count), ("test", 3)):
        for name, special in names.items():
            (root / part / name).mkdir(parents=True)
            for number in range(images):
                pixels = drawn.integers(0, 256, (int(drawn.integers(5, 30)), 12, 3), dtype=np.uint8)
                file = root / part / name / (special if number == 0 else f"{number}.png")
                Image.fromarray(pixels).save(file)
    os.rename(root / "train" / "a" / "1.png", os.fsencode(root / "train" / "a") + b"/\xff.png")
    return root


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: object
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Give a function that runs a command."""

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return Outcome(stopped.value.code, *capsys.readouterr())

    return run


def rewritten(out: Path, **changes: object) -> None:
    """Write an index with other arrays, or without some, and with the hash that belongs to it."""
    arrays = safetensors.numpy.load((out / FILE).read_bytes())
    about = json.loads(arrays["about"].tobytes())
    for name, change in changes.items():
        if name in about:
            about[name] = change
        elif change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name])  # pyright: ignore[reportCallIssue]
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    del arrays["sha256"]
    (out / FILE).write_bytes(safetensors.numpy.save({**arrays, "sha256": shard_index._digest(arrays)}))


def with_first(value: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: np.concatenate([np.array([value], array.dtype), array[1:]])


WRONG_INDEX: dict[str, tuple[dict[str, object], str]] = {
    "label -100": ({"label": with_first(-100)}, r"image 0 has label -100, where its 2 classes count from 0 to 1"),
    "label 2": ({"label": lambda array: array * 2}, r"image 6 has label 2, where its 2 classes"),
    "no labels": ({"label": None}, r"the array 'label' is missing"),
    "fractions": ({"label": lambda array: array.astype(np.float32)}, r"'label' is float32 .* a row of int64"),
    "too few": ({"label": lambda array: array[:-1]}, r"'shard' has 18 rows, and 'label' has 17"),
    "tar file": ({"shard": with_first(7)}, r"image 0 is in tar file number 7 of 2"),
    "place": ({"offset": with_first(10**9)}, r"image 0 is not within its tar file, 'train-000000\.tar'"),
    "length": ({"size": with_first(-1)}, r"image 0 is not within its tar file"),
    "names": ({"ends": with_first(-1)}, r"its names do not end where it says"),
    "all for training": ({"train": 18}, r"18 of its 18 images are for training"),
    "classes": ({"classes": ["a", "a"]}, r"it has 1 classes of 2 names"),
    "elsewhere": ({"shards": [["../x.tar", 9]]}, r"its tar files are no list of names and lengths"),
}


@pytest.mark.parametrize("what", WRONG_INDEX)
def test_an_index_of_what_no_images_have_is_refused_by_check_and_by_training_alike(what: str, tmp_path: Path) -> None:
    """Its hash is right: whoever has made it has not damaged it."""
    changes, message = WRONG_INDEX[what]
    out = tmp_path / "packed"
    pack_directory(tree(tmp_path / "set"), out)
    rewritten(out, **changes)
    for take in (check_directory, lambda root: load_data(root, size=SIZE)):
        with pytest.raises(RequestError, match=message) as found:
            take(out)
        assert str(out / FILE) in str(found.value)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("shard_bytes", [1, 21_000, 10**9])
def test_what_is_packed_is_what_was_there(
    shard_bytes: int, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    root, out = tree(tmp_path / "set"), tmp_path / "deep" / "packed"
    packed = pack_directory(root, out, shard_bytes=shard_bytes)
    assert packed.images == 18
    assert packed.shards == {1: 18, 10**9: 2}.get(shard_bytes, packed.shards)
    there = {file.name: file.stat().st_size for file in out.glob("*.tar")}
    assert dict(read_index(out).shards) == there
    assert sum(there.values()) == packed.size
    options = {"size": SIZE, "validation_images": 3, "test_images": 4}
    folders, shards = load_data(root, **options), load_data(out, **options)
    for name in ("name", "classes", "channels", "mean", "std", "sha256"):
        assert getattr(folders, name) == getattr(shards, name)
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(shards, part), getattr(folders, part)
        assert ours.labels.equal(theirs.labels)
        assert all(ours.original(i).equal(theirs.original(i)) for i in range(len(theirs)))
    for first, second in zip(*(
        Batches(data.train, data, batch=3, size=SIZE, augment="resized_crop").epoch(2) for data in (folders, shards)
    )):  # fmt: skip
        assert all(torch.equal(one, other) for one, other in zip(first, second))


@pytest.mark.parametrize("shard_bytes", [10_240, 10_241, 20_480, 30_000])
def test_no_tar_file_is_longer_than_asked_and_none_is_begun_without_need(shard_bytes: int, tmp_path: Path) -> None:
    """Tar fills its files up to whole records of 10,240 bytes."""
    pack_directory(tree(tmp_path / "set", count=12), tmp_path / "packed", shard_bytes=shard_bytes)
    for part in ("train", "test"):
        lengths = [file.stat().st_size for file in sorted((tmp_path / "packed").glob(f"{part}-*.tar"))]
        assert max(lengths) <= shard_bytes
        assert set(lengths[:-1]) <= {shard_bytes // 10_240 * 10_240}


def test_plain_tar_reads_it_into_the_same_folders(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "set"), tmp_path / "packed"
    pack_directory(root, out, shard_bytes=11_000)
    (tmp_path / "again").mkdir()
    for file in sorted(out.glob("*.tar")):
        subprocess.run(["tar", "-xf", file, "-C", tmp_path / "again"], check=True)
    files, again = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*.png")} for top in (root, tmp_path / "again")
    )
    assert files == again


def test_packing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    root = tree(tmp_path / "set")
    for name in ("one", "two"):
        pack_directory(root, tmp_path / name, shard_bytes=11_000)
    pack_directory(tmp_path / "one", tmp_path / "three", shard_bytes=11_000)
    contents = [
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two", "three")
    ]
    assert contents[0] == contents[1] == contents[2]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_damage_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("damage")
    pack_directory(tree(root / "set", count=2), root / "packed", shard_bytes=11_000)
    file = draw.draw(st.sampled_from(sorted((root / "packed").iterdir())))
    content = bytearray(file.read_bytes())
    if draw.draw(st.booleans()):
        file.write_bytes(content[: draw.draw(st.integers(0, len(content) - 1))])
    else:
        content[draw.draw(st.integers(0, len(content) - 1))] ^= draw.draw(st.integers(1, 255))
        file.write_bytes(content)
    packed, found = root / "packed", load_data(root / "set", size=SIZE)
    if file.name == FILE:
        for read in (check_directory, lambda place: load_data(place, size=SIZE)):
            with pytest.raises(RequestError, match=FILE):
                read(packed)
    elif check_directory(packed).can_be_trained_on:
        # What has changed is what no image is made of: headers of tar, and what fills its blocks.
        there = load_data(packed, size=SIZE)
        for ours, theirs in ((there.train, found.train), (there.test, found.test)):
            assert ours.batch(range(len(ours))).equal(theirs.batch(range(len(theirs))))
    else:
        with pytest.raises((RequestError, RunError), match=r"\.tar"):
            load_data(packed, size=SIZE).test.batch(range(len(found.test)))


def test_a_changed_image_is_found_though_it_can_be_decoded(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "set"), tmp_path / "packed"
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "train" / "a" / "2.bmp")
    pack_directory(root, out)
    file = out / "train-000000.tar"
    with tarfile.open(file) as tar:
        place = tar.getmember("train/a/2.bmp").offset_data
    with file.open("r+b") as changed:
        changed.seek(place + 100)
        changed.write(b"\x07")
    with pytest.raises(
        RunError, match=r"train-000000\.tar, train/a/2\.bmp: this image cannot be read \(its bytes are n"
    ):
        load_data(out, size=SIZE)
    assert [one.name for one in check_directory(out).findings["unreadable"].first] == ["train/a/2.bmp"]


def test_a_tar_file_that_is_missing_or_short_is_named_before_any_image_is_read(tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack_directory(tree(tmp_path / "set"), out, shard_bytes=11_000)
    os.truncate(out / "test-000000.tar", 1024)
    (out / "train-000001.tar").unlink()
    with pytest.raises(RequestError, match=r"train-000001\.tar: cannot be read \(No such file or directory\)\. Copy"):
        load_data(out, size=SIZE)
    problems = check_directory(out).problems
    assert len(problems) == 2
    assert "test-000000.tar: 1024 bytes, where " in problems[1]


def test_an_index_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuromirror.data.shard_index.VERSION", 2)
    pack_directory(tree(tmp_path / "set"), tmp_path / "packed")
    monkeypatch.undo()
    with pytest.raises(RequestError, match=r"of version 2, where this program reads 1\. Pack the images anew\."):
        load_data(tmp_path / "packed", size=SIZE)


# ---- all or nothing -------------------------------------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    """Give all names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("how", ["interrupted", "disk full", "an image is gone"])
def test_nothing_is_left_of_what_could_not_be_finished(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "set")
    (tmp_path / "place").mkdir()

    def progress(done: float, total: float) -> None:
        if done == 9 and how == "interrupted":
            raise KeyboardInterrupt
        if done == 9 and how == "disk full":
            raise OSError(28, "No space left on device")

    if how == "an image is gone":
        (root / "test" / "a" / "gone.png").symlink_to("nowhere.png")
    kinds = {"interrupted": (KeyboardInterrupt, None), "disk full": (RunError, r"cannot be written \(No space left on")}
    kind, says = kinds.get(how, (RunError, r"gone\.png: this image cannot be read \(No such file"))
    with pytest.raises(kind, match=says):
        pack_directory(root, tmp_path / "place" / "packed", progress=progress)
    assert left(tmp_path / "place") == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "set"), tmp_path / "packed"
    out.mkdir()
    pack_directory(root, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(RequestError, match=r"packed: there is something of that name, and it is not overwritten"):
        pack_directory(root, out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("link", "packed/" + FILE):
        with pytest.raises(RequestError, match="there is something of that name"):
            pack_directory(root, tmp_path / name)
    with pytest.raises(RequestError, match=r"inside of the directory that is packed"):
        pack_directory(root, root / "train" / "packed")


def test_the_command_packs_and_says_so(call: Callable[..., Outcome], tmp_path: Path) -> None:
    root = tree(tmp_path / "set")
    code, out, _ = call("data", "pack", root, tmp_path / "packed", "--shard-mb", "1")
    assert code == 0
    assert out == f"packed   {tmp_path}/packed: 18 images, 2 tar files, 0.0 MB\n"
    assert call("data", "check", tmp_path / "packed").out == call("data", "check", root).out
    for arguments, says in (
        ((root, tmp_path / "packed"), "there is something of that name"),
        ((root, tmp_path / "new", "--shard-mb", "0"), "--shard-mb 0: expected a number of megabytes from 1."),
        ((tmp_path / "nowhere", tmp_path / "new"), "neither a set that is known"),
    ):
        code, out, err = call("data", "pack", *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert says in err
    assert left(tmp_path) == ["packed", "set"]
