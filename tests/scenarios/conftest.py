"""Marks the scenarios that simulate spiking cells, which ``make test-spiking`` runs with another Python and Brian2."""

from __future__ import annotations

import inspect
import re

import pytest

TARGETS = {"brian2", "numpy", "cython", "cpp_standalone"}
RATES = {"brian2-rate", "reference", "torch"}
IN_SPIKES = re.compile(r'cpp_standalone|backends\.brian2|import brian2|target="numpy"|backend="brian2", seed')
"""What a module has in it whose scenarios simulate spiking cells, unless they are of a backend of rates."""


def is_spiking(item: pytest.Item) -> bool:
    """Tell whether a scenario simulates spiking cells: by its parameters, else by its module."""
    chosen = {str(value) for value in getattr(getattr(item, "callspec", None), "params", {}).values()}
    if chosen & TARGETS or chosen & RATES:
        return bool(chosen & TARGETS)
    module = getattr(item, "module", None)
    return module is not None and IN_SPIKES.search(inspect.getsource(module)) is not None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark it."""
    if is_spiking(item):
        item.add_marker(pytest.mark.spiking)
