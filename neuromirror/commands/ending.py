"""How a command ends: its exit code, and what is said of errors, by which of several processes."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable

import cyclopts

from neuromirror.commands.output import OutputClosedError
from neuromirror.errors import NeuromirrorError, RequestError, RunError
from neuromirror.notices import told_by
from neuromirror.processes import place

FIRST_SPEAKS_S = 10.0
"""How long other processes wait with their end: torchrun ends all as soon as one has ended."""


CLOSED = 141
"""The exit code where nobody reads standard output to its end: that of programs which SIGPIPE has ended."""


def code_of(command: Callable[[], object], interrupted: threading.Event, *, debug: bool) -> int:
    """Run a command, say what went wrong, and return the exit code.

    Parameters
    ----------
    command : callable
    interrupted : Event
        Set where there was a Ctrl-C.
    debug : bool
        Whether tracebacks are shown.
    """
    try:
        with told_by(_say_warning):
            command()
        sys.stdout.flush()
    except (NeuromirrorError, cyclopts.CycloptsError) as error:
        if debug:
            traceback.print_exc()
        say_error(str(error), error)
        return error.exit_code if isinstance(error, NeuromirrorError) else 2
    except KeyboardInterrupt:
        _say_interrupted()
        return 130
    except OutputClosedError:
        return CLOSED
    except Exception as error:
        if interrupted.is_set():  # which a library that it came upon has taken for an error
            _say_interrupted()
            return 130
        if debug:
            raise
        print(f"error: {type(error).__name__}: {error}\n  This is a bug; --debug shows where.", file=sys.stderr)
        return 1
    return 0


def say_error(text: str, error: Exception) -> None:
    """Print an error; of several processes the first speaks of requests, which are mostly the same on all."""
    rank = own_rank()
    if rank and not isinstance(error, RunError):
        time.sleep(FIRST_SPEAKS_S)  # to be ended here, unless the request is wrong in this process alone
    text = text if text.startswith(("error:", "warning:")) else f"error: {text}"
    print(f"rank {rank}: {text}" if rank else text, file=sys.stderr)


def _say_warning(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _say_interrupted() -> None:
    if not own_rank():
        print("interrupted", file=sys.stderr)


def own_rank() -> int:
    """Return which process this is of those that torchrun started; 0 where it is alone."""
    try:
        return place().rank
    except RequestError:  # of an environment that says what cannot be, which `train` refuses
        return 0
