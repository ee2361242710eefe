"""Drives: what is read, what is refused and why, and that every form of a drive computes the same number."""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from neuromirror.errors import RequestError
from neuromirror.rules.expression import (
    FUNCTIONS,
    POSTSYNAPTIC,
    PRESYNAPTIC,
    SYNAPTIC,
    VARIABLES,
    Drive,
    ExpressionError,
    Term,
)
from neuromirror.rules.library import library

SIDES: dict[str, list[str]] = {"pre": sorted(PRESYNAPTIC), "post": sorted(POSTSYNAPTIC), "w": sorted(SYNAPTIC)}
CONSTANTS = {"k": Fraction(2, 3), "c": Fraction(-5, 7)}
HEBB = "(post - beta_post)*(pre - beta_pre)"

Values = Mapping[str, Any]

# Rational stand-ins, so that sums of products can be compared without rounding.
RATIONAL: dict[str, Callable[[Fraction], Fraction]] = {
    "abs": abs,
    "exp": lambda x: x * x + 1,
    "sqrt": lambda x: x + 2,
    "tanh": lambda x: 3 * x - 1,
    "sign": lambda x: Fraction((x > 0) - (x < 0)),
}


@dataclass(frozen=True)
class Written:
    """An expression as text, and the number that it stands for, computed without reading the text."""

    text: str
    value: Callable[[Values], Any]


def joined(left: Written, operator: str, right: Written) -> Written:
    """Write two expressions with an operator between them, in brackets."""
    compute: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
    }
    return Written(f"({left.text} {operator} {right.text})", lambda v: compute[operator](left.value(v), right.value(v)))


def negated(one: Written) -> Written:
    """Write the negative of an expression."""
    return Written(f"(-{one.text})", lambda v: -one.value(v))


def raised(one: Written, exponent: int) -> Written:
    """Write a power of an expression."""
    return Written(f"({one.text})**{exponent}", lambda v: one.value(v) ** exponent)


def named(name: str) -> Written:
    """Write a variable or a constant."""
    return Written(name, lambda v: v[name])


def called(function: str, one: Written) -> Written:
    """Write a call of a function."""
    return Written(f"{function}({one.text})", lambda v: RATIONAL[function](one.value(v)))


def one_sided(side: str) -> st.SearchStrategy[Written]:
    """Draw an expression over one side of the synapse and constants."""
    leaves = st.sampled_from([*SIDES[side], *CONSTANTS]).map(named)
    return st.recursive(
        leaves,
        lambda inside: st.one_of(
            st.builds(joined, inside, st.sampled_from("+-*/"), inside),
            st.builds(negated, inside),
            st.builds(raised, inside, st.sampled_from([-2, -1, 0, 1, 2, 3])),
            st.builds(called, st.sampled_from(sorted(FUNCTIONS)), inside),
        ),
        max_leaves=4,
    )


ANY_SIDE = st.sampled_from(sorted(SIDES)).flatmap(one_sided)
SEPARABLE = st.recursive(
    ANY_SIDE,
    lambda inside: st.one_of(
        st.builds(joined, inside, st.sampled_from("+-*"), inside),
        st.builds(joined, inside, st.just("/"), ANY_SIDE),
        st.builds(negated, inside),
        st.builds(raised, ANY_SIDE, st.sampled_from([1, 2, 3])),
        st.builds(lambda a, b, n: raised(joined(a, "+", b), n), ANY_SIDE, ANY_SIDE, st.sampled_from([1, 2, 3, 4])),
    ),
    max_leaves=6,
)
FRACTIONS = st.fractions(-3, 3, max_denominator=9)
SEEN = st.fixed_dictionaries(dict.fromkeys(VARIABLES, FRACTIONS))


def sum_of_products(terms: tuple[Term, ...], values: Values, functions: Mapping[str, Any]) -> Any:
    """Compute a drive from its terms."""
    total: Any = 0
    for term in terms:
        product: Any = term.sign
        for factor in (*term.pre, *term.post, *term.w):
            product = product * factor.evaluate(values, functions)
        total = total + product
    return total


def computed(ask: Callable[[], Any]) -> Any:
    """Give a result; pass over examples that divide by zero, or overflow."""
    try:
        return ask()
    except (ZeroDivisionError, OverflowError):
        assume(False)


# ---- one number, however it is computed -----------------------------------------------------------------------------


@given(SEPARABLE, SEEN)
@settings(deadline=None, max_examples=150)
def test_the_terms_add_up_to_what_the_text_says(written: Written, seen: dict[str, Fraction]) -> None:
    assume(len(written.text) <= 1000)
    drive, values = Drive(written.text, CONSTANTS), {**CONSTANTS, **seen}  # type: ignore[arg-type]
    expected = computed(lambda: written.value(values))
    assert drive.evaluate(seen, RATIONAL) == expected
    assert computed(lambda: sum_of_products(drive.terms, values, RATIONAL)) == expected


@given(SEPARABLE)
@settings(deadline=None, max_examples=40)
def test_every_factor_of_a_term_names_one_side_only(written: Written) -> None:
    assume(len(written.text) <= 1000)
    for term in Drive(written.text, CONSTANTS).terms:  # type: ignore[arg-type]
        assert term.sign in (1, -1)
        for side, factors in (("pre", term.pre), ("post", term.post), ("w", term.w)):
            for factor in factors:
                names = {node.id for node in ast.walk(ast.parse(factor.text)) if isinstance(node, ast.Name)}
                assert names <= {*SIDES[side], *CONSTANTS, *FUNCTIONS}


@given(SEPARABLE)
@settings(deadline=None, max_examples=40)
def test_names_are_the_variables_of_the_text(written: Written) -> None:
    assume(len(written.text) <= 1000)
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in written.text).split())
    assert Drive(written.text, CONSTANTS).names == words & set(VARIABLES)  # type: ignore[arg-type]


@given(ANY_SIDE, ANY_SIDE, st.floats(-3, 3), st.floats(-3, 3), st.lists(st.floats(-3, 3), min_size=9, max_size=9))
@example(named("w"), raised(named("k"), 2), -0.5, 1.0, [1.0] * 9)
@example(named("pre"), negated(named("k")), -0.5, 1.0, [1.0] * 9)
@settings(deadline=None, max_examples=200)
def test_what_brian2_is_handed_is_the_drive_under_other_names(
    one: Written, other: Written, k: float, c: float, numbers: list[float]
) -> None:
    drive = Drive(f"{one.text}*{other.text}", {"k": k, "c": c})
    values = dict(zip(VARIABLES, numbers, strict=True))
    text = drive.brian2({name: f"my_{name}" for name in VARIABLES})
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert names - set(FUNCTIONS) == {f"my_{name}" for name in drive.names}
    mild: dict[str, Any] = {**FUNCTIONS, "exp": math.atan, "sqrt": math.cbrt}  # defined for all numbers, and small
    expected = computed(lambda: drive.evaluate(values, mild))
    found = eval(text, {}, {**mild, **{f"my_{name}": x for name, x in values.items()}})
    assert found == expected or (math.isnan(found) and math.isnan(expected))  # of 0·∞, which numbers near 0 come to


@given(SEPARABLE, st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_arrays_are_evaluated_element_by_element(written: Written, seed: int) -> None:
    assume(len(written.text) <= 1000)
    arrays = dict(zip(VARIABLES, np.random.default_rng(seed).uniform(0.5, 2, (9, 4)), strict=True))
    mild: dict[str, Any] = {"abs": abs, "sign": np.sign, "exp": np.cos, "sqrt": np.cbrt, "tanh": np.tanh}
    drive = Drive(written.text, {"k": 0.7, "c": -1.3})
    with np.errstate(all="ignore"):
        whole = np.broadcast_to(computed(lambda: drive.evaluate(arrays, mild)), 4)
        single = [
            computed(lambda i=i: drive.evaluate({name: array[i] for name, array in arrays.items()}, mild))
            for i in range(4)
        ]
    np.testing.assert_allclose(whole, single, rtol=1e-12)


def test_functions_of_one_synapse() -> None:
    for text, x, expected in [
        ("abs(pre)", -2.0, 2.0),
        ("exp(pre)", 1.0, math.e),
        ("sqrt(pre)", 9.0, 3.0),
        ("tanh(pre)", 0.5, math.tanh(0.5)),
        ("sign(pre)", -0.1, -1.0),
        ("sign(pre)", 0.0, 0.0),
        ("sign(pre)", 7.0, 1.0),
        ("2**-1*pre", 3.0, 1.5),
        ("-pre**2", 3.0, -9.0),
        ("+pre/4", 3.0, 0.75),
        (" ( pre ) ", 3.0, 3.0),
    ]:
        assert Drive(text).evaluate({"pre": x}) == expected


# ---- products are never expanded ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(library()))
def test_library_rules_are_one_product(name: str) -> None:
    (term,) = Drive(library()[name].drive).terms
    assert len(term.pre) <= 1
    assert len(term.post) <= 1


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        (HEBB, 1),
        (f"({HEBB})**2", 1),
        (f"-{HEBB}/(1 + abs(post))", 1),
        (f"{HEBB} - k*w*(post - beta_post)**2", 2),
        (f"w*({HEBB} - w)", 2),
        ("(pre + post)**4", 16),
        ("tanh(pre - beta_pre)*(error - cross)*w**2*k", 1),
    ],
)
def test_only_what_mixes_both_sides_is_multiplied_out(text: str, terms: int) -> None:
    assert len(Drive(text, {"k": 0.5}).terms) == terms


def test_two_large_signals_that_nearly_cancel_keep_the_digits_of_their_difference() -> None:
    # Differences of float32 within a factor of 2 are exact (Sterbenz), so that the product has one rounding. Expanded,
    # its terms are beta² = 1.6e7 with roundings of 1 each.
    rng = np.random.default_rng(0)
    beta = np.float32(4000)
    pre, post = (beta + rng.normal(size=(2, 1000)).astype(np.float32)).astype(np.float32)
    values = {"pre": pre, "post": post, "beta_pre": beta, "beta_post": beta}
    exact = (post.astype(np.float64) - 4000) * (pre.astype(np.float64) - 4000)
    drive = Drive(library()["weight_mirror"].drive)
    for found in (drive.evaluate(values, {}), sum_of_products(drive.terms, values, {})):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=2**-24)
    expanded = Drive("post*pre - post*beta_pre - beta_post*pre + beta_post*beta_pre").evaluate(values, {})
    assert np.abs(expanded - exact).max() > 0.1


def test_a_product_is_typeset_as_it_is_written() -> None:
    post, pre = (rf"\left(y_\mathrm{{{side}}} - \beta_\mathrm{{{side}}}\right)" for side in ("post", "pre"))
    assert Drive(HEBB).latex() == f"{post} {pre}"
    assert Drive("k*w*abs(error)", {"k": 2.0}).latex() == r"k w \left|{\delta}\right|"


@given(SEPARABLE)
@settings(deadline=None, max_examples=30)
def test_every_drive_can_be_typeset(written: Written) -> None:
    assume(len(written.text) <= 1000)
    constants = {"k": 2.0, "c": 0.5}
    assert computed(Drive(written.text, constants).latex)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not an expression"),
        ("pre +", "is not an expression"),
        ("pre post", "is not an expression"),
        ("pre = post", "is not an expression"),
        ("pre; post", "is not an expression"),
        ("pre\n*post", "is not an expression"),
        ("(" * 500 + "pre" + ")" * 400, "is not an expression"),
        ("pre\0", "is not an expression"),
        ("pre" + " + pre" * 200, "at most 1000"),
        ("pre_", "'pre_' is nothing that a synapse can see. Did you mean 'pre'"),
        ("W1*pre", "'W1' is nothing that a synapse can see. There are: abs, "),
        ("beta*pre", "'beta' is nothing that a synapse can see."),
        ("__import__", "is nothing that a synapse can see"),
        ("post*log(pre)", "only abs, exp, sign, sqrt, tanh can be called, with one argument"),
        ("abs()", "with one argument"),
        ("abs(pre, post)", "with one argument"),
        ("abs(x=pre)", "with one argument"),
        ("pre(post)", "can be called"),
        ("abs(abs)(pre)", "can be called"),
        ("abs*pre", "'abs' is a function: give it an argument"),
        ("abs(sqrt)", "'sqrt' is a function"),
        ("abs(*pre)", "is not allowed in a drive"),
        ("pre if post else w", "is not allowed in a drive"),
        ("pre and post", "is not allowed in a drive"),
        ("pre > post", "is not allowed in a drive"),
        ("not pre", "is not allowed in a drive"),
        ("~pre", "is not allowed in a drive"),
        ("pre % post", "is not allowed in a drive"),
        ("pre // post", "is not allowed in a drive"),
        ("pre @ post", "is not allowed in a drive"),
        ("pre << 2", "is not allowed in a drive"),
        ("pre.real", "is not allowed in a drive"),
        ("pre[0]", "is not allowed in a drive"),
        ("[pre]", "is not allowed in a drive"),
        ("(pre, post)", "is not allowed in a drive"),
        ("{pre}", "is not allowed in a drive"),
        ("(x := pre)", "is not allowed in a drive"),
        ("lambda: pre", "is not allowed in a drive"),
        ("[pre for pre in post]", "is not allowed in a drive"),
        ("f'{pre}'", "is not allowed in a drive"),
        ("pre + 'a'", "'a' is not a finite number"),
        ("pre + True", "True is not a finite number"),
        ("pre + None", "None is not a finite number"),
        ("pre + 1j", "1j is not a finite number"),
        ("pre + 1e999", "inf is not a finite number"),
        ("pre + ...", "Ellipsis is not a finite number"),
        ("pre**post", "an exponent must be a number from -16 to 16"),
        ("pre**17", "an exponent must be a number from -16 to 16"),
        ("pre**-16.5", "an exponent must be a number from -16 to 16"),
        ("pre**(1 + 1)", "an exponent must be a number from -16 to 16"),
        ("2**k*pre", "an exponent must be a number from -16 to 16"),
    ],
)
def test_what_is_no_drive_is_refused_when_it_is_read(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        Drive(text, {"k": 0.5})
    assert says in str(refused.value)
    assert isinstance(refused.value, RequestError)


@pytest.mark.parametrize("name", ["pre", "w", "abs", "2x", "a b", "", "a.b"])
def test_a_constant_needs_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ExpressionError, match=f"constant '{name}': .* Choose another name"):
        Drive("pre", {name: 1.0})


@pytest.mark.parametrize("exponent", ["16", "-16", "0.5", "-0.5", "+2", "--2", "0"])
def test_small_numbers_are_exponents(exponent: str) -> None:
    assert Drive(f"pre**{exponent}").evaluate({"pre": 1.5}) == 1.5 ** eval(exponent)


@pytest.mark.parametrize(
    "text",
    [
        "tanh(pre*post)",
        "tanh(pre + w)",
        "1/(pre + post)",
        "w/(1 + pre*post)",
        "(pre + post)**0.5",
        "(pre + post)**-1",
        "(pre + post)**5",
        "(pre + post)**0",
        "k + abs(post - w)*pre",
    ],
)
def test_what_is_no_sum_of_products_is_refused_for_arrays_alone(text: str) -> None:
    drive = Drive(text, {"k": 0.5})
    values = {"pre": 1.5, "post": 0.5, "w": 2.0}
    assert drive.evaluate(values) == eval(text, {"tanh": math.tanh, "k": 0.5, **values})
    with pytest.raises(ExpressionError, match=r"no sum of products.*reference"):
        _ = drive.terms


def test_a_drive_that_would_be_thousands_of_products_is_refused_for_arrays() -> None:
    # 65536 of them; one power more would not fit into any memory.
    with pytest.raises(ExpressionError):
        _ = Drive("((pre + post)**4)**4").terms


@pytest.mark.parametrize(
    "text",
    ["-" * 600 + "pre", "-" * 990 + "pre", "pre" + "+w" * 490, "abs(" * 190 + "pre" + ")" * 190, "pre" + "*w" * 90],
    ids=lambda text: f"{text[:8]}…",
)
def test_a_drive_is_either_refused_when_it_is_read_or_can_be_used(text: str) -> None:
    try:
        drive = Drive(text)
    except ExpressionError:
        return
    assert math.isfinite(drive.evaluate({"pre": 0.5, "w": 0.25}))
    assert drive.brian2({})
    assert drive.latex()
    try:
        assert drive.terms
    except ExpressionError:
        assert len(drive.names) > 1


TOKENS = [
    *VARIABLES,
    *FUNCTIONS,
    *"+-*/()",
    "**",
    "2",
    "0.5",
    "1e3",
    ",",
    " ",
    "k",
    ".",
    "[",
    "if",
    "else",
    "=",
    "lambda:",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join) | st.text(max_size=20))
@settings(deadline=None, max_examples=300)
def test_a_text_is_a_drive_or_an_expression_error(text: str) -> None:
    try:
        drive = Drive(text, {"k": 0.5})
    except ExpressionError:
        return
    assert drive.names <= set(VARIABLES)
    with contextlib.suppress(ArithmeticError):
        drive.evaluate(dict.fromkeys(VARIABLES, 0.5))
    assert drive.brian2({})
