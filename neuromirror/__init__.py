"""neuromirror: circuits that learn their feedback weights, as spiking neurons and as rates.

One circuit file describes populations, projections, codes, modes, learning rules and schedule; the same file runs as
spiking cells in Brian2 and as rates in torch. Names are loaded when they are first used, so that importing the package
costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuromirror.circuit.circuit import Circuit
    from neuromirror.circuit.load import load
    from neuromirror.compare import comparison
    from neuromirror.errors import CircuitError, NeuromirrorError, RequestError, RunError, UnsupportedError
    from neuromirror.result import Run, open_run
    from neuromirror.simulation import run, run_seeds

__version__ = "0.1.0"

_HOMES = {
    "Circuit": "neuromirror.circuit.circuit",
    "CircuitError": "neuromirror.errors",
    "NeuromirrorError": "neuromirror.errors",
    "RequestError": "neuromirror.errors",
    "Run": "neuromirror.result",
    "RunError": "neuromirror.errors",
    "UnsupportedError": "neuromirror.errors",
    "comparison": "neuromirror.compare",
    "load": "neuromirror.circuit.load",
    "open_run": "neuromirror.result",
    "run": "neuromirror.simulation",
    "run_seeds": "neuromirror.simulation",
}

__all__ = [
    "Circuit",
    "CircuitError",
    "NeuromirrorError",
    "RequestError",
    "Run",
    "RunError",
    "UnsupportedError",
    "__version__",
    "comparison",
    "load",
    "open_run",
    "run",
    "run_seeds",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'neuromirror' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
