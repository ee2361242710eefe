"""What the modes of a circuit are to training in spikes, and what of a circuit stands in its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description, Mode
from neuromirror.circuit.protocol import Training
from neuromirror.errors import CircuitError, Problem


@dataclass(frozen=True, kw_only=True)
class SpikingRoles:
    """The modes of a circuit of spiking cells that learns from images.

    Attributes
    ----------
    engaged : str
        The mode that compares the output with the target.
    mirrors : tuple of str
        The modes in which something else learns, in the order of the file; they take turns.
    rest : str or None
        The mode in which feedback cells are at rest, where their baselines are measured in one.
    input, output : str
        The population that images are shown to, and the one that tells their class.
    """

    engaged: str
    mirrors: tuple[str, ...]
    rest: str | None
    input: str
    output: str


def spiking_roles_of(circuit: Circuit) -> SpikingRoles:
    """Find the roles of a circuit's modes.

    Raises
    ------
    CircuitError
        If spiking cells cannot be trained with the circuit, with everything that stands in the way.
    """
    described = circuit.description
    problems = [*circuit.with_changes({"schedule": _any_schedule(described)}).problems("brian2")]
    problems = [problem for problem in problems if problem.severity == "error"]
    engaged = [name for name, mode in described.modes.items() if mode.compare]
    ends = [len(found) for name in engaged for found in (described.modes[name].input, described.modes[name].compare)]
    if ends != [1, 1]:
        message = (
            "training needs one mode that compares one output with the target and has one input; this circuit has "
            f"{len(engaged)} that compare, with {sum(ends[::2])} inputs and {sum(ends[1::2])} outputs. Say "
            'input = { y0 = "stimulus" } and compare = { d3 = "y3 - target" } in one.'
        )
        raise CircuitError([*problems, _problem("modes", message, circuit)])
    awake = described.modes[engaged[0]]
    problems += [_problem(path, message, circuit) for path, message in _passed_over(described, engaged[0], awake)]
    if problems:
        raise CircuitError(problems)
    (text,), (shown,) = awake.compare.values(), awake.input
    mirrors = tuple(name for name, mode in described.modes.items() if name != engaged[0] and mode.learn)
    output = text.partition("-")[0].strip()
    return SpikingRoles(engaged=engaged[0], mirrors=mirrors, rest=_rest(described), input=shown, output=output)


def _rest(described: Description) -> str | None:
    return None if described.code.estimate is None else described.code.estimate.rest


def _any_schedule(described: Description) -> list[dict[str, object]]:
    """Return a schedule in which every mode that learns has a turn, so that all of them are checked."""
    used = [name for name, mode in described.modes.items() if mode.learn or name == _rest(described)]
    return [{"mode": name, "duration": "1000 s"} for name in used]


def _passed_over(described: Description, engaged: str, awake: Mode) -> list[tuple[str, str]]:
    """Return where a circuit says what training in spikes has no counterpart of, and what to do."""
    training, found = described.training or Training(), list[tuple[str, str]]()
    if not awake.learn:
        found.append((f"modes.{engaged}.learn", 'nothing learns awake. Say learn = { "@W" = "forward" }.'))
    if "testing" in described.modes:
        found.append(("modes.testing", "training tests in a mode of this name. Call yours otherwise."))
    wanted = {"batch": 1, "loss": "squared", "warmup_epochs": 0, "drops": (), "rate": None, "augment": "none"}
    wanted |= {"mirror_angle_deg": None, "mirror_memory": "fixed", "mirror_means": "channel"}
    remedies = {
        "batch": "spiking cells learn after every image. Set training.batch = 1.",
        "loss": 'spiking cells compare the output itself. Set training.loss = "squared", and target.',
        "warmup_epochs": "rates of spiking circuits stay as they are. Set training.warmup_epochs = 0.",
        "drops": "rates of spiking circuits stay as they are. Set training.drops = [].",
        "rate": "each rule has the rate that its updater says, once an image. Set rules.….updater.rate instead.",
        "augment": 'images are shown to spiking cells as they are. Set training.augment = "none".',
        "mirror_angle_deg": "how long spiking cells mirror is said by training.mirror_examples, in windows. Set it.",
        "mirror_memory": 'what a B remembers is said by its updater. Set training.mirror_memory = "fixed".',
        "mirror_means": "cells subtract baselines of their own. Leave training.mirror_means out.",
    }
    found += [
        (f"training.{name}", remedies[name]) for name, value in wanted.items() if getattr(training, name) != value
    ]
    if training.mirror_examples is None and any(m.learn for n, m in described.modes.items() if n != engaged):
        message = "how long each mirror mode lasts is not said. Set it to a number of windows, such as 400."
        found.append(("training.mirror_examples", message))
    return [*found, *_resting(described, training), *_never_settled(described, training, engaged)]


def _resting(described: Description, training: Training) -> Iterator[tuple[str, str]]:
    """Refuse a mode of rest that shows images, and turns of it that have no length, or no mode."""
    rest = _rest(described)
    if rest is None:
        return
    if training.rest_examples is None:
        yield (
            "training.rest_examples",
            f"how long '{rest}' lasts is not said. Set it to a number of windows, such as 10.",
        )
    if described.modes[rest].input:
        message = "training shows images in the mode that compares, and nowhere else. Take the input out."
        yield f"modes.{rest}.input", message
    if described.modes[rest].learn:
        yield f"modes.{rest}.learn", "nothing learns at rest in training. Take it out."


def _never_settled(described: Description, training: Training, engaged: str) -> Iterator[tuple[str, str]]:
    """Refuse turns, awake and asleep, that end before anything is learned in them."""
    for name, mode in described.modes.items():
        resting = name == _rest(described)
        field = "mirror_every" if name == engaged else "rest_examples" if resting else "mirror_examples"
        windows = getattr(training, field)
        turn_s = (windows or 0) * (mode.window or described.time.window).s
        if (mode.learn or resting) and windows and turn_s <= described.time.settle.s:
            yield (
                f"training.{field}",
                f"a turn of '{name}' lasts {turn_s:g} s, and nothing is learned in the {described.time.settle} in "
                "which it settles. Ask for more windows, or lower time.settle.",
            )


def _problem(path: str, message: str, circuit: Circuit) -> Problem:
    file, line = circuit.place(tuple(path.split(".")))
    return Problem(name="training", path=path, message=message, file=file, line=line)
