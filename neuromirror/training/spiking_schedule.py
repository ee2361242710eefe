"""The schedule of a circuit of spiking cells that learns from images: turns awake and asleep, and tests in between.

Awake every image lasts a window; asleep every mirror mode has its turn, and then comes the mode of rest in which the
baselines of errors are measured, where there is one. A test shows images in a mode in which nothing
learns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuromirror.circuit.arrays import Array
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Mode
from neuromirror.circuit.protocol import Training
from neuromirror.data.images import Images
from neuromirror.data.load import Data
from neuromirror.data.order import order
from neuromirror.errors import RequestError
from neuromirror.plan import FloatArray, Plan, make_plan
from neuromirror.training.spiking_roles import SpikingRoles

TESTING = "testing"
"""Name of the mode in which nothing learns; a circuit of images cannot have one of its own."""

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One phase of the run.

    Attributes
    ----------
    mode : str
    examples : int
        Windows: images, or windows of noise.
    part : {"train", "validation", "test"} or None
        What images it shows; None for mirroring, and for rest.
    epoch : float
        Epochs of learning that are done when it ends.
    """

    mode: str
    examples: int
    part: str | None
    epoch: float


def stretches(training: Training, roles: SpikingRoles, data: Data) -> list[Stretch]:
    """Return the phases of a run: mirroring alone, epochs of learning and mirroring in turn, a test after each.

    An epoch of mirroring alone has as many turns as one of learning. It is left out where nothing mirrors, so that all
    methods learn from equally many images. Tests are with the validation images where there are some, else with the
    test images; at the end with both.
    """
    images, every = len(data.train), min(training.mirror_every, len(data.train))
    alone, steps = _lengths(training, images, every, mirrors=bool(roles.mirrors))
    usual = "test" if data.validation is None else "validation"
    found = _turn(training, roles, 0.0) * alone if alone else _at_rest(training, roles, 0.0)
    for start in range(0, steps, images):
        stop = min(start + images, steps)
        for first in range(start, stop, every):
            last = min(first + every, stop)
            found.append(Stretch(mode=roles.engaged, examples=last - first, part="train", epoch=last / images))
            found += _turn(training, roles, last / images) if last - first == every else []
        for part in [usual, "test"] if stop == steps and usual != "test" else [usual]:
            found.append(Stretch(mode=TESTING, examples=len(_images(data, part)), part=part, epoch=stop / images))
    return found


def _lengths(training: Training, images: int, every: int, *, mirrors: bool) -> tuple[int, int]:
    """Return the number of turns of mirroring alone, and of images that are learned from."""
    steps = max(0, round((training.epochs - training.mirror_epochs) * images))
    steps = steps if training.steps is None else min(steps, training.steps)
    turns = round(training.mirror_epochs * images / every) if mirrors else 0
    if not turns + steps:
        raise RequestError(f"training.epochs {training.epochs:g}: comes to no image and no turn asleep. Ask for more.")
    return turns, steps


def _turn(training: Training, roles: SpikingRoles, epoch: float) -> list[Stretch]:
    examples = training.mirror_examples or 1
    asleep = [Stretch(mode=mode, examples=examples, part=None, epoch=epoch) for mode in roles.mirrors]
    return asleep + _at_rest(training, roles, epoch)


def _at_rest(training: Training, roles: SpikingRoles, epoch: float) -> list[Stretch]:
    """Return the turn of the mode of rest, which comes before images whatever else does."""
    if roles.rest is None:
        return []
    return [Stretch(mode=roles.rest, examples=training.rest_examples or 1, part=None, epoch=epoch)]


def _images(data: Data, part: str) -> Images:
    images = {"train": data.train, "validation": data.validation, "test": data.test}[part]
    assert images is not None
    return images


def scheduled(circuit: Circuit, training: Training, roles: SpikingRoles, data: Data, phases: list[Stretch]) -> Circuit:
    """Return the circuit with the phases for its schedule, a mode for tests, and all images for its stimulus."""
    inputs, targets = _rows(training, data)
    described = circuit.description
    awake = described.modes[roles.engaged]
    modes = {**described.modes, TESTING: awake.model_copy(update={"learn": {}})}
    steps = [{"mode": phase.mode, "examples": phase.examples} for phase in phases]
    stimulus = {"kind": "array", "inputs": Array(inputs), "targets": Array(targets)}
    return circuit.expand().with_changes(
        {"modes": {name: _table(mode) for name, mode in modes.items()}, "schedule": steps, "stimulus": stimulus}
    )


def _table(mode: Mode) -> dict[str, object]:
    return mode.model_dump(by_alias=True, exclude_none=True)


def _rows(training: Training, data: Data) -> tuple[FloatArray, FloatArray]:
    """Return all images, (images, cells), and what their classes ask of the output, (images, classes)."""
    mean, std = (np.array(values)[:, None, None] for values in (data.mean, data.std))
    inputs, targets = [], []
    for part in _parts(data):
        images = _images(data, part)
        pixels_NCHW = images.batch(np.arange(len(images))).numpy() / 255
        inputs.append(training.input_sd * ((pixels_NCHW - mean) / std).reshape(len(images), -1))
        targets.append(training.target * np.eye(len(data.classes))[images.labels.numpy()])
    return np.concatenate(inputs), np.concatenate(targets)


def _parts(data: Data) -> Iterator[str]:
    return (part for part in PARTS if part != "validation" or data.validation is not None)


def planned(circuit: Circuit, data: Data, phases: list[Stretch], seed: int) -> Plan:
    """Return the plan of a scheduled circuit: which image is shown when depends on the seed."""
    plan = make_plan(circuit, seed, "brian2")
    return Plan(plan.circuit, plan.seed, _presented(data, phases, seed))


def _presented(data: Data, phases: list[Stretch], seed: int) -> NDArray[np.intp]:
    """Return the rows of the stimulus that are shown: those for training in an order of each epoch's own."""
    first, starts = 0, dict[str, int]()
    for part in _parts(data):
        starts[part], first = first, first + len(_images(data, part))
    shown, seen = [], 0
    for phase in phases:
        if phase.part == "train":
            epoch, within = divmod(seen, len(data.train))
            shown.append(order(seed, epoch, len(data.train)).numpy()[within : within + phase.examples])
            seen += phase.examples
        elif phase.part is not None:
            shown.append(starts[phase.part] + np.arange(phase.examples))
    return np.concatenate(shown) if shown else np.zeros(0, dtype=np.intp)


def labels_of(data: Data, presented: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the class of every image that is shown."""
    return np.concatenate([_images(data, part).labels.numpy() for part in _parts(data)])[presented]
