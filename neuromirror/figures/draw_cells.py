"""The cells of a circuit's drawing, their names, and what reaches them from outside."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from neuromirror.figures import style
from neuromirror.figures.draw_layout import Layout

ZIGZAG = np.stack([np.linspace(-1, 1, 8), [0.0, 0.6, -0.65, 0.8, -0.45, 0.65, -0.75, 0.0]], axis=1)
"""The sign of a noisy cell, in units of three quarters of its radius."""
FACES = {"forward": "#E3EFF8", "feedback": "#FBE9DF"}


def draw_population(ax: Axes, graph: nx.MultiDiGraph, layout: Layout, name: str, mode: dict[str, Any]) -> None:
    """Draw a population's cells: a zigzag in those that are noisy, a thick rim around those whose bias learns."""
    data = graph.nodes[name]
    colour = style.PATH_COLOURS.get(data["path"], style.BLACK)
    learns = f"{name}.bias" in mode["learn"]
    cells = layout.of(name)
    for _, centre in cells:
        ax.add_patch(
            Circle(
                centre,
                layout.radius,
                facecolor=FACES.get(data["path"], "white"),
                edgecolor=style.BLACK,
                linewidth=layout.scale * (2.2 if learns else 0.9),
                zorder=8,
            )
        )
        if name in mode["noise"]:
            _draw_zigzag(ax, layout, (centre[0], centre[1] - 0.13 * layout.whole))
    if layout.whole:
        for _, (x, y) in cells:
            ax.text(
                x,
                y + 0.12 * (name in mode["noise"]),
                f"{data['size']}",
                ha="center",
                va="center",
                fontsize=max(6.5 * layout.scale, style.SMALLEST_PT),
                zorder=10,
            )
    elif name in layout.dots:
        x, y = layout.dots[name]
        steps = np.array([-0.18, 0, 0.18])
        ax.plot(x + steps, y + steps * 0.6, ".", color=style.BLACK, markersize=2.5 * layout.scale, zorder=8)
    _label_population(ax, layout, name, data, colour)
    _draw_outside(ax, layout, name, mode)


def _draw_zigzag(ax: Axes, layout: Layout, centre: tuple[float, float]) -> None:
    radius = layout.radius * (0.7 if layout.whole else 1)
    ax.plot(*(np.array(centre) + 0.75 * radius * ZIGZAG).T, color=style.BLACK, linewidth=0.8 * layout.scale, zorder=9)


def _label_population(ax: Axes, layout: Layout, name: str, data: dict[str, Any], colour: str) -> None:
    cells = layout.of(name)
    left = data["path"] == "forward"
    x, y = cells[0][1] if left else cells[-1][1]
    shift = -layout.radius - 0.15 if left else layout.radius + 0.15
    count = f"\n({data['size']})" if layout.counted else ""
    ax.text(
        x + shift, y, style.math_name(name) + count, color=colour, fontsize=layout.scale * (9 if count else 11),
        ha="right" if left else "left", va="center", zorder=10,
    )  # fmt: skip


def _draw_outside(ax: Axes, layout: Layout, name: str, mode: dict[str, Any]) -> None:
    """Draw short arrows from below for an input, from above for a comparison with the target."""
    signals = []
    if name in mode["input"]:
        signals.append(("stimulus", -1))
    if name in mode["compare"]:
        ends = mode["compare"][name].split("-")
        signals.append((" − ".join(style.math_name(end.strip()) for end in ends), 1))
    for text, side in signals:
        near, far = layout.radius + 0.02, layout.radius + 0.2
        for _, (x, y) in layout.of(name):
            ax.annotate(
                "",
                xy=(x, y + side * near),
                xytext=(x, y + side * far),
                arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 0.8 * layout.scale,
                            "mutation_scale": 6 * layout.scale, "color": style.BLACK},
            )  # fmt: skip
        x, y = layout.of(name)[0 if side < 0 else -1][1]
        ax.text(
            x, y + side * (far + 0.05), text, ha="center", va="top" if side < 0 else "bottom", fontsize=8 * layout.scale
        )
