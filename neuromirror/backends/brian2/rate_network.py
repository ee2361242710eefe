"""Builds the Brian2 network of one mode of a circuit of rates, and steps it."""

from __future__ import annotations

import gc
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.backends.brian2 import rate_equations
from neuromirror.backends.brian2.drives import CELL_NAMES, SYNAPSE_NAMES, run_drive
from neuromirror.backends.brian2.normalise import Normaliser
from neuromirror.backends.brian2.rate_equations import Arrival, Equations
from neuromirror.backends.brian2.runtime import stop_if_interrupted
from neuromirror.modes import Learner, ModePlan
from neuromirror.plan import Plan

SETTLE, SEE = "settle", "see"
"""Slots of the schedule: cells come by their signals, and learning cells by what else rules see; once an example."""


def add_up(learner: Learner) -> str:
    """Return the slot in which the drive of a learner is added up, once an example."""
    return f"add up {learner.name}"


def update(learner: Learner) -> str:
    """Return the slot in which a learner is updated, once a batch."""
    return f"update {learner.name}"


class RateNetwork:
    """The Brian2 objects of one mode.

    Parameters
    ----------
    plan : Plan
    mode : ModePlan

    Attributes
    ----------
    cells : dict of population to NeuronGroup
    weights : dict of array to Synapses
        Those that transmit or learn in the mode; the synapses of each in the order of the array's entries,
        without those that a mask leaves out.
    """

    def __init__(self, plan: Plan, mode: ModePlan) -> None:
        self.plan, self.mode = plan, mode
        self.cells: dict[str, Any] = {}
        self.weights: dict[str, Any] = {}
        self._axons: list[Any] = []
        settling = {name: rate_equations.settling(plan, mode, name) for name in mode.order}
        seeing = {learner.target: rate_equations.seeing(mode, learner.target) for learner in mode.learners}
        for name, equations in settling.items():
            self._build_cells(name, equations, seeing.get(name, Equations()))
        for position, (name, equations) in enumerate(settling.items()):
            for arrival in equations.arrivals:
                self._build_arrival(name, arrival, SETTLE, 2 * position)
            self.cells[name].run_regularly(equations.code, when=SETTLE, order=2 * position + 1)
        for name, equations in seeing.items():
            for arrival in equations.arrivals:
                self._build_arrival(name, arrival, SEE, 0)
        for learner in mode.learners:
            self._build_rule(learner)
        self._slots = self._prepared()

    @property
    def _learning(self) -> set[str]:
        return {learner.name for learner in self.mode.learners}

    @property
    def _normalisers(self) -> dict[str, tuple[str, Normaliser]]:
        """What scales each array, and the population in which its squares are added up."""
        found = {}
        for one in self.mode.learners:
            if one.normalisation is not None and one.source is not None:
                end = one.source if one.normalisation.per == "source" else one.target
                found[one.name] = end, Normaliser(tag=one.name, normalisation=one.normalisation)
        return found

    def _build_cells(self, name: str, settling: Equations, seeing: Equations) -> None:
        arriving = "".join(f"{arrival.variable} : 1\n" for arrival in (*settling.arrivals, *seeing.arrivals))
        learner = rate_equations.learner("b") if f"{name}.bias" in self._learning else ""
        learner += "".join(normaliser.model() for end, normaliser in self._normalisers.values() if end == name)
        self.cells[name] = b2.NeuronGroup(
            self.plan.sizes[name],
            rate_equations.CELLS + arriving + seeing.model + learner,
            namespace={"baseline": self.plan.beta, "default_bias": self.plan.default_bias(name)},
            name=f"cells_{name}",
        )

    def _build_arrival(self, target: str, arrival: Arrival, slot: str, order: int) -> None:
        model = f"y = signal_pre : 1\n{arrival.variable}_post = {arrival.code} : 1 (summed)\n"
        if arrival.weights is not None:
            synapses = self._build_weights(arrival.weights, arrival.source, target, model)
        else:
            sources = np.arange(self.plan.sizes[target]) if arrival.permutation is None else arrival.permutation
            name = f"{arrival.variable}_{target}"
            synapses = self._connect(arrival.source, target, model, (sources, np.arange(len(sources))), name)
            self._axons.append(synapses)
        for updater in synapses.summed_updaters.values():
            updater.when, updater.order = slot, order

    def _build_weights(self, name: str, source: str, target: str, model: str = "") -> Any:
        targets, sources = np.indices((self.plan.sizes[target], self.plan.sizes[source])).reshape(2, -1)
        targets, sources = targets[self.plan.synapses(name)], sources[self.plan.synapses(name)]
        model += "w : 1\n" + (rate_equations.learner("w") if name in self._learning else "")
        self.weights[name] = self._connect(source, target, model, (sources, targets), f"weights_{name}")
        return self.weights[name]

    def _connect(self, source: str, target: str, model: str, cells: tuple[Any, Any], name: str) -> Any:
        namespace = {"baseline": self.plan.beta}
        synapses = b2.Synapses(self.cells[source], self.cells[target], model, namespace=namespace, name=name)
        synapses.connect(i=cells[0], j=cells[1])
        return synapses

    def _build_rule(self, learner: Learner) -> None:
        if learner.source is not None and learner.name not in self.weights:
            self._build_weights(learner.name, learner.source, learner.target)
        variable, names = ("b", CELL_NAMES) if learner.source is None else ("w", SYNAPSE_NAMES)
        drive, dale = learner.rule.drive.brian2(names), self.plan.dale and learner.source is not None
        holder = self.holder(learner.name)
        run_drive(holder, rate_equations.add_up(variable, drive), when=add_up(learner))
        holder.run_regularly(rate_equations.update(variable, dale=dale), when=update(learner))
        if learner.name in self._normalisers:
            end, normaliser = self._normalisers[learner.name]
            every = slice(0, self.plan.sizes[end])
            self._axons += normaliser.build(holder, self.cells[end], every, 1, when=update(learner))

    def _prepared(self) -> dict[str, list[Any]]:
        """Have Brian2 sort and prepare all objects; return them by slot.

        `Network.run` generates all code anew whenever it is called, which takes a hundred times as long as a batch. So
        it runs once, for no time at all.
        """
        slots = [SETTLE, SEE, *(slot(learner) for learner in self.mode.learners for slot in (add_up, update))]
        network = b2.Network(*self.cells.values(), *self.weights.values(), *self._axons)
        network.schedule = [*network.schedule, *slots]
        # Each run begins with a collection of garbage, which among all that is imported takes longer than the rest.
        frozen_by_others = gc.get_freeze_count() > 0  # which could not be told apart afterwards
        if not frozen_by_others:
            gc.freeze()
        try:
            network.run(0 * b2.second, namespace={})
        finally:
            if not frozen_by_others:
                gc.unfreeze()
        stop_if_interrupted()
        return {slot: [part for part in network.sorted_objects if part.when == slot] for slot in slots}

    def step(self, slot: str) -> None:
        """Run the objects of a slot, in their order."""
        # What is not finite shows in the weights, where the run ends for it.
        with np.errstate(all="ignore"):
            for part in self._slots[slot]:
                part.run()

    def holder(self, name: str) -> Any:
        """Return the Brian2 object that holds an array: the synapses of weights, or the cells of biases."""
        return self.weights[name] if name in self.weights else self.cells[name.removesuffix(".bias")]
