"""Which signals of a rate run are not finite, and which forward populations say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from neuromirror.modes import ModePlan
from neuromirror.plan import FloatArray, Plan


class Signals:
    """What is looked at in the signals of every batch, from one snapshot to the next.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._driven = {name: driven(plan, mode) for name, mode in plan.modes.items()}
        self._lost: str | None = None
        self._examples, self._silent = 0, dict[str, float]()

    def count(
        self, mode: ModePlan, means: Mapping[str, FloatArray], silent: Callable[[str], float], examples: int
    ) -> None:
        """Look at a batch.

        Parameters
        ----------
        mode : ModePlan
        means : mapping of str to float array (cells,)
            The mean signals of populations over the batch.
        silent : callable
            Gives the share of a population's signals that are not above zero.
        examples : int
            Of the batch.
        """
        if self._lost is None:
            lost = sorted(name for name, mean in means.items() if not np.isfinite(mean).all())
            self._lost = f"the signal of {lost[0]} is no longer finite in {mode.name} mode" if lost else None
        self._examples += examples
        for name in self._driven[mode.name]:
            self._silent[name] = self._silent.get(name, 0.0) + examples * silent(name)

    def take(self) -> tuple[str | None, dict[str, float]]:
        """Return what is not finite, if anything is, and of each population the silent share; and begin anew."""
        shares = {name: silent / self._examples for name, silent in self._silent.items()}
        self._examples, self._silent = 0, {}
        return self._lost, shares


def driven(plan: Plan, mode: ModePlan) -> list[str]:
    """Return the forward populations that input, noise, or weights from such populations reach in a mode, sorted."""
    found = set[str]()
    for name in mode.order:
        reached = name in mode.inputs or name in mode.noise
        reached = reached or any(axons.source in found for axons in mode.synapses.get(name, ()))
        if reached and plan.description.populations[name].path == "forward":
            found.add(name)
    return sorted(found)
