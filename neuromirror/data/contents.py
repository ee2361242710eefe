"""What image files hold: a checksum of each, taken of the bytes as they are read, and compared when it is read again.

It is the CRC-32 that tar shards have in their index, of 32 bits: one change in four thousand million goes unnoticed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from neuromirror.errors import RunError


class ChangedImageError(RunError):
    """An image file that no longer holds what it held.

    Parameters
    ----------
    where : str
        The file, as it is shown.
    """

    def __init__(self, where: str) -> None:
        super().__init__(where)  # all are arguments, so that it can be pickled
        self.where = where

    def __str__(self) -> str:
        return (
            f"{self.where}: this image is not what it was when this run first read it: its checksum is another. "
            "Restore the file and go on from the last checkpoint, or train anew."
        )


class Contents:
    """Checksums of the files of one source.

    Any process notes what it reads; that which trains takes the notes of all together and compares them.

    Parameters
    ----------
    files : int
        How many there are.
    crc32 : ndarray of uint32, shape (files,), optional
        Those that are known from the start, as of shards, which are held against them wherever they are read.

    Attributes
    ----------
    crc32 : ndarray of uint32, shape (files,)
    known : ndarray of bool, shape (files,)
        Which of them are known.
    """

    def __init__(self, files: int, crc32: np.ndarray | None = None) -> None:
        self.crc32 = np.zeros(files, np.uint32) if crc32 is None else crc32.astype(np.uint32)
        self.known = np.full(files, crc32 is not None)
        self._read: dict[int, int] = {}
        self._are_given = crc32 is not None

    def note(self, number: int, content: bytes) -> None:
        """Note what a file has been found to hold, unless that was given."""
        if not self._are_given:
            self._read[number] = zlib.crc32(content)

    def taken(self) -> dict[int, int]:
        """Return the checksums that have been noted since they were last taken, by number."""
        found, self._read = self._read, {}
        return found

    def first_other(self, found: Mapping[int, int]) -> int | None:
        """Take up checksums, and return the first number whose file held something else before; None if all agree."""
        numbers = np.fromiter(found.keys(), np.int64, len(found))
        return self.first_of(numbers, np.fromiter(found.values(), np.uint32, len(found)))

    def first_of(self, numbers: np.ndarray, crc32: np.ndarray) -> int | None:
        """Do the same of arrays: numbers of files, each once, and their checksums."""
        others = self.known[numbers] & (self.crc32[numbers] != crc32)
        if others.any():
            return int(numbers[others].min())
        self.crc32[numbers], self.known[numbers] = crc32, True
        return None
