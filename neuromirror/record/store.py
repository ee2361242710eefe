"""Writing a run directory as the run goes."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import math
import os
import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import safetensors.numpy

from neuromirror.errors import RequestError, RunError, suggestion
from neuromirror.record.lock import Held
from neuromirror.record.manifest import Manifest

VOLATILE = frozenset({"run_dir", "wall_s", "images_per_s"})
"""What differs between identical runs, and so stays out of the manifest's summary."""


class RunWriter:
    """The one writer of a run directory.

    Every file but ``metrics.jsonl`` appears whole or not at all; rows of ``metrics.jsonl`` are flushed one by one, so
    that a run cut short can be read up to its last row. The same calls give the same bytes, ``timings.json`` and the
    manifest's ``invocation`` apart.

    Use `RunWriter.create`. Then `metrics`, `spikes` and `weights` as the run goes, and one of `finish`, `interrupt` and
    `discard`. Where a file cannot be written, for one because the disk is full, they raise `RunError`.
    """

    def __init__(self, path: Path, manifest: Manifest, metrics_file: TextIO, held: Held) -> None:
        self.path, self._held = path, held
        self._place = path.absolute()  # Brian2 changes the working directory while a program runs
        self.manifest = manifest
        self._metrics_file = metrics_file
        self.rows = 0
        """How many rows of the metrics there are."""
        self.parts = dict.fromkeys(manifest.populations, 0)
        """How many files of spikes there are of each population."""
        self.steps: list[int] = []
        """Numbers of examples done at which weights were written, in order."""
        self._beside: tuple[str, ...] = ()
        self._made: tuple[Path, ...] = ()
        self._is_new = False

    @classmethod
    def create(
        cls, path: Path, manifest: Manifest, circuit_toml: str, beside: Mapping[str, bytes] | None = None
    ) -> RunWriter:
        """Make the directory, with its circuit and a manifest that says the run is not complete.

        Parameters
        ----------
        path : Path
            The run directory itself; it may exist if it is empty.
        manifest : Manifest
            ``complete`` is set to False, and ``invocation.started`` to the present where it is None.
        circuit_toml : str
            The expanded circuit.
        beside : mapping of str to bytes, optional
            Further files that it names.

        Raises
        ------
        RequestError
            If the directory has something in it, or cannot be made, or another process is writing in it.
        """
        check_free(path)
        made: list[Path] = []
        texts = {"circuit.toml": circuit_toml.encode(), **(beside or {})}
        try:
            _make(path, made)
            held = Held(path)
            for name, content in texts.items():
                _replace_file(path / name, content)
            metrics_file = (path / "metrics.jsonl").open("w", encoding="utf-8", newline="\n")
        except OSError as error:
            _take_away(path, texts, made)
            raise not_written(path, error) from error
        invocation = manifest.invocation
        if invocation["started"] is None:
            invocation = {**invocation, "started": _now()}
        writer = cls(path, dataclasses.replace(manifest, complete=False, invocation=invocation), metrics_file, held)
        writer._beside, writer._made, writer._is_new = tuple(beside or ()), tuple(made), True
        writer._write_manifest()
        return writer

    @classmethod
    def reopen(
        cls, path: Path, rows: int, *, parts: Mapping[str, int] | None = None, steps: Iterable[int] | None = None
    ) -> RunWriter:
        """Go on with the record of a run that was cut short.

        Parameters
        ----------
        path : Path
            The run directory.
        rows : int
            How many rows of the metrics stay: those that come after are of what will be done again.
        parts : mapping of str to int, optional
            How many files of spikes stay of each population; others are taken away. Left out, none is.
        steps : iterable of int, optional
            The weights that stay, by their numbers of examples, likewise.

        Raises
        ------
        RequestError
            If the directory has no readable manifest, fewer rows than that, or not all that stays, if it cannot be
            written, or if another process is writing in it.
        """
        try:
            held = Held(path)
            manifest = Manifest.from_json((path / "manifest.json").read_text(encoding="utf-8"), file=str(path))
            lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{path}: cannot be read as a run ({error}). Give a directory of a run.") from error
        if len(lines) < rows:
            raise RequestError(f"{path}: {len(lines)} rows of metrics, but {rows} were written. Start the run again.")
        spikes = {f"{name}-{part:04d}.npz" for name, count in (parts or {}).items() for part in range(count)}
        weights = [f"{step:010d}" for step in steps or ()]
        written = [*(Path("spikes") / name for name in sorted(spikes)), *(Path("weights") / name for name in weights)]
        if lost := [name for name in written if not (path / name).exists()]:
            raise RequestError(f"{path}: {lost[0]} is missing, which was written. Restore it, or start the run again.")
        try:
            _replace_file(path / "metrics.jsonl", "".join(lines[:rows]).encode())
            metrics_file = (path / "metrics.jsonl").open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise not_written(path, error) from error
        writer = cls(path, manifest, metrics_file, held)
        writer.rows = rows
        if parts is not None:
            writer.parts |= parts
            _keep_only(path / "spikes", spikes)
        if steps is not None:
            writer.steps = [int(name) for name in weights]
            _keep_only(path / "weights", weights)
        return writer

    def metrics(self, row: Mapping[str, object]) -> None:
        """Append one row to ``metrics.jsonl``.

        Parameters
        ----------
        row : mapping
            ``phase`` (index of the manifest's phases), ``mode``, ``examples`` (done so far), ``t_s`` (simulated time in
            s), ``angles_deg`` and ``gain`` ({name of B: number or None}), ``w_norm`` ({name: number}), and where they
            apply ``loss`` and ``clipped``. Numbers that are not finite are written as null.
        """
        with _going_on(self.path / "metrics.jsonl"):
            self._metrics_file.write(json.dumps(plain(row), sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
            self._metrics_file.flush()
        self.rows += 1

    def written_rows(self) -> list[dict[str, Any]]:
        """Return all rows of the metrics that have been written."""
        lines = (self._place / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def spikes(self, population: str, ticks: np.ndarray, cells: np.ndarray) -> None:
        """Write the next part of a population's spikes.

        Parameters
        ----------
        population : str
            Name of the population.
        ticks : ndarray of int64, shape (spikes,)
            Time of each spike, in steps of the manifest's ``dt_s`` from the start of the run.
        cells : ndarray of int32, shape (spikes,)
            Index of the cell that fired.

        Raises
        ------
        RequestError
            If the circuit has no such population.
        """
        if population not in self.parts:
            raise RequestError(f"spikes of '{population}': no such population. {suggestion(population, self.parts)}")
        assert ticks.shape == cells.shape == (len(ticks),), "one tick and one cell a spike"
        part = self.parts[population]
        arrays = {"ticks": ticks.astype(np.int64, copy=False), "cells": cells.astype(np.int32, copy=False)}
        self._put(Path("spikes") / f"{population}-{part:04d}.npz", _npz(arrays))
        self.parts[population] = part + 1

    def weights(self, step: int, forward: Mapping[str, np.ndarray], feedback: Mapping[str, np.ndarray]) -> None:
        """Write a snapshot of the weights; one of the same step replaces it.

        Parameters
        ----------
        step : int
            Number of examples done.
        forward : mapping of str to ndarray
            Forward weights by projection, shape (target, source), and biases as ``"y1.bias"``, shape (cells,).
        feedback : mapping of str to ndarray
            Feedback weights by projection, shape (target, source).
        """
        self.weight_files(step, _packed(forward), _packed(feedback))

    def weight_files(self, step: int, forward: bytes, feedback: bytes) -> None:
        """Write a snapshot of the weights, the files as they are; see `weights`."""
        for name, content in (("W", forward), ("B", feedback)):
            self._put(Path("weights") / f"{step:010d}" / f"{name}.safetensors", content)
        if step not in self.steps[-1:]:
            self.steps.append(step)

    def timings(self, timings: Mapping[str, object]) -> None:
        """Write ``timings.json``: how long things took, in s, as the caller names them."""
        text = json.dumps(plain(timings), indent=2, sort_keys=True, allow_nan=False) + "\n"
        self._put(Path("timings.json"), text.encode())

    def finish(self, summary: Mapping[str, object]) -> None:
        """Close the record of a run that reached its end.

        Parameters
        ----------
        summary : mapping
            The results in short. Its keys ``run_dir``, ``wall_s`` and ``images_per_s`` are left out of the manifest,
            since identical runs differ there; times belong into `timings`.
        """
        kept = {key: value for key, value in summary.items() if key not in VOLATILE}
        self._close(complete=True, summary=plain(kept))

    def interrupt(self, summary: Mapping[str, object] | None = None) -> None:
        """Close the record of a run that was cut short: what there is stays, ``complete`` stays False.

        Parameters
        ----------
        summary : mapping, optional
            What is added to the summary that the run began with.
        """
        self._close(complete=False, summary={**self.manifest.summary, **plain(summary or {})})

    def discard(self) -> None:
        """Take the directory away again, and those that were made for it: nothing has been recorded.

        The directory of a run that goes on stays: it is there to be gone on with.
        """
        if not self._is_new:
            self.interrupt()
            return
        self._metrics_file.close()
        written = ("circuit.toml", "metrics.jsonl", "manifest.json", *self._beside)
        _take_away(self._place, written, self._made)
        self._held.release()

    def _close(self, *, complete: bool, summary: Mapping[str, object]) -> None:
        with _going_on(self.path / "metrics.jsonl"):
            self._metrics_file.close()
        invocation = {**self.manifest.invocation, "finished": _now()}
        self.manifest = dataclasses.replace(self.manifest, complete=complete, summary=summary, invocation=invocation)
        self._write_manifest()
        self._held.release()

    def _write_manifest(self) -> None:
        self._put(Path("manifest.json"), self.manifest.to_json().encode())

    def _put(self, name: Path, content: bytes) -> None:
        with _going_on(self.path / name):
            _replace_file(self._place / name, content)


def is_free(path: Path) -> bool:
    """Return whether a run can have a directory for its own: there is nothing of that name, or nothing in it.

    Raises
    ------
    RequestError
        If there can be no such directory, for one because its name is too long.
    """
    try:
        return _is_missing(path) or (path.is_dir() and not any(path.iterdir()))
    except (OSError, ValueError) as error:
        raise not_written(path, error) from error


def _is_missing(path: Path) -> bool:
    """Return whether there is nothing of a name; what no name can be raises `OSError`."""
    try:
        path.lstat()
    except FileNotFoundError:
        there = next(parent for parent in path.parents if parent.is_dir())
        for part in path.relative_to(there).parts:  # below what is not there the system looks at no name
            with contextlib.suppress(FileNotFoundError):
                (there / part).lstat()
        return True
    return False


def check_free(path: Path) -> None:
    """Refuse a run directory that has something in it.

    Raises
    ------
    RequestError
        If it has, if it is no directory, or if there can be none of that name.
    """
    if not is_free(path):
        found = "has files in it" if path.is_dir() else "is a file"
        raise RequestError(f"{path}: {found}; a run overwrites nothing. Give --out a new or an empty directory.")


def not_written(path: Path, error: OSError | ValueError) -> RequestError:
    """Return what is said of a directory that cannot be written."""
    why = (error.strerror if isinstance(error, OSError) else None) or error
    return RequestError(f"{path}: a run cannot be written there ({why}). Give --out another directory.")


@contextlib.contextmanager
def _going_on(file: Path) -> Iterator[None]:
    """Say of a file of a run that goes on why it cannot be written."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{file}: cannot be written ({error.strerror or error}). What was written before it stays; make room, or "
            "give --out another directory."
        ) from error


def _make(path: Path, made: list[Path]) -> None:
    """Make a directory and those above it, and note which were made, the innermost first."""
    if path.is_dir():
        return
    if path != path.parent:
        _make(path.parent, made)
    path.mkdir(exist_ok=True)
    made.insert(0, path)


def _take_away(path: Path, names: Iterable[str], made: Iterable[Path]) -> None:
    """Take files out of a directory, and directories away as far as they are empty then."""
    with contextlib.suppress(OSError):
        for name in names:
            for written in (name, f"{name}.part"):
                (path / written).unlink(missing_ok=True)
        for directory in made:
            directory.rmdir()


def _keep_only(folder: Path, names: Collection[str]) -> None:
    """Take away all that a folder has besides these names."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: NumPy scalars and arrays as Python's, paths as text, nan and inf as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    return safetensors.numpy.save({key: np.asarray(array, order="C") for key, array in arrays.items()})


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    # np.savez leaves the date of the archive's members to zipfile's defaults; here it is fixed.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(member, content.getvalue(), compresslevel=1)
    return buffer.getvalue()


def _replace_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
