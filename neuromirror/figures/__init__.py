"""Figures of a run and of a circuit, as `matplotlib.figure.Figure` objects; see `neuromirror.figures.style`."""

from __future__ import annotations

from pathlib import Path

from neuromirror.figures.alignment import alignment, angle_names, weights
from neuromirror.figures.draw import draw
from neuromirror.figures.error_curves import error_curves
from neuromirror.figures.layer_angles import layer_angles
from neuromirror.figures.learning import errors, figure2, figure3, is_training, layers, learning
from neuromirror.figures.raster import raster
from neuromirror.figures.style import save
from neuromirror.record import Run

__all__ = [
    "alignment",
    "draw",
    "error_curves",
    "errors",
    "figure2",
    "figure3",
    "layer_angles",
    "layers",
    "learning",
    "raster",
    "save",
    "save_all",
    "weights",
]


def save_all(run: Run, directory: Path | None = None) -> dict[str, Path]:
    """Draw all figures that a run has data for.

    Parameters
    ----------
    run : Run
    directory : Path or None
        Where to; ``figures/`` of the run directory by default.

    Returns
    -------
    dict of str to Path
        ``raster`` (if the run has spikes), ``alignment`` (if it has angles), ``weights`` (if it has snapshots of a
        feedback projection that mirrors), or ``learning`` and ``layers`` (if it learned from images), each with its
        PNG file.
    """
    directory = run.path / "figures" if directory is None else directory
    figures = {}
    if is_training(run):
        figures = {"learning": learning, "layers": layers}
        return {name: save(make(run), directory / f"{name}.png") for name, make in figures.items()}
    if run.has_spikes:
        figures["raster"] = raster
    if angle_names(run):
        figures["alignment"] = alignment
    if run.mirrored and run.weight_steps():
        figures["weights"] = weights
    return {name: save(make(run), directory / f"{name}.png") for name, make in figures.items()}
