"""The libraries that parts of neuromirror are built on, how to get them, and what is said where one is missing."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import MappingProxyType

from neuromirror.errors import UnsupportedError

INSTALL = MappingProxyType(
    {
        # Brian2 2.9, the last for Python 3.11, cannot be imported with numpy 2.4.
        "brian2": "pip install 'brian2>=2.9,<2.12'" + (" 'numpy<2.4'" if sys.version_info < (3, 12) else ""),
        "numpy": "pip install numpy",
        "tensorboard": "pip install tensorboard",
        "torch": "pip install torch torchvision",
        "torchvision": "pip install torchvision",
    }
)
"""How to get a library, wherever neuromirror itself was installed from."""


def is_installed(library: str) -> bool:
    """Return whether a library is there, without importing it."""
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def need(library: str, what: str) -> None:
    """Import a library, or say what cannot be done without it.

    Parameters
    ----------
    library : str
        One of `INSTALL`.
    what : str
        What needs it, in words.

    Raises
    ------
    UnsupportedError
        If it is not installed, or cannot be imported.
    """
    try:
        importlib.import_module(library)
    except UnsupportedError:
        raise
    except Exception as error:  # a library that is half there fails in its own way, often with OSError
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            raise UnsupportedError(f"{what} needs {library}, which is not installed: {INSTALL[library]}") from error
        reason = next(iter(str(error).splitlines()), "") or "it does not say why"
        raise UnsupportedError(
            f"{what} needs {library}, which is installed but cannot be imported ({type(error).__name__}: {reason}). "
            f"Install it again: {INSTALL[library]}"
        ) from error
