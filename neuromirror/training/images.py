"""Fits a circuit and a set of images to each other."""

from __future__ import annotations

from dataclasses import dataclass

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description
from neuromirror.circuit.fit import ends, flat_side, forward_path
from neuromirror.data.load import Data, load_data
from neuromirror.errors import RequestError
from neuromirror.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A circuit and the images that it is fitted to, which have its size."""

    circuit: Circuit
    data: Data
    size: tuple[int, int]


def fitted_to_images(circuit: Circuit, settings: Settings) -> Fitted:
    """Load images at the size of the circuit's input, and give the circuit their number of classes and channels.

    Raises
    ------
    RequestError
        If there are no such images, or they do not fill the circuit's input.
    """
    shape = _input_shape(circuit.description)
    size = shape[1:] if len(shape) == 3 else _flat_size(circuit.description, shape[0])
    data = _images(settings, size)
    if len(shape) == 1 and data.channels * size[0] * size[1] != shape[0]:
        side = flat_side(shape[0], data.channels)
        if side is None:
            raise RequestError(
                f"data '{data.name}': its images have {data.channels} channels, and no square of them fills the "
                f"{shape[0]} cells of the input. Use another data set, or give the input that many cells."
            )
        size = (side, side)
        data = _images(settings, size)
    channels = data.channels if len(shape) == 3 else None
    return Fitted(circuit=circuit.fitted(channels=channels, classes=len(data.classes)), data=data, size=size)


def check_images(settings: Settings, data: Data, began_sha256: str | None) -> None:
    """Refuse images that are not those that a run began with.

    Raises
    ------
    RequestError
    """
    if data.sha256 != began_sha256:
        raise RequestError(f"{settings.data}: other images than the run began with. Restore them, or train anew.")


def _images(settings: Settings, size: tuple[int, int]) -> Data:
    return load_data(
        settings.data,
        size=size,
        train_images=settings.train_images,
        validation_images=settings.validation_images,
        test_images=settings.test_images,
        max_broken_images=settings.max_broken_images,
    )


def _input_shape(described: Description) -> tuple[int, ...]:
    shape = described.populations[ends(forward_path(described))[0]].shape
    if len(shape) not in (1, 3):
        raise RequestError(f"the input has shape {shape}. Training wants (channels, height, width) or (cells,).")
    return shape


def _flat_size(described: Description, cells: int) -> tuple[int, int]:
    side = flat_side(cells, 1) or flat_side(cells, 3)
    if side is None:
        raise RequestError(f"the input has {cells} cells, which no square image fills. Give it 64, or another square.")
    return (side, side)
