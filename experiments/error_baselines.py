"""What spiking feedback cells fire at rest is the baseline of their errors: then biases and weights both learn.

Claim     A rule that subtracts the nominal β from all signals stays at chance on digits. With each cell's own average
          for y, and for δ the nominal β or its average at rest, the circuit learns; which of the two is better five
          seeds do not tell. A steady error is an error then, so that biases come to where their targets are.
Command   python -m experiments.error_baselines (--quick: a few images; --seeds N)
Takes     12 minutes on one core.
Expected  Seeds 0 to 4, W transported; test error, and difference from the last in points (95%, paired):
              β for y and δ               89.4%, +61.9 (+56.5 to +67.4)
              average of y, β for δ       29.3%, +1.9 (−2.4 to +6.1)
              average of y, δ at rest     27.5%
          Steady targets 50 Hz and 37.5 Hz away, after 24 s awake: the farther of two cells is 4.2 to 8.2 Hz away, by
          seed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import neuromirror as nm
from neuromirror.measure import over_seeds, paired_difference
from neuromirror.training.settings import Settings
from neuromirror.training.spiking import train_spiking_seeds

CIRCUIT, RATE, UNIT_HZ, BETA_HZ = "digits_narrow", 0.002, 25.0, 100.0
NO_REST = {"code.estimate.rest": None, "training.rest_examples": None, "modes.rest": None}
SCHEMES: dict[str, dict[str, Any]] = {
    "β for y and δ": {"code.estimate": None, "training.rest_examples": None, "modes.rest": None},
    "average of y, β for δ": NO_REST,
    "average of y, δ at rest": {},
}
"""What rules subtract."""

DEVIATIONS = (2.0, -1.5)
"""What is asked of the two output cells of Figure 1, whatever the input, in units of 25 Hz."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args(argv)
    seeds = range(1 if chosen.quick else chosen.seeds)
    with tempfile.TemporaryDirectory() as folder:
        print_digits(Path(folder), seeds, quick=chosen.quick)
        print_steady_error(Path(folder), seeds, quick=chosen.quick)


def print_digits(folder: Path, seeds: Sequence[int], *, quick: bool) -> None:
    """Print the test error of each scheme, W transported so that nothing but baselines matters."""
    errors = {name: _errors_percent(folder / str(k), seeds, SCHEMES[name], quick) for k, name in enumerate(SCHEMES)}
    *others, best = SCHEMES
    for name in SCHEMES:
        line = f"digits      {name:24} test error {over_seeds(errors[name]).mean:.1f}%"
        if name in others and len(seeds) > 1:
            difference = paired_difference(errors[name], errors[best])
            line += f", {difference.estimate:+.1f} (95% {difference.low:+.1f} to {difference.high:+.1f})"
        print(line, flush=True)


def _errors_percent(folder: Path, seeds: Sequence[int], values: dict[str, Any], quick: bool) -> list[float]:
    rates = {"rules.forward.updater.rate": RATE, "rules.bias.updater.rate": RATE}
    shorter = {"training.epochs": 1, "training.mirror_epochs": 0, "training.mirror_every": 10} if quick else {}
    images: dict[str, Any] = (
        {"train_images": 20, "test_images": 10} if quick else {"train_images": 1000, "test_images": 300}
    )
    runs = train_spiking_seeds(
        nm.load(CIRCUIT).with_values({**rates, **shorter, **values}),
        seeds_=list(seeds),
        out=folder,
        settings=Settings(method="bp", **images),
        figures=False,
    )
    return [run.manifest.summary["top1_error_percent"] for run in runs]


def print_steady_error(folder: Path, seeds: Sequence[int], *, quick: bool) -> None:
    """Print how far the outputs of Figure 1 are from steady targets that only biases can reach."""
    blocks = 1 if quick else 4
    schedule = [{"mode": "rest", "duration": "1 s"}, {"mode": "engaged", "duration": "6 s"}]
    circuit = nm.load("figure1").with_values(
        {
            "modes.rest": {"on": ["W1", "B1", "g0", "g1", "e1"], "window": "100 ms"},
            "code.estimate.rest": "rest",
            "stimulus": {"kind": "array", "inputs": [[0.0] * 3], "targets": [list(DEVIATIONS)]},
            "rules.forward.updater.rate": 0.0,
            "rules.bias.updater.rate": 0.02,
            "schedule": [{"repeat": blocks, "steps": schedule}],
        }
    )
    distances_Hz = []
    for seed in seeds:
        run = nm.run(circuit, seed=seed, out=folder / f"steady-{seed}", points=1, figures=False)
        spikes, since_s = run.spikes("y1"), 7.0 * blocks - 5.5
        rates_Hz = [np.sum((spikes.t_s > since_s) & (spikes.cell == cell)) / 5.5 for cell in range(2)]
        distances_Hz.append(float(np.abs(np.array(rates_Hz) - BETA_HZ - UNIT_HZ * np.array(DEVIATIONS)).max()))
    furthest = f"{min(distances_Hz):.1f} to {max(distances_Hz):.1f} Hz"
    print(f"Figure 1    targets {UNIT_HZ * max(DEVIATIONS):g} Hz away, after {6 * blocks} s awake: {furthest} away")


if __name__ == "__main__":
    main()
