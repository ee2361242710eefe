"""What every check sees of a circuit, and how it words what it finds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from neuromirror.circuit.description import Description, Population
from neuromirror.circuit.templates import short_forms
from neuromirror.errors import Problem, dotted, suggestion

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Context:
    """An expanded description with what is known of its file.

    Attributes
    ----------
    circuit : Description
    locate : callable
        Gives file and line for a key path.
    dropped : set of key paths
        What was taken out as wrong in itself.
    original : callable
        Gives the key path that what is now at a key path had before anything was taken out.
    place : callable
        Gives the key path in the file, in the motif where there is one.
    raw : Description
        Before it was expanded.
    """

    circuit: Description
    locate: Callable[[Path], tuple[str | None, int | None]]
    dropped: set[Path]
    original: Callable[[Path], Path] = lambda path: path
    place: Callable[[Path], Path] = lambda path: path
    raw: Description | None = None

    def lost(self, path: Path) -> bool:
        """Return whether a value, or what it belongs to, was taken out as wrong in itself."""
        made: Path = ()
        if len(path) > 1 and self.raw is not None and (forms := short_forms(path)):
            made = () if path[1] in getattr(self.raw, str(path[0])) else forms[0]  # or the file states it itself
        return any(one[:length] in self.dropped for one in (path, made) for length in range(1, len(one) + 1))

    def problem(self, name: str, path: Path, message: str, severity: Literal["error", "warning"] = "error") -> Problem:
        path = self.place(path)
        file, line = self.locate(path)
        return Problem(name=name, path=dotted(path), message=message, severity=severity, file=file, line=line)

    def missing(self, section: str, name: str, path: Path, kind: str) -> Iterator[Problem]:
        """Report a name that a section lacks, unless it was dropped from there."""
        known = getattr(self.circuit, section)
        if name not in known and (section,) not in self.dropped and (section, name) not in self.dropped:
            yield self.problem(f"unknown-{kind}", path, f"there is no {kind} '{name}'. {suggestion(name, known)}")

    def named(self, path: Path) -> Iterator[Problem]:
        """Report a name that cannot be one in the simulators' code."""
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", str(path[-1])):
            message = "a name begins with a letter from a to z and goes on with such letters, digits and underscores."
            yield self.problem("bad-name", path, message)

    def on(self, mode: str, index: int, name: str) -> Path:
        """Return the path of a name in a mode's ``on``, which groups stand in front of in the file."""
        said = self.raw.modes[mode].on if self.raw is not None and mode in self.raw.modes else ()
        return ("modes", mode, "on", said.index(name) if name in said else index)

    def size(self, population: str) -> int | None:
        found = self.circuit.populations.get(population)
        return None if found is None else math.prod(found.shape)


def paths_of(populations: list[Population | None]) -> list[str]:
    return [p.path for p in populations if p is not None]


def layers_of(populations: list[Population | None]) -> list[int]:
    return [p.layer for p in populations if p is not None]
