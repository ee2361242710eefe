"""The circuit as a graph: populations are nodes, projections are edges."""

from __future__ import annotations

import math

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
        ``norm_when``, ``parameters`` (biases, gains and shifts) and ``shares``.
        Edge keys are projection names, with ``role``, ``roles`` (all that it has in some mode), ``connector``,
        ``shape`` (target cells, source cells), ``weights`` (their number), ``mirrors``, ``transport``,
        ``permutation``, ``kernel``, ``stride``, ``pool``, ``join`` and ``delay_s``.
        ``graph.graph["modes"]`` gives for each mode what is ``on``, ``learn``, ``noise``, ``input``, ``compare`` and
        ``bias``, and the ``roles`` of projections that have another there than elsewhere. Names are in alphabetical
        order, whatever the order of the file.
    """
    graph = nx.MultiDiGraph(name=description.name)
    for name, population in sorted(description.populations.items()):
        cell = description.cells.get(population.cell)
        graph.add_node(
            name,
            path=population.path,
            layer=population.layer,
            shape=population.shape,
            size=math.prod(population.shape),
            cell=population.cell,
            activation=None if cell is None else cell.activation,
            norm=None if population.norm is None else population.norm.kind,
            norm_when=None if population.norm is None else population.norm.when,
            parameters=own_parameters(population),
            shares=population.shares,
        )
    for name, projection in sorted(description.projections.items()):
        if projection.source in graph and projection.target in graph:
            graph.add_edge(
                projection.source,
                projection.target,
                key=name,
                role=projection.role,
                roles=all_roles(projection),
                connector=projection.connector,
                shape=(graph.nodes[projection.target]["size"], graph.nodes[projection.source]["size"]),
                weights=weights_of(description, name),
                mirrors=projection.mirrors,
                transport=projection.transport,
                permutation=projection.permutation,
                kernel=projection.kernel,
                stride=projection.stride,
                pool=projection.pool,
                join=projection.join,
                delay_s=projection.delay.s,
            )
    graph.graph["modes"] = {
        name: {**_mode(mode), "roles": _roles(description, name)} for name, mode in sorted(description.modes.items())
    }
    return graph


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
