"""One thread of a process uses Brian2 at a time, and leaves it as it was found.

Brian2 keeps its clock, its device and the target of its code once a process, and draws from NumPy's global generator.
Two runs in threads would move each other's clock and take each other's random numbers; so one waits for the other.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.backends.brian2.private import drop_numbers_drawn_ahead, is_standalone
from neuromirror.errors import RequestError

_logger = logging.getLogger("brian2")


class _Turn:
    """Whose turn it is, and how often that thread has taken it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0


_turn = _Turn()
_thread = threading.local()
os.register_at_fork(after_in_child=lambda: _turn.__init__())  # the thread whose turn it was is not in the child


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other thread uses Brian2, use it, and leave its settings and NumPy's random state as they were.

    A thread that has it already may use it within.

    Raises
    ------
    RequestError
        If this thread is in the midst of a simulation, as one that reports its progress is.
    """
    if getattr(_thread, "reports", False):
        raise RequestError(
            "Brian2 runs one simulation at a time, and this would be one within another. "
            "Start it when the run that calls this has ended, or in a process of its own."
        )
    with _turn.lock:
        before = _settings() if _turn.depth == 0 else None
        _turn.depth += 1
        try:
            yield
        finally:
            _turn.depth -= 1
            if before is not None:
                _restore(before)


@contextmanager
def simulating() -> Iterator[None]:
    """Use Brian2 for a simulation, within which no other can be started."""
    with alone(), reporting():
        yield


@contextmanager
def reporting() -> Iterator[None]:
    """Mark this thread as one in which a simulation reports what it has done."""
    _thread.reports = True
    try:
        yield
    finally:
        _thread.reports = False


def check_device_is_free() -> None:
    """Refuse to make a program while code of the user's own is making one.

    Raises
    ------
    RequestError
        If Brian2's device for programs in C++ is in use.
    """
    if is_standalone(b2.get_device()):
        raise RequestError(
            "Brian2's device 'cpp_standalone' is in use by other code of this process. "
            "Call brian2.set_device('runtime') when that is done, or use --target numpy or cython."
        )


def _settings() -> dict[str, Any]:
    device: Any = b2.get_device()
    return {
        "random": np.random.get_state(),
        "device": device,
        "options": (device.build_on_run, device.build_options),
        "target": b2.prefs.codegen.target,
        "dt_s": float(b2.defaultclock.dt),
        "log_level": _logger.level,
    }


def _restore(before: dict[str, Any]) -> None:
    if b2.get_device() is not before["device"]:
        build_on_run, build_options = before["options"]
        b2.set_device(before["device"], build_on_run=build_on_run, **build_options)
    if not is_standalone(before["device"]):
        drop_numbers_drawn_ahead()
    b2.prefs.codegen.target = before["target"]
    if float(b2.defaultclock.dt) != before["dt_s"]:
        b2.defaultclock.dt = before["dt_s"] * b2.second
    _logger.setLevel(before["log_level"])
    np.random.set_state(before["random"])
