"""Several runs side by side."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuromirror.measure.uncertainty import median_interval, paired_difference
from neuromirror.record.collection import run_paths
from neuromirror.record.run import open_run


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that differ in their seed only, and the feedback array that is looked at."""

    circuit: str
    circuit_sha256: str
    protocol_sha256: str
    backend: str
    array: str
    after: str

    def __str__(self) -> str:
        circuit, protocol = self.circuit_sha256[:8], self.protocol_sha256[:8]
        return f"{self.circuit} {circuit}, protocol {protocol}, {self.backend}"


def comparison(paths: Sequence[Path | str]) -> str:
    """Return a table of runs, medians over seeds, differences between groups of runs with the same seeds, and warnings.

    Parameters
    ----------
    paths : sequence of Path or str
        Run directories, or directories that hold some.

    Raises
    ------
    RequestError
        If a path holds no run.
    """
    records = [open_run(run) for path in paths for run in run_paths(Path(path))]
    rows = [("circuit", "backend", "target", "seed", "B", "after", "angle", "gain", "complete", "run")]
    groups: dict[Group, dict[int, float]] = defaultdict(dict)
    for record in records:
        manifest = record.manifest
        complete = "yes" if manifest.complete else "no"
        head = (manifest.circuit, manifest.backend, manifest.target or "", str(manifest.seed))
        ends = list(record.mode_ends().values()) or record.metrics()[-1:]
        if not ends:
            rows.append((*head, "", "", "", "", complete, str(record.path)))
        for name, end in ((name, end) for name in sorted(record.mirrored) for end in ends):
            angle, gain, after = end["angles_deg"][name], end["gain"][name], f"{end['mode']}, {end['t_s']:g} s"
            shown = ("undefined" if angle is None else f"{angle:.2f}°", "" if gain is None else f"{gain:.3g}")
            rows.append((*head, name, after, *shown, complete, str(record.path)))
            if manifest.complete and angle is not None:
                group = Group(
                    circuit=manifest.circuit,
                    circuit_sha256=manifest.circuit_sha256,
                    protocol_sha256=manifest.protocol_sha256,
                    backend=manifest.backend,
                    array=name,
                    after=end["mode"],
                )
                groups[group][manifest.seed] = angle
    doubtful = [f"warning: {record.path}: {text}" for record in records for text in record.warnings]
    return "\n".join([table(rows), *_medians(groups), *_differences(groups), *doubtful])


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of text, the head among them, as columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _medians(groups: dict[Group, dict[int, float]]) -> list[str]:
    lines = []
    for group, angles in groups.items():
        if len(angles) > 1:
            interval = median_interval(list(angles.values()))
            bounds = f"{interval.confidence:.1%} interval {interval.low:.2f}° to {interval.high:.2f}°"
            known = bounds if math.isfinite(interval.low) else "too few seeds for an interval"
            what = f"{group}, {group.array} after {group.after} mode"
            lines.append(f"{what}: median {interval.estimate:.2f}° over {len(angles)} seeds ({known})")
    return lines


def _differences(groups: dict[Group, dict[int, float]]) -> list[str]:
    """Compare the first group of each B after each mode with every other over the seeds that both have."""
    lines: list[str] = []
    firsts: dict[tuple[str, str], Group] = {}
    for group, angles in groups.items():
        first = firsts.setdefault((group.array, group.after), group)
        shared = sorted(set(angles) & set(groups[first]))
        if group == first or len(shared) < 2:
            continue
        interval = paired_difference([angles[seed] for seed in shared], [groups[first][seed] for seed in shared])
        lines.append(
            f"{group.array} after {group.after} mode: ({group}) − ({first}): {interval.estimate:+.2f}°, "
            f"95% interval {interval.low:+.2f}° to {interval.high:+.2f}°, {len(shared)} paired seeds"
        )
    return lines
