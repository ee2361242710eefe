"""Circuit files of older versions written anew in the newest, with the comments and the order that they have."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from neuromirror.circuit.files import parse, place
from neuromirror.circuit.lines import key_spans
from neuromirror.circuit.migrations import MIGRATIONS, Migration, Move, migrated
from neuromirror.errors import CircuitError


@dataclass(frozen=True)
class Rewritten:
    """The text of a circuit file in the newest version of the format.

    Attributes
    ----------
    text : str
    version : int
        The newest version, in which it is.
    changed : bool
        Whether it is another text than before.
    comments_kept : bool
        False where what has changed is more than single keys, and all had to be written out anew.
    """

    text: str
    version: int
    changed: bool
    comments_kept: bool = True


def rewritten(text: str, *, file: str | None = None, chain: Mapping[int, Migration] = MIGRATIONS) -> Rewritten:
    """Write a circuit file in the newest version of the format.

    The file that it extends is not looked at, and what else is wrong with it stays as it is.

    Parameters
    ----------
    text : str
        A circuit file of any version.
    file : str, optional
        What messages call it.
    chain : mapping of int to callable
        The migration from each older version.

    Raises
    ------
    CircuitError
        If it is not TOML, or of no known version.
    """
    tables, places = parse(text, file)
    found = migrated(tables, lambda path: place(places, path, (file, None)), chain)
    if found.problem is not None and found.problem.severity == "error":
        raise CircuitError([found.problem])
    newest = max(chain, default=0) + 1
    wanted = {"schema": newest, **found.tables}
    edited = _edited(text, found.moves, wanted)
    if _same(edited, wanted):
        return Rewritten(edited, newest, changed=edited != text)
    return Rewritten(tomli_w.dumps(wanted), newest, changed=True, comments_kept=False)


def _edited(text: str, moves: tuple[Move, ...], tables: dict[str, Any]) -> str:
    """Change the keys that have moved and ``schema``, and leave everything else."""
    for move in moves:
        span = key_spans(text).get(move.old)
        if span is None or len(move.new) not in (len(move.old), len(move.old) + 1):
            continue  # the text is then not what it should be, which the caller sees
        depth, value = len(move.old), text[slice(*span.value)]
        if len(move.new) > depth:
            value = _inline(_at(tables, move.new[:depth]), str(move.new[-1]), value)
        key = str(move.new[depth - 1])
        text = text[: span.key[0]] + key + text[span.key[1] : span.value[0]] + value + text[span.value[1] :]
    span = key_spans(text).get(("schema",))
    if span is None:
        return f"schema = {tables['schema']}\n{text}"
    return text[: span.value[0]] + str(tables["schema"]) + text[span.value[1] :]


def _at(tables: Any, path: tuple[str | int, ...]) -> dict[str, Any]:
    for key in path:
        tables = tables.get(key) if isinstance(tables, dict) else None
    return tables if isinstance(tables, dict) else {}


def _inline(table: dict[str, Any], key: str, text: str) -> str:
    """Write an inline table, in which one value is a text that there is already."""
    items = [f"{name} = {text if name == key else json.dumps(value)}" for name, value in table.items()]
    return f"{{ {', '.join(items)} }}"


def _same(text: str, tables: dict[str, Any]) -> bool:
    """Tell whether a text says just what tables do, NaN and the kinds of numbers included."""
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return False
    one, other = (json.dumps(some, sort_keys=True, default=repr) for some in (found, tables))
    return one == other
