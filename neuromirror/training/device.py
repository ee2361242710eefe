"""The device that a run computes on, and its numbers."""

from __future__ import annotations

import torch

from neuromirror.errors import RequestError
from neuromirror.processes import cores, place

DTYPES = {"float32": torch.float32, "float64": torch.float64}
"""By the names that settings have."""


def device_of(name: str) -> torch.device:
    """Return a device.

    Raises
    ------
    RequestError
        If torch has none of that name, or it is not in this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, TypeError, AssertionError, ImportError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise RequestError(f"--device {name}: torch cannot compute there ({why}). Use --device cpu.") from error
    return device


MOST_WORKERS = 16
"""How many are started unasked: each has batches in memory."""


def workers_of(wanted: int | None, device: torch.device) -> int:
    """Return how many processes prepare images; None: half of the processor's cores for CUDA, and none for the CPU.

    The processes of a run on one machine divide the cores.
    """
    if wanted is not None:
        return wanted
    if device.type != "cuda":
        return 0
    return max(1, min(MOST_WORKERS, cores() // (2 * max(1, place().local_size))))
