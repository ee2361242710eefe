"""A circuit, cell by cell, in each of its modes: Figure 1 of Akrout et al. 2019, for any small circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path

from neuromirror.errors import RequestError, suggestion
from neuromirror.figures import style
from neuromirror.figures.draw_arrows import (
    HEADS,
    STATES,
    Bundle,
    draw_bundle,
    plus_marks,
    state_of,
)
from neuromirror.figures.draw_cells import ZIGZAG, draw_population
from neuromirror.figures.draw_layout import Layout, make_layout

UNIT_IN = 0.52
"""Inches to a unit of the layout."""
MARGIN = (1.15, 1.15, 1.0, 1.4)
"""Left, right, below and above the cells, in units of the layout."""
COLUMNS = 3
HIGHEST_IN = 30.0


def draw(graph: nx.MultiDiGraph, modes: Sequence[str] | None = None) -> Figure:
    """Draw a circuit, one panel for each mode.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
        A circuit's graph; see `neuromirror.circuit.graph.build_graph`.
    modes : sequence of str or None
        Names of the modes, in order; all of them by default.

    Returns
    -------
    Figure
        Arrows tell by colour and line style what transmits, what learns and what is gated off, and by their heads
        which role a projection has. Large populations show their first cells, dots, and their last; circuits of more
        than `NODES_SHOWN` cells show one node for each population, with its number of cells.

    Raises
    ------
    RequestError
        If the circuit has no populations or no mode, or not the one asked for.
    """
    known: dict[str, dict[str, Any]] = graph.graph.get("modes", {})
    names = list(known if modes is None else modes)
    for name in names:
        if name not in known:
            raise RequestError(f"mode '{name}': no such mode in this circuit. {suggestion(name, known)}")
    if not names or not len(graph):
        raise RequestError("nothing to draw: the circuit has no modes, or no populations.")
    layout = make_layout(graph)
    left, right, bottom, top = layout.extent
    width, height = right - left + MARGIN[0] + MARGIN[1], top - bottom + MARGIN[2] + MARGIN[3]
    columns = min(COLUMNS, len(names))
    tall_in = min(height * UNIT_IN, HIGHEST_IN)
    entries = _legend_handles(graph, [known[name] for name in names])
    width_in = columns * max(width * UNIT_IN, 2.8)
    legend_columns = max(1, min(4, int(width_in / 1.9)))
    legend_in = 0.17 * math.ceil(len(entries) / legend_columns) + 0.1
    height_in = math.ceil(len(names) / columns) * tall_in + legend_in
    with style.context():
        figure = Figure(figsize=(width_in, height_in))
        for index, name in enumerate(names):
            row, column = divmod(index, columns)
            box = (column / columns, 1 - (row + 1) * tall_in / height_in, 1 / columns, tall_in / height_in)
            ax = figure.add_axes(box, xlim=(left - MARGIN[0], right + MARGIN[1]), aspect="equal")
            ax.set_ylim(bottom - MARGIN[2], top + MARGIN[3])
            ax.set_axis_off()
            _draw_panel(ax, graph, layout, known[name])
            title = style.mode_label(name) + (", biases blocked" if known[name]["bias"] == "blocked" else "")
            letter = f"$\\bf{{{ascii_lowercase[index % 26]}}}$   " if len(names) > 1 else ""
            ax.text((left + right) / 2, top + MARGIN[3] - 0.1, letter + title, fontsize=10, ha="center", va="top")
        labels, handles = zip(*entries, strict=True)
        figure.legend(handles, labels, loc="lower center", ncols=legend_columns, columnspacing=1.6, handlelength=2.6)
    return figure


def _draw_panel(ax: Axes, graph: nx.MultiDiGraph, layout: Layout, mode: dict[str, Any]) -> None:
    bundles: dict[frozenset[str], Bundle] = {}
    for source, target, name, data in sorted(graph.edges(keys=True, data=True), key=lambda edge: edge[2]):
        bundles.setdefault(frozenset((source, target)), []).append((source, target, name, data))
    for bundle in bundles.values():
        draw_bundle(ax, graph, layout, bundle, mode)
    for name in graph:
        draw_population(ax, graph, layout, name, mode)


def _legend_handles(graph: nx.MultiDiGraph, modes: list[dict[str, Any]]) -> list[tuple[str, tuple[Line2D, ...]]]:
    """Return the name and the signs, one upon the other, of everything that the drawn modes show."""
    roles = {name: data["role"] for *_, name, data in graph.edges(keys=True, data=True)}
    present = {state_of(name, mode) for name in roles for mode in modes}
    entries: list[tuple[str, tuple[Line2D, ...]]] = []
    for key, state in STATES.items():
        line = Line2D([], [], color=state.colour, linewidth=state.width, linestyle=state.dashes)
        if key in present:
            entries.append((state.label, (line, *plus_marks(state, np.empty((0, 2)))) if state.plus else (line,)))
    for role, head in HEADS.items():
        if role in roles.values():
            entries.append((head.label, (_sign(marker=head.marker, markersize=5, markeredgewidth=head.edge),)))
    if any(mode["noise"] for mode in modes):
        entries.append(("noisy cell", (_sign(marker=Path(ZIGZAG), fillstyle="none", markersize=8),)))
    if any(name.endswith(".bias") for mode in modes for name in mode["learn"]):
        entries.append(("bias learns", (_sign(marker="o", fillstyle="none", markersize=7, markeredgewidth=2),)))
    return entries


def _sign(**style_of: Any) -> Line2D:
    return Line2D([], [], linestyle="none", color=style.BLACK, **style_of)
