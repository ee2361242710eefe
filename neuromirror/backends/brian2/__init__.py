"""The Brian2 backend."""

import sys

_hook = sys.excepthook
import brian2  # noqa: E402, F401

sys.excepthook = _hook
"""Brian2 puts a hook of its own there, which would present every error of a user's script as one of Brian2."""
