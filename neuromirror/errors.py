"""The errors that neuromirror raises, and the problems that a check of a circuit reports.

Every error says where, what was found, what was wanted, and what to do about it. All of them descend from
`NeuromirrorError`; each is a `ValueError` (the request was wrong, exit code 2) or a `RuntimeError` (the run failed,
exit code 1) as well.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


class NeuromirrorError(Exception):
    """Base of all errors of this package."""

    exit_code: int = 1


class NeuromirrorWarning(UserWarning):
    """A run that reached its end and is doubtful all the same; its record has the sentence too."""


class RequestError(NeuromirrorError, ValueError):
    """A request that cannot be met as it was put: a wrong option, a missing file, a bad value."""

    exit_code = 2


class UnsupportedError(RequestError):
    """Something this version, or this backend, does not do."""


class RunError(NeuromirrorError, RuntimeError):
    """A simulation that failed while it ran."""


class DivergenceError(RunError):
    """A run whose loss or weights are no longer finite; its record up to there is kept."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding of a check.

    Attributes
    ----------
    name : str
        Stable name of the check, such as ``"unknown-field"``.
    path : str
        Dotted name of the place in the circuit, such as ``"projections.W1.source"``.
    message : str
        What was found, what was expected and the remedy.
    severity : {"error", "warning"}
        A circuit with errors is never run; warnings are printed and the run goes on.
    file : str or None
        File that the place comes from; None for a circuit built in Python.
    line : int or None
        Line of that file, from 1.
    """

    name: str
    path: str
    message: str
    severity: Literal["error", "warning"] = "error"
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"
        place = f"{where}  {self.path}" if where and self.path else where or self.path
        return f"{self.severity}: {place}: {self.message}" if place else f"{self.severity}: {self.message}"


class CircuitError(RequestError):
    """A circuit that does not pass its checks.

    Parameters
    ----------
    problems : sequence of Problem
        All findings, not only the first.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[CircuitError], tuple[tuple[Problem, ...]]]:
        # An exception is copied and pickled by its message, which is not what this one is made of.
        return type(self), (self.problems,)


class UnknownChoiceError(UnsupportedError):
    """A choice by name that the format has, and for which there is no code."""


def choice(field: str, value: str | None, *known: str | None) -> str | None:
    """Return a choice by name where there is code for it.

    Whatever chooses between ways by a name of the file asks this first, so that its last way is not taken for names
    that it does not know.

    Parameters
    ----------
    field : str
        Where a file says it, such as ``"noise.law"``.
    value : str or None
    *known : str or None
        The names that there is code for.

    Raises
    ------
    UnknownChoiceError
        If there is none.
    """
    if value not in known:
        names = ", ".join(str(name) for name in known if name is not None)
        raise UnknownChoiceError(f'{field} = "{value}": there is no code for it here. There is for: {names}.')
    return value


def dotted(path: Sequence[str | int]) -> str:
    """Return the dotted name of a path, as ``--set`` takes it."""
    return ".".join(str(key) if key != "" else '""' for key in path)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Give the part of an error message that says which names there are, the closest first.

    Parameters
    ----------
    word : str
        The name that was not found.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        ``"Did you mean 'x'?"``, or ``"There are: a, b."``, or ``"There are none."``.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not close and (same := [name for name in names if sorted(name) == sorted(word)]):
        close = same
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"There are: {', '.join(names)}." if names else "There are none."
