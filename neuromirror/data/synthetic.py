"""Images that are made, for trials of speed and of memory: noise, with labels that it has nothing to do with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neuromirror.data.resize import Size, picture_of
from neuromirror.seeds import stream

TRAIN, TEST = 1024, 256
"""How many there are unless a number is asked for."""

CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Random images; a source of `neuromirror.data.images.Images`.

    Attributes
    ----------
    part : str
        "train", "validation" or "test": each has images of its own.
    size : (int, int)
        Rows and columns of an image.
    """

    part: str
    size: Size

    @property
    def channels(self) -> int:
        """Three: colour."""
        return 3

    def pixels(self, number: int) -> Tensor:
        """Return an image, made of part, size and number alone: uint8, (3, rows, columns)."""
        generator = stream(0, "data", "synthetic", self.part, number)
        return torch.from_numpy(generator.integers(0, 256, (3, *self.size), dtype=np.uint8))

    def picture(self, number: int) -> Image.Image:
        """Return an image as PIL has it."""
        return picture_of(self.pixels(number))

    def identity(self, number: int) -> bytes:
        """Return what the image is made of."""
        return f"{self.part} {self.size[0]}x{self.size[1]} {number}".encode()


def labels_of(images: int, classes: int) -> np.ndarray:
    """Return the label of each image, one class after the other."""
    return np.arange(images, dtype=np.int64) % classes
