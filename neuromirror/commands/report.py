"""What ``neuromirror run`` prints of a run that has ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from neuromirror.record.activity import of_all_cells

if TYPE_CHECKING:
    from neuromirror.result import Run

MAX_SHOWN = 7
"""Of a run's phases, how many are printed with their angles; of longer schedules the first and the last are."""
LEAST_CLIPPED = 0.0005
"""The share of examples from which on it is said that cells were clipped."""


def report(record: Run, figures: bool) -> None:
    """Print of a run the angle before and after each phase, the loss, clipping, spikes, and where the figures are."""
    steps, phases = record.weight_steps(), record.manifest.phases
    for name in sorted(record.manifest.summary["matrix_angles_deg"]):
        angles = {row["examples"]: row["angles_deg"][name] for row in record.metrics()}
        path = [f"{_degrees(angles[steps[0]])} before"]
        path += [
            f"{_degrees(angles[step])} after {phase['stop_s'] - phase['start_s']:g} s of {phase['mode']} mode"
            for phase, step in zip(phases, steps[1:], strict=False)
        ]
        if len(path) > MAX_SHOWN:
            path = [*path[:3], f"… ({len(path) - 5} phases) …", *path[-2:]]
        found = record.manifest.summary["gain"][name]
        gain = "undefined" if found is None else f"{found:.3g}"
        print(f"seed {record.manifest.seed}  angle of {name} to its Wᵀ: {', '.join(path)}; gain {gain}")
    losses = [row["loss"] for row in record.metrics() if row.get("loss") is not None]
    if len(losses) > 2:
        third = len(losses) // 3
        first, last = (sum(some) / third for some in (losses[:third], losses[-third:]))
        print(f"seed {record.manifest.seed}  loss: {first:.3g} in the first third of the task, {last:.3g} in the last")
    if (clipped := _clipped(record.manifest.summary["clipped"])) is not None:
        print(f"seed {record.manifest.seed}  most clipped at zero rate: {clipped}")
    if (spikes := _spikes(record)) is not None:
        print(f"seed {record.manifest.seed}  spikes: {spikes}")
    print(f"record   {record.path}")
    if figures:
        for figure in sorted((record.path / "figures").glob("*.png")):
            print(f"figure   {figure}")


def _clipped(shares: dict[str, dict[str, float]]) -> str | None:
    """Say how often cells were asked for negative rates, or None where they hardly ever were."""
    worst = {mode: max(found.items(), key=lambda item: item[1]) for mode, found in shares.items()}
    said = [
        f"{share:.1%} of examples in {mode} mode ({name})"
        for mode, (name, share) in worst.items()
        if share >= LEAST_CLIPPED
    ]
    return ", ".join(said) or None


def _spikes(record: Run) -> str | None:
    """Say how many spikes there were in each mode, and how many a cell has in a second; None where nothing spikes."""
    summary, populations = record.manifest.summary, record.manifest.populations
    if "spikes_by_mode" not in summary:
        return None
    shared, said = summary["shared_cells"], []
    sizes = {name: entry["size"] for name, entry in populations.items()}
    for mode, of_mode in summary["spikes_by_mode"].items():
        rates_Hz = summary["mean_rates_Hz"][mode]
        together_Hz = of_all_cells({name: rate * sizes[name] for name, rate in rates_Hz.items()}, shared)
        mean_Hz = together_Hz / of_all_cells(sizes, shared)
        said.append(f"{of_all_cells(of_mode, shared):,} in {mode} mode ({mean_Hz:.1f} Hz a cell)")
    return ", ".join(said)


def _degrees(angle_deg: float | None) -> str:
    return "undefined" if angle_deg is None else f"{angle_deg:.1f}°"


def report_seeds(records: list[Run]) -> None:
    """Print the median of each angle over runs that differ in their seed."""
    from neuromirror.measure.uncertainty import median_interval

    ends = [list(record.mode_ends().values()) for record in records]
    for name in sorted(records[0].manifest.summary["matrix_angles_deg"]):
        for index, row in enumerate(ends[0]):
            angles = [rows[index]["angles_deg"][name] for rows in ends]
            what = f"median over {len(records)} seeds of {name} after {row['mode']} mode, at {row['t_s']:g} s"
            if None in angles:
                print(f"{what}: undefined, as some of its angles are")
                continue
            interval = median_interval(angles)
            known = math.isfinite(interval.low)
            bounds = f"{interval.confidence:.1%} interval {interval.low:.2f}° to {interval.high:.2f}°"
            few = "too few seeds for an interval"
            print(f"{what}: {interval.estimate:.2f}° ({bounds if known else few})")


def as_json(records: list[Run], wall_s: float) -> dict[str, Any]:
    """Return what ``--json`` prints of one run, or of several."""
    runs = [{**record.manifest.summary, "run_dir": str(record.path)} for record in records]
    if len(runs) == 1:
        return {**runs[0], "wall_s": wall_s}
    return {"runs": runs, "wall_s": wall_s}
