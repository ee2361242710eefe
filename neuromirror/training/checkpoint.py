"""Checkpoints: a file a moment, each whole or not there, the newest few kept."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from neuromirror.durable import flush, sync_folder
from neuromirror.errors import RequestError

KEPT = 2
"""How many are kept: if the newest cannot be read, there is the one before it."""

_NAME = re.compile(r"step-(\d{10})\.pt")


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint, and take away those that are older than the newest few.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    step : int
        Steps done.
    state : dict
        Tensors, numbers, texts, and dicts and lists of them.

    Returns
    -------
    Path
        The file, on the disk and whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("step-*.pt.part"):  # of a run that was killed while it wrote
        left.unlink()
    path = folder / f"step-{step:010d}.pt"
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        flush(file)
    os.replace(unfinished, path)
    sync_folder(folder)
    for old in _files(folder)[:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint of a folder that can be read; None where there is no checkpoint.

    Raises
    ------
    RequestError
        If there are some and none can be read.
    """
    files = _files(folder)
    for file in reversed(files):
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError):
            continue
    if files:
        raise RequestError(f"{folder}: none of its {len(files)} checkpoints can be read. Start the run again.")
    return None


def _files(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if _NAME.fullmatch(path.name))
