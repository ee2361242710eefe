"""Trees of any kind: every command ends in success or in one clear sentence, and what the check says holds."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

import neuromirror as nm
from experiments.tiny_nets import tiny
from neuromirror.cli import main
from neuromirror.data import load_data
from neuromirror.data.check import check_directory
from neuromirror.errors import NeuromirrorError


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (9, 8)) -> bytes:
    """Give the bytes of an image's file."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


CONTENTS = {
    "a PNG": encoded("PNG"),
    "a JPEG": encoded("JPEG"),
    "grey": encoded("PNG", "L"),
    "inks": encoded("JPEG", "CMYK"),
    "a palette": encoded("PNG", "P"),
    "one pixel": encoded("PNG", size=(1, 1)),
    "a line": encoded("PNG", size=(3000, 1)),
    "nothing": b"",
    "text": b"no image\n" * 9,
    "cut": encoded("JPEG")[:300],
    "a GIF": encoded("GIF", "P"),
}
SPECIAL = (
    "a directory",
    "a link to nowhere",
    "a link to itself",
    "a link upwards",
    "a link to a pipe",
    "a pipe",
    "refused",
)
FILES = (
    *(b"0.png", b"1.jpg", b"2.JPEG", b"with space.png", "ünïcode 日本.png".encode(), b"\xff\xfe.png"),
    *(b"new\nline.png", b".hidden.png", b"-rf.png", b"notes.txt", b"nosuffix"),
)
CLASSES = (b"a", b"b", b"c c", "ç".encode(), b"\xfe", b"new\nline", b"train", b".git", b"x.jpg")

Contents = dict[tuple[bytes, bytes, bytes], str]


PARTS = [(b"train", b"test"), (b"train", b"val"), (b"",), (b"train", b"test", b"val"), (b"train",)]


@st.composite
def trees(draw: st.DrawFn) -> Contents:
    """Draw what is in a tree, by part, class and name: in most cases one of a known form, with a few odd files."""
    is_known = draw(st.integers(0, 3)) > 0
    parts = draw(st.sampled_from(PARTS[:4] if is_known else PARTS))
    kinds = st.sampled_from([*CONTENTS, *SPECIAL])
    if is_known:
        classes = draw(st.lists(st.sampled_from((*CLASSES[:4], CLASSES[-1])), min_size=2, max_size=3, unique=True))
        places, counts = classes, st.integers(5, 6)
        kinds = draw(
            st.sampled_from([kinds, st.sampled_from(list(CONTENTS)[:7]), st.sampled_from(list(CONTENTS)[7:10])])
        )
    else:
        classes = draw(st.lists(st.sampled_from(CLASSES), max_size=4, unique=True))
        places, counts = [*classes, b""], st.integers(0, 6)
    contents = {
        (part, name, f"{i}.png".encode()): "a PNG" for part in parts for name in classes for i in range(draw(counts))
    }
    odd = st.tuples(st.sampled_from(parts), st.sampled_from(places), st.sampled_from(FILES))
    return contents | draw(st.dictionaries(odd, kinds, max_size=4))


def grow(root: Path, contents: Contents) -> None:
    """Write a tree."""
    os.mkdir(root)
    for (part, name, file), kind in contents.items():
        folder = os.path.join(os.fsencode(root), part, name)
        path = os.path.join(folder, file)
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder, exist_ok=True)
            if os.path.lexists(path):
                os.unlink(path)
            if kind == "a directory":
                os.mkdir(path)
            elif kind == "a pipe":
                os.mkfifo(path)
            elif kind == "a link to a pipe":
                os.mkfifo(path + b".pipe")
                os.symlink(path + b".pipe", path)
            elif kind.startswith("a link"):
                targets = {"a link to nowhere": b"nowhere", "a link to itself": path, "a link upwards": b".."}
                os.symlink(targets[kind], path)
            else:
                with open(path, "wb") as opened:
                    opened.write(CONTENTS.get(kind, CONTENTS["a PNG"]))


def refuse(contents: Contents, patched: pytest.MonkeyPatch) -> None:
    """Let those files be refused: root, who may run this, may read what no one else may."""
    refused = {os.fsdecode(file) for (_, _, file), kind in contents.items() if kind == "refused"}
    opened = Path.open

    def refusing(path: Path, mode: str = "r", *given: object, **options: object) -> object:
        if path.name in refused and mode == "rb":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *given, **options)  # type: ignore[call-overload]

    patched.setattr(Path, "open", refusing)


def call(*arguments: str | Path) -> tuple[int, str]:
    """Run a command; give its exit code and its last line of standard error."""
    err = io.StringIO()
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")  # which refuses what is no text, as a terminal does
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code, said = int(ended.value.code or 0), err.getvalue()
    assert "Traceback" not in said
    assert "This is a bug" not in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code in (0, 1, 2)
    assert len(errors) == (code != 0), said
    if code:
        assert said.splitlines()[-1] == errors[0]
        assert errors[0].endswith(".")
    return code, "".join(errors)


@given(trees())
@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_tree_ends_in_success_or_in_one_clear_sentence(tmp_path: Path, contents: Contents) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir()
    root, circuit = tmp_path / "set", tmp_path / "tiny.toml"
    grow(root, contents)
    tiny(batch=4, micro_batch=2, epochs=1, mirror_epochs=0).save(circuit)
    with pytest.MonkeyPatch.context() as patched:
        refuse(contents, patched)
        checked, _ = call("data", "check", root, "--json")
        packed, _ = call("data", "pack", root, tmp_path / "packed")
        trained, said = call(
            "train", circuit, "--data", root, "--out", tmp_path / "run", "--no-figures", "--delta-images", "0"
        )
        event(f"check {checked}, pack {packed}, train {trained}")
        if checked == 0:
            assert packed == 0
            assert trained == 0 or "training.batch" in said, said
        else:
            assert checked == 1
            assert trained, "training met nothing of what the check has found"
        assert packed == 0 or not (tmp_path / "packed").exists()
        if packed == 0:
            assert call("data", "check", tmp_path / "packed")[0] == checked
            assert hash_of(tmp_path / "packed") == hash_of(root)


def hash_of(root: Path) -> str:
    """Give the hash of a set, or why there is none, without the place."""
    try:
        return load_data(root, size=(8, 8)).sha256
    except NeuromirrorError as error:
        return type(error).__name__


def test_training_from_packed_images_is_the_same_bit_by_bit(tmp_path: Path) -> None:
    contents: Contents = {
        (part, name, f"{i}.png".encode()): kind
        for part, count in ((b"train", 8), (b"test", 3))
        for name in (b"a", b"b")
        for i, kind in zip(range(count), [*CONTENTS][:6] * 2)
    }
    root, packed = tmp_path / "set", tmp_path / "packed"
    grow(root, contents)
    assert check_directory(root).can_be_trained_on
    assert call("data", "pack", root, packed)[0] == 0
    files = []
    for place in (root, packed):
        circuit = tiny(batch=4, micro_batch=2, epochs=2, mirror_epochs=1, augment="resized_crop")
        run = nm.train(circuit, data=place, method="wm", out=tmp_path / f"run-{place.name}", figures=False)
        names = [path for path in run.path.rglob("*") if path.suffix in (".safetensors", ".jsonl")]
        files.append({path.relative_to(run.path): path.read_bytes() for path in names})
    assert len(files[0]) > 4
    assert files[0] == files[1]


@pytest.mark.parametrize("name", [b"\xff", b"new\nline"])
def test_the_directory_itself_may_have_any_name(name: bytes, tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(name)
    grow(root, {(part, one, b"0.png"): "a PNG" for part in (b"train", b"test") for one in (b"a", b"b")})
    is_text = name != b"\xff"
    tiny(batch=2, micro_batch=2, epochs=1, mirror_epochs=0).save(tmp_path / "tiny.toml")
    assert call("data", "check", root)[0] == (0 if is_text else 2)
    assert call("data", "pack", root, tmp_path / "packed")[0] == (0 if is_text else 2)
    code, _ = call("train", tmp_path / "tiny.toml", "--data", root, "--out", tmp_path / "run", "--no-figures")
    assert code == (0 if is_text else 2)
