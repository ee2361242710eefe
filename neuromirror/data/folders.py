"""Class folders: trees of directories whose names are the classes of the images in them.

Five forms are known::

    DIR/train/CLASS/*.jpg   with   DIR/test/CLASS/*.jpg
    DIR/train/CLASS/*.jpg   with   DIR/val/CLASS/*.jpg
    DIR/train/CLASS/*.jpg   with   DIR/val/*.jpg, sorted by a development kit (`neuromirror.data.devkit`)
    DIR/train/CLASS/*.jpg   with   DIR/val/images/*.jpg, sorted by `neuromirror.data.annotations`
    DIR/CLASS/*.jpg         every fifth image of each class, in the order of names, is for tests

Images may lie in folders within a class folder too. A class folder that has no images of its own, but several folders
with images, is refused: these may be the classes. Hidden files are left out, and what else is not taken is counted and
named (`PassedOver`). Links to files and to directories are followed, but for those that lead in a circle.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from neuromirror.data import annotations
from neuromirror.data.annotations import annotated
from neuromirror.data.broken import shown
from neuromirror.data.devkit import FOLDER, sorted_by_class
from neuromirror.data.files import SUFFIXES
from neuromirror.data.listing import Listing, PassedOver, listing
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
    passed_over : PassedOver
        What is not taken, for it is no image by its name, or lies in no class.
    """

    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    problems: tuple[str, ...] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)


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
    reader = _Reader(root, listing(root))
    if os.path.isdir(root / "train"):
        train, test = reader.classes("train"), Classes()
        part = reader.test_part()
        if part is not None:
            before = len(reader.problems)
            test = reader.test_classes(part)
            if test or len(reader.problems) == before:  # where nothing could be read, what else it lacks is no news
                _check_same(root / part, train, test, reader.problems)
        reader.pass_over("", reader.top, taken={"train", part or "", *reader.aids})
    else:
        train, test = _divided(root, reader.classes(""), reader.problems)
    classes = tuple(sorted({*train, *test}))
    return Tree(
        classes=classes,
        train=_labelled(classes, train),
        test=_labelled(classes, test),
        problems=tuple(reader.problems),
        passed_over=reader.passed_over,
    )


class _Reader:
    """Reads a tree, and keeps its problems and what it has passed over.

    Attributes
    ----------
    root : Path
    top : Listing
        Of the directory itself.
    problems : list of str
    passed_over : PassedOver
    aids : set of str
        Folders right in the directory that have no images, but labels that were needed.
    """

    def __init__(self, root: Path, top: Listing) -> None:
        self.root, self.top = root, top
        self.problems: list[str] = []
        self.passed_over = PassedOver()
        self.aids = set[str]()

    def pass_over(self, folder: str, there: Listing, *, taken: set[str], images: bool = True) -> None:
        """Note what is not taken of a folder."""
        within = f"{folder}/" if folder else ""
        self.passed_over.add(*(within + name for name in (*there.others, *(there.images if images else ()))))
        self.passed_over.add(*(f"{within}{name}/" for name in there.directories if name not in taken))

    def listed(self, folder: str) -> Listing | None:
        """Return what is in a folder, or None and a problem where it cannot be read."""
        try:
            return listing(self.root / folder) if folder else self.top
        except RequestError as error:
            self.problems.append(str(error))
            return None

    def _looked_at(self, folder: str) -> Listing:
        """Return what is in a folder; nothing where it cannot be read, of which others speak."""
        try:
            return listing(self.root / folder)
        except RequestError:
            return Listing()

    def test_part(self) -> str | None:
        """Return which folder has the test images; a ``test`` that has no labels, as some sets have it, gives way."""
        there = [part for part in ("test", "val") if os.path.isdir(self.root / part)]
        if not there:
            self.problems.append(
                f"{_said(self.root)}: there are training images in 'train', but neither 'test' nor 'val' beside it. "
                "Give the tree one of the two, or put the class folders right into the directory: every fifth image "
                "is for tests then."
            )
            return None
        if self._is_annotated("val") and ("test" not in there or len(self._looked_at("test").directories) < 2):
            return "val"
        in_classes = [part for part in there if self._looked_at(part).directories]
        is_unsorted = not in_classes and "val" in there and self._looked_at("val").images
        return "val" if is_unsorted else (in_classes or there)[0]

    def _is_annotated(self, part: str) -> bool:
        return part == "val" and os.path.isfile(self.root / part / annotations.FILE)

    def test_classes(self, part: str) -> Classes:
        """Return the images of each class of a part, sorted by what comes with them where it has no class folders."""
        there = self._looked_at(part)
        try:
            if self._is_annotated(part) and set(there.directories) <= {annotations.FOLDER}:
                return self._annotated(part, there)
            if part == "val" and there.images and not there.directories:
                found = sorted_by_class(self.root, part, list(there.images))
                self.aids.add(FOLDER)
                self.pass_over(part, there, taken=set(), images=False)
                return found
        except RequestError as error:
            self.problems.append(str(error))
            return Classes()
        return self.classes(part)

    def _annotated(self, part: str, there: Listing) -> Classes:
        folder = f"{part}/{annotations.FOLDER}"
        images = self.listed(folder) or Listing()
        found = annotated(self.root, part, images.images)
        labels = tuple(name for name in there.others if name != annotations.FILE)
        self.pass_over(part, Listing(images=there.images, others=labels), taken=set())
        self.pass_over(folder, images, taken=set(), images=False)
        return found

    def classes(self, part: str) -> Classes:
        """Return the images of each class folder of a part."""
        folder, there = self.root / part, self.listed(part)
        if there is None:
            return Classes()
        self.pass_over(part, there, taken=set(there.directories))
        classes = Classes()
        for name in there.directories:
            if not is_text(name):
                message = f"a class folder's name, {os.fsencode(name)!r}, is not UTF-8. Rename it."
                self.problems.append(f"{_said(folder)}: {message}")
            within = f"{part}/{name}" if part else name
            images = self._images(within, (os.path.realpath(folder / name),))
            if images == []:
                self.problems.append(
                    f"{_said(folder / name)}: a class folder without images ({', '.join(SUFFIXES)}). Put some in, or "
                    f"take the folder away. Expected: {FORMS}."
                )
            classes[name] = images or []
        if len(classes) < 2:
            found = f"one class, '{shown(next(iter(classes)))}'" if classes else "no class folders"
            message = f"{found}, where two classes at least were wanted. Expected: {FORMS}."
            self.problems.append(f"{_said(folder)}: {message}")
        return classes

    def _images(self, folder: str, way: tuple[str, ...]) -> list[str] | None:
        """Return the images of a class folder, or of a folder in it; None where it cannot be read.

        ``way`` has the folders on the way there, as they are without links.
        """
        there = self.listed(folder)
        if there is None:
            return None
        inner = list[list[str]]()
        circles = set[str]()
        for name in there.directories:
            real = os.path.realpath(self.root / folder / name)
            if any(one == real or one.startswith(real.rstrip("/") + "/") for one in way):
                circles.add(name)  # a link that leads back
            else:
                inner.append(self._images(f"{folder}/{name}", (*way, real)) or [])
        self.pass_over(folder, there, taken=set(there.directories) - circles, images=False)
        filled = [images for images in inner if images]
        if not there.images and len(filled) > 1:
            self.problems.append(
                f"{_said(self.root / folder)}: it has no images of its own, and {len(filled)} folders with images, "
                "which may be classes themselves. Name the directory whose folders are the classes, or put the images "
                f"into one folder. Expected: {FORMS}."
            )
        own = [f"{folder}/{name}" for name in there.images]
        return sorted([*own, *(image for images in filled for image in images)]) if filled else own


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


def _said(path: Path) -> str:
    return shown(str(path))


def is_text(name: str) -> bool:
    """Tell whether a name can be written in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
