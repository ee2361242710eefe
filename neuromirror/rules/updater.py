"""Updaters: how the mean drive of a rule changes a weight.

Every plain updater is one affine step, w ← keep·w + step·⟨drive⟩, whose two coefficients are known before the run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Step:
    """Coefficients of one update, w ← keep·w + step·⟨drive⟩, ⟨·⟩ the mean over the examples of the update."""

    keep: float
    step: float


@dataclass(frozen=True, kw_only=True)
class PlainUpdater:
    """Gradient-free updates with decay (eq. 18), or a running average of a stated memory.

    Parameters
    ----------
    rate : float
        Learning-rate factor η.
    decay : float
        Decay λ.
    decay_times_rate : bool
        True reads "η 0.1, λ 0.5" (C.2) as Δw = η·(⟨drive⟩ − λ·w), so that w tends to ⟨drive⟩/λ; False is the literal
        eq. 18, Δw = η·⟨drive⟩ − λ·w, whose fixed point is η⟨drive⟩/λ.
    memory : float or None
        Length of the running average, in seconds or in examples (see `memory_in`); replaces `rate`. The update is
        Δw = a·(⟨drive⟩/λ − w), a = span/memory, whatever the number of examples of an update.
    memory_from : float or None
        Where given, the memory starts here and grows with the time spent learning, up to `memory`: the initial weight
        counts as much as so much learning, and everything seen since counts alike. None: `memory` from the start.
    memory_in : {"seconds", "examples"}
        The unit of `memory` and `memory_from`.
    """

    rate: float = 0.0
    decay: float = 0.0
    decay_times_rate: bool = True
    memory: float | None = None
    memory_from: float | None = None
    memory_in: str = "seconds"

    def step(self, *, seen: float, span: float) -> Step:
        """Return the coefficients of the update that follows after `seen` of learning.

        Parameters
        ----------
        seen : float
            Seconds or examples (as `memory_in` says) that this weight has learned from before this update.
        span : float
            Seconds or examples that this update averages over.
        """
        if self.memory is None:
            return Step(keep=1 - self.decay * (self.rate if self.decay_times_rate else 1.0), step=self.rate)
        memory = self.memory if self.memory_from is None else min(self.memory, self.memory_from + seen + span)
        weight = min(1.0, span / memory)
        return Step(keep=1 - weight, step=weight / self.decay)

    def step_of(self, *, examples_seen: int, examples: int, window_s: float) -> Step:
        """Return `step` for an update that averages over a number of examples of ``window_s`` seconds each."""
        unit = window_s if self.memory_in == "seconds" else 1.0
        return self.step(seen=examples_seen * unit, span=examples * unit)
