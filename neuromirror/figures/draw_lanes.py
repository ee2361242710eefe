"""The arrows of a page: forward ones solid, feedback ones dashed, with pools, joins and their names."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Polygon
from matplotlib.path import Path

from neuromirror.figures import style
from neuromirror.figures.draw_arrows import HEADS
from neuromirror.figures.draw_page import ASIDE_IN, DETAIL_PT, LANE_IN, LINE_IN, TRACK_IN, Box
from neuromirror.figures.draw_routes import Route
from neuromirror.figures.draw_rows import Row

DASHES = {"forward": "-", "feedback": (0, (3.2, 1.3))}
WEIGHTED_PT, PLAIN_PT = 1.1, 0.7
"""Widths of lines with weights and without."""
HEAD_IN = 0.42
"""Size of arrowheads, to those of drawings cell by cell."""
POOL = np.array([(-0.055, -0.03), (0.055, -0.03), (0.028, 0.03), (-0.028, 0.03)])
"""Outline of the sign of a pool, which narrows upwards."""
JOINS = {"before": "white", "after": style.BLACK}
"""Fill of the sign of a sum, by where it meets the target's nonlinearity."""
_LEAVES, _ENTERS = {"forward": 0.86, "feedback": 0.14}, {"before": 0.18, "after": 0.6}
"""Heights at which tracks leave and enter boxes, to that of the box."""
_RADIUS_IN = 0.035


def draw_route(ax: Axes, rows: list[Row], boxes: list[tuple[Box, Box]], route: Route) -> None:
    """Draw one arrow of a column, with its head and its signs."""
    points = _straight(rows, boxes, route) if route.track is None else _beside(boxes, route)
    colour = style.PATH_COLOURS[route.path]
    width = WEIGHTED_PT if route.data["weights"] else PLAIN_PT
    if route.head and not route.adds:
        _draw_head(ax, points, colour)
        points = np.concatenate([points[:-1], [points[-1] - 0.05 * _along(points)]])
    ax.add_patch(
        PathPatch(
            _rounded(points), fill=False, edgecolor=colour, linewidth=width, linestyle=DASHES[route.path],
            capstyle="butt", zorder=3, gid=route.name,
        )
    )  # fmt: skip
    if route.adds:
        for mark in join_signs(route.data["join"], points[-1]):
            ax.add_line(mark)
    if route.data["connector"] == "pool" and route.named and route.track is None:
        ax.add_patch(Polygon(points.mean(axis=0) + POOL, facecolor="white", edgecolor=colour, linewidth=0.8, zorder=5))


def draw_label(
    ax: Axes, rows: list[Row], boxes: list[tuple[Box, Box]], index: int, routes: list[Route], path: str
) -> None:
    """Write the names of the arrows of a path below a row: at its straight arrow, and of those from tracks."""
    box = boxes[index][path == "feedback"]
    lines = [line for route in sorted(routes, key=lambda route: route.track is None) for line in route.lines]
    pooled = any(route.data["connector"] == "pool" and route.track is None for route in routes)
    x, left = _label_x(box, path, aside=rows[index].aside, beside=0.09 if pooled else 0.05)
    for k, line in enumerate(lines):
        y = box.bottom - 0.022 - LINE_IN * (k + 0.5)
        colour, align = style.PATH_COLOURS[path], "left" if left else "right"
        ax.text(x, y, line, color=colour, fontsize=DETAIL_PT, ha=align, va="center_baseline", zorder=6)


def join_signs(join: str, point: np.ndarray) -> tuple[Line2D, Line2D]:
    """Return the sign of a sum, a plus in a square."""
    ink = style.BLACK if JOINS[join] == "white" else "white"
    x, y = [[value] for value in point] if len(point) else ([], [])
    return (
        Line2D(x, y, marker="s", markersize=4.6, color=JOINS[join], markeredgecolor=style.BLACK, markeredgewidth=0.6,
               linestyle="none", zorder=10),
        Line2D(x, y, marker="+", markersize=3.6, color=ink, markeredgewidth=0.7, linestyle="none", zorder=11),
    )  # fmt: skip


def stream_x(box: Box, path: str, *, shifted: bool) -> float:
    """Return where straight arrows run, at the inner side of the boxes; those of rows aside at the outer side."""
    if path == "forward":
        return box.left + ASIDE_IN + 0.08 if shifted else box.right - ASIDE_IN / 2
    return box.right - ASIDE_IN - 0.08 if shifted else box.left + ASIDE_IN / 2


def _label_x(box: Box, path: str, *, aside: bool, beside: float) -> tuple[float, bool]:
    """Return where names stand below a box, and whether to the right of there."""
    x, left = stream_x(box, path, shifted=aside), (path == "forward") == aside
    return x + (beside if left else -beside), left


def _straight(rows: list[Row], boxes: list[tuple[Box, Box]], route: Route) -> np.ndarray:
    source, target = (boxes[index][route.path == "feedback"] for index in (route.source, route.target))
    aside = [index for index in (route.source, route.target) if rows[index].aside]
    index = aside[0] if aside else route.target
    x = stream_x(boxes[index][route.path == "feedback"], route.path, shifted=bool(aside))
    up = route.target > route.source
    return np.array([(x, source.top if up else source.bottom), (x, target.bottom if up else target.top)])


def _beside(boxes: list[tuple[Box, Box]], route: Route) -> np.ndarray:
    """Return the points of an arrow on a track, from the side of a box to that of another."""
    feedback = route.path == "feedback"
    side = 1 if feedback else -1
    lane = [box[feedback] for box in boxes]
    main = min(box.right for box in lane) if feedback else max(box.left for box in lane)
    x = main + side * (LANE_IN + TRACK_IN * ((route.track or 0) + 0.5))
    enters = 0.7 if feedback else _ENTERS.get(route.data["join"], 0.4)
    entering = _to_track(lane[route.target], x, side, enters, below=not feedback)[::-1]
    if route.branch and len(entering) > 1:
        return np.array(entering)
    return np.array([*_to_track(lane[route.source], x, side, _LEAVES[route.path]), *entering])


def _to_track(box: Box, x: float, side: int, share: float, *, below: bool | None = None) -> list[tuple[float, float]]:
    """Return the points from the side of a box to a track; from above or below where the track meets the box.

    Forward arrows leave boxes at the top and enter them from below, feedback arrows the other way round.
    """
    edge = box.right if side > 0 else box.left
    if (x - edge) * side > 0:
        y = box.bottom + share * (box.top - box.bottom)
        return [(edge, y), (x, y)]
    under = side > 0 if below is None else below
    return [(x, box.bottom if under else box.top)]


def _along(points: np.ndarray) -> np.ndarray:
    last = points[-1] - points[-2]
    return last / np.hypot(*last)


def _draw_head(ax: Axes, points: np.ndarray, colour: str) -> None:
    dx, dy = _along(points)
    outline = points[-1] + HEAD_IN * HEADS["synapse"].outline @ np.array([[dx, dy], [-dy, dx]])
    ax.add_collection(PolyCollection([outline], facecolors=colour, edgecolors="none", zorder=4))


def _rounded(points: np.ndarray) -> Path:
    """Return a path through points, its corners rounded."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points[:-2], points[1:-1], points[2:], strict=True):
        for end, code in ((before, Path.LINETO), (corner, Path.CURVE3), (after, Path.CURVE3)):
            step = end - corner
            length = np.hypot(*step)
            near = corner + step * min(_RADIUS_IN / length, 0.5) if length else corner
            vertices.append(near)
            codes.append(code)
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])
