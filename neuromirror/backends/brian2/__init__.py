"""The Brian2 backend.

Brian2 is imported here, wherever that is first asked for: it sets signal handlers, which Python allows in the main
thread only, so that in another it is imported without.
"""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neuromirror.libraries import need


@contextmanager
def _no_handlers_set() -> Iterator[None]:
    """Have no signal handlers set by this thread, where it is none that can set them."""
    importer, set_handler = threading.get_ident(), signal.signal
    if threading.current_thread() is threading.main_thread():
        yield
        return

    def in_other_threads(number: int, handler: Any) -> Any:
        return signal.getsignal(number) if threading.get_ident() == importer else set_handler(number, handler)

    signal.signal = in_other_threads
    try:
        yield
    finally:
        signal.signal = set_handler


_hook, _on_ctrl_c, _show_warning = sys.excepthook, signal.getsignal(signal.SIGINT), warnings.showwarning
with _no_handlers_set():
    need("brian2", __name__)
sys.excepthook = _hook
"""Brian2 puts a hook of its own there, which would present every error of a user's script as one of Brian2."""

if warnings.showwarning is not _show_warning:
    logging.captureWarnings(False)
    """Brian2 would have all warnings of the process, those of others too, written as messages of its own log."""

if not callable(_on_ctrl_c) and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, _on_ctrl_c)
    """Brian2 would answer a Ctrl-C that is ignored, as in the background of a script, by an error of its own."""

from neuromirror.backends.brian2.private import VERSION, check_version  # noqa: E402

check_version(VERSION)
