"""The manifest of a run: what ran, with what, and how it ended."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict, get_args, get_type_hints

from neuromirror.errors import RequestError
from neuromirror.record.rows import parse_json, quoted
from neuromirror.seeds import checked_seed

SCHEMA = 1
"""Version of the run directory's format, apart from the package's and the circuit file's."""


class PopulationEntry(TypedDict):
    """One population of the circuit: its path, its layer, its number of cells."""

    path: str
    layer: int
    size: int


class ProjectionEntry(TypedDict):
    """One projection: its ends, its role, and the projection that it mirrors, if it does."""

    source: str
    target: str
    role: str
    mirrors: str | None


class PhaseEntry(TypedDict):
    """One uninterrupted stretch of a mode: simulated time in s, and its examples, counted from 0 over the whole run."""

    mode: str
    start_s: float
    stop_s: float
    first_example: int
    examples: int


class Invocation(TypedDict):
    """The volatile part: dates (ISO 8601, UTC) and the command line, which differ between identical runs."""

    started: str | None
    finished: str | None
    command_line: str | None


def _no_invocation() -> Invocation:
    return Invocation(started=None, finished=None, command_line=None)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What ran, with what, and how it ended.

    Everything but ``invocation`` is the same for the same circuit, seed, target and versions: dates and the command
    line are kept in that one section, and the run directory's own path and the machine's name nowhere.

    Attributes
    ----------
    circuit : str
        Name of the circuit.
    circuit_sha256, protocol_sha256 : str
        Hashes of the two parts of the circuit file, in hexadecimal.
    backend : str
        Name of the simulator.
    target : str or None
        What the simulator generated code for (Brian2: ``"numpy"``, ``"cython"``, ``"cpp_standalone"``).
    seed : int
        Root seed.
    dt_s : float or None
        Time step in s, the length of one tick of the spikes; None where nothing spikes.
    versions : mapping of str to str
        Package name to version.
    device : str
        Where it ran, such as ``"cpu"`` or ``"cuda"``.
    populations : mapping of str to PopulationEntry
    projections : mapping of str to ProjectionEntry
    phases : tuple of PhaseEntry
        The stretches of modes, in order of time.
    learned : tuple of str
        Projections (and biases, ``"y1.bias"``) that some mode teaches.
    complete : bool
        Whether the run reached its end.
    summary : mapping of str to object
        The results in short, as ``run --json`` prints them, but for the run directory and what is measured in
        seconds of the clock; empty until the run is complete.
    invocation : Invocation
        Dates and command line: the only part that differs between identical runs.
    """

    circuit: str
    circuit_sha256: str
    protocol_sha256: str
    backend: str
    target: str | None
    seed: int
    dt_s: float | None
    versions: Mapping[str, str]
    device: str
    populations: Mapping[str, PopulationEntry]
    projections: Mapping[str, ProjectionEntry]
    phases: tuple[PhaseEntry, ...]
    learned: tuple[str, ...]
    complete: bool = False
    summary: Mapping[str, Any] = field(default_factory=dict)
    invocation: Invocation = field(default_factory=_no_invocation)

    def to_json(self) -> str:
        """Return the manifest as indented JSON, ``schema`` first, with a newline at the end."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return json.dumps({"schema": SCHEMA, **fields}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, file: str = "manifest.json") -> Manifest:
        """Read a manifest.

        Parameters
        ----------
        text : str
            JSON, as `to_json` writes it.
        file : str
            Name of the file that it comes from, for error messages.

        Raises
        ------
        RequestError
            If the text is no manifest, or one of a schema that this version does not read.
        """
        found = parse_json(text, file=file, remedy=_REMEDY)
        if not isinstance(found, dict) or "schema" not in found:
            raise RequestError(f"{file}: no 'schema' in it, so it is no manifest of a run. {_REMEDY}")
        schema = found.pop("schema")
        if type(schema) is not int or schema != SCHEMA:
            raise RequestError(
                f"{file}: schema {quoted(schema)}, but this version reads schema {SCHEMA}. "
                "Open it with the version of neuromirror that wrote it (see 'versions' in the file)."
            )
        _check_fields(found, file)
        return cls(**{**found, "phases": tuple(found["phases"]), "learned": tuple(found["learned"])})


_REMEDY = "Point to a directory that 'neuromirror run' wrote, or run again."

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "circuit": (str,),
    "circuit_sha256": (str,),
    "protocol_sha256": (str,),
    "backend": (str,),
    "target": (str, type(None)),
    "seed": (int,),
    "dt_s": (float, int, type(None)),
    "versions": (dict,),
    "device": (str,),
    "populations": (dict,),
    "projections": (dict,),
    "phases": (list,),
    "learned": (list,),
    "complete": (bool,),
    "summary": (dict,),
    "invocation": (dict,),
}


def _check_fields(found: Mapping[str, Any], file: str) -> None:
    for name in found:
        if name not in _JSON_TYPES:
            raise RequestError(f"{file}: unknown field '{name}' for schema {SCHEMA}. {_REMEDY}")
    for name, types in _JSON_TYPES.items():
        if name not in found:
            raise RequestError(f"{file}: the field '{name}' is missing. {_REMEDY}")
        value = found[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
            raise RequestError(f"{file}: '{name}' is {quoted(value)}, expected {wanted}. {_REMEDY}")
    _check_values(found, file)
    _check_entries(found, file)


def _check_values(found: Mapping[str, Any], file: str) -> None:
    """Refuse what has the right type and cannot be."""
    try:
        checked_seed(found["seed"])
    except RequestError as error:
        raise RequestError(f"{file}: {error} {_REMEDY}") from error
    if found["dt_s"] is not None and not (_fits(found["dt_s"], float) and found["dt_s"] > 0):
        raise RequestError(f"{file}: 'dt_s' is {quoted(found['dt_s'])}, expected a time in s above 0. {_REMEDY}")
    for name in ("versions", "learned"):
        for value in _values(found[name]):
            if not isinstance(value, str):
                raise RequestError(f"{file}: '{name}' has {quoted(value)}, expected texts. {_REMEDY}")


def _check_entries(found: Mapping[str, object], file: str) -> None:
    entries: dict[str, tuple[list[object], type]] = {
        "populations": (_values(found["populations"]), PopulationEntry),
        "projections": (_values(found["projections"]), ProjectionEntry),
        "phases": (_values(found["phases"]), PhaseEntry),
        "invocation": ([found["invocation"]], Invocation),
    }
    for name, (values, kind) in entries.items():
        hints = get_type_hints(kind)
        for value in values:
            if not isinstance(value, dict) or set(value) != set(hints):
                keys = ", ".join(sorted(hints))
                raise RequestError(
                    f"{file}: an entry of '{name}' is {quoted(value)}, expected the keys {keys}. {_REMEDY}"
                )
            for key, hint in hints.items():
                if not _fits(value[key], hint):
                    wanted = " or ".join(_NAMES[kind] for kind in get_args(hint) or (hint,))
                    found_here = f"'{key}' of an entry of '{name}' is {quoted(value[key])}"
                    raise RequestError(f"{file}: {found_here}, expected {wanted}. {_REMEDY}")


_NAMES = {str: "a text", type(None): "null", int: "a whole number from 0", float: "a finite number from 0"}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value of the file is of a type of an entry; all numbers there count or measure from 0."""
    kinds = get_args(hint) or (hint,)
    if isinstance(value, float) and float in kinds:
        return math.isfinite(value) and value >= 0
    if type(value) is int and (int in kinds or float in kinds):
        return 0 <= value < 2**63
    return type(value) in kinds


def _values(section: object) -> list[object]:
    return list(section.values()) if isinstance(section, dict) else list(section) if isinstance(section, list) else []
