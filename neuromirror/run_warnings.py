"""What is doubtful of a run that has reached its end: the sentences of `neuromirror.measure.health`, for its plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neuromirror.circuit.cells import cells_of
from neuromirror.measure import health
from neuromirror.plan import Plan
from neuromirror.record.cell_counts import CellCounts
from neuromirror.record.manifest import Manifest

Shares = Mapping[str, Mapping[str, float]]
"""By mode and population."""


def run_warnings(
    plan: Plan,
    manifest: Manifest,
    rows: Sequence[Mapping[str, Any]],
    *,
    clipped: Shares,
    silent: Shares,
    counts: CellCounts | None,
) -> list[str]:
    """Return what is doubtful of a run, in sentences.

    Parameters
    ----------
    plan : Plan
    manifest : Manifest
    rows : sequence of mapping
        Of the metrics.
    clipped, silent : mapping
        The shares of examples in which populations were clipped at zero rate, and of signals that were not above zero.
    counts : CellCounts or None
        Of spikes; None where nothing spikes.
    """
    found = [*health.of_rows(rows, learned_mirrors(plan, manifest)), *health.clipped_populations(clipped)]
    found += health.silent_populations(_rectified(plan, silent))
    if counts is not None:
        found += _cells(plan, counts)
    return found


def learned_mirrors(plan: Plan, manifest: Manifest) -> dict[str, str]:
    """Return the W of every B that learned in the run."""
    return {name: forward for name, forward in plan.mirrors.items() if name in manifest.learned}


def _rectified(plan: Plan, silent: Shares) -> dict[str, dict[str, float]]:
    """Return the shares of populations whose activation has a zero that no slope leads out of."""
    described = plan.description
    cells = {name: described.cells[p.cell] for name, p in described.populations.items()}
    dead = {name for name, cell in cells.items() if cell.activation in ("relu", "rectified_tanh")}
    return {mode: {n: share for n, share in of_mode.items() if n in dead} for mode, of_mode in silent.items()}


def _cells(plan: Plan, counts: CellCounts) -> Iterator[str]:
    """Yield what is doubtful of what cells fired."""
    described, beta_Hz, dt_s = plan.description, plan.beta * plan.unit_Hz, plan.description.time.dt.s
    spent_s = dict[str, float]()
    for phase in plan.phases:
        spent_s[phase.mode] = spent_s.get(phase.mode, 0.0) + phase.stop_s - phase.start_s
    for mode in sorted(spent_s):
        rates_Hz = dict[str, float]()
        for name, population in described.populations.items():
            if population.shares is not None:
                continue  # whose cells are told of under the other name
            spikes = counts.spikes[mode, name]
            refractory_s = min(
                cell.refractory.s for cell in set(cells_of(population, described.cells[population.cell]))
            )
            limit_Hz = 1 / ((round(refractory_s / dt_s) + 1) * dt_s)
            yield from health.doubtful_cells(
                mode, name, spikes, spent_s=spent_s[mode], beta_Hz=beta_Hz, limit_Hz=limit_Hz
            )
            if population.path == "forward":
                rates_Hz[name] = float(spikes.mean()) / spent_s[mode]
        if is_noise_alone(plan, mode):
            yield from health.off_baseline(mode, rates_Hz, spent_s=spent_s[mode], beta_Hz=beta_Hz)


def is_noise_alone(plan: Plan, mode: str) -> bool:
    """Return whether nothing but noise moves forward cells from β in a mode."""
    resolved = plan.modes[mode]
    return plan.clips and bool(resolved.noise) and not (resolved.inputs or resolved.compare or resolved.biased)
