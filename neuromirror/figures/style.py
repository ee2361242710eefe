"""Colours, sizes and how figures are saved, the same for all figures.

Figures are `matplotlib.figure.Figure` objects, without pyplot: nothing opens a window, and making one changes no state
that other code would see. The same record gives the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path

from neuromirror.errors import RequestError
from neuromirror.record import PhaseEntry

BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
"""The palette of Okabe and Ito (2008), which survives the common kinds of colour blindness, and a grey."""

CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
"""Markers and dashes tell series apart where colours cannot."""

PATH_COLOURS = {"forward": BLUE, "feedback": VERMILLION}
MARGIN_IN = 0.05
"""What stays free at the sides of a figure that is wider than others, in inches."""
WIDTH_IN = 7.0
"""Width of a figure in inches: two columns of a journal."""

A4_IN = (8.27, 11.69)
"""A page, portrait: what no drawing exceeds that can be read on it."""
SMALLEST_PT = 5.5
"""Size of the smallest text."""

_BANDS = {"mirror": "#DCEBF7", "engaged": "#FFF7D6"}
_OTHER_BANDS = ("#E3F2EA", "#F6E4EE", "#EFEFEF")
_STATES = {"mirror": "asleep", "engaged": "awake"}

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "mathtext.fontset": "dejavusans",
    "text.usetex": False,
    "axes.titlesize": 9.0,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "path.simplify": True,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
    "savefig.bbox": None,
    "svg.hashsalt": "neuromirror",
    "svg.fonttype": "path",
}


_drawing = threading.RLock()


@contextlib.contextmanager
def context() -> Iterator[None]:
    """Set the style for as long as the context lasts, whatever the user's own settings.

    matplotlib's settings are those of the whole process, so that one thread draws at a time.
    """
    with _drawing, matplotlib.rc_context(cast(Any, _RC)):
        yield


def widened(figure: Figure) -> Figure:
    """Return a figure with all of its texts inside: wider by what stands out at either side, its axes as they were."""
    width_in, height_in = figure.get_size_inches()
    taken = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    left_in, right_in = max(0.0, MARGIN_IN - taken.x0), max(0.0, taken.x1 + MARGIN_IN - width_in)
    if left_in or right_in:
        wider_in = width_in + left_in + right_in
        figure.set_size_inches(wider_in, height_in)
        for ax in figure.axes:
            x0, y0, width, height = ax.get_position().bounds
            ax.set_position((((x0 * width_in) + left_in) / wider_in, y0, width * width_in / wider_in, height))
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure; the suffix (``.png``, ``.svg``, ``.pdf``) chooses the format.

    Parameters
    ----------
    figure : Figure
    path : Path
        Folders are made where they are missing.

    Returns
    -------
    Path
        The same path.
    """
    dates: dict[str, dict[str, None]] = {
        ".png": {"Software": None},
        ".svg": {"Date": None},
        ".pdf": {"CreationDate": None},
    }
    if path.suffix.lower() not in dates:
        raise RequestError(f"{path}: a figure is written as {', '.join(dates)}. Give the file one of these suffixes.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with context():
            figure.savefig(path, metadata=dates[path.suffix.lower()])
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror or error}).") from error
    return path


def mode_label(mode: str) -> str:
    """Return a mode's name with what it is called in prose, such as ``"mirror (asleep)"``."""
    for known, state in _STATES.items():
        if mode == known or mode.startswith(f"{known}_"):
            return f"{mode} ({state})"
    return mode


def mode_colours(phases: Sequence[PhaseEntry]) -> dict[str, str]:
    """Return the background colour of each mode, in order of first appearance."""
    names = list(dict.fromkeys(phase["mode"] for phase in phases))
    others = [name for name in names if name not in _BANDS]
    return {
        name: _BANDS[name] if name in _BANDS else _OTHER_BANDS[others.index(name) % len(_OTHER_BANDS)] for name in names
    }


def stretches(phases: Sequence[PhaseEntry]) -> list[tuple[str, float, float]]:
    """Return (mode, start, stop) in s, phases of the same mode that follow one another taken together."""
    merged: list[tuple[str, float, float]] = []
    for phase in phases:
        if merged and merged[-1][0] == phase["mode"]:
            merged[-1] = (phase["mode"], merged[-1][1], phase["stop_s"])
        else:
            merged.append((phase["mode"], phase["start_s"], phase["stop_s"]))
    return merged


def draw_modes(ax: Axes, phases: Sequence[PhaseEntry], start_s: float, stop_s: float, *, labels: bool = True) -> None:
    """Shade the modes behind an axis of time, and name them above it.

    Parameters
    ----------
    ax : Axes
        x is time in s.
    phases : sequence of PhaseEntry
    start_s, stop_s : float
        Range of the axis; set here.
    labels : bool
        Whether to name the modes: above their stretches, or in a legend if one of them has no stretch with room.
    """
    ax.set_xlim(start_s, stop_s)
    colours = mode_colours(phases)
    shown = [(mode, max(a, start_s), min(b, stop_s)) for mode, a, b in stretches(phases) if b > start_s and a < stop_s]
    for mode, left, right in shown:
        ax.axvspan(left, right, facecolor=colours[mode], edgecolor="none", zorder=-3)
        if left > start_s:
            ax.axvline(left, color=GREY, linewidth=0.7, zorder=-2)
    if labels:
        _name_modes(ax, shown, colours, ax.get_position().width * WIDTH_IN / (stop_s - start_s))


def _name_modes(ax: Axes, shown: list[tuple[str, float, float]], colours: dict[str, str], in_per_s: float) -> None:
    roomy = [(mode, a, b) for mode, a, b in shown if (b - a) * in_per_s > 0.063 * len(mode_label(mode))]
    modes = dict.fromkeys(mode for mode, _, _ in shown)
    if {mode for mode, _, _ in roomy} == set(modes):
        for mode, a, b in roomy:
            where = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "bottom"}
            ax.text((a + b) / 2, 1.02, mode_label(mode), fontsize=8, **where)
    else:
        patches = [Patch(facecolor=colours[mode], edgecolor=GREY, label=mode_label(mode)) for mode in modes]
        legend = Legend(
            ax, patches, [mode_label(mode) for mode in modes], loc="lower left", bbox_to_anchor=(0, 1), ncols=4
        )
        ax.add_artist(legend)


@functools.lru_cache(maxsize=4096)
def text_width_in(text: str, size_pt: float, *, bold: bool = False) -> float:
    """Return the width of a line of text, which may have math in it, in inches."""
    weight, family = "bold" if bold else "normal", _RC["font.family"]
    font = FontProperties(family=family, size=size_pt, weight=weight, math_fontfamily=_RC["mathtext.fontset"])
    math = "$" in text.replace(r"\$", "")
    return text_to_path.get_text_width_height_descent(text, font, ismath=math)[0] / 72


def math_name(name: str) -> str:
    """Return a population's or a projection's name as math text, such as ``"$y_{0}$"`` for ``"y0"``."""
    match = re.fullmatch(r"([A-Za-z])_?(\d+)", name)
    return f"${match[1]}_{{{match[2]}}}$" if match else name.replace("$", r"\$")
