"""The checksums of a run's images, kept beside its checkpoints: an image that has changed is refused by name.

``image_checksums.safetensors`` has of each part (``train``, ``validation``, ``test``), in the order of its images,
``PART.size`` in bytes, ``PART.crc32``, and ``PART.known``: which have been read so far. It is written with every
checkpoint that knows more, and by spiking cells when they begin. Sets that are made or come with a library have none:
their hash is that of their pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from neuromirror.backends.torch.ranks import ALONE, Ranks
from neuromirror.data.contents import ChangedImageError
from neuromirror.data.images import Images
from neuromirror.data.load import Data
from neuromirror.durable import flush
from neuromirror.errors import RequestError, RunError

FILE = "image_checksums.safetensors"


class KeptContents:
    """What is known of the images of a run, and how much of that is on the disk.

    Parameters
    ----------
    data : Data
    folder : Path
        The run directory.
    ranks : Ranks
        Of which each reads other images.
    """

    def __init__(self, data: Data, folder: Path, ranks: Ranks = ALONE) -> None:
        self.data, self.folder, self.ranks = data, folder, ranks
        self._shared = {name: np.zeros(len(part), bool) for name, part in parts_of(data)}

    def save(self) -> None:
        """Let all ranks know what each has read, and write it where it is more than there was; all do it together.

        Raises
        ------
        ChangedImageError
            On all ranks, if two have read something else under one name.
        RunError
            If it cannot be written.
        """
        new = {
            name: (places := np.flatnonzero(part.known & ~self._shared[name]), part.crc32[places])
            for name, part in parts_of(self.data)
        }
        for of_rank in self.ranks.gathered(new):
            for name, part in parts_of(self.data):
                part.learn(*of_rank[name])
        is_new = any(not np.array_equal(part.known, self._shared[name]) for name, part in parts_of(self.data))
        self._shared = {name: part.known for name, part in parts_of(self.data)}
        content = to_bytes(self.data) if is_new else None
        if content is not None:
            self.ranks.on_first(lambda: _write(self.folder, content))


def parts_of(data: Data) -> Iterator[tuple[str, Images]]:
    """Yield the parts of a set that are files, by name."""
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if part is not None and part.are_files:
            yield name, part


def to_bytes(data: Data) -> bytes | None:
    """Return the file of what is known of a set's images; None of a set that has no files."""
    arrays: dict[str, np.ndarray] = {}
    for name, part in parts_of(data):
        arrays |= {f"{name}.size": part.sizes, f"{name}.crc32": part.crc32, f"{name}.known": part.known}
    return safetensors.numpy.save(arrays) if arrays else None


def _write(folder: Path, content: bytes) -> None:
    """Write the file; it is whole, or as it was."""
    path, unfinished = folder / FILE, folder / f"{FILE}.part"
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            flush(file)
        os.replace(unfinished, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror or error}).") from error


def compare(folder: Path, data: Data) -> None:
    """Refuse images that are not those that a run has read, and take up what it knows of the others.

    A run of an earlier version has no checksums; its images are known from now on.

    Raises
    ------
    RequestError
        With the first image that differs, or if the file of checksums is damaged.
    """
    for name, part, arrays in _kept(folder, data):
        if len(arrays["known"]) != len(part):
            counts = f"{len(arrays['known'])} {name} images, not {len(part)}"
            raise RequestError(f"{folder / FILE}: it is of {counts}. {_AS_IT_WAS}")
        places = np.flatnonzero(arrays["known"])
        try:
            part.learn(places, arrays["crc32"][places])
        except ChangedImageError as error:
            message = f"{error.where}: this image is not what it was when {folder} read it: its checksum is another."
            raise RequestError(f"{message} Restore the file, or train anew.") from error


def first_of_other_size(folder: Path, data: Data) -> str | None:
    """Return which image is the first of another length than a run began with, in words; None if that is unknown."""
    for _, part, arrays in _kept(folder, data):
        if len(arrays["size"]) != len(part):
            return None
        others = np.flatnonzero(arrays["size"] != part.sizes)
        if len(others):
            place = int(others[0])
            return f"{part.where(place)}: {part.sizes[place]} bytes, where the run began with {arrays['size'][place]}."
    return None


_AS_IT_WAS = "Put back the file that the run has written, or train anew."


def _kept(folder: Path, data: Data) -> Iterator[tuple[str, Images, dict[str, np.ndarray]]]:
    """Yield what a run knows of each part; nothing where it has no such file."""
    path = folder / FILE
    kinds = {"size": np.int64, "crc32": np.uint32, "known": np.bool_}
    parts = list(parts_of(data))
    if not parts or not path.exists():
        return
    try:
        arrays = safetensors.numpy.load(path.read_bytes())
        found = {name: {kind: arrays[f"{name}.{kind}"] for kind in kinds} for name, _ in parts}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RequestError(f"{path}: cannot be read ({error}). {_AS_IT_WAS}") from error
    for name, part in parts:
        of_part = found[name]
        shapes = {array.shape for array in of_part.values()}
        if len(shapes) > 1 or any(array.dtype != kinds[kind] or array.ndim != 1 for kind, array in of_part.items()):
            raise RequestError(f"{path}: these are no checksums. {_AS_IT_WAS}")
        yield name, part, of_part
