"""What each backend can run, as data, so that a circuit can be checked for a backend that is not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neuromirror.circuit.description import Description
from neuromirror.circuit.rules import drive_of
from neuromirror.circuit.spiking import spiking_problems
from neuromirror.circuit.timeless import timeless_problems
from neuromirror.errors import Problem, RequestError, suggestion
from neuromirror.libraries import INSTALL, is_installed
from neuromirror.rules.expression import ExpressionError


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a backend can run.

    Attributes
    ----------
    name : str
        As after ``--backend``.
    about : str
        One line for ``neuromirror backends``.
    needs : str
        The Python module it is built on.
    spiking : bool
        Whether cells are spiking neurons; else rates.
    codes, activations, noise_laws, connectors, transports, norms, updaters, normalisations, cells : frozenset of str
        The values of these fields that it runs; "cells" are distinct or shared (8.1).
    separable_only : bool
        Whether a drive must be a sum of products of one-sided factors.
    """

    name: str
    about: str
    needs: str
    spiking: bool
    codes: frozenset[str]
    activations: frozenset[str]
    noise_laws: frozenset[str]
    transports: frozenset[str]
    connectors: frozenset[str] = frozenset({"all_to_all", "one_to_one"})
    norms: frozenset[str] = frozenset({"none"})
    updaters: frozenset[str] = frozenset({"plain"})
    normalisations: frozenset[str] = frozenset({"none"})
    cells: frozenset[str] = frozenset({"distinct"})
    separable_only: bool = False

    @property
    def installed(self) -> bool:
        """Whether the module it needs is here."""
        return is_installed(self.needs)

    @property
    def install(self) -> str:
        """How to get that module."""
        return INSTALL[self.needs]


_RATE = {
    "spiking": False,
    "codes": frozenset({"zero_mean", "baseline", "push_pull"}),
    "activations": frozenset({"relu", "linear", "tanh", "rectified_tanh", "expr"}),
    "noise_laws": frozenset({"gaussian", "rademacher", "bursts", "poisson"}),
    "transports": frozenset({"none", "initial", "exact", "sign"}),
    "norms": frozenset({"none", "synaptic_scaling"}),
    "normalisations": frozenset({"target", "source", "array"}),
    "cells": frozenset({"distinct", "shared"}),  # a rate is the same whichever cells carry it
}

BACKENDS: MappingProxyType[str, Capabilities] = MappingProxyType(
    {
        "brian2": Capabilities(
            name="brian2",
            about="spiking leaky integrate-and-fire cells",
            needs="brian2",
            spiking=True,
            codes=frozenset({"baseline", "push_pull"}),
            activations=frozenset({"relu", "linear", "tanh", "rectified_tanh", "expr"}),
            noise_laws=frozenset({"gaussian", "bursts", "poisson"}),
            transports=frozenset({"none", "initial", "exact", "sign"}),
            norms=frozenset({"none", "synaptic_scaling"}),
            normalisations=frozenset({"target", "source", "array"}),
            cells=frozenset({"distinct", "shared"}),
        ),
        "brian2-rate": Capabilities(
            name="brian2-rate",
            about="rates as Brian2 equations, one time step an example, for checks",
            needs="brian2",
            **_RATE,
        ),
        "reference": Capabilities(
            name="reference",
            about="rates in NumPy, one synapse at a time: the oracle of the others",
            needs="numpy",
            **_RATE,
        ),
        "torch": Capabilities(
            name="torch",
            about="rates, vectorised (float32 or float64)",
            needs="torch",
            separable_only=True,
            **_RATE,
        ),
    }
)
"""All backends, by name."""

DEFAULT_BACKEND = "brian2"

TRAINING = Capabilities(
    name="torch",
    about="networks of torch that learn from images",
    needs="torch",
    spiking=False,
    codes=frozenset({"zero_mean"}),
    activations=frozenset({"relu", "linear", "tanh", "rectified_tanh"}),
    noise_laws=frozenset({"gaussian", "rademacher"}),
    transports=frozenset({"none", "initial", "exact", "sign"}),
    connectors=frozenset({"all_to_all", "one_to_one", "conv", "pool", "shortcut"}),
    norms=frozenset({"none", "batch_norm"}),
    updaters=frozenset({"plain", "sgd"}),
    cells=frozenset({"distinct", "shared"}),
    separable_only=True,
)
"""What ``neuromirror train`` can do."""


def capabilities(backend: str) -> Capabilities:
    """Return a backend's capabilities.

    Raises
    ------
    RequestError
        If there is no such backend.
    """
    if backend not in BACKENDS:
        raise RequestError(f"backend '{backend}': there is none of that name. {suggestion(backend, BACKENDS)}")
    return BACKENDS[backend]


def able(description: Description) -> list[str]:
    """Return the names of the backends that can run a circuit."""
    return [
        name
        for name, backend in BACKENDS.items()
        if all(found.severity != "error" for found in unsupported(description, backend, lambda _: (None, None)))
    ]


def unsupported(
    description: Description,
    backend: Capabilities,
    locate: Callable[[tuple[str | int, ...]], tuple[str | None, int | None]],
) -> list[Problem]:
    """Return what a backend cannot run of an expanded circuit, each with the alternatives."""
    who = "training" if backend is TRAINING else f"backend '{backend.name}'"
    problems, found = [], dict[tuple[str, str], list[tuple[tuple[str | int, ...], frozenset[str]]]]()
    for path, what, value, allowed in _features(description, backend):
        found.setdefault((what, value), []).append((path, allowed))
    for (what, value), places in found.items():
        path, allowed = places[0]
        file, line = locate(path)
        known = f"it has: {', '.join(sorted(allowed))}" if allowed else "it has none"
        others = [
            name
            for name, other in BACKENDS.items()
            if name != backend.name and not any(p == path for p, *_ in _features(description, other))
        ]
        remedy = f" Use --backend {' or '.join(others)}." if others else " No backend runs it yet."
        if backend is TRAINING and others:
            remedy = f" 'neuromirror run --backend {others[0]}' has it."
        if backend is not TRAINING and not others and not any(p == path for p, *_ in _features(description, TRAINING)):
            remedy = " 'neuromirror train' has it."
        problems.append(
            Problem(
                name="not-supported",
                path=".".join(map(str, path)),
                message=f"{who} has no {what} '{value}' ({known}).{remedy}{_elsewhere(places)}",
                file=file,
                line=line,
            )
        )
    if backend.spiking:
        problems += spiking_problems(description, locate)
    else:
        problems += timeless_problems(description, locate)
    return problems


def _elsewhere(places: list[Any]) -> str:
    return "" if len(places) == 1 else f" {len(places) - 1} more of the circuit's parts have it."


def _features(
    description: Description, backend: Capabilities
) -> Iterator[tuple[tuple[str | int, ...], str, str, frozenset[str]]]:
    if description.code.kind not in backend.codes:
        yield ("code", "kind"), "code", description.code.kind, backend.codes
    for name, cell in description.cells.items():
        if cell.activation not in backend.activations:
            yield ("cells", name, "activation"), "activation", cell.activation, backend.activations
    for name, projection in description.projections.items():
        if projection.connector not in backend.connectors:
            yield ("projections", name, "connector"), "connector", projection.connector, backend.connectors
        if projection.transport not in backend.transports:
            yield ("projections", name, "transport"), "transport", projection.transport, backend.transports
    for name, mode in description.modes.items():
        for population, noise in mode.noise.items():
            if noise.law not in backend.noise_laws:
                yield ("modes", name, "noise", population, "law"), "noise law", noise.law, backend.noise_laws
    for name, population in description.populations.items():
        if population.norm is not None and population.norm.kind not in backend.norms:
            yield ("populations", name, "norm"), "norm", population.norm.kind, backend.norms
        if population.shares is not None and "shared" not in backend.cells:
            yield ("populations", name, "shares"), "cells", "shared", backend.cells
    for name, rule in description.rules.items():
        updater = rule.updater
        if updater.kind not in backend.updaters:
            yield ("rules", name, "updater", "kind"), "updater", updater.kind, backend.updaters
        if updater.normalise is not None and updater.normalise.per not in backend.normalisations:
            per, known = updater.normalise.per, backend.normalisations
            yield ("rules", name, "updater", "normalise"), "normalisation", per, known
    if backend.separable_only:
        for name, rule in description.rules.items():
            try:
                _ = drive_of(rule.drive, rule.constants).terms
            except ExpressionError:
                yield ("rules", name, "drive"), "way to compute the drive", rule.drive, frozenset({"sums of products"})
