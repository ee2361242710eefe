"""A drive over a whole weight array at once: each separable term is one matmul over the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from neuromirror.rules import expression
from neuromirror.rules.expression import Drive, Factor


def _of_either(name: str, of_number: Callable[[float], float]) -> Callable[[Any], Any]:
    of_tensor = getattr(torch, name)
    return lambda x: of_tensor(x) if isinstance(x, Tensor) else of_number(x)


FUNCTIONS = {name: _of_either(name, of_number) for name, of_number in expression.FUNCTIONS.items()}
"""For tensors and, where a drive names none, for its numbers."""


def mean_drive(drive: Drive, values: Mapping[str, Any], weight_TS: Tensor) -> Tensor:
    """Return the mean of a drive over a batch, for every synapse of an array.

    Parameters
    ----------
    drive : Drive
        A rule's drive, separable.
    values : mapping of str to Tensor
        Presynaptic variables (batch, source), postsynaptic ones (batch, target), baselines without the batch.
    weight_TS : Tensor
        The array itself, (target, source), or (target,) for biases.

    Returns
    -------
    Tensor
        Of the array's shape.
    """
    batch = next(v.shape[0] for v in values.values() if v.ndim == 2)
    total = torch.zeros_like(weight_TS)
    for term in drive.terms:
        post_BT = _product(drive, term.post, values, batch, weight_TS.shape[0], weight_TS)
        if weight_TS.ndim == 1:
            mean = post_BT.mean(dim=0)
        else:
            pre_BS = _product(drive, term.pre, values, batch, weight_TS.shape[1], weight_TS)
            mean = post_BT.T @ pre_BS / batch
        for factor in term.w:
            mean = mean * factor.evaluate({**drive.constants, "w": weight_TS}, FUNCTIONS)
        total = total + term.sign * mean
    return total


def _product(
    drive: Drive, factors: tuple[Factor, ...], values: Mapping[str, Any], batch: int, cells: int, like: Tensor
) -> Tensor:
    product = torch.ones(batch, cells, dtype=like.dtype, device=like.device)
    constants = {name: torch.as_tensor(x, dtype=like.dtype, device=like.device) for name, x in drive.constants.items()}
    for factor in factors:
        product = product * factor.evaluate({**constants, **values}, FUNCTIONS)
    return product
