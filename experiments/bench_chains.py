"""Bounds on spiking chains of four layers, whose B take turns to mirror; `experiments.bench` prints them."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.bounds import Line
from experiments.spiking_schedules import ALTERNATE, EACH, Found, measure
from neuromirror.measure import paired_difference

NOISE_S, MOST_DEG = 60.0, 9.0
"""Seconds for which each layer is noisy, and the largest angle that any B of any seed may then have."""


def lines(*, seeds: int, wide_seeds: int) -> Iterator[Line]:
    """Mirror chains of 20 and of 40 cells a layer, and hold every B against its bound."""
    each, alternate = (measure(4, schedule, noise_s=NOISE_S, seeds=seeds, cells=20) for schedule in (EACH, ALTERNATE))
    yield from angle_lines(each, alternate)
    yield largest_line("40 cells, one layer at a time", measure(4, EACH, noise_s=NOISE_S, seeds=wide_seeds, cells=40))


def angle_lines(each: Found, alternate: Found) -> Iterator[Line]:
    """Hold both schedules of the same chain against the bound, and against each other."""
    yield largest_line("20 cells, one layer at a time", each)
    yield largest_line("20 cells, every second layer", alternate)
    found = paired_difference(alternate.same_noise.mean_deg, each.same_noise.mean_deg)
    yield Line(
        what="chain4: every second layer − one at a time",
        measured=f"{found.estimate:+.2f}° ({found.low:+.2f}° to {found.high:+.2f}°)",
        bound="0° within",
        met=found.low <= 0 <= found.high,
    )


def largest_line(what: str, found: Found) -> Line:
    """Hold the largest angle of all B and seeds against the bound."""
    angles_deg = found.same_noise.angles_deg
    seeds, arrays = angles_deg.shape
    largest = float(angles_deg.max())
    measured = f"{largest:.2f}°, largest of {arrays} B and {seeds} seeds"
    return Line(what=f"chain4, {what}", measured=measured, bound=f"{MOST_DEG:g}°", met=largest <= MOST_DEG)
