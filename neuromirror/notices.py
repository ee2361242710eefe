"""How it is said that a run reached its end and is doubtful: as a warning of Python, or as a command says it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from neuromirror.errors import NeuromirrorWarning


def _warn(text: str) -> None:
    warnings.warn(text, NeuromirrorWarning, stacklevel=4)


_tell: ContextVar[Callable[[str], None]] = ContextVar("tell", default=_warn)


def notice(text: str) -> None:
    """Say something of a run: as a `NeuromirrorWarning`, unless `told_by` has another way."""
    _tell.get()(text)


@contextmanager
def told_by(tell: Callable[[str], None]) -> Iterator[None]:
    """Have notices told by a function meanwhile.

    Not by a hook of `warnings`, of which a process has one for all its threads.
    """
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)
