"""How Brian2 runs: which code it makes, what it says, and how Ctrl-C and errors end it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import brian2 as b2

from neuromirror.backends.brian2.private import BrianObjectException, take_interrupt
from neuromirror.errors import RunError


def use_runtime(target: str) -> None:
    """Have Brian2 run here and now, with the code of a target: ``numpy`` or ``cython``."""
    b2.set_device("runtime")
    b2.prefs.codegen.target = target


def quieten() -> None:
    """Have Brian2 say nothing but errors: warnings that matter are ours."""
    logging.getLogger("brian2").setLevel(logging.ERROR)


def stop_if_interrupted() -> None:
    """Raise what Brian2 swallows: it answers Ctrl-C by ending the simulation early, as if that were all."""
    if take_interrupt():
        raise KeyboardInterrupt


@contextmanager
def errors_of_brian2() -> Iterator[None]:
    """Raise what Brian2 says of a circuit as a `RunError`."""
    try:
        yield
    except BrianObjectException as error:
        raise RunError(f"Brian2 cannot run this circuit: {error.__cause__ or error}.") from error
