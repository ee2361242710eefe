"""The handwritten digits that scikit-learn comes with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neuromirror.data.resize import picture_of

DARKEST = 16
"""Largest value of a pixel of the digits."""


@dataclass(frozen=True, kw_only=True)
class Array:
    """Images of an array; a source of `neuromirror.data.images.Images`.

    Attributes
    ----------
    pixels_NCHW : Tensor of uint8, shape (images, channels, rows, columns)
    """

    pixels_NCHW: Tensor

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.pixels_NCHW.shape[1]

    def pixels(self, number: int) -> Tensor:
        """Return an image: uint8, (channels, rows, columns)."""
        return self.pixels_NCHW[number]

    def picture(self, number: int) -> Image.Image:
        """Return an image as PIL has it."""
        return picture_of(self.pixels(number))

    def identity(self, number: int) -> bytes:
        """Return an image's bytes."""
        return self.pixels_NCHW[number].numpy().tobytes()


def digits() -> tuple[Array, np.ndarray]:
    """Return the 1 797 images of Alpaydin & Kaynak (1998), 8×8 pixels, and their labels.

    Returns
    -------
    source : Array
        Of one channel; values from 0 to 16 are stretched to 255.
    labels : ndarray of int64, shape (1797,)
    """
    from sklearn.datasets import load_digits  # it takes a second

    pixels, labels = load_digits(return_X_y=True)
    stretched = np.rint(pixels.reshape(-1, 1, 8, 8) * (255 / DARKEST)).astype(np.uint8)
    return Array(pixels_NCHW=torch.from_numpy(stretched)), labels.astype(np.int64)
