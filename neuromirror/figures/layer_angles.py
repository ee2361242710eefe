"""Angles of B to Wᵀ and of δ to that of backprop, layer by layer over epochs (Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuromirror.errors import RequestError
from neuromirror.figures import style
from neuromirror.figures.error_curves import draw_curve
from neuromirror.figures.panels import CAPTION_IN, LABELS_IN, TOP_IN, caption, wrapped
from neuromirror.measure.curves import Curve, Panel, Series
from neuromirror.measure.paper import DELTA_BOUNDS_DEG, MATRIX_BOUNDS_DEG

LAYERS = "viridis"
"""Colours of layers, from the input (dark) to the output (light)."""
AXES_IN = 2.1
LEAST_SHOWN_DEG = 30.0
"""The axes reach so far at least, so that the paper's bounds are on them."""


def layer_angles(panels: Sequence[Panel]) -> Figure:
    """Draw a row for each series: on the left the angle of every B to its Wᵀ, on the right of every δ to backprop's.

    Parameters
    ----------
    panels : sequence of Panel
        See `neuromirror.measure.grouping.panels`. Runs that are not complete are drawn as far as they go.

    Returns
    -------
    Figure
        Lines are means over seeds, with bands from the smallest to the largest; layers from the input (dark) to the
        output (light). Grey lines are what the paper says of weight mirrors in ResNet-50.

    Raises
    ------
    RequestError
        If no run has measured angles.
    """
    rows = [
        (panel, series)
        for panel in panels
        for series in panel.series
        if any(len(one) for one in (*series.matrix_angles.values(), *series.delta_angles.values()))
    ]
    if not rows:
        raise RequestError("no angles by epoch were recorded. Give runs of 'neuromirror train' that have come so far.")
    row_in = TOP_IN + AXES_IN + LABELS_IN
    height_in = row_in * len(rows) + CAPTION_IN
    with style.context():
        figure = Figure(figsize=(style.WIDTH_IN, height_in))
        for number, (panel, series) in enumerate(rows):
            bottom = (height_in - row_in * number - TOP_IN - AXES_IN) / height_in
            axes = [figure.add_axes((left, bottom, 0.355, AXES_IN / height_in)) for left in (0.08, 0.53)]
            _draw_row(axes, panel, series)
            _colour_bar(figure.add_axes((0.915, bottom, 0.012, AXES_IN / height_in)))
        caption(figure, _said([series for _, series in rows]))
    return figure


def _draw_row(axes: Sequence[Axes], panel: Panel, series: Series) -> None:
    state = f" ({series.state})" if series.state else ""
    axes[0].set_title(wrapped(f"{panel.title}: {series.label}{state}", 1), loc="left")
    what = (
        (series.matrix_angles, MATRIX_BOUNDS_DEG, "angle of B to Wᵀ (°)"),
        (series.delta_angles, DELTA_BOUNDS_DEG, "angle of δ to backprop's (°)"),
    )
    for ax, (curves, bounds, label) in zip(axes, what, strict=True):
        _draw_layers(ax, curves, runs=len(series.runs))
        for bound in bounds:
            ax.axhline(bound, color=style.GREY, linewidth=0.8, linestyle=style.DASHES[2], zorder=-1)
        top = shown_deg(curves)
        epochs = max((run.total or run.reached for run in series.runs), default=1.0) or 1.0
        ax.set(xlabel="epoch", ylabel=label, xlim=(0, epochs * 1.02), ylim=(-0.015 * top, top))
        if not curves:
            ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=style.GREY)


def _draw_layers(ax: Axes, curves: Mapping[str, Curve], *, runs: int) -> None:
    colours = matplotlib.colormaps[LAYERS](np.linspace(0, 0.95, max(len(curves), 1)))
    for (name, one), colour in zip(curves.items(), colours, strict=False):
        dots = {"marker": "."} if len(one) < 3 else {}
        draw_curve(ax, one, runs=runs, band=0.12, label=name, color=colour, linewidth=0.9, **dots)


def shown_deg(curves: Mapping[str, Curve]) -> float:
    """Return how far the axis of angles reaches: as far as they do after the first epoch, whose start is random."""
    later = [float(one.high[one.epochs > 0].max(initial=0.0)) for one in curves.values()]
    all_of_them = [float(one.high.max(initial=0.0)) for one in curves.values()]
    return max(LEAST_SHOWN_DEG, 1.05 * (max(later, default=0.0) or max(all_of_them, default=0.0)))


def _colour_bar(ax: Axes) -> None:
    ax.imshow(np.linspace(0, 0.95, 64)[:, None], aspect="auto", origin="lower", cmap=LAYERS, vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[0, 63], yticklabels=["input", "output"])
    ax.yaxis.tick_right()


def _said(series: Sequence[Series]) -> str:
    """Return what has to be known to read the figure."""
    matrix, delta = (" and ".join(f"{bound:g}°" for bound in some) for some in (MATRIX_BOUNDS_DEG, DELTA_BOUNDS_DEG))
    said = [f"Dotted: the paper's bounds with weight mirrors in ResNet-50, {matrix} on the left, {delta} on the right."]
    if any(len(one.runs) > 1 for one in series):
        said.append("Lines are means over seeds, bands go from the smallest to the largest.")
    curves = [(one, curves) for one in series for curves in (one.matrix_angles, one.delta_angles)]
    if any((each.runs < len(one.runs)).any() for one, some in curves for each in some.values()):
        said.append("Dashed: some seeds have not come so far.")
    if any(float(each.high.max()) > shown_deg(some) for _, some in curves for each in some.values()):
        said.append("Angles before the first epoch may lie above.")
    return " ".join(said)
