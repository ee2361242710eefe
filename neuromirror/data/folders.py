"""Class folders: trees of directories whose names are the classes of the images in them.

Four forms are known::

    DIR/train/CLASS/*.jpg   with   DIR/test/CLASS/*.jpg
    DIR/train/CLASS/*.jpg   with   DIR/val/CLASS/*.jpg
    DIR/train/CLASS/*.jpg   with   DIR/val/*.jpg, sorted by a development kit (`neuromirror.data.devkit`)
    DIR/CLASS/*.jpg         every fifth image of each class, in the order of names, is for tests

Only the images right inside of a class folder count. Other files, hidden ones, and directories in class folders are
passed over; links to files and to directories are followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from neuromirror.data.broken import shown
from neuromirror.data.devkit import sorted_by_class
from neuromirror.data.files import SUFFIXES
from neuromirror.errors import RequestError

NTH_FOR_TESTS = 5
"""Where a set has no test images of its own, the fifth, the tenth and so on are taken."""

FORMS = "DIR/train/CLASS with DIR/test/CLASS or DIR/val/CLASS, or DIR/CLASS, each with images in it"
"""Of class folders, for messages; unsorted validation images are spoken of where there are some."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """What there is in a tree of class folders.

    Attributes
    ----------
    classes : tuple of str
        In the order of names; labels count them from 0.
    train, test : tuple of (str, int)
        Path of each image within the tree, and its label; in the order of labels and names.
    problems : tuple of str
        What keeps the tree from being trained on, each with its place and remedy; the rest is there all the same.
    """

    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    problems: tuple[str, ...] = ()


Classes = dict[str, list[str]]
"""Paths of images within the tree, by class."""


def tree_of(root: Path) -> Tree:
    """Return what there is in a tree of class folders.

    It has problems if it has not one of the forms above, has fewer than two classes, a class without images, or other
    classes for tests than for training, or if a directory in it cannot be read.

    Raises
    ------
    RequestError
        If the directory itself cannot be read.
    """
    _names(root, _is_directory)
    problems: list[str] = []
    if os.path.isdir(root / "train"):
        train, test = _classes(root, "train", problems), Classes()
        part = _test_part(root, problems)
        if part is not None:
            before = len(problems)
            test = _test_classes(root, part, problems)
            if test or len(problems) == before:  # where nothing could be read, what else it lacks is no news
                _check_same(root / part, train, test, problems)
    else:
        train, test = _divided(root, _classes(root, "", problems), problems)
    classes = tuple(sorted({*train, *test}))
    return Tree(
        classes=classes, train=_labelled(classes, train), test=_labelled(classes, test), problems=tuple(problems)
    )


def _test_part(root: Path, problems: list[str]) -> str | None:
    """Return which folder has the test images; a ``test`` without class folders, as some sets have it, gives way."""
    there = [part for part in ("test", "val") if os.path.isdir(root / part)]
    if not there:
        problems.append(
            f"{_said(root)}: there are training images in 'train', but neither 'test' nor 'val' beside it. Give the "
            "tree one of the two, or put the class folders right into the directory: every fifth image is for tests "
            "then."
        )
        return None
    in_classes = [part for part in there if _names_or_none(root / part, _is_directory, [])]
    is_unsorted = not in_classes and "val" in there and _names_or_none(root / "val", _is_image, [])
    return "val" if is_unsorted else (in_classes or there)[0]


def _test_classes(root: Path, part: str, problems: list[str]) -> Classes:
    """Return the images of each class of a part, sorted by the development kit where it has no class folders."""
    unsorted = _names_or_none(root / part, _is_image, [])
    if part != "val" or not unsorted or _names_or_none(root / part, _is_directory, []):
        return _classes(root, part, problems)
    try:
        return sorted_by_class(root, part, unsorted)
    except RequestError as error:
        problems.append(str(error))
        return Classes()


def _classes(root: Path, part: str, problems: list[str]) -> Classes:
    """Return the images of each class folder of a part."""
    folder = root / part
    classes, named = Classes(), _names_or_none(folder, _is_directory, problems)
    for name in named or ():
        if not is_text(name):
            message = f"a class folder's name, {os.fsencode(name)!r}, is not UTF-8. Rename it."
            problems.append(f"{_said(folder)}: {message}")
        images = _names_or_none(folder / name, _is_image, problems)
        if images == []:
            problems.append(
                f"{_said(folder / name)}: a class folder without images ({', '.join(SUFFIXES)}). Put some in, or take "
                f"the folder away. Expected: {FORMS}."
            )
        classes[name] = ["/".join(filter(None, (part, name, image))) for image in images or ()]
    if named is not None and len(classes) < 2:
        found = f"one class, '{shown(next(iter(classes)))}'" if classes else "no class folders"
        problems.append(f"{_said(folder)}: {found}, where two classes at least were wanted. Expected: {FORMS}.")
    return classes


def _divided(root: Path, classes: Classes, problems: list[str]) -> tuple[Classes, Classes]:
    n = NTH_FOR_TESTS
    for name, images in classes.items():
        if 0 < len(images) < n:
            problems.append(
                f"{_said(root / name)}: {len(images)} images, of which every fifth would be for tests. Put five in at "
                "least, or divide the tree into 'train' and 'test' with the class folders in each."
            )
    train = {name: [image for i, image in enumerate(images) if i % n != n - 1] for name, images in classes.items()}
    return train, {name: images[n - 1 :: n] for name, images in classes.items()}


def _check_same(folder: Path, train: Classes, test: Classes, problems: list[str]) -> None:
    lacks = [f"lacks {_listed(set(train) - set(test))}"] if set(train) - set(test) else []
    adds = [f"adds {_listed(set(test) - set(train))}"] if set(test) - set(train) else []
    if lacks or adds:
        problems.append(
            f"{_said(folder)}: other classes than in 'train': it {' and '.join(lacks + adds)}. Give both the same "
            "class folders."
        )


def _listed(names: set[str]) -> str:
    first = ", ".join(f"'{shown(name)}'" for name in sorted(names)[:5])
    return first if len(names) <= 5 else f"{first} and {len(names) - 5} more"


def _labelled(classes: tuple[str, ...], images: dict[str, list[str]]) -> tuple[tuple[str, int], ...]:
    return tuple((image, label) for label, name in enumerate(classes) for image in images.get(name, ()))


def _names(folder: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    """Return the names in a directory that are wanted and not hidden, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and wanted(entry))
    except OSError as error:
        raise RequestError(
            f"{_said(folder)}: this directory cannot be read ({error.strerror or error}). Give its user the right "
            "to, or name another."
        ) from error


def _names_or_none(folder: Path, wanted: Callable[[os.DirEntry[str]], bool], problems: list[str]) -> list[str] | None:
    """Return the same, or None and a problem where the directory cannot be read."""
    try:
        return _names(folder, wanted)
    except RequestError as error:
        problems.append(str(error))
        return None


def _said(path: Path) -> str:
    return shown(str(path))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    # An entry knows by itself whether it is a directory, but for links; of one that leads in a circle it would raise.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _is_image(entry: os.DirEntry[str]) -> bool:
    # A link that leads nowhere counts: it is found when it is read, and not passed over in silence.
    if not entry.name.lower().endswith(tuple(SUFFIXES)):
        return False
    return (entry.is_symlink() or entry.is_file()) and not _is_directory(entry)


def is_text(name: str) -> bool:
    """Tell whether a name can be written in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
