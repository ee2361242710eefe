"""Updaters: how the mean drive of a rule changes a weight.

Every plain updater is one affine step, w ← keep·w + step·⟨drive⟩, whose two coefficients are known before the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

    def step(self, *, examples_seen: int, examples: int, window_s: float) -> Step:
        """Return the coefficients of one update.

        Parameters
        ----------
        examples_seen : int
            Examples that this weight has learned from before this update.
        examples : int
            Examples that this update averages over.
        window_s : float
            Length of one example, in seconds.
        """
        keep, step = self.coefficients(examples_seen=np.array([examples_seen]), examples=examples, window_s=window_s)
        return Step(keep=float(keep[0]), step=float(step[0]))

    def coefficients(
        self, *, examples_seen: NDArray[np.int_], examples: int, window_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``keep`` and ``step`` of many updates, each an array of the shape of `examples_seen`; see `step`."""
        if self.memory is None:
            keep = 1 - self.decay * (self.rate if self.decay_times_rate else 1.0)
            return np.full(examples_seen.shape, keep), np.full(examples_seen.shape, self.rate)
        unit = window_s if self.memory_in == "seconds" else 1.0
        memory = np.full(examples_seen.shape, self.memory)
        if self.memory_from is not None:
            memory = np.minimum(memory, self.memory_from + (examples_seen + examples) * unit)
        weight = np.minimum(1.0, examples * unit / memory)
        return 1 - weight, weight / self.decay
