"""A circuit as users hold it: what the file says, its checks, its graph, its hashes."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import networkx as nx
import tomli_w

from neuromirror.circuit import templates
from neuromirror.circuit.capabilities import capabilities, unsupported
from neuromirror.circuit.checks import check, check_short_forms
from neuromirror.circuit.description import CIRCUIT_PARTS, PROTOCOL_PARTS, Description
from neuromirror.circuit.graph import build_graph
from neuromirror.circuit.methods import not_local, overlaid
from neuromirror.circuit.validate import Path, validate
from neuromirror.errors import CircuitError, Problem


def _nowhere(path: Path) -> tuple[None, None]:
    return None, None


class Circuit:
    """A circuit, immutable.

    Parameters
    ----------
    tables : dict
        What a circuit file says, as `tomllib` reads it.
    locate : callable, optional
        Gives file and line of a key path, for messages.

    Notes
    -----
    Making one never fails; `problems` tells what is wrong, and every other use of a wrong circuit raises
    `CircuitError` with all of it.
    """

    def __init__(
        self, tables: dict[str, Any], *, locate: Callable[[Path], tuple[str | None, int | None]] = _nowhere
    ) -> None:
        self._tables = copy.deepcopy(tables)
        self._locate = locate
        self._validation = validate(self._tables, locate)

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
        found = list(self._validation.problems)
        if self._validation.description is not None:
            expanded = templates.expand(self._validation.description)
            semantic = list(check_short_forms(self._validation.description, expanded, self._locate))
            found_in = self._validation
            semantic += check(
                expanded, self._locate, found_in.dropped, found_in.original, found_in.place, found_in.description
            )
            if named is not None:
                semantic += unsupported(expanded, named, lambda path: self._locate(self._validation.place(path)))
            found += semantic
        unique = list(dict.fromkeys(found))
        return tuple(sorted(unique, key=lambda p: (p.severity != "error", p.line or 0)))

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
        return Circuit(self._dump())

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
        return Circuit(_tables(overlaid(self.description, name)))

    @property
    def not_local(self) -> dict[str, str]:
        """The projections whose weights are transported, and how."""
        return not_local(self.description)

    def to_toml(self) -> str:
        """Return the expanded circuit as the text of a circuit file."""
        return tomli_w.dumps(self._dump())

    def with_changes(self, changes: dict[str, Any]) -> Circuit:
        """Return a circuit with whole top-level tables replaced, such as ``{"schedule": [...]}``."""
        return Circuit({**self._tables, **changes})

    def _dump(self) -> dict[str, Any]:
        return _tables(self.description)

    def _hash(self, parts: tuple[str, ...]) -> str:
        dump = self._dump()
        text = json.dumps({part: dump.get(part) for part in parts}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _tables(description: Description) -> dict[str, Any]:
    """Return the tables of an expanded description, in which no motif is left."""
    return description.model_dump(by_alias=True, exclude_none=True, mode="json", exclude={"motifs", "use"})


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
