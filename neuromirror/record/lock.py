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
        self.release = weakref.finalize(self, os.close, directory)
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
