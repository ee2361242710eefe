"""Older versions of the format, and the way from each of them to the next.

A circuit file says in ``schema`` which version of the format it is written in; one that does not say is of version 1.
A migration brings the tables of version n to version n + 1. It says what moved where, so that messages go on to name
the line that a value was read from, and so that a file can be written anew with its comments. Each file is migrated by
itself, before it is merged with the file that it extends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from neuromirror.circuit.files import KeyPath, Place, Places
from neuromirror.errors import Problem, dotted

Tables = dict[str, Any]


@dataclass(frozen=True)
class Move:
    """What stood at one key path in a version, and stands at another in the next."""

    old: KeyPath
    new: KeyPath


Migration = Callable[[Tables], tuple[Tables, tuple[Move, ...]]]
"""Returns the tables of the next version, and what moved. What it is given stays as it is, and may be anything."""

INITIAL_WEIGHTS = (
    Move(("layers", "gain"), ("layers", "weight", "gain")),
    Move(("feedback", "gain"), ("feedback", "weight", "gain")),
)


def initial_weights(tables: Tables) -> tuple[Tables, tuple[Move, ...]]:
    """Version 1 to 2: the ``gain`` of a short form becomes its ``weight``, as projections have it.

    ``gain = 0.5`` in ``[layers]`` and ``[feedback]`` could only be that of normal initial weights. It becomes
    ``weight = { init = "normal", gain = 0.5 }``, which can be any other initial value as well. Where ``extends`` leaves
    out ``layers.gain``, it leaves out ``layers.weight``.
    """
    migrated, moves = dict(tables), []
    for move in INITIAL_WEIGHTS:
        part, gain = map(str, move.old)
        weight = str(move.new[1])
        table = migrated.get(part)
        if isinstance(table, dict) and gain in table and weight not in table:
            said = {weight if key == gain else key: value for key, value in table.items()}
            migrated[part] = {**said, weight: {"init": "normal", gain: table[gain]}}
            moves.append(move)
    beneath = tables.get("extends")
    if isinstance(beneath, dict) and isinstance(beneath.get("without"), list):
        names = {dotted(move.old): dotted(move.new[:2]) for move in INITIAL_WEIGHTS}
        without = [names.get(name, name) if isinstance(name, str) else name for name in beneath["without"]]
        migrated["extends"] = {**beneath, "without": without}
    return migrated, tuple(moves)


MIGRATIONS: Mapping[int, Migration] = {1: initial_weights}
"""The migration from each older version to the next."""

RENAMED = {move.old: dotted(move.new) for move in INITIAL_WEIGHTS}
"""What older versions called a field, for those who ask for it by that name where only the newest is read."""


@dataclass(frozen=True)
class Migrated:
    """Tables in the newest version of the format.

    Attributes
    ----------
    tables : dict
        As they were where their version is not known.
    moves : tuple of Move
        What moved on the way, in order.
    problem : Problem or None
        A warning that the tables are of an older version, or an error where ``schema`` is no version.
    readable : bool
        Whether the tables can be judged by this version of the format: newer ones cannot.
    """

    tables: Tables
    moves: tuple[Move, ...] = ()
    problem: Problem | None = None
    readable: bool = True


def migrated(
    tables: Tables, locate: Callable[[KeyPath], Place], chain: Mapping[int, Migration] = MIGRATIONS
) -> Migrated:
    """Bring tables to the newest version of the format.

    Parameters
    ----------
    tables : dict
        What a circuit file says; not changed.
    locate : callable
        Gives file and line of a key path of these tables.
    chain : mapping of int to callable
        The migration from each older version.

    Notes
    -----
    Tables that do not say their version are of version 1. They may use what later versions have, and there is nothing
    to say of them unless they have something that only an older version has. Where ``schema`` is no version at all it
    stays, to be refused, and the rest is read as if there were none.
    """
    newest, stated = max(chain, default=0) + 1, _stated(tables)
    if stated is not None and stated > newest:
        known = f"which reads versions 1 to {newest}. Upgrade neuromirror."
        message = f"version {stated} of the format is newer than this neuromirror, {known}"
        problem = Problem(name="unknown-schema", message=message, **_at(("schema",), locate))
        return Migrated(tables, problem=problem, readable=False)
    moves: list[Move] = []
    found = tables
    for version in range(stated or 1, newest):
        found, more = chain[version](found)
        moves += more
    if stated is not None:
        found = {**found, "schema": newest}
    return Migrated(found, tuple(moves), _version_problem(tables, newest, moves, locate))


def _stated(tables: Tables) -> int | None:
    """Return the version that tables say they are of, if they do and it can be one."""
    said = tables.get("schema")
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 1 else None


def _version_problem(
    tables: Tables, newest: int, moves: list[Move], locate: Callable[[KeyPath], Place]
) -> Problem | None:
    """Return what there is to say of the version of tables that are not newer than this package."""
    remedy = f"'neuromirror migrate' writes it in version {newest}."
    stated = _stated(tables)
    if "schema" not in tables:
        if not moves:
            return None
        message = f"version {newest} of the format has '{dotted(moves[0].new)}' in its place. {remedy}"
        return Problem(name="old-schema", message=message, severity="warning", **_at(moves[0].old, locate))
    if stated is None:
        found = f"found {_short(tables['schema'])}, which is no version of the format."
        message = f"{found} Expected a whole number from 1 to {newest}."
        return Problem(name="unknown-schema", message=message, **_at(("schema",), locate))
    if stated == newest:
        return None
    message = f"version {stated} of the format is read, but is not the newest. {remedy}"
    return Problem(name="old-schema", message=message, severity="warning", **_at(("schema",), locate))


def _at(path: KeyPath, locate: Callable[[KeyPath], Place]) -> dict[str, Any]:
    """Return what a problem has of its place."""
    file, line = locate(path)
    return {"path": dotted(path), "file": file, "line": line}


def _short(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def before(path: KeyPath, moves: tuple[Move, ...]) -> KeyPath:
    """Return the key path that what is now at a key path, or below it or around it, had before some moves."""
    for move in reversed(moves):
        size = len(move.new)
        if path[:size] == move.new:
            path = (*move.old, *path[size:])
        elif path[: len(move.old)] == move.new[: len(move.old)]:  # in the table that the move has made
            path = move.old
    return path


def moved(places: Places, moves: tuple[Move, ...]) -> Places:
    """Return the places of keys after moves: where each value was read from, under the path that it has now."""
    found = dict(places)
    for move in moves:
        size = len(move.old)
        below = {path: place for path, place in found.items() if path[:size] == move.old}
        found = {path: place for path, place in found.items() if path not in below}
        found |= {(*move.new, *path[size:]): place for path, place in below.items()}
        if move.old in below:  # a table that the move makes, and what else is in it, stands there too
            made = (move.new[:length] for length in range(1, len(move.new)))
            found = {**{path: below[move.old] for path in made}, **found}
    return found
