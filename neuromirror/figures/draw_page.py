"""The sizes of a page that shows a large circuit: how wide boxes are, how many columns there are, and where rows stand.

All lengths are inches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import networkx as nx

from neuromirror.figures import style
from neuromirror.figures.draw_labels import population_detail
from neuromirror.figures.draw_routes import Route, make_routes
from neuromirror.figures.draw_rows import Row, cut_columns, make_rows, with_stubs

NAME_PT, DETAIL_PT = 6.0, style.SMALLEST_PT
BOX_IN, STUB_IN = 0.25, 0.13
"""Heights of a population's box, and of the stub of one in another column."""
LINE_IN = 0.088
"""Distance of the lines of a label."""
GAP_IN = 0.046
"""Between rows, besides the labels there."""
MIDDLE_IN = 0.25
"""Between the boxes of a row, for the cross-projections."""
ASIDE_IN = 0.24
"""How far rows aside are shifted, out of the way of the main stream."""
LANE_IN, TRACK_IN = 0.04, 0.12
"""Beside the boxes, the space before the first track, and the width of a track."""
MARGIN_IN, GUTTER_IN = 0.18, 0.1
ENDS_IN = 0.17
"""Below and above columns, for what comes from outside."""
NARROWEST_IN = 6.5
MOST_COLUMNS = 10


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True, kw_only=True)
class Page:
    """Where everything is.

    Attributes
    ----------
    columns, routes : list
        The rows and the arrows of each column.
    width_in, body_in : float
        Of the page, and the height of its columns.
    lanes_in : (float, float)
        Width of the tracks on the left and on the right.
    boxes_in : (float, float)
        Width of forward and feedback boxes.
    """

    columns: list[list[Row]]
    routes: list[list[Route]]
    width_in: float
    body_in: float
    lanes_in: tuple[float, float]
    boxes_in: tuple[float, float]

    @property
    def column_in(self) -> float:
        """Width of a column."""
        return sum(self.lanes_in) + sum(self.boxes_in) + MIDDLE_IN + GUTTER_IN

    def left_of(self, column: int) -> float:
        """Left edge of the forward boxes of a column that stand in the main stream."""
        margin = (self.width_in - len(self.columns) * self.column_in + GUTTER_IN) / 2
        return margin + column * self.column_in + self.lanes_in[0]

    def boxes(self, column: int, bottom_in: float) -> list[tuple[Box, Box]]:
        """Return the forward and the feedback box of each row of a column, whose lowest row is at ``bottom_in``."""
        x0 = self.left_of(column)
        found, y = (
            [],
            bottom_in + LINE_IN * sum(len(route.lines) for route in self.routes[column] if route.label_row == 0),
        )
        rows, gaps = self.columns[column], gaps_in(self.columns[column], self.routes[column])
        spare = self.body_in - column_height_in(rows, self.routes[column])
        stretch = min(spare / max(len(rows) - 1, 1), 0.6 * LINE_IN)
        for row, gap_in in zip(rows, gaps, strict=True):
            y += gap_in + stretch if found else 0
            top = y + (STUB_IN if row.stub else BOX_IN)
            shift = ASIDE_IN * row.aside
            middle = x0 + self.boxes_in[0]
            forward = Box(x0 - shift, middle - shift, y, top)
            d0 = middle + MIDDLE_IN + shift
            found.append((forward, Box(d0, d0 + self.boxes_in[1], y, top)))
            y = top
        return found


def gaps_in(rows: list[Row], routes: list[Route]) -> list[float]:
    """Return the height of the space below each row."""
    lines = {(path, index): 0 for path in ("forward", "feedback") for index in range(len(rows))}
    for route in routes:
        lines[route.path, route.label_row] += len(route.lines)
    return [
        GAP_IN + LINE_IN * max(lines["forward", index], lines["feedback", index], 1 if rows[index].stub else 2)
        for index in range(len(rows))
    ]


def column_height_in(rows: list[Row], routes: list[Route]) -> float:
    """Return the height of a column whose rows stand as close as they can."""
    named_in = LINE_IN * sum(len(route.lines) for route in routes if route.label_row == 0)
    return named_in + sum(STUB_IN if row.stub else BOX_IN for row in rows) + sum(gaps_in(rows, routes)[1:])


def make_page(graph: nx.MultiDiGraph, around_in: float) -> Page:
    """Choose the number of columns: as small a page as can be, of A4 in either orientation if any is.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
    around_in : float
        Height that is wanted above and below the columns.
    """
    rows = make_rows(graph)
    pages = [_page(graph, rows, columns) for columns in range(1, min(MOST_COLUMNS, len(rows)) + 1)]
    return min(pages, key=lambda page: _badness(page.width_in, page.body_in + around_in))


def _badness(width_in: float, height_in: float) -> tuple[float, float]:
    """How far a page exceeds A4, and its area."""
    excess = min(max(width_in / page[0], height_in / page[1], 1.0) for page in (style.A4_IN, style.A4_IN[::-1]))
    return round(excess, 3), width_in * height_in


def _page(graph: nx.MultiDiGraph, rows: list[Row], count: int) -> Page:
    columns = with_stubs(graph, cut_columns(graph, rows, count))
    routes = make_routes(graph, columns)
    aside = any(row.aside for row in rows)
    lanes = [
        max([LANE_IN + ASIDE_IN * aside, *(LANE_IN + TRACK_IN * (track + 1) for track in _tracks(routes, path))])
        for path in ("forward", "feedback")
    ]
    page = Page(
        columns=columns,
        routes=routes,
        width_in=0.0,
        body_in=max(column_height_in(*column) for column in zip(columns, routes, strict=True)),
        lanes_in=(lanes[0], lanes[1]),
        boxes_in=(_box_in(graph, columns, routes, "forward"), _box_in(graph, columns, routes, "feedback")),
    )
    width_in = max(count * page.column_in - GUTTER_IN + 2 * MARGIN_IN, NARROWEST_IN)
    return Page(**{**vars(page), "width_in": width_in})


def _tracks(routes: list[list[Route]], path: str) -> list[int]:
    return [route.track for column in routes for route in column if route.path == path and route.track is not None]


def _box_in(graph: nx.MultiDiGraph, columns: list[list[Row]], routes: list[list[Route]], path: str) -> float:
    """Return the width that the boxes of a path need for their names and for those of their arrows."""
    widths_in = [0.4]
    for name, data in graph.nodes(data=True):
        if data["path"] == path:
            detail = population_detail(data)
            widths_in.append(style.text_width_in(style.math_name(name), NAME_PT) + 0.08)
            widths_in.append(style.text_width_in(detail, DETAIL_PT) + 0.08 if path == "forward" else 0)
    for rows, column in zip(columns, routes, strict=True):
        for route in (route for route in column if route.path == path):
            beside_in = ASIDE_IN / 2 + (0.16 if rows[route.label_row].aside else 0.09)
            widths_in += [style.text_width_in(text, DETAIL_PT) + beside_in for text in route.lines]
    return math.ceil(max(widths_in) * 100) / 100
