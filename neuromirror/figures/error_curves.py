"""Error against epochs by method, with the paper's values beside it (Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neuromirror.errors import RequestError
from neuromirror.figures import style
from neuromirror.figures.panels import caption, grid, wrapped
from neuromirror.measure.curves import Curve, Panel, Series, in_order, method_name
from neuromirror.measure.paper import SOURCE, Reported, reported

COLOURS: Mapping[str, str] = {
    "bp": style.BLACK,
    "wm": style.BLUE,
    "kp": style.GREEN,
    "ss": style.ORANGE,
    "fa": style.VERMILLION,
}
"""Of methods, the same in every figure; others take what is left."""
OTHERS = (style.PURPLE, style.SKY_BLUE, style.GREY)

NO_BREAK = chr(0xA0)
AXES_IN, LINE_IN = 2.3, 0.165
"""Height of the axes, and of a line of the legend below them."""


def error_curves(panels: Sequence[Panel], paper: str = "auto") -> Figure:
    """Draw error against epochs, a panel for each circuit and set of images, a line for each series of it.

    Parameters
    ----------
    panels : sequence of Panel
        See `neuromirror.measure.grouping.panels`. Runs that are not complete are drawn as far as they go.
    paper : str
        Whose values stand at the right edge; see `neuromirror.measure.paper.reported`.

    Returns
    -------
    Figure
        A line is the mean over seeds, and a band goes from the smallest to the largest. Where some seeds have not come
        as far as others, the line is dashed.

    Raises
    ------
    RequestError
        If no run has been evaluated yet.
    """
    drawn = [panel for panel in panels if any(len(series.error) for series in panel.series)]
    if not drawn:
        raise RequestError("no run has been evaluated yet. Wait for the first row of its metrics.")
    found = [reported(panel.circuit, panel.classes, paper) for panel in drawn]
    legends = [_legend(panel, beside, len(drawn)) for panel, beside in zip(drawn, found, strict=True)]
    lines = [sum(label.count("\n") + 1 for label in labels) for labels in legends]
    with style.context():
        figure, axes = grid(len(drawn), axes_in=AXES_IN, below_in=[LINE_IN * count for count in lines])
        for ax, panel, beside, labels in zip(axes, drawn, found, legends, strict=True):
            _draw_panel(ax, panel, beside, labels)
            ax.set_title(wrapped(panel.title, len(drawn)), loc="left")
        caption(figure, _said(drawn, any(found)))
    return figure


def _legend(panel: Panel, beside: Mapping[str, Reported], panels: int) -> list[str]:
    """Return what the legend says of each series, and of the paper's values if there are some."""
    said = [series.label + (f" ({series.state})" if series.state else "") for series in panel.series]
    if beside:
        values = (f"{method_name(method)} {beside[method].said}" for method in in_order(list(beside)))
        said.append(f"the paper, in %: {', '.join(value.replace(' ', NO_BREAK) for value in values)}")
    return [wrapped(one, panels) for one in said]


def _draw_panel(ax: Axes, panel: Panel, beside: Mapping[str, Reported], labels: Sequence[str]) -> None:
    epochs, colours = panel.epochs or 1.0, _colours(panel, beside)
    handles = []
    for index, series in enumerate(panel.series):
        marker, colour = style.MARKERS[index % len(style.MARKERS)], colours[series.method]
        _draw_series(ax, series, colour, marker)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=3.2))
    for place, method in enumerate(in_order(list(beside))):
        x, one = epochs * (1.05 + 0.045 * place), beside[method]
        marks = {"marker": "_", "markersize": 5, "markeredgewidth": 1.4, "elinewidth": 1.0}
        ax.errorbar(x, one.percent, yerr=one.uncertainty, color=colours[method], label=f"paper, {method}", **marks)
    if beside:
        handles.append(Line2D([], [], linestyle="none", marker="_", color=style.GREY))
        ax.axvline(epochs * 1.015, color=style.GREY, linewidth=0.5)
    ax.set(xlabel="epoch", ylabel=f"top-1 {panel.part} error (%)", ylim=(0, 100))
    ax.set_xlim(0, epochs * (1.02 + 0.045 * (len(beside) + 0.5) if beside else 1.02))
    # No epochs are named where the paper's values stand.
    ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= epochs])
    below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.19), "handlelength": 2.6, "labelspacing": 0.25}
    ax.legend(handles, labels, **below)


def _draw_series(ax: Axes, series: Series, colour: str, marker: str) -> None:
    one = series.error
    look = {"color": colour, "marker": marker, "markersize": 3.2, "markevery": max(1, len(one) // 12)}
    draw_curve(ax, one, runs=len(series.runs), band=0.22, label=series.label, **look)
    for run in series.unfinished:
        if len(alone := Series(label="", runs=(run,)).error):
            ends = {"marker": "o", "markersize": 6.5, "fillstyle": "none", "linestyle": "none"}
            ax.plot(alone.epochs[-1:], alone.mean[-1:], color=colour, label=f"{series.label}, so far", **ends)


def draw_curve(ax: Axes, one: Curve, *, runs: int, band: float, label: str, **look: object) -> None:
    """Draw a curve: its mean, dashed from where on not all of so many runs are there, and its range as a band."""
    all_there = one.runs == runs
    # Where the dashes begin: at the last point that all runs have, so that the line is not broken there.
    last = int(np.flatnonzero(all_there)[-1]) if all_there.any() else -1
    ax.plot(one.epochs[: last + 1], one.mean[: last + 1], label=label, **look)  # pyright: ignore[reportArgumentType]
    if last + 1 < len(one):
        rest = slice(max(last, 0), None)
        dashes = {**look, "linestyle": style.DASHES[1]}
        ax.plot(one.epochs[rest], one.mean[rest], label=f"{label}, some", **dashes)  # pyright: ignore[reportArgumentType]
    if (one.runs > 1).any():
        where = one.runs > 1
        colour = look.get("color")
        ax.fill_between(one.epochs[where], one.low[where], one.high[where], color=colour, alpha=band, linewidth=0)  # pyright: ignore[reportArgumentType]


def _colours(panel: Panel, beside: Mapping[str, Reported]) -> dict[str, str]:
    methods = dict.fromkeys([*(series.method for series in panel.series), *beside])
    others = [method for method in methods if method not in COLOURS]
    return {**COLOURS, **{method: OTHERS[place % len(OTHERS)] for place, method in enumerate(others)}}


def _said(panels: Sequence[Panel], with_paper: bool) -> str:
    """Return what has to be known to read the figure."""
    series = [one for panel in panels for one in panel.series]
    said = []
    if any(len(one.runs) > 1 for one in series):
        said.append("Lines are means over seeds, bands go from the smallest to the largest.")
    if any((one.error.runs < len(one.runs)).any() for one in series):
        said.append("Dashed: some seeds have not come so far.")
    if any(one.unfinished for one in series):
        said.append("Open circles: how far runs are that are not complete.")
    if with_paper:
        said.append(f"At the right edge: final test errors of the paper with standard uncertainties ({SOURCE}).")
    return " ".join(said)
