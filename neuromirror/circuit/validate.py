"""From the raw tables of a circuit file to a `Description`, with every problem at once.

What is wrong in itself (an unknown key, a missing unit) is reported and taken out, so that the checks of the whole
circuit still run on the rest; names that lost their description this way are not reported a second time.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from neuromirror.circuit.description import SCHEMA, Description
from neuromirror.circuit.migrations import RENAMED
from neuromirror.circuit.motifs import Unfolding, unfold
from neuromirror.errors import Problem, dotted, suggestion

Path = tuple[str | int, ...]
Locate = Callable[[Path], tuple[str | None, int | None]]


@dataclass
class Validation:
    """The outcome: a description (None where nothing could be saved), problems, and the entries that were dropped."""

    description: Description | None = None
    problems: list[Problem] = field(default_factory=list)
    dropped: set[Path] = field(default_factory=set)
    left: dict[Path, list[int]] = field(default_factory=dict)
    unfolding: Unfolding | None = None

    def __post_init__(self) -> None:
        if self.unfolding is not None:
            self.problems += self.unfolding.problems

    def original(self, path: Path) -> Path:
        """Return the path in the file of what is now at a path: items that were taken out of lists count there."""
        found: Path = ()
        for key in path:
            left = self.left.get(found)
            found = (*found, left[key] if left is not None and isinstance(key, int) and key < len(left) else key)
        return found

    def place(self, path: Path) -> Path:
        """Return the path in the file of what is at a path once motifs are written out."""
        found = self.original(path)
        return found if self.unfolding is None else self.unfolding.origin(found)


# A file without these still has the rest of it checked.
_STAND_INS: dict[str, Any] = {"name": "unnamed", "code": {"kind": "zero_mean"}, "cells": {}}


def validate(raw: dict[str, Any], locate: Locate) -> Validation:
    """Check the raw tables against the format.

    Parameters
    ----------
    raw : dict
        As `tomllib` gives it.
    locate : callable
        Gives file and line for a key path.
    """
    unfolding = unfold(raw, locate)
    outcome = Validation(unfolding=unfolding)
    tables = unfolding.tables
    first = True
    for _ in range(1000):
        try:
            outcome.description = Description.model_validate(tables)
            return outcome
        except ValidationError as error:
            found = [(_path(item["loc"]), item) for one in error.errors() for item in _of_kind(one)]
        if first:
            known = unfolding.unfilled
            worth_saying = [one for one in _worth_saying(found) if unfolding.origin(one[0]) not in known]
            said = [problem(path, item, unfolding, found) for path, item in worth_saying]
            outcome.problems += dict.fromkeys(said)  # what several copies of a motif have is said once
            first = False
        # From the last to the first, so that what is taken out of a list does not move what is still to go.
        for path, item in sorted(found, key=lambda one: [(isinstance(k, int), k) for k in one[0]], reverse=True):
            if not _drop(tables, path, item["type"] == "missing", outcome):
                return outcome
    return outcome


def _path(loc: Sequence[str | int]) -> Path:
    """Take the tags of pydantic's unions out of a location: one follows each index of a schedule, and the stimulus."""
    path: list[str | int] = []
    tag_due = False
    for key in loc:
        if tag_due:
            tag_due = False
            continue
        path.append(key)
        tag_due = path == ["stimulus"] or (isinstance(key, int) and path[-2] in ("schedule", "steps"))
    return tuple(path)


def _of_kind(item: Any) -> list[Any]:
    """Return an error of a union that goes by ``kind`` as errors of that field, and of keys that no kind has."""
    table, loc = item["input"], (*item["loc"], "")
    if item["type"] == "union_tag_invalid":
        context = {"expected": item["ctx"]["expected_tags"]}
        return [{**item, "type": "literal_error", "loc": (*loc, "kind"), "input": table["kind"], "ctx": context}]
    if item["type"] == "union_tag_not_found":
        unknown = [key for key in table if key not in fields_at(item["loc"])]
        misspelt = [{**item, "type": "extra_forbidden", "loc": (*loc, key), "input": table[key]} for key in unknown]
        return [{**item, "type": "missing", "loc": (*loc, "kind")}, *misspelt]
    return [item]


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


def problem(path: Path, item: Any, unfolding: Unfolding, found: list[tuple[Path, Any]]) -> Problem:
    """Put one of pydantic's errors into our own words, at the place in the file; `found` are all of them."""
    kind, value = item["type"], item.get("input")
    name, message = "wrong-value", f"{item['msg']}. Found {_short(value)}."
    if kind == "extra_forbidden":
        meant = next(
            (other for other, one in found if one["type"] == "missing" and _misspelt(other, found) == path), None
        )
        known = fields_at(path[:-1], (item["loc"][1] or None) if path[0] == "stimulus" and len(path) == 2 else None)
        hint = suggestion(str(path[-1]), known) if meant is None else f"Did you mean '{meant[-1]}'?"
        name, message = "unknown-field", f"unknown field. {hint}"
        if path in RENAMED:
            message = f"version {SCHEMA} of the format has '{RENAMED[path]}' in its place."
        if path == ("extends",):
            message = "only a file extends another: read it with nm.load, and change it with with_changes."
    elif kind == "missing":
        name, message = "missing-field", "this field is required and missing."
    elif kind == "value_error":
        message = str(item["ctx"]["error"])
    elif kind == "literal_error":
        allowed = [choice.strip().strip("'") for choice in item["ctx"]["expected"].replace(" or ", ",").split(",")]
        message = f"{_short(value)} is not allowed. {suggestion(str(value), allowed)} Allowed: {', '.join(allowed)}."
    elif kind in ("too_short", "too_long"):
        bound = (
            f"at least {item['ctx']['min_length']}" if kind == "too_short" else f"at most {item['ctx']['max_length']}"
        )
        message = f"found {_short(value)}, expected {bound} entries."
    elif kind in _EXPECTED:
        message = f"found {_short(value)}, expected {_EXPECTED[kind]}."
    path = unfolding.origin(path)
    file, line = unfolding.locate(path)
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


def fields_at(path: Sequence[str | int], of_kind: str | int | None = None) -> list[str]:
    """Return the keys that the format knows at a path, where there are several tables in the one of a ``kind``."""
    kinds: list[Any] = [Description]
    for key in path:
        kinds = [step for kind in kinds for step in _into(kind, key)]
    models = [kind for kind in kinds if _is_model(kind)]
    if of_kind is not None:
        models = [model for model in models if of_kind in get_args(model.model_fields["kind"].annotation)]
    return sorted({(f.alias or n) for model in models for n, f in model.model_fields.items()})


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


def _drop(tables: Any, path: Path, missing: bool, outcome: Validation) -> bool:
    """Take the offending key out, or its table where a key is missing; return whether anything was changed."""
    target = path[:-1] if missing else path
    if not target and path and path[0] in _STAND_INS:
        tables[path[0]] = copy.deepcopy(_STAND_INS[str(path[0])])
        outcome.dropped.add(path)
        return True
    while target:
        parent = tables
        try:
            for key in target[:-1]:
                parent = parent[key]
            place = outcome.original(target)
            if isinstance(parent, list):
                left = outcome.left.setdefault(outcome.original(target[:-1]), list(range(len(parent))))
                parent.pop(int(target[-1]))
                left.pop(int(target[-1]))
            else:
                del parent[target[-1]]
        except (KeyError, IndexError, TypeError, ValueError):
            if any(outcome.original(target)[:length] in outcome.dropped for length in range(1, len(target) + 1)):
                return True
            target = target[:-1]
            continue
        outcome.dropped.add(place)
        return True
    return False


def _short(value: object) -> str:
    """Return a value as a circuit file writes it, cut short."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, datetime.date | datetime.time):
        text = value.isoformat()
    else:
        try:
            text = repr(value)
        except (
            ValueError
        ):  # Python writes out no whole number of more than 4300 digits, and a file has one in hexadecimal
            text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
