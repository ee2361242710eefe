"""Standard output and standard error of a command, whatever their encoding is and whoever stops reading them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO


class OutputClosedError(Exception):
    """Nobody reads standard output any more, as after ``| head``."""


class _Stream:
    """A text stream that hands its troubles on to a function.

    Parameters
    ----------
    stream : TextIO
    closed : callable
        Called when nobody reads it any more; from then on nothing is written to it.
    """

    def __init__(self, stream: TextIO, closed: Callable[[], None]) -> None:
        self._stream, self._closed = stream, closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._end()
            return len(text)

    def flush(self) -> None:
        """Hand on what has been written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._end()

    def _end(self) -> None:
        # What waits in the buffer would raise again at the end of the process.
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        self._closed()


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    r"""Give a context in which no text is lost to an encoding, and no work to a reader who has left.

    What an encoding lacks is written as an escape, such as ``\u2192`` for an arrow. Where nobody reads standard error,
    the command goes on without it; where nobody reads standard output, the next line to it ends the command.

    Raises
    ------
    OutputClosedError
        At that line.
    """

    def stop() -> None:
        raise OutputClosedError

    held = sys.stdout, sys.stderr
    for stream in held:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = _Stream(held[0], stop), _Stream(held[1], lambda: None)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = held


def print_file(text: str) -> None:
    """Print what is to be kept as a file, which is UTF-8 whatever the terminal's encoding is."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    try:
        buffer.write(text.encode())
        buffer.flush()
    except BrokenPipeError as error:
        raise OutputClosedError from error
