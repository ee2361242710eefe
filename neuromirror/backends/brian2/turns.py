"""Spiking cells that carry both signals and take turns (8.1): y in the first half of a window, δ in the second.

At the end of the first half each cell remembers its count, as ``memory``; W and the stimulus are switched off, B is
switched on, and the output error is made of what the output cells remember and the target. What a cell remembers opens
or closes the gate of its own feedback, and is the y that rules see at the end of the window, beside the δ of the second
half. In modes in which cells do not take turns ``memory`` is the signal of the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuromirror.backends.brian2.drives import CELL_NAMES, SYNAPSE_NAMES
from neuromirror.backends.brian2.layout import Layout
from neuromirror.modes import Learner
from neuromirror.plan import FloatArray

MODEL = """
memory : 1
error = signal - error_beta : 1
"""
DISTINCT_MODEL = "error = error_trace - error_beta : 1\n"

REMEMBER = "memory = memory + remembers(t)*(signal - memory)"

WINDOW = """
gain = 1 - gated*int(memory < gate_silent)
cancel = cancel - compares(mode_now*second, i)*memory
synaptic = synaptic + switches(t)*(cancels(mode_now*second, i)*unit_current - synaptic)
"""
"""What changes besides where a half begins.

Currents of the half before would leak into this one. They are shunted, and those of this half begin at their mean,
since the mean is taken away from the beginning.
"""


def turn_tables(layout: Layout) -> dict[str, FloatArray]:
    """Return when cells remember and when they change signals, (rows,), and which of them compare, (parts, cells)."""
    grid = layout.grid
    if not grid.turning:
        return {}
    remembers, switches = np.zeros(grid.rows), np.zeros(grid.rows)
    for windows in grid.windows:
        if windows.mode in grid.turning:
            remembers[windows.halves] = 1.0
            switches[windows.halves] = switches[windows.ends] = 1.0
        else:
            remembers[windows.ends] = 1.0
    compared = [layout.plan.modes[part.mode].compare if part.carries == "delta" else {} for part in layout.parts]
    return {
        "remembers": remembers,
        "switches": switches,
        "compares": layout.per_cell([dict.fromkeys(names, 1.0) for names in compared]),
    }


@dataclass(frozen=True)
class Turns:
    """What cells that take turns need; in circuits without any, what others have instead."""

    layout: Layout

    @property
    def taken(self) -> bool:
        """Whether cells take turns in some scheduled mode."""
        return bool(self.layout.grid.turning)

    @property
    def forward_signal(self) -> str:
        """The variable that holds the signal of forward cells where a window ends."""
        return "memory" if self.taken else "signal"

    @property
    def error_signal(self) -> str:
        """The variable that holds the δ that reaches forward cells where a window ends."""
        return "signal" if self.taken else "error_trace"

    def model(self) -> str:
        """Return further variables of every cell."""
        return MODEL if self.taken else DISTINCT_MODEL

    def window(self) -> str:
        """Return what changes where a window or a half begins, after all else."""
        return WINDOW if self.taken else ""

    def opened(self) -> str:
        """Return what synapses do besides whose mean input is not that of a table, where a half begins."""
        return "synaptic_post += switches(t)*on_now*w*nominal_post*unit_current_post\n" if self.taken else ""

    def names(self, learner: Learner) -> Mapping[str, str]:
        """Return what a learner calls the variables of its drive."""
        names = CELL_NAMES if learner.source is None else SYNAPSE_NAMES
        if not self.taken:
            shared = self.layout.shared(learner.target)
            return {**names, "cross": names["post"]} if shared else names
        if learner.source is None:
            return {**names, "post": "memory"}
        if not self.layout.shared(learner.target):
            return {**names, "pre": "memory_pre", "post": "memory_post"}
        return {**names, "beta_pre": "error_beta_pre", "beta_post": "error_beta_post", "cross": "memory_post"}
