"""Spikes over time, one row a cell."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from neuromirror.errors import RequestError
from neuromirror.figures import style
from neuromirror.record import PopulationEntry, Run, Spikes

ROWS_SHOWN = 90
"""Rows of the whole raster, about: populations show their first cells only, alike many, where there are more."""
OVERVIEW_BINS = 80


def raster(run: Run, *, start_s: float | None = None, stop_s: float | None = None) -> Figure:
    """Draw the spikes of all populations around the first switch between modes, and all rates above them.

    Parameters
    ----------
    run : Run
        Of a spiking backend.
    start_s, stop_s : float or None
        Range of the raster in s; by default from 1 s before the first switch to 1 s after it, or the first 2 s. Where
        only one of them is given the range begins with the run, or ends with it.

    Returns
    -------
    Figure
        Above, the mean rate in Hz of each population over the whole run; below, one row a cell, the forward path
        upwards from its input first, then the feedback path downwards, as signals flow.

    Raises
    ------
    RequestError
        If nothing spikes in the run, or the range is empty.
    """
    spikes = {name: run.spikes(name) for name in _in_order(run)}
    end_s = _end_s(run, spikes)
    first, last = _window(run, end_s)
    if start_s is not None or stop_s is not None:
        first, last = start_s or 0.0, end_s if stop_s is None else stop_s
    if first >= end_s:
        raise RequestError(f"from {first:g} s on: the run ends at {end_s:g} s. Give an earlier start.")
    if not first < last:
        raise RequestError(f"from {first:g} s to {last:g} s: expected a start before the stop.")
    entries, trains = _groups(run, spikes)
    rows = _rows(entries)
    with style.context():
        height = 2.2 + min(0.14 * max(10, sum(rows.values()) + len(rows)), 3.5 + 0.045 * sum(rows.values()))
        figure = Figure(figsize=(style.WIDTH_IN, height))
        overview = figure.add_axes((0.1, 1 - 1.15 / height, 0.74, 0.8 / height))
        main = figure.add_axes((0.1, 0.45 / height, 0.74, 1 - 2.2 / height))
        _draw_rates(overview, run, spikes, end_s, (first, last))
        _draw_spikes(main, run, entries, trains, rows, (first, last))
        return style.widened(figure)


def _groups(run: Run, spikes: dict[str, Spikes]) -> tuple[dict[str, PopulationEntry], dict[str, Spikes]]:
    """Return the groups of cells that have rows of their own: populations or, in push-pull, their ON and OFF cells."""
    entries, trains = dict[str, PopulationEntry](), dict[str, Spikes]()
    for name, train in spikes.items():
        entry = run.manifest.populations[name]
        if not run.in_pairs:
            entries[name], trains[name] = entry, train
            continue
        size = entry["size"] // 2
        for group, first in (("ON", 0), ("OFF", size)):
            mine = (train.cell >= first) & (train.cell < first + size)
            entries[f"{name} {group}"] = {**entry, "size": size}
            trains[f"{name} {group}"] = Spikes(t_s=train.t_s[mine], cell=train.cell[mine] - first)
    return entries, trains


def _in_order(run: Run) -> list[str]:
    def key(name: str) -> tuple[bool, int, str]:
        entry = run.manifest.populations[name]
        feedback = entry["path"] == "feedback"
        return feedback, -entry["layer"] if feedback else entry["layer"], name

    return sorted(run.manifest.populations, key=key)


def _rows(entries: dict[str, PopulationEntry]) -> dict[str, int]:
    sizes = {name: entry["size"] for name, entry in entries.items()}
    most = max(sizes.values())
    while most > 3 and sum(min(size, most) for size in sizes.values()) > ROWS_SHOWN:
        most = max(3, int(most * 0.9))
    return {name: min(size, most) for name, size in sizes.items()}


def _end_s(run: Run, spikes: dict[str, Spikes]) -> float:
    ends = [phase["stop_s"] for phase in run.manifest.phases[-1:]] if run.manifest.complete else []
    ends = ends or [float(train.t_s[-1]) for train in spikes.values() if len(train)]
    if not ends:
        raise RequestError(f"{run.path}: no spikes were recorded. Run for longer, or give the cells a higher baseline.")
    return max(ends)


def _window(run: Run, end_s: float) -> tuple[float, float]:
    switches = [start for _, start, _ in style.stretches(run.manifest.phases)[1:] if start < end_s]
    middle = switches[0] if switches else 1.0
    return max(0.0, middle - 1.0), min(end_s, middle + 1.0)


def _draw_rates(ax: Axes, run: Run, spikes: dict[str, Spikes], end_s: float, window: tuple[float, float]) -> None:
    edges = np.linspace(0.0, end_s, OVERVIEW_BINS + 1)
    middles, width = (edges[1:] + edges[:-1]) / 2, end_s / OVERVIEW_BINS
    style.draw_modes(ax, run.manifest.phases, 0.0, end_s)
    layers = sorted({entry["layer"] for entry in run.manifest.populations.values()})
    for index, (name, train) in enumerate(spikes.items()):
        entry = run.manifest.populations[name]
        rank = layers.index(entry["layer"])
        ax.plot(
            middles,
            np.histogram(train.t_s, edges)[0] / (width * entry["size"]),
            color=style.PATH_COLOURS[entry["path"]],
            linestyle="-" if entry["path"] == "forward" else style.DASHES[1],
            linewidth=1.0,
            marker=style.MARKERS[rank % len(style.MARKERS)],
            markersize=3.5,
            markerfacecolor="white" if entry["path"] == "feedback" else None,
            markevery=(5 * index % 20, 20),
            label=style.math_name(name),
        )
    for edge in window:
        ax.axvline(edge, color=style.BLACK, linewidth=0.8, linestyle=(0, (1, 1)))
    ax.set_ylim(bottom=0)
    ax.set_ylabel("mean rate (Hz)")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.1), ncols=1 + (len(spikes) - 1) // 7, columnspacing=0.8)


def _draw_spikes(
    ax: Axes,
    run: Run,
    entries: dict[str, PopulationEntry],
    spikes: dict[str, Spikes],
    rows: dict[str, int],
    window: tuple[float, float],
) -> None:
    style.draw_modes(ax, run.manifest.phases, *window)
    top, ticks, names = 0.0, [], []
    previous = None
    for name, train in spikes.items():
        entry = entries[name]
        if previous is not None:
            ax.axhline(top + 0.5, color=style.GREY, linewidth=0.4 if previous == entry["path"] else 1.0, zorder=-1)
            top += 1.0
        previous = entry["path"]
        shown = (train.t_s >= window[0]) & (train.t_s <= window[1]) & (train.cell < rows[name])
        t_s, row = train.t_s[shown], train.cell[shown] + top
        segments = np.stack([np.stack([t_s, row + 0.1], axis=1), np.stack([t_s, row + 0.9], axis=1)], axis=1)
        ax.add_collection(LineCollection(list(segments), colors=style.PATH_COLOURS[entry["path"]], linewidths=0.8))
        ticks.append(top + rows[name] / 2)
        left_out = entry["size"] - rows[name]
        population, _, group = name.partition(" ")
        names.append(
            f"{style.math_name(population)} {group}".strip() + (f"  {rows[name]}/{entry['size']}" if left_out else "")
        )
        top += rows[name]
    ax.set_ylim(top + 0.3, -0.3)
    ax.set_yticks(ticks, names, fontsize=9)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("time (s)")
    _label_paths(ax, entries, rows)


def _label_paths(ax: Axes, entries: dict[str, PopulationEntry], rows: dict[str, int]) -> None:
    for path, colour in style.PATH_COLOURS.items():
        spans, top = [], 0
        for name, count in rows.items():
            if entries[name]["path"] == path:
                spans += [top, top + count]
            top += count + 1
        if spans:
            ax.plot(
                [1.012, 1.012], [spans[0], spans[-1]], color=colour, transform=ax.get_yaxis_transform(), clip_on=False
            )
            middle = (spans[0] + spans[-1]) / 2
            ax.text(
                1.025, middle, f"{path} path", color=colour, transform=ax.get_yaxis_transform(),
                rotation=270, va="center", ha="left",
            )  # fmt: skip
