"""Class folders: which files count, how each kind of file is decoded, and what is said of trees that are none."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuromirror.data import Data, Images, load_data
from neuromirror.data import files as image_files
from neuromirror.data import images as images_module
from neuromirror.errors import RequestError, RunError

SIZE = (6, 4)


def picture(value: int = 0, mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Give an image all of one colour, or one that comes near it."""
    colour = (value, 255 - value, 60)
    return Image.new("RGB", (size[1], size[0]), colour).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Give the bytes of an image's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grow(root: Path, contents: Mapping[str, bytes | Image.Image]) -> Path:
    """Write files into a tree."""
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else encoded(content))
    return root


def plain(root: Path, train: int = 3, test: int = 2, classes: tuple[str, ...] = ("a", "b")) -> Path:
    """Write a tree in which all is well; every image has a colour of its own."""
    wanted = [
        (f"{part}/{name}/{i}.png", 20 * i + 100 * label + (10 if part == "test" else 0))
        for part, count in (("train", train), ("test", test))
        for label, name in enumerate(classes)
        for i in range(count)
    ]
    return grow(root, {name: picture(value) for name, value in wanted})


def names(images: Images) -> list[str]:
    """Give the names of a part's files."""
    return [images.source.identity(number).decode() for number in images.members.tolist()]


def load(root: Path, **options: object) -> Data:
    """Load a tree."""
    return load_data(root, size=SIZE, **options)  # type: ignore[arg-type]


# ---- trees ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["test", "val"])
def test_train_and_test_folders_are_read_in_the_order_of_names(tmp_path: Path, part: str) -> None:
    contents = {f"train/{c}/{i}.png": picture() for c in "ba" for i in (2, 10, 1)}
    root = grow(tmp_path / "my set", {**contents, f"{part}/a/x.png": picture(9), f"{part}/b/y.png": picture()})
    data = load(root)
    assert data.name == "my set"
    assert data.classes == ("a", "b")
    assert (data.channels, data.validation) == (3, None)
    assert names(data.train) == [f"train/{c}/{i}.png" for c in "ab" for i in (1, 10, 2)]
    assert names(data.test) == [f"{part}/a/x.png", f"{part}/b/y.png"]
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert data.test.image(0)[:, 0, 0].tolist() == [9, 246, 60]


def test_test_comes_before_val_unless_it_has_no_class_folders(tmp_path: Path) -> None:
    root = plain(tmp_path, classes=("a", "b"))
    grow(root, {"val/a/v.png": picture(), "val/b/v.png": picture()})
    assert names(load(root).test)[0] == "test/a/0.png"
    for label in "ab":
        for file in (root / "test" / label).iterdir():
            file.rename(root / "test" / f"{label}{file.name}")
        (root / "test" / label).rmdir()
    assert names(load(root).test) == ["val/a/v.png", "val/b/v.png"]


def test_of_class_folders_alone_every_fifth_image_of_a_class_is_for_tests(tmp_path: Path) -> None:
    contents = {f"a/{i:02}.png": picture(i) for i in range(11)} | {f"b/{i:02}.png": picture(i) for i in range(5)}
    data = load(grow(tmp_path, contents))
    assert names(data.test) == ["a/04.png", "a/09.png", "b/04.png"]
    assert names(data.train) == [f"a/{i:02}.png" for i in (0, 1, 2, 3, 5, 6, 7, 8, 10)] + [
        f"b/0{i}.png" for i in range(4)
    ]
    assert data.train.labels.tolist() == [0] * 9 + [1] * 4
    assert [data.train.image(i)[0, 0, 0].item() for i in (0, 4, 8, 12)] == [0, 5, 10, 3]


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    root = plain(tmp_path)
    before = load(root)
    (root / "train" / "a" / "inner.png").mkdir()
    grow(
        root,
        {
            "README": b"",
            "train/list.txt": b"a b",
            "train/.cache/x.png": picture(),
            "train/a/._0.png": b"not an image",
            "train/a/notes.txt": b"",
            "train/a/Thumbs.db": b"",
            "train/a/png": b"",
        },
    )
    assert load(root).sha256 == before.sha256
    assert names(load(root).train) == names(before.train)


def test_images_in_folders_of_a_class_are_of_that_class(tmp_path: Path) -> None:
    root = plain(tmp_path)
    grow(root, {"train/a/10/x.png": picture(), "train/a/9/deep/y.png": picture(), "train/b/images/x.png": picture()})
    data = load(root)
    assert names(data.train) == [
        *("train/a/0.png", "train/a/1.png", "train/a/10/x.png", "train/a/2.png", "train/a/9/deep/y.png"),
        *("train/b/0.png", "train/b/1.png", "train/b/2.png", "train/b/images/x.png"),
    ]
    assert data.train.labels.tolist() == [0] * 5 + [1] * 4


@pytest.mark.parametrize("folders", [("train_set", "test_set"), ("a", "b")])
def test_class_folders_of_class_folders_are_not_taken_for_classes(tmp_path: Path, folders: tuple[str, str]) -> None:
    """Otherwise a set that is divided under names which are not known would learn to tell its parts apart."""
    contents = {f"{part}/{c}/{i}.png": picture() for part in folders for c in ("cat", "dog") for i in range(5)}
    with pytest.raises(RequestError, match=r"it has no images of its own, and 2 folders with images, which may"):
        load(grow(tmp_path, contents))


def tiny_imagenet(root: Path) -> Path:
    contents = {f"train/{c}/images/{c}_{i}.JPEG": picture(i) for c in ("n01", "n02") for i in range(3)}
    contents |= {f"train/{c}/{c}_boxes.txt": b"x" for c in ("n01", "n02")}
    contents |= {f"val/images/val_{i}.JPEG": picture(i) for i in range(11)}
    lines = [f"val_{i}.JPEG\tn0{2 - i % 2}\t0\t0\t9\t9" for i in range(11)]
    contents |= {"val/val_annotations.txt": "\n".join([*lines, ""]).encode()}
    return grow(root, {**contents, "test/images/test_0.JPEG": picture(), "wnids.txt": b"n01\nn02\n"})


def test_tiny_imagenet_is_taken_as_it_is_unpacked(tmp_path: Path) -> None:
    data = load(tiny_imagenet(tmp_path / "tiny-imagenet-200"))
    assert data.classes == ("n01", "n02")
    assert names(data.train) == [f"train/{c}/images/{c}_{i}.JPEG" for c in ("n01", "n02") for i in range(3)]
    assert names(data.test) == [f"val/images/val_{i}.JPEG" for i in (1, 3, 5, 7, 9, 0, 10, 2, 4, 6, 8)]
    assert data.test.labels.tolist() == [0] * 5 + [1] * 6
    assert set(data.passed_over.names) == {"train/n01/n01_boxes.txt", "train/n02/n02_boxes.txt", "test/", "wnids.txt"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b"val_3.JPEG", b"val_33.JPEG"), r"it is of 11 images, .* 'val_33\.JPEG' is missing"),
        (lambda text: text[text.index(b"\n") + 1 :], r"'val_0\.JPEG' has no line\. Put in exactly those"),
        (lambda text: text.replace(b"val_3.JPEG", b"val_2.JPEG"), r"txt:4: a second line of 'val_2\.JPEG'"),
        (lambda text: text.replace(b"\t", b" "), r"txt:1: no name and class, divided by a tab"),
        (
            lambda text: text.replace(b"n02", b"n03"),
            r"val: other classes than in 'train': it lacks 'n02' and adds 'n03'",
        ),
    ],
)
def test_annotations_of_other_images_are_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    file = tiny_imagenet(tmp_path) / "val" / "val_annotations.txt"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(RequestError, match=message):
        load(tmp_path)


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    kinds = {"a.JPG": "JPEG", "b.Jpeg": "JPEG", "c.PNG": "PNG", "d.bmp": "BMP", "e.WebP": "WEBP"}
    kinds |= {"f.GIF": "GIF", "g.Tif": "TIFF", "h.tiff": "TIFF", "i.JFIF": "JPEG", "j.jpe": "JPEG", "k.ppm": "PPM"}
    root = plain(tmp_path)
    grow(root, {f"train/a/{name}": encoded(picture(), kind) for name, kind in kinds.items()})
    assert names(load(root).train)[3:14] == [f"train/a/{name}" for name in kinds]


def test_names_may_have_spaces_and_any_letters(tmp_path: Path) -> None:
    classes = ("Zürich see", "日本", "ñandú 🦤")
    root = plain(tmp_path / "Bilder ü", classes=classes)
    data = load(root)
    assert data.name == "Bilder ü"
    assert data.classes == tuple(sorted(classes))
    assert len(data.train) == 9
    assert load_data(str(root), size=SIZE).sha256 == data.sha256


def test_links_are_followed(tmp_path: Path) -> None:
    root = plain(tmp_path / "set")
    grow(tmp_path, {"elsewhere/x.png": picture(200), "other/y.png": picture(100)})
    (root / "train" / "a" / "link.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    for part, target in (("train", "other"), ("test", "other")):
        (root / part / "c").symlink_to(tmp_path / target)
    (root / "train" / "a" / "round").symlink_to(root / "train")
    (root / "train" / "d").symlink_to(root / "train" / "d")  # leads to itself
    data = load(root)
    assert data.classes == ("a", "b", "c")
    assert "train/a/link.png" in names(data.train)
    assert data.train.image(names(data.train).index("train/a/link.png"))[0, 0, 0] == 200


def test_the_hash_is_of_names_and_labels_wherever_the_folder_is(tmp_path: Path) -> None:
    first, second = plain(tmp_path / "x" / "set"), plain(tmp_path / "y" / "set")
    assert load(first).sha256 == load(second).sha256
    assert load(first, train_images=4).sha256 != load(first).sha256
    assert load(first, validation_images=2).sha256 != load(first).sha256
    (second / "train" / "a" / "0.png").rename(second / "train" / "b" / "3.png")
    assert load(first).sha256 != load(second).sha256


# ---- trees that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"train/a/x.png": b"", "train/b/x.png": b""}, r"neither 'test' nor 'val' beside it\. Give the tree one"),
        ({"train/a/x.png": b"", "test/a/x.png": b""}, r"train: one class, 'a', where two classes at least were wanted"),
        ({"train/x.png": b"", "test/x.png": b""}, r"train: no class folders, where two classes at least"),
        ({"a/x.png": b"", "b/notes.txt": b""}, r"b: a class folder without images \(\.jpg, .*\)\. Put some in"),
        ({"train/a/x.png": b"", "train/b/.x.png": b"", "test/a/x.png": b""}, r"train.b: a class folder without images"),
        (
            {"train/a/x.png": b"", "train/b/x.png": b"", "test/a/x.png": b"", "test/c/x.png": b""},
            r"test: other classes than in 'train': it lacks 'b' and adds 'c'\. Give both the same",
        ),
        (
            {"train/a/x.png": b"", "train/b/x.png": b"", "val/a/x.png": b"", "val/b/x.png": b"", "val/c/x.png": b""},
            r"val: other classes than in 'train': it adds 'c'\.",
        ),
        (
            {f"train/{i}/x.png": b"" for i in range(9)} | {f"test/{i}/x.png": b"" for i in range(2)},
            r"it lacks '2', '3', '4', '5', '6' and 2 more\.",
        ),
        (
            {f"a/{i}.png": b"" for i in range(5)} | {f"b/{i}.png": b"" for i in range(4)},
            r"b: 4 images, of which every fifth would be for tests\. Put five in at least",
        ),
        ({"notes.txt": b""}, r"no class folders, where two classes at least were wanted\. Expected: DIR/train/CLASS"),
    ],
)
def test_a_tree_of_another_form_is_refused(tmp_path: Path, contents: dict[str, bytes], message: str) -> None:
    root = grow(tmp_path / "set", contents)
    with pytest.raises(RequestError, match=message) as caught:
        load(root)
    assert str(root) in str(caught.value)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = grow(tmp_path, {"set.zip": b"PK"}) / "set.zip"
    with pytest.raises(RequestError, match=r"set\.zip: a file, where a directory of class folders was wanted"):
        load(path)


def test_a_directory_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plain(tmp_path)
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(RequestError, match=r"train.b: this directory cannot be read \(Permission denied\)\. Give its"):
        load(root)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_class_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    root = plain(tmp_path)
    try:
        os.mkdir(os.fsencode(root / "train") + b"/\xff")
    except OSError:
        pytest.skip("the file system has no such names")
    with pytest.raises(RequestError, match=r"train: a class folder's name, b'\\xff', is not UTF-8\. Rename it\."):
        load(root)


# ---- decoding -------------------------------------------------------------------------------------------------------

COLOUR = (200, 55, 60)
DEEP = np.full(SIZE, 51400, np.uint16)  # 200 of 255


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("png_called.jpg", encoded(picture(200)), COLOUR),
        ("bmp.bmp", encoded(picture(200), "BMP"), COLOUR),
        ("webp.webp", encoded(picture(200), "WEBP", lossless=True), COLOUR),
        ("jpeg.jpeg", encoded(picture(200), "JPEG", quality=95), COLOUR),
        ("grey.png", encoded(picture(200, "L")), (99, 99, 99)),
        ("grey.jpg", encoded(picture(200, "L"), "JPEG", quality=95), (99, 99, 99)),
        ("black_and_white.png", encoded(Image.new("1", (4, 6), 1)), (255, 255, 255)),
        ("cmyk.jpg", encoded(picture(200, "CMYK"), "JPEG", quality=95), COLOUR),
        ("alpha.png", encoded(Image.new("RGBA", (4, 6), (*COLOUR, 30))), COLOUR),
        ("grey_alpha.png", encoded(Image.new("LA", (4, 6), (70, 30))), (70, 70, 70)),
        ("palette.png", encoded(picture(200).quantize(4)), COLOUR),
        ("clear_palette.png", encoded(picture(200).quantize(4), transparency=b"\x40"), COLOUR),
        ("gif_called.png", encoded(picture(200).quantize(4), "GIF"), COLOUR),
        ("deep.png", encoded(Image.fromarray(DEEP)), (200, 200, 200)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_file_becomes_what_the_set_has(
    tmp_path: Path, name: str, content: bytes, expected: tuple[int, int, int]
) -> None:
    root = plain(tmp_path)
    data = load(grow(root, {f"train/b/{name}": content}))
    image = data.train.image(names(data.train).index(f"train/b/{name}"))
    assert tuple(image.shape) == (3, *SIZE)
    assert np.abs(image.numpy().astype(int) - np.array(expected)[:, None, None]).max() <= 3


def test_the_orientation_of_a_camera_is_ignored(tmp_path: Path) -> None:
    upright = np.zeros((6, 4, 3), np.uint8)
    upright[:3] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    root = plain(tmp_path)
    data = load(grow(root, {"train/a/turned.png": encoded(Image.fromarray(upright), exif=exif)}))
    image = data.train.image(names(data.train).index("train/a/turned.png"))
    assert np.array_equal(image.permute(1, 2, 0).numpy(), upright)


def test_a_tree_of_grey_images_stays_grey(tmp_path: Path) -> None:
    contents = {f"{c}/{i}.png": picture(10 * i, "L") for c in "ab" for i in range(5)}
    data = load(grow(tmp_path, contents))
    assert data.channels == data.train.channels == 1
    assert tuple(data.train.image(2).shape) == (1, *SIZE)
    assert data.train.image(2).numpy().tolist() == np.array(picture(20, "L"))[None].tolist()
    assert len(data.mean) == len(data.std) == 1


@pytest.mark.parametrize("place", ["a/0.png", "a/3.png", "b/3.png"])
def test_one_image_of_colour_makes_the_set_one_of_colours(tmp_path: Path, place: str) -> None:
    contents = {f"{c}/{i}.png": picture(10 * i, "L") for c in "ab" for i in range(5)} | {place: picture(100)}
    data = load(grow(tmp_path, contents))
    assert data.channels == 3
    # Of 4 and 1 images of a class for training and tests, a subset does not change what the set has.
    assert load(tmp_path, train_images=1).channels == 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_images_without_colour_are_of_one_channel_whatever_their_mode(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(DEEP) if mode == "I;16" else picture(100, "L").convert(mode)
    data = load(grow(tmp_path, {f"{c}/{i}.png": image for c in "ab" for i in range(5)}))
    assert data.channels == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("left", [0.0, 0.1, 0.6])
def test_a_file_that_ends_too_early_is_named(tmp_path: Path, kind: str, left: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(pixels), kind)
    root = grow(plain(tmp_path), {"train/b/cut.jpg": content[: int(left * len(content))]})
    with pytest.raises(RunError, match=r"train.b.cut\.jpg: this image cannot be read \(.+\)\. Replace the file, or"):
        load(root)


def test_what_is_no_image_whatever_its_name_is_named(tmp_path: Path) -> None:
    root = grow(plain(tmp_path), {"test/b/page.png": b"<html>404</html>" * 9})
    data = load(root)
    with pytest.raises(RunError, match=r"page\.png: this image cannot be read \(it is none of JPEG, PNG, BMP, WEBP"):
        data.test.image(0)


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    root = plain(tmp_path)
    (root / "train" / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(RunError, match=r"gone\.jpg: this image cannot be read \(No such file or directory\)"):
        load(root)


# ---- sizes and memory -----------------------------------------------------------------------------------------------


def varied(root: Path) -> Path:
    """Write a tree of images of several sizes, no two pixels of which are alike."""
    rng = np.random.default_rng(1)
    sizes = [(12, 8), (9, 20), (6, 4), (5, 3), (30, 30)]
    pixels = {
        f"{c}/{i}.png": rng.integers(0, 256, (*size, 3), dtype=np.uint8) for c in "ab" for i, size in enumerate(sizes)
    }
    return grow(root, {name: Image.fromarray(each) for name, each in pixels.items()})


def test_images_are_the_same_whether_they_are_kept_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = load(varied(tmp_path))
    assert kept.train.whole() is not None
    monkeypatch.setattr(images_module, "CACHE_BYTES", 8 * 3 * 6 * 4)
    read = load(tmp_path)
    assert read.train.whole() is None
    for index in range(len(kept.train)):
        assert kept.train.image(index).equal(read.train.image(index))
        assert kept.train.original(index).equal(read.train.original(index))
    assert kept.train.batch([7, 0, 3]).equal(read.train.batch([7, 0, 3]))
    assert (kept.mean, kept.std, kept.sha256) == (read.mean, read.std, read.sha256)
    assert [tuple(kept.train.original(index).shape) for index in range(4)] == [
        (3, 12, 8), (3, 9, 20), (3, 6, 4), (3, 5, 3)
    ]  # fmt: skip


def test_kept_images_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(plain(tmp_path))
    first = data.train.image(1)
    monkeypatch.setattr(image_files, "decoded", None)
    assert data.train.image(1).equal(first)
    assert data.train.original(1).equal(first)
    first.zero_()
    assert data.train.image(1).any()
    data.train.original(1).zero_()
    assert data.train.image(1).any()


def test_a_set_too_large_to_keep_has_the_mean_of_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plain(tmp_path, train=5)
    monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    monkeypatch.setattr("neuromirror.data.load.SAMPLED", 2)
    red = np.array([0, 180]) / 255  # the first and the last
    assert load(root).mean[0] == pytest.approx(red.mean())
    assert load(root).std[0] == pytest.approx(red.std())


@pytest.mark.parametrize("index", [-1, 6, 100])
def test_there_is_no_image_beyond_the_last(tmp_path: Path, index: int) -> None:
    data = load(plain(tmp_path))
    for ask in (data.train.image, data.train.original):
        with pytest.raises(IndexError, match=rf"image {index} of 6"):
            ask(index)
