"""The circuit as a graph: populations are nodes, projections are edges.

All attributes are numbers and texts, so that every writer of networkx takes the graph (``networkx.write_graphml``);
`sides` and `modes_of` read those that say several things at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import networkx as nx

from neuromirror.circuit.axons import all_roles, role_in
from neuromirror.circuit.description import Description, Mode
from neuromirror.circuit.geometry import own_parameters, weights_of


def build_graph(description: Description) -> nx.MultiDiGraph:
    """Return the graph of an expanded description.

    Parameters
    ----------
    description : Description
        Expanded; a projection with an end that does not exist is left out (the checks report it).

    Returns
    -------
    networkx.MultiDiGraph
        Nodes are population names with ``path``, ``layer``, ``shape``, ``size``, ``cell``, ``activation``, ``norm``,
        ``norm_when``, ``parameters`` (the number of biases, gains and shifts) and ``shares``.
        Edge keys are projection names, with ``role``, ``roles`` (all that it has in some mode), ``connector``,
        ``shape`` (target cells, source cells), ``weights`` (their number), ``mirrors``, ``transport``,
        ``permutation``, ``kernel``, ``stride``, ``pool``, ``join`` and ``delay_s``.
        What a population or projection has not is an empty text; several numbers or names stand in one text with
        spaces between. ``graph.graph["modes"]`` is a text that `modes_of` reads. Names are in alphabetical order,
        whatever the order of the file.
    """
    graph = nx.MultiDiGraph(name=description.name)
    for name, population in sorted(description.populations.items()):
        cell = description.cells.get(population.cell)
        graph.add_node(
            name,
            path=population.path,
            layer=population.layer,
            shape=_text(population.shape),
            size=math.prod(population.shape),
            cell=population.cell,
            activation="" if cell is None else cell.activation,
            norm="" if population.norm is None else population.norm.kind,
            norm_when="" if population.norm is None else population.norm.when,
            parameters=own_parameters(population),
            shares=population.shares or "",
        )
    for name, projection in sorted(description.projections.items()):
        if projection.source in graph and projection.target in graph:
            graph.add_edge(
                projection.source,
                projection.target,
                key=name,
                role=projection.role,
                roles=_text(all_roles(projection)),
                connector=projection.connector,
                shape=_text(graph.nodes[end]["size"] for end in (projection.target, projection.source)),
                weights=weights_of(description, name),
                mirrors=projection.mirrors or "",
                transport=projection.transport,
                permutation=_text(projection.permutation or ()),
                kernel=_text(projection.kernel or ()),
                stride=projection.stride,
                pool=projection.pool or "",
                join=projection.join or "",
                delay_s=projection.delay.s,
            )
    set_modes(
        graph,
        {name: {**_mode(mode), "roles": _roles(description, name)} for name, mode in sorted(description.modes.items())},
    )
    return graph


def sides(text: str) -> tuple[int, ...]:
    """Return the numbers of an attribute such as ``shape``: ``"16 32 32"`` is (16, 32, 32)."""
    return tuple(int(number) for number in text.split())


def modes_of(graph: nx.MultiDiGraph) -> dict[str, dict[str, Any]]:
    """Return what each mode of a circuit's graph does.

    Returns
    -------
    dict of str to dict
        By mode, what is ``on``, ``noise`` and ``input`` (sets of names), ``learn`` and ``compare`` (what by which),
        ``bias``, and the ``roles`` of projections that have another there than elsewhere.
    """
    modes = json.loads(graph.graph.get("modes", "{}"))
    return {
        name: {key: frozenset(value) if isinstance(value, list) else value for key, value in mode.items()}
        for name, mode in modes.items()
    }


def set_modes(graph: nx.MultiDiGraph, modes: dict[str, dict[str, Any]]) -> None:
    """Write what each mode does, as `modes_of` returns it, into a graph."""
    graph.graph["modes"] = json.dumps(modes, default=sorted, ensure_ascii=False)


def _text(parts: Iterable[object]) -> str:
    return " ".join(map(str, parts))


def _roles(description: Description, mode: str) -> dict[str, str]:
    found = {name: role_in(projection, mode) for name, projection in sorted(description.projections.items())}
    return {name: role for name, role in found.items() if role != description.projections[name].role}


def _mode(mode: Mode) -> dict[str, object]:
    return {
        "on": frozenset(mode.on),
        "learn": dict(sorted(mode.learn.items())),
        "noise": frozenset(mode.noise),
        "input": frozenset(mode.input),
        "compare": dict(sorted(mode.compare.items())),
        "bias": mode.bias,
    }
