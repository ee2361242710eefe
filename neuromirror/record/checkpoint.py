"""The checkpoint of a simulation: what it goes on from when it was cut short; one file, the newest, whole or not there.

Numbers and texts are JSON, and arrays those of NumPy: reading it runs no code of others.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuromirror.errors import RequestError
from neuromirror.record.store import RunWriter

CHECKPOINT_S = 10.0
"""The least time between two checkpoints, in seconds of the clock."""
CHECKPOINT_SHARE = 0.01
"""The largest share of a run's time that goes into checkpoints."""

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


class Checkpoints:
    """Writes those of one run, so seldom that they take a small share of its time.

    Parameters
    ----------
    writer : RunWriter
        Of the run's record; how far it has come is kept too.
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._next_s = time.perf_counter() + CHECKPOINT_S

    def keep(self, moment: Callable[[], Checkpoint], *, now: bool) -> None:
        """Write the present moment, if one is due or `now` asks for it; without, it may not be asked for at all."""
        started_s = time.perf_counter()
        if not (now or started_s >= self._next_s):
            return
        found, writer = moment(), self._writer
        record = {"rows": writer.rows, "parts": writer.parts, "steps": writer.steps}
        save(writer.path, Checkpoint(facts={**found.facts, **record}, arrays=found.arrays))
        ended_s = time.perf_counter()
        self._next_s = ended_s + max(CHECKPOINT_S, (ended_s - started_s) / CHECKPOINT_SHARE)


def reopened(folder: Path) -> tuple[RunWriter, Checkpoint | None]:
    """Go on with the record of a run that was cut short, as it was at its checkpoint; without one, at its beginning.

    Raises
    ------
    RequestError
        If the checkpoint or the record cannot be read.
    """
    found = load(folder)
    facts = {"rows": 0, "parts": {}, "steps": []} if found is None else found.facts
    return RunWriter.reopen(folder, facts["rows"], parts=facts["parts"], steps=facts["steps"]), found
