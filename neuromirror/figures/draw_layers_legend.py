"""The legend of a page that shows a large circuit: of everything that is there, and of nothing else."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.path import Path

from neuromirror.figures import style
from neuromirror.figures.draw_arrows import HEADS
from neuromirror.figures.draw_cells import FACES
from neuromirror.figures.draw_lanes import DASHES, PLAIN_PT, POOL, WEIGHTED_PT, join_signs
from neuromirror.figures.draw_panels import Entry, role_sign, sign
from neuromirror.figures.draw_rows import Row

PATHS = {"forward": "forward: shape, nonlinearity", "feedback": "its feedback cells"}
WEIGHTS = {"forward": "W: kernel/stride · weights", "feedback": "B, of the shape of its Wᵀ"}


def legend_entries(graph: nx.MultiDiGraph, columns: list[list[Row]]) -> list[Entry]:
    """Return a name and the signs of everything that a page of the circuit, in these columns, shows."""
    nodes = [data for _, data in graph.nodes(data=True)]
    edges = [(graph.nodes[a]["path"], data) for a, _, data in graph.edges(data=True)]
    synapses = [(path, data) for path, data in edges if data["role"] == "synapse"]
    entries: list[Entry] = []
    for path, said in PATHS.items():
        if any(data["path"] == path for data in nodes):
            entries.append((said, (sign(marker="s", markersize=7, markerfacecolor=FACES[path], markeredgewidth=0.7),)))
    for path, said in WEIGHTS.items():
        if any(p == path and data["weights"] for p, data in synapses):
            entries.append((said, (_line(path, WEIGHTED_PT),)))
    for path in PATHS:
        if any(p == path and not data["weights"] for p, data in synapses):
            entries.append((f"{path}, without weights", (_line(path, PLAIN_PT),)))
    if any(data["connector"] == "pool" for _, data in synapses):
        entries.append(
            ("pool", (sign(marker=Path([*POOL, POOL[0]]), markersize=7, markerfacecolor="white", markeredgewidth=0.8),))
        )
    for when in ("before", "after"):
        if any(data["join"] == when for path, data in synapses if path == "forward"):
            entries.append((f"adds {when} the nonlinearity", join_signs(when, np.empty(0))))
    if any(row.stub for rows in columns for row in rows):
        letter = sign(marker="$\\bf{A}$", markersize=6, markeredgewidth=0)
        entries.append(("continues at the same letter", (letter,)))
    return entries + _norms(nodes) + _others(graph, [data for _, data in edges])


def _norms(nodes: list[dict[str, Any]]) -> list[Entry]:
    said = {"batch_norm": "batch norm", "synaptic_scaling": "synaptic scaling"}
    found = sorted({(data["norm"], data["norm_when"]) for data in nodes if data["norm"]})
    return [(f"{said[kind]} {when} the nonlinearity", (_band(when),)) for kind, when in found]


def _others(graph: nx.MultiDiGraph, edges: list[dict[str, Any]]) -> list[Entry]:
    roles = {role for data in edges for role in data.get("roles", data["role"]).split()} - {"synapse"}
    entries: list[Entry] = [(head.label, (role_sign(role),)) for role, head in HEADS.items() if role in roles]
    if any(data["transport"] != "none" for data in edges):
        entries.append(("transported: not local", (sign(marker="$=$", markersize=7, markeredgewidth=0.3),)))
    return entries


def _line(path: str, width: float) -> Line2D:
    return Line2D([], [], color=style.PATH_COLOURS[path], linewidth=width, linestyle=DASHES[path])


def _band(when: str) -> Line2D:
    """Return a box with a band on the side where a norm acts."""
    low = 0.0 if when == "before" else 0.6
    outline = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    band = [(-1, 2 * low - 1), (1, 2 * low - 1), (1, 2 * low - 0.2), (-1, 2 * low - 0.2), (-1, 2 * low - 1)]
    codes = [Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY]
    return sign(marker=Path(outline + band, codes * 2), markersize=7, fillstyle="none", markeredgewidth=0.7)
