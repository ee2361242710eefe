"""What noise that cells have in common does to B, about a baseline and in push-pull: by how much are pairs better?

Claim     Noise with a correlation ρ of any two lower cells leaves a baseline code at tan θ = ρ·√(n − 1) however long it
          mirrors, and push-pull with nothing but the angle of sampling: whatever both cells of a pair have in common
          cancels.
Command   python -m experiments.correlated_noise [--out DIR], which draws correlated_noise.svg there
Takes     17 minutes on one core.
Expected  median angle of B to Wᵀ over seeds 0 to 7 (95 % interval by order statistics), baseline with its law beside
          push-pull, whose law is that of sampling:
            rates, 20→10, 40,000 examples, ρ .05     13.51° (10.50° to 14.66°) law 12.36°     1.29°  (1.23° to  1.44°)
                                           ρ .2      42.58° (38.24° to 43.88°) law 41.09°     1.55°  (1.28° to  1.75°)
            rates, 100→50, 40,000 examples, ρ .05    26.00° (23.40° to 30.01°) law 26.57°     2.93°  (2.89° to  2.98°)
                                           ρ .2      62.87° (60.85° to 65.23°) law 63.33°     3.26°  (3.22° to  3.38°)
            spikes, 20→10, 60 s, ρ .05                9.47°  (8.56° to 11.07°) law  8.73°     6.60°  (5.77° to  7.70°)
                                           ρ .2      29.02° (25.46° to 31.22°) law 26.87°     8.39°  (7.10° to  9.21°)
          and over seeds 0 to 5:
            spikes, 100→50, 120 s, ρ .05             17.49° (16.96° to 19.49°) law 17.45°    10.90° (10.83° to 11.16°)
                                           ρ .2      48.22° (47.17° to 51.65°) law 48.11°    13.47° (13.39° to 13.79°)
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import neuromirror as nm
from experiments.section import section, stated
from neuromirror.figures.style import BLUE, VERMILLION, WIDTH_IN, context, save
from neuromirror.measure import (
    correlated_angle_deg,
    median_interval,
    passed_correlation,
    phase_signals,
    rate_angle_deg,
    sampling_law,
)
from neuromirror.record import Run

CODES = {"baseline": BLUE, "push_pull": VERMILLION}
CORRELATIONS = (0.0, 0.02, 0.05, 0.1, 0.2)
LAGS = 48
"""Windows over which upper cells still pass a lower signal on, 120 ms."""

DRAWN = np.linspace(0.0, 0.2, 81)
"""Correlations at which laws of rates are drawn."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Cells that mirror, as spikes or as rates, for a time or a number of examples, with so many seeds."""

    lower: int
    upper: int
    backend: str
    length: str
    seeds: int

    @property
    def name(self) -> str:
        """What the table and the figure call it."""
        kind = "spikes" if self.backend == "brian2" else "rates"
        return f"{kind}, {self.lower}→{self.upper}, {self.length}"

    def circuit(self, code: str, correlation: float) -> nm.Circuit:
        """Return the section: with the noise of `figure1`, as rates at half its size, which no cell clips."""
        noise = 'law = "gaussian", sd = 2.0, tau = "5 ms"' if self.backend == "brian2" else 'law = "gaussian", sd = 1.0'
        changes = [
            f'code.kind="{code}"',
            f"modes.mirror.noise.y0={{ {noise}, correlation = {correlation} }}",
            'rules.mirror.updater={ memory = "100 h", memory_from = "2.5 ms", decay = 2.0 }',
        ]
        return section(self.lower, self.upper, self.length, changes=changes)


FULL = (
    Case(lower=20, upper=10, backend="torch", length="40000 examples", seeds=8),
    Case(lower=100, upper=50, backend="torch", length="40000 examples", seeds=8),
    Case(lower=20, upper=10, backend="brian2", length="60 s", seeds=8),
    Case(lower=100, upper=50, backend="brian2", length="120 s", seeds=6),
)
QUICK = (
    Case(lower=6, upper=4, backend="torch", length="500 examples", seeds=2),
    Case(lower=6, upper=4, backend="brian2", length="800 ms", seeds=1),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Angles between B and Wᵀ in degrees, and what the law says of each, one value a seed."""

    angles_deg: tuple[float, ...]
    laws_deg: tuple[float, ...]


def measure(case: Case, code: str, correlation: float) -> Found:
    """Run a case with seeds from 0 on."""
    circuit = case.circuit(code, correlation)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "runs"
        runs = nm.run_seeds(circuit, backend=case.backend, seeds=range(case.seeds), out=out, figures=False)
        return Found(
            angles_deg=tuple(float(run.angles_deg("B1")[-1]) for run in runs),
            laws_deg=tuple(_law_deg(case, run, code, correlation) for run in runs),
        )


def _law_deg(case: Case, run: Run, code: str, correlation: float) -> float:
    """Return what sampling leaves and, about a baseline, what the common source does."""
    if case.backend != "brian2":
        return rates_law_deg(case, code, correlation)
    sampled = sampling_law(run, "B1").angle_deg
    if code == "push_pull" or not correlation:
        return sampled
    passed = passed_correlation(phase_signals(run, "d0"), phase_signals(run, "d1"), run.weights("W1"), LAGS)
    return _together(sampled, correlated_angle_deg(case.lower, max(0.0, passed)))


def rates_law_deg(case: Case, code: str, correlation: float) -> float:
    """Return the law for rates that no cell clips, for a plain average over all examples."""
    examples = float(case.length.split()[0])
    common = correlated_angle_deg(case.lower, correlation) if code == "baseline" else 0.0
    return _together(rate_angle_deg(case.lower, examples, "linear"), common)


def _together(*angles_deg: float) -> float:
    """Return the angle of errors that are at right angles to one another."""
    return math.degrees(math.atan(math.hypot(*(math.tan(math.radians(angle)) for angle in angles_deg))))


Table = dict[tuple[str, float], Found]


def draw(tables: dict[Case, Table]) -> Figure:
    """Return the figure: angle against correlation for both codes, a panel for each case, with the laws as lines."""
    with context():
        rows = math.ceil(len(tables) / 2)
        figure = Figure(figsize=(WIDTH_IN, 2.4 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False, sharex=True).flat
        for ax, (case, table) in zip(panels, tables.items(), strict=False):
            for code, colour in CODES.items():
                _draw_code(ax, case, code, colour, table)
            ax.set_title(case.name, loc="left")
            ax.set_ylim(bottom=0)
            ax.set_xlabel("correlation ρ of the noise of two lower cells")
            ax.set_ylabel("angle of B to Wᵀ (°)")
        figure.axes[0].legend(loc="upper left")
    return figure


def _draw_code(ax: Axes, case: Case, code: str, colour: str, table: Table) -> None:
    mine = {rho: found for (of, rho), found in table.items() if of == code}
    for rho, found in mine.items():
        middle = median_interval(found.angles_deg)
        within = math.isfinite(middle.low)
        low, high = (middle.low, middle.high) if within else (min(found.angles_deg), max(found.angles_deg))
        ax.plot([rho, rho], [low, high], color=colour, linewidth=1.5)
        ax.plot(rho, middle.estimate, "o", color=colour, label=None if rho else code.replace("_", "-"))
    if case.backend == "brian2":
        where, law = list(mine), [float(np.median(found.laws_deg)) for found in mine.values()]
    else:
        where, law = list(DRAWN), [rates_law_deg(case, code, float(rho)) for rho in DRAWN]
    ax.plot(where, law, color=colour, linewidth=0.9, linestyle="--", label=f"its law, {code.replace('_', '-')}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6→4 cells and two correlations: shows only that it runs")
    parser.add_argument("--only", default="", help="cases whose name in the table begins so")
    parser.add_argument("--out", type=Path, help="where the figure goes; none is kept if left out")
    options = parser.parse_args(argv)
    tables: dict[Case, Table] = {}
    print("angle of B to Wᵀ, median over seeds (95% interval), and its law:")
    for case in QUICK if options.quick else FULL:
        if not case.name.startswith(options.only):
            continue
        tables[case] = {}
        for rho in CORRELATIONS[::2][:2] if options.quick else CORRELATIONS:
            print(f"{case.name}, ρ {rho:.2f}".ljust(40), end="")
            for code in CODES:
                tables[case][code, rho] = found = measure(case, code, rho)
                law = f"law {np.median(found.laws_deg):5.2f}°"
                print(f"  {code} {stated(found.angles_deg)} {law}", end="", flush=True)
            print()
    with tempfile.TemporaryDirectory() as folder:
        save(draw(tables), (options.out or Path(folder)) / "correlated_noise.svg")


if __name__ == "__main__":
    main()
