"""Class folders: trees of directories whose names are the classes of the images in them.

Three forms are known::

    DIR/train/CLASS/*.jpg   with   DIR/test/CLASS/*.jpg
    DIR/train/CLASS/*.jpg   with   DIR/val/CLASS/*.jpg
    DIR/CLASS/*.jpg         every fifth image of each class, in the order of names, is for tests

Only the images right inside of a class folder count. Other files, hidden ones, and directories in class folders are
passed over; links to files and to directories are followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neuromirror.data.files import SUFFIXES
from neuromirror.errors import RequestError

NTH_FOR_TESTS = 5
"""Where a set has no test images of its own, the fifth, the tenth and so on are taken."""

FORMS = "DIR/train/CLASS with DIR/test/CLASS or DIR/val/CLASS, or DIR/CLASS, each with images in it"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """What there is in a tree of class folders.

    Attributes
    ----------
    classes : tuple of str
        In the order of names; labels count them from 0.
    train, test : tuple of (str, int)
        Path of each image within the tree, and its label; in the order of labels and names.
    """

    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]


def tree_of(root: Path) -> Tree:
    """Return what there is in a tree of class folders.

    Raises
    ------
    RequestError
        If it has not one of the forms above, has fewer than two classes, a class without images, or other classes for
        tests than for training; or if a directory cannot be read.
    """
    if os.path.isdir(root / "train"):
        part = _test_part(root)
        train, test = _classes(root, "train"), _classes(root, part)
        _check_same(root / part, train, test)
    else:
        train, test = _divided(root, _classes(root, ""))
    classes = tuple(train)
    return Tree(classes=classes, train=_labelled(classes, train), test=_labelled(classes, test))


def _test_part(root: Path) -> str:
    """Return which folder has the test images; a ``test`` without class folders, as some sets have it, gives way."""
    there = [part for part in ("test", "val") if os.path.isdir(root / part)]
    if not there:
        raise RequestError(
            f"{root}: there are training images in 'train', but neither 'test' nor 'val' beside it. Give the tree one "
            "of the two, or put the class folders right into the directory: every fifth image is for tests then."
        )
    return next((part for part in there if _names(root / part, _is_directory)), there[0])


def _classes(root: Path, part: str) -> dict[str, list[str]]:
    """Return the images of each class folder of a part, by their paths within the tree."""
    folder = root / part
    classes: dict[str, list[str]] = {}
    for name in _names(folder, _is_directory):
        if not _is_text(name):
            raise RequestError(f"{folder}: a class folder's name, {os.fsencode(name)!r}, is not UTF-8. Rename it.")
        images = _names(folder / name, _is_image)
        if not images:
            raise RequestError(
                f"{folder / name}: a class folder without images ({', '.join(SUFFIXES)}). Put some in, or take the "
                f"folder away. Expected: {FORMS}."
            )
        classes[name] = ["/".join(filter(None, (part, name, image))) for image in images]
    if len(classes) < 2:
        found = f"one class, '{next(iter(classes))}'" if classes else "no class folders"
        raise RequestError(f"{folder}: {found}, where two classes at least were wanted. Expected: {FORMS}.")
    return classes


def _divided(root: Path, classes: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    n = NTH_FOR_TESTS
    for name, images in classes.items():
        if len(images) < n:
            raise RequestError(
                f"{root / name}: {len(images)} images, of which every fifth would be for tests. Put five in at least, "
                "or divide the tree into 'train' and 'test' with the class folders in each."
            )
    train = {name: [image for i, image in enumerate(images) if i % n != n - 1] for name, images in classes.items()}
    return train, {name: images[n - 1 :: n] for name, images in classes.items()}


def _check_same(folder: Path, train: dict[str, list[str]], test: dict[str, list[str]]) -> None:
    lacks = [f"lacks {_listed(set(train) - set(test))}"] if set(train) - set(test) else []
    adds = [f"adds {_listed(set(test) - set(train))}"] if set(test) - set(train) else []
    if lacks or adds:
        raise RequestError(
            f"{folder}: other classes than in 'train': it {' and '.join(lacks + adds)}. Give both the same class "
            "folders."
        )


def _listed(names: set[str]) -> str:
    first = ", ".join(f"'{name}'" for name in sorted(names)[:5])
    return first if len(names) <= 5 else f"{first} and {len(names) - 5} more"


def _labelled(classes: tuple[str, ...], images: dict[str, list[str]]) -> tuple[tuple[str, int], ...]:
    return tuple((image, label) for label, name in enumerate(classes) for image in images[name])


def _names(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """Return the names in a directory that are wanted and not hidden, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and wanted(entry))
    except OSError as error:
        raise RequestError(
            f"{folder}: this directory cannot be read ({error.strerror or error}). Give its user the right to, or "
            "name another."
        ) from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path)


def _is_image(entry: os.DirEntry[str]) -> bool:
    # A link that leads nowhere counts: it is found when it is read, and not passed over in silence.
    return (
        entry.name.lower().endswith(SUFFIXES) and (entry.is_symlink() or entry.is_file()) and not _is_directory(entry)
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
