"""Reading a run directory."""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from neuromirror.dynamics.codes import PushPull
from neuromirror.errors import RequestError, suggestion
from neuromirror.record.activity import Counts, SpikeCounts, mean_rates_Hz
from neuromirror.record.manifest import Manifest
from neuromirror.record.rows import DAMAGED, read_rows


@dataclass(frozen=True, kw_only=True)
class Spikes:
    """Spikes of one population, in order of time.

    Attributes
    ----------
    t_s : ndarray of float64, shape (spikes,)
        Times in s from the start of the run.
    cell : ndarray of int32, shape (spikes,)
        Index of the cell that fired.
    """

    t_s: np.ndarray
    cell: np.ndarray

    def __len__(self) -> int:
        return len(self.t_s)


def open_run(path: Path | str) -> Run:
    """Open a run directory; its files are read when they are asked for.

    Parameters
    ----------
    path : Path or str
        The directory that `RunWriter` wrote.

    Raises
    ------
    RequestError
        If there is no readable manifest in it.
    """
    path = Path(path)
    file = path / "manifest.json"
    return Run(path, Manifest.from_json(_read_text(file), file=str(file)))


class Run:
    """What a run left behind.

    Parameters
    ----------
    path : Path
        The run directory.
    manifest : Manifest
        What ran, with what, and how it ended.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    def __repr__(self) -> str:
        state = "complete" if self.manifest.complete else "not complete"
        about = f"{self.manifest.circuit} on {self.manifest.backend}, seed {self.manifest.seed}"
        return f"<Run of {about}, {state}: {self.path}>"

    @cached_property
    def circuit_toml(self) -> str:
        """The expanded circuit."""
        return _read_text(self.path / "circuit.toml")

    @cached_property
    def in_pairs(self) -> bool:
        """Whether each unit is a pair of cells in push-pull: of a population's cells, first all ON, then all OFF."""
        try:
            code = tomllib.loads(self.circuit_toml).get("code")
        except tomllib.TOMLDecodeError:
            return False
        return isinstance(code, dict) and code.get("kind") == "push_pull"

    @property
    def mirrored(self) -> dict[str, str]:
        """The feedback projections that mirror, each with the projection that it mirrors."""
        entries = self.manifest.projections.items()
        return {name: mirrors for name, entry in entries if (mirrors := entry["mirrors"]) is not None}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful of the run, in sentences; nothing until it has reached its end."""
        found = self.manifest.summary.get("warnings", [])
        return tuple(str(text) for text in found) if isinstance(found, list) else ()

    @property
    def has_spikes(self) -> bool:
        """Whether spikes were recorded."""
        return self.manifest.dt_s is not None and (self.path / "spikes").is_dir()

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl``, in order; see `RunWriter.metrics`."""
        return self._metrics

    @cached_property
    def _metrics(self) -> list[dict[str, Any]]:
        file, complete = self.path / "metrics.jsonl", self.manifest.complete
        rows = read_rows(_read_text(file, whole=complete), file=file, mirrored=self.mirrored, complete=complete)
        if rows and (wanted := self._recorded_steps()) and rows[-1]["examples"] != wanted[-1]:
            found = f"the last row is of {rows[-1]['examples']} of {wanted[-1]} examples, though the run is complete"
            raise RequestError(f"{file}:{len(rows)}: {found}. {DAMAGED}")
        return rows

    def _recorded_steps(self) -> list[int]:
        """Return the steps that a complete run, which has a summary, has recorded for certain."""
        if not self.manifest.complete or not self.manifest.summary:
            return []
        return [0, *(phase["first_example"] + phase["examples"] for phase in self.manifest.phases)]

    def times_s(self) -> np.ndarray:
        """Return the simulated time in s of each row of the metrics, shape (rows,)."""
        return np.array([row["t_s"] for row in self._metrics], dtype=np.float64)

    def angles_deg(self, name: str) -> np.ndarray:
        """Return the angle in degrees between a feedback array and its Wᵀ over time.

        Parameters
        ----------
        name : str
            Name of the feedback projection, such as ``"B1"``.

        Returns
        -------
        ndarray of float64, shape (rows,)
            In step with `times_s`; nan where there is no angle.

        Raises
        ------
        RequestError
            If the run has no angle of that name.
        """
        return self._series("angles_deg", name)

    def gain(self, name: str) -> np.ndarray:
        """Return the scalar c that best fits B = c·Wᵀ over time; as `angles_deg`."""
        return self._series("gain", name)

    def _series(self, key: str, name: str) -> np.ndarray:
        known = {known for row in self._metrics for known in row.get(key, {})}
        if name not in known:
            raise RequestError(f"{self.path}: no {key} of '{name}' in this run. {suggestion(name, known)}")
        values = [row.get(key, {}).get(name) for row in self._metrics]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def spikes(self, population: str) -> Spikes:
        """Return all spikes of a population, in order of time.

        Raises
        ------
        RequestError
            If there is no such population, or nothing spikes in this run, or a file cannot be read.
        """
        known = self.manifest.populations
        if population not in known:
            raise RequestError(f"{self.path}: no population '{population}'. {suggestion(population, known)}")
        dt_s, complete = self.manifest.dt_s, self.manifest.complete
        if dt_s is None or not (self.has_spikes or complete):
            raise RequestError(
                f"{self.path}: no spikes in this run, which backend '{self.manifest.backend}' ran. "
                "Run the circuit with --backend brian2."
            )
        parts = [_load_part(file, known[population]["size"]) for file in self._spike_files(population)]
        ticks = np.concatenate([ticks for ticks, _ in parts] or [np.empty(0, np.int64)])
        cells = np.concatenate([cells for _, cells in parts] or [np.empty(0, np.int32)])
        counts = self.manifest.summary.get("spikes")
        wanted = counts.get(population) if complete and isinstance(counts, dict) else None
        if (complete and not parts) or wanted not in (None, len(ticks)):
            missing = self.path / "spikes" / f"{population}-{len(parts):04d}.npz"
            found = f"not found, though the run is complete; the parts before it have {len(ticks)} spikes"
            raise RequestError(f"{missing}: {found}{'' if wanted is None else f' of {wanted}'}. {DAMAGED}")
        order = np.argsort(ticks, kind="stable")
        return Spikes(t_s=ticks[order] * dt_s, cell=cells[order])

    @cached_property
    def shared_cells(self) -> dict[str, str]:
        """The populations whose cells are those of another, each with that one: both have the same spikes (8.1)."""
        try:
            populations = tomllib.loads(self.circuit_toml).get("populations")
        except tomllib.TOMLDecodeError as error:
            raise RequestError(f"{self.path / 'circuit.toml'}: cannot be read ({error}). {DAMAGED}") from error
        entries = populations.items() if isinstance(populations, dict) else ()
        return {name: one["shares"] for name, one in entries if isinstance(one, dict) and "shares" in one}

    def spikes_by_mode(self) -> Counts:
        """Return the number of spikes of every population in each mode, as far as the run has come.

        Cells that populations share (`shared_cells`) spike under both names; `of_all_cells` counts them once.

        Raises
        ------
        RequestError
            As `spikes`.
        """
        if self.manifest.complete and "spikes_by_mode" in self.manifest.summary:
            return self.manifest.summary["spikes_by_mode"]
        trains = {name: self.spikes(name).t_s for name in self.manifest.populations}
        counts, reached_s = SpikeCounts(self.manifest), self._reached_s()
        for name, t_s in trains.items():
            ticks = np.rint(t_s / (self.manifest.dt_s or 1.0))
            counts.add(name, ticks[t_s < reached_s - (self.manifest.dt_s or 1.0) / 2])
        return counts.by_mode

    def mean_rates_Hz(self) -> dict[str, dict[str, float]]:
        """Return the mean rate of a cell of each population in each mode that the run has come to, in Hz."""
        return mean_rates_Hz(self.spikes_by_mode(), self.manifest, self._reached_s())

    def _reached_s(self) -> float:
        times_s = self.times_s()
        return float(times_s[-1]) if len(times_s) else 0.0

    def _spike_files(self, population: str) -> list[Path]:
        """Return the parts of a population's spikes, which are numbered from 0 without a gap."""
        pattern = re.compile(re.escape(population) + r"-(\d{4,})\.npz")
        names = (file.name for file in (self.path / "spikes").glob("*.npz"))
        numbers = sorted(int(match[1]) for name in names if (match := pattern.fullmatch(name)))
        files = [self.path / "spikes" / f"{population}-{number:04d}.npz" for number in range(len(numbers))]
        for number, found in enumerate(numbers):
            if number != found:
                raise RequestError(f"{files[number]}: not found, and there is a part after it. {DAMAGED}")
        return files

    def weight_steps(self) -> list[int]:
        """Return the steps (numbers of examples done) at which the weights were recorded, in order."""
        files = [file for name in "WB" for file in (self.path / "weights").glob(f"*/{name}.safetensors")]
        numbered = {file for file in files if file.parent.name.isdecimal()}
        if not self.manifest.complete:  # a run that was killed may leave a step without its B
            return sorted(int(file.parent.name) for file in numbered if file.name == "B.safetensors")
        steps = {int(file.parent.name) for file in numbered}
        for step in sorted(steps | set(self._recorded_steps())):
            for name in "WB":
                file = self.path / "weights" / f"{step:010d}" / f"{name}.safetensors"
                if file not in numbered:
                    raise RequestError(f"{file}: not found, though the run is complete. {DAMAGED}")
        return sorted(steps)

    def mode_ends(self) -> dict[int, dict[str, Any]]:
        """Return the row of the metrics at the last end of each mode, by the number of examples done, in order."""
        ends = {phase["first_example"] + phase["examples"]: phase["mode"] for phase in self.manifest.phases}
        rows = {row["examples"]: row for row in self._metrics if row.get("examples") in ends}
        latest = {ends[step]: step for step in sorted(rows)}
        return {step: rows[step] for step in sorted(latest.values())}

    def weights(self, name: str, step: int = -1) -> np.ndarray:
        """Return a weight array or a bias as it was recorded.

        Parameters
        ----------
        name : str
            Projection (``"W1"``, ``"B1"``) or bias (``"y1.bias"``).
        step : int
            One of `weight_steps`, or a negative number to count from the last, -1.

        Returns
        -------
        ndarray, shape (target, source) or (cells,)

        Raises
        ------
        RequestError
            If there is no such array, or no such step.
        """
        steps = self.weight_steps()
        if step not in steps and not -len(steps) <= step < 0:
            listed = ", ".join(map(str, steps)) or "none"
            raise RequestError(f"{self.path}: no weights of step {step}. Recorded steps: {listed}.")
        directory = self.path / "weights" / f"{steps[step] if step < 0 else step:010d}"
        known: list[str] = []
        for file in (directory / "W.safetensors", directory / "B.safetensors"):
            try:
                with safetensors.safe_open(file, framework="numpy") as arrays:
                    names = arrays.keys()
                    keys = json.loads((arrays.metadata() or {}).get("names", "{}"))  # where they are torchvision's
                    key = keys.get(name, name)
                    if key in names:
                        return arrays.get_tensor(key)
                    known += [*keys, *names]
            except (OSError, ValueError, safetensors.SafetensorError) as error:
                raise RequestError(f"{file}: cannot be read ({error}). {DAMAGED}") from error
        raise RequestError(f"{directory}: no array '{name}'. {suggestion(name, known)}")

    def unit_weights(self, name: str, step: int = -1) -> np.ndarray:
        """Return a weight array or a bias between units: in push-pull what those of pairs of cells amount to.

        As `weights`, which has those of cells; the two are the same in other codes.
        """
        array = self.weights(name, step)
        if not self.in_pairs:
            return array
        return PushPull().values(array) if array.ndim == 1 else PushPull().unit_weights(array)


def _read_text(file: Path, *, whole: bool = True) -> str:
    """Return the text of a file; unless it is `whole`, without a last line that is still being written."""
    try:
        content = file.read_bytes()
        return (content if whole else content[: content.rfind(b"\n") + 1]).decode("utf-8")
    except FileNotFoundError as error:
        raise RequestError(
            f"{file}: not found. Point to a run directory, such as 'neuromirror run CIRCUIT --out DIR' writes."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file}: cannot be read ({error}). {DAMAGED}") from error


def _load_part(file: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ticks and cells of one file of spikes of a population of so many cells."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            ticks, cells = arrays["ticks"], arrays["cells"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RequestError(f"{file}: cannot be read ({error}). {DAMAGED}") from error
    for name, array in (("ticks", ticks), ("cells", cells)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            found = f"'{name}' are {array.dtype} of shape {array.shape}, expected a row of whole numbers"
            raise RequestError(f"{file}: {found}. {DAMAGED}")
    if len(ticks) != len(cells):
        raise RequestError(
            f"{file}: {len(ticks)} ticks and {len(cells)} cells, expected one of each a spike. {DAMAGED}"
        )
    if len(ticks) and (ticks.min() < 0 or cells.min() < 0 or cells.max() >= size):
        raise RequestError(f"{file}: ticks below 0, or cells that are not among the {size}. {DAMAGED}")
    return ticks, cells
