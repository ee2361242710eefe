"""A drive over a whole weight array at once: each separable term is one matmul over the batch.

Of a convolution's array it is one weight gradient of that convolution, averaged for each tap of the kernel over the
pairs of positions that the tap joins: at the border of an image a tap outside of it joins none. Dividing by the number
of positions alike for all taps would shrink the outer ones (by 1.4 degrees at 28×28, 6 degrees at 7×7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from neuromirror.rules import expression
from neuromirror.rules.expression import POSTSYNAPTIC, PRESYNAPTIC, Drive, Factor


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
        post_BT = _product(drive, term.post, values, (batch, weight_TS.shape[0]), weight_TS)
        if weight_TS.ndim == 1:
            mean = post_BT.mean(dim=0)
        else:
            pre_BS = _product(drive, term.pre, values, (batch, weight_TS.shape[1]), weight_TS)
            mean = post_BT.T @ pre_BS / batch
        total = total + term.sign * _of_weight(drive, term.w, mean, weight_TS)
    return total


@dataclass(frozen=True, kw_only=True)
class Conv:
    """Which positions the taps of a kernel join.

    Attributes
    ----------
    stride, padding : int or (int, int)
        Of the forward convolution, alike or for rows and columns.
    transposed : bool
        Whether the array is a B, which leads from the outputs of its W to the inputs. It is kept in the layout of W.
    """

    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    transposed: bool = False


def mean_conv_drive(drive: Drive, values: Mapping[str, Any], weight_OIYX: Tensor, conv: Conv) -> Tensor:
    """Return the mean of a drive over a batch and over the pairs of positions that each tap joins.

    Parameters
    ----------
    drive : Drive
        A rule's drive, separable.
    values : mapping of str to Tensor
        Presynaptic variables (batch, channel, row, column) of the array's source, postsynaptic ones of its target;
        baselines (channel, row, column), or (channel, 1, 1) where each channel has one.
    weight_OIYX : Tensor
        The array itself, (out channel, in channel, kernel row, kernel column), of a W as of its B.
    conv : Conv

    Returns
    -------
    Tensor
        Of the array's shape; 0 where a tap joins no two positions.
    """
    pre, post = (
        next(v for n, v in values.items() if n in side and v.ndim == 4) for side in (PRESYNAPTIC, POSTSYNAPTIC)
    )
    below, above = (post, pre) if conv.transposed else (pre, post)
    counts, everywhere = _counts(below, above, weight_OIYX, conv)
    total: Tensor | None = None
    for term in drive.terms:
        post_product = _product(drive, term.post, values, post.shape, weight_OIYX)
        pre_product = _product(drive, term.pre, values, pre.shape, weight_OIYX)
        lower, upper = (post_product, pre_product) if conv.transposed else (pre_product, post_product)
        mean = _pairs(lower, upper, weight_OIYX, conv).div_(counts)
        mean = _of_weight(drive, term.w, mean, weight_OIYX)
        mean = mean if term.sign == 1 else term.sign * mean
        total = mean if total is None else total + mean
    total = torch.zeros_like(weight_OIYX) if total is None else total
    return total if everywhere else torch.where(counts > 0.5, total, 0.0)


def _pairs(below: Tensor, above: Tensor, weight: Tensor, conv: Conv) -> Tensor:
    """Return the sum over the pairs of positions that each tap joins: the weight gradient of the convolution."""
    stride, padding = _both(conv.stride), _both(conv.padding)
    wanted = [False, True, False]
    found = torch.ops.aten.convolution_backward(
        above, below, weight, [0], stride, padding, [1, 1], False, [0, 0], 1, wanted
    )
    return found[1]


def _counts(below: Tensor, above: Tensor, weight: Tensor, conv: Conv) -> tuple[Tensor, bool]:
    """Return how many pairs each tap joins over a batch, at least a tiny number, and whether each joins some."""
    sides = zip(
        below.shape[2:], above.shape[2:], weight.shape[2:], _both(conv.stride), _both(conv.padding), strict=True
    )
    rows, columns = (_pairs_along(*side) for side in sides)
    counts = torch.tensor([[float(r * c) for c in columns] for r in rows], dtype=weight.dtype, device=weight.device)
    everywhere = all(rows) and all(columns)
    counts = counts * below.shape[0]
    return (counts if everywhere else counts.clamp(min=0.25)), everywhere


@cache
def _pairs_along(below: int, above: int, kernel: int, stride: int, padding: int) -> tuple[int, ...]:
    """Return for each tap of one axis how many outputs it joins to an input inside of the image."""
    return tuple(sum(0 <= out * stride + tap - padding < below for out in range(above)) for tap in range(kernel))


def _both(of_either: int | tuple[int, ...]) -> list[int]:
    return [of_either, of_either] if isinstance(of_either, int) else list(of_either)


def _of_weight(drive: Drive, factors: tuple[Factor, ...], mean: Tensor, weight: Tensor) -> Tensor:
    for factor in factors:
        mean = mean * factor.evaluate({**drive.constants, "w": weight}, FUNCTIONS)
    return mean


def _product(
    drive: Drive, factors: tuple[Factor, ...], values: Mapping[str, Any], shape: tuple[int, ...], like: Tensor
) -> Tensor:
    constants = {name: torch.as_tensor(x, dtype=like.dtype, device=like.device) for name, x in drive.constants.items()}
    product: Tensor | None = None
    for factor in factors:
        value = factor.evaluate({**constants, **values}, FUNCTIONS)
        product = value if product is None else product * value
    if isinstance(product, Tensor) and product.shape == shape:
        return product
    whole = torch.ones(shape, dtype=like.dtype, device=like.device)
    return whole if product is None else whole * product
