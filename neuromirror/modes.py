"""The modes of a plan: what transmits, learns or is noisy in each, resolved once for all backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from neuromirror import schedule
from neuromirror.circuit.axons import role_in
from neuromirror.circuit.biases import biased_in
from neuromirror.circuit.checks import COMPARE
from neuromirror.circuit.description import Description, Mode, Noise
from neuromirror.circuit.homeostasis import normalisation_of, scaled_in
from neuromirror.circuit.protocol import Signal
from neuromirror.circuit.rules import rule_of
from neuromirror.dynamics.codes import Single
from neuromirror.dynamics.homeostasis import Normalisation
from neuromirror.errors import choice
from neuromirror.rules.rule import Rule


@dataclass(frozen=True, kw_only=True)
class Axons:
    """A projection as its target sees it.

    Attributes
    ----------
    name, source, target : str
        Of the projection and its ends.
    permutation : int array (target cells,) or None
        For one_to_one: the source cell of each target cell; None where it is the cell of the same number.
    """

    name: str
    source: str
    target: str
    permutation: NDArray[np.intp] | None = None


@dataclass(frozen=True, kw_only=True)
class Learner:
    """One array that learns in a mode: a weight array, or the biases of a population (``source`` is None).

    ``normalisation`` is what its weights are scaled to after each update, if anything.
    """

    name: str
    source: str | None
    target: str
    rule: Rule
    normalisation: Normalisation | None = None


@dataclass(frozen=True, kw_only=True)
class ModePlan:
    """A mode, resolved.

    Attributes
    ----------
    order : tuple of str
        All populations, each after those that drive it.
    synapses, drives, gates, errors : mapping of population to tuple of Axons
        What transmits into each population, by role.
    cross : mapping of feedback population to Axons
        What rules see as ``cross``: the forward signal that a drive projection brings or, where none does, a gate.
    compare : mapping of feedback population to forward population
        Where the output error is formed (source minus target).
    inputs : frozenset of str
        Populations that receive the stimulus.
    noise : mapping of population to Noise
    learners : tuple of Learner
        What learns; the checks refuse biases that do not act.
    biased : frozenset of str
        Forward populations whose biases act; see `neuromirror.circuit.biases.biased_in`.
    erring : frozenset of str
        Feedback populations that carry an error: the mode forms one, and no drive projection controls them.
    scaled : mapping of population to tuple of str
        The weight arrays that synaptic scaling acts on after each update: those into the population that learn.
    """

    name: str
    order: tuple[str, ...]
    synapses: Mapping[str, tuple[Axons, ...]]
    drives: Mapping[str, tuple[Axons, ...]]
    gates: Mapping[str, tuple[Axons, ...]]
    errors: Mapping[str, tuple[Axons, ...]]
    cross: Mapping[str, Axons]
    compare: Mapping[str, str]
    inputs: frozenset[str]
    noise: Mapping[str, Noise]
    learners: tuple[Learner, ...]
    biased: frozenset[str]
    window_s: float
    signal: Signal
    erring: frozenset[str]
    scaled: Mapping[str, tuple[str, ...]]


def mode_plan(description: Description, coding: Single, name: str, mode: Mode) -> ModePlan:
    """Return a mode of a description, resolved for the cells of a coding."""
    into: dict[str, dict[str, list[Axons]]] = {"synapse": {}, "drive": {}, "gate": {}, "error": {}}
    for key in mode.on:
        projection = description.projections[key]
        given = projection.permutation
        permutation = None if given is None else coding.order(np.array(given, dtype=np.intp))
        axons = Axons(name=key, source=projection.source, target=projection.target, permutation=permutation)
        into[str(choice("role", role_in(projection, name), *into))].setdefault(projection.target, []).append(axons)
    frozen = {role: {target: tuple(axons) for target, axons in by.items()} for role, by in into.items()}
    learners = [_learner(description, learner, rule) for learner, rule in mode.learn.items()]
    compare = {feedback: str(COMPARE.fullmatch(text)[1]) for feedback, text in mode.compare.items()}  # type: ignore[index]
    return ModePlan(
        name=name,
        order=_order(description, frozen, compare),
        synapses=frozen["synapse"],
        drives=frozen["drive"],
        gates=frozen["gate"],
        errors=frozen["error"],
        cross={
            target: min(group, key=lambda axons: axons.name)
            for target, group in {**frozen["gate"], **frozen["drive"]}.items()
        },
        compare=compare,
        inputs=frozenset(mode.input),
        noise=mode.noise,
        learners=tuple(learners),
        biased=biased_in(description, mode),
        window_s=schedule.window_s(description, mode),
        signal=schedule.signal_of(description, mode),
        erring=_erring(description, frozen["drive"]) if compare else frozenset(),
        scaled=scaled_in(description, mode),
    )


def _name(axons: Axons) -> str:
    return axons.name


def _erring(description: Description, drives: Mapping[str, tuple[Axons, ...]]) -> frozenset[str]:
    feedback = {name for name, population in description.populations.items() if population.path == "feedback"}
    return frozenset(feedback - set(drives))


def _order(
    description: Description, into: Mapping[str, Mapping[str, tuple[Axons, ...]]], compare: Mapping[str, str]
) -> tuple[str, ...]:
    graph = nx.DiGraph()
    graph.add_nodes_from(description.populations)
    for role in ("synapse", "drive", "gate"):
        graph.add_edges_from((axons.source, target) for target, group in into[role].items() for axons in group)
    graph.add_edges_from((source, target) for target, source in compare.items())
    return tuple(nx.lexicographical_topological_sort(graph))


def _learner(description: Description, name: str, rule_name: str) -> Learner:
    rule, projection = rule_of(description, rule_name), description.projections.get(name)
    if projection is None:
        return Learner(name=name, source=None, target=name.removesuffix(".bias"), rule=rule)
    return Learner(
        name=name,
        source=projection.source,
        target=projection.target,
        rule=rule,
        normalisation=normalisation_of(description, rule_name),
    )
