"""The device that a run computes on, and its numbers."""

from __future__ import annotations

import torch

from neuromirror.errors import RequestError

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
