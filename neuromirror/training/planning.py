"""The plan of a training run: steps, operations, memory, exchange, angles, and its cost by the number of processes.

No weight is drawn and no image decoded. What is counted, and what is assumed, is said in `neuromirror.training.cost`,
`memory` and `scaling`; the angles are those of `neuromirror.training.mirroring`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromirror import seeds
from neuromirror.backends.torch.network import Network
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.geometry import fan_in
from neuromirror.circuit.protocol import Training
from neuromirror.data.load import Counts
from neuromirror.plan import Plan
from neuromirror.training.cost import Operations, mirrored_numbers, operations_of, taught_numbers
from neuromirror.training.device import DTYPES
from neuromirror.training.images import circuit_to_train, fitted_to_counts
from neuromirror.training.loop import Length, length_of
from neuromirror.training.memory import Memory, memory_of
from neuromirror.training.mirroring import examples_of, predicted_angle_deg
from neuromirror.training.rates import peak_rate, rate_factor
from neuromirror.training.roles import Roles, roles_of
from neuromirror.training.scaling import Course, Division, Duration, divisions, duration, efficiency, sent_bytes
from neuromirror.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one process can do, where that is known.

    Attributes
    ----------
    throughput : float or None
        Images a second, forward and backward.
    bandwidth_gbit : float or None
        Gigabits a second that it sends.
    """

    throughput: float | None = None
    bandwidth_gbit: float | None = None

    @property
    def bandwidth(self) -> float | None:
        """Bytes a second that it sends."""
        return None if self.bandwidth_gbit is None else self.bandwidth_gbit * 1e9 / 8


@dataclass(frozen=True, kw_only=True)
class Alike:
    """The B that are expected at the same angle, for they have fan-in, positions and examples in common.

    Attributes
    ----------
    angle_deg : float or None
        In the steady state, while W stands still; None where there is no law.
    examples : int
        Of a turn.
    fan_in, positions : int
        Of their W.
    names : tuple of str
    """

    angle_deg: float | None
    examples: int
    fan_in: int
    positions: int
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table of processes; ``duration`` and ``efficiency`` where a throughput is given."""

    division: Division
    operations: int
    sent: int
    memory: int
    duration: Duration | None
    efficiency: float | None


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What a run would be.

    Attributes
    ----------
    name : str
        Of the circuit.
    counts : Counts
    training : Training
    length : Length
    rates : tuple of (float, float)
        Epochs, and the learning rate of W from there on; it grows evenly from the first to the second.
    operations : Operations
    examples : mapping of str to int
        Of a turn of each mirror mode.
    course : Course
    memory : Memory
    angles : tuple of Alike
        The largest first.
    rows : tuple of Row
    normed : bool
        Whether there is batch norm.
    speed : Speed
    dtype : str
        Of weights.
    """

    name: str
    counts: Counts
    training: Training
    length: Length
    rates: tuple[tuple[float, float], ...]
    operations: Operations
    examples: Mapping[str, int]
    course: Course
    memory: Memory
    angles: tuple[Alike, ...]
    rows: tuple[Row, ...]
    normed: bool
    speed: Speed
    dtype: str

    def as_json(self) -> dict[str, Any]:
        """Return it as an object of JSON."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {key: _plain(value) for key, value in found.items() if key != "training"}
        return {**plain, "training": self.training.model_dump(mode="json")}


def planned(circuit: Circuit | str | Path, settings: Settings, seed: int = 0, speed: Speed = Speed()) -> TrainingPlan:
    """Return what a run would be; see `neuromirror.training.train.train`.

    Raises
    ------
    CircuitError, RequestError
        As the run would.
    """
    settings.check()
    circuit = circuit_to_train(circuit, settings, overlaid=False)
    roles_of(Plan(circuit, 0))  # which says what stands in the way, before images are looked for
    fitted = fitted_to_counts(circuit, settings)
    plan = Plan(fitted.circuit, seeds.checked_seed(seed))
    roles, training = roles_of(plan), plan.description.training or Training()
    network = Network(plan, roles.on, filled=False)
    length = length_of(training, fitted.counts.train // training.batch, mirrors=bool(roles.mirrors))
    examples = {mode.name: examples_of(network, mode, training) for mode in roles.mirrors}
    angles = _angles(network, roles, examples)
    operations, memory = operations_of(plan, roles), memory_of(network, roles, training, settings)
    course = course_of(plan, roles, training, length, operations, examples, DTYPES[settings.dtype].itemsize)
    normed = any(population.norm is not None for population in plan.description.populations.values())
    shared = [
        one for one in divisions(training.batch, training.micro_batch) if one.micro_batch > normed or one.workers == 1
    ]
    return TrainingPlan(
        name=fitted.circuit.name,
        counts=fitted.counts,
        training=training,
        length=length,
        rates=_rates(plan, roles, training, length),
        operations=operations,
        examples=examples,
        course=course,
        memory=memory,
        angles=angles,
        rows=tuple(_row(one, course, memory, examples, speed) for one in shared),
        normed=normed,
        speed=speed,
        dtype=settings.dtype,
    )


def course_of(
    plan: Plan,
    roles: Roles,
    training: Training,
    length: Length,
    operations: Operations,
    examples: Mapping[str, int],
    itemsize: int,
) -> Course:
    """Return what all processes compute and exchange together."""
    batches = length.total - length.mirror
    return Course(
        batch=training.batch,
        batches=batches,
        turns=length.mirror + batches // training.mirror_every if roles.mirrors else 0,
        mirror_every=training.mirror_every,
        image=operations.forward + operations.backward,
        turn=operations.turn(examples),
        gradient_bytes=taught_numbers(plan, roles) * itemsize,
        feedback_bytes=mirrored_numbers(plan, roles) * itemsize,
    )


def _rates(plan: Plan, roles: Roles, training: Training, length: Length) -> tuple[tuple[float, float], ...]:
    """Return where the learning rate of W changes, and what it is from there on."""
    mirror, end = length.mirror / length.epoch, length.total / length.epoch
    rule = next((rule for name, rule in roles.forward.items() if name in plan.weight_shapes), None)
    rates = [] if rule is None else [plan.description.rules[rule].updater.rate or 0.0]
    peaks = [peak_rate(rate, training) for rate in rates]
    edges = sorted({mirror, mirror + training.warmup_epochs, *(drop for drop in training.drops if drop > mirror)})
    return tuple((e, p * rate_factor(e, training, mirror_epochs=mirror)) for p in peaks for e in edges if e < end)


def _angles(network: Network, roles: Roles, examples: Mapping[str, int]) -> tuple[Alike, ...]:
    plan = network.plan
    alike: dict[tuple[float | None, int, int, int], list[str]] = {}
    for mode in roles.mirrors:
        for one in mode.learners:
            w = plan.mirrors[one.name]
            projection = plan.description.projections[w]
            positions = math.prod(plan.description.populations[projection.target].shape[1:])
            angle = predicted_angle_deg(network, mode, one, examples[mode.name])
            key = (angle, examples[mode.name], fan_in(projection, plan.weight_shapes[w]), positions)
            alike.setdefault(key, []).append(one.name)
    ordered = sorted(alike.items(), key=lambda item: -(math.inf if item[0][0] is None else item[0][0]))
    return tuple(
        Alike(angle_deg=angle, examples=number, fan_in=inputs, positions=positions, names=tuple(names))
        for (angle, number, inputs, positions), names in ordered
    )


def _row(division: Division, course: Course, memory: Memory, examples: Mapping[str, int], speed: Speed) -> Row:
    workers, throughput = division.workers, speed.throughput
    turn, sent = (course.turn, course.feedback_bytes) if course.turns else (0, 0)
    return Row(
        division=division,
        operations=(course.batch * course.image + turn // course.mirror_every) // workers,
        sent=sent_bytes(course.gradient_bytes, workers) + sent_bytes(sent, workers) // course.mirror_every,
        memory=memory.peak(division.micro_batch, examples, workers),
        duration=None if throughput is None else duration(course, workers, throughput, speed.bandwidth),
        efficiency=None if throughput is None else efficiency(course, workers, throughput, speed.bandwidth),
    )


def _plain(value: Any) -> Any:
    """Return dataclasses and tuples as what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value
