"""Checkpoints: a folder a moment, each whole or not there, the newest few kept, readable by any number of ranks.

Arrays are written by `torch.distributed.checkpoint`, each once, by one of the ranks that share them; what a rank has of
its own lies beside them. All else is text, ``state.json``. A folder gets its name when all of it is on the disk.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from neuromirror.backends.torch.fingerprint import fingerprint_of_all
from neuromirror.backends.torch.ranks import ALONE, Ranks
from neuromirror.durable import flush, sync_folder
from neuromirror.errors import NeuromirrorError, RequestError, RunError

KEPT = 2
"""How many are kept: if the newest cannot be read, there is the one before it."""

STATE = "state.json"

_NAME = re.compile(r"step-(\d{10})")
_DESCRIBING = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")
_PLAIN = {("torch", "Size"), ("torch.serialization", "_get_layout"), ("collections", "OrderedDict")} | {
    (module, name)
    for module in ("pathlib", "pathlib._local")  # the latter in Python 3.13
    for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
}
_UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    CheckpointException,
    AssertionError,
    ImportError,
)


@dataclass
class State:
    """A moment of a run.

    Attributes
    ----------
    shared : dict of str to Tensor
        What all ranks have alike.
    own : list of dict of str to Tensor
        What ranks have of their own. To be written, that of this rank; as read, that of this rank alone where there are
        as many ranks as before, and else those of all.
    said : dict
        All else, as JSON can hold it.
    """

    shared: dict[str, Tensor] = field(default_factory=dict)
    own: list[dict[str, Tensor]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)


def save(folder: Path, step: int, state: State, *, ranks: Ranks = ALONE, kept: int = KEPT) -> Path:
    """Write a checkpoint, and keep the newest few up to it; all ranks do it together.

    Those of later steps are taken away: the run has gone on from one before them since they could not be read.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    step : int
        Steps done.
    state : State
        Texts and numbers of it as the first rank has them.
    ranks : Ranks
    kept : int
        How many stay.

    Returns
    -------
    Path
        The folder of this one, on the disk and whole.

    Raises
    ------
    RunError
        If it cannot be written; those before it stay.
    """
    path = folder / f"step-{step:010d}"
    unfinished = path.with_name(path.name + ".part")

    def begin() -> None:
        with _written(path):
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob("step-*.part"):  # of a run that was killed while it wrote
                shutil.rmtree(left)
            unfinished.mkdir()

    def finish() -> None:
        with _written(path):
            said = {**state.said, "ranks": ranks.size}
            said |= {"fingerprint": fingerprint_of_all(state.shared), "own_fingerprints": of_ranks}
            with (unfinished / STATE).open("wb") as file:
                file.write(json.dumps(said, ensure_ascii=False).encode())
                flush(file)
            sync_folder(unfinished)
            if path.exists():  # of the same moment, before something after it was lost
                shutil.rmtree(path)
            os.replace(unfinished, path)
            sync_folder(folder)
            found = _found(folder)
            staying = found[: found.index(path) + 1][-kept:]
            for one in found:
                if one not in staying:
                    shutil.rmtree(one)

    own = {name: tensor for one in state.own for name, tensor in one.items()}
    of_ranks = ranks.gathered(fingerprint_of_all(own))
    ranks.on_first(begin)
    with _written(path), _quiet():
        writer = FileSystemWriter(unfinished, sync_files=True)
        arrays = {**state.shared, **{f"rank-{ranks.rank}/{name}": tensor for name, tensor in own.items()}}
        state_dict_saver.save(arrays, storage_writer=writer, no_dist=ranks.size == 1)
    ranks.on_first(finish)
    return path


def newest(folder: Path, *, ranks: Ranks = ALONE) -> State | None:
    """Return the newest checkpoint of a folder that can be read by every rank; None where there is no checkpoint.

    Raises
    ------
    RequestError
        If there are some and none can be read.
    """
    paths = ranks.gathered(_found(folder))[0]
    for path in reversed(paths):
        try:
            found = _read(path, ranks)
        except _UNREADABLE:
            found = None
        if all(ranks.gathered(found is not None)):
            return found
    if paths:
        raise RequestError(f"{folder}: none of its {len(paths)} checkpoints can be read. Start the run again.")
    return None


def _read(path: Path, ranks: Ranks) -> State:
    said = json.loads((path / STATE).read_text(encoding="utf-8"))
    with (path / ".metadata").open("rb") as file:
        _Harmless(file).load()
    reader = FileSystemReader(path)
    own = [ranks.rank] if said["ranks"] == ranks.size else list(range(said["ranks"]))
    wanted = tuple(f"rank-{rank}/" for rank in own)
    arrays = {
        name: torch.empty(array.size, dtype=array.properties.dtype)
        for name, array in reader.read_metadata().state_dict_metadata.items()
        if isinstance(array, TensorStorageMetadata) and (not name.startswith("rank-") or name.startswith(wanted))
    }
    with _quiet():
        state_dict_loader.load(arrays, storage_reader=reader, no_dist=True)
    state = State(shared={name: array for name, array in arrays.items() if not name.startswith("rank-")}, said=said)
    state.own = [_without(prefix, arrays) for prefix in wanted]
    found = [fingerprint_of_all(state.shared), *map(fingerprint_of_all, state.own)]
    if found != [said["fingerprint"], *(said["own_fingerprints"][rank] for rank in own)]:
        raise ValueError("other arrays than were written")
    return state


def _without(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


class _Harmless(pickle.Unpickler):
    """Reads what `torch.distributed.checkpoint` describes its arrays by, and nothing that runs code."""

    def find_class(self, module: str, name: str, /) -> Any:
        found = super().find_class(module, name) if module in _DESCRIBING and "." not in name else None
        if isinstance(found, type) or (module, name) in _PLAIN or (module == "torch" and _is_dtype(name)):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a checkpoint")


def _is_dtype(name: str) -> bool:
    return isinstance(getattr(torch, name, None), torch.dtype)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except NeuromirrorError:
        raise
    except (OSError, RuntimeError, CheckpointException) as error:
        why = next((one for one in _causes(error) if isinstance(one, OSError)), error)
        raise RunError(f"{path}: the checkpoint cannot be written ({why}). Those before it are there still.") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, CheckpointException):
        yield from (one for failure in error.failures.values() for one in _causes(failure[0]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep `torch.distributed` from saying that there is one process, and how its interface will change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _found(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name))
