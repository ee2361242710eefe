"""The course of a run of rates, common to the backends that simulate them: noise, stimulus, updates, snapshots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from neuromirror.backends.base import Recorder, Snapshot, snapshot_examples
from neuromirror.backends.finite import Signals
from neuromirror.backends.noise import NoiseSource
from neuromirror.backends.stimulus import Stimulus
from neuromirror.modes import Learner, ModePlan
from neuromirror.plan import FloatArray, Plan
from neuromirror.rules.updater import Step


class RateEngine(Protocol):
    """The arithmetic of a rate backend. Arrays that cross this border are NumPy float64, (example, cell)."""

    def present(
        self,
        mode: ModePlan,
        inputs: Mapping[str, FloatArray],
        noise: Mapping[str, FloatArray],
        targets: Mapping[str, FloatArray],
        examples: int,
    ) -> None:
        """Settle the circuit for a batch of examples and keep its signals."""
        ...

    def means(self) -> dict[str, FloatArray]:
        """Return the mean signal of every population over the batch, (cells,)."""
        ...

    def silent(self, population: str) -> float:
        """Return the share of a population's signals in the batch that are not above zero."""
        ...

    def learn(self, mode: ModePlan, learner: Learner, step: Step, beta: Mapping[str, FloatArray]) -> None:
        """Update one array from the batch, normalised; `beta` gives every population's baseline, (cells,)."""
        ...

    def scale(self, name: str, factors: FloatArray) -> None:
        """Multiply all weights of each target cell of an array by the cell's factor, (cells,)."""
        ...

    def refresh(self) -> None:
        """Copy W to every B that is transported."""
        ...

    def arrays(self) -> dict[str, FloatArray]:
        """Return all weights and biases."""
        ...

    def loss(self, mode: ModePlan) -> float | None:
        """Return half the squared output error, the mean over the batch; None where the mode forms none."""
        ...


class Baselines:
    """The baseline that rules subtract: nominal, or each cell's running average, one for each mode (8.2).

    That of a feedback cell that carries an error is its average in the mode of rest, or the nominal one.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._estimate = plan.description.code.estimate
        self._nominal = {name: np.full(size, plan.beta) for name, size in plan.sizes.items()}
        self._of_mode = {mode: dict(self._nominal) for mode in plan.modes}

    def of(self, mode: ModePlan) -> dict[str, FloatArray]:
        """Return the baselines of a mode, (cells,) for every population."""
        rest = (
            self._nominal
            if self._estimate is None or self._estimate.rest is None
            else self._of_mode[self._estimate.rest]
        )
        return self._of_mode[mode.name] | {name: rest[name] for name in mode.erring}

    def follow(self, mode: ModePlan, means: Mapping[str, FloatArray], examples: int) -> None:
        """Move the running averages of a mode by a batch's means; nothing where the baseline is nominal."""
        if self._estimate is not None:
            share = 1 - math.exp(-examples * mode.window_s / self._estimate.tau.s)
            own = self._of_mode[mode.name]
            self._of_mode[mode.name] = {name: own[name] + share * (mean - own[name]) for name, mean in means.items()}


class Clipping:
    """How often forward cells are asked for a rate of zero or less, and cannot say how much less.

    The share of all examples of all cells of each forward population, since it was last taken; nothing for codes whose
    cells have no rate at rest.
    """

    def __init__(self, plan: Plan) -> None:
        populations = plan.description.populations.items()
        self._names = sorted(name for name, p in populations if p.path == "forward") if plan.clips else []
        self._examples, self._silent = 0, dict.fromkeys(self._names, 0.0)

    def count(self, engine: RateEngine, examples: int) -> None:
        """Count the batch that an engine has just presented."""
        self._examples += examples
        for name in self._names:
            self._silent[name] += examples * engine.silent(name)

    def take(self) -> dict[str, float]:
        """Return the shares, and begin anew."""
        shares = {name: silent / self._examples for name, silent in self._silent.items()}
        self._examples, self._silent = 0, dict.fromkeys(self._names, 0.0)
        return shares


@np.errstate(all="ignore")  # what is not finite shows in the weights
def run_rates(plan: Plan, engine: RateEngine, recorder: Recorder, *, points: int) -> None:
    """Run a plan as rates.

    Parameters
    ----------
    plan : Plan
    engine : RateEngine
        Holding the plan's initial arrays.
    recorder : Recorder
    points : int
        Number of snapshots over the run.
    """
    noise, stimulus, baselines, clipping = NoiseSource(plan), Stimulus(plan), Baselines(plan), Clipping(plan)
    signals = Signals(plan)
    seen: dict[tuple[str, str], int] = {}
    recorder.snapshot(Snapshot(phase=0, examples=0, t_s=0.0, arrays=engine.arrays()), keep_arrays=True)
    for index, (phase, due) in enumerate(zip(plan.phases, snapshot_examples(plan, points), strict=True)):
        mode = plan.modes[phase.mode]
        done, waiting = 0, sorted(due)
        while done < phase.examples:
            examples = min(plan.batch(spiking=False), phase.examples - done)
            inputs, targets = stimulus.draw(mode, examples)
            engine.present(mode, inputs, noise.draw(mode, examples), targets, examples)
            clipping.count(engine, examples)
            means = engine.means()
            signals.count(mode, means, engine.silent, examples)
            baselines.follow(mode, means, examples)
            for learner in mode.learners:
                before = seen.get((learner.name, learner.rule.name), 0)
                step = learner.rule.updater.step(examples_seen=before, examples=examples, window_s=mode.window_s)
                engine.learn(mode, learner, step, baselines.of(mode))
                seen[learner.name, learner.rule.name] = before + examples
            for population, names in mode.scaled.items():
                factors = plan.scaling(population).factor(engine.means()[population], examples * mode.window_s)
                for name in names:
                    engine.scale(name, factors)
            engine.refresh()
            done += examples
            if waiting and done >= waiting[0]:
                waiting = [example for example in waiting if example > done]
                loss, clipped, (lost, silent) = engine.loss(mode), clipping.take(), signals.take()
                state = Snapshot(
                    phase=index,
                    examples=phase.first_example + done,
                    t_s=phase.start_s + done * phase.window_s,
                    arrays=engine.arrays(),
                    more={
                        **({} if loss is None else {"loss": loss}),
                        **({"clipped": clipped} if clipped else {}),
                    },
                    lost=lost,
                    silent=silent,
                )
                recorder.snapshot(state, keep_arrays=done == phase.examples)
                recorder.progress(state.t_s)
