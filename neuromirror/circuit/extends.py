"""Files that state differences: ``extends`` names the circuit file beneath.

Tables are merged key by key, and what the file itself says wins; arrays and values are replaced whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuromirror.circuit.array_files import anchored
from neuromirror.circuit.changes import forget
from neuromirror.circuit.files import KeyPath, Places, parse, place, read, resolve, shipped
from neuromirror.circuit.migrations import migrated, moved
from neuromirror.errors import CircuitError, Problem, RequestError, suggestion

MAX_CHAIN = 20
"""Files that may extend one another."""


def extended(
    tables: dict[str, Any],
    places: Places,
    *,
    file: str | None,
    folder: Path,
    chain: tuple[Path, ...] = (),
    notices: list[Problem] | None = None,
) -> tuple[dict[str, Any], Places]:
    """Return tables with those that they extend beneath, and the place of every key.

    Each file is brought to the newest version of the format before it is merged.

    Parameters
    ----------
    tables, places
        As `neuromirror.circuit.files.parse` gives them. ``extends`` is the path of a circuit file from `folder`, or
        the name of a shipped circuit; or a table ``{ circuit = …, without = ["dotted.name", …] }``, whose names are
        taken out of what is extended.
    file : str or None
        What messages call the file.
    folder : Path
        The folder that the file is in.
    chain : tuple of Path
        The files that led here.
    notices : list of Problem, optional
        Takes a warning for each file of an older version.

    Raises
    ------
    CircuitError
        If what is extended cannot be read, is of no known version, or extends itself.
    """
    notices = [] if notices is None else notices
    current = migrated(tables, lambda path: place(places, path, (file, None)))
    if current.problem is not None and current.problem.severity == "warning":
        notices.append(current.problem)
    elif current.problem is not None and chain:  # that of the first file is reported with the rest of its problems
        raise CircuitError([current.problem])
    if not current.readable:
        return tables, places
    tables, places = current.tables, moved(places, current.moves)
    if "extends" not in tables:
        return tables, places
    own = {key: value for key, value in tables.items() if key != "extends"}
    name, without = _said(tables["extends"], places, file)
    path = _base(name, folder, places, file, chain)
    shown = path.name if path in shipped().values() else str(path)
    base, below = parse(read(path), shown)
    chain = (*chain, path.resolve())
    base, below = extended(base, below, file=shown, folder=path.parent, chain=chain, notices=notices)
    base = anchored(base, path.parent)
    for index, gone in enumerate(without):
        _take_out(base, below, gone, _problem("extends", places, file, "without", index))
    return _merged(base, own, (), below, places), below


def _said(value: Any, places: Places, file: str | None) -> tuple[str, list[str]]:
    """Return the name of what is extended, and what is left out of it."""
    if isinstance(value, str):
        return value, []
    if isinstance(value, dict) and isinstance(value.get("circuit"), str) and set(value) <= {"circuit", "without"}:
        without = value.get("without", [])
        if isinstance(without, list) and all(isinstance(name, str) for name in without):
            return value["circuit"], without
    message = 'expected extends = "figure1.toml", or { circuit = "figure1.toml", without = ["projections.g0"] }.'
    raise CircuitError([_problem("extends", places, file)(message)])


def _base(name: str, folder: Path, places: Places, file: str | None, chain: tuple[Path, ...]) -> Path:
    problem = _problem("extends", places, file)
    try:
        path = resolve(folder / name) if (folder / name).is_file() else resolve(name)
    except (RequestError, OSError, ValueError) as error:
        raise CircuitError([problem(f"cannot be extended. {error}")]) from error
    if path.resolve() in chain or len(chain) >= MAX_CHAIN:
        through = " → ".join(one.name for one in (*chain, path))
        raise CircuitError([problem(f"files extend one another in a circle: {through}. Take one of them out.")])
    return path


def _take_out(base: dict[str, Any], places: Places, name: str, problem: Any) -> None:
    """Take a dotted name out of tables."""
    keys, here = name.split("."), base
    for depth, key in enumerate(keys):
        if not isinstance(here, dict) or key not in here:
            known = here if isinstance(here, dict) else ()
            raise CircuitError([problem(f"there is no '{name}' to leave out. {suggestion(key, known)}")])
        if depth < len(keys) - 1:
            here = here[key]
    del here[keys[-1]]
    forget(places, tuple(keys), from_list=False)


def _merged(base: Any, own: Any, path: KeyPath, places: Places, of_own: Places) -> Any:
    """Merge one table into another; `places` follows."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        forget(places, path, from_list=False)
        places.update({key: place for key, place in of_own.items() if key[: len(path)] == path})
        return own
    merged = dict(base)
    for key, value in own.items():
        below = (*path, key)
        merged[key] = _merged(base.get(key), value, below, places, of_own)
        if below in of_own:
            places[below] = of_own[below]
    return merged


def _problem(name: str, places: Places, file: str | None, *below: str | int) -> Any:
    """Return a function that makes a problem of a message, at the place of ``extends``."""
    path: KeyPath = (name, *below)
    found, line = place(places, path, (file, None))

    def problem(message: str) -> Problem:
        return Problem(name="extends", path=".".join(map(str, path)), message=message, file=found or file, line=line)

    return problem
