"""The arrows of a circuit's drawing: how they look in each state, where they run, and their names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D

from neuromirror.figures import style
from neuromirror.figures.draw_layout import Layout, Pair, joined

_BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
SPREAD = 0.16
"""Distance between the projections of a bundle, in units of the layout."""
CLEAR = 0.62
"""Height of the name of a projection above and below those of the populations that it joins."""


@dataclass(frozen=True)
class ArrowState:
    """How an arrow looks in one state; states differ in colour and in line style."""

    label: str
    colour: str
    width: float
    dashes: Any
    plus: bool = False


STATES = {
    "on": ArrowState("transmits", style.BLUE, 0.9, "-"),
    "on_learns": ArrowState("transmits and learns", style.VERMILLION, 1.9, "-", plus=True),
    "learns": ArrowState("learns without transmitting", style.VERMILLION, 1.9, (0, (2.2, 1.1)), plus=True),
    "off": ArrowState("gated off", style.GREY, 0.7, (0, (1, 2))),
}
"""The states of a projection in a mode."""


@dataclass(frozen=True)
class Head:
    """An arrowhead: its name, marker and rim in the legend; its outline with the tip at (0, 0), pointing right."""

    label: str
    marker: str
    edge: float
    outline: np.ndarray


HEADS = {
    "synapse": Head("synapses with weights", ">", 0, np.array([(0, 0), (-0.19, 0.075), (-0.19, -0.075)])),
    "drive": Head("drives its target", "|", 2, np.array([(0, 0.11), (0, -0.11), (-0.055, -0.11), (-0.055, 0.11)])),
    "gate": Head(
        "gates its target", "o", 0, 0.075 * np.array([(math.cos(a) - 1, math.sin(a)) for a in np.arange(16) * 0.4])
    ),
    "error": Head("teaches its target", "D", 0, np.array([(0, 0), (-0.11, 0.09), (-0.22, 0), (-0.11, -0.09)])),
}
"""Arrowheads by role."""

MARKS_SHOWN = 12
"""Lines of a projection up to which each is marked as learning; else one for each source cell."""

LINES_FULL = 16
"""Lines of a projection up to which each has its full width."""

Bundle = list[tuple[str, str, str, dict[str, Any]]]
"""The projections between two populations, in both directions: source, target, name, attributes."""


def draw_bundle(ax: Axes, graph: nx.MultiDiGraph, layout: Layout, bundle: Bundle, mode: dict[str, Any]) -> None:
    """Draw the projections between two populations side by side."""
    for index, (source, target, name, data) in enumerate(bundle):
        offset = SPREAD * ((len(bundle) - 1) / 2 - index)
        state = STATES[state_of(name, mode)]
        pairs = list(joined(layout, data, source, target))
        lines = [_line(graph, layout, pair, offset) for pair in pairs]
        if lines:
            _draw_lines(ax, name, lines, state, HEADS[role_of(name, data, mode)], layout.scale)
            if state.plus:
                _draw_pluses(ax, pairs, lines, state, layout.scale)
            x, y, ha, va = _label_place(graph, layout, (source, target), lines, index, len(bundle))
            ax.text(
                x, y, arrow_label(name, data), color=state.colour, ha=ha, va=va, fontsize=9 * layout.scale, zorder=7,
                bbox=_BLANK,
            )  # fmt: skip


def arrow_label(name: str, data: dict[str, Any]) -> str:
    """Return a projection's name as math text; of transported weights also what they are set to."""
    own, other = style.math_name(name), style.math_name(data.get("mirrors", ""))
    match data.get("transport", "none"):
        case "exact":
            return f"{own} = {other}ᵀ"
        case "initial":
            return f"{own} = {other}ᵀ(0)"
        case "sign":
            return f"sgn {own}\n= sgn {other}ᵀ"
    return own


def role_of(name: str, data: dict[str, Any], mode: dict[str, Any]) -> str:
    """Return the role that a projection has in a mode."""
    return mode.get("roles", {}).get(name, data["role"])


def state_of(name: str, mode: dict[str, Any]) -> str:
    """Return the key in `STATES` of a projection in a mode."""
    if name in mode["learn"]:
        return "on_learns" if name in mode["on"] else "learns"
    return "on" if name in mode["on"] else "off"


def _line(graph: nx.MultiDiGraph, layout: Layout, pair: Pair, offset: float) -> np.ndarray:
    """Return the points of one arrow, shape (points, 2), from the rim of the source to the rim of the target."""
    (source, _), (target, _) = pair
    a, b = np.array(layout.cells[pair[0]]), np.array(layout.cells[pair[1]])
    if pair[0] == pair[1]:
        turn = np.radians(np.linspace(-5, 275, 20))  # a ring above to the left, open towards its cell
        return (
            a + 0.75 * (layout.radius + 0.1) * np.array([-1, 1]) + 0.15 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        )
    forwards = 1 if (a[0], a[1]) <= (b[0], b[1]) else -1  # both directions of a bundle count their offset alike
    along = (b - a) / np.hypot(*(b - a))
    across = forwards * offset * np.array([-along[1], along[0]])
    trim = math.sqrt(max(layout.radius**2 - offset**2, 0.0)) + 0.02
    start, stop = a + along * trim + across, b - along * trim + across
    ends = graph.nodes[source], graph.nodes[target]
    skips = abs(ends[0]["layer"] - ends[1]["layer"]) > 1 or source == target
    if ends[0]["path"] != ends[1]["path"] or not skips:
        return np.stack([start, stop])
    t = np.linspace(0, 1, 24)[:, None]
    side = -1 if ends[0]["path"] == "forward" else 1
    bend = (start + stop) / 2 + np.array([side * 1.3, 0.0])
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * stop


def _draw_lines(ax: Axes, name: str, lines: list[np.ndarray], state: ArrowState, head: Head, scale: float) -> None:
    """Draw the lines of one projection, under its name in the SVG, with their heads."""
    thin = max(min(math.sqrt(LINES_FULL / len(lines)), 1.0), 0.5)
    zorder = 3 if state.plus else 1 if state is STATES["off"] else 2
    ax.add_collection(
        LineCollection(
            [_shortened(line, -0.6 * float(head.outline[:, 0].min())) for line in lines],
            colors=state.colour,
            linewidths=state.width * scale * thin,
            linestyles=[state.dashes],
            zorder=zorder,
            gid=name,
        )
    )
    heads = []
    for line in lines:
        dx, dy = (line[-1] - line[-2]) / np.hypot(*(line[-1] - line[-2]))
        heads.append(line[-1] + head.outline @ np.array([[dx, dy], [-dy, dx]]))
    ax.add_collection(PolyCollection(heads, facecolors=state.colour, edgecolors="none", zorder=4))


def _draw_pluses(ax: Axes, pairs: list[Pair], lines: list[np.ndarray], state: ArrowState, scale: float) -> None:
    """Mark lines that learn, near the source, where those of an all-to-all projection have not met yet."""
    if len(lines) > MARKS_SHOWN:
        longest_first = sorted(zip(pairs, lines, strict=True), key=lambda item: -np.hypot(*(item[1][-1] - item[1][0])))
        lines = list({pair[0]: line for pair, line in longest_first}.values())
    marks = np.array([line[0] + 0.23 * (line[-1] - line[0]) if len(line) == 2 else line[6] for line in lines])
    for mark in plus_marks(state, marks, scale):
        ax.add_line(mark)


def plus_marks(state: ArrowState, marks: np.ndarray, scale: float = 1.0) -> tuple[Line2D, Line2D]:
    """Return the signs of learning, pluses in white discs, at the given points of shape (points, 2)."""
    common: dict[str, Any] = {"linestyle": "none", "color": state.colour}
    disc, plus = ({"markersize": size * scale, "markeredgewidth": edge * scale} for size, edge in ((6, 0.7), (4, 1.2)))
    return (
        Line2D(*marks.T, marker="o", markerfacecolor="white", zorder=5, **disc, **common),
        Line2D(*marks.T, marker="+", zorder=6, **plus, **common),
    )


def _label_place(
    graph: nx.MultiDiGraph, layout: Layout, ends: tuple[str, str], lines: list[np.ndarray], index: int, count: int
) -> tuple[float, float, str, str]:
    """Return x, y and the alignment of a projection's name: beside its lines, clear of its neighbours'."""
    source_path, target_path = (graph.nodes[end]["path"] for end in ends)
    if source_path != target_path:
        above = index == 0
        line = (max if above else min)(lines, key=lambda line: line[:, 1].mean())
        y = float(np.interp(layout.gap_x, *_ascending(line[:, ::-1])))
        if 0 < index < count - 1:  # between its neighbours' lines: on its own, to the left of the name below
            return layout.gap_x - 0.55 * index, y, "center", "center"
        return layout.gap_x, y + (0.06 if above else -0.06), "center", "bottom" if above else "top"
    if ends[0] == ends[1]:
        return float(lines[-1][:, 0].min()), float(lines[-1][:, 1].max()), "right", "bottom"
    left = source_path == "forward"
    heights = np.concatenate(lines)[:, 1]
    lower, upper = sorted(layout.of(end)[0 if left else -1][1][1] for end in ends)
    apart = CLEAR * min(1 / layout.scale, 1.5)  # of the names of both populations
    middle = float(np.clip((heights.min() + heights.max()) / 2, lower + apart, max(upper - apart, lower + apart)))
    y = middle - 0.3 * (index - (count - 1) / 2)
    xs = [np.interp(y, *_ascending(line)) for line in lines]
    return (min(xs) - 0.25, y, "right", "center") if left else (max(xs) + 0.25, y, "left", "center")


def _ascending(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x of a line's points, y ascending, for interpolation."""
    order = np.argsort(line[:, 1])
    return line[order, 1], line[order, 0]


def _shortened(line: np.ndarray, length: float) -> np.ndarray:
    """Return the line without its last bit, so that its blunt end does not show around the arrowhead's tip."""
    last = line[-1] - line[-2]
    return np.concatenate([line[:-1], [line[-1] - min(length / np.hypot(*last), 0.9) * last]])
