"""What all tests share."""

from __future__ import annotations

import gc

import pytest
from hypothesis import HealthCheck, settings

# On a busy machine examples take longer to make, which is no fault of a test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the modules that tests have imported out of garbage collection.

    Brian2 collects garbage whenever a network is run, and looks through all objects of Brian2, torch and sympy for it:
    0.2 s of processor time for each of some hundred runs. What tests make themselves is collected as ever.
    """
    gc.collect()
    gc.freeze()
