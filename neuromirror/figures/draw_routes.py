"""Which arrows a column of a page has, and how each one runs: straight up or down its lane, or beside it.

Beside the forward boxes on the left, and the feedback boxes on the right, there are tracks. A track is an axon: all
that a population sends to rows that are not next to it leaves on one track, and branches off where it is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import networkx as nx

from neuromirror.figures.draw_labels import projection_lines
from neuromirror.figures.draw_rows import Place, Row, hubs, places

ASIDE_TRACKS = 2
"""Tracks that a row that stands aside covers."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One arrow within a column.

    Attributes
    ----------
    name : str
        Of the projection.
    data : dict
        Its attributes in the graph.
    path : str
        ``"forward"`` or ``"feedback"``.
    source, target : int
        Rows of the column.
    head : bool
        Whether it ends here, and not in another column.
    named : bool
        Whether its name and signs stand here.
    label : tuple of str
        Lines of its name, if it has weights or is a pool.
    track : int or None
        None for a straight arrow.
    branch : bool
        Whether another arrow of the same source runs on along the track, so that this one only branches off.
    """

    name: str
    data: dict[str, Any]
    path: str
    source: int
    target: int
    head: bool
    named: bool
    label: tuple[str, ...]
    track: int | None = None
    branch: bool = False

    @property
    def adds(self) -> bool:
        """Whether it ends at a sum, the join of a shortcut."""
        return self.head and self.path == "forward" and bool(self.data["join"])

    @property
    def label_row(self) -> int:
        """The row below which the label stands: of a straight arrow the upper end, else the end that is no stub."""
        if self.track is None:
            return max(self.source, self.target)
        return self.target if self.head else self.source

    @property
    def lines(self) -> tuple[str, ...]:
        """The label's lines; only one, with the sign of a turn, where the arrow itself is on a track."""
        turn = "↱" if self.path == "forward" else "↲"
        return self.label if self.track is None or not self.label else (f"{turn} {' '.join(self.label)}",)


def make_routes(graph: nx.MultiDiGraph, columns: list[list[Row]]) -> list[list[Route]]:
    """Return the arrows of each column between populations of one path."""
    at = places(columns)
    found_hubs = hubs(graph, at)
    found: list[list[Route]] = [[] for _ in columns]
    taken: set[tuple[Any, ...]] = set()
    for source, target, name, data in _weighted_first(graph):
        path = graph.nodes[source]["path"]
        if path != graph.nodes[target]["path"]:
            continue
        label = tuple(projection_lines(name, data))
        for column, a, b, head, named in _legs(columns, at, found_hubs, source, target):
            leg = Route(
                name=name, data=data, path=path, source=a, target=b, head=head, named=named, label=label * named
            )
            shared = not named and not leg.adds
            if not shared or (column, path, a, b) not in taken:  # what several projections share is drawn once
                straight = shared or data["connector"] != "shortcut"
                free = straight and (column, path, a, b) not in taken and _is_clear(columns[column], a, b)
                found[column].append(leg if free else replace(leg, track=0))
                taken.add((column, path, a, b))
    return [_with_tracks(rows, routes) for rows, routes in zip(columns, found, strict=True)]


def apart(graph: nx.MultiDiGraph, columns: list[list[Row]]) -> list[str]:
    """Return the projections between the paths that do not join the two populations of one row."""
    partners = {(row.forward, row.feedback) for rows in columns for row in rows}
    return [
        f"{name} ({a} → {b})"
        for a, b, name in sorted(graph.edges(keys=True), key=lambda edge: edge[2])
        if graph.nodes[a]["path"] != graph.nodes[b]["path"] and not {(a, b), (b, a)} & partners
    ]


def _weighted_first(graph: nx.MultiDiGraph) -> list[tuple[str, str, str, dict[str, Any]]]:
    return sorted(graph.edges(keys=True, data=True), key=lambda edge: (not edge[3]["weights"], edge[2]))


def _legs(
    columns: list[list[Row]], at: dict[str, Place], found: dict[tuple[Place, Place], Place], source: str, target: str
) -> list[tuple[int, int, int, bool, bool]]:
    """Return the parts of a projection: column, rows of its ends, whether it ends there and whether it is named there.

    A projection between columns has a part in each, from its end to the stub in that column. It is named where its end
    is not the one that has stubs, which other projections may share.
    """
    (column_a, a), (column_b, b) = at[source], at[target]
    if column_a == column_b:
        return [(column_a, a, b, True, True)]
    up = column_b > column_a
    hub = source if found[min(at[source], at[target]), max(at[source], at[target])] == at[source] else target
    stub_a, stub_b = _stub(columns[column_a], hub, top=up), _stub(columns[column_b], hub, top=not up)
    return [(column_a, a, stub_a, False, hub == target), (column_b, stub_b, b, True, hub == source)]


def _stub(rows: list[Row], name: str, *, top: bool) -> int:
    """Return the row of the stub for a population at one end of a column."""
    found = [index for index, row in enumerate(rows) if row.stub and name in (row.forward, row.feedback)]
    return found[-1 if top else 0]


def _is_clear(rows: list[Row], a: int, b: int) -> bool:
    """Whether a straight arrow can run from one row to another: next to it, or past rows that stand aside."""
    low, high = sorted((a, b))
    main = not rows[low].aside and not rows[high].aside
    return low < high and (high == low + 1 or (main and all(row.aside for row in rows[low + 1 : high])))


def _with_tracks(rows: list[Row], routes: list[Route]) -> list[Route]:
    """Give each source of a column a track, the innermost that is free all along."""
    spans: dict[tuple[str, int], list[int]] = {}
    for route in routes:
        if route.track is not None:
            spans.setdefault((route.path, route.source), [route.source]).append(route.target)
    used: list[tuple[str, int, int, int]] = []
    track_of = {}
    for (path, source), at in sorted(spans.items(), key=lambda item: (max(item[1]) - min(item[1]), item[0])):
        low, high = min(at), max(at)
        track = ASIDE_TRACKS if any(row.aside for row in rows[low + 1 : high]) else 0
        while any(p == path and t == track and low < h and lo < high for p, t, lo, h in used):
            track += 1
        used.append((path, track, low, high))
        track_of[path, source] = track
    found, ends = [], set()
    for route in sorted(routes, key=lambda route: -abs(route.target - route.source)):
        if route.track is None:
            found.append(route)
            continue
        end = (route.path, route.source, route.target > route.source)
        found.append(replace(route, track=track_of[end[:2]], branch=end in ends and route.target != route.source))
        ends.add(end)
    return found
