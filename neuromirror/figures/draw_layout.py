"""Where the cells of a circuit's drawing stand, and which cells its projections join.

Layers are rows, the input at the bottom; the forward path is on the left, the feedback path on the right. The cells of
a row stand on a slant, each one higher than its left neighbour, so that the one-to-one projections between the paths
run level and pass between the cells instead of through them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx

from neuromirror.circuit.graph import sides

CELLS_SHOWN = 8
"""Cells of the largest population up to which all cells of a circuit are drawn."""
CELLS_ABBREVIATED = 5
"""In other circuits, populations of more cells than this show their first three, dots, and their last."""
NODES_SHOWN = 60
"""Circuits that would show more cells have one node for each population."""
STEP_X, STEP_Y = 0.8, 0.5
GAP_X, GAP_Y = 2.6, 1.9
"""Distances between neighbours in a row, between the paths, and between rows, in units of the drawing."""


Pair = tuple[tuple[str, int], tuple[str, int]]
"""Source and target of one arrow, each (population, index of the cell)."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Positions of everything in one panel.

    Attributes
    ----------
    cells : dict of (str, int) to (float, float)
        (population, index of the cell) to its centre. With ``whole``, index 0 stands for the whole population.
    dots : dict of str to (float, float)
        Populations that leave cells out, with the centre of the dots that say so.
    whole : bool
        Whether each population is one node.
    counted : bool
        Whether names have the number of cells beside them: in circuits of which some cell is left out.
    radius : float
        Of a node.
    gap_x : float
        Middle of the free space between the paths.
    scale : float
        Of text and lines, in a drawing that shrinks to fit its page.
    """

    cells: dict[tuple[str, int], tuple[float, float]]
    dots: dict[str, tuple[float, float]]
    whole: bool
    counted: bool
    radius: float
    gap_x: float
    scale: float = 1.0

    def of(self, population: str) -> list[tuple[int, tuple[float, float]]]:
        """Return the cells of a population that are shown, (index, centre), from left to right."""
        return [(cell, centre) for (name, cell), centre in self.cells.items() if name == population]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of all centres."""
        xs, ys = zip(*self.cells.values(), strict=True)
        return min(xs), max(xs), min(ys), max(ys)


def make_layout(graph: nx.MultiDiGraph) -> Layout:
    """Place the cells of a circuit.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
        Nodes have ``path``, ``layer`` and ``size``.
    """
    sizes = {name: data["size"] for name, data in graph.nodes(data=True)}
    limit = CELLS_SHOWN if max(sizes.values()) <= CELLS_SHOWN else CELLS_ABBREVIATED
    slots = {name: _slots(size, limit) for name, size in sizes.items()}
    whole = sum(len(shown) for shown in slots.values()) > NODES_SHOWN
    if whole:
        slots = {name: [0] for name in slots}
    rows = _rows(graph)
    width = {path: max([0] + [_length(row, slots) for (_, at), row in rows.items() if at == path]) for _, path in rows}
    x0 = {"forward": 0.0, "feedback": max(0, width.get("forward", 0) - 1) * STEP_X + GAP_X}
    cells, dots, y = {}, {}, 0.0
    for layer in sorted({layer for layer, _ in rows}):
        tallest = 1
        for path in ("forward", "feedback"):
            row = rows.get((layer, path), [])
            length = _length(row, slots)
            tallest = max(tallest, length)
            slot = (width.get(path, 0) - length) / 2
            height = 0.0
            for name in row:
                for cell in slots[name]:
                    at = (x0[path] + slot * STEP_X, y + height)
                    if cell is None:
                        dots[name] = at
                    else:
                        cells[name, cell] = at
                    slot, height = slot + 1, height + STEP_Y
                slot, height = slot + 1, height + STEP_Y
        y += (tallest - 1) * STEP_Y + GAP_Y
    return Layout(
        cells=cells,
        dots=dots,
        whole=whole,
        counted=bool(dots),
        radius=0.34 if whole else 0.19,
        gap_x=x0["feedback"] - GAP_X / 2,
    )


def joined(layout: Layout, data: dict[str, object], source: str, target: str) -> Iterator[Pair]:
    """Give the pairs (source cell, target cell) that a projection joins, of the cells that are shown.

    Parameters
    ----------
    layout : Layout
    data : dict
        The edge's attributes ``connector`` and ``permutation``: target cell i listens to source cell permutation[i].
    source, target : str
        Its ends.
    """
    permutation = sides(str(data.get("permutation", "")))
    for i, _ in layout.of(target):
        for j, _ in layout.of(source):
            one_to_one = data["connector"] == "one_to_one" and not layout.whole
            if not one_to_one or j == (permutation[i] if permutation else i):
                yield (source, j), (target, i)


def _slots(size: int, limit: int) -> list[int | None]:
    return list(range(size)) if size <= limit else [0, 1, 2, None, size - 1]


def _rows(graph: nx.MultiDiGraph) -> dict[tuple[int, str], list[str]]:
    rows: dict[tuple[int, str], list[str]] = {}
    for name, data in sorted(graph.nodes(data=True)):
        rows.setdefault((data["layer"], data["path"]), []).append(name)
    return rows


def _length(row: list[str], slots: dict[str, list]) -> int:
    return sum(len(slots[name]) for name in row) + max(0, len(row) - 1)
