"""In which order, and in which column of a page, the populations of a large circuit stand.

A row holds a population of the forward path and its counterpart in the feedback path. Rows follow the layers, the input
at the bottom, and continue at the bottom of the next column. Of the populations of one layer, the one on the longest
way from input to output is in the main stream; the others stand aside below it, such as the convolution of a shortcut.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_uppercase

import networkx as nx

from neuromirror.circuit.graph import sides

ROLES = ("drive", "gate", "error")
"""Cross-projections, in the order in which they tell which populations belong together."""
_CUT, _WITHIN, _SAME_SIZE = 6.0, 12.0, 3.0
"""Cost, in squared rows, of a second stub at a cut, of a cut within a block, and of one where sizes stay the same."""

Place = tuple[int, int]
"""A column, and a row there from the bottom."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a column.

    Attributes
    ----------
    forward, feedback : str or None
        Populations.
    aside : bool
        Whether it stands beside the main stream.
    stub : str
        Letter of a row that stands for one in another column, whose populations it names; else empty.
    """

    forward: str | None
    feedback: str | None
    aside: bool = False
    stub: str = ""


def make_rows(graph: nx.MultiDiGraph) -> list[Row]:
    """Return all populations of a circuit in rows, from the input upwards."""
    partner = _partners(graph)
    feedback_of = {forward: feedback for feedback, forward in partner.items()}
    length = _lengths(graph)
    rows: dict[int, list[tuple[int, str, Row]]] = {}
    for name, data in sorted(graph.nodes(data=True)):
        if name not in partner:
            ends = (name, feedback_of.get(name)) if data["path"] == "forward" else (None, name)
            row = Row(forward=ends[0], feedback=ends[1])
            rows.setdefault(data["layer"], []).append((-length.get(name, 0), name, row))
    ordered = []
    for _, layer in sorted(rows.items()):
        (_, _, main), *others = sorted(layer, key=lambda item: item[:2])
        ordered += [Row(forward=row.forward, feedback=row.feedback, aside=True) for _, _, row in others] + [main]
    return ordered


def _partners(graph: nx.MultiDiGraph) -> dict[str, str]:
    """Return the forward population that each feedback population belongs to, at most one for each of either."""
    pairs = [(name, data["shares"]) for name, data in sorted(graph.nodes(data=True)) if data.get("shares") in graph]
    for role in ROLES:
        for source, target, data in sorted(graph.edges(data=True), key=lambda edge: edge[:2]):
            if data["role"] == role:
                pairs.append((source, target) if role == "error" else (target, source))
    found: dict[str, str] = {}
    for feedback, forward in pairs:
        right = graph.nodes[feedback]["path"] == "feedback" and graph.nodes[forward]["path"] == "forward"
        if right and feedback not in found and forward not in found.values():
            found[feedback] = forward
    return found


def _lengths(graph: nx.MultiDiGraph) -> dict[str, int]:
    """Return how many projections the longest way through each forward population has."""
    layer = {name: data["layer"] for name, data in graph.nodes(data=True) if data["path"] == "forward"}
    upward = [(a, b) for a, b, _ in graph.edges if a in layer and b in layer and layer[a] < layer[b]]
    below, above = dict.fromkeys(layer, 0), dict.fromkeys(layer, 0)
    for a, b in sorted(upward, key=lambda edge: layer[edge[0]]):
        below[b] = max(below[b], below[a] + 1)
    for a, b in sorted(upward, key=lambda edge: -layer[edge[1]]):
        above[a] = max(above[a], above[b] + 1)
    return {name: below[name] + above[name] for name in layer}


def _prices(graph: nx.MultiDiGraph, rows: list[Row]) -> list[float]:
    """Return what a cut before row 1, 2, … costs: least at the end of a block, where one row sends to all above."""
    below, above = ([set[int]() for _ in rows] for _ in range(2))
    for low, high in _neighbours(graph, rows):
        for cut in range(low + 1, high + 1):
            below[cut].add(low)
            above[cut].add(high)
    return [
        _CUT * max(min(len(b), len(a)) - 1, 0) ** 2 + _WITHIN * (len(b) > 1)
        for b, a in zip(below[1:], above[1:], strict=True)
    ]


def _neighbours(graph: nx.MultiDiGraph, rows: list[Row]) -> list[tuple[int, int]]:
    """Return the pairs of rows, lower and higher, that are joined within one of the paths."""
    at = {name: index for index, row in enumerate(rows) for name in (row.forward, row.feedback) if name}
    joined = [(at[a], at[b]) for a, b, _ in graph.edges if graph.nodes[a]["path"] == graph.nodes[b]["path"]]
    return sorted({(min(pair), max(pair)) for pair in joined})


def cut_columns(graph: nx.MultiDiGraph, rows: list[Row], columns: int) -> list[list[Row]]:
    """Cut rows into columns of similar length, where few are joined across the cut and sizes change.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
    rows : list of Row
    columns : int
        At most the number of rows.
    """
    price = [0.0]
    for cut, joined in enumerate(_prices(graph, rows), start=1):
        price.append(joined + _SAME_SIZE * (_sides(graph, rows[cut - 1]) == _sides(graph, rows[cut])))
    best = {0: (0.0, [0])}
    for _ in range(columns):
        longer: dict[int, tuple[float, list[int]]] = {}
        for start, (cost, cuts) in best.items():
            for stop in range(start + 1, min(start + 3 * len(rows) // columns + 2, len(rows) + 1)):
                found = cost + (stop - start) ** 2 + (price[stop] if stop < len(rows) else 0)
                if stop not in longer or found < longer[stop][0]:
                    longer[stop] = (found, [*cuts, stop])
        best = longer
    return [rows[start:stop] for start, stop in pairwise(best[len(rows)][1])]


def _sides(graph: nx.MultiDiGraph, row: Row) -> tuple[int, ...]:
    return sides(graph.nodes[row.forward or row.feedback]["shape"])[1:]


def places(columns: list[list[Row]]) -> dict[str, Place]:
    """Return the column and the row of each population."""
    rows = [(column, index, row) for column, rows in enumerate(columns) for index, row in enumerate(rows)]
    return {
        name: (column, index)
        for column, index, row in rows
        for name in (row.forward, row.feedback)
        if name and not row.stub
    }


def hubs(graph: nx.MultiDiGraph, at: dict[str, Place]) -> dict[tuple[Place, Place], Place]:
    """Return for two rows in different columns, lower and higher, the one that has stubs: it is joined to more rows."""
    within = [(at[a], at[b]) for a, b, _ in graph.edges if graph.nodes[a]["path"] == graph.nodes[b]["path"]]
    pairs = {(min(pair), max(pair)) for pair in within if pair[0][0] != pair[1][0]}
    joined = Counter(end for pair in pairs for end in pair)
    return {(low, high): high if joined[high] > joined[low] else low for low, high in sorted(pairs)}


def with_stubs(graph: nx.MultiDiGraph, columns: list[list[Row]]) -> list[list[Row]]:
    """Add stubs for the rows of other columns that the rows of a column are joined to.

    A row with stubs has one in its own column, at the end towards the other column, and one there, at the end towards
    its own.
    """
    found = hubs(graph, places(columns))
    letters = {hub: _letter(number) for number, hub in enumerate(sorted(set(found.values())))}
    below, above = ([set[Place]() for _ in columns] for _ in range(2))
    for (low, high), hub in found.items():
        above[low[0]].add(hub)
        below[high[0]].add(hub)

    def stubs(here: set[Place]) -> list[Row]:
        rows = [(columns[column][index], letters[column, index]) for column, index in sorted(here)]
        return [Row(forward=row.forward, feedback=row.feedback, stub=letter) for row, letter in rows]

    return [[*stubs(b), *rows, *stubs(a)] for b, rows, a in zip(below, columns, above, strict=True)]


def _letter(number: int) -> str:
    return ascii_uppercase[number % 26] + (str(number // 26) if number >= 26 else "")
