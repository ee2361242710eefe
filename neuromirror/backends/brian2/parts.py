"""The parts of a window: cells that carry both signals (8.1) carry y in its first half and δ in its second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neuromirror.circuit.turns import takes_turns
from neuromirror.plan import Plan


@dataclass(frozen=True)
class Part:
    """The whole windows of a mode, or their first or second halves.

    Attributes
    ----------
    mode : str
    carries : "both", "y" or "delta"
        The signals that there are in it; ``both`` in a whole window.
    """

    mode: str
    carries: Literal["both", "y", "delta"] = "both"

    @property
    def has_y(self) -> bool:
        """Whether forward signals run."""
        return self.carries != "delta"

    @property
    def has_delta(self) -> bool:
        """Whether feedback signals run."""
        return self.carries != "y"

    @property
    def share(self) -> float:
        """Its share of the window."""
        return 1.0 if self.carries == "both" else 0.5


def turning_modes(plan: Plan) -> frozenset[str]:
    """Return the scheduled modes in which cells take turns."""
    return frozenset(phase.mode for phase in plan.phases if takes_turns(plan.description, phase.mode))


def parts_of(mode: str, *, turning: bool) -> tuple[Part, ...]:
    """Return the parts of a mode's windows, in the order of time."""
    return (Part(mode, "y"), Part(mode, "delta")) if turning else (Part(mode),)
