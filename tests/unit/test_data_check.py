"""Checks of directories of images: what is found is what decoding stops at or converts, whoever looks."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neuromirror.cli import main
from neuromirror.data import check as check_module
from neuromirror.data.broken import UnreadableImageError
from neuromirror.data.check import Report, check_directory
from neuromirror.data.examine import ERRORS, NOTES, examined
from neuromirror.data.files import Files
from neuromirror.data.load import count_data, load_data
from neuromirror.data.pack import pack_directory
from neuromirror.errors import RequestError

# A process of several threads may be forked here: what the workers do needs none of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def encoded(image: Image.Image = NOISE, kind: str = "PNG", **options: object) -> bytes:
    """Give the bytes of an image's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


PNG, JPEG = encoded(), encoded(kind="JPEG")
TWO, EXIF = {"save_all": True, "append_images": [NOISE.rotate(180)]}, Image.Exif()
EXIF[0x0112] = 6  # a quarter to the right


def grow(root: Path, more: Mapping[str, bytes] | None = None) -> Path:
    """Write a tree in which all is well, and more files into it."""
    plain = {f"{part}/{name}/{i}.png": PNG for part in ("train", "test") for name in "ab" for i in range(3)}
    for name, content in (plain | dict(more or {})).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def found(report: Report) -> dict[str, list[str]]:
    """Give the names of the images that were found, by kind."""
    return {kind: [one.name for one in some.first] for kind, some in report.findings.items()}


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: object
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Give a function that runs a command."""

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return Outcome(stopped.value.code, *capsys.readouterr())

    return run


# ---- kinds of images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "kinds"),
    [
        ("well.png", PNG, []),
        ("well.JPEG", JPEG, []),
        ("well.bmp", encoded(kind="BMP"), []),
        ("well.webp", encoded(kind="WEBP"), []),
        ("nothing.jpg", b"", ["unreadable"]),
        ("page.jpg", b"<html>404</html>" * 9, ["unreadable"]),
        ("cut.jpg", JPEG[:-40], ["truncated"]),
        ("cut.png", PNG[:-60], ["truncated"]),
        ("cut.bmp", encoded(kind="BMP")[:-4], ["truncated"]),
        ("cut.webp", encoded(kind="WEBP")[:-1], ["truncated"]),
        ("header.jpg", JPEG[:100], ["truncated"]),
        ("inks.jpg", encoded(NOISE.convert("CMYK"), "JPEG"), ["CMYK"]),
        ("grey.jpg", encoded(NOISE.convert("L"), "JPEG"), ["grey"]),
        ("black_and_white.png", encoded(NOISE.convert("1")), ["grey"]),
        ("palette.png", encoded(NOISE.quantize(8)), ["other mode"]),
        ("alpha.png", encoded(NOISE.convert("RGBA")), ["other mode"]),
        ("deep.png", encoded(Image.fromarray(np.full((4, 4), 51400, np.uint16))), ["other mode"]),
        ("png_called.JPEG", PNG, ["misnamed"]),
        ("jpeg_called.png", JPEG, ["misnamed"]),
        ("gif_called.png", encoded(NOISE.quantize(8), "GIF"), ["other mode", "misnamed"]),
        ("grey_png_called.jpg", encoded(NOISE.convert("L")), ["grey", "misnamed"]),
        ("well.jfif", JPEG, []),
        ("well.tif", encoded(kind="TIFF"), []),
        ("well.ppm", encoded(kind="PPM"), []),
        ("still.gif", encoded(NOISE.quantize(8), "GIF"), ["other mode"]),
        (
            "moving.gif",
            encoded(NOISE.quantize(8), "GIF", **TWO),
            ["other mode", "frames"],
        ),
        ("pages.tiff", encoded(kind="TIFF", **TWO), ["frames"]),
        ("turned.jpg", encoded(kind="JPEG", exif=EXIF), ["orientation"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_is_found_and_named(tmp_path: Path, name: str, content: bytes, kinds: list[str]) -> None:
    report = check_directory(grow(tmp_path, {f"train/b/{name}": content}))
    assert found(report) == {kind: [f"train/b/{name}"] for kind in kinds}
    assert report.can_be_trained_on == (not set(kinds) & set(ERRORS))
    assert report.parts["train"].images == 7


CONTENTS = [
    encoded(image, kind, **options)
    for image in (NOISE, NOISE.convert("L"))
    for kind, options in (("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("WEBP", {}))
]


@given(st.sampled_from(CONTENTS), st.floats(0, 1), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3))))
@settings(deadline=None, max_examples=150)
def test_errors_are_what_decoding_stops_at(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kept: float, changes: list[tuple[float, bytes]]
) -> None:
    cut = bytearray(content[: round(kept * len(content))])
    for place, change in changes:
        start = int(place * len(cut))
        cut[start : start + len(change)] = change
    root = tmp_path_factory.getbasetemp() / "one"
    root.mkdir(exist_ok=True)
    (root / "x.png").write_bytes(bytes(cut))
    files = Files(root=root, names=("x.png",))
    kinds = {finding.kind for finding in examined(files, 0).findings}
    try:
        files.pixels(0)
    except UnreadableImageError:
        assert kinds in ({"unreadable"}, {"truncated"})
    else:
        assert kinds <= set(NOTES)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: f"{content[:4]!r}-{len(content)}")
def test_a_file_that_ends_anywhere_is_called_truncated(tmp_path: Path, content: bytes) -> None:
    """But for the first bytes, in which nothing tells what it is, and the last, without which some can be decoded."""
    files = Files(root=tmp_path, names=("x.png",))
    for length in range(61, len(content) - 60):
        (tmp_path / "x.png").write_bytes(content[:length])
        assert [finding.kind for finding in examined(files, 0).findings] == ["truncated"], length


def test_what_cannot_be_opened_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = grow(tmp_path / "set")
    (root / "train" / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "train" / "a" / "round.jpg").symlink_to(root / "train" / "a" / "round.jpg")
    os.mkfifo(tmp_path / "pipe")
    (root / "train" / "b" / "pipe.jpg").symlink_to(tmp_path / "pipe")
    opened = Path.open

    def refusing(path: Path, mode: str = "r") -> object:
        if path.name == "2.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", refusing)
    report = check_directory(root, all_findings=True)
    said = {one.name: one.what for one in report.findings["unreadable"].first}
    assert said == {
        "train/a/2.png": "Permission denied",
        "train/a/gone.jpg": "No such file or directory",
        "train/a/round.jpg": "Too many levels of symbolic links",
        "train/b/2.png": "Permission denied",
        "train/b/pipe.jpg": "no file that holds anything",
        "test/a/2.png": "Permission denied",
        "test/b/2.png": "Permission denied",
    }


# ---- the directory --------------------------------------------------------------------------------------------------


def test_classes_are_counted_in_each_part(tmp_path: Path) -> None:
    more = {f"train/b/more{i}.png": PNG for i in range(4)} | {f"{part}/c/x.png": PNG for part in ("train", "test")}
    report = check_directory(grow(tmp_path / "my set", more))
    assert (report.name, report.classes) == ("my set", 3)
    train, test = report.parts["train"], report.parts["test"]
    assert (train.images, train.fewest, train.most) == (11, (1, "c"), (7, "b"))
    assert (test.images, test.fewest, test.most) == (7, (1, "c"), (3, "a"))


def test_all_problems_of_a_tree_are_reported_and_its_images_looked_at_all_the_same(tmp_path: Path) -> None:
    root = grow(tmp_path, {"train/a/cut.jpg": JPEG[:-40], "test/d/x.png": b""})
    for name in ("train/empty", "train/void"):
        (root / name).mkdir()
    report = check_directory(root)
    assert [problem.removeprefix(f"{root}/").split(":")[0] for problem in report.problems] == [
        "train/empty", "train/void", "test"
    ]  # fmt: skip
    assert found(report) == {"truncated": ["train/a/cut.jpg"], "unreadable": ["test/d/x.png"]}
    assert not report.can_be_trained_on


def test_any_number_of_processes_reports_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "AT_A_TIME", 2)
    more = {f"train/a/{i}.jpg": JPEG[: 200 * i] for i in range(5)} | {"test/b/grey.png": encoded(NOISE.convert("L"))}
    root, seen = grow(tmp_path, more), list[tuple[float, float]]()
    alone = check_directory(root, all_findings=True)
    assert check_directory(root, jobs=2, all_findings=True, progress=lambda *now: seen.append(now)) == alone
    assert seen[-1] == (18, 18)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_only_the_first_findings_are_kept_unless_all_are_wanted(tmp_path: Path) -> None:
    root = grow(tmp_path, {f"train/a/{i}.jpg": PNG for i in range(9)})
    some, every = check_directory(root), check_directory(root, all_findings=True)
    assert some.findings["misnamed"].count == every.findings["misnamed"].count == 9
    assert found(some) == {"misnamed": [f"train/a/{i}.jpg" for i in range(3)]}
    assert found(every) == {"misnamed": [f"train/a/{i}.jpg" for i in range(9)]}


def mixed(root: Path, *, coloured: str | None) -> Path:
    """Write 600 grey images for training, more than are looked at first, one of them in colour, or one for tests."""
    grey = encoded(NOISE.convert("L").resize((4, 4)))
    names = [f"train/{c}/{i:03}.png" for c in "ab" for i in range(300)] + [
        f"test/{c}/{i}.png" for c in "ab" for i in "01"
    ]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(grey)
    if coloured is not None:
        (root / coloured).write_bytes(encoded(NOISE.resize((4, 4))))
    return root


@pytest.mark.parametrize("coloured", [None, "train/a/008.png", "train/b/299.png", "test/b/1.png"])
def test_check_and_training_take_the_same_number_of_channels(coloured: str | None, tmp_path: Path, call: Call) -> None:
    """Wherever the only image of colour is, it makes the set one of three channels, and nothing is lost."""
    root = mixed(tmp_path / "set", coloured=coloured)
    report, data = check_directory(root), load_data(root, size=(4, 4))
    assert report.channels == data.channels == count_data(root, size=(4, 4)).channels == (1 if coloured is None else 3)
    if coloured is None:
        assert not report.findings
        assert "channels   1: no image has colour\n" in call("data", "check", root).out
        return
    assert report.findings["grey"].count == 603
    part = data.train if coloured.startswith("train") else data.test
    (index,) = (i for i in range(len(part)) if part.source.identity(int(part.members[i])).decode() == coloured)
    expected = np.array(NOISE.resize((4, 4))).transpose(2, 0, 1)
    assert np.array_equal(part.image(index).numpy(), expected)
    pack_directory(root, tmp_path / "packed")
    assert load_data(tmp_path / "packed", size=(4, 4)).channels == check_directory(tmp_path / "packed").channels == 3


def test_an_image_that_got_colour_after_the_set_was_listed_is_not_turned_grey(tmp_path: Path) -> None:
    root = mixed(tmp_path, coloured=None)
    files = Files(root=root, names=("train/a/008.png",), channels=1)
    (root / "train/a/008.png").write_bytes(PNG)
    with pytest.raises(UnreadableImageError, match=r"008\.png: this image cannot be read \(it has colour, and no"):
        files.pixels(0)


def test_what_is_passed_over_is_named_and_counted(tmp_path: Path, call: Call) -> None:
    root = grow(tmp_path / "set", {f"train/a/boxes{i}.txt": b"" for i in range(3)})
    grow(root, {"test/stray.png": PNG, "val/c/x.png": PNG, "words.txt": b"", "train/.hidden": b""})
    report = check_directory(root)
    assert report.can_be_trained_on
    assert report.passed_over.count == 6
    assert set(report.passed_over.names) == {
        *(f"train/a/boxes{i}.txt" for i in range(3)),
        "test/stray.png",
        "val/",
        "words.txt",
    }
    out = call("data", "check", root).out
    assert "passed over  6: no image by its name, or in no class; not trained on\n" in out
    assert "and 3 more; --list shows them" in out
    assert "words.txt" in call("data", "check", root, "--list").out
    assert json.loads(call("data", "check", root, "--json").out.splitlines()[-1])["passed_over"]["count"] == 6
    assert load_data(root, size=(4, 4)).passed_over == report.passed_over


# ---- the command ----------------------------------------------------------------------------------------------------


def test_a_directory_without_surprises_exits_with_0(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("data", "check", grow(tmp_path / "set"))
    assert code == 0
    assert out == (
        "set: 2 classes\ntrain      6 images, 3 of each class\ntest       6 images, 3 of each class\n"
        "channels   3\nsizes      30×20, columns × rows\nnothing that training would stop at or convert\n"
    )


def test_notes_exit_with_0_and_errors_with_1(call: Call, tmp_path: Path) -> None:
    root = grow(tmp_path / "set", {f"train/b/{i}.jpg": PNG for i in range(4)})
    code, out, _ = call("data", "check", root)
    assert code == 0
    assert "train      10 images, from 3 (a) to 7 (b) of a class\n" in out
    assert "misnamed   4 images: decoded by what it holds" in out
    assert "and 1 more; --list shows all\n" in out
    assert "train/b/3.jpg: a PNG called .jpg" in call("data", "check", root, "--list").out
    (root / "test" / "a" / "0.png").write_bytes(PNG[:50])
    (root / "train" / "empty").mkdir()
    code, out, err = call("data", "check", root)
    assert code == 1
    assert "truncated  1 image: " in out
    assert f"problem    {root}/train/empty: a class folder without images" in out
    assert err.splitlines()[-1] == (
        f"error: {root}: 2 problems of the directory and 1 image that cannot be read. Mend what is listed, or take it "
        "out of the folders."
    )


def test_json_is_the_last_line(call: Call, tmp_path: Path) -> None:
    root = grow(tmp_path / "set", {"train/b/x\n\udcff.jpg": PNG[:50]})
    code, out, _ = call("data", "check", root, "--json")
    assert code == 1
    assert json.loads(out.splitlines()[-1]) == {
        "name": "set",
        "classes": 2,
        "channels": 3,
        "sizes": {"smallest": [30, 20], "largest": [30, 20]},
        "passed_over": {"count": 0, "names": []},
        "parts": {
            "train": {"images": 7, "fewest": [3, "a"], "most": [4, "b"]},
            "test": {"images": 6, "fewest": [3, "a"], "most": [3, "a"]},
        },
        "problems": [],
        "findings": {
            "truncated": {
                "count": 1,
                "images": [{"name": r"train/b/x\n\xff.jpg", "what": "image file is truncated"}],
            }
        },
        "can_be_trained_on": False,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), r"data 'nowhere': neither a set that is known"),
        (("a-file",), r"a-file: a file, where a directory of class folders was wanted"),
        ((".", "--jobs", "0"), r"--jobs 0: expected a number of processes from 1\."),
        ((".", "--jobs", "two"), r"'two' is not a whole number"),
    ],
)
def test_wrong_requests_exit_with_2(
    arguments: tuple[str, ...], says: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grow(tmp_path, {"a-file": b""}))
    code, out, err = call("data", "check", *arguments)
    assert (code, out) == (2, "")
    assert says.replace("\\", "") in err
    assert len(err.splitlines()) == 1


def test_a_number_of_jobs_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"jobs 0: expected a whole number from 1\."):
        check_directory(grow(tmp_path), jobs=0)
