"""Image files: which there are, and how one is decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from neuromirror.data.resize import of_image
from neuromirror.errors import RunError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Of what is taken for an image, in small letters; any case will do."""

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
"""What a file may be, whatever its suffix says."""

LOOKED_AT = 100
"""Files whose headers decide whether a set is grey."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """Image files of one directory; a source of `neuromirror.data.images.Images`.

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
    channels: int

    def pixels(self, number: int) -> Tensor:
        """Return a file's image: uint8, (channels, rows, columns)."""
        return decoded(self.root / self.names[number], self.channels)

    def identity(self, number: int) -> bytes:
        """Return a file's name."""
        return os.fsencode(self.names[number])


def decoded(path: Path, channels: int) -> Tensor:
    """Return the image of a file.

    Grey becomes three equal channels where three are wanted, and colour becomes luminance where one is; 16 bits become
    the nearest of 8. Alpha and the orientation that a camera notes in EXIF are ignored, as most loaders of class
    folders do.

    Parameters
    ----------
    path : Path
        Of one of `FORMATS`, whatever its suffix.
    channels : int
        1 or 3.

    Returns
    -------
    Tensor of uint8, shape (channels, rows, columns)

    Raises
    ------
    RunError
        If it cannot be read, or ends too early.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            return of_image(_converted(image, "L" if channels == 1 else "RGB"))
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise _not_read(path, error) from error


def are_grey(root: Path, names: Sequence[str]) -> bool:
    """Tell whether files are grey, 8 bits a pixel: `LOOKED_AT` of them, evenly spaced, or all if there are no more."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(LOOKED_AT, len(names)), dtype=int))
    return all(_mode(root / names[int(number)]) == "L" for number in chosen)


def _mode(path: Path) -> str:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode
    except Exception as error:
        raise _not_read(path, error) from error


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode.startswith(("I", "F")):  # PIL would cut them off at 255
        pixels = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(pixels.clip(0, 65535) / 257).astype(np.uint8))
    elif image.mode in ("P", "PA"):  # PIL warns where a palette with transparency is converted in one step
        image = image.convert("RGBA")
    return image.convert(mode)


def _not_read(path: Path, error: Exception) -> RunError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        why = f"it is none of {', '.join(FORMATS)}"
    return RunError(f"{path}: this image cannot be read ({why}). Replace the file, or take it out of the folder.")
