"""The index of packed images: where each is in which tar file, its name and its label.

It is one safetensors file of arrays, a row for each image, those for training first. ``about`` is a JSON text. Names
lie one after the other as bytes, since file systems allow names that are no text. ``sha256`` is the hash of all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from neuromirror.data.broken import shown
from neuromirror.data.shard_index_checks import wrong_about, wrong_arrays
from neuromirror.errors import RequestError

FILE = "index.safetensors"
FORMAT, VERSION = "neuromirror shards", 1

ROWS = {"shard": np.int32, "offset": np.int64, "size": np.int64, "crc32": np.uint32, "label": np.int64}
"""What there is of each image: number of the tar file, place and length in it, checksum of the bytes, and class."""

_REMEDY = "Pack the images anew, or copy the directory anew."


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """Where packed images are.

    Attributes
    ----------
    name : str
        Of the directory that was packed.
    classes : tuple of str
    shards : tuple of (str, int)
        Name and length in bytes of each tar file.
    train : int
        How many of the images are for training: the first.
    rows : dict of str to ndarray, shape (images,)
        As `ROWS` has them.
    names : ndarray of uint8
        Names of all images, one after the other.
    ends : ndarray of int64, shape (images + 1,)
        Where each name ends, after a 0.
    """

    name: str
    classes: tuple[str, ...]
    shards: tuple[tuple[str, int], ...]
    train: int
    rows: Mapping[str, np.ndarray]
    names: np.ndarray
    ends: np.ndarray

    def identity(self, row: int) -> bytes:
        """Return the name of an image."""
        return self.names[self.ends[row] : self.ends[row + 1]].tobytes()

    def to_bytes(self) -> bytes:
        """Return the file."""
        about = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "classes": self.classes,
            "shards": self.shards,
            "train": self.train,
        }
        arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8), "names": self.names, "ends": self.ends}
        arrays |= {name: np.ascontiguousarray(self.rows[name], kind) for name, kind in ROWS.items()}
        return safetensors.numpy.save({**arrays, "sha256": _digest(arrays)})


def read_index(root: Path) -> Index:
    """Read the index of a directory of packed images.

    Raises
    ------
    RequestError
        If it cannot be read, is of another version, is not what was written, or has what no images have, such as a
        label that is none of its classes.
    """
    file = root / FILE
    said = shown(str(file))
    try:
        arrays = safetensors.numpy.load(file.read_bytes())
        about: Any = json.loads(arrays["about"].tobytes())
        version = about["version"] if about["format"] == FORMAT else None
    except OSError as error:
        raise RequestError(f"{said}: cannot be read ({error.strerror or error}). {_REMEDY}") from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{said}: this is no index of packed images. {_REMEDY}") from error
    if version != VERSION:
        raise RequestError(f"{said}: of version {version!r}, where this program reads {VERSION}. Pack the images anew.")
    sha256 = arrays.pop("sha256", None)
    if sha256 is None or not np.array_equal(sha256, _digest(arrays)):
        raise RequestError(f"{said}: it is not as it was written: its hash is another. {_REMEDY}")
    wrong = wrong_about(about) or next(wrong_arrays(arrays, ROWS, about), None)
    if wrong is not None:
        raise RequestError(f"{said}: {wrong}. Pack the images anew.")
    return Index(
        name=about["name"],
        classes=tuple(about["classes"]),
        shards=tuple((name, size) for name, size in about["shards"]),
        train=about["train"],
        rows={name: arrays[name] for name in ROWS},
        names=arrays["names"],
        ends=arrays["ends"],
    )


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return np.frombuffer(digest.digest(), np.uint8)
