"""From the raw tables of a circuit file to a `Description`, with every problem at once.

What is wrong in itself (an unknown key, a missing unit) is reported and taken out, so that the checks of the whole
circuit still run on the rest; names that lost their description this way are not reported a second time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from neuromirror.circuit.description import Description
from neuromirror.errors import Problem, suggestion

Path = tuple[str | int, ...]
Locate = Callable[[Path], tuple[str | None, int | None]]


@dataclass
class Validation:
    """The outcome: a description (None where nothing could be saved), problems, and the entries that were dropped."""

    description: Description | None = None
    problems: list[Problem] = field(default_factory=list)
    dropped: set[Path] = field(default_factory=set)


def validate(raw: dict[str, Any], locate: Locate) -> Validation:
    """Check the raw tables against the format.

    Parameters
    ----------
    raw : dict
        As `tomllib` gives it.
    locate : callable
        Gives file and line for a key path.
    """
    outcome = Validation()
    tables = copy.deepcopy(raw)
    first = True
    for _ in range(1000):
        try:
            outcome.description = Description.model_validate(tables)
            return outcome
        except ValidationError as error:
            found = [(_path(item["loc"]), item) for item in error.errors()]
        if first:
            outcome.problems = [problem(path, item, locate, found) for path, item in _worth_saying(found)]
            first = False
        for path, item in found:
            if not _drop(tables, path, missing=item["type"] == "missing", dropped=outcome.dropped):
                return outcome
    return outcome


def _path(loc: Sequence[str | int]) -> Path:
    """Take the tags of pydantic's unions out of a location: one follows each index of a schedule."""
    path: list[str | int] = []
    tag_due = False
    for key in loc:
        if tag_due:
            tag_due = False
            continue
        path.append(key)
        tag_due = isinstance(key, int) and path[-2] in ("schedule", "steps")
    return tuple(path)


def _worth_saying(found: list[tuple[Path, Any]]) -> list[tuple[Path, Any]]:
    """Leave out what only follows from another problem of the same table."""
    kept = []
    for path, item in found:
        if item["type"] == "missing" and _misspelt(path, found) is not None:
            continue
        if item["type"] == "too_short" and any(other != path and other[: len(path)] == path for other, _ in found):
            continue
        kept.append((path, item))
    return kept


def _misspelt(missing: Path, found: list[tuple[Path, Any]]) -> Path | None:
    """Return the unknown key that stands in a table for its one missing key, if that is how it is."""
    lacking = [path for path, item in found if item["type"] == "missing" and path[:-1] == missing[:-1]]
    unknown = [path for path, item in found if item["type"] == "extra_forbidden" and path[:-1] == missing[:-1]]
    return unknown[0] if len(lacking) == len(unknown) == 1 else None


def problem(path: Path, item: Any, locate: Locate, found: list[tuple[Path, Any]]) -> Problem:
    """Put one of pydantic's errors into our own words; `found` are all of them."""
    kind, value = item["type"], item.get("input")
    name, message = "wrong-value", f"{item['msg']}. Found {_short(value)}."
    if kind == "extra_forbidden":
        meant = next(
            (other for other, one in found if one["type"] == "missing" and _misspelt(other, found) == path), None
        )
        hint = suggestion(str(path[-1]), fields_at(path[:-1])) if meant is None else f"Did you mean '{meant[-1]}'?"
        name, message = "unknown-field", f"unknown field. {hint}"
    elif kind == "missing":
        name, message = "missing-field", "this field is required and missing."
    elif kind == "value_error":
        message = str(item["ctx"]["error"])
    elif kind == "literal_error":
        allowed = [choice.strip().strip("'") for choice in item["ctx"]["expected"].replace(" or ", ",").split(",")]
        message = f"{_short(value)} is not allowed. {suggestion(str(value), allowed)} Allowed: {', '.join(allowed)}."
        if path == ("schema",):
            name, message = (
                "unknown-schema",
                f"version {_short(value)} of the format is not known. This version reads 1.",
            )
    elif kind in _EXPECTED:
        message = f"found {_short(value)}, expected {_EXPECTED[kind]}."
    file, line = locate(path)
    return Problem(name=name, path=dotted(path), message=message, file=file, line=line)


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "tuple_type": "an array",
    "finite_number": "a finite number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
}


def dotted(path: Sequence[str | int]) -> str:
    """Return the dotted name of a path, as ``--set`` takes it."""
    return ".".join(str(key) for key in path)


def fields_at(path: Sequence[str | int]) -> list[str]:
    """Return the keys that the format knows at a path."""
    kinds: list[Any] = [Description]
    for key in path:
        kinds = [step for kind in kinds for step in _into(kind, key)]
    return sorted({(f.alias or n) for k in kinds if _is_model(k) for n, f in k.model_fields.items()})


def _into(kind: Any, key: str | int) -> list[Any]:
    if _is_model(kind):
        by_alias = {(info.alias or name): info.annotation for name, info in kind.model_fields.items()}
        return _unwrap(by_alias[str(key)]) if str(key) in by_alias else []
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return _unwrap(arguments[1])
    if origin is tuple:
        return _unwrap(arguments[0])
    return []


def _unwrap(kind: Any) -> list[Any]:
    """Return the members of unions and the insides of Annotated."""
    if hasattr(kind, "__metadata__"):
        return _unwrap(kind.__origin__)
    if get_origin(kind) in (dict, tuple) or not get_args(kind) or isinstance(kind, str):
        return [kind]
    return [member for argument in get_args(kind) for member in _unwrap(argument)]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _drop(tables: Any, path: Path, *, missing: bool, dropped: set[Path]) -> bool:
    """Take the offending key out, or its table where a key is missing; return whether anything was taken."""
    target = path[:-1] if missing else path
    if any(target[:length] in dropped for length in range(1, len(target) + 1)):
        return True
    while target:
        parent = tables
        try:
            for key in target[:-1]:
                parent = parent[key]
            if isinstance(parent, list):
                parent.pop(int(target[-1]))
            else:
                del parent[target[-1]]
        except (KeyError, IndexError, TypeError, ValueError):
            target = target[:-1]
            continue
        dropped.add(target)
        return True
    return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
