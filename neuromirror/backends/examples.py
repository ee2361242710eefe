"""Examples that are given, not drawn: arrays of the circuit, and the digits that scikit-learn comes with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuromirror import seeds
from neuromirror.circuit.protocol import ArrayStimulus, DigitsStimulus
from neuromirror.errors import choice
from neuromirror.modes import ModePlan
from neuromirror.plan import FloatArray, Plan

DIGITS_IN_TRAINING = 1437
"""Of the 1 797 images, the first are for training and the last 360 for tests. They are in the order in which they were
collected, so that most test images are by other writers."""


@dataclass
class Examples:
    """Rows that are presented one after the other, over and over.

    Attributes
    ----------
    plan : Plan
    inputs, targets : float array (examples, cells) or None
        Deviations from the baseline, in units of ``code.unit``.
    shuffled : bool
        Whether every pass has an order of its own, by the plan's seed.
    order : int array (examples,) or None
        The rows to present one after the other, where they are given.
    shown : int
        How many were presented.
    """

    plan: Plan
    inputs: FloatArray | None
    targets: FloatArray | None
    shuffled: bool
    order: NDArray[np.intp] | None = None
    shown: int = field(default=0, init=False)

    def draw(self, mode: ModePlan, examples: int) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """Present the next examples; see `neuromirror.backends.stimulus.Stimulus.draw`."""
        if not mode.inputs and not mode.compare:
            return {}, {}
        rows = self._rows(examples)
        of_cells, beta = self.plan.coding.deviations, self.plan.beta
        inputs = {name: of_cells(self.inputs[rows]) for name in sorted(mode.inputs) if self.inputs is not None}
        targets = {name: beta + of_cells(self.targets[rows]) for name in mode.compare if self.targets is not None}
        return inputs, targets

    def _rows(self, examples: int) -> np.ndarray:
        given = self.inputs if self.inputs is not None else self.targets
        assert given is not None, "the checks refuse modes that use what is not given"
        numbers = np.arange(self.shown, self.shown + examples)
        self.shown += examples
        if self.order is not None:
            return self.order[numbers]
        rows = numbers % len(given)
        if self.shuffled:
            for turn in np.unique(numbers // len(given)):
                order = seeds.stream(self.plan.seed, "stimulus", "order", int(turn)).permutation(len(given))
                here = numbers // len(given) == turn
                rows[here] = order[rows[here]]
        return rows


def examples_of(plan: Plan, stimulus: ArrayStimulus | DigitsStimulus) -> Examples:
    """Return the examples of a plan's stimulus."""
    shuffled = choice("stimulus.order", stimulus.order, "given", "shuffled") == "shuffled"
    if isinstance(stimulus, DigitsStimulus):
        return Examples(plan, *digits(stimulus.part, stimulus.sd, stimulus.amplitude), shuffled)
    choice("stimulus.kind", stimulus.kind, "array")
    inputs, targets = (None if a is None else a.numbers.copy() for a in (stimulus.inputs, stimulus.targets))
    return Examples(plan, inputs, targets, shuffled, plan.presented)


def digits(part: str, sd: float, amplitude: float) -> tuple[FloatArray, FloatArray]:
    """Return images of handwritten digits (Alpaydin & Kaynak 1998), 8×8 pixels, and their classes.

    Parameters
    ----------
    part : {"train", "test"}
    sd : float
        Standard deviation of the inputs. One mean and one scale, those of all pixels of all images for training, serve
        for all pixels: some pixels are always blank.
    amplitude : float
        Of the target of the right class; those of the others are 0.

    Returns
    -------
    inputs : float array (images, 64)
    targets : float array (images, 10)
    """
    from sklearn.datasets import load_digits  # it takes a second

    pixels, classes = load_digits(return_X_y=True)
    training = pixels[:DIGITS_IN_TRAINING]
    here = (
        slice(None, DIGITS_IN_TRAINING)
        if choice("stimulus.part", part, "train", "test") == "train"
        else slice(DIGITS_IN_TRAINING, None)
    )
    return sd * (pixels[here] - training.mean()) / training.std(), amplitude * np.eye(10)[classes[here]]
