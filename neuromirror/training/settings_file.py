"""What a run directory keeps of the settings of its run, so that it can go on with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from neuromirror.errors import RequestError
from neuromirror.record import open_run
from neuromirror.record.rows import parse_json, quoted
from neuromirror.training.settings import Settings, is_of, kinds, said

FILE = "training.json"

_REMEDY = "Give --resume a directory that 'neuromirror train' wrote."


def to_json(settings: Settings) -> str:
    """Return settings as indented JSON."""
    return json.dumps(dataclasses.asdict(settings), indent=2, ensure_ascii=False) + "\n"


def backend_of(folder: Path) -> str:
    """Return the backend of a training run.

    Raises
    ------
    RequestError
        If the directory is none of a training run.
    """
    read_settings(folder)
    return open_run(folder).manifest.backend


def read_settings(folder: Path) -> Settings:
    """Read the settings of a run directory.

    Raises
    ------
    RequestError
        If there are none, or they are damaged.
    """
    file = folder / FILE
    try:
        found: Any = parse_json(file.read_text(encoding="utf-8"), file=file, remedy=_REMEDY)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file}: cannot be read ({error}). {_REMEDY}") from error
    hints = kinds()
    if not isinstance(found, dict) or set(found) != set(hints):
        raise RequestError(f"{file}: {quoted(found)} are not the settings of a training run. {_REMEDY}")
    for name, value in found.items():
        if not is_of(hints[name], value):
            raise RequestError(f"{file}: '{name}' is {quoted(value)}; expected {said(hints[name])}. {_REMEDY}")
    return Settings(**found)
