"""Files that are on the disk before anything relies on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


def flush(file: IO[bytes]) -> None:
    """Make sure of the content of an open file."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make sure of the names in a folder, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
