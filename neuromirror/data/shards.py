"""Packed images, read from where they are in their tar files, of which nothing is unpacked."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from torch import Tensor

from neuromirror.data.broken import shown
from neuromirror.data.contents import Contents
from neuromirror.data.files import decoded
from neuromirror.data.resize import of_image
from neuromirror.data.shard_index import Index


@dataclass(frozen=True, kw_only=True, eq=False)
class Shards:
    """Packed images of one part; see `neuromirror.data.files.Encoded`.

    Attributes
    ----------
    root : Path
        The directory of the tar files.
    index : Index
    rows : range
        Rows of the index that are of this part.
    channels : int
        1 or 3: what every image is converted to.
    """

    root: Path
    index: Index
    rows: range
    channels: int = 3

    @property
    def contents(self) -> Contents:
        """Checksums of the images, which the index has."""
        return self._contents

    @cached_property
    def _contents(self) -> Contents:
        return Contents(len(self), self.index.rows["crc32"][self.rows.start : self.rows.stop])

    def __len__(self) -> int:
        return len(self.rows)

    def with_channels(self, channels: int) -> Shards:
        """Return the same images, converted to so many channels."""
        return dataclasses.replace(self, channels=channels)

    def opened(self, number: int) -> BinaryIO:
        """Return the bytes of an image's file."""
        row = self.rows[number]
        shard, offset, size, crc32 = (int(self.index.rows[name][row]) for name in ("shard", "offset", "size", "crc32"))
        # Opened each time, which costs little beside decoding: thousands of tar files are more than may be open at
        # once, and processes that are forked need not share any.
        handle = os.open(self.root / self.index.shards[shard][0], os.O_RDONLY)
        try:
            content = _read(handle, size, offset)
        finally:
            os.close(handle)
        if len(content) != size or zlib.crc32(content) != crc32:
            raise OSError(errno.EIO, "its bytes are not those that were packed")
        return io.BytesIO(content)

    def where(self, number: int) -> str:
        """Return tar file and name of an image."""
        row = self.rows[number]
        shard = self.index.shards[int(self.index.rows["shard"][row])][0]
        return shown(f"{self.root / shard}, {os.fsdecode(self.index.identity(row))}")

    def picture(self, number: int) -> Image.Image:
        """Return an image as PIL has it, of mode L or RGB."""
        return decoded(self, number)

    def pixels(self, number: int) -> Tensor:
        """Return an image: uint8, (channels, rows, columns)."""
        return of_image(decoded(self, number))

    def identity(self, number: int) -> bytes:
        """Return the name that an image's file had within the directory that was packed."""
        return self.index.identity(self.rows[number])

    def size(self, number: int) -> int:
        """Return how many bytes an image's file had."""
        return int(self.index.rows["size"][self.rows[number]])


def damaged_shards(root: Path, index: Index) -> list[str]:
    """Return what is wrong with tar files, as far as their lengths tell."""
    problems = []
    for name, size in index.shards:
        said = shown(str(root / name))
        try:
            there = os.stat(root / name).st_size
        except OSError as error:
            problems.append(f"{said}: cannot be read ({error.strerror}). Copy this tar file anew.")
            continue
        if there != size:
            problems.append(f"{said}: {there} bytes, where {size} were packed. Copy this tar file anew.")
    return problems


def _read(handle: int, size: int, offset: int) -> bytes:
    """Return so many bytes, or as many as there are; a system may give them in parts."""
    content = os.pread(handle, size, offset)
    while len(content) < size and (part := os.pread(handle, size - len(content), offset + len(content))):
        content += part
    return content
