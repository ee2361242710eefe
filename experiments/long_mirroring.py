"""How near B comes to Wᵀ in 1,000 s of sleep, and what rows of W of unequal norm leave.

Claim     With rows of equal norm the angle still falls with the root of time, and bursts of all cells need about as
          little sleep for 100 and 500 inputs as for 20. Rows whose norms are lognormal (standard deviation of the log
          0.5) leave a floor, the slope of Siegert's curve under each row's drive; weaker synapses, quieter cells and
          lower cells that keep their mean rate at β asleep take most of it away.
Command   python -m experiments.long_mirroring [--size smoke|full] [--only TEXT]
Takes     40 seconds a seed for 100→50 cells on one core, some minutes for 500→100.
Expected  100→50, lognormal rows of 0.4, bursts of 2, seeds 0 to 5, medians (95%): angle 3.96° (3.74 to 4.21), of which
          rows of unequal norm leave 1.41° (0.94 to 1.87), by the law 2.57° (1.56 to 2.91); τ 41.1 ms (39.9 to 44.6).
          100→50, equal rows of 1, bursts of 3, seeds 0 to 5: angle 1.96° (1.82 to 2.10), floor 0.74° (0.45 to 0.96).
          500→100, seeds 0 to 2 (range): equal rows of 1, bursts of 3, angle 4.10° (4.05 to 4.10), floor 0.86°;
          lognormal rows of 0.4, bursts of 2, angle 5.21° (5.19 to 5.36), floor 1.11° (0.97 to 1.29).
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.sparse import csr_array

import neuromirror as nm
from experiments.section import section, stated
from neuromirror.circuit.lif import lif_of, working_point
from neuromirror.dynamics.neurons import LIF
from neuromirror.measure import gain_floor_deg, row_gains, siegert_gains
from neuromirror.record import Run

SPREAD = 0.5
"""Standard deviation of the logarithm of unequal norms."""

MEASURED_S = 30.0
"""How much of a run the drive of upper cells is measured on, in s."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Noise of the lower cells, and what else of `figure1` is changed for it.

    Attributes
    ----------
    amplitude : float
        Of bursts, in units of 25 Hz; 0 for the Gaussian noise of `figure1`.
    norm : float
        Root mean square of the norms of the rows of W.
    quiet_mV : float or None
        Intrinsic noise of all cells, where it is not that of `figure1`. Then the lower cells' bias also keeps their
        mean rate at β while they burst.
    """

    amplitude: float = 0.0
    norm: float = 1.0
    quiet_mV: float | None = None

    def changes(self, lower: int) -> list[str]:
        """Return what it changes of `figure1`, for so many lower cells."""
        changes = ['rules.mirror.updater={ memory = "100 h", memory_from = "2.5 ms", decay = 2.0 }']
        if self.amplitude:
            at_once = 2 ** math.ceil(math.log2(lower))
            law = f'law = "bursts", amplitude = {self.amplitude}, cells = {at_once}, dwell = "30 ms"'
            changes += [f"modes.mirror.noise.y0={{ {law} }}"]
            changes.append('modes.mirror.signal={ kind = "trace", tau = "12 ms" }')
        if self.quiet_mV is not None:
            noise = f'noise = "{self.quiet_mV} mV"'
            cell = 'model = "lif", tau_m = "20 ms", tau_syn = "8 ms", refractory = "2 ms"'
            bias_mV = 1e3 * bias_of_bursts_V(self.quiet_mV, self.amplitude)
            changes.append(f'cells.lower={{ {cell}, {noise}, default_bias = "{bias_mV:.4f} mV" }}')
            changes += ['populations.y0.cell="lower"', f'cells.cell.noise="{self.quiet_mV} mV"']
        return changes


def bias_of_bursts_V(noise_mV: float, amplitude: float) -> float:
    """Return the bias at which a cell of `figure1` fires at 100 Hz on average while it bursts up and down alike."""
    cell, dt_s = LIF(tau_m_s=0.02, refractory_s=0.002, reset_V=0.0, threshold_V=0.02, noise_V=noise_mV * 1e-3), 5e-4

    def above_Hz(bias_V: float) -> float:
        unit_V = 25.0 / cell.slope_Hz_per_V(bias_V, dt_s)
        return 0.5 * sum(cell.rate_Hz(bias_V + sign * amplitude * unit_V, dt_s) for sign in (-1, 1)) - 100.0

    return float(brentq(above_Hz, 0.02, 0.2))  # pyright: ignore[reportArgumentType]


GAUSSIAN, BURSTS = Design(), Design(amplitude=3.0)
GENTLE = Design(amplitude=2.0, norm=0.4, quiet_mV=2.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table: cells, whether all rows of W have one norm, the design, the length in s, and the seeds."""

    lower: int
    upper: int
    equal: bool
    design: Design
    length_s: float
    seeds: int

    @property
    def name(self) -> str:
        """What the table calls it."""
        noise = f"bursts of {self.design.amplitude:g}" if self.design.amplitude else "Gaussian"
        rows = "equal" if self.equal else "lognormal"
        return f"{self.lower}→{self.upper}, {rows} rows of {self.design.norm:g}, {noise}"


# Bursts stop after whole rounds, 15.36 s for 128 cells and 61.44 s for 512, since only those are orthogonal.
FULL = (
    Case(lower=100, upper=50, equal=True, design=GAUSSIAN, length_s=1000.0, seeds=6),
    Case(lower=100, upper=50, equal=True, design=BURSTS, length_s=998.4, seeds=6),
    Case(lower=100, upper=50, equal=False, design=GAUSSIAN, length_s=1000.0, seeds=6),
    Case(lower=100, upper=50, equal=False, design=BURSTS, length_s=998.4, seeds=6),
    Case(lower=100, upper=50, equal=False, design=GENTLE, length_s=998.4, seeds=6),
    Case(lower=500, upper=100, equal=True, design=BURSTS, length_s=983.04, seeds=3),
    Case(lower=500, upper=100, equal=False, design=GENTLE, length_s=983.04, seeds=3),
)
SMOKE = tuple(
    Case(lower=14, upper=6, equal=equal, design=design, length_s=1.92, seeds=1)
    for equal, design in ((True, BURSTS), (False, GENTLE))
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one run left.

    Attributes
    ----------
    angle_deg : float
        Between B and Wᵀ.
    floor_deg : float
        The part of it that unequal gains of the rows make.
    predicted_deg : float
        The same by Siegert's curve, from the spikes of the lower cells; see `neuromirror.measure.siegert_gains`.
    correlation : float
        Between measured and predicted gains of the rows.
    tau_ms : float
        τ of tan²θ = N·τ/T for what is not the floor.
    """

    angle_deg: float
    floor_deg: float
    predicted_deg: float
    correlation: float
    tau_ms: float


def weights(case: Case, seed: int) -> np.ndarray:
    """Return W, (upper, lower): signs for rows of equal norm, otherwise Gaussian rows scaled to lognormal norms."""
    rng = np.random.default_rng([seed, case.lower, case.upper])
    if case.equal:
        return case.design.norm * rng.choice([-1.0, 1.0], (case.upper, case.lower)) / math.sqrt(case.lower)
    rows = rng.standard_normal((case.upper, case.lower))
    norms = np.exp(SPREAD * rng.standard_normal(case.upper))
    norms *= case.design.norm / math.sqrt(float(np.mean(norms**2)))
    return rows * (norms / np.linalg.norm(rows, axis=1))[:, None]


def measure(case: Case, seed: int) -> Found:
    """Run a case with a seed, which draws W too."""
    values = f'{{ init = "values", values = {weights(case, seed).round(8).tolist()} }}'
    changes = [*case.design.changes(case.lower), f"projections.W1.weight={values}"]
    circuit = section(case.lower, case.upper, f"{case.length_s} s", changes=changes)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = nm.run(circuit, backend="brian2", seed=seed, out=out, figures=False, points=4)
        W, B = run.weights("W1"), run.weights("B1")
        found, predicted = row_gains(B, W), predicted_gains(circuit, run, min(MEASURED_S, case.length_s))
        angle_deg = float(run.angles_deg("B1")[-1])
    floor_deg = gain_floor_deg(W, found)
    sampled = math.tan(math.radians(angle_deg)) ** 2 - math.tan(math.radians(floor_deg)) ** 2
    return Found(
        angle_deg=angle_deg,
        floor_deg=floor_deg,
        predicted_deg=gain_floor_deg(W, predicted),
        correlation=float(np.corrcoef(found, predicted)[0, 1]),
        tau_ms=1e3 * sampled * case.length_s / case.lower,
    )


def predicted_gains(circuit: nm.Circuit, run: Run, measured_s: float) -> np.ndarray:
    """Return the gains of the upper cells that Siegert's curve predicts, from what the lower cells fire."""
    description = circuit.description
    cell, dt_s = description.cells["cell"], description.time.dt.s
    lif, (bias_V, slope_Hz_per_V) = lif_of(cell), working_point(cell, 100.0, dt_s)
    W, spikes, steps = run.weights("W1"), run.spikes("y0"), round(measured_s / dt_s)
    inside = spikes.t_s < measured_s - dt_s
    where = np.rint(spikes.t_s[inside] / dt_s).astype(int), spikes.cell[inside]
    fired = csr_array((np.ones(len(where[0])), where), shape=(steps, W.shape[1]))
    # A spike through a weight of 1 adds as much as 1 Hz for a second, through synapse and membrane.
    membrane_V = np.asarray(fired @ W.T) / (slope_Hz_per_V * dt_s)
    for tau_s in (cell.tau_syn.s, lif.tau_m_s):
        keep = math.exp(-dt_s / tau_s)
        membrane_V = lfilter([1 - keep], [1, -keep], membrane_V, axis=0)
    settled_V = np.asarray(membrane_V)[round(0.2 / dt_s) :]
    shift_V = settled_V.mean(axis=0) - 100.0 * W.sum(axis=1) / slope_Hz_per_V
    return siegert_gains(lif, bias_V, settled_V.std(axis=0), shift_V, dt_s)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("smoke", "full"), default="full")
    parser.add_argument("--quick", action="store_const", const="smoke", dest="size", help="the same as --size smoke")
    parser.add_argument("--only", default="", help="cases whose line in the table begins so")
    options = parser.parse_args(argv)
    print("median over seeds (95% interval, or the range of few seeds):")
    for case in SMOKE if options.size == "smoke" else FULL:
        if not case.name.startswith(options.only):
            continue
        print(f"{case.name}, {case.length_s:g} s")
        found = []
        for seed in range(case.seeds):
            found.append(one := measure(case, seed))
            print(f"  seed {seed}: angle {one.angle_deg:.2f}°, floor {one.floor_deg:.2f}°", flush=True)
        print(
            "  all",
            f"angle {stated([one.angle_deg for one in found])}",
            f"floor {stated([one.floor_deg for one in found])}",
            f"predicted {stated([one.predicted_deg for one in found])}",
            f"correlation of gains {np.median([one.correlation for one in found]):.2f}",
            f"τ {stated([one.tau_ms for one in found], ' ms')}",
            sep="  ",
            flush=True,
        )


if __name__ == "__main__":
    main()
