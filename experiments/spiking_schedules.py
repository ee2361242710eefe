"""Schedules of section 8.5 in spikes: which layers of a chain may be noisy at a time, and what a wrong choice costs.

Claim     One layer at a time and every second layer bring every B as close to its Wᵀ as sampling allows, below 9° after
          60 s of noise, provided that the noisy layers' own input is held off; every second layer needs two turns
          instead of one for each B. What the others leave is that of the law of driven layers, with the share f of a
          layer's variance that its input drives. All at once fails because f is a third to a half: B copies the
          correlations that a layer's input makes, and three times the noise takes 1° off 18°. A single noisy input
          fails because it whitens no layer but its own: of what the others pass on f is 0.5 to 0.6, and the rest, their
          own spiking, is all that keeps B from the 45° and 55° of cells without noise.
Command   python -m experiments.spiking_schedules (--size smoke|full, --seeds N, --layers 4 6, --cells N)
Takes     9 minutes of processor time for chain4, and about twice that for chain6.
Expected  chain4, seeds 0 to 9, mean angle of all B, median (95 % interval), after 60 s of noise and after 180 s in all,
          the law (median) of B3, and the difference from one layer at a time after 180 s in all, paired by seed:
            one layer at a time           5.80° (5.70 to 5.85)    5.80°   B3  5.7° law  5.3°
            every second layer            5.76° (5.63 to 5.88)    4.85°   B3  5.6° law  5.3°    −0.96 (−1.07 to −0.85)
            one layer, own input on       8.33° (7.99 to 8.77)    8.33°   B3  9.8° law  9.1°    +2.59 (+2.30 to +2.88)
            every second, own input on   13.23° (12.41 to 14.28) 12.67°   B3 24.0° law 23.7°    +6.93 (+6.33 to +7.54)
            all at once                  18.36° (17.46 to 18.87) 17.18°   B3 27.0° law 26.2°   +11.31 (+10.69 to +11.93)
            a single noisy input         24.06° (22.94 to 25.02) 23.43°   B3 35.8° law 34.6°   +17.53 (+16.83 to +18.23)
          chain6, likewise, after 60 s of noise: 5.73°, 5.74°, 8.61°, 19.03°, 23.45° and 29.90° in this order; every
          second layer after 300 s in all 3.86° (3.83 to 3.97), −1.79 (−1.85 to −1.73).
          At the same 60 s of noise every second layer differs from one at a time by −0.03° (−0.08 to +0.03).
          The law lacks some 2° that rows of W of unequal norm leave.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import neuromirror as nm
from experiments.section import stated
from neuromirror.backends.base import Options
from neuromirror.measure import (
    driven_angle_deg,
    driven_covariance,
    driven_share,
    paired_difference,
    passed_covariance,
    phase_signals,
    sampling_law,
)
from neuromirror.record import Run

LAGS = 48
"""Windows over which upper cells pass signals on, 120 ms."""

ROWS = 12
"""Rows of the metrics in the noise time of one layer."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is run: seconds that each layer is noisy, seeds, numbers of layers and which schedules."""

    noise_s: float
    seeds: int
    layers: tuple[int, ...]
    schedules: slice


SIZES = {
    "smoke": Size(noise_s=1.0, seeds=2, layers=(4,), schedules=slice(0, 2)),
    "full": Size(noise_s=60.0, seeds=10, layers=(4, 6), schedules=slice(None)),
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A choice of what is noisy at a time, as ``[mirroring]`` of a circuit file has it."""

    name: str
    turns: str
    own_input: str = "off"

    def phases(self, arrays: int) -> int:
        """Return the number of its modes in a chain of so many weight arrays."""
        return {"each": arrays, "alternate": 2}.get(self.turns, 1)


EACH = Schedule(name="one layer at a time", turns="each")
ALTERNATE = Schedule(name="every second layer", turns="alternate")
SCHEDULES = (
    EACH,
    ALTERNATE,
    Schedule(name="one layer, own input on", turns="each", own_input="on"),
    Schedule(name="every second, own input on", turns="alternate", own_input="on"),
    Schedule(name="all at once", turns="together"),
    Schedule(name="a single noisy input", turns="single"),
)


@dataclass(frozen=True, kw_only=True)
class At:
    """Angles at one time of all runs of a schedule: arrays (seeds, B), in degrees.

    ``law_deg`` has what sampling leaves, from the run's own spikes, and what driven layers add to it.
    """

    angles_deg: np.ndarray
    law_deg: np.ndarray

    @property
    def mean_deg(self) -> np.ndarray:
        """Mean over B, (seeds,)."""
        return self.angles_deg.mean(axis=1)

    def __str__(self) -> str:
        each = "  ".join(
            f"B{k} {found:.1f} law {law:.1f}"
            for k, (found, law) in enumerate(zip(np.median(self.angles_deg, 0), np.median(self.law_deg, 0)), 1)
        )
        return f"mean of B {stated(list(self.mean_deg))}  largest {self.angles_deg.max():.1f}°  {each}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a schedule leaves after the same noise time of each layer, and after the same time in all.

    ``shares`` has by seed and B the part f of the noisy layer's variance that other layers drive.
    """

    same_noise: At
    same_time: At
    shares: np.ndarray


def measure(layers: int, schedule: Schedule, *, noise_s: float, seeds: int, cells: int) -> Found:
    """Run a chain with seeds 0 to ``seeds`` − 1 for as long as one layer at a time needs for ``noise_s`` each."""
    arrays = layers - 1
    phase_s = noise_s * arrays / schedule.phases(arrays)
    changes = [
        f"layers.sizes={[cells] * layers}",
        f"mirroring.turns={schedule.turns}",
        f"mirroring.own_input={schedule.own_input}",
        'rules.mirror.updater.memory="10 h"',
        f'schedule=[{{ mode = "mirroring", duration = "{phase_s} s" }}]',
    ]
    options = Options(points=arrays * ROWS)
    circuit = nm.load(f"chain{layers}", changes)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "runs"
        runs = nm.run_seeds(circuit, backend="brian2", seeds=range(seeds), out=out, options=options, figures=False)
        taught = [dict(_taught(circuit, run, noise_s)) for run in runs]
    found = np.array([[one[layer] for layer in range(arrays)] for one in taught])  # (seeds, B, numbers)
    noise_deg, noise_law_deg, time_deg, time_law_deg, shares = found.transpose(2, 0, 1)
    return Found(
        same_noise=At(angles_deg=noise_deg, law_deg=noise_law_deg),
        same_time=At(angles_deg=time_deg, law_deg=time_law_deg),
        shares=shares,
    )


def _taught(circuit: nm.Circuit, run: Run, noise_s: float) -> Iterator[tuple[int, list[float]]]:
    """Yield by layer for the B above: angle and law after ``noise_s`` of noise, both at the end, and f of the layer."""
    times_s = np.array(run.times_s())
    for number, phase in enumerate(run.manifest.phases):
        chains = driven_shares(circuit, run, number)
        for layer, shares in chains.items():
            name, lasts_s = f"B{layer + 1}", phase["stop_s"] - phase["start_s"]
            sampling = sampling_law(run, name, phase=number)
            driven_deg = driven_angle_deg(shares, [sampling.fan_in] * (len(shares) + 1))
            numbers = []
            for noisy_s in (noise_s, lasts_s):
                row = int(np.searchsorted(times_s, phase["start_s"] + noisy_s + 1e-6)) - 1
                sampled_deg = scaled_deg(sampling.angle_deg, math.sqrt(lasts_s / noisy_s))
                numbers += [float(run.angles_deg(name)[row]), both_deg(driven_deg, sampled_deg)]
            yield layer, [*numbers, shares[-1] if shares else 0.0]


def scaled_deg(angle_deg: float, factor: float) -> float:
    """Return the angle whose tangent is so many times as large."""
    return math.degrees(math.atan(factor * math.tan(math.radians(angle_deg))))


def both_deg(first_deg: float, second_deg: float) -> float:
    """Return the angle of two errors of B at right angles to each other: the squares of their tangents add up."""
    return math.degrees(math.atan(math.hypot(math.tan(math.radians(first_deg)), math.tan(math.radians(second_deg)))))


def driven_shares(circuit: nm.Circuit, run: Run, phase: int) -> dict[int, list[float]]:
    """Return by layer whose W is mirrored in a phase the shares f of all layers that drive each other up to it.

    They are those of the signals that B joins, the copies in the feedback cells, which its delays line up.
    """
    mode = circuit.description.modes[run.manifest.phases[phase]["mode"]]
    arrays = len(run.mirrored)
    signals = [phase_signals(run, f"d{layer}", phase=phase) for layer in range(arrays + 1)]
    shares, below = list[float](), np.eye(signals[0].shape[1])
    found = {}
    for layer in range(arrays):
        own, onward = f"W{layer}", f"W{layer + 1}"
        if own in mode.on and onward in mode.on:
            passed = passed_covariance(signals[layer], signals[layer + 1], run.unit_weights(onward), LAGS)
            share = driven_share(passed, run.unit_weights(own), below)
            shares, below = [*shares, share], driven_covariance(share, run.unit_weights(own), below)
        else:
            shares, below = [], np.eye(signals[layer].shape[1])
        if f"B{layer + 1}" in mode.learn:
            found[layer] = shares
    return found


def lines(schedule: Schedule, found: Found, *, arrays: int, noise_s: float) -> Iterator[str]:
    """Yield what is printed of a schedule."""
    phases = schedule.phases(arrays)
    yield f"  {schedule.name}"
    for each_s, at in {noise_s: found.same_noise, noise_s * arrays / phases: found.same_time}.items():
        yield f"    {each_s:3g} s of noise, {each_s * phases:3g} s in all: {at}"
    if found.shares.any():
        shares = "  ".join(f"y{layer} {share:.2f}" for layer, share in enumerate(np.median(found.shares, axis=0)))
        yield f"    share of the noisy layer's variance that other layers drive: {shares}"


def differences(found: dict[str, Found]) -> Iterator[str]:
    """Yield how the mean of B of each schedule differs from that of one layer at a time."""
    yield "  mean of B against one layer at a time, paired by seed (95% interval): same noise; same time in all"
    best = found.pop(EACH.name)
    for name, one in found.items():
        noise = _against(one.same_noise.mean_deg, best.same_noise.mean_deg)
        yield f"    {name.ljust(26)} {noise}; {_against(one.same_time.mean_deg, best.same_time.mean_deg)}"


def _against(a: np.ndarray, b: np.ndarray) -> str:
    found = paired_difference(a, b)
    return f"{found.estimate:+.2f}° ({found.low:+.2f} to {found.high:+.2f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="smoke or full")
    parser.add_argument("--quick", action="store_const", const="smoke", dest="size", help="the same as --size smoke")
    parser.add_argument("--seeds", type=int, help="runs of each schedule, 2 or more, instead of what the size says")
    parser.add_argument("--layers", type=int, nargs="+", choices=(4, 6), help="of the chains; by default both")
    parser.add_argument("--cells", type=int, default=20, help="of each layer")
    options = parser.parse_args(argv)
    size = SIZES[options.size]
    seeds = size.seeds if options.seeds is None else options.seeds
    if seeds < 2 or options.cells < 2:
        parser.error("--seeds and --cells: expected 2 or more")
    for layers in options.layers or size.layers:
        print(f"chain{layers}, {options.cells} cells a layer, {seeds} seeds; medians (95% interval):", flush=True)
        found = dict[str, Found]()
        for schedule in SCHEDULES[size.schedules]:
            one = measure(layers, schedule, noise_s=size.noise_s, seeds=seeds, cells=options.cells)
            print(*lines(schedule, one, arrays=layers - 1, noise_s=size.noise_s), sep="\n", flush=True)
            found[schedule.name] = one
        print(*differences(found), sep="\n", flush=True)


if __name__ == "__main__":
    main()
