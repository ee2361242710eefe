"""Image files: which there are, and how one is decoded."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from neuromirror.data.broken import FORMATS, UnreadableImageError, reason, shown
from neuromirror.data.contents import Contents
from neuromirror.data.resize import of_image

SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **{".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF"},
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
}
"""Of what is taken for an image, in small letters, and the format that each promises; any case will do."""

LOOKED_AT = 100
"""Files whose headers are read first, evenly spaced: of a set of colours they mostly show it."""

GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
"""PIL's modes of images without colour; a palette is taken for colours."""


class Encoded(Protocol):
    """Images as files hold them; a source of `neuromirror.data.images.Images`."""

    @property
    def channels(self) -> int:
        """1 or 3: what every image is converted to."""
        ...

    @property
    def contents(self) -> Contents:
        """Checksums of what has been read."""
        ...

    def __len__(self) -> int: ...

    def with_channels(self, channels: int) -> Encoded:
        """Return the same images, converted to so many channels."""
        ...

    def opened(self, number: int) -> BinaryIO:
        """Return the bytes of an image's file, to be closed by the caller; raises `OSError` where there are none."""
        ...

    def where(self, number: int) -> str:
        """Return where an image is, as messages show it."""
        ...

    def picture(self, number: int) -> Image.Image:
        """Return an image as PIL has it, of mode L or RGB."""
        ...

    def pixels(self, number: int) -> Tensor:
        """Return an image: uint8, (channels, rows, columns)."""
        ...

    def identity(self, number: int) -> bytes:
        """Return an image's name: the path of its file within the tree."""
        ...

    def size(self, number: int) -> int:
        """Return how many bytes an image's file has; −1 where there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Files:
    """Image files of one directory; see `Encoded`.

    Attributes
    ----------
    root : Path
        The directory.
    names : tuple of str
        Path of each file within it, with ``/``.
    channels : int
        1 or 3: what every file is converted to.
    """

    root: Path
    names: tuple[str, ...]
    channels: int = 3

    @property
    def contents(self) -> Contents:
        """Checksums of the files that have been read."""
        return self._contents

    @cached_property
    def _contents(self) -> Contents:
        return Contents(len(self))

    def __len__(self) -> int:
        return len(self.names)

    def with_channels(self, channels: int) -> Files:
        """Return the same images, converted to so many channels."""
        return dataclasses.replace(self, channels=channels)

    def opened(self, number: int) -> BinaryIO:
        """Return a file, to be closed by the caller."""
        path = self.root / self.names[number]
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for one who writes
            raise OSError(errno.EINVAL, "no file that holds anything")
        return path.open("rb")

    def where(self, number: int) -> str:
        """Return the path of a file."""
        return shown(str(self.root / self.names[number]))

    def picture(self, number: int) -> Image.Image:
        """Return a file's image as PIL has it, of mode L or RGB."""
        return decoded(self, number)

    def pixels(self, number: int) -> Tensor:
        """Return a file's image: uint8, (channels, rows, columns)."""
        return of_image(decoded(self, number))

    def identity(self, number: int) -> bytes:
        """Return a file's name."""
        return os.fsencode(self.names[number])

    def size(self, number: int) -> int:
        """Return how many bytes a file has; −1 where there is none."""
        try:
            return os.stat(os.path.join(self.root, self.names[number])).st_size
        except OSError:
            return -1


def decoded(encoded: Encoded, number: int) -> Image.Image:
    """Return the image of a file.

    Grey becomes three equal channels where three are wanted; 16 bits become the nearest of 8. Of several frames or
    pages the first is taken. Alpha and the orientation that a camera notes in EXIF are ignored, as most loaders of
    class folders do.

    Parameters
    ----------
    encoded : Encoded
        Its files are of one of `FORMATS`, whatever their suffixes.
    number : int
        Which.

    Returns
    -------
    Image
        Of mode L or RGB, wholly in memory.

    Raises
    ------
    UnreadableImageError
        If it cannot be read, ends too early, or has colour where one channel is wanted.
    """
    try:
        with encoded.opened(number) as file:
            content = file.read()  # at once: PIL would ask the system for a few kilobytes at a time
        encoded.contents.note(number, content)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            if encoded.channels == 1 and image.mode not in GREY:
                raise ValueError("it has colour, and no image of the set had any when it was listed")
            return converted(image, "L" if encoded.channels == 1 else "RGB")
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise unreadable(encoded, number, error) from error


def unreadable(encoded: Encoded, number: int, error: Exception) -> UnreadableImageError:
    """Return the error that names an image."""
    name = shown(os.fsdecode(encoded.identity(number)))
    return UnreadableImageError(encoded.where(number), reason(error), name)


def channels_of(sources: Sequence[Encoded]) -> int:
    """Return what all images of a set are converted to: 1 channel if none has colour, else 3, so that none is lost.

    Headers are read until there is one of colour. Files that cannot be read do not count: they stop training, or are
    left out of it, when they are read.
    """
    rest = list[tuple[Encoded, int]]()
    for source in sources:
        first = np.unique(np.linspace(0, len(source) - 1, min(LOOKED_AT, len(source)), dtype=int)).tolist()
        if any(_has_colour(source, number) for number in first):
            return 3
        rest += [(source, number) for number in sorted(set(range(len(source))) - set(first))]
    return 3 if any(_has_colour(source, number) for source, number in rest) else 1


def _has_colour(encoded: Encoded, number: int) -> bool:
    try:
        return _mode(encoded, number) not in GREY
    except UnreadableImageError:
        return False


def _mode(encoded: Encoded, number: int) -> str:
    try:
        with encoded.opened(number) as file, Image.open(file, formats=FORMATS) as image:
            return image.mode
    except Exception as error:
        raise unreadable(encoded, number, error) from error


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Return an image in mode L or RGB."""
    if image.mode == mode:
        return image
    if image.mode.startswith(("I", "F")):  # PIL would cut them off at 255
        pixels = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(pixels.clip(0, 65535) / 257).astype(np.uint8))
    elif image.mode in ("P", "PA"):  # PIL warns where a palette with transparency is converted in one step
        image = image.convert("RGBA")
    return image.convert(mode)
