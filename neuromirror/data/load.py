"""Sets of labelled images by name: the digits of scikit-learn, noise, and class folders."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from neuromirror.data import synthetic
from neuromirror.data.broken import BrokenImages
from neuromirror.data.digits import digits
from neuromirror.data.directory import read_directory
from neuromirror.data.files import channels_of
from neuromirror.data.folders import NTH_FOR_TESTS
from neuromirror.data.images import Images, Source
from neuromirror.data.listing import PassedOver
from neuromirror.data.resize import Size, checked_size
from neuromirror.data.subsets import divided, most_for_validation
from neuromirror.data.whole import checked_whole
from neuromirror.errors import RequestError, RunError

SAMPLED = 2048
"""Images from which mean and standard deviation are taken where a set is too large to be kept in memory."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """A set of labelled images.

    Attributes
    ----------
    name : str
        "digits", "synthetic", or the name of the folder.
    classes : tuple of str
        Labels count them from 0.
    channels : int
        1 or 3.
    train, test : Images
    validation : Images or None
        Taken from the training images, and not among ``train``; None if none were asked for.
    mean, std : tuple of float
        Of each channel over the training images, black being 0 and white 1. Of a set that is too large to be kept in
        memory they are those of `SAMPLED` images, evenly spaced; a channel that is constant has a ``std`` of 1.
    sha256 : str
        Of the images' labels, names and sizes of files, or of their labels and content where they have no files; it
        does not depend on where a folder is. What files hold is known as they are read; see
        `neuromirror.data.contents`.
    broken : BrokenImages
        Training images that could not be read, so far.
    passed_over : PassedOver
        What of a directory is not taken.
    """

    name: str
    classes: tuple[str, ...]
    channels: int
    train: Images
    validation: Images | None
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str
    broken: BrokenImages
    passed_over: PassedOver

    @property
    def names_sha256(self) -> str:
        """The hash that records of earlier versions have: of labels and names alone."""
        none = Images(self.train.source, np.empty(0, np.int64), torch.empty(0, dtype=torch.int64), size=self.train.size)
        parts = {"train": self.train, "validation": self.validation or none, "test": self.test}
        return _digest(self.classes, parts, sizes=False)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many images a set has, as `Data` would have them, none of them decoded.

    Attributes
    ----------
    name : str
    classes, channels : int
    train, validation, test : int
    """

    name: str
    classes: int
    channels: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many images are wanted of each part, None for as many as there are, and their size."""

    size: Size
    train: int | None
    validation: int
    test: int | None
    broken: BrokenImages


@dataclass(frozen=True, kw_only=True)
class Part:
    """All there is for training, or for tests: a source and the labels of its images."""

    source: Source
    numbers: np.ndarray
    labels: np.ndarray

    def images(self, chosen: np.ndarray, size: Size, broken: BrokenImages | None = None) -> Images:
        """Return some of them."""
        labels = torch.from_numpy(self.labels[chosen])
        return Images(self.source, self.numbers[chosen], labels, size=size, broken=broken)


def load_data(
    name: str | Path,
    *,
    size: Size,
    train_images: int | None = None,
    validation_images: int = 0,
    test_images: int | None = None,
    max_broken_images: int = 0,
) -> Data:
    """Return a set of images.

    Parameters
    ----------
    name : str or Path
        ``"digits"``: those of scikit-learn, every fifth of them for tests, or every fourth, third or second where
        that many test images are wanted. ``"synthetic"``: noise in ten classes, or
        ``"synthetic:1000"`` in a thousand, as many images as are asked for. Or a directory: class folders, as
        `neuromirror.data.folders` has them, or what `neuromirror.data.pack` made of such; one that is called as a known
        set is given as ``"./digits"``.
    size : (int, int)
        Rows and columns to which all are resized: the shorter side to it, and the rest cut off on both sides.
    train_images, test_images : int, optional
        How many are used; by default all there are, and 1024 and 256 of ``"synthetic"``.
    validation_images : int
        How many of the training images are kept from training.
    max_broken_images : int
        How many images that cannot be read are left out of training. Of those for validation and tests none is left
        out: the error rate would not be what it says.

    Returns
    -------
    Data
        Subsets are fixed and balanced over classes as far as possible, whatever the seed of a run.

    Raises
    ------
    RequestError
        If there is no such set, if a directory is none of class folders, or if it has fewer images than are wanted.
    RunError
        If an image cannot be read, or more than there may be.
    """
    wanted = _wanted(size, train_images, validation_images, test_images, max_broken_images)
    return _data(_found(name, wanted))


def count_data(
    name: str | Path,
    *,
    size: Size,
    train_images: int | None = None,
    validation_images: int = 0,
    test_images: int | None = None,
    max_broken_images: int = 0,
) -> Counts:
    """Return how many images `load_data` would give, without decoding any; its parameters and errors."""
    wanted = _wanted(size, train_images, validation_images, test_images, max_broken_images)
    found = _found(name, wanted)
    counts = {part: len(images) for part, images in found.parts.items()}
    return Counts(name=found.name, classes=len(found.classes), channels=found.parts["train"].channels, **counts)


def _wanted(size: Size, train: int | None, validation: int, test: int | None, max_broken: int) -> Wanted:
    return Wanted(
        size=checked_size(size),
        train=None if train is None else checked_whole("train_images", train, 1),
        validation=checked_whole("validation_images", validation, 0),
        test=None if test is None else checked_whole("test_images", test, 1),
        broken=BrokenImages(checked_whole("max_broken_images", max_broken, 0)),
    )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A set before any of its images is decoded: its name, its classes, its images by part, and what is left aside."""

    name: str
    classes: tuple[str, ...]
    parts: dict[str, Images]
    passed_over: PassedOver = field(default_factory=PassedOver)


def _found(name: str | Path, wanted: Wanted) -> Listed:
    word = os.fspath(name)
    if isinstance(name, str) and (made := re.fullmatch(r"synthetic(?::(.*))?", word, flags=re.DOTALL)):
        return _synthetic(word, made[1], wanted)
    if isinstance(name, str) and word == "digits":
        source, labels = digits()
        nth = _nth_for_tests(len(labels), wanted.test)
        is_test = np.arange(len(labels)) % nth == nth - 1
        train, test = (
            Part(source=source, numbers=np.flatnonzero(part), labels=labels[part]) for part in (~is_test, is_test)
        )
        parts = _parts("digits", train, test, wanted)
        return Listed(name="digits", classes=tuple(map(str, range(10))), parts=parts)
    return _folder(Path(name), wanted)


def _nth_for_tests(images: int, wanted: int | None) -> int:
    """Return which of the images are for tests: every fifth, or where more are wanted every fourth, third or second."""
    return next((nth for nth in range(NTH_FOR_TESTS, 2, -1) if images // nth >= (wanted or 0)), 2)


def _folder(root: Path, wanted: Wanted) -> Listed:
    found = read_directory(root)
    if found.problems:
        raise RequestError(found.problems[0])
    channels = channels_of((found.train, found.test))
    train, test = (
        Part(source=source.with_channels(channels), numbers=np.arange(len(source)), labels=labels)
        for source, labels in ((found.train, found.train_labels), (found.test, found.test_labels))
    )
    parts = _parts(str(root), train, test, wanted)
    return Listed(name=found.name, classes=found.classes, parts=parts, passed_over=found.passed_over)


def _synthetic(word: str, classes: str | None, wanted: Wanted) -> Listed:
    if classes is not None and not (re.fullmatch("[0-9]{1,6}", classes) and int(classes) >= 2):
        raise RequestError(f"data '{word}': expected synthetic:CLASSES, with a whole number from 2, as synthetic:1000.")
    number = synthetic.CLASSES if classes is None else int(classes)
    counts = {
        "train": wanted.train or synthetic.TRAIN,
        "validation": wanted.validation,
        "test": wanted.test or synthetic.TEST,
    }
    parts = {}
    for part, count in counts.items():
        source = synthetic.Noise(part=part, size=wanted.size)
        labels = torch.from_numpy(synthetic.labels_of(count, number))
        parts[part] = Images(source, np.arange(count), labels, size=wanted.size)
    return Listed(name="synthetic", classes=tuple(map(str, range(number))), parts=parts)


def _parts(name: str, train: Part, test: Part, wanted: Wanted) -> dict[str, Images]:
    """Return the images that are wanted of those there are."""
    there, most = len(train.labels), most_for_validation(train.labels)
    if wanted.validation > most:
        raise RequestError(
            f"validation_images {wanted.validation}: {name} has {there} training images, of which {most} at most can "
            "be for validation, one of each class being left. Ask for fewer."
        )
    left = there - wanted.validation
    if wanted.train is not None and wanted.train > left:
        less = f", of which {wanted.validation} are for validation: {left} are left" if wanted.validation else ""
        raise RequestError(f"train_images {wanted.train}: {name} has {there} training images{less}. Ask for fewer.")
    if wanted.test is not None and wanted.test > len(test.labels):
        raise RequestError(f"test_images {wanted.test}: {name} has {len(test.labels)} test images. Ask for fewer.")
    for_training, for_validation = divided(
        train.labels, left if wanted.train is None else wanted.train, wanted.validation
    )
    for_tests, _ = divided(test.labels, len(test.labels) if wanted.test is None else wanted.test, 0)
    return {
        "train": train.images(for_training, wanted.size, wanted.broken),
        "validation": train.images(for_validation, wanted.size),
        "test": test.images(for_tests, wanted.size),
    }


def _data(found: Listed) -> Data:
    parts = found.parts
    mean, std = _statistics(parts["train"])
    parts["train"].compare(parts["train"].read())
    broken = parts["train"].broken
    broken.loaded = dict(broken.found)
    return Data(
        name=found.name,
        classes=found.classes,
        channels=parts["train"].channels,
        train=parts["train"],
        validation=parts["validation"] if len(parts["validation"]) else None,
        test=parts["test"],
        mean=mean,
        std=std,
        sha256=_digest(found.classes, parts),
        broken=broken,
        passed_over=found.passed_over,
    )


def _statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel."""
    indices = np.arange(len(images))
    if images.whole() is None:
        indices = np.unique(np.linspace(0, len(images) - 1, min(SAMPLED, len(images)), dtype=int))
    if broken := images.unreadable(indices) if images.broken.limit else {}:
        for error in broken.values():
            images.broken.note(error)
        indices = indices[~np.isin(indices, list(broken))]
        if not len(indices):
            raise RunError(f"none of the training images can be read. The first: {next(iter(broken.values()))}")
    total = np.zeros(images.channels, np.int64)
    of_squares = np.zeros(images.channels, np.int64)
    for start in range(0, len(indices), 256):
        pixels = images.batch(indices[start : start + 256]).to(torch.int32)
        total += pixels.sum(dim=(0, 2, 3)).numpy()
        of_squares += pixels.square().sum(dim=(0, 2, 3)).numpy()
    count = len(indices) * math.prod(images.size)
    # In whole numbers of any length, so that a constant channel has a variance of exactly 0.
    variances = [(count * int(q) - int(s) ** 2) / (count * 255) ** 2 for s, q in zip(total, of_squares)]
    mean = tuple(int(s) / (count * 255) for s in total)
    return mean, tuple(math.sqrt(variance) or 1.0 for variance in variances)


def _digest(classes: tuple[str, ...], parts: dict[str, Images], *, sizes: bool = True) -> str:
    """Return the hash of what a set consists of; of files with their sizes, or without."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for part, images in parts.items():
        digest.update(f"\n{part} {len(images)}\n".encode())
        for number, label in zip(images.members.tolist(), images.labels.tolist()):
            identity = images.source.identity(number)
            digest.update(b"%d %d " % (label, len(identity)) + identity)
        if sizes and images.are_files:
            digest.update(b"\nsizes " + images.sizes.astype("<i8").tobytes())
    return digest.hexdigest()
