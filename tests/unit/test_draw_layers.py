"""Drawings of large circuits: everything is on one page, once, and can be read."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text

import neuromirror as nm
from neuromirror.circuit.graph import modes_of
from neuromirror.figures import draw, save, style
from neuromirror.figures.draw_modes import kinds
from neuromirror.figures.draw_routes import make_routes
from neuromirror.figures.draw_rows import Row, cut_columns, make_rows, with_stubs

NAMES = ["resnet20", "resnet18", "resnet50"]
DEEP = """
extends = {{ circuit = "chain4", without = ["modes.engaged.compare"] }}
name = "deep"
[layers]
sizes = {sizes}
[modes.engaged]
compare = {{ d{top} = "y{top} - target" }}
"""


def deep(layers: int) -> nx.MultiDiGraph:
    """Make the graph of a long chain."""
    from neuromirror.circuit.load import from_text

    return from_text(DEEP.format(sizes=[100] * layers, top=layers - 1)).graph


def knotted() -> nx.MultiDiGraph:
    """Make a long chain whose top projects to every layer, with skips, a loop, a twin and a distant teacher."""
    graph = deep(30)
    for layer in range(2, 29):
        ends = (f"d{layer}", f"d{layer - 1}", f"B{layer}")
        data = dict(graph.edges[ends])
        graph.remove_edge(*ends)
        graph.add_edge("d29", f"d{layer - 1}", key=f"B{layer}", **data)
    for source, target, name in (
        ("y3", "y7", "far"),
        ("y8", "y28", "farther"),
        ("y5", "y5", "loop"),
        ("y0", "y1", "V"),
    ):
        graph.add_edge(source, target, key=name, **graph.edges["y0", "y1", "W1"])
    graph.add_edge("d29", "y5", key="teach", **graph.edges["d5", "y5", "e5"])
    return graph


def graphs() -> dict[str, nx.MultiDiGraph]:
    """Make one graph of each sort."""
    made = {name: nm.load(name).graph for name in NAMES}
    made["transported"] = nm.load("resnet18").method("bp").graph
    made["shared"] = nm.load("resnet20", changes=["feedback.distinct=false"]).graph
    return {**made, "deep": deep(40), "knotted": knotted()}


GRAPHS = graphs()
FIGURES = {name: draw(graph) for name, graph in GRAPHS.items()}
each = pytest.mark.parametrize("name", GRAPHS)


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.axes[0].texts if text.get_text()]


@each
def test_every_population_and_weighted_projection_is_named_once(name: str) -> None:
    graph = GRAPHS[name]
    words = [text.get_text() for text in texts(FIGURES[name])]
    counts = Counter(word for said in words for word in {said, *said.split()[1:2]})
    wanted = [*graph, *(key for *_, key, data in graph.edges(keys=True, data=True) if data["weights"])]
    assert {one: counts[style.math_name(one)] for one in wanted} == dict.fromkeys(wanted, 1)


@each
def test_nothing_that_is_written_overlaps(name: str) -> None:
    figure = FIGURES[name]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = [*texts(figure), *figure.legends[0].get_texts()]
    extents = {text: text.get_window_extent(canvas.get_renderer()) for text in found}
    crossed = [
        (a.get_text(), b.get_text()) for a, b in itertools.combinations(found, 2) if extents[a].overlaps(extents[b])
    ]
    assert not crossed
    outside = [text.get_text() for text, e in extents.items() if e.x0 < 0 or e.y0 < 0 or e.x1 > figure.bbox.x1]
    assert not outside
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    boxes = [box for box in boxes if box.height > 10]
    across = [
        text.get_text()
        for text, e in extents.items()
        for box in boxes
        if box.overlaps(e) and not (box.x0 <= e.x0 and e.x1 <= box.x1 and box.y0 <= e.y0 and e.y1 <= box.y1)
    ]
    assert not across, "names of arrows are outside of boxes, and those of populations inside"


@each
def test_it_is_one_page(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]
    assert len(figure.axes) == 1
    short_in, long_in = sorted(figure.get_size_inches())
    assert short_in <= style.A4_IN[0]
    assert long_in <= style.A4_IN[1]
    assert min(text.get_fontsize() for text in texts(figure)) >= style.SMALLEST_PT
    assert save(figure, tmp_path / "page.png").stat().st_size < 1e6


@pytest.mark.slow
def test_a_circuit_that_no_page_holds_is_drawn_all_the_same() -> None:
    figure = draw(deep(200))
    assert max(figure.get_size_inches()) > style.A4_IN[1]
    assert min(text.get_fontsize() for text in texts(figure)) >= style.SMALLEST_PT


@each
def test_every_projection_is_drawn(name: str) -> None:
    graph, axes = GRAPHS[name], FIGURES[name].axes[0]
    drawn = {one.get_gid() for one in (*axes.collections, *axes.patches)}
    shared = {key for *_, key, data in graph.edges(keys=True, data=True) if not data["weights"] and data["mirrors"]}
    missing = set(key for *_, key in graph.edges(keys=True)) - drawn - shared
    said = " ".join(text.get_text() for text in texts(FIGURES[name]))
    assert {key for key in missing if f"{key} (" not in said} == set()


def test_what_joins_distant_rows_of_both_paths_is_told() -> None:
    said = [text.get_text() for text in texts(FIGURES["knotted"])]
    assert "Not drawn, between rows: teach (d29 → y5)." in said


@each
def test_arrows_of_a_column_run_between_its_rows(name: str) -> None:
    graph = GRAPHS[name]
    columns = with_stubs(graph, cut_columns(graph, make_rows(graph), 3))
    named = Counter()
    for rows, routes in zip(columns, make_routes(graph, columns), strict=True):
        for route in routes:
            named[route.name] += route.named
            low, high = sorted((route.source, route.target))
            if route.track is None:
                assert all(row.aside for row in rows[low + 1 : high]), "straight arrows pass no box"
        spans = [
            (route.path, route.track, min(route.source, route.target), max(route.source, route.target), route.source)
            for route in routes
            if route.track is not None
        ]
        for (p, t, lo, hi, s), (q, u, lo2, hi2, r) in itertools.combinations(spans, 2):
            assert s == r or (p, t) != (q, u) or hi <= lo2 or hi2 <= lo, "a track belongs to one source at a time"
    assert set(named.values()) == {1}


def test_rows_follow_the_layers_and_columns_begin_with_a_block() -> None:
    graph = GRAPHS["resnet50"]
    rows = make_rows(graph)
    assert Row(forward="layer2_0_s", feedback="d_layer2_0_s", aside=True) in rows
    assert [row.forward for row in rows if row.aside] == [f"layer{k}_0_s" for k in range(1, 5)]
    layers = [graph.nodes[row.forward]["layer"] for row in rows]
    assert layers == sorted(layers)
    assert rows[0] == Row(forward="image", feedback=None)
    for count in (2, 3, 4):
        columns = cut_columns(graph, rows, count)
        assert [row for column in columns for row in column] == rows
        assert {column[0].forward.rpartition("_")[2] for column in columns[1:]} <= {"a", "s"}
        assert max(map(len, columns)) - min(map(len, columns)) <= 8


def test_a_letter_is_at_both_ends() -> None:
    graph = GRAPHS["knotted"]
    columns = with_stubs(graph, cut_columns(graph, make_rows(graph), 3))
    stubs = Counter((row.stub, row.forward) for column in columns for row in column if row.stub)
    assert len({letter for letter, _ in stubs}) == len(stubs)
    assert min(stubs.values()) >= 2
    assert stubs["C", "y29"] == 3 or max(stubs.values()) == 3, "the top, which projects to every column"


def test_sums_are_drawn_for_every_shortcut() -> None:
    graph = GRAPHS["resnet50"]
    shortcuts = [data["join"] for *_, data in graph.edges(data=True) if data["join"] and not data["mirrors"]]
    signs = [line for line in FIGURES["resnet50"].axes[0].lines if line.get_marker() == "s"]
    assert len(signs) == len(shortcuts) == 16
    assert {line.get_markerfacecolor() for line in signs} == {style.BLACK}, "after the nonlinearity"


def test_what_is_said_of_resnet50() -> None:
    said = [text.get_text() for text in texts(FIGURES["resnet50"])]
    assert "25,557,032 parameters in the forward path; 54 weighted arrays W, of which 53 have a B; " in said[1]
    assert "49 modes mirror_… (asleep):" in said
    assert "1 noisy layer each; 3–5 of 311 projections transmit; 1–2 B learn (mirror, mirror_linear)." in said
    assert {"256×56×56  ReLU→BN", "2048×7×7  BN", "3×3/2 · 147,456", "max 3×3/2", "2,048,000", "1,000 cells"} <= {*said}


def test_transported_weights_are_marked() -> None:
    said = [text.get_text() for text in texts(FIGURES["transported"])]
    assert said.count("= Wᵀ") == 20
    assert "= Wᵀ" not in [text.get_text() for text in texts(FIGURES["resnet18"])]


def test_forward_and_feedback_differ_without_colour() -> None:
    graph, axes = GRAPHS["resnet20"], FIGURES["resnet20"].axes[0]
    paths = {key: graph.nodes[a]["path"] for a, _, key in graph.edges(keys=True)}
    looks = {(paths[p.get_gid()], str(p.get_linestyle())) for p in axes.patches if isinstance(p, PathPatch)}
    assert len(looks) == 2
    assert len({line for _, line in looks}) == 2


def test_modes_are_grouped_by_what_they_do() -> None:
    graph = GRAPHS["resnet50"]
    modes = modes_of(graph)
    assert [len(names) for names in kinds(graph, modes)] == [1, 49]
    assert [name for names in kinds(graph, modes) for name in names] == list(modes)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_circuit_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = (save(draw(nm.load("resnet20").graph), tmp_path / f"{k}{suffix}").read_bytes() for k in range(2))
    assert first == second
