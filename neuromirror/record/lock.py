"""A directory that one process at a time writes in."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Self

from neuromirror.errors import RequestError

try:
    import fcntl
except ImportError:  # on Windows, where nothing is held
    fcntl = None


_directories: set[int] = set()
"""The open directories that this process holds."""


def _let_go(directory: int) -> None:
    if directory in _directories:
        _directories.discard(directory)
        os.close(directory)


def _hold_nothing() -> None:
    """Let a process that was forked hold nothing: it may live for a while after the one that writes is killed."""
    for directory in list(_directories):
        _let_go(directory)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hold_nothing)


class Held:
    """A directory held for writing, until `release`, or until the process ends, however it ends.

    Nothing is written for it: the directory itself is locked. File systems that know no locks hold nothing.

    Parameters
    ----------
    path : Path
        A directory that there is.

    Raises
    ------
    RequestError
        If another holds it.
    OSError
        If there is no such directory.
    """

    def __init__(self, path: Path) -> None:
        if fcntl is None:
            self.release = lambda: None
            return
        directory = os.open(path, os.O_RDONLY)
        _directories.add(directory)
        self.release = weakref.finalize(self, _let_go, directory)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise RequestError(f"{path}: another process is writing there. Wait until it has ended.") from error
        except OSError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
