"""Checks of the stimulus and the schedule."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.protocol import ArrayStimulus, DigitsStimulus, Item, Repeat, Step
from neuromirror.errors import Problem

MAX_STEPS = 100_000
MAX_EXAMPLES = 10**9


DIGIT_PIXELS, DIGIT_CLASSES = 64, 10


def check_stimulus(c: Context) -> Iterator[Problem]:
    if c.circuit.stimulus is not None:
        yield from _widths(c, c.circuit.stimulus)
        return
    if ("stimulus",) in c.dropped:
        return
    for name, mode in c.circuit.modes.items():
        if mode.input or mode.compare:
            part = "input" if mode.input else "compare"
            yield c.problem(
                "no-stimulus",
                ("modes", name, part),
                'nothing says where inputs come from. Add [stimulus] kind = "teacher".',
            )


def _widths(c: Context, stimulus: object) -> Iterator[Problem]:
    """Compare what the stimulus gives of each example with the cells that it is for."""
    if isinstance(stimulus, ArrayStimulus):
        yield from _arrays(c, stimulus)
        widths = [None if array is None else array.shape[-1] for array in (stimulus.inputs, stimulus.targets)]
    elif isinstance(stimulus, DigitsStimulus):
        widths = [DIGIT_PIXELS, DIGIT_CLASSES]
    else:
        return
    for name, mode in c.circuit.modes.items():
        for part, what, width in zip(("input", "compare"), ("inputs", "targets"), widths, strict=True):
            for population in getattr(mode, part):
                where, cells = ("modes", name, part, population), c.size(population)
                if width is None and not c.lost(("stimulus", what)):
                    message = f"the stimulus has no {what}. Add {what} = [[...], ...], a row for each example."
                    yield c.problem("no-examples", where, message)
                elif width is not None and cells is not None and width != cells:
                    message = f"{population} has {cells} cells, but an example of the stimulus has {width} {what}."
                    yield c.problem("wrong-shape", where, message)


def _arrays(c: Context, stimulus: ArrayStimulus) -> Iterator[Problem]:
    arrays = {"inputs": stimulus.inputs, "targets": stimulus.targets}
    lengths = {what: len(array) for what, array in arrays.items() if array is not None}
    for what, array in arrays.items():
        if array is not None and len(array.shape) != 2:
            message = f"found {array.shape}. Expected (examples, cells): a row for each example."
            yield c.problem("wrong-shape", ("stimulus", what), message)
    if len(set(lengths.values())) > 1:
        message = f"there are {lengths['targets']} targets for {lengths['inputs']} inputs. Expected one for each."
        yield c.problem("wrong-shape", ("stimulus", "targets"), message)


def check_schedule(c: Context) -> Iterator[Problem]:
    total = yield from _steps(c, c.circuit.schedule, ("schedule",))
    if total > MAX_STEPS:
        yield c.problem("too-long", ("schedule",), f"{total} steps once repeated; at most {MAX_STEPS} are run.")


def _steps(c: Context, items: tuple[Item, ...], path: Path) -> Generator[Problem, None, int]:
    """Check the steps at a path, and return their number once repeated."""
    total = 0
    for index, item in enumerate(items):
        here = (*path, index)
        if isinstance(item, Repeat):
            total += item.repeat * (yield from _steps(c, item.steps, (*here, "steps")))
            continue
        total += 1
        yield from c.missing("modes", item.mode, (*here, "mode"), "mode")
        if c.lost((*c.original(here), "duration")) or c.lost((*c.original(here), "examples")):
            continue
        yield from _length(c, item, (*here, "duration"))
        if (item.duration is None) == (item.examples is None):
            found = "neither" if item.duration is None else "both"
            yield c.problem(
                "step-length",
                here,
                f'a step has a duration, such as "20 s", or examples, such as 5000; this has {found}.',
            )
    return total


def windows_in(duration_s: float, window_s: float) -> int:
    """Return the number of whole windows in a duration; one that is whole but for rounding counts."""
    ratio = duration_s / window_s
    return math.floor(ratio * (1 + 1e-12) + 1e-9) if ratio < 2 * MAX_EXAMPLES else 2 * MAX_EXAMPLES


def _length(c: Context, step: Step, path: Path) -> Iterator[Problem]:
    mode = c.circuit.modes.get(step.mode)
    if step.duration is None or mode is None:
        return
    window = mode.window or c.circuit.time.window
    examples = windows_in(step.duration.s, window.s)
    if examples < 1:
        message = f"{step.duration} is shorter than one window of {window}. Make the step longer."
        yield c.problem("step-length", path, message)
    elif examples > MAX_EXAMPLES:
        message = f"{step.duration} is more than {MAX_EXAMPLES} windows of {window}. Make the step shorter."
        yield c.problem("step-length", path, message)
