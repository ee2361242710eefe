"""Reading JSON of a run directory: the rows of ``metrics.jsonl``, checked one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neuromirror.errors import RequestError

DAMAGED = "The record is damaged: run again, or restore the file."


def parse_json(text: str, *, file: Path | str, line: int = 1, remedy: str = DAMAGED) -> Any:
    """Read JSON.

    Parameters
    ----------
    text : str
    file : Path or str
        What it comes from, and
    line : int
        the line that it begins on, for error messages.
    remedy : str
        What to do if it is none.

    Raises
    ------
    RequestError
        If the text is not JSON, or nests or counts further than can be read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestError(f"{file}:{line + error.lineno - 1}: not JSON ({error.msg}). {remedy}") from error
    except RecursionError as error:
        raise RequestError(f"{file}:{line}: nested too deeply. {remedy}") from error
    except ValueError as error:  # a whole number of more digits than Python reads
        raise RequestError(f"{file}:{line}: cannot be read ({error}). {remedy}") from error


def read_rows(text: str, *, file: Path, mirrored: Iterable[str], complete: bool) -> list[dict[str, Any]]:
    """Read the rows of the metrics.

    Parameters
    ----------
    text : str
        One JSON object a line.
    file : Path
        What it comes from, for error messages.
    mirrored : iterable of str
        The feedback projections, of which each row has angle and gain.
    complete : bool
        Whether the run reached its end, and so has rows. One that was killed may leave half a row behind, which has no
        newline and is passed over.

    Raises
    ------
    RequestError
        If a line is no row, or a complete run has none.
    """
    lines = text.split("\n")
    if not complete:
        lines[-1] = ""
    names = sorted(mirrored)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if line:
            row = parse_json(line, file=file, line=number)
            if (fault := _fault(row, line, names)) is not None:
                raise RequestError(f"{file}:{number}: {fault}. {DAMAGED}")
            rows.append(row)
    if complete and not rows:
        raise RequestError(f"{file}:1: no rows, though the run is complete. {DAMAGED}")
    return rows


def _fault(row: Any, line: str, names: list[str]) -> str | None:
    """Say what keeps a value from being a row of the metrics, if anything does."""
    if not isinstance(row, dict):
        return f"a row is a JSON object, but this is {line[:40]}"
    wanted = {"phase": _is_count, "examples": _is_count, "mode": _is_text, "t_s": _is_number}
    for name, fits in wanted.items():
        if name not in row:
            return f"a row has '{name}', and this has none"
        if not fits(row[name]):
            return f"'{name}' is {quoted(row[name])}, expected {_EXPECTED[fits]}"
    for name in ("angles_deg", "gain", "w_norm"):
        values = row.get(name, {})
        if not isinstance(values, dict):
            return f"'{name}' is {quoted(values)}, expected a number for each array"
        lacking = [array for array in names if array not in values and name != "w_norm"]
        if lacking:
            return f"there is no {name} of {lacking[0]}"
        for array, value in values.items():
            if not _is_number_or_none(value):
                return f"{name} of {array} is {quoted(value)}, expected {_EXPECTED[_is_number_or_none]}"
    clipped = row.get("clipped", {})
    if not isinstance(clipped, dict) or not all(map(_is_number, clipped.values())):
        return f"'clipped' is {quoted(clipped)}, expected a number for each population"
    if not _is_number_or_none(row.get("loss")):
        return f"'loss' is {quoted(row['loss'])}, expected {_EXPECTED[_is_number_or_none]}"
    return None


def quoted(value: object) -> str:
    """Return a value of a JSON file in a few words, as messages quote it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what floats reach
        return False


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


_EXPECTED = {
    _is_count: "a whole number from 0",
    _is_text: "a text",
    _is_number: "a number",
    _is_number_or_none: "a number or null",
}
