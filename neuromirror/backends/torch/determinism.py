"""Algorithms of torch that give the same numbers again, for as long as something computes with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_users = 0
_before = (False, False)


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch use only algorithms that give the same numbers again, where it has some.

    The setting is one of the whole process: it is as it was before when the last of all threads that ask for it is
    done.
    """
    global _users, _before
    with _lock:
        if _users == 0:
            _before = (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            )
            torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                enabled, warn_only = _before
                torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
