"""Errors: of what kind they are, which exit code they carry, and how problems and suggestions read."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror
from neuromirror.errors import (
    CircuitError,
    NeuromirrorError,
    Problem,
    RequestError,
    RunError,
    UnsupportedError,
    dotted,
    suggestion,
)

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
PROBLEMS = st.builds(
    Problem,
    name=WORDS,
    path=WORDS,
    message=WORDS,
    severity=st.sampled_from(["error", "warning"]),
    file=st.none() | WORDS,
    line=st.none() | st.integers(1, 999),
)


def all_errors() -> list[type[NeuromirrorError]]:
    """Give every error class of the package but the base, of all modules that need no simulator."""
    for module in pkgutil.walk_packages(neuromirror.__path__, "neuromirror."):
        if not module.name.startswith(
            ("neuromirror.backends.brian2", "neuromirror.backends.torch", "neuromirror.__main")
        ):
            importlib.import_module(module.name)
    found, waiting = set(), [NeuromirrorError]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting += below
    return sorted(found, key=lambda error: error.__name__)


def test_every_error_is_either_a_wrong_request_or_a_failed_run() -> None:
    errors = all_errors()
    assert {RequestError, RunError, UnsupportedError, CircuitError} <= set(errors)
    for error in errors:
        if issubclass(error, RunError):
            assert issubclass(error, RuntimeError)
            assert not issubclass(error, ValueError)
            assert error.exit_code == 1
        else:
            assert issubclass(error, RequestError)
            assert issubclass(error, ValueError)
            assert not issubclass(error, RuntimeError)
            assert error.exit_code == 2


@pytest.mark.parametrize(
    ("file", "line", "path", "shown"),
    [
        ("a.toml", 3, "code.beta", "error: a.toml:3  code.beta: too low."),
        ("a.toml", None, "code.beta", "error: a.toml  code.beta: too low."),
        ("a.toml", 3, "", "error: a.toml:3: too low."),
        ("a.toml", None, "", "error: a.toml: too low."),
        (None, None, "code.beta", "error: code.beta: too low."),
        (None, 3, "code.beta", "error: code.beta: too low."),
        (None, None, "", "error: too low."),
    ],
)
def test_a_problem_says_what_it_knows_of_its_place(file: str | None, line: int | None, path: str, shown: str) -> None:
    problem = Problem(name="low", path=path, message="too low.", file=file, line=line)
    assert str(problem) == shown
    assert str(Problem(name="low", path=path, message="too low.", severity="warning", file=file, line=line)) == (
        shown.replace("error", "warning", 1)
    )


@given(st.lists(PROBLEMS))
@settings(deadline=None)
def test_a_circuit_error_holds_all_problems_a_line_each(problems: list[Problem]) -> None:
    error = CircuitError(problems)
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == [str(problem) for problem in problems]


@given(st.lists(PROBLEMS))
@settings(deadline=None)
def test_a_circuit_error_that_crosses_to_another_process_is_the_same(problems: list[Problem]) -> None:
    error = CircuitError(problems)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is CircuitError
        assert again.problems == error.problems
        assert str(again) == str(error)


@given(WORDS, st.lists(WORDS, unique=True, max_size=6))
@settings(deadline=None, max_examples=200)
def test_a_suggestion_is_a_known_name_or_lists_them_all(word: str, known: list[str]) -> None:
    text = suggestion(word, iter(known))
    if not known:
        assert text == "There are none."
    elif text.startswith("Did you mean"):
        assert text.removeprefix("Did you mean '").removesuffix("'?") in known
    else:
        assert text == f"There are: {', '.join(sorted(known))}."
    if word in known:
        assert text == f"Did you mean '{word}'?"


@pytest.mark.parametrize(
    ("word", "meant"),
    [("souce", "source"), ("beta_per", "beta_pre"), ("SHAPE", None), ("W9", None), ("1W", "W1"), ("", None)],
)
def test_a_slip_of_the_pen_is_guessed(word: str, meant: str | None) -> None:
    known = ["source", "shape", "beta_pre", "beta_post", "W1", "x"]
    expected = "There are: W1, beta_post, beta_pre, shape, source, x." if meant is None else f"Did you mean '{meant}'?"
    assert suggestion(word, known) == expected


def test_a_dotted_name_shows_numbers_and_empty_keys() -> None:
    assert dotted(["schedule", 0, "mode"]) == "schedule.0.mode"
    assert dotted(["rules", "", "drive"]) == 'rules."".drive'
    assert dotted([]) == ""
