"""What a sweep leaves behind besides its runs: ``sweep.json`` and ``table.txt``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuromirror.compare import table
from neuromirror.errors import RequestError
from neuromirror.measure.uncertainty import Interval, mean_interval, median_interval
from neuromirror.record.lock import Held
from neuromirror.record.manifest import Manifest
from neuromirror.record.store import check_free, not_written, plain
from neuromirror.result import Run, open_run
from neuromirror.sweeps.variations import Variation

SCHEMA = 1
"""Version of the format of ``sweep.json``."""
FILE = "sweep.json"
_RESULTS = ("schema", "runs", "alike", "table")
"""What ``sweep.json`` has besides the settings."""
_NOT_RESULTS = ("circuit.toml", "manifest.json", "timings.json")
"""Files of a run that differ where its values do, or at any time."""
LEAST_FOR_MEDIAN = 6
"""From so many values on there is an interval of 95% for a median."""


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One run of a sweep.

    Attributes
    ----------
    variation : Variation
    seed : int
    path : Path
        Its run directory.
    """

    variation: Variation
    seed: int
    path: Path

    def done(self, backend: str) -> bool:
        """Return whether it has been run to its end.

        Raises
        ------
        RequestError
            If its directory has another run.
        """
        try:
            manifest = Manifest.from_json((self.path / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        circuit = self.variation.circuit
        wanted = (circuit.sha256, circuit.protocol_sha256, self.seed, backend)
        if (manifest.circuit_sha256, manifest.protocol_sha256, manifest.seed, manifest.backend) != wanted:
            raise RequestError(f"{self.path}: this is a run of another circuit. Give --out another directory.")
        return manifest.complete

    def clear(self) -> None:
        """Take away what there is of a run that did not reach its end.

        Raises
        ------
        RequestError
            If the directory is not that of a run, if another process is writing in it, or if it cannot be taken away.
        """
        if any((self.path / name).is_file() for name in ("manifest.json", "circuit.toml")):
            try:
                with Held(self.path):
                    shutil.rmtree(self.path)
            except OSError as error:
                raise not_written(self.path, error) from error
        check_free(self.path)


@dataclass
class Sweep:
    """A sweep, as `neuromirror.sweep` returns it.

    Attributes
    ----------
    path : Path
        Its directory.
    all_runs : list of SweepRun
    settings : mapping
        Of all runs: ``backend``, ``target``, ``dtype``, ``points``.
    failed : dict of Path to str
        What went wrong with runs that did not reach their end, by their directories.
    ended : set of Path
        The runs that did.
    """

    path: Path
    all_runs: list[SweepRun]
    settings: Mapping[str, Any]
    failed: dict[Path, str] = field(default_factory=dict)
    ended: set[Path] = field(default_factory=set)

    @property
    def runs(self) -> list[Run]:
        """The runs that reached their end, opened, variation by variation."""
        return [open_run(one.path) for one in self.all_runs if one.path in self.ended]

    @property
    def variations(self) -> list[Variation]:
        """The variations, in order."""
        return list({one.variation.name: one.variation for one in self.all_runs}.values())

    def warnings(self) -> dict[Path, tuple[str, ...]]:
        """Return what is doubtful of the runs that reached their end, by their directories."""
        return {run.path: run.warnings for run in self.runs if run.warnings}

    def alike(self) -> list[list[str]]:
        """Return the names of variations whose runs left the same results, bit for bit, with every seed.

        Such are values that the backend does not read, as a rate model does not read the constants of cells, and those
        of which nothing came within the runs.
        """
        groups = [[one for one in self.variations if self.ended.issuperset(self._paths(one))]]
        for files in ("metrics.jsonl", "*"):  # the rest, spikes among it, is read where these are the same
            of_results: dict[tuple[Any, ...], list[Variation]] = {}
            for number, group in enumerate(groups):
                for one in group if len(group) > 1 else ():
                    results = tuple(_digest(path, files) for path in self._paths(one))
                    of_results.setdefault((number, results), []).append(one)
            groups = list(of_results.values())
        return [[one.name for one in group] for group in groups if len(group) > 1]

    def _paths(self, variation: Variation) -> list[Path]:
        return [one.path for one in self.all_runs if one.variation is variation]

    def left(self) -> int:
        """Return how many runs are still to be run."""
        return len(self.all_runs) - len(self.ended) - len(self.failed)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each variation, B, and mode at the end of which B was measured.

        Returns
        -------
        list of dict
            ``values`` ({name: text}), ``B``, ``after`` (mode), ``t_s``, ``runs`` (the number of seeds with an angle),
            ``statistic`` (``"median"`` or ``"mean"``), and ``angle_deg`` and ``gain``: each an `Interval`, or None.
        """
        found = []
        for variation in self.variations:
            mine = [one for one in self.all_runs if one.variation is variation and one.path in self.ended]
            ends = [(run.mirrored, list(run.mode_ends().values())) for run in (open_run(one.path) for one in mine)]
            for name in sorted(ends[0][0]) if ends else ():
                for of_mode in zip(*(rows for _, rows in ends), strict=True):
                    found.append(_row(variation, name, of_mode))
        return found

    def table(self) -> str:
        """Return these rows as text, and what did not reach its end."""
        rows = self.rows()
        if not rows:
            return "no run has reached its end"
        which = rows[0]["statistic"]
        names = list(rows[0]["values"])
        head = (*names, "B", "after", "runs", f"angle, {which}", "95% interval", f"gain, {which}", "95% interval")
        lines: list[tuple[str, ...]] = [head]
        for row in rows:
            angle, gain = _shown(row["angle_deg"], ".2f", "°"), _shown(row["gain"], ".3g")
            after = f"{row['after']}, {row['t_s']:g} s"
            lines.append((*row["values"].values(), row["B"], after, str(row["runs"]), *angle, *gain))
        return table(lines)

    def save(self) -> None:
        """Write ``sweep.json`` and, where runs have ended, ``table.txt``.

        Raises
        ------
        RequestError
            If they cannot be written.
        """
        doubtful = self.warnings()
        runs = [
            {
                "run": str(one.path.relative_to(self.path)),
                "values": dict(one.variation.values),
                "seed": one.seed,
                "state": "done" if one.path in self.ended else "failed" if one.path in self.failed else "left",
                "error": self.failed.get(one.path),
                "warnings": list(doubtful.get(one.path, ())),
            }
            for one in self.all_runs
        ]
        rows = [{key: _plain(value) for key, value in row.items()} for row in self.rows()] if not self.left() else []
        said = {"schema": SCHEMA, **self.settings, "runs": runs, "alike": self.alike(), "table": rows}
        _write(self.path / FILE, json.dumps(plain(said), indent=2, ensure_ascii=False) + "\n")
        if rows:
            _write(self.path / "table.txt", self.table() + "\n")


def settings_in(path: Path) -> dict[str, Any] | None:
    """Return the settings of a sweep that has been begun in a directory; None where there is none.

    Raises
    ------
    RequestError
        If there is something else in it.
    """
    try:
        found = json.loads((path / FILE).read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise RequestError(f"{path}: a sweep of version {found['schema']}; this is {SCHEMA}. Give another --out.")
        return {key: value for key, value in found.items() if key not in _RESULTS}
    except FileNotFoundError:
        check_free(path)
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{path / FILE}: cannot be read ({error}). Give --out another directory.") from error


def _digest(run: Path, files: str) -> bytes:
    """Return a digest of the results of a run in the files of this pattern, not of what was asked for and when."""
    found = hashlib.sha256()
    for file in sorted(file for file in run.rglob(files) if file.is_file() and file.name not in _NOT_RESULTS):
        with file.open("rb") as opened:
            found.update(str(file.relative_to(run)).encode() + hashlib.file_digest(opened, "sha256").digest())
    return found.digest()


def _row(variation: Variation, name: str, rows: Sequence[Any]) -> dict[str, Any]:
    angles = [row["angles_deg"][name] for row in rows if row["angles_deg"][name] is not None]
    gains = [row["gain"][name] for row in rows if row["gain"][name] is not None]
    interval = median_interval if len(rows) >= LEAST_FOR_MEDIAN else mean_interval
    return {
        "values": dict(variation.values),
        "B": name,
        "after": rows[0]["mode"],
        "t_s": rows[0]["t_s"],
        "runs": len(angles),
        "statistic": "median" if interval is median_interval else "mean",
        "angle_deg": interval(angles) if angles else None,
        "gain": interval(gains) if gains else None,
    }


def _shown(interval: Interval | None, form: str, unit: str = "") -> tuple[str, str]:
    if interval is None:
        return "undefined", ""
    bounds = f"{interval.low:{form}}{unit} to {interval.high:{form}}{unit}"
    return f"{interval.estimate:{form}}{unit}", bounds if math.isfinite(interval.low) else "too few seeds"


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {"estimate": value.estimate, "low": value.low, "high": value.high}
    return value


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise not_written(path.parent, error) from error
