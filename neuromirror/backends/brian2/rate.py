"""Runs a plan as rates in Brian2: the rate lowering of the circuits that the other backends run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from neuromirror.backends.base import Options, Recorder
from neuromirror.backends.brian2.exclusive import simulating
from neuromirror.backends.brian2.rate_network import SEE, SETTLE, RateNetwork, add_up, update
from neuromirror.backends.brian2.runtime import errors_of_brian2, quieten, use_runtime
from neuromirror.backends.rate import run_rates
from neuromirror.errors import RequestError
from neuromirror.modes import Learner, ModePlan
from neuromirror.plan import FloatArray, Plan, transport
from neuromirror.rules.updater import Step

TARGET = "numpy"


class Brian2RateEngine:
    """Examples one after another, each a time step of Brian2.

    All examples of a batch settle first, and their signals are kept; a rule then sees them again, one by one, with the
    baselines that the batch has moved.
    """

    def __init__(self, plan: Plan) -> None:
        quieten()
        use_runtime(TARGET)
        self.plan = plan
        self._arrays, self._magnitudes = plan.initial_arrays(), plan.magnitudes()
        self._networks: dict[tuple[str, frozenset[str]], RateNetwork] = {}
        self._shown: RateNetwork | None = None
        self._noise: dict[str, FloatArray] = {}
        self._signals: dict[str, FloatArray] = {}
        self._loss = 0.0

    def present(
        self,
        mode: ModePlan,
        inputs: Mapping[str, FloatArray],
        noise: Mapping[str, FloatArray],
        targets: Mapping[str, FloatArray],
        examples: int,
    ) -> None:
        """Settle the circuit for each example in turn."""
        self._shown = network = self._network(replace(mode, inputs=frozenset(inputs)))
        for name, synapses in network.weights.items():
            synapses.variables["w"].set_value(self._arrays[name].ravel()[self.plan.synapses(name)])
        for name, cells in network.cells.items():
            if f"{name}.bias" in self._arrays:
                cells.variables["b"].set_value(self._arrays[f"{name}.bias"])
        self._noise = dict(noise)
        self._signals = {name: np.empty((examples, self.plan.sizes[name])) for name in mode.order}
        for example in range(examples):
            _set(network, "given", {**inputs, **targets}, example)
            _set(network, "noise", noise, example)
            network.step(SETTLE)
            for name, signal in self._signals.items():
                signal[example] = network.cells[name].variables["signal"].get_value()
        with np.errstate(all="ignore"):
            values = self.plan.coding.values
            errors = [values(self._signals[source] - targets[name]) for name, source in mode.compare.items()]
            self._loss = sum(float(0.5 * (error**2).sum(axis=1).mean()) for error in errors)

    def means(self) -> dict[str, FloatArray]:
        """Return the mean signal of every population over the batch."""
        with np.errstate(all="ignore"):  # what is not finite shows in the weights
            return {name: signal.mean(axis=0) for name, signal in self._signals.items()}

    def silent(self, population: str) -> float:
        """Return the share of a population's signals in the batch that are not above zero."""
        return float((self._signals[population] <= 0).mean())

    def learn(self, mode: ModePlan, learner: Learner, step: Step, beta: Mapping[str, FloatArray]) -> None:
        """Show the batch to an array's synapses, or to the cells of biases, and update them."""
        network = self._shown
        assert network is not None
        holder, variable = network.holder(learner.name), "b" if learner.source is None else "w"
        for name, cells in network.cells.items():
            cells.variables["beta"].set_value(beta[name])
        examples = len(self._signals[learner.target])
        for example in range(examples):
            _set(network, "signal", self._signals, example)
            _set(network, "noise", self._noise, example)
            network.step(SEE)
            network.step(add_up(learner))
        for name, value in {"keep": step.keep, "step": step.step, "examples": examples}.items():
            holder.variables[f"{name}_{variable}"].set_value(value)
        network.step(update(learner))
        learned = holder.variables[variable].get_value()
        if learner.source is None:
            self._arrays[learner.name] = learned.copy()
        else:  # what a mask leaves out stays 0
            self._arrays[learner.name].flat[self.plan.synapses(learner.name)] = learned

    def scale(self, name: str, factors: FloatArray) -> None:
        """Multiply all weights of each target cell by its factor."""
        with np.errstate(all="ignore"):
            self._arrays[name] *= factors[:, None]

    def refresh(self) -> None:
        """Make every transported B of its W."""
        self._arrays = transport(self.plan, self._arrays, self._magnitudes)

    def arrays(self) -> dict[str, FloatArray]:
        """Return copies of all weights and biases."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def loss(self, mode: ModePlan) -> float | None:
        """Return half the squared output error, the mean over the batch."""
        return self._loss if mode.compare else None

    def _network(self, mode: ModePlan) -> RateNetwork:
        """Return the network of a mode, made when it is first needed: what has an input has other equations."""
        key = mode.name, mode.inputs
        if key not in self._networks:
            self._networks[key] = RateNetwork(self.plan, mode)
        return self._networks[key]


def _set(network: RateNetwork, variable: str, values: Mapping[str, FloatArray], example: int) -> None:
    """Set a variable of all cells of some populations to what it is for an example."""
    for name, array in values.items():
        network.cells[name].variables[variable].set_value(array[example])


class _Brian2Rate:
    def target(self, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        if options.target not in ("auto", TARGET):
            raise RequestError(f"--target {options.target}: brian2-rate has {TARGET} only. Leave it out.")
        return f"{TARGET}, float64"

    def said(self, target: str, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        return target

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        with simulating(), errors_of_brian2():
            for plan, recorder in zip(plans, recorders, strict=True):
                run_rates(plan, Brian2RateEngine(plan), recorder, points=options.points)


backend = _Brian2Rate()
