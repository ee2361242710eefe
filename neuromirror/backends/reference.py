"""The reference backend: the equations as they are written, one cell and one synapse at a time.

Slow on purpose: it shares no array arithmetic with the backends that it is the oracle of. Rates, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from neuromirror.backends.base import Options, Recorder
from neuromirror.backends.rate import run_rates
from neuromirror.dynamics.homeostasis import Normalisation
from neuromirror.errors import RequestError, RunError
from neuromirror.modes import Axons, Learner, ModePlan
from neuromirror.plan import FloatArray, Plan, transport
from neuromirror.rules.expression import FUNCTIONS, Drive
from neuromirror.rules.updater import Step

Signals = dict[str, list[float]]


class ReferenceEngine:
    """Loops over examples, cells and synapses."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._arrays = {name: array.copy() for name, array in plan.initial_arrays().items()}
        self._magnitudes = plan.magnitudes()
        self._examples: list[Signals] = []
        self._noise: list[Signals] = []
        self._losses: list[float] = []

    def present(
        self,
        mode: ModePlan,
        inputs: Mapping[str, FloatArray],
        noise: Mapping[str, FloatArray],
        targets: Mapping[str, FloatArray],
        examples: int,
    ) -> None:
        """Settle the circuit for each example in turn; see `neuromirror.backends.settle.settle` for the equations."""
        self._examples, self._noise, self._losses = [], [], []
        for example in range(examples):
            given = {name: [float(x) for x in array[example]] for name, array in inputs.items()}
            noisy = {name: [float(x) for x in array[example]] for name, array in noise.items()}
            wanted = {name: [float(x) for x in array[example]] for name, array in targets.items()}
            signals: Signals = {}
            for name in mode.order:
                cells = range(self.plan.sizes[name])
                try:
                    if self.plan.description.populations[name].path == "forward":
                        signals[name] = [self._forward(mode, signals, name, i, given, noisy) for i in cells]
                    else:
                        signals[name] = [self._feedback(mode, signals, name, i, wanted) for i in cells]
                except ArithmeticError as error:
                    raise RunError(
                        f"in {mode.name} mode the signal of {name} cannot be computed ({error.__class__.__name__}). "
                        "Lower the rate of the rules, or mend an activation that overflows."
                    ) from error
            self._examples.append(signals)
            self._noise.append(noisy)
            self._losses.append(
                sum(
                    0.5 * _squared(error)
                    for name, source in mode.compare.items()
                    for error in self._values([y - wanted[name][i] for i, y in enumerate(signals[source])])
                )
            )

    def _values(self, cells: list[float]) -> list[float]:
        """Return the values of units: of each pair in push-pull, ON − OFF."""
        units = len(cells) // self.plan.description.code.cells_per_unit
        return [cells[i] - cells[units + i] for i in range(units)] if units < len(cells) else cells

    def _forward(self, mode: ModePlan, signals: Signals, name: str, i: int, inputs: Signals, noise: Signals) -> float:
        if name in inputs:
            y = self.plan.beta + inputs[name][i]
        else:
            u = self.plan.default_bias(name) + self._weighted(mode, signals, name, i)
            if name in mode.biased:
                u += float(self._arrays[f"{name}.bias"][i])
            y = self.plan.activation(name).phi(u, math.tanh)
        if name in noise:
            y += noise[name][i]
        return max(y, 0.0) if self.plan.non_negative else y

    def _feedback(self, mode: ModePlan, signals: Signals, name: str, i: int, targets: Signals) -> float:
        beta = self.plan.beta
        if name in mode.drives:
            return beta + sum(signals[axons.source][_source(axons, i)] - beta for axons in mode.drives[name])
        error = self._weighted(mode, signals, name, i)
        if name in mode.compare:
            error += signals[mode.compare[name]][i] - targets[name][i]
        for axons in mode.gates.get(name, ()):
            error *= self.plan.slope(axons.source, signals[axons.source][_source(axons, i)])
        return beta + error

    def _weighted(self, mode: ModePlan, signals: Signals, name: str, i: int) -> float:
        total = 0.0
        for axons in mode.synapses.get(name, ()):
            for j, y in enumerate(signals[axons.source]):
                total += float(self._arrays[axons.name][i, j]) * (y - self.plan.beta)
        return total

    def means(self) -> dict[str, FloatArray]:
        """Return the mean signal of every population over the batch."""
        return {
            name: np.array([_mean(column) for column in zip(*cells, strict=True)])
            for name, cells in ((name, [signals[name] for signals in self._examples]) for name in self._examples[0])
        }

    def silent(self, population: str) -> float:
        """Return the share of a population's signals in the batch that are not above zero."""
        return _mean([float(y <= 0) for signals in self._examples for y in signals[population]])

    def learn(self, mode: ModePlan, learner: Learner, step: Step, beta: Mapping[str, FloatArray]) -> None:
        """Update every synapse of an array from what it alone can see."""
        array, mask = self._arrays[learner.name], self.plan.masks.get(learner.name)
        updated = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            if mask is not None and not mask[index]:
                continue
            drives = [
                _number(learner.rule.drive, self._seen(mode, learner, example, index, beta))
                for example in range(len(self._examples))
            ]
            updated[index] = step.keep * float(array[index]) + step.step * _mean(drives)
            if self.plan.dale and learner.source is not None and updated[index] < 0:
                updated[index] = 0.0
        if learner.normalisation is not None:
            _normalise(updated, learner.normalisation)
        self._arrays[learner.name] = updated

    def _seen(
        self, mode: ModePlan, learner: Learner, example: int, index: tuple[int, ...], beta: Mapping[str, FloatArray]
    ) -> dict[str, float]:
        """Return what one synapse sees of one example."""
        signals, noise, i = self._examples[example], self._noise[example], index[0]
        seen = {
            "w": float(self._arrays[learner.name][index]),
            "post": signals[learner.target][i],
            "beta_post": float(beta[learner.target][i]),
            "noise_post": noise[learner.target][i] if learner.target in noise else 0.0,
            "error": 0.0,
            "cross": 0.0,
        }
        for axons in mode.errors.get(learner.target, ()):
            k = _source(axons, i)
            seen["error"] += signals[axons.source][k] - float(beta[axons.source][k])
        if learner.target in mode.cross:
            axons = mode.cross[learner.target]
            seen["cross"] = signals[axons.source][_source(axons, i)]
        if learner.source is not None:
            j = index[1]
            seen["pre"] = signals[learner.source][j]
            seen["beta_pre"] = float(beta[learner.source][j])
            seen["noise_pre"] = noise[learner.source][j] if learner.source in noise else 0.0
        return seen

    def scale(self, name: str, factors: FloatArray) -> None:
        """Multiply the weights of each target cell by its factor, one by one."""
        array = self._arrays[name]
        for index in np.ndindex(*array.shape):
            array[index] = float(array[index]) * float(factors[index[0]])

    def refresh(self) -> None:
        """Make every transported B of its W."""
        self._arrays = transport(self.plan, self._arrays, self._magnitudes)

    def arrays(self) -> dict[str, FloatArray]:
        """Return copies of all weights and biases."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def loss(self, mode: ModePlan) -> float | None:
        """Return half the squared output error, the mean over the batch."""
        return _mean(self._losses) if mode.compare else None


def _normalise(array: FloatArray, normalisation: Normalisation) -> None:
    """Scale the weights of each cell, or of the whole array, one by one."""
    groups: dict[int, list[tuple[int, ...]]] = {}
    for index in np.ndindex(*array.shape):
        group = {"target": index[0], "source": index[-1], "array": 0}[normalisation.per]
        groups.setdefault(group, []).append(index)
    for members in groups.values():
        factor = normalisation.factor(sum(_squared(float(array[index])) for index in members))
        for index in members:
            array[index] = float(array[index]) * factor


def _number(drive: Drive, seen: Mapping[str, float]) -> float:
    """Return a drive; as arrays have it, infinite where it overflows or divides by zero, and nan where it is no number.

    Python's own numbers raise an error there, or turn complex, as the root of a negative number does.
    """
    try:
        found = drive.evaluate(seen)
        if isinstance(found, float | int):
            return float(found)
    except (ArithmeticError, ValueError, TypeError):
        pass
    with np.errstate(all="ignore"):
        return float(drive.evaluate({name: np.float64(value) for name, value in seen.items()}, _FUNCTIONS))


_FUNCTIONS = {name: getattr(np, name) for name in FUNCTIONS}


def _squared(x: float) -> float:
    return x * x  # x**2 raises an error where it overflows


def _mean(values: Sequence[float]) -> float:
    """Return the mean, which is not finite where the values or their sum are not."""
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):
        return sum(values) / len(values)


def _source(axons: Axons, i: int) -> int:
    return i if axons.permutation is None else int(axons.permutation[i])


class _Reference:
    def target(self, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        if options.target != "auto":
            raise RequestError(f"--target {options.target}: the reference backend has no targets. Leave it out.")
        return "numpy loops, float64"

    def said(self, target: str, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        return target

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        for plan, recorder in zip(plans, recorders, strict=True):
            run_rates(plan, ReferenceEngine(plan), recorder, points=options.points)


backend = _Reference()
