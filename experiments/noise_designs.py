"""Which noise teaches B the most for a second of sleep, and which for a spike?

Claim     Bursts of all cells whose patterns are orthogonal and followed by their negatives leave a third of the 28.6 ms
          of τ in tan²θ = N·τ/T that independent noise leaves at best, at mean rates below 100 Hz; bursts of 8 of 20
          cells at a time leave about a half. What remains is the spiking of the cells themselves.
Command   python -m experiments.noise_designs [--out DIR], which draws noise_designs.svg there
Takes     about 2 minutes on an idle core.
Expected  20→10 cells, 30 s, seeds 0 to 7: median τ (95 % interval) beside its law; the mean rate of the lower cells;
          and the spikes that one of them fires in τ:
              Gaussian, 5 ms              26.0 ms (20.2 to 33.7)   law 25.8 ms    94 Hz   2.5
              Gaussian, 20 ms             32.7 ms (23.8 to 42.7)   law 34.4 ms    94 Hz   3.1
              Gaussian, correlation .05   43.8 ms (38.0 to 54.4)   law 47.9 ms    94 Hz   4.1
              Poisson                     26.2 ms (19.4 to 29.2)   law 25.4 ms   100 Hz   2.6
              bursts of 1                 31.5 ms (27.6 to 36.0)   law 33.1 ms    98 Hz   3.1
              bursts of 4                 16.6 ms (15.9 to 19.5)   law 17.3 ms    96 Hz   1.6
              bursts of 8                 14.5 ms (13.7 to 17.7)   law 10.7 ms    94 Hz   1.4
              bursts of all 20             9.9 ms  (8.7 to 12.3)   law  8.4 ms    88 Hz   0.9
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import neuromirror as nm
from experiments.section import section, stated
from neuromirror.backends.noise import burst_code, dwell_windows
from neuromirror.figures.style import BLUE, GREY, VERMILLION, context, save
from neuromirror.measure import (
    correlated_angle_deg,
    median_interval,
    passed_correlation,
    phase_signals,
    probed_part,
    probing_law,
    sampling_law,
)
from neuromirror.plan import make_plan
from neuromirror.record import Run

LOWER, UPPER = 20, 10
BEST_KNOWN_MS = 28.6
"""τ_c/R² of the best independent noise: that of a Gaussian current, at 100 Hz."""

LAGS = 48
"""Windows over which a probe still shows in the signals, 120 ms: membranes, synapses and traces."""


@dataclass(frozen=True)
class Design:
    """A way to make the lower cells noisy: the mode's noise, and the rule's trace, as a circuit file has them."""

    name: str
    noise: str
    trace: str = "7 ms"

    @property
    def changes(self) -> list[str]:
        """What it changes of `figure1`."""
        trace = f'modes.mirror.signal={{ kind = "trace", tau = "{self.trace}" }}'
        average = 'rules.mirror.updater={ memory = "100 h", memory_from = "2.5 ms", decay = 2.0 }'
        return [f"modes.mirror.noise.y0={{ {self.noise} }}", trace, average]


def bursts(cells: int, dwell: str, amplitude: float = 3.5) -> str:
    """Return bursts of so many cells; 3.5 units are 87.5 Hz."""
    return f'law = "bursts", amplitude = {amplitude}, cells = {cells}, dwell = "{dwell}"'


DESIGNS = (
    Design("Gaussian, 5 ms", 'sd = 2.0, tau = "5 ms"'),
    Design("Gaussian, 20 ms", 'sd = 2.0, tau = "20 ms"'),
    Design("Gaussian, correlation .05", 'sd = 2.0, tau = "5 ms", correlation = 0.05'),
    Design("Poisson", 'law = "poisson"'),
    Design("bursts of 1", bursts(1, "40 ms")),
    Design("bursts of 4", bursts(4, "40 ms")),
    Design("bursts of 8", bursts(8, "60 ms"), "12 ms"),
    Design("bursts of all 20", bursts(32, "30 ms", 3.0), "12 ms"),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a design leaves, one value a seed.

    Attributes
    ----------
    angles_deg, laws_deg : tuple of float
        Between B1 and W1ᵀ, and what the law predicts from each run's spikes.
    tau_ms, law_ms : tuple of float
        The same as τ of tan²θ = N·τ/T.
    rate_Hz : float
        Mean rate of the lower cells.
    strong_ms : float
        Of bursts: what the cells' own spiking leaves where probes are strong; see `neuromirror.measure.ProbingLaw`.
    """

    angles_deg: tuple[float, ...]
    laws_deg: tuple[float, ...]
    tau_ms: tuple[float, ...]
    law_ms: tuple[float, ...]
    rate_Hz: float
    strong_ms: float = math.nan

    @property
    def spikes(self) -> float:
        """Spikes that a lower cell fires in τ: what a tan²θ of N costs."""
        return float(np.median(self.tau_ms)) * 1e-3 * self.rate_Hz


def measure(design: Design, *, seeds: int, length: str) -> Found:
    """Run a design with seeds 0 to ``seeds`` − 1."""
    circuit = section(LOWER, UPPER, length, equal_rows=True, changes=design.changes)
    with tempfile.TemporaryDirectory() as folder:
        runs = nm.run_seeds(circuit, backend="brian2", seeds=range(seeds), out=Path(folder) / "runs", figures=False)
        duration_s = float(runs[0].times_s()[-1]) - 0.1
        angles = [float(run.angles_deg("B1")[-1]) for run in runs]
        laws = [_law_s(circuit, run, duration_s) for run in runs]
        rate_Hz = np.mean([len(run.spikes("y0").t_s) / run.times_s()[-1] / LOWER for run in runs])
    per_s = LOWER / duration_s  # tan²θ of a τ of 1 s
    return Found(
        angles_deg=tuple(angles),
        laws_deg=tuple(math.degrees(math.atan(math.sqrt(tau_s * per_s))) for tau_s, _ in laws),
        tau_ms=tuple(1e3 * math.tan(math.radians(angle)) ** 2 / per_s for angle in angles),
        law_ms=tuple(1e3 * tau_s for tau_s, _ in laws),
        rate_Hz=float(rate_Hz),
        strong_ms=1e3 * float(np.mean([strong_s for _, strong_s in laws])),
    )


def _law_s(circuit: nm.Circuit, run: Run, duration_s: float) -> tuple[float, float]:
    """Return τ of a run by the law of its noise, and its limit for strong probes."""
    noise = circuit.description.modes["mirror"].noise["y0"]
    lower, upper = phase_signals(run, "d0"), phase_signals(run, "d1")
    if noise.law != "bursts":
        law = sampling_law(run, "B1")
        passed = passed_correlation(lower, upper, run.weights("W1"), LAGS) if noise.correlation else 0.0
        common = correlated_angle_deg(LOWER, max(0.0, passed))
        return law.tau_c_s / law.r_squared + math.tan(math.radians(common)) ** 2 * duration_s / LOWER, math.nan
    plan = make_plan(circuit, run.manifest.seed)
    mode = plan.modes["mirror"]
    windows = plan.phases[0].examples
    probe = burst_code(plan, "y0", noise).signs(np.arange(windows) // dwell_windows(mode, noise))[-len(lower) :]
    probed = probed_part(lower, probe, LAGS)
    driven = probed_part(upper, probe @ plan.initial_arrays()["W1"].T, LAGS)
    found = probing_law(lower, upper, probed, driven, dt_s=mode.window_s, max_lag_s=0.2)
    return found.tau_s, found.strong_s


def draw(found: dict[str, Found]) -> Figure:
    """Return the figure: τ and spikes of each design, with intervals over seeds and the law beside them."""
    with context():
        figure = Figure(figsize=(7.0, 0.34 * len(found) + 1.0), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        for row, one in enumerate(found.values()):
            middle = median_interval(one.tau_ms)
            low, high = (middle.low, middle.high) if math.isfinite(middle.low) else (min(one.tau_ms), max(one.tau_ms))
            left.plot([low, high], [row, row], color=BLUE, linewidth=1.5)
            left.plot(middle.estimate, row, "o", color=BLUE, label="measured" if not row else None)
            left.plot(np.median(one.law_ms), row, "|", color=VERMILLION, markersize=13, label=None if row else "law")
            if math.isfinite(one.strong_ms):
                left.plot(one.strong_ms, row, "x", color=GREY)
            right.plot(one.spikes, row, "o", color=BLUE)
            law = float(np.median(one.law_ms)) * 1e-3 * one.rate_Hz
            right.plot(law, row, "|", color=VERMILLION, markersize=13)
        left.axvline(BEST_KNOWN_MS / 2, color=GREY, linewidth=0.7, linestyle=":")
        left.set_xscale("log")
        left.set_xlabel("τ of tan²θ = N·τ/T (ms)\n×: limit of strong probes; dotted: half of 28.6 ms")
        left.set_yticks(range(len(found)), list(found))
        left.invert_yaxis()
        left.legend(loc="lower right")
        right.set_xlabel("spikes of a lower cell in τ")
        right.set_xlim(left=0)
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three designs, 2 seeds, 1 s: shows only that it runs")
    parser.add_argument("--out", type=Path, help="where the figure goes; none is kept if left out")
    options = parser.parse_args(argv)
    seeds, length = (2, "1 s") if options.quick else (8, "30 s")
    print(f"{LOWER}→{UPPER} cells, {length} of mirror mode, {seeds} seeds, medians (95% interval):")
    found = {}
    for design in DESIGNS[2::3] if options.quick else DESIGNS:
        found[design.name] = one = measure(design, seeds=seeds, length=length)
        print(
            design.name.ljust(26),
            f"angle {np.median(one.angles_deg):5.2f}°  law {np.median(one.laws_deg):5.2f}°",
            f"τ {stated(one.tau_ms, ' ms')}  law {np.median(one.law_ms):5.1f} ms",
            f"rate {one.rate_Hz:5.1f} Hz  spikes in τ {one.spikes:.2f}",
            "" if math.isnan(one.strong_ms) else f"strong probes {one.strong_ms:.1f} ms",
            sep="  ",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        save(draw(found), (options.out or Path(folder)) / "noise_designs.svg")


if __name__ == "__main__":
    main()
