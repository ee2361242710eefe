"""A number by which arrays that should be the same are compared, without sending them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_ODD = 0x5851F42D4C957F2D
"""Of a known multiplicative generator; being odd, it lets no single change go unnoticed."""


def fingerprint(tensor: Tensor) -> int:
    """Return a number of 64 bits that changes with any single bit of a tensor, and with the order of its numbers.

    The sum of its bits, as integers, each times an odd number of its own, modulo 2⁶⁴.
    """
    bits = tensor.detach().reshape(-1).contiguous().view(_INTEGERS[tensor.element_size()]).to(torch.int64)
    place = torch.arange(len(bits), device=bits.device, dtype=torch.int64).mul_(2).add_(1).mul_(_ODD)
    return int((bits * place).sum())


def fingerprint_of_all(tensors: Mapping[str, Tensor]) -> int:
    """Return a number for tensors by name, whatever the order of the names."""
    return combined(fingerprint(tensor) for _, tensor in sorted(tensors.items()))


def combined(numbers: Iterable[int]) -> int:
    """Return one signed number of 64 bits for several, in their order."""
    total = 0
    for number in numbers:
        total = (total * _ODD + number) % 2**64
    return total - 2**64 if total >= 2**63 else total
