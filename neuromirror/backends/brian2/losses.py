"""How far a spiking circuit is from its targets, read off its spikes after the run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.brian2.grid import Grid
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.tables import stimulus_tables
from neuromirror.plan import FloatArray, Plan


def window_losses(
    layout: Layout, plan: Plan, steps: NDArray[np.int64], cells: NDArray[np.int32]
) -> list[FloatArray | None]:
    """Return half the squared output error of every window.

    The output of a cell is its number of spikes in the window, or in the half in which it carries y, as a rate in units
    of ``code.unit``, so the loss holds the variance of counts as well. In push-pull errors are those of units, the
    difference of two cells.

    Parameters
    ----------
    layout : Layout
    plan : Plan
        Of the same circuit, with the seed of the run.
    steps, cells : int array (spikes,)
        Time step and cell, among all cells, of every spike.

    Returns
    -------
    list of float array (examples,) or None
        One for each phase; None where its mode compares nothing.
    """
    grid = layout.grid
    expected = stimulus_tables(Grid(plan, layout.dt_s), layout)["expected"]
    found: list[FloatArray | None] = []
    row = 1
    for index, phase in enumerate(plan.phases):
        mode = plan.modes[phase.mode]
        parts = grid.parts(phase.mode)
        rows = phase.examples * len(parts)
        targets = expected[row : row + rows][len(parts) - 1 :: len(parts)]
        row += rows if mode.inputs or mode.compare else 0
        if not mode.compare:
            found.append(None)
            continue
        width = grid.window_steps[phase.mode]
        window, step = np.divmod(steps - grid.first_tick[index] * grid.tick_steps, width)
        inside = (window >= 0) & (window < phase.examples) & (step < parts[0].share * width)
        counts = np.zeros((phase.examples, layout.size))
        np.add.at(counts, (window[inside], cells[inside]), 1.0)
        rates = counts / (parts[0].share * phase.window_s * plan.unit_Hz)
        errors = [
            plan.coding.values(rates[:, layout.cells(y)] - targets[:, layout.cells(d)]) for d, y in mode.compare.items()
        ]
        found.append(sum((0.5 * (error**2).sum(axis=1) for error in errors), np.zeros(phase.examples)))
    return found


def mean_loss(losses: FloatArray | None, start: int, stop: int) -> dict[str, float]:
    """Return the mean over windows from `start` to before `stop`, for the metrics; nothing where there are none."""
    return {} if losses is None or stop <= start else {"loss": float(losses[start:stop].mean())}
