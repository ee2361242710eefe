"""The checkpoint of a simulation: what it goes on from when it was cut short; one file, the newest, whole or not there.

Numbers and texts are JSON, and arrays those of NumPy: reading it runs no code of others.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuromirror.errors import RequestError

FILE = "checkpoint.npz"
"""Name in a run directory; a run that is complete has none."""

_FACTS = "facts.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A moment of a run.

    Attributes
    ----------
    facts : mapping
        What JSON can hold.
    arrays : mapping of str to ndarray
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def part(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays whose names begin with ``name/``, by what follows."""
        prefix = f"{name}/"
        return {key.removeprefix(prefix): array for key, array in self.arrays.items() if key.startswith(prefix)}


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a run directory, in place of the one before."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_FACTS, json.dumps(checkpoint.facts))
        for name, array in checkpoint.arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    unfinished = folder / f"{FILE}.part"
    with unfinished.open("wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, folder / FILE)


def load(folder: Path) -> Checkpoint | None:
    """Read the checkpoint of a run directory; None where there is none.

    Raises
    ------
    RequestError
        If it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(_FACTS))
            arrays = {
                name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name != _FACTS
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(f"{path}: cannot be read ({error}). Start the run again.") from error
    return Checkpoint(facts=facts, arrays=arrays)


def discard(folder: Path) -> None:
    """Take the checkpoint of a run directory away."""
    for name in (FILE, f"{FILE}.part"):
        (folder / name).unlink(missing_ok=True)
