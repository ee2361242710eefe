"""What a circuit file can say of the protocol: stimulus, schedule, time and training, as frozen pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from neuromirror.circuit.arrays import Values
from neuromirror.circuit.model import Model
from neuromirror.circuit.values import Count, Delay, NonNegative, Positive, Time
from neuromirror.units import Quantity


class Signal(Model):
    """What a rule reads of a cell when spiking: its spikes counted in the window, or a trace at the window's end."""

    kind: Literal["count", "trace"]
    tau: Time | None = None


def _step_kind(value: object) -> str:
    return "repeat" if isinstance(value, Repeat) or (isinstance(value, dict) and "repeat" in value) else "step"


class Stimulus(Model):
    """Where inputs and targets come from: ``teacher``, Gaussian inputs and a random circuit of the same shape."""

    kind: Literal["teacher"]
    sd: Positive = 1.0
    gain: Positive = 1.0
    bias_gain: NonNegative = 0.0


class ArrayStimulus(Model):
    """``array``: examples row by row, as deviations from the baseline in units of ``code.unit``.

    ``inputs`` are (examples, cells) of every population that receives the stimulus, ``targets`` those of every compared
    population. Examples come in the order given, or shuffled afresh by the run's seed for each pass through them.
    """

    kind: Literal["array"]
    inputs: Values | None = None
    targets: Values | None = None
    order: Literal["given", "shuffled"] = "given"


class DigitsStimulus(Model):
    """``digits``: the images of handwritten digits that scikit-learn comes with, 64 inputs and 10 classes.

    ``sd`` is the standard deviation of the inputs over all pixels, and ``amplitude`` what the cell of the right class
    should deviate by; those of the others should not.
    """

    kind: Literal["digits"]
    part: Literal["train", "test"] = "train"
    order: Literal["given", "shuffled"] = "given"
    sd: Positive = 1.0
    amplitude: Positive = 1.0


AnyStimulus = Annotated[Stimulus | ArrayStimulus | DigitsStimulus, Field(discriminator="kind")]


class Step(Model):
    """One stretch of a mode, in simulated time or in examples."""

    mode: str
    duration: Time | None = None
    examples: Count | None = None


class Repeat(Model):
    """Steps that follow one another, several times over."""

    repeat: Count
    steps: Annotated[tuple[Item, ...], Field(min_length=1)]


Item = Annotated[
    Annotated[Step, Tag("step")] | Annotated[Repeat, Tag("repeat")],
    Discriminator(_step_kind),
]
Repeat.model_rebuild()


class Timing(Model):
    """Time: one example lasts a ``window``; ``batch`` examples make one update as rates, one when spiking.

    ``settle`` is the stretch at the start of each mode's turn in which a spiking circuit does not learn yet.
    """

    window: Time = Quantity(0.02, "time")
    batch: Count = 50
    signal: Signal = Signal(kind="count")
    settle: Delay = Quantity(0.1, "time")
    dt: Time = Quantity(0.0005, "time")


Epochs = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Training(Model):
    """How ``train`` teaches a circuit from images (C.1, C.2).

    An engaged epoch sees every training image once, in batches of ``batch`` images, of which batch norm sees
    ``micro_batch`` at a time. ``steps``, where given, stops earlier. The learning rate is ``rate`` at its peak, by
    default that of each rule for 256 images, in proportion to the batch; it grows over ``warmup_epochs`` and is
    multiplied by ``drop_factor`` after each epoch of ``drops``.

    Mirroring is all there is for ``mirror_epochs``, and then follows every ``mirror_every`` batches, each turn with
    ``mirror_examples`` (by default as many as a batch has), or with as many as give ``mirror_angle_deg`` by the law of
    `neuromirror.measure.rate_angle_deg`. Its memory is ``fixed``, or ``follows_drops``: as much longer as the
    learning rate of W has dropped (not while it warms up: W moves fast then). ``mirror_means`` says over what the means
    that it subtracts are taken.

    In spikes, where baselines are measured in a mode of rest (``code.estimate.rest``), each turn ends with
    ``rest_examples`` windows of it.

    ``loss``: with ``cross_entropy`` what is compared is the softmax of the output, with ``squared`` the output itself.
    Inputs have the standard deviation ``input_sd``. With ``squared`` the cell of the right class should deviate by
    ``target``, those of the others not at all.
    """

    epochs: Epochs = 90
    steps: Count | None = None
    batch: Count = 256
    micro_batch: Count = 64
    rate: Positive | None = None
    warmup_epochs: Epochs = 6
    drops: tuple[Epochs, ...] = (32, 62, 82)
    drop_factor: Positive = 0.1
    mirror_epochs: Epochs = 2
    mirror_every: Count = 1
    mirror_examples: Count | None = None
    mirror_angle_deg: Annotated[float, Field(gt=0, lt=90, allow_inf_nan=False)] | None = None
    mirror_memory: Literal["fixed", "follows_drops"] = "fixed"
    mirror_means: Literal["channel", "position"] = "channel"
    rest_examples: Count | None = None
    loss: Literal["cross_entropy", "squared"] = "cross_entropy"
    input_sd: Positive = 1.0
    target: Positive = 1.0
    augment: Literal["none", "flip", "crop_flip", "resized_crop"] = "none"
