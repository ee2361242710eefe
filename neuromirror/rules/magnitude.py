"""Numbers that an expression would compute before any signal reaches it, and that no computer can hold.

Python's and sympy's whole numbers have as many digits as it takes: a tower of powers, a hundred characters long, keeps
them busy for ever. Here its size is found in floating point, which ends at once.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping

HIGHEST_POWER = 1024
"""Largest exponent of a number: beyond it most numbers leave floating point, or become fractions of great length."""

_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class _RunawayError(Exception):
    """A part that is too large, in text."""


def runaway(tree: ast.expr) -> str | None:
    """Return the first part, made of numbers alone, that is too large to compute; None if there is none.

    Parameters
    ----------
    tree : ast.expr
        Of an expression in Python's or Brian2's syntax. Names and calls are not numbers; what is in them is looked at.
    """
    try:
        _number(tree)
    except _RunawayError as part:
        return str(part)
    except RecursionError:
        return "an expression nested too deeply"
    return None


def runaway_text(text: str) -> str | None:
    """Return what `runaway` returns for a text; None where it is no expression, which others report."""
    try:
        return runaway(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError):
        return None
    except RecursionError:
        return "an expression nested too deeply"


def _number(node: ast.AST) -> float | None:
    """Return the value of a part that is made of numbers alone, or None."""
    if isinstance(node, ast.Constant):
        return _literal(node)
    if isinstance(node, ast.UnaryOp):
        value = _number(node.operand)
        return -value if value is not None and isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _number(node.left), _number(node.right)
        return None if left is None or right is None else _computed(node, left, right)
    for child in ast.iter_child_nodes(node):
        _number(child)
    return None


def _literal(node: ast.Constant) -> float | None:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return None
    try:
        return float(node.value)
    except OverflowError as error:
        raise _RunawayError("a whole number of hundreds of digits") from error


def _computed(node: ast.BinOp, left: float, right: float) -> float | None:
    if isinstance(node.op, ast.Pow):
        if left not in (-1, 0, 1) and abs(right) > HIGHEST_POWER:
            raise _RunawayError(ast.unparse(node))
        compute: Callable[[float, float], float] | None = operator.pow
    else:
        compute = _ARITHMETIC.get(type(node.op))
    if compute is None:
        return None
    try:
        value = compute(left, right)
    except OverflowError as error:
        raise _RunawayError(ast.unparse(node)) from error
    except ZeroDivisionError:
        return None  # no number at all, which others report
    if isinstance(value, complex) or math.isnan(value):
        return None
    if math.isinf(value) and math.isfinite(left) and math.isfinite(right):
        raise _RunawayError(ast.unparse(node))
    return value
