"""Checks of what makes cells noisy: the fields that go with each law."""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.description import Mode, Noise
from neuromirror.errors import Problem

_OF_BURSTS = ("amplitude", "cells", "dwell", "order")


def check_noise(c: Context) -> Iterator[Problem]:
    for name, mode in c.circuit.modes.items():
        for population, noise in mode.noise.items():
            path: Path = ("modes", name, "noise", population)
            yield from _fields(c, path, noise)
            if noise.law == "bursts":
                yield from _bursts(c, path, mode, noise, c.size(population))


def _fields(c: Context, path: Path, noise: Noise) -> Iterator[Problem]:
    """Refuse fields that the law does not use, and those that it lacks."""
    lacking = [field for field in ("amplitude", "dwell") if getattr(noise, field) is None]
    if noise.law == "bursts" and lacking and not any(c.lost((*path, field)) for field in lacking):
        message = f'bursts need {" and ".join(lacking)}: such as amplitude = 2.0, dwell = "40 ms".'
        yield c.problem("no-burst", path, message)
    for field in _OF_BURSTS:
        if noise.law != "bursts" and getattr(noise, field) is not None:
            message = f'only bursts have this; the law is {noise.law}. Take it out, or say law = "bursts".'
            yield c.problem("unused-burst", (*path, field), message)
    if noise.law in ("bursts", "poisson") and noise.correlation is not None:
        message = f'{noise.law} have no correlation. Take it out, or say law = "gaussian".'
        yield c.problem("unused-correlation", (*path, "correlation"), message)
    if noise.law == "poisson" and c.circuit.code.beta is None:
        message = "Poisson processes have a rate, that of the baseline, and this code has none. Take a baseline code."
        yield c.problem("no-poisson-rate", (*path, "law"), message)


def _bursts(c: Context, path: Path, mode: Mode, noise: Noise, size: int | None) -> Iterator[Problem]:
    at_once, beta = noise.cells or 1, c.circuit.code.beta
    if at_once & (at_once - 1) or (size is not None and at_once >= 2 * size):
        most = "" if size is None else f", below {2 * size} for {size} cells"
        message = f"{at_once} cells cannot burst together: their signs need a power of 2 (1, 2, 4 …){most}."
        yield c.problem("burst-cells", (*path, "cells"), message)
    window = mode.window or c.circuit.time.window
    if noise.dwell is not None and not _whole(noise.dwell.s / window.s):
        message = f"a dwell of {noise.dwell} is not a whole number of windows of {window}. Change either."
        yield c.problem("burst-window", (*path, "dwell"), message)
    if noise.amplitude is not None and beta is not None and noise.amplitude * c.circuit.code.unit.Hz > beta.Hz:
        message = (
            f"an amplitude of {noise.amplitude * c.circuit.code.unit.Hz:g} Hz below a baseline of {beta} is cut off at "
            "zero, and bursts above and below no longer match. Lower it."
        )
        yield c.problem("burst-clipped", (*path, "amplitude"), message, "warning")


def _whole(ratio: float) -> bool:
    """Return whether a ratio is a whole number from 1 on, but for rounding."""
    return 0.5 < ratio < 2**53 and abs(ratio - round(ratio)) <= 1e-9 * ratio
