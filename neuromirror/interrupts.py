"""Ctrl-C between steps instead of within one, so that what is kept is a moment that the run can go on from."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context in which a first Ctrl-C waits for `check`, and a second one interrupts at once. SIGTERM waits always.

    A job that is to end gets SIGTERM from more than one side, such as the cluster and torchrun, within the same moment.

    It changes nothing in threads other than the main one, nor where a signal is ignored, nor does it take SIGTERM from
    a program that has a handler of its own for it.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            if callable(signal.getsignal(signal.SIGINT)):  # it is none where Ctrl-C is ignored, as with nohup
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._ask)
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise what was asked for.

        Raises
        ------
        KeyboardInterrupt
            If there was a signal to stop.
        """
        if self.asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def noting_interrupts() -> Iterator[threading.Event]:
    """Note a Ctrl-C besides what else it does: a library that it happens to interrupt can take it for an error."""
    noted, before = threading.Event(), signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
