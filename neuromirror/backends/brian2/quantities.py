"""Constants with units, as a user writes them: ``"20 ms"``, ``"0.02/ms"``, ``"10 nS"``."""

from __future__ import annotations

import ast
import re
from typing import Any

import brian2 as b2
from brian2.units.allunits import all_units

_UNITS = {str(unit): unit for unit in all_units} | {
    name: value for name, value in vars(b2).items() if isinstance(value, b2.Unit)
}
_SPACED = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s+([A-Za-z(].*)")


def quantity(text: str | float) -> Any:
    """Return a quantity of Brian2.

    Parameters
    ----------
    text : str or float
        A number, or a text of numbers and units with ``*``, ``/`` and ``**`` between, and a space for the first ``*``.

    Raises
    ------
    ValueError
        If it is no such text.
    """
    if not isinstance(text, str):
        return float(text)
    spaced = _SPACED.fullmatch(text)
    try:
        value = _value(ast.parse(f"{spaced[1]}*{spaced[2]}" if spaced else text.strip(), mode="eval").body)
    except (SyntaxError, ArithmeticError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no number with a unit. {_WANTED}") from error
    return value


_WANTED = 'Expected such as "20 ms", "0.02/ms" or "10 nS".'


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.Name):
        if node.id not in _UNITS:
            raise ValueError(f"'{node.id}' is no unit. {_WANTED}")
        return _UNITS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right
        if isinstance(node.op, ast.Pow) and isinstance(right, float) and abs(right) <= 16:
            return left**right
    raise ValueError(f"'{ast.unparse(node)}' is no number with a unit. {_WANTED}")
