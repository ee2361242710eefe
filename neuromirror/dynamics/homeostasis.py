"""What keeps weights in range besides decay: normalisation, and synaptic scaling toward a set point of the rate.

Each equation is written once, as an expression that Brian2 can be handed; scalars and arrays evaluate the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neuromirror.dynamics.activations import function_of
from neuromirror.errors import choice

NORMALISING = "norm/sqrt(squares + int(squares == 0))"
"""What a weight is multiplied by; ``squares`` is the sum of the squares of all weights that are scaled together.

Where they are all 0 they stay so: there is no direction to keep.
"""

SCALING = "exp(share*(1 - rate/set_point))"
"""What the weights of a cell are multiplied by in synaptic scaling, over an update in which its rate is ``rate``.

It solves τ·dw/dt = w·(1 − rate/set_point), multiplicative and postsynaptic (Turrigiano et al. 1998; the proportional
term of van Rossum et al. 2000), with ``share`` the length of the update over τ. As factors of successive updates
multiply, what they do together depends on the mean rate alone, not on the length of one update; and no weight changes
its sign.
"""


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Scaling of weights to a fixed Euclidean norm after each update.

    Attributes
    ----------
    per : {"target", "source", "array"}
        Which weights are scaled together: those of each target cell, of each source cell, or all.
    norm : float
        What the root of the sum of their squares becomes.
    """

    per: str
    norm: float

    def __post_init__(self) -> None:
        choice("normalise.per", self.per, "target", "source", "array")

    def factor(self, squares: Any) -> Any:
        """Return what weights are multiplied by, given the sum of their squares; see `NORMALISING`."""
        return function_of(NORMALISING, "norm", "squares")(self.norm, squares)

    def normalised(self, weights: Any) -> Any:
        """Return an array of any library, (target, source), scaled."""
        axis = {"target": 1, "source": 0, "array": (0, 1)}[self.per]
        return weights * self.factor((weights * weights).sum(axis=axis, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class SynapticScaling:
    """Slow scaling of all forward weights of a cell by one factor, so that its rate tends to a set point.

    Attributes
    ----------
    set_point : float
        In units of ``code.unit``.
    tau_s : float
        Time constant, in seconds.
    """

    set_point: float
    tau_s: float

    def factor(self, rate: Any, span_s: float) -> Any:
        """Return what the weights of cells are multiplied by, after `span_s` seconds at their `rate`; see `SCALING`."""
        return function_of(SCALING, "share", "rate", "set_point")(span_s / self.tau_s, rate, self.set_point)
