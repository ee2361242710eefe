"""The Brian2 backend."""

import signal
import sys

_hook, _on_ctrl_c = sys.excepthook, signal.getsignal(signal.SIGINT)
import brian2  # noqa: E402, F401

sys.excepthook = _hook
"""Brian2 puts a hook of its own there, which would present every error of a user's script as one of Brian2."""

if not callable(_on_ctrl_c):
    signal.signal(signal.SIGINT, _on_ctrl_c)
    """Brian2 would answer a Ctrl-C that is ignored, as in the background of a script, by an error of its own."""
