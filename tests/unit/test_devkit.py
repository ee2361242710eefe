"""ImageNet's validation images, unsorted, with the labels of the development kit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from neuromirror.data import Images, load_data
from neuromirror.data.check import check_directory
from neuromirror.data.devkit import FOLDER, sorted_by_class
from neuromirror.errors import RequestError

WNIDS = ("n03", "n01", "n02")
"""By ID from 1: not in the order of names. ID 4 is no class, but has these for children."""


def synsets(wnids: Sequence[str] = WNIDS) -> np.ndarray:
    """Give the array of meta.mat, one synset a row."""
    kinds = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children")]
    rows = [(float(i), wnid, "fish, fishes", "swims", 0.0, []) for i, wnid in enumerate(wnids, 1)]
    rows.append((float(len(rows) + 1), "n00", "animal", "lives", 3.0, [1.0, 2.0, 3.0]))
    return np.array(rows, dtype=kinds)[:, None]


def kit(root: Path, labels: Sequence[int], wnids: Sequence[str] = WNIDS) -> Path:
    """Write a development kit."""
    data = root / FOLDER / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{label}\n" for label in labels))
    savemat(data / "meta.mat", {"synsets": synsets(wnids)})
    return root


def name(number: int) -> str:
    """Give the name of a validation image."""
    return f"ILSVRC2012_val_{number:08d}.JPEG"


def tree(root: Path, labels: Sequence[int] = (2, 1, 3, 2, 3)) -> Path:
    """Write a tree as ImageNet is unpacked; the pixels of validation image n are n."""
    for place, wnid in enumerate(WNIDS):
        (root / "train" / wnid).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (8, 8), (100 + place, 0, 0)).save(root / "train" / wnid / f"{wnid}_{i}.JPEG")
    (root / "val").mkdir()
    for number in range(1, len(labels) + 1):
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(root / "val" / name(number), quality=100)
    return kit(root, labels)


def names(images: Images) -> list[str]:
    """Give the names of a part's files."""
    return [images.source.identity(number).decode() for number in images.members.tolist()]


def test_images_have_the_labels_of_the_kit_in_the_order_of_folders(tmp_path: Path) -> None:
    data = load_data(tree(tmp_path), size=(8, 8))
    assert data.classes == ("n01", "n02", "n03")
    # IDs 1, 2, 3 are n03, n01, n02, whose folders come third, first and second.
    wanted = [(0, 1), (0, 4), (1, 3), (1, 5), (2, 2)]
    assert data.test.labels.tolist() == [label for label, _ in wanted]
    assert names(data.test) == [f"val/{name(number)}" for _, number in wanted]
    for index, (_, number) in enumerate(wanted):
        assert abs(int(data.test.image(index)[0, 0, 0]) - 10 * number) <= 1
    assert check_directory(tmp_path).can_be_trained_on


def test_sorted_into_folders_the_images_are_the_same(tmp_path: Path) -> None:
    before = load_data(tree(tmp_path), size=(8, 8), test_images=4)
    pixels = before.test.batch(range(4))
    for label, number in zip((2, 1, 3, 2, 3), range(1, 6)):
        folder = tmp_path / "val" / WNIDS[label - 1]
        folder.mkdir(exist_ok=True)
        (tmp_path / "val" / name(number)).rename(folder / name(number))
    after = load_data(tmp_path, size=(8, 8), test_images=4)
    assert after.test.labels.equal(before.test.labels)
    assert after.test.batch(range(4)).equal(pixels)


@given(st.permutations(["n1", "n2", "n3", "n4", "n5"]), st.lists(st.integers(1, 5), min_size=1, max_size=12))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_image_goes_to_the_class_of_its_line(tmp_path: Path, wnids: list[str], labels: list[int]) -> None:
    kit(tmp_path, labels, wnids)
    files = [name(number) for number in range(len(labels), 0, -1)]
    found = sorted_by_class(tmp_path, "val", files)
    assert list(found) == sorted({wnids[label - 1] for label in labels})
    for wnid, paths in found.items():
        wanted = [number for number, label in enumerate(labels, 1) if wnids[label - 1] == wnid]
        assert paths == [f"val/{name(number)}" for number in wanted]


def spoil(root: Path, how: str) -> None:
    """Take something away from a tree, or put something wrong into it."""
    data = root / FOLDER / "data"
    text = data / "ILSVRC2012_validation_ground_truth.txt"
    if how == "no kit":
        (root / FOLDER).rename(root / "kit")
    elif how == "no labels":
        text.unlink()
    elif how == "no meta":
        (data / "meta.mat").unlink()
    elif how == "an image is missing":
        (root / "val" / name(3)).unlink()
    elif how == "an image too many":
        (root / "val" / name(6)).write_bytes(b"")
    elif how == "two of a number":
        (root / "val" / "again_1.JPEG").write_bytes(b"")
    elif how == "no number":
        (root / "val" / "picture.JPEG").write_bytes(b"")
    elif how == "a label that is none":
        text.write_text("2\n1\nfish\n2\n3\n")
    elif how == "a synset with children":
        text.write_text("2\n1\n3\n4\n3\n")
    elif how == "a damaged meta":
        (data / "meta.mat").write_bytes((data / "meta.mat").read_bytes()[:300])
    elif how == "another meta":
        savemat(data / "meta.mat", {"classes": np.arange(3)})
    elif how == "a class without training images":
        (root / "train" / "n02").rename(root / "n02")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (
            "no kit",
            r"val: 5 images without class folders, whose labels would be in .*t12; there is no such directory\.",
        ),
        ("no labels", r"ground_truth\.txt: cannot be read \(No such file or directory\)\. Unpack ILSVRC2012_devkit"),
        ("no meta", r"meta\.mat: cannot be read \(No such file or directory\)\. Unpack"),
        ("an image is missing", r"val: 4 images, but .*ground_truth\.txt has 5 labels.*; image 3 is missing\."),
        ("an image too many", r"val: 6 images, but .* has 5 labels, of images 1 to 5; image 6 has no label\."),
        ("two of a number", r"val: '.*' is a second image 1; the number tells its label"),
        ("no number", r"val: 'picture\.JPEG' has no number before its suffix"),
        ("a label that is none", r"ground_truth\.txt:3: 'fish' is no label, a whole number\. Unpack"),
        ("a synset with children", r"ground_truth\.txt:4: label 4 is no class of data/meta\.mat"),
        ("a damaged meta", r"meta\.mat: no array 'synsets' with the fields ILSVRC2012_ID, WNID, num_children can be"),
        ("another meta", r"meta\.mat: no array 'synsets'"),
        ("a class without training images", r"val: other classes than in 'train': it adds 'n02'\."),
    ],
)
def test_what_is_missing_or_wrong_is_named(how: str, says: str, tmp_path: Path) -> None:
    root = tree(tmp_path / "set")
    spoil(root, how)
    with pytest.raises(RequestError, match=says):
        load_data(root, size=(8, 8))
    (problem,) = check_directory(root).problems
    assert re.search(says, problem)


def test_unlabelled_test_images_give_way_to_validation_images(tmp_path: Path) -> None:
    root = tree(tmp_path)
    (root / "test").mkdir()
    (root / "test" / "ILSVRC2012_test_00000001.JPEG").write_bytes(b"")
    assert len(load_data(root, size=(8, 8)).test) == 5
