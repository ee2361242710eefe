"""The time step: what a spiking circuit does hardly depends on it.

Claim     With time steps of 0.1, 0.25 and 0.5 ms the same circuit learns the same B as far as its seeds can tell: the
          angle to Wᵀ differs by less than 10 %, gain and mean rates by less than 3 %.
Command   python -m experiments.time_step
Takes     1 minute on two cores.
Expected  20→10 cells, 20 s of mirror mode, seeds 0 to 9; difference from 0.1 ms in %, mean (95 % interval, paired):
              0.25 ms    angle −1.5 (−7.5 to +4.5)   gain +0.9 (+0.0 to +1.7)   rates −0.7 to −0.5
              0.5 ms     angle −3.7 (−8.1 to +0.7)   gain +1.5 (+0.2 to +2.8)   rates −1.7 to −1.3
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import neuromirror as nm
from experiments.section import options, section
from neuromirror.measure import Interval, paired_difference

LOWER, UPPER = 20, 10
FINEST, COARSER = "0.1 ms", ("0.25 ms", "0.5 ms")


def results(step: str, length: str, *, seeds: int) -> dict[str, np.ndarray]:
    """Return angle in degrees, gain, and mean rate of each population in Hz, (seeds,) each."""
    circuit = section(LOWER, UPPER, length, changes=[f'time.dt="{step}"'])
    with tempfile.TemporaryDirectory() as folder:
        runs = nm.run_seeds(circuit, seeds=range(seeds), out=Path(folder) / "runs", figures=False)
        found = {"angle": [run.angles_deg("B1")[-1] for run in runs], "gain": [run.gain("B1")[-1] for run in runs]}
        for name, entry in runs[0].manifest.populations.items():
            cells_s = entry["size"] * runs[0].manifest.phases[-1]["stop_s"]
            found[f"rate of {name}"] = [len(run.spikes(name)) / cells_s for run in runs]
    return {name: np.array(values) for name, values in found.items()}


def differences(length: str, *, seeds: int) -> dict[str, dict[str, Interval]]:
    """Return by time step and by measure the relative difference from the finest step, paired by seed."""
    finest = results(FINEST, length, seeds=seeds)
    found = {}
    for step in COARSER:
        coarse = results(step, length, seeds=seeds)
        found[step] = {name: paired_difference(np.log(coarse[name]), np.log(values)) for name, values in finest.items()}
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    quick = options(__doc__, argv, quick="2 seeds, 0.4 s: shows only that it runs").quick
    found = differences("400 ms" if quick else "20 s", seeds=2 if quick else 10)
    print(f"{LOWER}→{UPPER} cells, difference from a time step of {FINEST} in %, mean (95% interval, paired):")
    for step, by_name in found.items():
        for name, one in by_name.items():
            print(f"{step:8} {name:12} {1e2 * one.estimate:+.1f} ({1e2 * one.low:+.1f} to {1e2 * one.high:+.1f})")


if __name__ == "__main__":
    main()
