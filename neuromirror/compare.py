"""Several runs side by side."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from neuromirror.errors import RequestError
from neuromirror.measure.uncertainty import median_interval, paired_difference
from neuromirror.record.run import Run, open_run

Key = tuple[str, str, str, str]


def comparison(paths: list[Path]) -> str:
    """Return a table of runs, medians over seeds, and differences between groups of runs with the same seeds.

    Parameters
    ----------
    paths : list of Path
        Run directories, or directories that hold some.

    Raises
    ------
    RequestError
        If a path holds no run.
    """
    records = [record for path in paths for record in _runs(path)]
    rows = [("circuit", "backend", "seed", "B", "angle", "gain", "simulated", "complete", "run")]
    groups: dict[Key, dict[int, float]] = defaultdict(dict)
    for record in records:
        manifest = record.manifest
        for name, mirrored in sorted(record.mirrored.items()):
            angle, gain = record.angles_deg(name)[-1], record.gain(name)[-1]
            done_s = record.times_s()[-1]
            complete = "yes" if manifest.complete else "no"
            rows.append(
                (manifest.circuit, manifest.backend, str(manifest.seed), name, f"{angle:.2f}°", f"{gain:.3g}",
                 f"{done_s:g} s", complete, str(record.path))
            )  # fmt: skip
            if manifest.complete:
                key = (
                    f"{manifest.circuit} {manifest.circuit_sha256[:8]}",
                    manifest.protocol_sha256[:8],
                    manifest.backend,
                    name,
                )
                groups[key][manifest.seed] = float(angle)
            _ = mirrored
    return "\n".join([_table(rows), *_medians(groups), *_differences(groups)])


def _runs(path: Path) -> list[Run]:
    if (path / "manifest.json").is_file():
        return [open_run(path)]
    inside = sorted(folder for folder in path.glob("*") if (folder / "manifest.json").is_file())
    if not inside:
        raise RequestError(f"{path}: no run here. Give a run directory, such as one that 'neuromirror run' printed.")
    return [open_run(folder) for folder in inside]


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _medians(groups: dict[Key, dict[int, float]]) -> list[str]:
    lines = []
    for (circuit, protocol, backend, name), angles in groups.items():
        if len(angles) > 1:
            interval = median_interval(list(angles.values()))
            lines.append(
                f"{circuit}, protocol {protocol}, {backend}, {name}: "
                f"median {interval.estimate:.2f}° over {len(angles)} seeds, "
                f"{interval.confidence:.1%} interval {interval.low:.2f}° to {interval.high:.2f}°"
            )
    return lines


def _differences(groups: dict[Key, dict[int, float]]) -> list[str]:
    """Compare the first group of each B with every other over the seeds that both have."""
    lines = []
    keys = list(groups)
    for index, key in enumerate(keys):
        first = next(other for other in keys if other[3] == key[3])
        shared = sorted(set(groups[key]) & set(groups[first]))
        if key == first or len(shared) < 2 or index == 0:
            continue
        interval = paired_difference([groups[key][seed] for seed in shared], [groups[first][seed] for seed in shared])
        lines.append(
            f"{key[3]}: ({key[0]}, {key[2]}) − ({first[0]}, {first[2]}): {interval.estimate:+.2f}°, "
            f"95% interval {interval.low:+.2f}° to {interval.high:+.2f}°, {len(shared)} paired seeds"
        )
    return lines
