"""The images of one part of a set, resized to what a circuit takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neuromirror.data.broken import BrokenImages, UnreadableImageError
from neuromirror.data.contents import ChangedImageError, Contents
from neuromirror.data.resize import Size, fitted, picture_of

CACHE_BYTES = 2_000_000_000
"""Parts smaller than this are decoded once and kept in memory."""


class Source(Protocol):
    """Where images come from: files, an array, or a rule that makes them."""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        ...

    def picture(self, number: int) -> Image.Image:
        """Return an image as it is there, as PIL has it, of mode L or RGB."""
        ...

    def pixels(self, number: int) -> Tensor:
        """Return the same: uint8, (channels, rows, columns)."""
        ...

    def identity(self, number: int) -> bytes:
        """Return what an image is known by: the name of its file, or its content."""
        ...


@runtime_checkable
class Filed(Protocol):
    """Images that are files, in a directory or in shards; see `neuromirror.data.files.Encoded`."""

    @property
    def contents(self) -> Contents:
        """Checksums of what has been read."""
        ...

    def size(self, number: int) -> int:
        """Return how many bytes an image's file has."""
        ...

    def where(self, number: int) -> str:
        """Return where an image is, as messages show it."""
        ...


class Images:
    """Labelled images by index.

    Parameters
    ----------
    source : Source
        Where they come from.
    members : ndarray of int64, shape (images,)
        Which of the source's images these are.
    labels : Tensor of int64, shape (images,)
        Class of each.
    size : (int, int)
        Rows and columns to which `image` and `batch` resize.
    broken : BrokenImages, optional
        Counts images that cannot be read; without it, or if none may be, the first is an error wherever it is read.

    Notes
    -----
    A part whose images take less than `CACHE_BYTES` is decoded as a whole when it is first used, and kept.
    """

    def __init__(
        self, source: Source, members: np.ndarray, labels: Tensor, *, size: Size, broken: BrokenImages | None = None
    ) -> None:
        assert len(members) == len(labels), "one label an image"
        self.source = source
        self.members = members
        self.labels = labels
        self.size = size
        self.channels = source.channels
        self._whole: Tensor | None = None
        self._resized: np.ndarray = np.empty(0, bool)
        self.broken = BrokenImages() if broken is None else broken
        self._not_kept: dict[int, UnreadableImageError] = {}

    def __len__(self) -> int:
        return len(self.members)

    def image(self, index: int) -> Tensor:
        """Return an image at the size of the set.

        Parameters
        ----------
        index : int
            From 0; there is none from behind.

        Returns
        -------
        Tensor of uint8, shape (channels, rows, columns)
            A copy.

        Raises
        ------
        RunError
            If its file cannot be read.
        """
        self._check(index)
        return self.batch([index])[0]

    def original(self, index: int) -> Tensor:
        """Return an image at its own size, from which crops are taken; otherwise as `image`."""
        self._check(index)
        self._check_kept([index])
        if self._whole is not None and not self._resized[index]:
            return self._whole[index].clone()
        return self._pixels(index)

    def picture(self, index: int) -> Image.Image:
        """Return `original` as PIL has it: where a part of it is shown, the whole need not become a tensor."""
        self._check(index)
        self._check_kept([index])
        if self._whole is not None and not self._resized[index]:
            return picture_of(self._whole[index])
        return self.source.picture(int(self.members[index]))

    def batch(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Return images at the size of the set: uint8, (images, channels, rows, columns)."""
        whole = self.whole()
        if whole is None:
            return torch.stack([fitted(self._pixels(int(index)), self.size) for index in indices])
        self._check_kept(indices)
        return whole[torch.as_tensor(indices)]

    def unreadable(self, indices: Sequence[int] | np.ndarray) -> dict[int, UnreadableImageError]:
        """Return which of some images cannot be read, and why; all are decoded for it, unless they are kept."""
        found = {}
        for index in map(int, indices):
            try:
                if self._whole is None:
                    self._pixels(index)
                self._check_kept([index])
            except UnreadableImageError as error:
                found[index] = error
        return found

    def whole(self) -> Tensor | None:
        """Return all images as the one array that is kept, or None where that would be too large."""
        shape = (len(self), self.channels, *self.size)
        if self._whole is None and np.prod(shape, dtype=np.int64) < CACHE_BYTES:
            whole = torch.empty(shape, dtype=torch.uint8)
            was_resized = np.empty(len(self), bool)
            for index in range(len(self)):
                try:
                    pixels = self._pixels(index)
                except UnreadableImageError as error:
                    self.broken.note(error)
                    self._not_kept[index] = error
                    continue
                was_resized[index] = pixels.shape[1:] != self.size
                whole[index] = fitted(pixels, self.size)
            self._whole, self._resized = whole, was_resized
            self.compare(self.read())
        return self._whole

    # ---- what files hold --------------------------------------------------------------------------------------------

    @property
    def are_files(self) -> bool:
        """Whether they are read from files, which may change; others are known by their pixels."""
        return isinstance(self.source, Filed)

    @property
    def crc32(self) -> np.ndarray:
        """Checksums of the files, (images,), where `known`: uint32."""
        return self._filed.contents.crc32[self.members]

    @property
    def known(self) -> np.ndarray:
        """Which of the files have been read, (images,)."""
        return self._filed.contents.known[self.members]

    @cached_property
    def sizes(self) -> np.ndarray:
        """Bytes of each file when the set was loaded, (images,): int64."""
        return np.array([self._filed.size(number) for number in self.members.tolist()], np.int64)

    def where(self, index: int) -> str:
        """Return where an image's file is, as messages show it."""
        return self._filed.where(int(self.members[index]))

    def read(self) -> dict[int, int]:
        """Return the checksums of files that this process has read since it was last asked, by number in the source."""
        return self._filed.contents.taken() if self.are_files else {}

    def compare(self, read: Mapping[int, int]) -> None:
        """Compare checksums with what these files have been found to hold before, and know them from now on.

        Raises
        ------
        ChangedImageError
            With the first that differs.
        """
        other = self._filed.contents.first_other(read) if read else None
        if other is not None:
            raise ChangedImageError(self._filed.where(other))

    def learn(self, places: np.ndarray, crc32: np.ndarray) -> None:
        """Do the same with the checksums of some images, by their places here."""
        other = self._filed.contents.first_of(self.members[places], crc32)
        if other is not None:
            raise ChangedImageError(self._filed.where(other))

    @property
    def _filed(self) -> Filed:
        assert isinstance(self.source, Filed)
        return self.source

    def _pixels(self, index: int) -> Tensor:
        return self.source.pixels(int(self.members[index]))

    def _check_kept(self, indices: Sequence[int] | np.ndarray) -> None:
        if self._not_kept:
            for index in map(int, indices):
                if index in self._not_kept:
                    raise self._not_kept[index]

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
