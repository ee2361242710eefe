"""Run directories below a directory."""

from __future__ import annotations

import os
from pathlib import Path

from neuromirror.errors import RequestError

FILES = ("manifest.json", "metrics.jsonl")
"""A directory that has one of these is a run's, if a damaged one."""


def run_paths(path: Path) -> list[Path]:
    """Return a run directory itself, or those that there are at any depth below a directory, in the order of names.

    Nothing is looked for inside run directories, and links to directories are not followed.

    Raises
    ------
    RequestError
        If there is no such directory, it cannot be read, or there is no run in it.
    """
    if _is_run(path):
        return [path]
    found: list[Path] = []
    for folder, inside, _ in os.walk(path, onerror=_refuse):
        inside.sort()
        runs = [name for name in inside if _is_run(Path(folder, name))]
        found += [Path(folder, name) for name in runs]
        inside[:] = [name for name in inside if name not in runs]
    if not found:
        raise RequestError(f"{path}: no run here. Give a run directory, such as one that 'neuromirror run' printed.")
    return sorted(found)


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in FILES)


def _refuse(error: OSError) -> None:
    raise RequestError(
        f"{error.filename}: cannot be read ({error.strerror or error}). "
        "Give a run directory, or a directory that holds some."
    )
