"""Panels in a grid, and the caption below them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuromirror.figures import style

TOP_IN, LABELS_IN, CAPTION_IN = 0.3, 0.5, 0.42
"""Room for a title above axes, for labels below them, and for the caption of a figure."""


def grid(count: int, *, axes_in: float, below_in: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return axes side by side in twos, one alone taking the whole width.

    Parameters
    ----------
    count : int
        Of panels, one at least.
    axes_in : float
        Height of the axes in inches.
    below_in : sequence of float
        Room below the labels of each, in inches.
    """
    columns = min(2, count)
    rows = [max(below_in[first : first + columns]) for first in range(0, count, columns)]
    heights = [TOP_IN + axes_in + LABELS_IN + below for below in rows]
    height_in = sum(heights) + CAPTION_IN
    figure = Figure(figsize=(style.WIDTH_IN, height_in))
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        bottom = height_in - sum(heights[:row]) - TOP_IN - axes_in
        left, width = (0.09 + 0.5 * column, 0.39) if columns == 2 else (0.09, 0.88)
        axes.append(figure.add_axes((left, bottom / height_in, width, axes_in / height_in)))
    return figure, axes


def wrapped(text: str, axes_per_row: int) -> str:
    """Return a text in lines as wide as axes of which there are so many side by side."""
    return "\n".join(textwrap.wrap(text, 44 if axes_per_row > 1 else 100, break_on_hyphens=False))


def caption(figure: Figure, text: str) -> None:
    """Write a caption at the bottom of a figure, in the room that `grid` leaves for it."""
    lines = "\n".join(textwrap.wrap(text, 130))
    if lines:
        figure.text(0.02, 0.06 / figure.get_figheight(), lines, fontsize=7, va="bottom", color="#404040")
