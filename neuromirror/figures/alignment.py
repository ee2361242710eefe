"""How B approaches Wᵀ: angle and gain over time, and the arrays themselves."""

from __future__ import annotations

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from neuromirror.errors import RequestError
from neuromirror.figures import style
from neuromirror.measure import angle_deg, gain
from neuromirror.record import Run

ROW_IN = 2.55
"""Height of one row of the drawing of weights, in inches."""

ROWS_SHOWN = 15
"""Rows of that drawing before it shows the end of the run only."""

PAIRS_SHOWN = 12
"""Pairs of B and W that `weights` draws; the first ones, where there are more."""
VALUES_SHOWN = 40
"""Entries up to which an array's values are printed."""
POINTS_SHOWN = 4000


def alignment(run: Run) -> Figure:
    """Draw the angle and the gain between each B and its Wᵀ over simulated time.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Figure
        From above, angles in degrees, gains (the c that best fits B = c·Wᵀ) and, where it was recorded, the loss. The
        modes are shaded.

    Raises
    ------
    RequestError
        If the run has recorded no angles.
    """
    names = angle_names(run)
    if not names:
        raise RequestError(
            f"{run.path}: no angles were recorded. They are where a feedback projection has 'mirrors' in the circuit."
        )
    t_s = run.times_s()
    stop_s = max(float(t_s[-1]), *(phase["stop_s"] for phase in run.manifest.phases if run.manifest.complete), 1e-9)
    with style.context():
        panels = _panels(3 if has_loss(run) else 2)
        figure, (angles, gains) = panels[0].figure, panels[:2]
        for ax in panels:
            style.draw_modes(ax, run.manifest.phases, 0.0, stop_s, labels=ax is angles)
            ax.tick_params(labelbottom=ax is panels[-1])
        for index, name in enumerate(names):
            _draw_series(angles, t_s, run.angles_deg(name), index, style.math_name(name))
            _draw_series(gains, t_s, run.gain(name), index, style.math_name(name))
        largest = max(90.0, *(float(np.nan_to_num(run.angles_deg(name)).max()) for name in names))
        angles.set(ylim=(0, largest * 1.03), yticks=np.arange(0, largest + 1, 30), ylabel="angle of B to Wᵀ (°)")
        panels[-1].set(xlabel="simulated time (s)")
        gains.set(ylabel="gain c of B ≈ c·Wᵀ")
        gains.axhline(0, color=style.GREY, linewidth=0.6)
        angles.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), ncols=1 + (len(names) - 1) // 14)
        if len(panels) > 2:
            _draw_loss(panels[2], run, t_s)
    return cast(Figure, figure)


def _panels(count: int) -> list[Axes]:
    """Return axes one above the other, from the top."""
    height_in = 0.4 + 0.35 + 1.52 * count
    figure = Figure(figsize=(style.WIDTH_IN, height_in))
    tops = [1 - (0.35 + 1.52 * k) / height_in for k in range(count)]
    return [figure.add_axes((0.09, top - 1.36 / height_in, 0.79, 1.36 / height_in)) for top in tops]


def has_loss(run: Run) -> bool:
    """Return whether the run recorded a loss."""
    return any(row.get("loss") is not None for row in run.metrics())


def _draw_loss(ax: Axes, run: Run, t_s: np.ndarray) -> None:
    """Draw the loss where there is one: a line is broken where the mode forms none."""
    loss = np.array([np.nan if row.get("loss") is None else row["loss"] for row in run.metrics()])
    ax.plot(t_s, loss, color=style.BLACK, linewidth=1.0, marker=".", markersize=3)
    ax.set(ylim=(0, 1.05 * float(np.nanmax(loss)) or 1.0), ylabel="loss")


def angle_names(run: Run) -> list[str]:
    """Return the names of the feedback projections whose angle was recorded, in order of first appearance."""
    return list(dict.fromkeys(name for row in run.metrics() for name in row.get("angles_deg", {})))


def _draw_series(ax: Axes, t_s: np.ndarray, values: np.ndarray, index: int, label: str) -> None:
    every = max(1, len(t_s) // 12)
    ax.plot(
        t_s,
        values,
        color=style.CYCLE[index % len(style.CYCLE)],
        linestyle=style.DASHES[index // len(style.CYCLE) % len(style.DASHES)],
        marker=style.MARKERS[index % len(style.MARKERS)],
        markersize=3.5,
        markevery=(index * every // 4 % every, every),
        label=label,
    )


def weights(run: Run, step: int | None = None) -> Figure:
    """Draw each B beside its Wᵀ, and entry against entry.

    Parameters
    ----------
    run : Run
    step : int, optional
        Number of examples done, as in `Run.weights`. By default the start of the run and the last end of each mode are
        shown or, where that makes too many rows, the end of the run.

    Returns
    -------
    Figure
        One row for each pair and moment: Wᵀ and B on one colour scale, and B against Wᵀ with the best line through the
        origin.

    Raises
    ------
    RequestError
        If no weights of a pair were recorded.
    """
    pairs = list(run.mirrored.items())[:PAIRS_SHOWN]
    note = ""
    if not pairs or not run.weight_steps():
        raise RequestError(f"{run.path}: no weights of a feedback projection and the one it mirrors were recorded.")
    moments = _moments(run) if step is None else {step: ""}
    if len(pairs) * len(moments) > ROWS_SHOWN:
        note = f"the end of the run only, of {len(moments)} moments; "
        moments = dict(list(moments.items())[-1:])
    with style.context():
        height = ROW_IN * len(pairs) * len(moments) + 0.25
        figure = Figure(figsize=(style.WIDTH_IN, height))
        for index, (pair, at) in enumerate((pair, at) for pair in pairs for at in moments):
            top = 1 - ROW_IN * index / height
            bottom, tall = top - 1.98 / height, 1.45 / height
            axes = [figure.add_axes((left, bottom, 0.225, tall)) for left in (0.065, 0.315, 0.755)]
            bar = figure.add_axes((0.555, bottom, 0.012, tall))
            what = "unit" if run.in_pairs else "cell"
            _draw_pair(axes, bar, pair, what, *(run.unit_weights(name, at) for name in pair))
            figure.text(0.065, top - 0.24 / height, moments[at], va="bottom", fontsize=9, weight="bold")
        left_out = len(run.mirrored) - len(pairs)
        note += f"{left_out} more pairs not shown" if left_out else ""
        if note:
            figure.text(0.99, 0.01, note.removesuffix("; "), ha="right", fontsize=7, color=style.GREY)
    return figure


def _moments(run: Run) -> dict[int, str]:
    """Return the steps whose weights are worth a look, and their titles: the start, and the last end of each mode."""
    steps = run.weight_steps()
    ends = {step: row for step, row in run.mode_ends().items() if step in steps}
    if not ends:
        return {steps[-1]: ""}
    names = {step: f"after {row['mode']} mode, at {row['t_s']:g} s" for step, row in ends.items()}
    return {steps[0]: "at the start", **names}


def _draw_pair(axes: list[Axes], bar: Axes, names: tuple[str, str], what: str, B: np.ndarray, W: np.ndarray) -> None:
    feedback, forward = map(style.math_name, names)
    transposed = W.T if W.ndim == 2 else W
    transposed, shown = transposed.reshape(len(transposed), -1), B.reshape(len(B), -1)
    limit = max(float(np.abs(transposed).max()), float(np.abs(shown).max()), 1e-12)
    titles = (f"{forward[:-1]}^{{\\top}}$" if forward.endswith("$") else f"{forward}ᵀ", feedback)
    for ax, array, title in zip(axes[:2], (transposed, shown), titles, strict=True):
        ax.imshow(array, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        ax.set(title=title, xlabel=f"{what} above")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.spines[["top", "right"]].set_visible(True)
        if array.size <= VALUES_SHOWN:
            _print_values(ax, array, limit)
    axes[0].set_ylabel(f"{what} below")
    axes[1].tick_params(labelleft=False)
    bar.figure.colorbar(axes[1].images[0], cax=bar, ticks=MaxNLocator(5))
    bar.tick_params(labelsize=7)
    _draw_scatter(axes[2], transposed, shown, gain(B, W))
    title = f"{angle_deg(B, W):.1f}°, gain {gain(B, W):.2f}".replace("-", "−")
    axes[2].set(title=title, xlabel=f"entry of {titles[0]}")
    axes[2].set_ylabel(f"entry of {titles[1]}", labelpad=1)


def _print_values(ax: Axes, array: np.ndarray, limit: float) -> None:
    for (row, column), value in np.ndenumerate(array):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(column, row, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=7, color=colour)


def _draw_scatter(ax: Axes, transposed: np.ndarray, shown: np.ndarray, c: float) -> None:
    every = max(1, shown.size // POINTS_SHOWN)
    limit = 1.1 * max(float(np.abs(transposed).max()), 1e-12)
    size, opacity = (14, 0.9) if shown.size <= 200 else (4, 0.4)
    ax.scatter(
        transposed.ravel()[::every], shown.ravel()[::every], s=size, alpha=opacity, color=style.BLUE, linewidths=0
    )
    ax.plot([-limit, limit], [-limit * c, limit * c], color=style.VERMILLION, linestyle=style.DASHES[1], linewidth=1.2)
    ax.axhline(0, color=style.GREY, linewidth=0.5, zorder=-1)
    ax.axvline(0, color=style.GREY, linewidth=0.5, zorder=-1)
    ax.set_xlim(-limit, limit)
