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

import numpy as np


def _elementwise(name: str) -> Callable[[Any], Any]:
    """Return a function of NumPy for scalars and NumPy's arrays, and the array's own for those of other libraries.

    What is not finite is said by the number, not by an error or a warning, whatever the library.
    """

    def call(x: Any) -> Any:
        if hasattr(x, name):
            return getattr(x, name)()
        with np.errstate(all="ignore"):
            found = getattr(np, name)(x)
        return found if isinstance(x, np.ndarray) else float(found)

    return call


FUNCTIONS: MappingProxyType[str, Callable[[Any], Any]] = MappingProxyType(
    {"abs": abs, **{name: _elementwise(name) for name in ("exp", "log", "sqrt", "tanh", "sign")}}
)
"""Functions of one argument that an expression may call, for scalars and for arrays of any library."""


@cache
def function_of(expression: str, *arguments: str) -> Callable[..., Any]:
    """Return an expression of this module as a function of its names, for scalars and for arrays of any library.

    ``int(condition)`` makes a number of a truth value, as Brian2 wants it; other arithmetic takes truth values as they
    are.
    """
    return eval(
        f"lambda {', '.join(arguments)}: {expression}", {"__builtins__": {}, "int": lambda truth: truth, **FUNCTIONS}
    )


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A nonlinearity.

    Attributes
    ----------
    phi_of_u : str
        The output φ as an expression in ``u``, which may call `FUNCTIONS`.
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


REACH = 100.0
"""How far from zero the input of a cell is looked for that gives an output, in units of ``code.unit``."""


def numerical_inverse(phi_of_u: str, slope_of_y: str, beta: float) -> float:
    """Return the input nearest to zero at which φ rises through β.

    Raises
    ------
    ValueError
        If there is none up to `REACH`.
    """
    from scipy.optimize import brentq  # here: loading scipy takes time that most commands need not spend

    phi, slope = function_of(phi_of_u, "u"), function_of(slope_of_y, "y")
    grid = np.linspace(-REACH, REACH, 8001)
    with np.errstate(all="ignore"):
        above = 1.0 * phi(grid) + 0.0 * grid - beta
    rises = [k for k in range(len(grid) - 1) if above[k] <= 0 < above[k + 1]]
    if not rises or not slope(beta) > 0:
        raise ValueError(
            f"phi does not rise through beta, {beta:g} in units of code.unit. Choose another phi, beta or unit."
        )
    nearest = min(rises, key=lambda k: abs(grid[k]))
    found: Any = brentq(lambda u: float(phi(u)) - beta, grid[nearest], grid[nearest + 1], xtol=1e-14)
    return float(found)


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
