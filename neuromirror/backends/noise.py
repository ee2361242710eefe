"""Noise of a run of rates, and the order of bursts for spikes and rates alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from neuromirror import seeds
from neuromirror.circuit.description import Noise
from neuromirror.dynamics.bursts import BurstCode
from neuromirror.dynamics.correlation import shares
from neuromirror.errors import choice
from neuromirror.modes import ModePlan
from neuromirror.plan import FloatArray, Plan


class NoiseSource:
    """Noise of every population, one draw for each example, from NumPy's named streams."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._streams = {name: seeds.stream(plan.seed, "noise", name) for name in plan.sizes}
        self._common = {name: seeds.stream(plan.seed, "noise", name, "common") for name in plan.sizes}
        self._shown = Counter[tuple[str, str]]()

    def draw(self, mode: ModePlan, examples: int) -> dict[str, FloatArray]:
        """Return the next noise of the mode's noisy populations, (example, cell), in units of ``code.unit``."""
        drawn = {}
        for name, noise in sorted(mode.noise.items()):
            if noise.law == "bursts":
                drawn[name] = self._bursts(mode, name, noise, examples)
            elif noise.law == "poisson":
                drawn[name] = self._poisson(mode, name, examples)
            elif choice("noise.law", noise.law, "gaussian", "rademacher"):
                drawn[name] = noise.sd * self._correlated(name, noise, examples)
        # Feedback cells get no noise; rules see that of forward cells where they are the same.
        populations = self._plan.description.populations.items()
        return drawn | {name: drawn[p.shares] for name, p in populations if p.shares in drawn}

    def _correlated(self, name: str, noise: Noise, examples: int) -> FloatArray:
        """Return draws of unit variance, any two cells of which have the correlation ρ.

        Gaussian: x_j = √(1 − ρ)·z_j + √ρ·z. Rademacher: each cell takes the sign that all have in common with
        probability √ρ, and one of its own otherwise.
        """
        size, common, rho = self._plan.sizes[name], self._common[name], noise.correlation or 0.0
        private_share, common_share = shares(rho)
        own = _unit(noise.law, self._streams[name], (examples, size))
        if not rho:
            return own
        if choice("noise.law", noise.law, "gaussian", "rademacher") == "gaussian":
            shared = common.standard_normal((examples, 1))
            return np.asarray(private_share * own + common_share * shared, dtype=np.float64)
        drawn = common.random((examples, 1 + size))
        return np.where(drawn[:, 1:] < common_share, _signs(drawn[:, :1] < 0.5), own)

    def _bursts(self, mode: ModePlan, name: str, noise: Noise, examples: int) -> FloatArray:
        first = self._shown[mode.name, name]
        self._shown[mode.name, name] += examples
        slots = np.arange(first, first + examples) // dwell_windows(mode, noise)
        return (noise.amplitude or 0.0) * burst_code(self._plan, name, noise).signs(slots)

    def _poisson(self, mode: ModePlan, name: str, examples: int) -> FloatArray:
        """Return how the rate of Poisson spikes, counted in a window, deviates from β."""
        counts_of_unit = self._plan.unit_Hz * mode.window_s
        expected = self._plan.beta * counts_of_unit
        counts = self._streams[name].poisson(expected, (examples, self._plan.sizes[name]))
        return np.asarray((counts - expected) / counts_of_unit, dtype=np.float64)


def _unit(law: str, stream: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Return independent draws of mean zero and unit variance."""
    if choice("noise.law", law, "gaussian", "rademacher") == "gaussian":
        return stream.standard_normal(shape)
    return _signs(stream.integers(0, 2, size=shape) == 1)


def _signs(positive: NDArray[np.bool_]) -> FloatArray:
    return np.where(positive, 1.0, -1.0).astype(np.float64)


def dwell_windows(mode: ModePlan, noise: Noise) -> int:
    """Return how many windows a burst lasts; the checks see to it that they are whole."""
    return 1 if noise.dwell is None else round(noise.dwell.s / mode.window_s)


def burst_code(plan: Plan, population: str, noise: Noise) -> BurstCode:
    """Return the order in which the cells of a population burst: that of their numbers, or one drawn for each round."""
    size = plan.sizes[population]

    def places(number: int) -> np.ndarray:
        if choice("noise.order", noise.order, "given", "shuffled", None) == "given":
            return np.arange(size)
        return seeds.stream(plan.seed, "noise", population, "order", number).permutation(size)

    return BurstCode(cells=size, at_once=noise.cells or 1, places=places)
