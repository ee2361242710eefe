"""Activation functions φ of the rate backends (eq. 1), and φ' as the gate projection computes it from y (eq. 3).

Each is written once, as an expression that Brian2 can be handed; scalars and arrays evaluate the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any


@cache
def function_of(expression: str, *arguments: str) -> Callable[..., Any]:
    """Return an expression of this module as a function of its names, for scalars and for arrays of any library.

    ``int(condition)`` makes a number of a truth value, as Brian2 wants it; other arithmetic takes truth values as they
    are.
    """
    return eval(f"lambda {', '.join(arguments)}: {expression}", {"__builtins__": {}, "int": lambda truth: truth})


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A nonlinearity.

    Attributes
    ----------
    phi_of_u : str
        The output φ as an expression in ``u``, which may call ``tanh``.
    slope_of_y : str
        φ' as an expression in the output ``y``, which is all that a feedback cell receives of it (8.4).
    inverse : callable
        The default bias b⁻ with φ(b⁻) = β (Appendix B); raises ValueError where no neighbourhood of β has a positive
        derivative.
    non_negative : bool
        Whether outputs can be read as firing rates.
    """

    phi_of_u: str
    slope_of_y: str
    inverse: Callable[[float], float]
    non_negative: bool

    def phi(self, u: Any, tanh: Callable[[Any], Any]) -> Any:
        """Return the output for a scalar or an array; `tanh` is the caller's own hyperbolic tangent."""
        return function_of(self.phi_of_u, "u", "tanh")(u, tanh)

    def slope(self, y: Any) -> Any:
        """Return φ' for outputs, a scalar or an array."""
        return function_of(self.slope_of_y, "y")(y)


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
        "linear": Activation(phi_of_u="u", slope_of_y="1.0 + 0.0*y", inverse=lambda beta: beta, non_negative=False),
        "relu": Activation(
            phi_of_u="u*int(u > 0)", slope_of_y="1.0*int(y > 0)", inverse=_inverse_relu, non_negative=True
        ),
        "tanh": Activation(phi_of_u="tanh(u)", slope_of_y="1.0 - y*y", inverse=_inverse_tanh, non_negative=False),
        "rectified_tanh": Activation(
            phi_of_u="tanh(u)*int(u > 0)",
            slope_of_y="(1.0 - y*y)*int(y > 0)",
            inverse=_inverse_rectified_tanh,
            non_negative=True,
        ),
    }
)
"""The activation functions that a cell can name, by name."""
