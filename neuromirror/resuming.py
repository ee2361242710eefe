"""Goes on with runs that were cut short, so that they end as if they had not been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neuromirror.backends.base import Options, load_backend
from neuromirror.begun import check_circuit, check_incomplete, check_resumable
from neuromirror.circuit.load import load
from neuromirror.errors import RequestError
from neuromirror.plan import Plan, make_plan
from neuromirror.record.checkpoint import reopened
from neuromirror.record.manifest import Manifest
from neuromirror.record.rows import parse_json, quoted
from neuromirror.recorder import RunRecorder
from neuromirror.result import Run, open_run, warned
from neuromirror.simulation import OPTIONS, Progress, carry_out

TRAINING = "training.json"
"""The file by which a run is known for one of ``neuromirror train``."""


def resume(folder: Path | str, *, figures: bool = True, announce: Callable[[str], None] = lambda _: None) -> Run:
    """Go on with a run that was cut short, of `neuromirror.run` or `neuromirror.train`.

    The record that it ends with is that of a run which was never cut short, bit for bit, times and dates apart.

    Parameters
    ----------
    folder : path
        The run directory.
    figures : bool
        Whether to draw the figures.
    announce : callable
        Takes what is said of it.

    Returns
    -------
    Run

    Raises
    ------
    RequestError
        If it is complete, or the circuit or a version has changed.
    UnsupportedError
        If runs of its backend or target keep no state that they could go on from.
    """
    if (Path(folder) / TRAINING).exists():
        from neuromirror.training import settings_file, spiking, train

        in_spikes = settings_file.backend_of(Path(folder)) == "brian2"
        resume_training = spiking.resume_spiking if in_spikes else train.resume
        return resume_training(folder, figures=figures, announce=announce)
    return resume_run(folder, figures=figures, announce=announce)


def resume_run(
    folder: Path | str,
    *,
    figures: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda done, total: None,
) -> Run:
    """Go on with a run of `neuromirror.run`; see `resume`."""
    folder = Path(folder)
    manifest = open_run(folder).manifest
    _check(folder, manifest)
    plan = _plan(folder, manifest)
    assert manifest.target is not None
    options = Options(target=manifest.target, points=_points(folder))
    writer, found = reopened(folder)
    total_s = plan.phases[-1].stop_s
    recorder = RunRecorder(plan, writer, lambda done_s: progress(done_s, total_s))
    if found is not None:
        recorder.restore(found)
    reached_s = 0.0 if recorder.last is None else recorder.last.t_s
    announce(f"{folder}: goes on after {reached_s:g} of {total_s:g} s")
    carry_out(load_backend(manifest.backend), [plan], [recorder], options, announce)
    record = warned(open_run(folder))
    if figures:
        record.save_figures()
    return record


def _check(folder: Path, manifest: Manifest) -> None:
    """Refuse runs that cannot go on."""
    if (folder / TRAINING).exists():
        raise RequestError(f"{folder}: a run of 'neuromirror train'. Go on with it by neuromirror train --resume.")
    check_incomplete(folder, manifest, "Run again")
    check_resumable(folder, manifest)


def _plan(folder: Path, manifest: Manifest) -> Plan:
    plan = make_plan(load(folder / "circuit.toml"), manifest.seed, manifest.backend)
    check_circuit(folder, plan.circuit, manifest)
    return plan


def _points(folder: Path) -> int:
    """Return the number of snapshots that the run was begun with."""
    file, remedy = folder / OPTIONS, "Start the run again."
    try:
        found = parse_json(file.read_text(encoding="utf-8"), file=file, remedy=remedy)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file}: cannot be read ({error}). {remedy}") from error
    points = found.get("points") if isinstance(found, dict) else None
    if type(points) is not int or points < 1:
        raise RequestError(f"{file}: {quoted(found)} are not the options of a run. {remedy}")
    return points
