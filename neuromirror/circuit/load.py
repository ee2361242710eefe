"""Reading circuit files: by path or by the name of a shipped circuit, with changes from the command line."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.lines import key_lines
from neuromirror.errors import CircuitError, Problem, RequestError, suggestion

MAX_FILE_BYTES = 16 * 2**20
MAX_DEPTH = 100

Places = dict[tuple[str | int, ...], tuple[str | None, int | None]]


def load(circuit: str | Path, changes: Iterable[str] = ()) -> Circuit:
    """Load a circuit file.

    Parameters
    ----------
    circuit : str or Path
        A path, or the name of a shipped circuit such as ``"figure1"``.
    changes : iterable of str
        ``"dotted.name=value"`` each, value as in TOML (quotes may be left out); an empty value takes the key out.

    Returns
    -------
    Circuit
        Loaded, and not yet checked as a whole: `Circuit.problems` tells what is wrong with it.

    Raises
    ------
    RequestError
        If there is no such circuit, or it cannot be read.
    CircuitError
        If the file is not TOML.
    """
    path = resolve(circuit)
    text = _read(path)
    shown = str(circuit) if Path(circuit) == path else path.name
    return from_text(text, file=shown, changes=changes)


def from_text(text: str, *, file: str | None = None, changes: Iterable[str] = ()) -> Circuit:
    """Read a circuit from the text of a circuit file; see `load`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CircuitError([_syntax_problem(text, error, file)]) from error
    except (RecursionError, ValueError) as error:
        found = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CircuitError([Problem(name="not-toml", path="", message=f"not TOML: {found}.", file=file)]) from error
    places: Places = {path: (file, line) for path, line in key_lines(text).items()}
    for change in changes:
        _apply(tables, change, places)
    if _depth(tables) > MAX_DEPTH:
        message = f"nested too deeply: tables and arrays may be {MAX_DEPTH} levels deep."
        raise CircuitError([Problem(name="too-deep", path="", message=message, file=file)])

    def locate(path: tuple[str | int, ...]) -> tuple[str | None, int | None]:
        for length in range(len(path), 0, -1):
            if path[:length] in places:
                return places[path[:length]]
        return file, None

    return Circuit(tables, locate=locate)


def shipped() -> dict[str, Path]:
    """Return the shipped circuits by name."""
    package = Path(str(importlib.resources.files("neuromirror")))
    for folder in (package / "circuits_shipped", package.parent / "circuits"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
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


def _read(path: Path) -> str:
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


def _depth(tables: dict[str, Any]) -> int:
    depth, level = 0, [tables]
    while level:
        depth += 1
        inside = [value for table in level for value in (table.values() if isinstance(table, dict) else table)]
        level = [value for value in inside if isinstance(value, dict | list)]
    return depth


def _forget(places: Places, gone: tuple[str | int, ...], *, from_list: bool) -> None:
    """Take a path and what is below it out of the places; what follows it in a list moves up."""
    head, last, size = gone[:-1], gone[-1], len(gone)
    for path in [path for path in places if path[:size] == gone]:
        del places[path]
    if from_list and isinstance(last, int):
        after: dict[tuple[str | int, ...], tuple[str | int, ...]] = {}
        for path in places:
            number = path[size - 1] if len(path) >= size and path[: size - 1] == head else None
            if isinstance(number, int) and number > last:
                after[path] = (*head, number - 1, *path[size:])
        places.update({moved: places.pop(path) for path, moved in after.items()})


def _apply(tables: dict[str, Any], change: str, places: Places) -> None:
    name, equals, value = change.partition("=")
    name = name.strip()
    if not equals or not name:
        raise RequestError(f'--set {change}: expected dotted.name=value, such as schedule.0.duration="5 s".')
    keys = _keys(name, tables)
    parent = _parent(tables, keys, change)
    if not value.strip():
        try:
            del parent[keys[-1]]
        except (KeyError, IndexError) as error:
            raise RequestError(f"--set {change}: there is no {name} to take out.") from error
        _forget(places, tuple(keys), from_list=isinstance(parent, list))
        return
    if isinstance(parent, dict):
        parent[str(keys[-1])] = _value(value)
    elif isinstance(keys[-1], int) and keys[-1] <= len(parent):
        parent[keys[-1] : keys[-1] + 1] = [_value(value)]
    else:
        raise RequestError(f"--set {change}: there are {len(parent)} items, from 0 to {len(parent) - 1}.")
    _forget(places, tuple(keys), from_list=False)
    places[tuple(keys)] = (f"--set {change}", None)


def _keys(name: str, tables: Mapping[str, Any]) -> list[str | int]:
    """Split a dotted name; a key may itself hold a dot (``modes.engaged.learn.y1.bias``)."""
    keys: list[str | int] = []
    here: Any = tables
    parts = name.split(".")
    while parts:
        if isinstance(here, list):
            if not parts[0].isdecimal() or len(parts[0]) > 9:
                raise RequestError(
                    f"{name}: '{parts[0]}' stands where a list wants a number from 0 to {len(here) - 1}."
                )
            key: str | int = int(parts.pop(0))
            here = here[key] if key < len(here) else None
        else:
            known = here if isinstance(here, dict) else {}
            length = next((n for n in range(len(parts), 1, -1) if ".".join(parts[:n]) in known), 1)
            key = ".".join(parts[:length])
            parts = parts[length:]
            here = known.get(key)
        keys.append(key)
    return keys


def _parent(tables: dict[str, Any], keys: list[str | int], change: str) -> Any:
    here: Any = tables
    for key in keys[:-1]:
        if isinstance(here, dict):
            here = here.setdefault(key, {})
        else:
            if not isinstance(here, list) or not isinstance(key, int) or key >= len(here):
                raise RequestError(f"--set {change}: there is no {key} here.")
            here = here[key]
    if not isinstance(here, dict | list):
        raise RequestError(f"--set {change}: {'.'.join(map(str, keys[:-1]))} is a value, not a table.")
    return here


def _value(text: str) -> Any:
    """Read a value as TOML; what is not TOML is a text without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text.strip()
