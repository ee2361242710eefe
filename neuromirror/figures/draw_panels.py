"""A circuit in each of its modes, one panel a mode: Figure 1 of Akrout et al. 2019, for any circuit that fits."""

from __future__ import annotations

import dataclasses
import math
from string import ascii_lowercase
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path

from neuromirror.circuit.graph import modes_of
from neuromirror.figures import style
from neuromirror.figures.draw_arrows import HEADS, STATES, Bundle, draw_bundle, plus_marks, role_of, state_of
from neuromirror.figures.draw_cells import ZIGZAG, draw_population
from neuromirror.figures.draw_layout import Layout
from neuromirror.figures.draw_modes import BIASES

UNIT_IN = 0.52
"""Inches to a unit of the layout, where the page has room."""
SMALLEST_UNIT_IN = 0.26
"""The same where it has not: below, names would collide, and the picture is rather larger than a page."""
MARGIN = (1.15, 1.15, 1.0, 1.4)
"""Left, right, below and above the cells, in units of the layout."""
MORE_MARGIN = {"none": 0.0, "initial": 1.1, "exact": 0.7, "sign": 1.1}
"""What is added to the right for the names of weights that are transported."""
NARROWEST_IN = 2.8
"""Width of a panel, unless its title needs more."""
TITLE_PT = 10
TITLE_IN = 0.5
"""Room for a panel's letter, and around its title."""
LEGEND_IN = 0.7
"""Height that is kept for the legend."""

Entry = tuple[str, tuple[Line2D, ...]]
"""A name in the legend and its signs, one upon the other."""


def draw_panels(graph: nx.MultiDiGraph, layout: Layout, groups: list[list[str]]) -> Figure:
    """Draw a panel for the first mode of each group.

    Arrows tell by colour and line style what transmits, what learns and what is gated off, and by their heads which
    role a projection has. Where one population has more than `CELLS_SHOWN` cells, populations show their first cells,
    dots, and their last, and circuits of more than `NODES_SHOWN` cells show one node for each population.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
    layout : Layout
    groups : list of list of str
        Names of modes; those of a group are alike.
    """
    modes, (left, right, bottom, top) = modes_of(graph), _frame(graph, layout)
    titles = [_title(graph, names) for names in groups]
    columns, unit_in = arrangement(len(groups), right - left, top - bottom, _narrowest_in(titles))
    unit_in = max(unit_in, SMALLEST_UNIT_IN)
    layout = dataclasses.replace(layout, scale=min(math.sqrt(unit_in / UNIT_IN), 1.0))
    entries = legend_entries(graph, [modes[names[0]] for names in groups])
    width_in = columns * max((right - left) * unit_in, _narrowest_in(titles))
    tall_in = (top - bottom) * unit_in
    legend_columns = max(1, min(4, int(width_in / 1.9)))
    legend_in = 0.17 * math.ceil(len(entries) / legend_columns) + 0.1
    height_in = math.ceil(len(groups) / columns) * tall_in + legend_in
    with style.context():
        figure = Figure(figsize=(width_in, height_in))
        for index, names in enumerate(groups):
            row, column = divmod(index, columns)
            box = (column / columns, 1 - (row + 1) * tall_in / height_in, 1 / columns, tall_in / height_in)
            ax = figure.add_axes(box, xlim=(left, right), ylim=(bottom, top), aspect="equal")
            ax.set_axis_off()
            _draw_panel(ax, graph, layout, modes[names[0]])
            letter = f"$\\bf{{{ascii_lowercase[index % 26]}}}$   " if len(groups) > 1 else ""
            ax.text(
                sum(layout.extent[:2]) / 2, top - 0.1, letter + titles[index], ha="center", va="top",
                fontsize=max(TITLE_PT * layout.scale, 7.5),
            )  # fmt: skip
        labels, handles = zip(*entries, strict=True)
        figure.legend(handles, labels, loc="lower center", ncols=legend_columns, columnspacing=1.6, handlelength=2.6)
    return figure


def arrangement(count: int, width: float, height: float, narrowest_in: float) -> tuple[int, float]:
    """Return how many columns of panels fit a page best, and the inches to a unit of the layout there.

    Panels are as large as they can be on a page of either orientation. Of arrangements that are nearly as large, the
    one with the fewest empty places and the most columns is taken.

    Parameters
    ----------
    count : int
        Of panels.
    width, height : float
        Of a panel, in units of the layout.
    narrowest_in : float
        Width that a panel needs at least.
    """
    units_in: dict[int, float] = {}
    for page in (style.A4_IN, style.A4_IN[::-1]):
        for columns in range(1, min(count, max(int(page[0] / narrowest_in), 1)) + 1):
            tall_in = (page[1] - LEGEND_IN) / math.ceil(count / columns)
            unit_in = min(UNIT_IN, page[0] / columns / width, tall_in / height)
            units_in[columns] = max(unit_in, units_in.get(columns, 0.0))
    good = [columns for columns, unit_in in units_in.items() if unit_in > 0.85 * max(units_in.values())]
    columns = min(good, key=lambda columns: (-count % columns, -columns))
    return columns, units_in[columns]


def fits_a_page(graph: nx.MultiDiGraph, layout: Layout, groups: list[list[str]]) -> bool:
    """Whether a panel for each group can be read on one page."""
    left, right, bottom, top = _frame(graph, layout)
    narrowest_in = _narrowest_in([_title(graph, names) for names in groups])
    return arrangement(len(groups), right - left, top - bottom, narrowest_in)[1] >= SMALLEST_UNIT_IN


def _narrowest_in(titles: list[str]) -> float:
    return max(NARROWEST_IN, *(style.text_width_in(title, TITLE_PT) + TITLE_IN for title in titles))


def _frame(graph: nx.MultiDiGraph, layout: Layout) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a panel, in units of the layout."""
    left, right, bottom, top = layout.extent
    more = max(MORE_MARGIN[data.get("transport", "none")] for *_, data in graph.edges(data=True))
    return left - MARGIN[0], right + MARGIN[1] + more, bottom - MARGIN[2], top + MARGIN[3]


def _title(graph: nx.MultiDiGraph, names: list[str]) -> str:
    alike = f", one of {len(names)} alike" if len(names) > 1 else ""
    biases = [f", {text}" for text in BIASES[modes_of(graph)[names[0]]["bias"]]]
    return "".join([style.mode_label(names[0]), alike, *biases])


def _draw_panel(ax: Axes, graph: nx.MultiDiGraph, layout: Layout, mode: dict[str, Any]) -> None:
    bundles: dict[frozenset[str], Bundle] = {}
    for source, target, name, data in sorted(graph.edges(keys=True, data=True), key=lambda edge: edge[2]):
        bundles.setdefault(frozenset((source, target)), []).append((source, target, name, data))
    for bundle in bundles.values():
        draw_bundle(ax, graph, layout, bundle, mode)
    for name in graph:
        draw_population(ax, graph, layout, name, mode)


def legend_entries(graph: nx.MultiDiGraph, modes: list[dict[str, Any]]) -> list[Entry]:
    """Return the entries of the legend for everything that the given modes show."""
    edges = [data for *_, data in graph.edges(data=True)]
    roles = {role_of(name, data, mode) for *_, name, data in graph.edges(keys=True, data=True) for mode in modes}
    present = {state_of(name, mode) for *_, name in graph.edges(keys=True) for mode in modes}
    entries: list[Entry] = []
    for key, state in STATES.items():
        line = Line2D([], [], color=state.colour, linewidth=state.width, linestyle=state.dashes)
        if key in present:
            entries.append((state.label, (line, *plus_marks(state, np.empty((0, 2)))) if state.plus else (line,)))
    entries += [(head.label, (role_sign(role),)) for role, head in HEADS.items() if role in roles]
    if any(mode["noise"] for mode in modes):
        entries.append(("noisy cell", (sign(marker=Path(ZIGZAG), fillstyle="none", markersize=8),)))
    if any(name.endswith(".bias") for mode in modes for name in mode["learn"]):
        entries.append(("bias learns", (sign(marker="o", fillstyle="none", markersize=7, markeredgewidth=2),)))
    if any(data.get("transport", "none") != "none" for data in edges):
        entries.append(("transported: not local", (sign(marker="$=$", markersize=7, markeredgewidth=0.3),)))
    return entries


def role_sign(role: str) -> Line2D:
    """Return the sign of a projection's role, its arrowhead."""
    return sign(marker=HEADS[role].marker, markersize=5, markeredgewidth=HEADS[role].edge)


def sign(**style_of: Any) -> Line2D:
    """Return a sign of the legend, a marker."""
    return Line2D([], [], linestyle="none", color=style.BLACK, **style_of)
