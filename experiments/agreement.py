"""Agreement of the backends: what one circuit file does, wherever it runs.

Claim     The order of keys in a file changes no hash. Fed the same noise, torch in float64, Brian2's rates and the
          reference end with weights that are equal to 1e-9, torch in float32 to 1e-5. Spiking cells fire as Siegert's
          formula says, within 3 %, and mirror as rates do: after equally many effective examples B is at the same
          angle to Wᵀ, within 10 %. B learns through the circuit on every backend: where cross-projections are
          permuted, so is B.
Command   python -m experiments.agreement
Takes     3 minutes on two cores.
Expected  keys of 201 files in 20 orders: hashes     0 differ                             bound 0
          200 circuits, torch float64                weights 3e-16 from reference         bound 1e-09
          200 circuits, brian2-rate float64          weights 2e-16 from reference         bound 1e-09
          200 circuits, torch float32                weights 5e-07 from reference         bound 1e-05
          spikes, 5 to 100 Hz: rate                  -1.3 ± 0.4 % off at 100 Hz           bound 3 %
          20 s of spikes, 779 examples: angle        spikes/rates 0.98 (0.95 to 1.02)     bound 0.9 to 1.1
          60 s of spikes, 2330 examples: angle       spikes/rates 0.98 (0.94 to 1.02)     bound 0.9 to 1.1
          x0, x1 permuted, each rate backend         B 0e+00 from permuted                bound 1e-12
          x0, x1 permuted, spikes, 20 s              B ≤ 0.7° from permuted               bound 5°

          Differences of weights are the largest over all circuits, as shares of a circuit's largest weight. The rate is
          the worst of five, with its standard error. Angles are those of 20→10 cells over seeds 0 to 19, the geometric
          mean of their ratio with its 95 % interval.
"""

from __future__ import annotations

import random
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import neuromirror as nm
from experiments.bounds import Line
from experiments.in_memory import simulate
from experiments.random_circuits import RATE_BACKENDS, RandomChooser, random_circuit
from experiments.section import mirror, options, section
from experiments.siegert import measured
from neuromirror.measure import angle_deg, paired_difference, sampling_law

VARIANTS = (("torch", "float64", 1e-9), ("brian2-rate", "float64", 1e-9), ("torch", "float32", 1e-5))
"""Backends beside the reference, their numbers, and the largest relative difference of a weight."""
RUNAWAY = 1e3
"""Weights of a circuit that runs away; random ones begin with weights of about 1."""
NOISE_MV, DT_MS = 8, 0.5
"""Intrinsic noise and time step of Figure 1."""
LOWER, UPPER = 20, 10
BEGIN = 0.01
"""What the initial B counts for, as a share of all that it learns from."""
W = [[1.2, 0.1, -0.6], [-0.5, 0.9, 0.3]]
ORDERS = {"x0": [2, 0, 1], "x1": [1, 0]}
"""Which forward cell the cross-projections bring to each feedback cell, once permuted."""


def circuits(number: int) -> list[nm.Circuit]:
    """Return random circuits, always the same."""
    return [random_circuit(RandomChooser(np.random.default_rng(k))) for k in range(number)]


def shuffled(value: Any, order: random.Random) -> Any:
    """Return a value with the keys of all its tables in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        order.shuffle(items)
        return {key: shuffled(item, order) for key, item in items}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


def hashes(found: Sequence[nm.Circuit], *, orders: int) -> Line:
    """Count the circuits whose hashes depend on the order of keys."""
    order, changed = random.Random(0), 0
    for circuit in found:
        tables, own = tomllib.loads(circuit.to_toml()), (circuit.sha256, circuit.protocol_sha256)
        others = [nm.Circuit(shuffled(tables, order)) for _ in range(orders)]
        changed += any((other.sha256, other.protocol_sha256) != own for other in others)
    what = f"keys of {len(found)} files in {orders} orders: hashes"
    return Line(what=what, measured=f"{changed} differ", bound="0", met=changed == 0)


def weights(found: Sequence[nm.Circuit]) -> Iterator[Line]:
    """Compare the weights that backends end with, over random circuits.

    Some of these run away, by rules of their own that feed on themselves, and enlarge every rounding on the way. They
    say nothing of float32.
    """
    expected = [_arrays(circuit, "reference", seed) for seed, circuit in enumerate(found)]
    for backend, dtype, most in VARIANTS:
        differences = [
            relative_difference(_arrays(circuit, backend, seed, dtype), arrays)
            for seed, (circuit, arrays) in enumerate(zip(found, expected, strict=True))
            if dtype == "float64" or max(np.abs(array).max() for array in arrays) < RUNAWAY
        ]
        yield Line(
            what=f"{len(differences)} circuits, {backend} {dtype}",
            measured=f"weights {max(differences):.0e} from reference",
            bound=f"{most:.0e}",
            met=max(differences) <= most,
        )


def _arrays(circuit: nm.Circuit, backend: str, seed: int, dtype: str = "float64") -> list[np.ndarray]:
    """Return all weights and biases at the ends of all phases."""
    ends = simulate(circuit, backend, seed, dtype=dtype).phase_ends[1:]
    return [end.arrays[name] for end in ends for name in sorted(end.arrays)]


def relative_difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Return the largest difference of a number, as a share of the largest that is expected."""
    largest = max(float(np.abs(array).max()) for array in expected)
    apart = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    return apart / largest if largest else apart


def rates(*, share: float) -> Line:
    """Compare the rates of spiking cells with Siegert's formula for the time step."""
    found = measured(NOISE_MV, DT_MS, share).values()
    worst = max(found, key=lambda one: abs(one.rate_Hz / one.corrected_Hz - 1))
    off, error = worst.rate_Hz / worst.corrected_Hz - 1, worst.error_Hz / worst.corrected_Hz
    return Line(
        what="spikes, 5 to 100 Hz: rate",
        measured=f"{100 * off:+.1f} ± {100 * error:.1f} % off at {worst.continuous_Hz:.0f} Hz",
        bound="3 %",
        met=abs(off) <= 0.03,
    )


def angles(seconds: float, *, seeds: int) -> Line:
    """Compare the angle that spikes leave with that of rates after as many effective examples.

    Of spikes these are R²T/τ_c, measured on the spikes of the same runs: what the sampling law has in the place where
    the law for rates has the number of independent examples. Rows of W have equal norms, since unequal ones leave an
    angle with spikes that no time removes.
    """
    begin = f'rules.mirror.updater.memory_from="{BEGIN * seconds:g} s"'
    circuit = section(LOWER, UPPER, f"{seconds:g} s", equal_rows=True, changes=[begin])
    with tempfile.TemporaryDirectory() as folder:
        runs = nm.run_seeds(circuit, seeds=range(seeds), out=Path(folder) / "runs", figures=False)
        laws = [sampling_law(run, "B1") for run in runs]
        spikes_deg = [float(run.angles_deg("B1")[-1]) for run in runs]
    examples = round(np.median([law.r_squared * law.duration_s / law.tau_c_s for law in laws]))
    memory = {"memory": examples, "memory_from": max(1, round(BEGIN * examples))}
    changes = [f"rules.mirror.updater.{name}={number}" for name, number in memory.items()]
    as_rates = section(LOWER, UPPER, f"{examples} examples", equal_rows=True, changes=changes)
    rates_deg = mirror(as_rates, seeds=seeds, backend="torch").angles_deg
    ratio = paired_difference(np.log(spikes_deg), np.log(rates_deg))
    found, low, high = np.exp([ratio.estimate, ratio.low, ratio.high])
    return Line(
        what=f"{seconds:g} s of spikes, {examples} examples: angle",
        measured=f"spikes/rates {found:.2f} ({low:.2f} to {high:.2f})",
        bound="0.9 to 1.1",
        met=bool(0.9 <= found <= 1.1),
    )


def permutations(*, seconds: float, examples: int, seeds: int) -> Iterator[Line]:
    """Permute the cross-projections of Figure 1, and look for the same permutation in B."""
    orders = [f"projections.{axons}.permutation={order}" for axons, order in ORDERS.items()]
    for backend in RATE_BACKENDS:
        (straight,), (permuted,) = (_mirrored(backend, f"{examples} examples", 1, c) for c in ([], orders))
        apart = relative_difference([permuted], [straight[np.ix_(*ORDERS.values())]])
        what = f"x0, x1 permuted, {backend}"
        yield Line(what=what, measured=f"B {apart:.0e} from permuted", bound="1e-12", met=apart <= 1e-12)
    length = f"{seconds:g} s"
    straight, permuted = (_mirrored("brian2", length, seeds, changes) for changes in ([], orders))
    to_permuted = [angle_deg(b, a[np.ix_(*ORDERS.values())].T) for a, b in zip(straight, permuted, strict=True)]
    to_straight = [angle_deg(b, a.T) for a, b in zip(straight, permuted, strict=True)]
    yield Line(
        what=f"x0, x1 permuted, spikes, {length}",
        measured=f"B ≤ {max(to_permuted):.1f}° from permuted",
        bound="5°; unpermuted ≥ 45°",
        met=max(to_permuted) <= 5 and min(to_straight) >= 45,
    )


def _mirrored(backend: str, length: str, seeds: int, changes: Sequence[str]) -> list[np.ndarray]:
    """Return B, (3, 2), after mirror mode, of each seed."""
    given = [f'projections.W1.weight={{init="values", values={W}}}', 'projections.B1.weight={init="constant"}']
    circuit = section(len(W[0]), len(W), length, changes=[*given, *changes])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "runs"
        runs = nm.run_seeds(circuit, backend=backend, seeds=range(seeds), out=out, figures=False)
        return [run.weights("B1") for run in runs]


def lines(*, quick: bool) -> Iterator[Line]:
    """Measure everything, one line a bound."""
    made = circuits(4 if quick else 200)
    yield hashes([nm.load("figure1"), *made], orders=3 if quick else 20)
    yield from weights(made)
    yield rates(share=0.02 if quick else 1.0)
    for seconds in [2] if quick else [20, 60]:
        yield angles(seconds, seeds=2 if quick else 20)
    if quick:
        yield from permutations(seconds=1, examples=200, seeds=1)
    else:
        yield from permutations(seconds=20, examples=2000, seeds=5)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each bound, and return the exit code."""
    quick = options(__doc__, argv, quick="few circuits, short runs: shows only that it runs").quick
    met = True
    for line in lines(quick=quick):
        print(line, flush=True)
        met &= line.met
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
