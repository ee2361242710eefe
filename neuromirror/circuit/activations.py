"""From the cells of a description to the activation functions that rate backends compute."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neuromirror.circuit.description import Cell
from neuromirror.dynamics import activations
from neuromirror.dynamics.activations import ACTIVATIONS, Activation, function_of, numerical_inverse
from neuromirror.errors import choice
from neuromirror.rules.expression import Expression, ExpressionError

TRIED = np.union1d(np.linspace(-20, 20, 4001), [0.0])
"""Inputs at which an activation of a user's own is tried, in units of ``code.unit``."""

STEP, TOLERANCE = 1e-4, 1e-3


class Phi(Expression):
    """φ as an expression in the input of a cell."""

    variables: ClassVar = {"u": "input of the cell"}
    functions: ClassVar = activations.FUNCTIONS
    unknown: ClassVar = "is not the input u of a cell"
    what: ClassVar = "phi"


class Slope(Expression):
    """φ' as an expression in the output of a cell, which is all that a gate receives of it."""

    variables: ClassVar = {"y": "output of the cell"}
    functions: ClassVar = activations.FUNCTIONS
    unknown: ClassVar = "is not the output y of a cell, all that a gate receives of it"
    what: ClassVar = "a slope"


def activation_of(cell: Cell) -> Activation:
    """Return the activation function of a checked kind of cell.

    Raises
    ------
    ExpressionError
        If one of its own is no allowed expression.
    """
    if choice("activation", cell.activation, *ACTIVATIONS, "expr") != "expr":
        return ACTIVATIONS[cell.activation]
    return _own(cell.phi or "u", cell.slope or "1")


@cache
def _own(phi: str, slope: str) -> Activation:
    phi_of_u, slope_of_y = Phi(phi).brian2({}), Slope(slope)
    # A slope that is the same everywhere still has the shape of what it is asked for.
    slope_text = slope_of_y.brian2({}) if slope_of_y.names else f"{slope_of_y.brian2({})} + 0.0*y"
    return Activation(
        phi_of_u=phi_of_u,
        slope_of_y=slope_text,
        inverse=lambda beta: numerical_inverse(phi_of_u, slope_text, beta),
        non_negative=bool((_outputs(phi_of_u, TRIED) >= 0).all()),
    )


def fault(cell: Cell, *, non_negative: bool) -> tuple[str, str] | None:
    """Return what is wrong with an activation of a user's own: the field and a message; None if nothing is found.

    Parameters
    ----------
    cell : Cell
        With its expressions.
    non_negative : bool
        Whether the code clips signals at zero, so that slopes of outputs below are never asked for.
    """
    for name, kind, text in (("phi", Phi, cell.phi), ("slope", Slope, cell.slope)):
        try:
            expression = kind(text or "")
        except ExpressionError as error:
            return name, str(error)
        if name == "phi" and not expression.names:
            return name, f"'{text}' does not depend on the input u."
    own = activation_of(cell)
    outputs = _outputs(own.phi_of_u, TRIED)
    if not np.isfinite(outputs).all():
        return "phi", f"phi({TRIED[~np.isfinite(outputs)][0]:g}) is not a finite number."
    return _wrong_slope(own, outputs, non_negative)


def _wrong_slope(own: Activation, outputs: NDArray[np.float64], non_negative: bool) -> tuple[str, str] | None:
    """Compare the slope with differences of φ, but where it has a corner."""
    after, before = (_outputs(own.phi_of_u, TRIED + step) for step in (STEP, -STEP))
    forward, backward = (after - outputs) / STEP, (outputs - before) / STEP
    middle = (forward + backward) / 2
    with np.errstate(all="ignore"):
        found = function_of(own.slope_of_y, "y")(outputs)
        corner = abs(forward - backward) > 0.01 * (1 + abs(middle))
        wrong = ~(abs(found - middle) <= TOLERANCE * (1 + abs(middle))) & ~corner
    if non_negative:
        wrong &= outputs > 0
    if not wrong.any():
        return None
    worst = int(np.argmax(np.where(wrong, np.nan_to_num(abs(found - middle), nan=np.inf), -1.0)))
    return "slope", (
        f"at u = {TRIED[worst]:.4g}, where y = phi(u) = {outputs[worst]:.4g}, the slope is {found[worst]:.4g}, but phi "
        f"rises by {middle[worst]:.4g}. Expected the derivative of phi, as an expression in y."
    )


def _outputs(phi_of_u: str, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return np.asarray(1.0 * function_of(phi_of_u, "u")(inputs))
