"""Changes to the tables of a circuit file, value by value, as ``--set`` makes them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from neuromirror.circuit.files import KeyPath, Places
from neuromirror.errors import RequestError


def apply(tables: dict[str, Any], change: str, places: Places) -> KeyPath:
    """Change one value of the tables, note where it comes from, and return its keys.

    Parameters
    ----------
    tables : dict
        Changed in place.
    change : str
        ``"dotted.name=value"``; see `neuromirror.circuit.load.load`.
    places : dict
        Changed in place: what is below the name stands where the change does.

    Raises
    ------
    RequestError
        If the change is not of that form, or leads nowhere.
    """
    name, equals, value = change.partition("=")
    name = name.strip()
    if not equals or not name:
        raise RequestError(f'--set {change}: expected dotted.name=value, such as schedule.0.duration="5 s".')
    said = f"--set {change}"
    return put(tables, name, value_of(value, said) if value.strip() else None, places, said)


def put(tables: dict[str, Any], name: str, value: Any, places: Places, said: str) -> KeyPath:
    """Put a value at a dotted name of the tables, note where it comes from, and return the name's keys.

    Parameters
    ----------
    tables : dict
        Changed in place.
    name : str
        Names of keys, and numbers of elements, with dots between; the number after the last element adds one.
    value : object
        None takes the key out.
    places : dict
        Changed in place: what is below the name stands where the change does.
    said : str
        What messages call the change.

    Raises
    ------
    RequestError
        If the name leads nowhere.
    """
    keys = _keys(name, tables, said)
    parent = _parent(tables, keys, places, said)
    if value is None:
        try:
            del parent[keys[-1]]
        except (KeyError, IndexError) as error:
            raise RequestError(f"{said}: there is no {name} to take out.") from error
        forget(places, tuple(keys), from_list=isinstance(parent, list))
        return tuple(keys)
    if isinstance(parent, dict):
        parent[str(keys[-1])] = value
    elif isinstance(keys[-1], int) and keys[-1] <= len(parent):
        parent[keys[-1] : keys[-1] + 1] = [value]
    else:
        raise RequestError(f"{said}: there are {len(parent)} items, from 0 to {len(parent) - 1}.")
    forget(places, tuple(keys), from_list=False)
    places[tuple(keys)] = (said, None)
    return tuple(keys)


def _keys(name: str, tables: Mapping[str, Any], said: str) -> list[str | int]:
    """Split a dotted name; a key may itself hold a dot (``modes.engaged.learn.y1.bias``)."""
    keys: list[str | int] = []
    here: Any = tables
    parts = name.split(".")
    while parts:
        if isinstance(here, list):
            if not parts[0].isdecimal() or len(parts[0]) > 9:
                wanted = f"a number from 0 to {len(here) - 1}" if here else "a number, and the first is 0"
                raise RequestError(f"{said}: '{parts[0]}' stands where a list wants {wanted}.")
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


def _parent(tables: dict[str, Any], keys: list[str | int], places: Places, said: str) -> Any:
    """Return the table or list that has the last key; tables on the way that are not there come from the change."""
    here: Any = tables
    for depth, key in enumerate(keys[:-1], start=1):
        if isinstance(here, dict):
            if key not in here:
                here[key] = {}
                places[tuple(keys[:depth])] = (said, None)
            here = here[key]
        else:
            if not isinstance(here, list) or not isinstance(key, int) or key >= len(here):
                raise RequestError(f"{said}: there is no {key} here.")
            here = here[key]
    if not isinstance(here, dict | list):
        raise RequestError(f"{said}: {'.'.join(map(str, keys[:-1]))} is a value, not a table.")
    return here


def value_of(text: str, said: str) -> Any:
    """Read a value as TOML; what is not TOML is a text without its quotes.

    Raises
    ------
    RequestError
        If there are several; the message begins with what ``said`` calls the change.
    """
    try:
        tables = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text.strip()
    if len(tables) > 1:  # lines that follow the value are TOML of their own
        raise RequestError(f"{said!r}: found more than one value. Give each a --set of its own.")
    return tables["value"]


def forget(places: Places, gone: KeyPath, *, from_list: bool) -> None:
    """Take a path and what is below it out of the places; what follows it in a list moves up."""
    head, last, size = gone[:-1], gone[-1], len(gone)
    for path in [path for path in places if path[:size] == gone]:
        del places[path]
    if from_list and isinstance(last, int):
        after: dict[KeyPath, KeyPath] = {}
        for path in places:
            number = path[size - 1] if len(path) >= size and path[: size - 1] == head else None
            if isinstance(number, int) and number > last:
                after[path] = (*head, number - 1, *path[size:])
        places.update({moved: places.pop(path) for path, moved in after.items()})
