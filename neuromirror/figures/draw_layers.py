"""A large circuit on one page, a box for each population: its forward path in columns, the feedback path beside it."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from neuromirror.figures import style
from neuromirror.figures.draw_arrows import HEADS
from neuromirror.figures.draw_cells import FACES
from neuromirror.figures.draw_labels import population_detail, summary, wrapped
from neuromirror.figures.draw_lanes import draw_label, draw_route
from neuromirror.figures.draw_layers_legend import legend_entries
from neuromirror.figures.draw_modes import Modes, mode_lines
from neuromirror.figures.draw_page import DETAIL_PT, ENDS_IN, MARGIN_IN, NAME_PT, Box, Page, make_page
from neuromirror.figures.draw_routes import apart
from neuromirror.figures.draw_rows import ROLES, Row

TITLE_PT, HEADER_PT = 11.0, 7.0
HEADER_LINE_IN = 0.128
LEGEND_LINE_IN = 0.16
LEGEND_COLUMN_IN = 2.0
NORM_IN = 0.028
"""Height of the band that marks a norm, at the side of the box where it acts: below before the nonlinearity."""
AROUND_IN = 2.0
"""Height above and below the columns that pages are chosen for."""
APART_SHOWN = 6
_CROSS_IN = {"error": 0.08, "gate": 0.0, "drive": -0.08}
"""Height of cross-projections, from the middle of a row."""
_CLEAR_IN = 0.012
"""Distance of their heads to the rims of boxes."""
_CROSS_HEAD = 0.36
"""Size of their heads, to those of drawings cell by cell."""
_APART_IN = 0.035
"""Distance between the heads of axons that have several roles."""


def draw_layers(graph: nx.MultiDiGraph, modes: Modes) -> Figure:
    """Draw all populations and what joins them, and tell in words what the modes do.

    Forward populations are boxes from the input at the bottom left upwards, column by column, each with its feedback
    population to the right. Arrows have the name, kernel, stride and number of weights of a projection; feedback arrows
    the name only, as they have the shape of the W that they mirror. A letter stands for a population in another column.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
    modes : dict
        Those to tell of.
    """
    page = make_page(graph, AROUND_IN)
    entries = legend_entries(graph, page.columns)
    header = _header(graph, modes, page)
    legend_columns = max(1, int(page.width_in / LEGEND_COLUMN_IN))
    legend_in = LEGEND_LINE_IN * math.ceil(len(entries) / legend_columns) + 0.1
    header_in = 0.28 + HEADER_LINE_IN * len(header)
    height_in = page.body_in + 2 * ENDS_IN + header_in + legend_in + MARGIN_IN
    with style.context():
        figure = Figure(figsize=(page.width_in, height_in))
        ax = figure.add_axes((0, 0, 1, 1), xlim=(0, page.width_in), ylim=(0, height_in))
        ax.set_axis_off()
        _write_header(ax, graph.name, header, height_in - MARGIN_IN / 2)
        for column in range(len(page.columns)):
            _draw_column(ax, graph, page, column, legend_in + ENDS_IN, modes)
        labels, handles = zip(*entries, strict=True)
        figure.legend(
            handles, labels, loc="lower center", ncols=legend_columns, columnspacing=1.4, handlelength=2.4, fontsize=6.5
        )
    return figure


def _header(graph: nx.MultiDiGraph, modes: Modes, page: Page) -> list[tuple[str, str]]:
    """Return the lines above the columns, each with a heading or none."""
    width_in = page.width_in - 2 * MARGIN_IN
    lines = [("", line) for line in wrapped(summary(graph), width_in, HEADER_PT)]
    if not_drawn := apart(graph, page.columns):
        more = "" if len(not_drawn) <= APART_SHOWN else f" and {len(not_drawn) - APART_SHOWN} more"
        said = f"Not drawn, between rows: {', '.join(not_drawn[:APART_SHOWN])}{more}."
        lines += [("", line) for line in wrapped(said, width_in, HEADER_PT)]
    for heading, sentence in mode_lines(graph, modes):
        indent_in = _heading_in(heading)
        first, *others = wrapped(sentence, width_in - indent_in, HEADER_PT)
        lines += [(heading, first), *(("", line) for line in others)]
    return lines


def _heading_in(heading: str) -> float:
    return 1.03 * style.text_width_in(f"{heading}:", HEADER_PT, bold=True) + 0.06


def _write_header(ax: Axes, name: str, lines: list[tuple[str, str]], top: float) -> None:
    ax.text(MARGIN_IN, top, name, fontsize=TITLE_PT, weight="bold", ha="left", va="top")
    for k, (heading, line) in enumerate(lines):
        y, x = top - 0.27 - HEADER_LINE_IN * k, MARGIN_IN
        if heading:
            ax.text(x, y, f"{heading}:", fontsize=HEADER_PT, weight="bold", ha="left", va="center_baseline")
            x += _heading_in(heading)
        ax.text(x, y, line, fontsize=HEADER_PT, ha="left", va="center_baseline")


def _draw_column(ax: Axes, graph: nx.MultiDiGraph, page: Page, column: int, bottom: float, modes: Modes) -> None:
    rows, boxes, routes = page.columns[column], page.boxes(column, bottom), page.routes[column]
    for route in routes:
        draw_route(ax, rows, boxes, route)
    for index, row in enumerate(rows):
        for path in ("forward", "feedback"):
            here = [route for route in routes if route.label_row == index and route.path == path]
            draw_label(ax, rows, boxes, index, here, path)
        joined = {route.path for route in routes if index in (route.source, route.target)}
        for name, box, path in zip((row.forward, row.feedback), boxes[index], ("forward", "feedback"), strict=True):
            if row.stub:
                if path in joined:
                    _draw_stub(ax, box, path, row.stub)
            elif name:
                _draw_box(ax, box, path, name, graph.nodes[name], alone=row.forward is None)
        _draw_crosses(ax, graph, row, boxes[index])
    _draw_outside(ax, rows, boxes, modes)


def _draw_stub(ax: Axes, box: Box, path: str, letter: str) -> None:
    size = (box.right - box.left, box.top - box.bottom)
    ax.add_patch(
        FancyBboxPatch(
            (box.left, box.bottom), *size, boxstyle="round,pad=0,rounding_size=0.06", facecolor="white",
            edgecolor=style.PATH_COLOURS[path], linewidth=0.8, linestyle=(0, (1, 1)), zorder=8,
        )
    )  # fmt: skip
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    ax.text(x, y, letter, fontsize=NAME_PT, weight="bold", ha="center", va="center_baseline", zorder=9)


def _draw_box(ax: Axes, box: Box, path: str, name: str, data: dict[str, Any], *, alone: bool) -> None:
    width, height = box.right - box.left, box.top - box.bottom
    ax.add_patch(
        Rectangle((box.left, box.bottom), width, height, facecolor=FACES[path], edgecolor=style.BLACK, linewidth=0.7,
                  zorder=8)
    )  # fmt: skip
    if data["norm"]:
        y = box.bottom if data["norm_when"] == "before" else box.top - NORM_IN
        ax.add_patch(Rectangle((box.left, y), width, NORM_IN, facecolor=style.BLACK, edgecolor="none", zorder=9))
    detail = population_detail(data) if path == "forward" or alone else "same cells" if data["shares"] else ""
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2 - 0.01 * (data["norm_when"] == "after")
    apart_in = 0.05 if detail else 0.0
    ax.text(x, y + apart_in, style.math_name(name), fontsize=NAME_PT, ha="center", va="center_baseline", zorder=9)
    if detail:
        ax.text(x, y - apart_in, detail, fontsize=DETAIL_PT, ha="center", va="center_baseline", zorder=9)


def _draw_crosses(ax: Axes, graph: nx.MultiDiGraph, row: Row, boxes: tuple[Box, Box]) -> None:
    """Draw the cross-projections between the two populations of a row."""
    if row.stub or row.forward is None or row.feedback is None:
        return
    forward, feedback = boxes
    middle = (forward.bottom + forward.top) / 2
    for a, b in ((row.forward, row.feedback), (row.feedback, row.forward)):
        for name, data in (graph.get_edge_data(a, b) or {}).items():
            if data["role"] in ROLES:
                y, right = middle + _CROSS_IN[data["role"]], a == row.forward
                ends = np.array([(forward.right, y), (feedback.left, y)])[:: 1 if right else -1]
                side = 1 if right else -1
                heads = [
                    ends[1] + side * (_CROSS_HEAD * HEADS[role].outline - np.array([_CLEAR_IN + k * _APART_IN, 0]))
                    for k, role in enumerate(data.get("roles", data["role"]).split())
                ]
                lines = LineCollection([ends], colors=style.BLACK, linewidths=0.5, zorder=5, gid=name)
                ax.add_collection(lines)
                ax.add_collection(PolyCollection(heads, facecolors=style.BLACK, edgecolors="none", zorder=6))


def _draw_outside(ax: Axes, rows: list[Row], boxes: list[tuple[Box, Box]], modes: Modes) -> None:
    """Draw the stimulus below a column, and what is compared with the target above it."""
    inputs = {name for mode in modes.values() for name in mode["input"]}
    compared = {name: said for mode in modes.values() for name, said in mode["compare"].items()}
    low, high = boxes[0], boxes[-1]
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 0.8, "mutation_scale": 6}
    common: dict[str, Any] = {"ha": "center", "fontsize": NAME_PT, "arrowprops": arrow}
    if rows[0].forward in inputs and not rows[0].stub:
        x = (low[0].left + low[0].right) / 2
        ax.annotate("stimulus", xy=(x, low[0].bottom), xytext=(x, low[0].bottom - 0.12), va="top", **common)
    for name, side in ((rows[-1].feedback, 1), (rows[-1].forward, 0)):
        if name in compared and not rows[-1].stub:
            x = (high[side].left + high[side].right) / 2
            said = compared[name].replace("-", "−")
            ax.annotate(said, xy=(x, high[side].top), xytext=(x, high[side].top + 0.12), va="bottom", **common)
