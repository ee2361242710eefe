"""Learning from images: figures of runs as one has them, one at a time or under names of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from neuromirror.errors import RequestError
from neuromirror.figures.error_curves import error_curves
from neuromirror.figures.layer_angles import layer_angles
from neuromirror.measure.curves import Panel, Series
from neuromirror.measure.grouping import panels
from neuromirror.record import Run
from neuromirror.record.training import TrainingRun


def is_training(run: Run) -> bool:
    """Return whether a run learned from images."""
    return any(row.get("train_error_percent") is not None for row in run.metrics())


def errors(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw error against epochs, a line for each name: the mean over its runs, and their range.

    Parameters
    ----------
    runs : mapping of str to sequence of Run
        By what the legend says; several runs of one name are seeds of it. Runs that are not complete are drawn as far
        as they go.

    Returns
    -------
    Figure
        See `neuromirror.figures.error_curves`.

    Raises
    ------
    RequestError
        If no run has been evaluated, or some have learned from no images.
    """
    named = {name: tuple(TrainingRun(run) for run in some) for name, some in runs.items() if some}
    if not named:
        raise RequestError("there is no run to draw. Give runs of 'neuromirror train'.")
    first = next(iter(named.values()))[0]
    series = tuple(Series(label=name, runs=some) for name, some in named.items())
    return error_curves([Panel(title="", circuit=first.family, data=first.data, series=series)])


def figure2(runs: Sequence[Run], paper: str = "auto") -> Figure:
    """Draw the errors of any runs that learned from images, a panel for each circuit and set of images.

    Parameters
    ----------
    runs : sequence of Run
    paper : str
        Whose values of the paper stand beside them; see `neuromirror.measure.paper.reported`.

    Returns
    -------
    Figure
        See `neuromirror.figures.error_curves`.

    Raises
    ------
    RequestError
        As for `neuromirror.measure.grouping.panels` and `neuromirror.figures.error_curves`.
    """
    return error_curves(panels([TrainingRun(run) for run in runs]), paper)


def figure3(runs: Sequence[Run]) -> Figure:
    """Draw the angles by layer of any runs that learned from images, a row for each method; see `figure2`."""
    return layer_angles(panels([TrainingRun(run) for run in runs]))


def learning(run: Run) -> Figure:
    """Draw the errors of one run; see `figure2`."""
    return figure2([run], paper="none")


def layers(run: Run) -> Figure:
    """Draw the angles by layer of one run; see `figure3`."""
    return figure3([run])
