"""Arrays that a circuit file keeps beside it, in safetensors files.

Wherever a circuit has an array it may have ``{ file = "NAME.safetensors", key = "NAME" }``, and initial values may be
``{ init = "file", file = …, key = … }``. Files are read once, when the circuit is made.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from neuromirror.circuit.arrays import Array, read_array
from neuromirror.errors import Problem, dotted, suggestion

ARRAYS = frozenset({"values", "mask", "inputs", "targets"})
"""The fields that hold arrays."""

INLINE = 1000
"""Arrays of more numbers than this are written beside a circuit file."""

KeyPath = tuple[str | int, ...]
Locate = Callable[[KeyPath], tuple[str | None, int | None]]


@dataclass
class _Reader:
    """Copies tables; arrays take the place of what names them.

    Attributes
    ----------
    problems : list of Problem
        References that lead nowhere.
    lost : set of key paths
        The arrays that they stood for.
    """

    locate: Locate
    problems: list[Problem] = field(default_factory=list)
    lost: set[KeyPath] = field(default_factory=set)

    def copied(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, Mapping):
            if path[:1] != ("modes",) and value.get("init") == "file":
                return self._initial(dict(value), path)
            if path and path[-1] in ARRAYS and isinstance(value.get("file"), str):
                return self._referenced(dict(value), path, path)
            copies = {key: self.copied(item, (*path, key)) for key, item in value.items()}
            return {key: item for key, item in copies.items() if (*path, key) not in self.lost}
        if isinstance(value, list | tuple):
            return [self.copied(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return _from_numpy(value, path)
        return copy.deepcopy(value)

    def _initial(self, table: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        """Return ``init = "file"`` as ``init = "values"``."""
        named = {key: table.pop(key) for key in ("file", "key") if key in table}
        array = self._referenced(named, path, (*path, "values"))
        table = {key: self.copied(item, (*path, key)) for key, item in table.items()}
        return {**table, "init": "values", **({} if array is None else {"values": array})}

    def _referenced(self, table: dict[str, Any], path: KeyPath, array_path: KeyPath) -> Array | None:
        try:
            return _read(table)
        except _ReferenceError as error:
            where = (*path, error.key) if error.key in table else path
            file, line = self.locate(where)
            message = str(error)
            self.problems.append(Problem(name="array-file", path=dotted(where), message=message, file=file, line=line))
            self.lost.add(array_path)
            return None


class _ReferenceError(Exception):
    """A reference that leads nowhere, and which of its keys is to blame."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def with_arrays(tables: Any, locate: Locate) -> tuple[dict[str, Any], list[Problem], set[KeyPath]]:
    """Return a copy of a circuit's tables with its arrays read, what could not be read, and where that belongs.

    NumPy's numbers become Python's, and tuples lists.

    Parameters
    ----------
    tables : dict
        As `tomllib` gives them, or built in Python.
    locate : callable
        Gives file and line for a key path.
    """
    reader = _Reader(locate)
    return reader.copied(tables, ()), reader.problems, reader.lost


def anchored(value: Any, folder: Path, path: KeyPath = ()) -> Any:
    """Return tables whose files are named from the root, where they were named from a folder."""
    if isinstance(value, list):
        return [anchored(item, folder, (*path, index)) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    named = value.get("init") == "file" or (path and path[-1] in ARRAYS)
    changed = {key: anchored(item, folder, (*path, key)) for key, item in value.items()}
    if named and path[:1] != ("modes",) and isinstance(value.get("file"), str):
        changed["file"] = str((folder / value["file"]).absolute())
    return changed


def beside(tables: dict[str, Any], file: str, least: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return tables that name their large arrays in a file, and those arrays by key.

    Parameters
    ----------
    tables : dict
        With `Array` where they have arrays; the others come out as lists.
    file : str
        The name of the file.
    least : int
        Number of entries up to which an array stays.
    """
    arrays: dict[str, Array] = {}

    def written(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            large = value.get("values")
            if value.get("init") == "values" and isinstance(large, Array) and large.size > least:
                kept = {key: written(item, (*path, key)) for key, item in value.items() if key != "values"}
                return {**kept, "init": "file", **written(large, path)}
            return {key: written(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [written(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, Array):
            return value
        if value.size <= least:
            return value.tolist()
        key = dotted(path)
        arrays[key] = value
        return {"file": file, "key": key}

    return written(tables, ()), arrays


def packed(arrays: Mapping[str, Array]) -> bytes:
    """Return the bytes of a file with these arrays."""
    return safetensors.numpy.save({key: array.numbers for key, array in sorted(arrays.items())})


def _from_numpy(value: np.ndarray, path: KeyPath) -> Any:
    if path and path[-1] in ARRAYS:
        try:
            return read_array(value)
        except ValueError:
            return value.copy()  # the description's own check says what is wrong with it
    return value.tolist()


def _read(table: dict[str, Any]) -> Array:
    file, key = table.get("file"), table.get("key")
    if not isinstance(file, str):
        raise _ReferenceError("file", 'no file is named. Expected file = "NAME.safetensors" and key = "NAME".')
    if unknown := set(table) - {"file", "key"}:
        raise _ReferenceError(min(unknown), "beside file and key this says more. Take it out.")
    try:
        with safetensors.safe_open(file, framework="numpy") as arrays:
            names = list(arrays.keys())
            if not isinstance(key, str) or key not in names:
                what = "no key is named" if key is None else f"{Path(file).name} has no array '{key}'"
                raise _ReferenceError("key", f"{what}. {suggestion(str(key or ''), names)}")
            return read_array(arrays.get_tensor(key))
    except FileNotFoundError as error:
        raise _ReferenceError(
            "file", f"{file}: there is no such file. Its path starts from the folder of the circuit file."
        ) from error
    except (OSError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise _ReferenceError("file", f"{file}, '{key}': cannot be read ({error}).") from error
