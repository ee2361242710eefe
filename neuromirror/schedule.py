"""The schedule as phases: which mode runs when, in examples and in simulated time alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neuromirror.circuit.checks import windows_in
from neuromirror.circuit.description import Description, Mode
from neuromirror.circuit.protocol import Signal
from neuromirror.circuit.templates import flat
from neuromirror.errors import CircuitError, Problem, choice

Locate = Callable[[tuple[str | int, ...]], tuple[str | None, int | None]]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of one mode.

    Attributes
    ----------
    mode : str
        Name of the mode.
    window_s : float
        Length of one example, in seconds.
    examples : int
        Number of windows.
    first_example : int
        Number of examples that ran before, over all phases.
    start_s : float
        Simulated time at which it starts, in seconds.
    """

    mode: str
    window_s: float
    examples: int
    first_example: int
    start_s: float

    @property
    def stop_s(self) -> float:
        """Simulated time at which the phase ends, in seconds."""
        return self.start_s + self.examples * self.window_s


def window_s(description: Description, mode: Mode) -> float:
    """Return the length of one example of a mode, in seconds."""
    return (mode.window or description.time.window).s


def signal_of(description: Description, mode: Mode) -> Signal:
    """Return what rules read of a spiking cell in a mode."""
    signal = mode.signal or description.time.signal
    choice("signal.kind", signal.kind, "count", "trace")
    return signal


def phases(description: Description, locate: Locate = lambda path: (None, None)) -> tuple[Phase, ...]:
    """Return the phases of an expanded description.

    Parameters
    ----------
    description : Description
    locate : callable, optional
        Gives file and line for a key path, for messages.

    Raises
    ------
    CircuitError
        If the schedule is empty, or a step is shorter than one window.
    """
    found: list[Phase] = []
    start_s, first = 0.0, 0
    for index, step in enumerate(flat(description.schedule)):
        window = window_s(description, description.modes[step.mode])
        examples = step.examples or (windows_in(step.duration.s, window) if step.duration else 0)
        if examples < 1:
            message = f"{step.duration} is shorter than one window of {window * 1e3:g} ms. Make the step longer."
            raise CircuitError([Problem(name="step-length", path=f"schedule.{index}.duration", message=message)])
        phase = Phase(mode=step.mode, window_s=window, examples=examples, first_example=first, start_s=start_s)
        found.append(phase)
        start_s, first = phase.stop_s, first + examples
    if not found:
        message = 'nothing to run. Add [[schedule]] with mode = "…" and duration = "20 s".'
        file, line = locate(("schedule",))
        raise CircuitError([Problem(name="no-schedule", path="schedule", message=message, file=file, line=line)])
    return tuple(found)
