"""Learning from images: errors by method (Figure 2), and agreement of B with W layer by layer (Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neuromirror.errors import RequestError
from neuromirror.figures import style
from neuromirror.record import Run

PARTS = (
    ("test_error_percent", "test"),
    ("validation_error_percent", "validation"),
    ("train_error_percent", "training"),
)
"""Errors that the metrics of training runs may have, the first that there is being drawn."""

LAYERS = "viridis"
"""Colours of layers, from the input (dark) to the output (light)."""


def is_training(run: Run) -> bool:
    """Return whether a run learned from images."""
    return any(row.get("train_error_percent") is not None for row in run.metrics())


def errors(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw error against epochs, a line for each name: the mean over its runs, and their range.

    Parameters
    ----------
    runs : mapping of str to sequence of Run
        By what the legend says, such as a method; several runs of one name are seeds of it. Runs that are not complete
        are drawn as far as they go.

    Returns
    -------
    Figure

    Raises
    ------
    RequestError
        If no run has errors in its metrics.
    """
    drawn = {name: [_errors(run) for run in some] for name, some in runs.items()}
    drawn = {name: [one for one in some if len(one[0])] for name, some in drawn.items()}
    if not any(drawn.values()):
        raise RequestError("no run has errors in its metrics. Give runs of 'neuromirror train'.")
    with style.context():
        figure = Figure(figsize=(style.WIDTH_IN, 3.0))
        ax = figure.add_axes((0.09, 0.15, 0.88, 0.78))
        for index, (name, some) in enumerate(drawn.items()):
            if some:
                _draw_band(ax, some, index, name)
        ax.set(
            xlabel="epoch", ylabel=f"{_part([run for some in runs.values() for run in some])} error (%)", ylim=(0, None)
        )
        ax.legend(loc="upper right")
    return figure


def layers(run: Run) -> Figure:
    """Draw the angle of every B to its Wᵀ, and of every layer's δ to that of backprop, over the epochs of a run.

    Parameters
    ----------
    run : Run
        Of ``neuromirror train``.

    Returns
    -------
    Figure
        Two panels, as in the paper's Figure 3; layers from the input (dark) to the output (light).

    Raises
    ------
    RequestError
        If the run measured no angles.
    """
    rows = [row for row in run.metrics() if row.get("epoch") is not None]
    panels = [("angles_deg", "angle of B to Wᵀ (°)"), ("delta_angles_deg", "angle of δ to backprop's (°)")]
    panels = [(key, label) for key, label in panels if any(row.get(key) for row in rows)]
    if not panels:
        raise RequestError(f"{run.path}: no angles by epoch were recorded. Give a run of 'neuromirror train'.")
    rank = _ranks(run)
    with style.context():
        figure = Figure(figsize=(style.WIDTH_IN, 2.8))
        for place, (key, label) in enumerate(panels):
            ax = figure.add_axes((0.09 + 0.47 * place, 0.16, 0.34, 0.76))
            names = sorted({name for row in rows for name in row.get(key, {})}, key=lambda n: (rank.get(n, 0), n))
            colours = matplotlib.colormaps[LAYERS](np.linspace(0, 0.95, max(len(names), 1)))
            for name, colour in zip(names, colours, strict=False):
                found = [(row["epoch"], row.get(key, {}).get(name)) for row in rows]
                ax.plot(
                    [epoch for epoch, angle in found if angle is not None],
                    [angle for _, angle in found if angle is not None],
                    color=colour,
                    linewidth=0.9,
                )
            ax.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        _colour_bar(figure)
    return figure


def _ranks(run: Run) -> dict[str, int]:
    """Return the layer of every population, and of every B that of the layer that it leads to."""
    layers = {name: entry["layer"] for name, entry in run.manifest.populations.items()}
    return {**layers, **{n: layers.get(p["target"], 0) for n, p in run.manifest.projections.items()}}


def _colour_bar(figure: Figure) -> None:
    ax = figure.add_axes((0.92, 0.16, 0.012, 0.76))
    ax.imshow(np.linspace(0, 0.95, 64)[:, None], aspect="auto", origin="lower", cmap=LAYERS, vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[0, 63], yticklabels=["input", "output"])
    ax.yaxis.tick_right()


def _errors(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return epochs and errors of a run."""
    key = _key([run])
    found = [(row["epoch"], row[key]) for row in run.metrics() if key and row.get(key) is not None]
    return np.array([epoch for epoch, _ in found]), np.array([error for _, error in found])


def _key(runs: Sequence[Run]) -> str | None:
    """Return the part whose errors are drawn: that which most rows have."""
    rows = [row for run in runs for row in run.metrics()]
    counts = {key: sum(row.get(key) is not None for row in rows) for key, _ in PARTS}
    return max(counts, key=lambda key: counts[key]) if any(counts.values()) else None


def _part(runs: Sequence[Run]) -> str:
    return dict(PARTS).get(_key(runs) or "", "")


def _draw_band(ax: Axes, some: Sequence[tuple[np.ndarray, np.ndarray]], index: int, name: str) -> None:
    length = min(len(epochs) for epochs, _ in some)
    epochs = some[0][0][:length]
    values = np.stack([errors[:length] for _, errors in some])
    colour = style.CYCLE[index % len(style.CYCLE)]
    label = name if len(some) == 1 else f"{name} ({len(some)} runs)"
    ax.plot(
        epochs,
        values.mean(axis=0),
        color=colour,
        marker=style.MARKERS[index % len(style.MARKERS)],
        markersize=3,
        label=label,
    )
    if len(some) > 1:
        ax.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)


def learning(run: Run) -> Figure:
    """Draw the errors of one run; see `errors`."""
    return cast(Figure, errors({run.manifest.circuit: [run]}))
