"""Drawings of circuits: what each mode transmits, teaches and gates off, and that nothing overlaps."""

from __future__ import annotations

import itertools
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from neuromirror.circuit.graph import modes_of, set_modes
from neuromirror.errors import RequestError
from neuromirror.figures import draw, save, style
from neuromirror.figures.draw_arrows import STATES, state_of
from neuromirror.figures.draw_layout import joined, make_layout
from neuromirror.figures.draw_panels import arrangement

ENGAGED = {
    "on": frozenset({"W1", "B1", "g0", "e1"}),
    "learn": {"W1": "forward", "y1.bias": "forward"},
    "noise": frozenset(),
    "input": frozenset({"y0"}),
    "compare": {"d1": "y1 - target"},
    "bias": "on",
}
MIRROR = {
    "on": frozenset({"W1", "x0", "x1"}),
    "learn": {"B1": "mirror"},
    "noise": frozenset({"y0"}),
    "input": frozenset(),
    "compare": {},
    "bias": "blocked",
}


def chain(*sizes: int, permutation: tuple[int, ...] | None = None) -> nx.MultiDiGraph:
    """Make the graph of a chain of layers with a feedback path; two layers give Figure 1."""
    top = len(sizes) - 1
    engaged = {**ENGAGED, "compare": {f"d{top}": f"y{top} - target"}}
    graph = nx.MultiDiGraph(name="chain")
    set_modes(graph, {"engaged": engaged, "mirror": MIRROR})
    for layer, size in enumerate(sizes):
        for letter, path in (("y", "forward"), ("d", "feedback")):
            graph.add_node(f"{letter}{layer}", path=path, layer=layer, shape=str(size), size=size, cell="cell")

    def join(source: str, target: str, name: str, role: str, permutation: tuple[int, ...] | None = None) -> None:
        text = " ".join(map(str, permutation or ()))
        connector = "all_to_all" if role == "synapse" else "one_to_one"
        graph.add_edge(source, target, key=name, role=role, connector=connector, permutation=text)

    for layer in range(len(sizes)):
        join(f"y{layer}", f"d{layer}", f"x{layer}", "drive", permutation if layer == 0 else None)
        if layer < len(sizes) - 1:
            join(f"y{layer}", f"d{layer}", f"g{layer}", "gate")
        if layer:
            join(f"y{layer - 1}", f"y{layer}", f"W{layer}", "synapse")
            join(f"d{layer}", f"d{layer - 1}", f"B{layer}", "synapse")
            join(f"d{layer}", f"y{layer}", f"e{layer}", "error")
    return graph


def arrows(ax: Axes) -> dict[str, LineCollection]:
    """Give the lines of each projection in a panel."""
    lines = {c.get_gid(): c for c in ax.collections if isinstance(c, LineCollection)}
    return {name: collection for name, collection in lines.items() if name is not None}


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Give the pairs of texts of a figure that overlap, and those that leave it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = [text for ax in figure.axes for text in ax.texts if text.get_text()]
    found += figure.legends[0].get_texts()
    boxes = {text: text.get_window_extent(canvas.get_renderer()) for text in found}
    pairs = itertools.combinations(found, 2)
    crossed = [(a.get_text(), b.get_text()) for a, b in pairs if boxes[a].overlaps(boxes[b])]
    outside = [
        (text.get_text(), "the edge")
        for text, box in boxes.items()
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.x1 or box.y1 > figure.bbox.y1
    ]
    return crossed + outside


def test_figure_1b() -> None:
    panel = draw(chain(3, 2), ["mirror"]).axes[0]
    colours = {name: to_hex(np.asarray(lines.get_edgecolor())[0]) for name, lines in arrows(panel).items()}
    transmitting = {name for name, colour in colours.items() if colour.upper() == STATES["on"].colour}
    learning = {name for name, colour in colours.items() if colour.upper() == STATES["learns"].colour}
    assert transmitting == {"W1", "x0", "x1"}
    assert learning == {"B1"}
    assert set(colours) - transmitting - learning == {"g0", "e1"}


def test_states() -> None:
    assert {name: state_of(name, ENGAGED) for name in ("W1", "B1", "x0")} == {
        "W1": "on_learns",
        "B1": "on",
        "x0": "off",
    }
    assert state_of("B1", MIRROR) == "learns"
    looks = [(state.colour, str(state.dashes)) for state in STATES.values()]
    assert len(set(looks)) == len(looks)
    assert len({dashes for _, dashes in looks} | {state.plus for state in STATES.values()}) >= 4


def test_every_cell_and_every_synapse_is_drawn() -> None:
    for panel in draw(chain(3, 2)).axes:
        assert len([patch for patch in panel.patches if isinstance(patch, Circle)]) == 10
        counts = {name: len(lines.get_segments()) for name, lines in arrows(panel).items()}
        assert counts == {"W1": 6, "B1": 6, "x0": 3, "x1": 2, "g0": 3, "e1": 2}


def test_arrows_begin_at_their_source_and_end_at_their_target() -> None:
    graph = chain(3, 2)
    layout = make_layout(graph)
    panel = draw(graph, ["engaged"]).axes[0]
    for source, target, name, data in graph.edges(keys=True, data=True):
        segments = arrows(panel)[name].get_segments()
        for (a, b), segment in zip(joined(layout, data, source, target), segments, strict=True):
            assert np.hypot(*(segment[0] - layout.cells[a])) < 1.2 * layout.radius
            assert np.hypot(*(segment[-1] - layout.cells[b])) < 2 * layout.radius


def test_axons_have_the_head_of_what_they_do_in_the_mode() -> None:
    """One set that drives in a mode and gates in the other; drives have heads of 4 corners, gates of 16."""
    graph = chain(3, 2)
    graph.remove_edge("y0", "d0", "g0")
    gating = {**ENGAGED, "on": {"W1", "B1", "x0", "e1"}, "roles": {"x0": "gate"}}
    set_modes(graph, {**modes_of(graph), "engaged": gating})
    corners = {}
    for mode in ("engaged", "mirror"):
        figure = draw(graph, [mode])
        heads = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
        corners[mode] = sorted(len(path.vertices) - 1 for head in heads for path in head.get_paths())
        legend = {text.get_text() for text in figure.legends[0].get_texts()}
        assert ("gates its target" in legend) == (mode == "engaged")
    assert corners["engaged"].count(16) == 3
    assert corners["mirror"].count(16) == 0
    assert overlaps(draw(graph)) == []


def test_a_permutation_is_drawn_as_it_is() -> None:
    graph = chain(3, 2, permutation=(2, 0, 1))
    layout = make_layout(graph)
    pairs = {(a[1], b[1]) for a, b in joined(layout, graph.edges["y0", "d0", "x0"], "y0", "d0")}
    assert pairs == {(2, 0), (0, 1), (1, 2)}, "target i listens to source permutation[i]"


def test_large_populations_show_some_of_their_cells() -> None:
    layout = make_layout(chain(20, 5))
    assert [cell for cell, _ in layout.of("y0")] == [0, 1, 2, 19]
    assert set(layout.dots) == {"y0", "d0"}
    assert "$y_{1}$\n(5)" in [text.get_text() for text in draw(chain(20, 5)).axes[0].texts], "counted, though whole"
    assert "$y_{0}$\n(20)" in [text.get_text() for text in draw(chain(20, 5)).axes[0].texts]


def test_populations_of_one_circuit_are_abbreviated_alike() -> None:
    layout = make_layout(chain(10, 8, 6, 4))
    assert [len(layout.of(name)) for name in ("y0", "y1", "y2", "y3")] == [4, 4, 4, 4]
    assert set(layout.dots) == {"y0", "y1", "y2", "d0", "d1", "d2"}
    assert not make_layout(chain(8, 6)).dots


def test_large_circuits_have_one_node_a_population() -> None:
    graph = chain(*[20] * 9)
    layout = make_layout(graph)
    assert layout.whole
    assert len(layout.cells) == 18
    panel = draw(graph, ["mirror"]).axes[0]
    assert {name: len(lines.get_segments()) for name, lines in arrows(panel).items()} == dict.fromkeys(
        (name for *_, name in graph.edges(keys=True)), 1
    )


def test_the_input_is_at_the_bottom_and_feedback_at_the_right() -> None:
    layout = make_layout(chain(4, 3, 2))
    highest = [max(y for _, (_, y) in layout.of(name)) for name in ("y0", "y1", "y2")]
    lowest = [min(y for _, (_, y) in layout.of(name)) for name in ("y0", "y1", "y2")]
    assert highest[0] < lowest[1] < highest[1] < lowest[2]
    assert max(x for _, (x, _) in layout.of("y0")) < min(x for _, (x, _) in layout.of("d0"))


@pytest.mark.parametrize(
    "sizes", [(3, 2), (4, 5, 3, 2), (20, 10, 5), (1, 1), (8, 8), (8, 8, 3, 8), (10, 8, 6, 4), (20,) * 9]
)
def test_no_text_overlaps_another(sizes: tuple[int, ...]) -> None:
    assert not overlaps(draw(chain(*sizes)))


def test_cells_carrying_both_signals_are_drawn_too(tmp_path: Path) -> None:
    graph = nx.MultiDiGraph()
    set_modes(graph, {"engaged": {**ENGAGED, "compare": {"y1": "y1 - target"}}, "mirror": MIRROR})
    for layer, size in enumerate((3, 2)):
        graph.add_node(f"y{layer}", path="forward", layer=layer, shape=str(size), size=size, cell="cell")
    graph.add_edge("y0", "y1", key="W1", role="synapse", connector="all_to_all", permutation="")
    graph.add_edge("y1", "y0", key="B1", role="synapse", connector="all_to_all", permutation="")
    figure = draw(graph)
    assert not overlaps(figure)
    forward, feedback = (np.array(arrows(figure.axes[0])[name].get_segments()) for name in ("W1", "B1"))
    assert np.abs(forward[0].mean(axis=0) - feedback[0].mean(axis=0)).max() > 0.1, "side by side"
    assert save(figure, tmp_path / "same.png").exists()


def test_skips_and_recurrence_are_drawn(tmp_path: Path) -> None:
    graph = chain(3, 3, 2)
    graph.add_edge("y0", "y2", key="S", role="synapse", connector="all_to_all", permutation="")
    graph.add_edge("y1", "y1", key="R", role="synapse", connector="one_to_one", permutation="")
    panel = draw(graph, ["mirror"]).axes[0]
    assert all(len(segment) > 2 for name in "SR" for segment in arrows(panel)[name].get_segments()), "bent"


def test_modes_that_are_alike_share_a_panel_where_there_are_many() -> None:
    graph = chain(*[3] * 9)
    more = {f"mirror_y{k}": {**MIRROR, "noise": frozenset({f"y{k}"}), "learn": {f"B{k + 1}": "m"}} for k in range(8)}
    set_modes(graph, {"engaged": ENGAGED, **more})
    titles = [panel.texts[-1].get_text() for panel in draw(graph).axes]
    assert [title.partition("$   ")[2] for title in titles] == [
        "engaged (awake)",
        "mirror_y0 (asleep), one of 8 alike, biases blocked",
    ]
    assert len(draw(graph, list(more)).axes) == 8, "modes that are asked for have their panels"
    set_modes(graph, {"engaged": ENGAGED, **more, "mirror_y3": {**more["mirror_y3"], "bias": "on"}})
    assert len(draw(graph).axes) == 3, "a mode that differs has a panel of its own"


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("sizes", [(3, 2), (20, 20, 20, 20), (10, 8, 6, 4), (20,) * 9])
def test_panels_fit_a_page(sizes: tuple[int, ...], count: int) -> None:
    graph = chain(*sizes)
    set_modes(graph, {f"mirror_{k}": MIRROR for k in range(count)})
    figure = draw(graph)
    short_in, long_in = sorted(figure.get_size_inches())
    assert short_in <= style.A4_IN[0]
    assert long_in <= style.A4_IN[1] + 1e-9
    assert len(figure.axes) in (1, count), "as they are all alike, one is enough where a page has no room"


def test_panels_are_as_large_as_a_page_allows() -> None:
    assert arrangement(2, 8.0, 6.0, 2.8) == (2, pytest.approx(0.52)), "side by side"
    columns, unit_in = arrangement(4, 11.0, 16.0, 2.8)
    assert columns == 2
    assert 0.3 < unit_in < 0.4


@pytest.mark.parametrize("transport", ["exact", "sign"])
def test_transported_weights_are_marked(transport: str) -> None:
    graph = chain(3, 2)
    graph.edges["d1", "d0", "B1"].update(mirrors="W1", transport=transport)
    figure = draw(graph)
    label = {"exact": "$B_{1}$ = $W_{1}$ᵀ", "sign": "sgn $B_{1}$\n= sgn $W_{1}$ᵀ"}[transport]
    assert all(label in [text.get_text() for text in panel.texts] for panel in figure.axes)
    assert "transported: not local" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert not overlaps(figure)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_circuit_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = (save(draw(chain(3, 2)), tmp_path / f"{k}{suffix}").read_bytes() for k in range(2))
    assert first == second


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RequestError, match=r"mode 'miror': no such mode in this circuit. Did you mean 'mirror'\?"):
        draw(chain(3, 2), ["miror"])
    with pytest.raises(RequestError, match="nothing to draw"):
        draw(nx.MultiDiGraph())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_no_two_cells_are_in_one_place(sizes: list[int]) -> None:
    layout = make_layout(chain(*sizes))
    centres = np.array([*layout.cells.values(), *layout.dots.values()])
    distances = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    assert distances[~np.eye(len(centres), dtype=bool)].min() > 2 * layout.radius
