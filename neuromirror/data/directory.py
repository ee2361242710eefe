"""Directories of labelled images, whatever their form, as sources and labels."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neuromirror.data.broken import shown
from neuromirror.data.files import Encoded, Files
from neuromirror.data.folders import FORMS, is_text, tree_of
from neuromirror.data.listing import PassedOver
from neuromirror.data.shard_index import FILE, read_index
from neuromirror.data.shards import Shards, damaged_shards
from neuromirror.errors import RequestError, suggestion

KNOWN = ("digits", "synthetic")
"""Sets that are known by name, and are no directories."""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """What there is in a directory of images.

    Attributes
    ----------
    name : str
    classes : tuple of str
        Labels count them from 0.
    train, test : Encoded
        All images of each part, in the order of labels and names.
    train_labels, test_labels : ndarray of int64, shape (images,)
    problems : tuple of str
        What keeps the images from being trained on, each with its place and remedy.
    passed_over : PassedOver
        What of the directory is not taken.
    """

    name: str
    classes: tuple[str, ...]
    train: Encoded
    test: Encoded
    train_labels: np.ndarray
    test_labels: np.ndarray
    problems: tuple[str, ...]
    passed_over: PassedOver = field(default_factory=PassedOver)


def read_directory(root: Path) -> Directory:
    """List the images of a directory; none is opened.

    Raises
    ------
    RequestError
        If there is no such directory, or it cannot be read.
    """
    if not os.path.isdir(root):
        said = shown(str(root))
        if os.path.exists(root):
            raise RequestError(f"{said}: a file, where a directory of class folders was wanted. Expected: {FORMS}.")
        raise RequestError(
            f"data '{said}': neither a set that is known ('digits', 'synthetic', 'synthetic:CLASSES') nor a directory. "
            f"{suggestion(str(root), KNOWN)} A directory has {FORMS}."
        )
    name = root.resolve().name
    if not is_text(str(root)) or not is_text(name):
        raise RequestError(f"{shown(str(root))}: this directory's name is not UTF-8. Rename it.")
    return _packed(root) if os.path.lexists(root / FILE) else _class_folders(root, name)


def _packed(root: Path) -> Directory:
    index = read_index(root)
    images, label = len(index.rows["label"]), index.rows["label"]
    return Directory(
        name=index.name,
        classes=index.classes,
        train=Shards(root=root, index=index, rows=range(index.train)),
        test=Shards(root=root, index=index, rows=range(index.train, images)),
        train_labels=label[: index.train],
        test_labels=label[index.train :],
        problems=tuple(damaged_shards(root, index)),
    )


def _class_folders(root: Path, name: str) -> Directory:
    tree = tree_of(root)
    train, test = (Files(root=root, names=tuple(name for name, _ in part)) for part in (tree.train, tree.test))
    return Directory(
        name=name,
        classes=tree.classes,
        train=train,
        test=test,
        train_labels=np.array([label for _, label in tree.train], dtype=np.int64),
        test_labels=np.array([label for _, label in tree.test], dtype=np.int64),
        problems=tree.problems,
        passed_over=tree.passed_over,
    )
