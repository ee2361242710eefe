"""Circuit files as tables: by path or by the name of a shipped circuit, with the file and line of every key."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neuromirror.circuit.lines import key_lines, longest_value_line
from neuromirror.errors import CircuitError, Problem, RequestError, dotted, suggestion

MAX_FILE_BYTES = 16 * 2**20
MAX_DEPTH = 100

KeyPath = tuple[str | int, ...]
Place = tuple[str | None, int | None]
"""A file, or the change that a value comes from, and a line."""
Places = dict[KeyPath, Place]


def parse(text: str, file: str | None) -> tuple[dict[str, Any], Places]:
    """Read TOML into tables and the places of their keys.

    Raises
    ------
    CircuitError
        If the text is not TOML, or is nested too deeply.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CircuitError([_syntax_problem(text, error, file)]) from error
    except (RecursionError, ValueError) as error:
        raise CircuitError([_unread_problem(text, error, file)]) from error
    places: Places = {path: (file, line) for path, line in key_lines(text).items()}
    check_tables(tables, file, places)
    return tables, places


def place(places: Places, path: KeyPath, otherwise: Place) -> Place:
    """Return where a key path stands, or the nearest that is known of what it is in."""
    return next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), otherwise)


def check_tables(tables: dict[str, Any], file: str | None, places: Places) -> None:
    """Raise `CircuitError` if tables are nested more deeply than any circuit needs, or have integers beyond all use.

    The error is at the place where they are.
    """
    for name, path, message in _untidy(tables):
        found, line = place(places, path, (file, None))
        shown = dotted(path) if name == "not-toml" else ""  # a path of a hundred names tells nothing
        raise CircuitError([Problem(name=name, path=shown, message=message, file=found, line=line)])


def shipped() -> dict[str, Path]:
    """Return the shipped circuits by name; those in a folder have its name before theirs: ``imagenet/resnet18_bp``."""
    package = Path(str(importlib.resources.files("neuromirror")))
    for folder in (package / "circuits_shipped", package.parent / "circuits"):
        if folder.is_dir():
            found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.toml")}
            return dict(sorted(found.items()))
    return {}


def resolve(circuit: str | Path) -> Path:
    """Return the path of a circuit file, from a path or the name of a shipped circuit."""
    path = Path(circuit)
    known = shipped()
    if not str(circuit).strip():
        raise RequestError(f"no circuit is named. Give a circuit file, or one of: {', '.join(known)}.")
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError:  # a name that no file can have
        is_file = is_folder = False
    if str(circuit) in known and not is_file:
        return known[str(circuit)]
    if is_file:
        return path
    if is_folder:
        raise RequestError(f"{circuit}: this is a directory. Give a circuit file, or one of: {', '.join(known)}.")
    hint = suggestion(str(circuit), known)
    raise RequestError(f"{circuit}: no such file, and no shipped circuit of that name. {hint}")


def read(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    RequestError
        If it cannot be read, or is too large.
    CircuitError
        If it is not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RequestError(f"{path}: {path.stat().st_size} bytes; a circuit file has at most {MAX_FILE_BYTES}.")
        return path.read_bytes().decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        problem = Problem(name="not-toml", path="", message="not UTF-8 text.", file=str(path), line=line)
        raise CircuitError([problem]) from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}).") from error


def _syntax_problem(text: str, error: tomllib.TOMLDecodeError, file: str | None) -> Problem:
    message = str(error)
    line = None
    if "(at line " in message:
        message, _, where = message.partition(" (at line ")
        line = int(where.split(",")[0])
    elif "at end of document" in message:
        line = text.count("\n") + 1
    return Problem(name="not-toml", path="", message=f"not TOML: {message}.", file=file, line=line)


def _unread_problem(text: str, error: RecursionError | ValueError, file: str | None) -> Problem:
    """Return the problem of a text that may be TOML, and is more than can be read."""
    if isinstance(error, RecursionError):
        line = min((line for path, line in key_lines(text).items() if len(path) > MAX_DEPTH), default=None)
        return Problem(name="too-deep", path="", message=_TOO_DEEP, file=file, line=line)
    message, line = f"not TOML: {error}.", None
    if "digits" in str(error):
        message, line = (
            "a whole number has more digits than can be read. Write a shorter one.",
            longest_value_line(text),
        )
    return Problem(name="not-toml", path="", message=message, file=file, line=line)


_TOO_DEEP = f"nested too deeply: tables and arrays may be {MAX_DEPTH} levels deep."
MAX_BITS = 10_000
"""Of an integer; Python refuses to write out those of more than 14,284 bits, in its own messages and in others'."""


def _untidy(tables: dict[str, Any]) -> Iterator[tuple[str, KeyPath, str]]:
    """Yield what is nested too deeply and which integers are beyond what Python writes out, without recursion."""
    level: list[tuple[KeyPath, Any]] = [((), tables)]
    for _ in range(MAX_DEPTH):
        inside = [
            ((*path, key), value)
            for path, table in level
            for key, value in (table.items() if isinstance(table, dict) else enumerate(table))
        ]
        for path, value in inside:
            if isinstance(value, int) and value.bit_length() > MAX_BITS:
                yield "not-toml", path, "a number of thousands of digits, where TOML has integers of 64 bits."
        level = [(path, value) for path, value in inside if isinstance(value, dict | list)]
    if level:
        yield "too-deep", level[0][0], _TOO_DEEP
