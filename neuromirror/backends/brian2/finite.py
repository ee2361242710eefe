"""Looks at the state of every cell where a window begins, and says which variable was the first that is not finite.

A membrane that is no number never fires, and a current that is infinite fires its cell at every step: a run with either
would end as if it were well. Weights are looked at by the recorder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.own_cells import OwnCells
from neuromirror.plan import FloatArray, Plan

LOST = ".lost"
"""Key of the monitor of what is not finite; no projection can have this name."""
MODEL = "lost : 1\n"
"""0 while all of a cell is finite; then the tick at which something was first found not to be, and which variable."""

_SHARED_BY_ALL = {
    "v": "the membrane",
    "synaptic": "the synaptic current",
    "cancel": "the mean synaptic current",
    "noise_current": "the noise",
    "drive": "the input",
    "signal": "the signal",
    "beta": "the baseline",
    "b": "the bias",
}
_OF_GATED_CIRCUITS = {"error_trace": "the error", "error_beta": "the error's baseline", "gate_trace": "the gate"}


@dataclass(frozen=True)
class Finite:
    """What is looked at in the cells of a plan.

    Attributes
    ----------
    layout : Layout
    plan : Plan
    gated : bool
        Whether cells have traces of gates and errors.
    """

    layout: Layout
    plan: Plan
    gated: bool

    @cached_property
    def _looked_at(self) -> list[tuple[str, str, str]]:
        """Each variable, its unit in Brian2's code, and what it is; those of a user's own first."""
        names = _SHARED_BY_ALL | (_OF_GATED_CIRCUITS if self.gated else {})
        return [*self._own(), *((name, "", f"{words} ({name})") for name, words in names.items())]

    def _own(self) -> Iterator[tuple[str, str, str]]:
        for kind in OwnCells(self.plan).kinds:
            for name, unit in kind.state_variables():
                yield kind.prefix + name, f"*{unit}", f"the variable {name}"

    def window(self) -> str:
        """Return the code that looks, where a window begins and all else of it is done."""
        broken, lines = "0", list[str]()
        for number, (name, unit, _) in reversed(list(enumerate(self._looked_at, start=1))):
            lines.append(f"finite_{number} = int(abs({name}) < inf{unit})")
            broken = f"(finite_{number}*{broken} + (1 - finite_{number})*{number})"
        tick, kinds = f"floor(t/({self.layout.grid.tick_s!r}*second) + 0.5)", len(self._looked_at) + 1
        lines.append(f"broken = {broken}")
        lines.append(f"lost = lost + int(lost == 0)*int(broken > 0)*({tick}*{kinds} + broken)")
        return "\n".join(lines) + "\n"

    def first_lost(self, lost: FloatArray) -> str | None:
        """Say what was first found not to be finite, where and when; None if all is.

        Parameters
        ----------
        lost : float array (cells,)
            See `MODEL`.
        """
        found = np.flatnonzero(lost)
        if not len(found):
            return None
        cell = int(found[np.argmin(lost[found])])
        tick, number = divmod(int(lost[cell]), len(self._looked_at) + 1)
        for name in self.plan.sizes:
            here = self.layout.cells(name)
            if here.start <= cell < here.stop and not self.layout.shared(name):
                what = self._looked_at[number - 1][2]
                since_s = tick * self.layout.grid.tick_s
                return f"{what} of cell {cell - here.start} of {name} is no longer finite at {since_s:g} s"
        raise AssertionError("every cell is of a population")
