"""What lies in a folder of images, by kind, and what of a whole tree is passed over."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from neuromirror.data.broken import shown
from neuromirror.data.files import SUFFIXES
from neuromirror.errors import RequestError

NAMED = 1000
"""Names that are kept of what is passed over; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The names in a folder, each kind in order; hidden ones, which begin with a dot, left out."""

    directories: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(kw_only=True)
class PassedOver:
    """Files and folders that are not taken, hidden ones apart.

    Attributes
    ----------
    count : int
    names : list of str
        Paths within the tree, folders with a ``/`` at the end; the first `NAMED`.
    """

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, *names: str) -> None:
        """Count some."""
        self.count += len(names)
        self.names += names[: max(0, NAMED - len(self.names))]

    def __str__(self) -> str:
        first = ", ".join(map(shown, self.names[:3]))
        return f"{first} and {self.count - 3:,} more" if self.count > 3 else first


def listing(folder: Path) -> Listing:
    """List a folder.

    Raises
    ------
    RequestError
        If it cannot be read.
    """
    found: dict[str, list[str]] = {"directories": [], "images": [], "others": []}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    found[_kind(entry)].append(entry.name)
    except OSError as error:
        raise RequestError(
            f"{shown(str(folder))}: this directory cannot be read ({error.strerror or error}). Give its user the right "
            "to, or name another."
        ) from error
    return Listing(**{kind: tuple(sorted(names)) for kind, names in found.items()})


def _kind(entry: os.DirEntry[str]) -> str:
    # An entry knows by itself whether it is a directory, but for links; of one that leads in a circle it would raise.
    if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
        return "directories"
    # A link that leads nowhere counts: it is found when it is read, and not passed over in silence.
    is_file = entry.is_symlink() or entry.is_file()
    return "images" if is_file and entry.name.lower().endswith(tuple(SUFFIXES)) else "others"
