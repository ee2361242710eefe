"""Loading circuits: the file, the files that it extends, and the changes that are asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from neuromirror.circuit import changes as changing
from neuromirror.circuit.array_files import anchored
from neuromirror.circuit.circuit import Circuit, Probe
from neuromirror.circuit.description import SCHEMA
from neuromirror.circuit.extends import extended
from neuromirror.circuit.files import MAX_FILE_BYTES, KeyPath, Place, check_tables, parse, place, read, resolve, shipped
from neuromirror.circuit.templates import short_forms
from neuromirror.errors import Problem

__all__ = ["MAX_FILE_BYTES", "from_text", "load", "resolve", "shipped"]


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
    shown = str(circuit) if Path(circuit) == path else path.name
    return from_text(read(path), file=shown, changes=changes, folder=path.parent)


def from_text(
    text: str, *, file: str | None = None, changes: Iterable[str] = (), folder: Path | None = None
) -> Circuit:
    """Read a circuit from the text of a circuit file; see `load`.

    Parameters
    ----------
    text : str
    file : str, optional
        What messages call it.
    changes : iterable of str
    folder : Path, optional
        Where the names of files in it start from; the current folder by default.
    """
    notices: list[Problem] = []
    base, base_places = extended(*parse(text, file), file=file, folder=folder or Path(), notices=notices)
    base.setdefault("schema", SCHEMA)

    def changed(asked: tuple[str, ...], *, probe: bool = True) -> Circuit:
        tables, places = copy.deepcopy(base), dict(base_places)
        made = [changing.apply(tables, change, places) for change in asked]
        check_tables(tables, file, places)

        def locate(path: KeyPath) -> Place:
            if path[:2] not in places:
                for form in short_forms(path):
                    if form[:1] in places:
                        return place(places, form, (file, 1))
            return place(places, path, (file, 1))  # what the file as a whole lacks is said of its first line

        def filled(number: int, value: str) -> Circuit:
            name = asked[number].partition("=")[0]
            return changed((*asked[:number], f"{name}={value}", *asked[number + 1 :]), probe=False)

        set_ = [(k, path) for k, path in enumerate(made) if asked[k].partition("=")[2].strip()]
        lasting = [(k, path) for k, path in set_ if not any(later == path[: len(later)] for later in made[k + 1 :])]
        probes = [Probe(path, partial(filled, k)) for k, path in lasting] if probe else []
        return Circuit(anchored(tables, folder or Path()), locate=locate, notices=notices, probes=probes)

    return changed(tuple(changes))
