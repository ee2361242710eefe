"""Augmentation: what is done to an image at random before it is shown.

The random numbers of an image are row ``index`` of the stream of seed and epoch. So what becomes of it depends on seed,
epoch and index alone, and not on the batch that it is in, nor on who loads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neuromirror.data.resize import Size, fitted, picture_of, resized_picture
from neuromirror.errors import RequestError, suggestion
from neuromirror.seeds import stream

AUGMENTATIONS = ("none", "flip", "crop_flip", "resized_crop")
"""``flip``: left and right are exchanged in half of the cases. ``crop_flip``: padded with an eighth of the size of
black on every side, cropped at random, and flipped. ``resized_crop``: a random part of the image as it came, resized,
and flipped."""

PADDED = 8
"""``crop_flip`` pads by size // 8: 4 pixels at 32."""

SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
"""Area of a ``resized_crop``, as part of the image's, and its width by its height."""

TRIES = 10
"""How often a ``resized_crop`` is drawn that does not fit, before the largest in the centre is taken."""

NUMBERS = 24
"""Random numbers of an image: two for each try, and the last three for top, left and flip."""

STEPS = NUMBERS // 4
"""Steps of Philox for them: each gives four."""


def check_augmentation(augment: str) -> None:
    """Refuse what is no augmentation.

    Raises
    ------
    RequestError
        If it is not among `AUGMENTATIONS`.
    """
    if augment not in AUGMENTATIONS:
        raise RequestError(f"augment '{augment}': no such augmentation. {suggestion(str(augment), AUGMENTATIONS)}")


def augmented(image_CHW: Tensor, *, augment: str, size: Size, seed: int, epoch: int, index: int) -> Tensor:
    """Return an image as it is shown in one epoch.

    Parameters
    ----------
    image_CHW : Tensor of uint8, shape (channels, rows, columns)
        Of any size. ``resized_crop`` crops it before it resizes; all others have it fitted to the size first.
    augment : str
        One of `AUGMENTATIONS`.
    size : (int, int)
        Rows and columns wanted.
    seed, epoch, index : int
        Root seed of the run, number of the epoch, and the image's index in its set.

    Returns
    -------
    Tensor of uint8, shape (channels, rows, columns)
        A pure function of the above.

    Raises
    ------
    RequestError
        If there is no such augmentation.
    """
    check_augmentation(augment)
    if augment != "resized_crop":
        image_BCHW = fitted(image_CHW, size)[None]
        return augmented_batch(image_BCHW, augment=augment, seed=seed, epoch=epoch, indices=[index])[0]
    (numbers,) = drawn(seed, epoch, [index])
    return resized_crop(picture_of(image_CHW), numbers, size)


def resized_crop(image: Image.Image, numbers: np.ndarray, size: Size) -> Tensor:
    """Return a random part of an image, resized, and flipped in half of the cases.

    Parameters
    ----------
    image : Image
        Of mode L or RGB, as it came.
    numbers : ndarray, shape (NUMBERS,)
        The image's row of `drawn`.
    size : (int, int)
        Rows and columns wanted.

    Returns
    -------
    Tensor of uint8, shape (channels, rows, columns)
    """
    top, left, height, width = crop_box(numbers, image.height, image.width)
    cropped = image.crop((left, top, left + width, top + height))  # or resizing would look beyond the part's edges
    shown = resized_picture(cropped, (0, 0, height, width), size)
    return shown.flip(-1) if numbers[-1] < 0.5 else shown


def augmented_batch(
    images_BCHW: Tensor, *, augment: str, seed: int, epoch: int, indices: Sequence[int] | np.ndarray
) -> Tensor:
    """Return images that have their size already as they are shown: `augmented` of each, but for ``resized_crop``."""
    assert augment in AUGMENTATIONS[:3], "a resized crop is taken from the image as it came"
    if augment == "none":
        return images_BCHW
    numbers = drawn(seed, epoch, indices)
    shown = _cropped(images_BCHW, numbers[:, -3:-1]) if augment == "crop_flip" else images_BCHW.clone()
    flipped = torch.from_numpy(numbers[:, -1] < 0.5)
    shown[flipped] = shown[flipped].flip(-1)
    return shown


def drawn(seed: int, epoch: int, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the random numbers of images: float64 from 0 to 1, shape (images, `NUMBERS`).

    They are the rows of one stream, which Philox reaches without drawing those in between: a stream for each image
    would take five times as long.
    """
    generator = stream(seed, "data", "augment", epoch)
    philox = generator.bit_generator
    assert isinstance(philox, np.random.Philox)
    numbers = np.empty((len(indices), NUMBERS))
    done = 0
    for row, index in zip(numbers, indices):
        philox.advance(STEPS * (int(index) - done))
        generator.random(out=row)
        done = int(index) + 1
    return numbers


def crop_box(numbers: np.ndarray, rows: int, columns: int) -> tuple[int, int, int, int]:
    """Return the box of a ``resized_crop`` (Szegedy et al. 2015), drawn as torchvision draws it.

    Area and logarithm of the ratio are uniform within `SCALE` and `RATIO`; the place is uniform among those within the
    image. A box that does not fit is drawn again.

    Parameters
    ----------
    numbers : ndarray, shape (NUMBERS,)
        Uniform from 0 to 1.
    rows, columns : int
        Size of the image.

    Returns
    -------
    (int, int, int, int)
        Top, left, height and width.
    """
    height, width = _largest_central(rows, columns)
    log_ratio = math.log(RATIO[0]), math.log(RATIO[1])
    for of_area, of_ratio in numbers[: 2 * TRIES].reshape(TRIES, 2):
        area = rows * columns * (SCALE[0] + (SCALE[1] - SCALE[0]) * of_area)
        ratio = math.exp(log_ratio[0] + (log_ratio[1] - log_ratio[0]) * of_ratio)
        tried = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < tried[0] <= rows and 0 < tried[1] <= columns:
            height, width = tried
            return int(numbers[-3] * (rows - height + 1)), int(numbers[-2] * (columns - width + 1)), height, width
    return (rows - height) // 2, (columns - width) // 2, height, width


def _largest_central(rows: int, columns: int) -> tuple[int, int]:
    if columns < RATIO[0] * rows:
        return max(1, min(rows, round(columns / RATIO[0]))), columns
    if columns > RATIO[1] * rows:
        return rows, max(1, min(columns, round(rows * RATIO[1])))
    return rows, columns


def _cropped(images_BCHW: Tensor, places: np.ndarray) -> Tensor:
    """Return crops of padded images; ``places`` are the numbers drawn for top and left."""
    images, channels, rows, columns = images_BCHW.shape
    above, beside = rows // PADDED, columns // PADDED
    padded = np.zeros((images, channels, rows + 2 * above, columns + 2 * beside), np.uint8)
    padded[:, :, above : above + rows, beside : beside + columns] = images_BCHW.numpy()
    corners = (places * (2 * above + 1, 2 * beside + 1)).astype(int)
    cropped = np.empty((images, channels, rows, columns), np.uint8)
    for image, (top, left) in enumerate(corners):
        cropped[image] = padded[image, :, top : top + rows, left : left + columns]
    return torch.from_numpy(cropped)
