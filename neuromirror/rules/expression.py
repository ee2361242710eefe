"""A local learning rule's drive: a checked expression over what one synapse can see.

The text is parsed once. Every backend takes the form that suits it from the same object: the reference backend
evaluates it synapse by synapse, Brian2 is handed the string, torch contracts its separable terms, and the docs print
its LaTeX. The product of two centred signals is never expanded: in float32 at a large baseline that costs four digits.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any, ClassVar

from neuromirror.errors import RequestError, suggestion
from neuromirror.rules.magnitude import runaway
from neuromirror.rules.names import name_fault

PRESYNAPTIC: Mapping[str, str] = {
    "pre": "signal of the source cell",
    "beta_pre": "baseline of the source cell",
    "noise_pre": "noise injected into the source cell",
}
POSTSYNAPTIC: Mapping[str, str] = {
    "post": "signal of the target cell",
    "beta_post": "baseline of the target cell",
    "noise_post": "noise injected into the target cell",
    "error": "what the error projection brings to the target cell",
    "cross": "the forward signal that reaches a feedback cell",
}
SYNAPTIC: Mapping[str, str] = {"w": "the synapse's own weight"}
VARIABLES: Mapping[str, str] = {**PRESYNAPTIC, **POSTSYNAPTIC, **SYNAPTIC}
"""All that a drive may name besides its constants; signals are in units of ``code.unit``."""

FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "abs": math.fabs,  # abs takes complex numbers too
    "exp": math.exp,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "sign": lambda x: float((x > 0) - (x < 0)),
}
"""Functions of one argument that a drive may call, for one synapse; a backend brings its own for arrays."""

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_SIDES = {**dict.fromkeys(PRESYNAPTIC, "pre"), **dict.fromkeys(POSTSYNAPTIC, "post"), **dict.fromkeys(SYNAPTIC, "w")}
_MAX_LENGTH = 1000
_MAX_DEPTH = 100
"""Levels of nesting of an expression: what every backend's own parser can follow."""
_MAX_TERMS = 1000
"""Products that an expression may be multiplied out to."""


class ExpressionError(RequestError):
    """A drive that is not an expression over what one synapse can see."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A sub-expression that names variables of one side of the synapse only.

    Attributes
    ----------
    text : str
        The sub-expression, constants by name.
    code : code object
        Its compiled form, for `evaluate`.
    """

    text: str
    code: CodeType

    def evaluate(self, values: Mapping[str, Any], functions: Mapping[str, Any]) -> Any:
        """Evaluate with the values (scalars or arrays that broadcast) and functions of a backend."""
        return eval(self.code, {"__builtins__": {}}, {**functions, **values})


@dataclass(frozen=True)
class Term:
    """One separable term of a drive: sign · pre(·) · post(·) · w(·), each factor absent where it is 1."""

    sign: int
    pre: tuple[Factor, ...] = ()
    post: tuple[Factor, ...] = ()
    w: tuple[Factor, ...] = ()

    def negated(self) -> Term:
        """Return the term with its sign changed."""
        return Term(-self.sign, self.pre, self.post, self.w)

    def times(self, other: Term) -> Term:
        """Return the product of two terms."""
        return Term(self.sign * other.sign, self.pre + other.pre, self.post + other.post, self.w + other.w)

    def over(self, divisor: Term) -> Term:
        """Return the quotient by a one-sided term."""
        inverse = {
            side: tuple(_factor(f"1/({factor.text})") for factor in getattr(divisor, side))
            for side in ("pre", "post", "w")
        }
        return Term(
            self.sign * divisor.sign, self.pre + inverse["pre"], self.post + inverse["post"], self.w + inverse["w"]
        )


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Parameters
    ----------
    text : str
        Expression over `variables`, the constants, ``+ - * / **`` and `functions`.
    constants : mapping of str to float
        Named constants.

    Raises
    ------
    ExpressionError
        If the text is not such an expression.
    """

    variables: ClassVar[Mapping[str, str]] = VARIABLES
    functions: ClassVar[Mapping[str, Callable[[float], float]]] = FUNCTIONS
    unknown: ClassVar[str] = "is nothing that a synapse can see"
    what: ClassVar[str] = "a drive"

    text: str
    constants: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.constants:
            if name in self.variables or name in self.functions:
                raise ExpressionError(f"constant '{name}': {self.what} has that name already. Choose another name.")
            if (fault := name_fault(name)) is not None:
                raise ExpressionError(f"constant '{name}': it {fault}. Choose another name.")
        if (part := runaway(self._tree)) is not None:
            raise ExpressionError(f"'{_short(part)}' is too large a number to compute. Write a smaller one.")
        for node in ast.walk(self._tree):
            self._check(node)

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > _MAX_LENGTH:
            raise ExpressionError(f"the expression has {len(self.text)} characters; at most {_MAX_LENGTH} are read.")
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ExpressionError(f"{self.text!r} is not an expression ({error.__class__.__name__}).") from error
        if _depth(tree) > _MAX_DEPTH:
            raise ExpressionError(f"the expression is nested too deeply; at most {_MAX_DEPTH} levels are read.")
        return tree

    def _check(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            known = {*self.variables, *self.constants, *self.functions}
            if node.id not in known:
                raise ExpressionError(f"'{node.id}' {self.unknown}. {suggestion(node.id, known)}")
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float) or not math.isfinite(node.value):
                raise ExpressionError(f"{node.value!r} is not a finite number.")
        elif isinstance(node, ast.Call):
            if (
                not isinstance(node.func, ast.Name)
                or node.func.id not in self.functions
                or len(node.args) != 1
                or node.keywords
            ):
                raise ExpressionError(
                    f"'{ast.unparse(node)}': only {', '.join(sorted(self.functions))} can be called, with one argument."
                )
        elif isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.Pow) and not _is_small_number(node.right):
                raise ExpressionError(f"'{ast.unparse(node)}': an exponent must be a number from -16 to 16.")
        elif not isinstance(node, (*_OPERATORS, ast.UnaryOp, ast.USub, ast.UAdd, ast.Load)):
            found = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise ExpressionError(
                f"'{found}' is not allowed in {self.what}. "
                f"Use + - * / **, numbers, {', '.join(sorted(self.functions))} and the variables."
            )
        if isinstance(node, ast.Name) and node.id in self.functions and not self._called(node):
            raise ExpressionError(f"'{node.id}' is a function: give it an argument.")

    def _called(self, name: ast.Name) -> bool:
        return any(isinstance(node, ast.Call) and node.func is name for node in ast.walk(self._tree))

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables that the expression names, without constants and functions."""
        return frozenset(_names(self._tree)) & frozenset(self.variables)

    @cached_property
    def _whole(self) -> Factor:
        return _factor(ast.unparse(self._tree))

    def evaluate(self, values: Mapping[str, Any], functions: Mapping[str, Any] = FUNCTIONS) -> Any:
        """Evaluate the expression as it stands.

        Parameters
        ----------
        values : mapping of str to float or array
            A value for every name in `names`; arrays must broadcast.
        functions : mapping of str to callable
            Implementations of `FUNCTIONS` for these values.
        """
        return self._whole.evaluate({**self.constants, **values}, functions)

    def brian2(self, names: Mapping[str, str]) -> str:
        """Return the expression as Brian2 reads it, with the given variable names and constants as numbers."""
        replaced = _Renamer(names, self.constants).visit(ast.parse(ast.unparse(self._tree), mode="eval"))
        return ast.unparse(replaced.body)


@dataclass(frozen=True)
class Drive(Expression):
    """The drive of a learning rule: an `Expression` over `VARIABLES` and constants, with `FUNCTIONS`."""

    def check_numbers(self) -> None:
        """Compute every part that names no variable.

        Raises
        ------
        ExpressionError
            If one is no finite number, whatever the synapse sees.
        """
        for part in _numbers(self._tree):
            text = ast.unparse(part)
            try:
                value = _factor(text).evaluate(self.constants, FUNCTIONS)
                finite = not isinstance(value, complex) and math.isfinite(value)
            except (ArithmeticError, ValueError, TypeError):  # a function of a complex number is a TypeError
                finite = False
            if not finite:
                raise ExpressionError(f"'{text}' is not a finite number.")

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The drive as a sum of products of one-sided factors.

        Raises
        ------
        ExpressionError
            If a part mixes both sides of the synapse in a way that is no product, such as ``tanh(pre*post)``.
        """
        return tuple(_terms(self._tree))

    def latex(self) -> str:
        """Return the drive in LaTeX, typeset by sympy from an explicit symbol table."""
        import sympy

        symbols = {name: sympy.Symbol(_LATEX.get(name, name)) for name in (*VARIABLES, *self.constants)}
        functions = {"abs": sympy.Abs, "sign": sympy.sign, **{f: getattr(sympy, f) for f in ("exp", "sqrt", "tanh")}}
        with sympy.evaluate(False):
            return sympy.latex(self._whole.evaluate(symbols, functions), order="none")


_LATEX = {
    "pre": r"y_\mathrm{pre}",
    "post": r"y_\mathrm{post}",
    "beta_pre": r"\beta_\mathrm{pre}",
    "beta_post": r"\beta_\mathrm{post}",
    "noise_pre": r"\xi_\mathrm{pre}",
    "noise_post": r"\xi_\mathrm{post}",
    "error": r"\delta",
    "cross": r"y_\mathrm{cross}",
}


class _Renamer(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str], constants: Mapping[str, float]) -> None:
        self.names, self.constants = names, constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.constants:
            value = float(self.constants[node.id])
            # A minus sign of its own: as part of the number it would be unparsed as -0.5**2, which is another number.
            return ast.Constant(value) if math.copysign(1, value) > 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))
        return ast.Name(self.names.get(node.id, node.id))

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        # Whole numbers would be computed as such, and 5**-1 is then 0.
        return ast.Constant(float(node.value)) if isinstance(node.value, int) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        right = node.right if isinstance(node.op, ast.Pow) else self.visit(node.right)
        return ast.BinOp(self.visit(node.left), node.op, right)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _factor(text: str) -> Factor:
    return Factor(text, compile(text, "<drive>", "eval"))


def _depth(tree: ast.AST) -> int:
    """Return the number of levels, without recursion."""
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _is_small_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_small_number(node.operand)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value <= 16


def _names(node: ast.AST) -> Iterator[str]:
    return (part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def _numbers(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the largest parts of an expression that name no variable; of a divisor, its inverse."""
    if any(name in VARIABLES for name in _names(node)):
        for child in ast.iter_child_nodes(node):
            yield from _numbers(child)
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and not set(_names(node.right)) & set(VARIABLES)
        ):
            yield ast.BinOp(ast.Constant(1), ast.Div(), node.right)
    elif isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call):
        yield node


def _products(node: ast.expr, left: list[Term], right: list[Term]) -> list[Term]:
    if len(left) * len(right) > _MAX_TERMS:
        raise ExpressionError(
            f"'{ast.unparse(node)}' is a sum of more than {_MAX_TERMS} products, too many to compute for arrays. "
            "Write it with fewer, or use --backend brian2-rate or reference."
        )
    return [a.times(b) for a in left for b in right]


def _terms(node: ast.expr) -> list[Term]:
    sides = {_SIDES[name] for name in _names(node) if name in _SIDES}
    if len(sides) <= 1:
        return [Term(1, **{sides.pop() if sides else "post": (_factor(ast.unparse(node)),)})]
    if isinstance(node, ast.UnaryOp):
        terms = _terms(node.operand)
        return [term.negated() for term in terms] if isinstance(node.op, ast.USub) else terms
    if isinstance(node, ast.BinOp):
        left, right = _terms(node.left), _terms(node.right) if not isinstance(node.op, ast.Pow) else []
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left + [term.negated() for term in right]
        if isinstance(node.op, ast.Mult):
            return _products(node, left, right)
        if isinstance(node.op, ast.Div) and len(right) == 1:
            return [term.over(right[0]) for term in left]
        exponent = node.right.value if isinstance(node.right, ast.Constant) else None
        if isinstance(node.op, ast.Pow) and isinstance(exponent, int) and 1 <= exponent <= 4:
            product = left
            for _ in range(exponent - 1):
                product = _products(node, product, left)
            return product
    raise ExpressionError(
        f"'{ast.unparse(node)}' mixes both sides of the synapse in a way that is no sum of products, "
        "so it cannot be computed for arrays. Write it as a sum of products, or use --backend brian2-rate or reference."
    )
