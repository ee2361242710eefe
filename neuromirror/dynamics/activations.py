"""Activation functions φ of the rate backends (eq. 1), and φ' as the gate projection computes it from y (eq. 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A nonlinearity, for scalars and for arrays of any library.

    Attributes
    ----------
    phi : callable
        ``phi(u, tanh)``: the output; `tanh` is the caller's own hyperbolic tangent.
    slope : callable
        ``slope(y)``: φ' as a function of the output y, which is all that a feedback cell receives of it (8.4).
    inverse : callable
        The default bias b⁻ with φ(b⁻) = β (Appendix B); raises ValueError where no neighbourhood of β has a positive
        derivative.
    non_negative : bool
        Whether outputs can be read as firing rates.
    """

    phi: Callable[[Any, Callable[[Any], Any]], Any]
    slope: Callable[[Any], Any]
    inverse: Callable[[float], float]
    non_negative: bool


def _inverse_relu(beta: float) -> float:
    if beta <= 0:
        raise ValueError(f"relu is not above zero with a positive derivative at {beta:g}. Choose a beta above 0.")
    return beta


def _inverse_tanh(beta: float) -> float:
    if not -1 < beta < 1:
        raise ValueError(
            f"tanh stays below 1, and beta is {beta:g} in units of code.unit. Choose code.unit larger than code.beta."
        )
    return math.atanh(beta)


def _inverse_rectified_tanh(beta: float) -> float:
    return _inverse_tanh(_inverse_relu(beta))


ACTIVATIONS: MappingProxyType[str, Activation] = MappingProxyType(
    {
        "linear": Activation(
            phi=lambda u, tanh: u, slope=lambda y: 1.0 + 0.0 * y, inverse=lambda beta: beta, non_negative=False
        ),
        "relu": Activation(
            phi=lambda u, tanh: u * (u > 0), slope=lambda y: 1.0 * (y > 0), inverse=_inverse_relu, non_negative=True
        ),
        "tanh": Activation(
            phi=lambda u, tanh: tanh(u), slope=lambda y: 1.0 - y * y, inverse=_inverse_tanh, non_negative=False
        ),
        "rectified_tanh": Activation(
            phi=lambda u, tanh: tanh(u) * (u > 0),
            slope=lambda y: (1.0 - y * y) * (y > 0),
            inverse=_inverse_rectified_tanh,
            non_negative=True,
        ),
    }
)
"""The activation functions that a cell can name, by name."""
