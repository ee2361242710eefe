"""A run as users hold it: the record, and figures made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuromirror.notices import notice
from neuromirror.record import run as record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Run(record.Run):
    """A record that can draw itself; see `neuromirror.record.run.Run` for what can be read of it."""

    def raster(self, start_s: float | None = None, stop_s: float | None = None) -> Figure:
        """Return the raster of all populations; see `neuromirror.figures.raster`."""
        from neuromirror.figures import raster

        return raster(self, start_s=start_s, stop_s=stop_s)

    def alignment(self) -> Figure:
        """Return angle and gain of every B over time; see `neuromirror.figures.alignment`."""
        from neuromirror.figures import alignment

        return alignment(self)

    def compare_weights(self) -> Figure:
        """Return B beside Wᵀ; see `neuromirror.figures.weights`."""
        from neuromirror.figures import weights

        return weights(self)

    def save_figures(self, directory: Path | str | None = None) -> dict[str, Path]:
        """Draw all figures that there is data for; see `neuromirror.figures.save_all`."""
        from neuromirror.figures import save_all

        return save_all(self, None if directory is None else Path(directory))


def open_run(path: Path | str) -> Run:
    """Open a run directory; see `neuromirror.record.run.open_run`."""
    opened = record.open_run(path)
    return Run(opened.path, opened.manifest)


def warned(run: Run) -> Run:
    """Return a run that has just ended, after a notice of all that is doubtful of it."""
    for text in run.warnings:
        notice(f"{run.path}: {text}")
    return run
