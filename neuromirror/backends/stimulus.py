"""Inputs and targets of engaged mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuromirror import seeds
from neuromirror.backends.examples import Examples, examples_of
from neuromirror.backends.settle import settle
from neuromirror.circuit.description import Init
from neuromirror.circuit.protocol import Stimulus as Teacher
from neuromirror.modes import ModePlan
from neuromirror.plan import FloatArray, Plan


@dataclass(frozen=True)
class Stimulus:
    """What a plan's stimulus gives, example after example.

    ``teacher``: Gaussian inputs, and the targets that a random circuit of the same shape, the teacher, makes of them.
    The teacher has the forward weights and biases of another draw; its cells are the rate backends'. Other kinds give
    examples that there are; see `neuromirror.backends.examples`.
    """

    plan: Plan

    @cached_property
    def _streams(self) -> dict[str, np.random.Generator]:
        return {name: seeds.stream(self.plan.seed, "stimulus", name) for name in self.plan.sizes}

    @cached_property
    def _given(self) -> Examples | None:
        described = self.plan.description.stimulus
        return None if described is None or isinstance(described, Teacher) else examples_of(self.plan, described)

    @cached_property
    def teacher(self) -> dict[str, FloatArray]:
        """The teacher's weights and biases."""
        described = self.plan.description.stimulus
        assert isinstance(described, Teacher)
        gains = {n: described.gain if a.ndim > 1 else described.bias_gain for n, a in self.plan.drawn_arrays().items()}
        drawn = self.plan.draw_arrays({name: Init(gain=gain) for name, gain in gains.items()}, "teacher")
        return self.plan.of_cells(drawn)

    def draw(self, mode: ModePlan, examples: int) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Draw the next examples.

        Returns
        -------
        inputs : dict of population to float array (examples, cells)
            Deviations from the baseline.
        targets : dict of feedback population to float array (examples, cells)
            What the compared population should have been.
        """
        if self._given is not None:
            return self._given.draw(mode, examples)
        described = self.plan.description.stimulus
        inputs = {
            name: self.plan.coding.deviations(self._streams[name].standard_normal((examples, units)) * described.sd)
            for name, units in sorted(self.plan.units.items())
            if name in mode.inputs and isinstance(described, Teacher)
        }
        if not mode.compare:
            return inputs, {}
        return inputs, self._targets(mode, inputs, examples)

    def _targets(self, mode: ModePlan, inputs: Mapping[str, FloatArray], examples: int) -> dict[str, FloatArray]:
        signals = settle(
            self.plan,
            mode,
            self.teacher,
            inputs=inputs,
            noise={},
            targets=None,
            zeros=lambda name: np.zeros((examples, self.plan.sizes[name])),
            tanh=np.tanh,
        )
        return {feedback: signals[source] for feedback, source in mode.compare.items()}
