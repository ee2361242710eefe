"""What README and the documentation claim: commands that exist, contrasts that are there, and nothing unfinished."""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import neuromirror as nm
from neuromirror.circuit.methods import METHODS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# -- what is unfinished -----------------------------------------------------------------------------------------------

UNFINISHED = re.compile(r"\b(TODO|FIXME|TBD|XXX|[Pp]laceholder|PLACEHOLDER|[Ll]orem)\b|\?\?\?")


def prose_of_code(source: str) -> Iterator[tuple[int, str]]:
    """Yield the docstrings and comments of a Python source, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def unfinished(path: Path) -> list[str]:
    """Return where a file says that something is still to be written."""
    text = path.read_text(encoding="utf-8")
    parts = prose_of_code(text) if path.suffix == ".py" else enumerate(text.splitlines(), 1)
    return [f"{path.name}:{line}" for line, part in parts if UNFINISHED.search(part)]


def test_nothing_is_left_to_be_written() -> None:
    folders = {"docs": "*.md", "experiments": "*.py", "neuromirror": "**/*.py", "circuits": "**/*.toml", ".": "*.md"}
    files = [file for folder, pattern in folders.items() for file in (ROOT / folder).glob(pattern)]
    assert len(files) > 100
    assert [place for file in files for place in unfinished(file)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "Takes TODO seconds"),
        ("module.py", '"""Takes PLACEHOLDER."""'),
        ("module.py", "x = 1  # FIXME"),
        ("circuit.toml", "rate = 0.1  # ???"),
    ],
)
def test_what_is_left_to_be_written_is_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert unfinished(tmp_path / name) == [f"{name}:1"]


# -- commands of the README -------------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """Return the arguments of all commands of neuromirror that the README shows in blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = [line.partition(" # ")[0] for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("neuromirror ")]


def option(arguments: list[str], name: str) -> list[str]:
    """Return all values of an option."""
    return [value for given, value in pairwise(arguments) if given == name]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_a_command_of_the_readme_is_one(arguments: list[str]) -> None:
    from neuromirror.cli import app

    app.parse_args(arguments, print_error=False, exit_on_error=False)
    if arguments[0] != "compare":
        circuit = nm.load(arguments[1], option(arguments, "--set"))
        for method in option(arguments, "--method"):
            circuit = circuit.method(method)
        backend = "torch" if arguments[0] == "train" else (option(arguments, "--backend") or ["brian2"])[0]
        if arguments[0] in ("run", "sweep"):
            assert [problem for problem in circuit.problems(backend) if problem.severity == "error"] == []


@cache
def loss_of(circuit: str, method: str, folder: Path) -> float:
    """Return the mean loss in the last third of a circuit's task, as rates with seed 0."""
    out = folder / f"{circuit}-{method}"
    run = nm.run(nm.load(circuit).method(method), backend="torch", out=out, figures=False)
    losses = [row["loss"] for row in run.metrics() if row.get("loss") is not None]
    third = max(1, len(losses) // 3)
    return sum(losses[-third:]) / third


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def test_a_method_is_offered_where_it_makes_a_difference(folder: Path) -> None:
    """And the README's table has the losses to the digits that it gives."""
    offered = [arguments for arguments in commands() if arguments[0] == "run" and option(arguments, "--method")]
    assert offered
    for arguments in offered:
        (circuit,), (method,) = arguments[1:2], option(arguments, "--method")
        mirrored, other = loss_of(circuit, "wm", folder), loss_of(circuit, method, folder)
        assert other > 1.2 * mirrored, f"{circuit}: the loss is {mirrored:.3g} as it is, and {other:.3g} by {method}"
        assert f"| {mirrored:.3g}, {other:.3g} |" in README


def test_no_method_makes_a_difference_to_the_task_of_figure1(folder: Path) -> None:
    """As the README says: the error that teaches its W has not passed B."""
    local = [method for method in METHODS if method not in ("permuted", "shifted")]
    (loss,) = {loss_of("figure1", method, folder) for method in local}
    assert loss > 0


# -- numbers of the README --------------------------------------------------------------------------------------------


def rows() -> list[tuple[str, str, str]]:
    """Return the rows of the README's table of what has been measured: what, result, command."""
    table = README.partition("## What has been measured")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    return [(what, result, command) for what, result, command in cells[2:]]


def numbers(text: str) -> set[str]:
    """Return the numbers of a text as they are written there, without signs and units."""
    return set(re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text))


def test_what_has_been_measured_has_a_command_and_what_has_not_says_so() -> None:
    assert len(rows()) > 5
    for what, result, command in rows():
        assert numbers(result) or result in ("not run so far", "not simulated"), what
        assert not numbers(result) or command.startswith("`"), what


@pytest.mark.parametrize("row", [row for row in rows() if "experiments." in row[2]], ids=lambda row: row[2])
def test_numbers_of_the_readme_are_those_of_the_experiment(row: tuple[str, str, str]) -> None:
    """Each is the rounding of a number that the experiment's docstring expects."""
    _, result, command = row
    (name,) = re.findall(r"python -m experiments\.(\w+)", command)
    docstring = ast.get_docstring(ast.parse((ROOT / "experiments" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    expected = [float(number) for number in numbers(docstring.partition("\nExpected")[2])]
    for number in numbers(result):
        half_a_digit = 0.0 if "e" in number else 0.5 * 10.0 ** -len(number.partition(".")[2])
        nearest = min(expected, key=lambda value: abs(value - float(number)))
        assert abs(nearest - float(number)) <= half_a_digit * (1 + 1e-9), f"{number} is not of {name}"
