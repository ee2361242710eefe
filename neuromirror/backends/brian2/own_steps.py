"""Whether a time step is short enough for equations of a user's own, which are integrated by Euler's method.

About a point where the equations are started, a deviation obeys x' = J·x, with J the matrix of derivatives. A time step
dt multiplies it by 1 + dt·J: what decays in continuous time overshoots where dt is longer than its time constant, and
grows where it is twice as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import brian2 as b2
import numpy as np
from brian2.parsing.sympytools import str_to_sympy

from neuromirror.backends.brian2.quantities import quantity
from neuromirror.circuit.description import Cell

DRIVE = "drive"


def too_long_step(cell: Cell, dt_s: float) -> str | None:
    """Say what of a cell's own equations is faster than the time step; None if nothing is, or it cannot be told.

    Parameters
    ----------
    cell : Cell
        Of model ``custom``, which Brian2 does not refuse.
    dt_s : float
        Time step, in seconds.
    """
    equations = b2.Equations(cell.equations or "")
    names = sorted(equations.diff_eq_names)
    expressions = _expressions(equations, names)
    if expressions is None:
        return None
    for values in _points(cell, equations):
        jacobian = _jacobian(expressions, names, values)
        if jacobian is None:
            continue
        eigenvalues, vectors = np.linalg.eig(jacobian)
        for eigenvalue, vector in zip(eigenvalues, vectors.T, strict=True):
            ratio = abs(eigenvalue) * dt_s
            if eigenvalue.real < 0 and (ratio > 1 + 1e-9 or abs(1 + eigenvalue * dt_s) > 1 + 1e-9):
                fastest = names[int(np.argmax(abs(vector)))]
                does = "grows" if abs(1 + eigenvalue * dt_s) > 1 else "overshoots"
                return (
                    f"{fastest} decays with a time constant of {1e3 / abs(eigenvalue):.3g} ms, and {does} in steps of "
                    f"{dt_s * 1e3:g} ms. Lower time.dt below it, or use slower equations."
                )
    return None


def _expressions(equations: Any, names: list[str]) -> list[Any] | None:
    """Return the right-hand sides without noise, subexpressions written out; None where one cannot be read."""
    substituted = dict(equations.get_substituted_expressions(include_subexpressions=False))
    found = []
    for name in names:
        try:
            expression = str_to_sympy(substituted[name].code)
        except (SyntaxError, ValueError, NotImplementedError, KeyError, TypeError):
            return None
        noises = {symbol: 0 for symbol in expression.free_symbols if symbol.name.startswith("xi")}
        found.append(expression.subs(noises))
    return found


def _points(cell: Cell, equations: Any) -> Iterator[dict[str, float]]:
    """Yield the values of all variables and constants where cells are started: the least, the middle, the most."""
    constants = {name: _si(text) for name, text in (cell.constants or {}).items()}
    assert not isinstance(cell.default_bias, str)
    for share in (0.0, 0.5, 1.0):
        values = {name: 0.0 for name, eq in equations.items() if eq.type != "subexpression"}
        for name, texts in (cell.start or {}).items():
            low, high = (_si(one) for one in (texts if isinstance(texts, tuple) else (texts, texts)))
            values[name] = low + share * (high - low)
        yield {**values, **constants, DRIVE: cell.default_bias.si}


def _si(text: str | float) -> float:
    return float(np.asarray(quantity(text)))


def _jacobian(expressions: list[Any], names: list[str], values: Mapping[str, float]) -> np.ndarray | None:
    """Return the derivatives of each expression by each variable, 1/s; None where one is no number."""
    matrix = np.zeros((len(names), len(names)))
    for row, expression in enumerate(expressions):
        known = {symbol: _value(symbol.name, values) for symbol in expression.free_symbols}
        if None in known.values():
            return None
        for column, name in enumerate(names):
            symbol = next((one for one in expression.free_symbols if one.name == name), None)
            try:
                matrix[row, column] = 0.0 if symbol is None else float(expression.diff(symbol).subs(known).evalf())
            except (TypeError, ValueError, ArithmeticError):
                return None
    return matrix if np.isfinite(matrix).all() else None


def _value(name: str, values: Mapping[str, float]) -> float | None:
    """Return the value of a name in SI units: of a variable, a constant, or a unit; time, which may be any, is 0."""
    if name in values:
        return values[name]
    if name in ("t", "i"):
        return 0.0
    try:
        found = _si(name)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
