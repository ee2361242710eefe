"""A circuit of any size, drawn: cell by cell in each of its modes, or layer by layer on one page."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
from matplotlib.figure import Figure

from neuromirror.circuit.graph import modes_of
from neuromirror.errors import RequestError, suggestion
from neuromirror.figures.draw_layers import draw_layers
from neuromirror.figures.draw_layout import make_layout
from neuromirror.figures.draw_modes import kinds
from neuromirror.figures.draw_panels import draw_panels, fits_a_page

POPULATIONS_SHOWN = 24
"""Circuits of more populations are drawn layer by layer, in one picture for all modes."""
PANELS_SHOWN = 6
"""Of more modes, and of those for which a page has no room, those that are alike share a panel."""
WINDOWED = ("conv", "local", "pool")
"""Connectors that join places, for which there is no room cell by cell."""


def draw(graph: nx.MultiDiGraph, modes: Sequence[str] | None = None) -> Figure:
    """Draw a circuit, on a page at most if its names can be read there.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
        A circuit's graph; see `neuromirror.circuit.graph.build_graph`.
    modes : sequence of str or None
        Names of the modes, in order; all of them by default.

    Returns
    -------
    Figure
        Of a small circuit, one panel for each mode or kind of mode; see `neuromirror.figures.draw_panels`. Of a large
        one, or one of convolutions, all layers with what joins them; see `neuromirror.figures.draw_layers`.

    Raises
    ------
    RequestError
        If the circuit has no populations or no mode, or not the one asked for.
    """
    known = modes_of(graph)
    names = list(known if modes is None else modes)
    for name in names:
        if name not in known:
            raise RequestError(f"mode '{name}': no such mode in this circuit. {suggestion(name, known)}")
    if not names or not len(graph):
        raise RequestError("nothing to draw: the circuit has no modes, or no populations.")
    chosen = {name: known[name] for name in names}
    if _is_large(graph):
        return draw_layers(graph, chosen)
    layout, groups = make_layout(graph), [[name] for name in names]
    if modes is None and (len(names) > PANELS_SHOWN or not fits_a_page(graph, layout, groups)):
        groups = kinds(graph, chosen)
    return draw_panels(graph, layout, groups)


def _is_large(graph: nx.MultiDiGraph) -> bool:
    windowed = any(data["connector"] in WINDOWED for *_, data in graph.edges(data=True))
    return windowed or len(graph) > POPULATIONS_SHOWN
