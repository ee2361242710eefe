"""Normalisation of an array of synapses as code that all of Brian2's targets run.

The squares of the weights are added up in the cells at their targets, or at their sources; of a whole array, what the
targets have is added up in one of them and sent back to all. Each step is a regular operation in an order of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.dynamics.homeostasis import NORMALISING, Normalisation

STEPS = 5
"""Places that it takes in the order of operations."""


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """What one array needs to be scaled by one rule.

    Attributes
    ----------
    tag : str
        What its variables are called after: the array's number or name, and the rule's.
    normalisation : Normalisation
    due : str
        An expression that is 1 when the weights are to be scaled, and otherwise 0: then they keep their values exactly.
    """

    tag: str
    normalisation: Normalisation
    due: str = "1"

    @property
    def _end(self) -> str:
        return "pre" if self.normalisation.per == "source" else "post"

    def model(self) -> str:
        """Return the variables that cells need at the end where squares are added up."""
        names = ["squares"] if self.normalisation.per != "array" else ["squares", "pooled", "shared"]
        return "".join(f"{name}_{self.tag} : 1\n" for name in names)

    def build(self, synapses: Any, cells: Any, targets: slice, order: int, **when: Any) -> list[Any]:
        """Give the groups their regular operations, and return the objects that a network needs besides.

        Parameters
        ----------
        synapses : Synapses
            The array.
        cells : NeuronGroup
            With the variables of `model`: the group of the targets, or of the sources of ``per = "source"``.
        targets : slice
            Which of its cells are the array's targets.
        order : int
            The first of `STEPS` places.
        **when
            As ``run_regularly`` takes it.
        """
        tag, whole = self.tag, self.normalisation.per == "array"
        clear = [f"{line.split()[0]} = 0" for line in self.model().splitlines()]
        cells.run_regularly("\n".join(clear), order=order, name=f"clear_squares_{tag}", **when)
        add = f"squares_{tag}_{self._end} += w*w"
        synapses.run_regularly(add, order=order + 1, name=f"add_squares_{tag}", **when)
        more = []
        if whole:
            more.append(pool := b2.Synapses(cells, cells, name=f"pool_{tag}"))
            here = np.arange(targets.start, targets.stop)
            pool.connect(i=here, j=np.full_like(here, targets.start))
            add = f"pooled_{tag}_post += squares_{tag}_pre"
            pool.run_regularly(add, order=order + 2, name=f"pool_squares_{tag}", **when)
            add = f"shared_{tag}_pre += pooled_{tag}_post"
            pool.run_regularly(add, order=order + 3, name=f"share_squares_{tag}", **when)
        scale = (
            f"squares = {'shared' if whole else 'squares'}_{tag}_{self._end}\n"
            f"norm = {self.normalisation.norm!r}\n"
            f"due = {self.due}\n"
            # both terms are exact where due is 0 or 1, so that weights that are not scaled keep every bit
            f"w = w*(due*({NORMALISING}) + (1 - due))"
        )
        synapses.run_regularly(scale, order=order + 4, name=f"normalise_{tag}", **when)
        return more
