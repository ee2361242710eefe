"""Resizing: a box of an image becomes an image of another size, antialiased.

It is done by PIL, in integers, so that all machines get the same pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neuromirror.errors import RequestError

Size = tuple[int, int]
"""Rows and columns."""


def checked_size(size: Size) -> Size:
    """Return a size as rows and columns, refusing what is none.

    Raises
    ------
    RequestError
        If it is not two whole numbers above 0.
    """
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(_is_length(length) for length in size):
        raise RequestError(f"size {size!r}: expected rows and columns, two whole numbers above 0, such as (32, 32).")
    return int(size[0]), int(size[1])


def _is_length(length: object) -> bool:
    return isinstance(length, int | np.integer) and not isinstance(length, bool) and int(length) > 0


def fitted(pixels_CHW: Tensor, size: Size) -> Tensor:
    """Return an image with its shorter side resized to a size and the rest cut off on both sides of its centre.

    Parameters
    ----------
    pixels_CHW : Tensor of uint8, shape (channels, rows, columns)
    size : (int, int)
        Rows and columns wanted.

    Returns
    -------
    Tensor of uint8, shape (channels, rows, columns)
        The image itself where it has the size.
    """
    height, width = pixels_CHW.shape[1:]
    if (height, width) == size:
        return pixels_CHW
    scale = min(height / size[0], width / size[1])
    rows, columns = size[0] * scale, size[1] * scale
    return resized(pixels_CHW, ((height - rows) / 2, (width - columns) / 2, rows, columns), size)


def resized(pixels_CHW: Tensor, box: tuple[float, float, float, float], size: Size) -> Tensor:
    """Return a box of an image, resized bilinearly, each new pixel a mean over all that it covers.

    Parameters
    ----------
    pixels_CHW : Tensor of uint8, shape (channels, rows, columns)
    box : (float, float, float, float)
        Top, left, height and width, in pixels and parts of them.
    size : (int, int)
        Rows and columns wanted.

    Returns
    -------
    Tensor of uint8, shape (channels, rows, columns)
    """
    return resized_picture(picture_of(pixels_CHW), box, size)


def resized_picture(image: Image.Image, box: tuple[float, float, float, float], size: Size) -> Tensor:
    """Return the same of an image of PIL, of mode L or RGB."""
    top, left, rows, columns = box
    # PIL refuses a box that rounding has made larger than the image.
    width, height = float(image.width), float(image.height)
    edges = (max(left, 0.0), max(top, 0.0), min(left + columns, width), min(top + rows, height))
    return of_image(image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=edges))


def picture_of(pixels_CHW: Tensor) -> Image.Image:
    """Return pixels as an image of PIL: the inverse of `of_image`."""
    pixels_HWC = pixels_CHW.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC)


def of_image(image: Image.Image) -> Tensor:
    """Return the pixels of an image of mode L or RGB: uint8, (channels, rows, columns)."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
