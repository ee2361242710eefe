"""Names and numbers in a user's expressions: what one backend would read as another, or would never have computed."""

from __future__ import annotations

import ast
import keyword
import math

import pytest
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS
from brian2.equations.equations import Equations
from hypothesis import given
from hypothesis import strategies as st

from neuromirror.circuit.activations import Phi, Slope
from neuromirror.circuit.checks.own_cells import _expressions
from neuromirror.circuit.description import Cell
from neuromirror.circuit.load import load
from neuromirror.rules.expression import Drive, ExpressionError
from neuromirror.rules.magnitude import runaway_text
from neuromirror.rules.names import BRIAN2, BRIAN2_FUNCTIONS, CPP, name_fault

TOWERS = [
    "(((((((9**16)**16)**16)**16)**16)**16)**16)",
    "9**9**9**9",
    "2**16**16",
    "0.5**(10**9)",
    "(1e300*1e300)",
    "(1e308 + 1e308)",
    "1" + "0" * 400,
]

OPERATORS = st.sampled_from(["+", "-", "*", "/", "**"])


@pytest.mark.parametrize("tower", TOWERS)
def test_numbers_that_no_computer_holds_are_refused_wherever_they_stand(tower: str) -> None:
    for kind, text in ((Drive, f"pre*{tower}"), (Phi, f"u + {tower}*u"), (Slope, f"y/{tower}"), (Drive, tower)):
        with pytest.raises(ExpressionError, match=r"too large a number|exponent must be|finite"):
            kind(text)
    own = {
        "equations": f"# a cell\ndv/dt = (drive - v)\n  /(20*ms*{tower}) : volt (unless refractory)",
        "threshold": f"v > 20*mV*{tower}",
        "reset": f"v = 0*mV; v += {tower}*mV",
        "constants": {"k": f"{tower} mV"},
        "start": {"v": ("0 mV", f"{tower}*mV")},
    }
    for field, value in own.items():
        cell = Cell(model="custom", **{field: value})
        found = [where[0] for where, text in _expressions(cell) if runaway_text(text) is not None]
        assert found == [field], field
    unit = Cell(model="custom", equations=f"dv/dt = drive/(20*ms) : volt**{tower}")
    assert any(runaway_text(text) for _, text in _expressions(unit))


@pytest.mark.parametrize("field", ["rules.mirror.drive", "cells.cell.phi"])
def test_check_refuses_a_tower_of_powers(field: str) -> None:
    changes = [f"{field}={TOWERS[0]}*{'pre' if 'drive' in field else 'u'}"]
    if field == "cells.cell.phi":
        changes += ["cells.cell.activation=expr", 'cells.cell.slope="1"']
    (problem,) = load("figure1", changes).problems()
    assert problem.path == field
    assert "is too large a number to compute" in problem.message


@given(st.recursive(st.integers(0, 40).map(str), lambda inner: st.builds("({}{}{})".format, inner, OPERATORS, inner)))
def test_what_is_not_refused_is_computed_exactly(text: str) -> None:
    """The sizes are found in floating point; what passes has at most a few thousand digits as an exact number."""
    if runaway_text(text) is not None:
        return
    try:
        value = eval(compile(ast.parse(text, mode="eval"), "<text>", "eval"))
    except ZeroDivisionError:
        return
    assert isinstance(value, complex) or math.isnan(value) or abs(value) < 2**1024


@pytest.mark.parametrize(
    "name",
    [
        *("__debug__", "None", "True", "lambda", "_x", "int", "double", "template", "ﬁ", "a b", ""),
        *("t", "dt", "i", "j", "N", "xi", "xi_2", "lastspike", "not_refractory", "e", "pi", "rand", "clip"),
    ],
)
def test_names_with_a_meaning_of_their_own_are_refused(name: str) -> None:
    assert name_fault(name) is not None
    with pytest.raises(ExpressionError, match="Choose another name"):
        Drive("pre*post", {name: 2.0})


@pytest.mark.parametrize("name", ["k", "tau", "theta", "alpha_1", "gain", "η", "E", "beta", "I"])
def test_other_names_are_free(name: str) -> None:
    assert name_fault(name) is None
    assert Drive(f"{name}*pre", {name: 2.0}).evaluate({"pre": 3.0}) == 6.0


def test_the_words_are_those_of_the_simulator_and_of_the_languages() -> None:
    """Brian2's own tables say what it knows; a newer Brian2 that knows more makes this fail."""
    assert {*DEFAULT_FUNCTIONS, *DEFAULT_CONSTANTS} - {"-inf"} <= BRIAN2_FUNCTIONS
    for name in BRIAN2 - {"j", "lastspike"}:  # variables of synapses, and of cells with a threshold
        with pytest.raises(SyntaxError):
            Equations.check_identifier(name)
    assert not CPP & {*keyword.kwlist}
