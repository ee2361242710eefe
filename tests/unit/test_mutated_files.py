"""Files with one thing wrong, by the hundred: exit code 2, a message with the right line, and nothing written.

Every key of several shipped circuits is in turn misspelt, given a value that no field takes, and moved to another line.
"""

from __future__ import annotations

import contextlib
import copy
import io
import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w

from neuromirror import cli
from neuromirror.circuit.lines import key_lines
from neuromirror.circuit.load import shipped

KeyPath = tuple[str | int, ...]
NAMES = ("figure1", "chain4", "chain6_single", "resnet20", "version1")
TEXTS = {name: shipped()[name].read_text(encoding="utf-8") for name in NAMES[:-1]}
TEXTS["version1"] = (
    TEXTS["chain4"]
    .replace("schema = 2", "schema = 1")
    .replace("[layers]", "[layers]\ngain = 1.5")
    .replace("[feedback]", "[feedback]\ngain = 0.5")
)
FREE = {
    *("cells", "populations", "projections", "rules", "modes", "motifs"),
    *("learn", "noise", "input", "inputs", "compare", "constants", "parameters"),
}
"""Tables whose keys are names that the file gives, or that other parts of it must know."""
WRONG: tuple[Any, ...] = (
    [[["deep"]]] * 3,
    {"nested": {"table": True}},
    float("nan"),
    float("-inf"),
    -3,
    "-5 ms",
    "12 parsecs",
    "\u0000",
    10**30,
    tomllib.loads("x = 1979-05-27T07:32:00Z")["x"],
)


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def neuromirror(*arguments: str) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return Outcome(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def paths_of(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every key and element."""
    for key, inside in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield (*path, key)
        yield from paths_of(inside, (*path, key))


def parent_of(tables: Any, path: KeyPath) -> Any:
    """Return the table or array that holds what is at a path."""
    for key in path[:-1]:
        tables = tables[key]
    return tables


def refused(file: Path, outcome: Outcome) -> list[str]:
    """Insist on an orderly refusal, and return its lines."""
    assert outcome.code == 2, (outcome, file.read_text(encoding="utf-8", errors="replace"))
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "This is a bug" not in outcome.err
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name], "something was written"
    said = [one for one in outcome.err.splitlines() if one.startswith("error: ")]
    assert said
    return said


def mutants(name: str, kind: str) -> list[tuple[KeyPath, dict[str, Any]]]:
    """Return tables of a shipped circuit with one thing wrong, and where."""
    tables = tomllib.loads(TEXTS[name])
    order, found = random.Random(name + kind), []
    for number, path in enumerate(paths_of(tables)):
        mutated = copy.deepcopy(tables)
        parent = parent_of(mutated, path)
        if kind == "value":
            parent[path[-1]] = copy.deepcopy(WRONG[number % len(WRONG)])
        elif isinstance(path[-1], str) and not (len(path) > 1 and path[-2] in FREE) and "parameters" not in path:
            items = [(f"zz_{key}" if key == path[-1] else key, inside) for key, inside in parent.items()]
            order.shuffle(items)
            parent.clear()
            parent.update(items)
            path = (*path[:-1], f"zz_{path[-1]}")
        else:
            continue
        found.append((path, mutated))
    return found


MISSPELT = [(name, path, tables) for name in NAMES for path, tables in mutants(name, "key")]
MISVALUED = [(name, path, tables) for name in NAMES for path, tables in mutants(name, "value")]


def test_there_are_hundreds() -> None:
    assert len(MISSPELT) >= 300
    assert len(MISVALUED) >= 300


def is_within(place: KeyPath, path: KeyPath) -> bool:
    """Tell whether a place is below a path, or in a motif whose parameter the path is."""
    return place[: len(path)] == path or ("parameters" in path and place[0] == "motifs")


def in_file(path: KeyPath) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_key_is_found_on_its_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mutant.toml"
    for _, path, tables in (one for one in MISSPELT if one[0] == name):
        text = tomli_w.dumps(tables)
        file.write_text(text, encoding="utf-8")
        said = refused(file, neuromirror("check", str(file)))
        line = key_lines(text)[("extends",) if path[0] == "extends" else path]
        begins = ["extends: expected"] if path[0] == "extends" else [f"{in_file(path)}: unknown"]
        begins.append(f"{in_file(path)}: there is no")  # where a key is the name of something
        assert any(one.startswith(f"error: {file}:{line}  {start}") for one in said for start in begins), (path, said)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_is_found_on_its_line(name: str, tmp_path: Path) -> None:
    """In this file or, where the value is right in itself, at what then does not fit it."""
    file = tmp_path / "mutant.toml"
    accepted = 0
    for _, path, tables in (one for one in MISVALUED if one[0] == name):
        text = tomli_w.dumps(tables)
        file.write_text(text, encoding="utf-8")
        outcome = (
            neuromirror("run", str(file), "--backend", "reference", "--out", str(tmp_path / "run"))
            if path[0] in ("schema", "name")
            else neuromirror("check", str(file))
        )
        if outcome.code == 0:
            accepted += 1  # such as another gain
            continue
        said = refused(file, outcome)
        lines = {int(match[1]) for one in said if (match := re.match(rf"error: {re.escape(str(file))}:(\d+)  ", one))}
        own = {
            line for place, line in key_lines(text).items() if place[: len(path)] == path or path[: len(place)] == place
        }
        assert lines & own or any("  " not in one for one in said), (path, said)
    assert accepted <= 0.1 * len(MISVALUED)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_or_scrambled_is_refused_or_sound(name: str, tmp_path: Path) -> None:
    content = TEXTS[name].encode()
    order = random.Random(name)
    file = tmp_path / "mutant.toml"
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(order.randint(1, 4)):
            at = order.randrange(len(damaged))
            damaged[at : at + order.choice((0, 1, 9))] = order.randbytes(order.choice((0, 1, 5)))
        if order.random() < 0.3:
            del damaged[order.randrange(len(damaged)) :]
        file.write_bytes(damaged)
        outcome = neuromirror("check", str(file))
        if outcome.code:
            refused(file, outcome)
        else:
            assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", ["check", "expand", "draw", "run"])
def test_no_command_writes_anything_of_a_wrong_file(command: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mutant.toml"
    file.write_text(shipped()["figure1"].read_text(encoding="utf-8").replace("shape = [3]", "shape = [4]", 1))
    assert refused(file, neuromirror(command, str(file)))
