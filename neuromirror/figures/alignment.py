"""How B approaches Wᵀ: angle and gain over time, and the arrays themselves."""

from __future__ import annotations

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

ROWS_SHOWN = 9
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
        Above, angles in degrees; below, gains (the c that best fits B = c·Wᵀ). The modes are shaded.

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
        figure = Figure(figsize=(style.WIDTH_IN, 3.8))
        angles, gains = figure.add_axes((0.09, 0.53, 0.79, 0.38)), figure.add_axes((0.09, 0.11, 0.79, 0.34))
        style.draw_modes(angles, run.manifest.phases, 0.0, stop_s)
        style.draw_modes(gains, run.manifest.phases, 0.0, stop_s, labels=False)
        for index, name in enumerate(names):
            _draw_series(angles, t_s, run.angles_deg(name), index, style.math_name(name))
            _draw_series(gains, t_s, run.gain(name), index, style.math_name(name))
        largest = max(90.0, *(float(np.nan_to_num(run.angles_deg(name)).max()) for name in names))
        angles.set(ylim=(0, largest * 1.03), yticks=np.arange(0, largest + 1, 30), ylabel="angle of B to Wᵀ (°)")
        angles.tick_params(labelbottom=False)
        gains.set(xlabel="simulated time (s)", ylabel="gain c of B ≈ c·Wᵀ")
        gains.axhline(0, color=style.GREY, linewidth=0.6)
        angles.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), ncols=1 + (len(names) - 1) // 14)
    return figure


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
    if not pairs or not run.weight_steps():
        raise RequestError(f"{run.path}: no weights of a feedback projection and the one it mirrors were recorded.")
    moments = _moments(run) if step is None else {step: ""}
    if len(pairs) * len(moments) > ROWS_SHOWN:
        moments = dict(list(moments.items())[-1:])
    with style.context():
        height = ROW_IN * len(pairs) * len(moments) + 0.25
        figure = Figure(figsize=(style.WIDTH_IN, height))
        for index, (pair, at) in enumerate((pair, at) for pair in pairs for at in moments):
            top = 1 - ROW_IN * index / height
            bottom, tall = top - 1.98 / height, 1.45 / height
            axes = [figure.add_axes((left, bottom, 0.225, tall)) for left in (0.065, 0.315, 0.755)]
            bar = figure.add_axes((0.555, bottom, 0.012, tall))
            _draw_pair(axes, bar, pair, run.weights(pair[0], at), run.weights(pair[1], at))
            figure.text(0.065, top - 0.24 / height, moments[at], va="bottom", fontsize=9, weight="bold")
        left_out = len(run.mirrored) - len(pairs)
        if left_out:
            figure.text(0.99, 0.01, f"{left_out} more pairs not shown", ha="right", fontsize=7, color=style.GREY)
    return figure


def _moments(run: Run) -> dict[int, str]:
    """Return the steps whose weights are worth a look, and their titles: the start, and the last end of each mode."""
    mode_of = {row["examples"]: (row["mode"], row["t_s"]) for row in run.metrics() if "examples" in row}
    steps = [step for step in run.weight_steps() if step in mode_of]
    if not steps:
        return {run.weight_steps()[-1]: ""}
    latest = {mode_of[step][0]: step for step in steps[1:]}
    names = {step: f"after {mode} mode, at {mode_of[step][1]:g} s" for mode, step in latest.items()}
    return {steps[0]: "at the start", **dict(sorted(names.items()))}


def _draw_pair(axes: list[Axes], bar: Axes, names: tuple[str, str], B: np.ndarray, W: np.ndarray) -> None:
    feedback, forward = map(style.math_name, names)
    transposed = W.T if W.ndim == 2 else W
    transposed, shown = transposed.reshape(len(transposed), -1), B.reshape(len(B), -1)
    limit = max(float(np.abs(transposed).max()), float(np.abs(shown).max()), 1e-12)
    titles = (f"{forward[:-1]}^{{\\top}}$" if forward.endswith("$") else f"{forward}ᵀ", feedback)
    for ax, array, title in zip(axes[:2], (transposed, shown), titles, strict=True):
        ax.imshow(array, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        ax.set(title=title, xlabel="cell above")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        ax.spines[["top", "right"]].set_visible(True)
        if array.size <= VALUES_SHOWN:
            _print_values(ax, array, limit)
    axes[0].set_ylabel("cell below")
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
