"""Fits a circuit and a set of images to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description
from neuromirror.circuit.fit import ends, flat_side, forward_path
from neuromirror.circuit.load import load
from neuromirror.data.load import Counts, Data, count_data, load_data
from neuromirror.errors import RequestError
from neuromirror.training import image_contents
from neuromirror.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A circuit and the images that it is fitted to, which have its size."""

    circuit: Circuit
    data: Data
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A circuit and the numbers of the images that it is fitted to."""

    circuit: Circuit
    counts: Counts


Found = TypeVar("Found", Data, Counts)


def circuit_to_train(circuit: Circuit | str | Path, settings: Settings, *, overlaid: bool) -> Circuit:
    """Return a circuit without errors, with the method that is asked for.

    Parameters
    ----------
    circuit : Circuit, str or Path
    settings : Settings
    overlaid : bool
        Whether the circuit is that of the method already.

    Raises
    ------
    CircuitError
        If it has errors.
    """
    circuit = circuit if isinstance(circuit, Circuit) else load(circuit)
    circuit.check()
    return circuit if settings.method is None or overlaid else circuit.method(settings.method)


def fitted_to_images(circuit: Circuit, settings: Settings) -> Fitted:
    """Load images at the size of the circuit's input, and give the circuit their number of classes and channels.

    Raises
    ------
    RequestError
        If there are no such images, or they do not fill the circuit's input.
    """
    fitted, data, size = _fitted(circuit, settings, load_data, lambda found: len(found.classes))
    return Fitted(circuit=fitted, data=data, size=size)


def fitted_to_counts(circuit: Circuit, settings: Settings) -> Counted:
    """Give a circuit the number of classes and channels of images that are only counted; see `fitted_to_images`."""
    fitted, counts, _ = _fitted(circuit, settings, count_data, lambda found: found.classes)
    return Counted(circuit=fitted, counts=counts)


def _fitted(
    circuit: Circuit, settings: Settings, read: Callable[..., Found], classes_of: Callable[[Found], int]
) -> tuple[Circuit, Found, tuple[int, int]]:
    shape = _input_shape(circuit.description)
    size = shape[1:] if len(shape) == 3 else _flat_size(circuit.description, shape[0])
    data = read(settings.data, size=size, **_wanted(settings))
    if len(shape) == 1 and data.channels * size[0] * size[1] != shape[0]:
        side = flat_side(shape[0], data.channels)
        if side is None:
            raise RequestError(
                f"data '{data.name}': its images have {data.channels} channels, and no square of them fills the "
                f"{shape[0]} cells of the input. Use another data set, or give the input that many cells."
            )
        size = (side, side)
        data = read(settings.data, size=size, **_wanted(settings))
    channels = data.channels if len(shape) == 3 else None
    return circuit.fitted(channels=channels, classes=classes_of(data)), data, size


def check_images(settings: Settings, data: Data, began_sha256: str | None, folder: Path) -> None:
    """Refuse images that are not those that a run began with, or that it has read.

    Parameters
    ----------
    settings : Settings
    data : Data
    began_sha256 : str or None
        The run's ``data_sha256``; records of earlier versions have one of names and labels alone.
    folder : Path
        The run directory.

    Raises
    ------
    RequestError
        With the first that differs, where that is known.
    """
    if began_sha256 not in (data.sha256, data.names_sha256):
        first = image_contents.first_of_other_size(folder, data)
        raise RequestError(
            f"{settings.data}: other images than the run began with. {f'The first: {first} ' if first else ''}"
            "Restore them, or train anew."
        )
    image_contents.compare(folder, data)


def notes_of(data: Data, settings: Settings) -> Iterator[str]:
    """Yield what is to be known of a set of images before it is trained on."""
    if data.passed_over.count:
        yield (
            f"{settings.data}: {data.passed_over.count:,} files or folders are passed over, no images by their names, "
            f"or in no class: {data.passed_over}. 'neuromirror data check' lists them."
        )


def _wanted(settings: Settings) -> dict[str, Any]:
    """Return how many images are wanted of each part."""
    parts = ("train_images", "validation_images", "test_images", "max_broken_images")
    return {part: getattr(settings, part) for part in parts}


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
