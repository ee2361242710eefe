"""A circuit as users hold it: what the file says, its checks, its graph, its hashes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path as FilePath
from typing import Any

import networkx as nx
import tomli_w

from neuromirror.circuit import changes as changing
from neuromirror.circuit import templates
from neuromirror.circuit.array_files import INLINE, beside, packed, with_arrays
from neuromirror.circuit.arrays import Array
from neuromirror.circuit.capabilities import capabilities, unsupported
from neuromirror.circuit.checks import check, check_effects, check_short_forms
from neuromirror.circuit.description import CIRCUIT_PARTS, PROTOCOL_PARTS, SCHEMA, Description
from neuromirror.circuit.files import Places
from neuromirror.circuit.fit import fitted
from neuromirror.circuit.graph import build_graph
from neuromirror.circuit.lesions import lesioned
from neuromirror.circuit.methods import not_local, overlaid
from neuromirror.circuit.migrations import Move, before, migrated
from neuromirror.circuit.unused import without_unused
from neuromirror.circuit.validate import Path, Validation, validate
from neuromirror.errors import CircuitError, Problem, RequestError, dotted


def _nowhere(path: Path) -> tuple[None, None]:
    return None, None


NO_VALUE = "no value of any field"
"""What is put in place of a value to find out whether anything reads it."""


@dataclass(frozen=True)
class Probe:
    """A value that was asked for, by ``--set`` or `Circuit.with_values`, to be looked at for whether it does anything.

    Attributes
    ----------
    path : key path
        Of the value.
    filled : callable
        Returns the circuit with another value in place of this.
    """

    path: Path
    filled: Callable[[Any], Circuit]


class Circuit:
    """A circuit, immutable.

    Parameters
    ----------
    tables : dict
        What a circuit file says, as `tomllib` reads it; arrays and numbers may be NumPy's.
    locate : callable, optional
        Gives file and line of a key path, for messages.
    notices : sequence of Problem
        Warnings of the files that the tables were read from.
    probes : sequence of Probe
        Values of the tables that are wrong where the circuit is the same without them.

    Notes
    -----
    Making one never fails; `problems` tells what is wrong, and every other use of a wrong circuit raises
    `CircuitError` with all of it.
    """

    def __init__(
        self,
        tables: dict[str, Any],
        *,
        locate: Callable[[Path], tuple[str | None, int | None]] = _nowhere,
        notices: Sequence[Problem] = (),
        probes: Sequence[Probe] = (),
    ) -> None:
        read, problems, lost = with_arrays(tables, locate)
        current = migrated(read, locate)
        self._tables = {**current.tables}
        self._tables.setdefault("schema", SCHEMA)
        self._locate, self._probes = _before(current.moves, locate), tuple(probes)
        said = () if current.problem is None else (current.problem,)
        self._notices = (*notices, *(one for one in said if one.severity == "warning"))
        if not current.readable:
            self._validation = Validation(problems=[*said])
            return
        self._validation = validate({k: v for k, v in self._tables.items() if k != "schema"}, self._locate)
        self._validation.problems[:0] = [*said, *notices, *problems]
        self._validation.dropped |= lost

    def __repr__(self) -> str:
        described = self._validation.description
        return f"<Circuit {'with errors' if described is None else repr(described.name)}>"

    def problems(self, backend: str | None = None) -> tuple[Problem, ...]:
        """Return all that is wrong or doubtful, in the order of the file.

        Parameters
        ----------
        backend : str, optional
            Also check that this backend can run the circuit.

        Raises
        ------
        RequestError
            If there is no such backend.
        """
        named = capabilities(backend) if backend is not None else None
        found = list(self._findings)
        if named is not None and self._validation.description is not None:
            expanded = templates.expand(self._validation.description)
            found += unsupported(expanded, named, lambda path: self._locate(self._validation.place(path)))
        unique = list(dict.fromkeys(found))
        return tuple(sorted(unique, key=lambda p: (p.severity != "error", p.line or 0)))

    @cached_property
    def _findings(self) -> tuple[Problem, ...]:
        """All that is wrong or doubtful whatever the backend."""
        read = self._validation
        found = list(read.problems)
        if read.description is not None:
            expanded = templates.expand(read.description)
            found += check_short_forms(read.description, expanded, self._locate, read.dropped)
            found += check(expanded, self._locate, read.dropped, read.original, read.place, read.description)
            if not any(problem.severity == "error" for problem in found):
                found += check_effects(read.description, expanded, self._locate, read.place)
        if not any(problem.severity == "error" for problem in found):
            found += self._idle_changes()
        return tuple(found)

    def _idle_changes(self) -> Iterator[Problem]:
        """Yield the values that were asked for and that a circuit without errors has no use for.

        In place of each a value is put that no field takes: where nothing becomes of it, nothing reads the value.
        """
        for probe in self._probes:
            try:
                other = probe.filled(NO_VALUE)
            except RequestError:
                continue
            read, own = other._validation.description, self._validation.description
            if read is None or own is None or templates.expand(read) != templates.expand(own):
                continue
            if not any(problem.severity == "error" for problem in other.problems()):
                file, line = self._locate(probe.path)
                message = "changes nothing: whatever it says, the circuit is the same. See `neuromirror expand`."
                yield Problem(name="idle-change", path=dotted(probe.path), message=message, file=file, line=line)

    def place(self, path: Path) -> tuple[str | None, int | None]:
        """Return the file and the line that the value at a key path of the long form comes from."""
        return self._locate(self._validation.place(path))

    def check(self, backend: str | None = None) -> tuple[Problem, ...]:
        """Raise `CircuitError` if there is any error; return the warnings."""
        found = self.problems(backend)
        if any(problem.severity == "error" for problem in found):
            raise CircuitError(found)
        return found

    @cached_property
    def description(self) -> Description:
        """The expanded description: explicit populations and projections, a flat schedule, everything in order."""
        self.check()
        assert self._validation.description is not None
        ordered = _ordered(self._validation.description)
        return ordered.model_copy(update={"schedule": tuple(templates.flat(ordered.schedule))})

    @property
    def name(self) -> str:
        """The circuit's name."""
        return self.description.name

    def expand(self) -> Circuit:
        """Return the circuit in its long form, every default and every short form written out."""
        return Circuit(_tables(self.description))

    @cached_property
    def graph(self) -> nx.MultiDiGraph:
        """The graph; see `neuromirror.circuit.graph.build_graph`."""
        return build_graph(self.description)

    @cached_property
    def sha256(self) -> str:
        """Hash of the circuit: code, cells, populations, projections, rules and modes; not of names of files."""
        return self._hash(CIRCUIT_PARTS)

    @cached_property
    def protocol_sha256(self) -> str:
        """Hash of the protocol: stimulus, schedule and time."""
        return self._hash(PROTOCOL_PARTS)

    def method(self, name: str) -> Circuit:
        """Return the circuit under a method, such as ``"fa"``; see `neuromirror.circuit.methods`.

        Raises
        ------
        RequestError
            If there is no such method, or it has nothing to act on.
        CircuitError
            If the circuit has errors.
        """
        changed = without_unused(overlaid(self.description, name))
        return Circuit(_tables(changed), locate=self.place, notices=self._notices)

    def fitted(
        self, *, channels: int | None = None, size: tuple[int, int] | None = None, classes: int | None = None
    ) -> Circuit:
        """Return the circuit for other images; see `neuromirror.circuit.fit.fitted`.

        Raises
        ------
        RequestError
            If the circuit has not one input and one output, or an image is too small for a kernel.
        CircuitError
            If the circuit has errors.
        """
        changed = fitted(self.description, channels=channels, size=size, classes=classes)
        return Circuit(_tables(changed), locate=self.place, notices=self._notices)

    @property
    def not_local(self) -> dict[str, str]:
        """The projections whose weights are transported, and how."""
        return not_local(self.description)

    def to_toml(self) -> str:
        """Return the expanded circuit as the text of a circuit file, its arrays written out."""
        return tomli_w.dumps(beside(_tables(self.description), "", sys.maxsize)[0])

    def to_files(self, stem: str) -> dict[str, bytes]:
        """Return the expanded circuit as files by name: ``STEM.toml``, and ``STEM.safetensors`` if it has large arrays.

        Arrays of more than a thousand numbers count as large.
        """
        file = f"{stem}.safetensors"
        tables, arrays = beside(_tables(self.description), file, INLINE)
        text = {f"{stem}.toml": tomli_w.dumps(tables).encode()}
        return {**text, file: packed(arrays)} if arrays else text

    def save(self, path: str | FilePath) -> FilePath:
        """Write the expanded circuit to a file that `neuromirror.load` reads; large arrays go beside it.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.toml``. What was there is replaced; a folder that does not exist is made.

        Raises
        ------
        CircuitError
            If the circuit has errors.
        RequestError
            If it cannot be written there.
        """
        path = FilePath(path)
        if path.suffix != ".toml":
            raise RequestError(f"{path}: a circuit file ends in .toml. Save it under such a name.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for name, content in sorted(self.to_files(path.stem).items()):  # the arrays before what names them
                unfinished = path.with_name(f"{name}.part")
                unfinished.write_bytes(content)
                os.replace(unfinished, path.with_name(name))
        except OSError as error:
            raise RequestError(f"{path}: cannot be written ({error.strerror}).") from error
        return path

    def with_changes(self, changes: dict[str, Any]) -> Circuit:
        """Return a circuit with whole top-level tables replaced, such as ``{"schedule": [...]}``."""
        return Circuit({**self._tables, **changes}, notices=self._notices)

    def with_values(self, values: Mapping[str, Any]) -> Circuit:
        """Return a circuit with values changed by their dotted names, as ``--set`` changes those of a file.

        Parameters
        ----------
        values : mapping of str to object
            What a circuit file could say there, such as ``{"code.beta": "50 Hz", "schedule.0.examples": 200}``; numbers
            and arrays may be NumPy's. None takes the key out.

        Raises
        ------
        RequestError
            If a name leads nowhere.
        """
        return self._with_values(values, probe=True)

    def _with_values(self, values: Mapping[str, Any], *, probe: bool) -> Circuit:
        tables, places, base = with_arrays(self._tables, self._locate)[0], dict[Path, Any](), self._locate
        probes = list[Probe]()
        for name, value in values.items():
            keys = changing.put(tables, name, value, places, f"with_values {name}")
            if value is None and isinstance(keys[-1], int):  # what follows in the list is not where it was
                places.setdefault(keys[:-1], base(keys[:-1]))
            probes = [one for one in probes if one.path[: len(keys)] != keys]  # the last of several holds
            if value is not None:
                probes.append(Probe(keys, partial(self._filled, values, name)))
        return Circuit(tables, locate=_over(places, base), notices=self._notices, probes=probes if probe else ())

    def _filled(self, values: Mapping[str, Any], name: str, value: Any) -> Circuit:
        return self._with_values({**values, name: value}, probe=False)

    def without(self, *names: str) -> Circuit:
        """Return the circuit with a lesion: without some populations or projections, wherever they occur.

        With a population go the projections from and to it. A B whose W is gone stays, with nothing to mirror; what
        learned from an error or a forward signal that no longer arrives does not learn. The result is in the long form.

        Raises
        ------
        RequestError
            If there is nothing of a name, or no population is left.
        CircuitError
            If the circuit has errors.
        """
        return Circuit(_tables(without_unused(lesioned(self.description, names))))

    def _hash(self, parts: tuple[str, ...]) -> str:
        def digest(array: Array) -> dict[str, Any]:
            return {"shape": array.shape, "sha256": array.sha256}

        dump = _tables(self.description, digest)
        text = json.dumps({part: dump.get(part) for part in parts}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _tables(description: Description, array: Callable[[Array], Any] = lambda array: array) -> dict[str, Any]:
    """Return an expanded description, in which no motif is left, as tables, each array as `array` makes it."""
    written_out = {"motifs", "use"}
    return description.model_dump(by_alias=True, exclude_none=True, context={"array": array}, exclude=written_out)


def _before(moves: tuple[Move, ...], locate: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Return a function that gives the place of a path after moves."""
    return locate if not moves else lambda path: locate(before(path, moves))


def _over(places: Places, base: Callable[[Path], tuple[str | None, int | None]]) -> Callable[[Path], Any]:
    """Return a function that gives the place of a path: that of a change, or else what it was before."""

    def locate(path: Path) -> tuple[str | None, int | None]:
        changed = next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), None)
        return base(path) if changed is None else changed

    return locate


def _ordered(description: Description) -> Description:
    """Expand the short forms and bring everything that has no order of its own into alphabetical order."""
    expanded = templates.expand(description)
    modes = {
        name: mode.model_copy(
            update={
                "on": tuple(sorted(set(mode.on))),
                **{part: dict(sorted(getattr(mode, part).items())) for part in ("input", "compare", "noise", "learn")},
            }
        )
        for name, mode in sorted(expanded.modes.items())
    }
    ordered = {part: dict(sorted(getattr(expanded, part).items())) for part in ("cells", "populations", "projections")}
    rules = {
        name: rule.model_copy(update={"constants": dict(sorted(rule.constants.items()))})
        for name, rule in sorted(expanded.rules.items())
    }
    return expanded.model_copy(update={**ordered, "rules": rules, "modes": modes})
