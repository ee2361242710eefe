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
    from neuromirror.errors import (
        CircuitError,
        DivergenceError,
        NeuromirrorError,
        NeuromirrorWarning,
        RequestError,
        RunError,
        UnsupportedError,
    )
    from neuromirror.result import Run, open_run
    from neuromirror.resuming import resume
    from neuromirror.simulation import run, run_seeds
    from neuromirror.sweeps.sweep import sweep
    from neuromirror.training.align import Alignment, align
    from neuromirror.training.train import train

__version__ = "0.1.0"

_HOMES = {
    "Circuit": "neuromirror.circuit.circuit",
    "Alignment": "neuromirror.training.align",
    "CircuitError": "neuromirror.errors",
    "DivergenceError": "neuromirror.errors",
    "NeuromirrorError": "neuromirror.errors",
    "NeuromirrorWarning": "neuromirror.errors",
    "RequestError": "neuromirror.errors",
    "Run": "neuromirror.result",
    "RunError": "neuromirror.errors",
    "UnsupportedError": "neuromirror.errors",
    "align": "neuromirror.training.align",
    "comparison": "neuromirror.compare",
    "load": "neuromirror.circuit.load",
    "open_run": "neuromirror.result",
    "resume": "neuromirror.resuming",
    "run": "neuromirror.simulation",
    "run_seeds": "neuromirror.simulation",
    "sweep": "neuromirror.sweeps.sweep",
    "train": "neuromirror.training.train",
}

__all__ = [
    "Alignment",
    "Circuit",
    "CircuitError",
    "DivergenceError",
    "NeuromirrorError",
    "NeuromirrorWarning",
    "RequestError",
    "Run",
    "RunError",
    "UnsupportedError",
    "__version__",
    "align",
    "comparison",
    "load",
    "open_run",
    "resume",
    "run",
    "run_seeds",
    "sweep",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'neuromirror' has no attribute '{name}'")
    if _HOMES[name].startswith("neuromirror.training"):
        from neuromirror.libraries import need

        need("torch", f"neuromirror.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
