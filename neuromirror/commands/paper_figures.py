"""What ``neuromirror report`` does: draws the paper's Figures 2 and 3 of training runs, and says what is in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromirror.errors import RequestError

if TYPE_CHECKING:
    from neuromirror.measure.curves import Panel, Series
    from neuromirror.record.training import TrainingRun

FIGURES = (2, 3)
PAPER = ("auto", "none")
"""Besides circuits of the paper."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    runs: tuple[Path, ...]
    figure: int
    out: tuple[Path, ...]
    paper: str
    skip: bool
    as_json: bool


def run_report(request: Request) -> None:
    """Draw a figure of runs, and print a line for each series that it has.

    Raises
    ------
    RequestError
        If something is wrong with the request, or a run cannot be drawn and is not to be left out.
    """
    from neuromirror.measure.grouping import panels

    _check(request)
    runs, left_out = opened(request.runs, skip=request.skip)
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    for one in runs:
        for text in one.run.warnings:
            print(f"warning: {one.run.path}: {text}", file=sys.stderr)
    if not runs:
        raise RequestError("report: no run is left to draw. Give runs of 'neuromirror train'.")
    found = panels(runs)
    files = [_write(file, found, request) for file in request.out or (Path(f"figure{request.figure}.png"),)]
    for panel in found:
        for series in panel.series:
            print(said(panel, series, request))
    for file in files:
        print(f"figure   {file}" if file.suffix.lower() != ".csv" else f"table    {file}")
    if request.as_json:
        print(json.dumps(_as_json(found, files, left_out, runs), sort_keys=True))


def _check(request: Request) -> None:
    from neuromirror.measure.paper import TEST_ERRORS

    if not request.runs:
        raise RequestError("report: name at least one run directory.")
    if request.figure not in FIGURES:
        raise RequestError(f"--figure {request.figure}: expected 2 (errors) or 3 (angles by layer).")
    known = (*PAPER, *TEST_ERRORS)
    if request.paper not in known:
        raise RequestError(f"--paper {request.paper}: expected one of {', '.join(known)}.")
    for file in request.out:
        if file.suffix.lower() not in (known := (".png", ".svg", ".pdf", ".csv")):
            raise RequestError(f"--out {file}: expected a file whose name ends in {', '.join(known)}.")


def opened(paths: Sequence[Path], *, skip: bool) -> tuple[list[TrainingRun], list[str]]:
    """Open the runs that there are at or below paths, each once.

    Parameters
    ----------
    paths : sequence of Path
    skip : bool
        Whether runs that cannot be drawn are left out; they are refused otherwise.

    Returns
    -------
    list of TrainingRun
    list of str
        Why each of the others is left out.

    Raises
    ------
    RequestError
        If there is no run at a path, or one cannot be drawn and `skip` is false.
    """
    from neuromirror.measure.grouping import duplicates
    from neuromirror.record.collection import run_paths
    from neuromirror.record.run import open_run
    from neuromirror.record.training import TrainingRun

    found = {folder.resolve(): folder for path in paths for folder in run_paths(path)}
    runs: list[TrainingRun] = []
    left_out: list[str] = []
    for folder in found.values():
        try:
            run = TrainingRun(open_run(folder))
            _ = [one for series in _alone(run) for one in (series.error, series.matrix_angles, series.delta_angles)]
        except RequestError as error:
            if not skip:
                raise RequestError(f"{error} Or leave it out of the figure: --skip.") from error
            left_out.append(str(error))
        else:
            runs.append(run)
    if skip:
        for less, more in duplicates(runs):
            runs.remove(less)
            left_out.append(f"{less.run.path}: the same circuit, images, method and seed as {more.run.path}.")
    return runs, left_out


def _alone(run: TrainingRun) -> list[Series]:
    """Return the series of a run by itself, whose curves find what is damaged in its metrics."""
    from neuromirror.measure.curves import Series

    return [Series(label="", runs=(run,))]


def _write(file: Path, found: Sequence[Panel], request: Request) -> Path:
    if file.suffix.lower() == ".csv":
        from neuromirror.measure.curve_tables import angle_table, error_table

        return _write_text(file, (error_table if request.figure == 2 else angle_table)(found))
    from neuromirror.figures.error_curves import error_curves
    from neuromirror.figures.layer_angles import layer_angles
    from neuromirror.figures.style import save

    return save(error_curves(found, request.paper) if request.figure == 2 else layer_angles(found), file)


def _write_text(file: Path, text: str) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as opened_file:
            opened_file.write(text)
    except OSError as error:
        raise RequestError(f"{file}: cannot be written ({error.strerror or error}).") from error
    return file


def said(panel: Panel, series: Series, request: Request) -> str:
    """Return the line that says what a series has come to."""
    state = f" ({series.state})" if series.state else ""
    head = f"{panel.title}: {series.label}{state}: "
    if request.figure == 2:
        return head + _errors(panel, series, request.paper)
    ends = {
        "B": [float(one.mean[-1]) for one in series.matrix_angles.values()],
        "δ": [float(one.mean[-1]) for one in series.delta_angles.values()],
    }
    found = [f"{what} {min(some):.1f}° to {max(some):.1f}°" for what, some in ends.items() if some]
    return head + (", ".join(found) or "no angles yet")


def _errors(panel: Panel, series: Series, paper: str) -> str:
    from neuromirror.measure.paper import reported

    one, test = series.error, series.final_test
    if not len(one):
        return "not evaluated yet"
    text = f"{panel.part} error {one.mean[-1]:.2f}% at epoch {one.epochs[-1]:g}"
    if one.runs[-1] > 1:
        text += f" ({one.low[-1]:.2f} to {one.high[-1]:.2f})"
    if panel.part != "test" and len(test):
        text += f", test error {test.mean[-1]:.2f}%"
    if (beside := reported(panel.circuit, panel.classes, paper).get(series.method)) is not None:
        text += f"; the paper {beside.said}%"
    return text


def _as_json(
    found: Sequence[Panel], files: Sequence[Path], left_out: Sequence[str], runs: Sequence[TrainingRun]
) -> dict[str, Any]:
    return {
        "files": [str(file) for file in files],
        "left_out": list(left_out),
        "warnings": {str(one.run.path): list(one.run.warnings) for one in runs if one.run.warnings},
        "panels": [
            {
                "circuit": panel.circuit,
                "data": panel.data,
                "part": panel.part,
                "title": panel.title,
                "series": [_series_json(series) for series in panel.series],
            }
            for panel in found
        ],
    }


def _series_json(series: Series) -> dict[str, Any]:
    def last(curves: dict[str, Any]) -> dict[str, float]:
        return {name: float(one.mean[-1]) for name, one in curves.items()}

    return {
        "label": series.label,
        "method": series.method,
        "runs": [str(run.run.path) for run in series.runs],
        "seeds": [run.seed for run in series.runs],
        "complete": [run.run.manifest.complete for run in series.runs],
        "epochs": [run.reached for run in series.runs],
        "error_percent": float(series.error.mean[-1]) if len(series.error) else None,
        "matrix_angles_deg": last(series.matrix_angles),
        "delta_angles_deg": last(series.delta_angles),
    }
