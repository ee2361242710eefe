"""Curves over the epochs of training runs: errors, and angles of B and δ by layer, over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neuromirror.record.training import TrainingRun

MATRIX, DELTA = "angles_deg", "delta_angles_deg"
"""Keys of the metrics by layer: the angle of B to Wᵀ, and of δ to that of backprop, all examples as one vector."""

METHODS = {
    "bp": "backprop",
    "wm": "weight mirror",
    "kp": "Kolen-Pollack",
    "ss": "sign-symmetry",
    "fa": "feedback alignment",
    "": "as the file says",
}
"""Methods as figures name them, in their order; others are named as they are."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One quantity over the epochs of several runs, each of which may end earlier than others.

    Attributes
    ----------
    epochs : ndarray, shape (points,)
        Every epoch at which some run has a value, increasing.
    mean, low, high : ndarray, shape (points,)
        Mean, smallest and largest over the runs that have a value there.
    runs : ndarray of int, shape (points,)
        How many these are.
    """

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray

    def __len__(self) -> int:
        return len(self.epochs)


def curve(points: Iterable[Iterable[tuple[float, float | None]]]) -> Curve:
    """Return the curve of what runs came to.

    Parameters
    ----------
    points : iterable of iterable of (epoch, value)
        Of each run. None is no value; of several values at one epoch the last counts.
    """
    by_epoch: dict[float, list[float]] = {}
    for one in points:
        # An epoch is a number of steps over those of an epoch: runs that differ in their seed only have the same.
        latest = {round(epoch, 9): value for epoch, value in one if value is not None}
        for epoch, value in latest.items():
            by_epoch.setdefault(epoch, []).append(value)
    epochs = sorted(by_epoch)
    values = [np.array(by_epoch[epoch], dtype=np.float64) for epoch in epochs]
    return Curve(
        epochs=np.array(epochs, dtype=np.float64),
        mean=np.array([some.mean() for some in values]),
        low=np.array([some.min() for some in values]),
        high=np.array([some.max() for some in values]),
        runs=np.array([len(some) for some in values], dtype=np.int64),
    )


@dataclass(frozen=True, kw_only=True)
class Series:
    """Runs that differ in their seed only.

    Attributes
    ----------
    label : str
        Method, and what else tells it from other series of a panel.
    runs : tuple of TrainingRun
        In the order of seeds.
    """

    label: str
    runs: tuple[TrainingRun, ...]

    @property
    def method(self) -> str:
        """As after ``--method``; empty where it has no name."""
        return self.runs[0].method

    @cached_property
    def error(self) -> Curve:
        """Error in percent, on the validation images where there are some, else on the test images."""
        key = f"{self.runs[0].part}_error_percent"
        return curve([(row["epoch"], run.number(row, key)) for row in run.rows] for run in self.runs)

    @cached_property
    def final_test(self) -> Curve:
        """Test error in percent of the runs that are complete, at their end."""
        rows = [(run, run.rows[-1]) for run in self.runs if run.run.manifest.complete and run.rows]
        return curve([(row["epoch"], run.number(row, "test_error_percent"))] for run, row in rows)

    @cached_property
    def matrix_angles(self) -> dict[str, Curve]:
        """Angle of every B to its Wᵀ in degrees, from the input to the output."""
        return self._angles(MATRIX)

    @cached_property
    def delta_angles(self) -> dict[str, Curve]:
        """Angle of every layer's δ to that of backprop in degrees, from the input to the output."""
        return self._angles(DELTA)

    def _angles(self, key: str) -> dict[str, Curve]:
        rank = _ranks(self.runs[0])
        names = sorted({n for run in self.runs for n in run.names(key)}, key=lambda name: (rank.get(name, 0), name))
        found = {
            name: curve([(row["epoch"], run.number(row, key, name)) for row in run.rows] for run in self.runs)
            for name in names
        }
        return {name: one for name, one in found.items() if len(one)}

    @property
    def unfinished(self) -> tuple[TrainingRun, ...]:
        """The runs that are not complete."""
        return tuple(run for run in self.runs if not run.run.manifest.complete)

    @property
    def state(self) -> str:
        """How many seeds there are, and how far those are that are not complete."""
        said = [] if len(self.runs) == 1 else [f"{len(self.runs)} seeds"]
        if self.unfinished:
            reached = ", ".join(f"{run.reached:.3g}" for run in self.unfinished[:4])
            reached += ", …" if len(self.unfinished) > 4 else ""
            totals = {run.total for run in self.unfinished} - {None}
            of = f" of {totals.pop():g}" if len(totals) == 1 else ""
            how_many = f"{len(self.unfinished)} not complete: " if len(self.runs) > 1 else "not complete: "
            said.append(f"{how_many}epoch {reached}{of}")
        return "; ".join(said)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series of one circuit on the same images.

    Attributes
    ----------
    title : str
    circuit : str
        Its name, without that of a method.
    data : str
        Name of the images.
    series : tuple of Series
    """

    title: str
    circuit: str
    data: str
    series: tuple[Series, ...]

    @property
    def classes(self) -> int:
        """Of the images."""
        return self.series[0].runs[0].classes

    @property
    def part(self) -> str:
        """The images on which errors are."""
        return self.series[0].runs[0].part

    @property
    def epochs(self) -> float:
        """The epochs that the longest run has, or has come to."""
        runs = [run for series in self.series for run in series.runs]
        return max(max(run.reached, run.total or 0.0) for run in runs)


def _ranks(run: TrainingRun) -> Mapping[str, int]:
    """Return the layer of every population, and of every B that of the layer that it leads to."""
    manifest = run.run.manifest
    layers = {name: entry["layer"] for name, entry in manifest.populations.items()}
    return {**layers, **{name: layers.get(one["target"], 0) for name, one in manifest.projections.items()}}


def method_name(method: str) -> str:
    """Return a method as figures name it."""
    return METHODS.get(method, method)


def in_order(methods: Sequence[str]) -> list[str]:
    """Return methods in the order of `METHODS`, others after them."""
    known = list(METHODS)
    return sorted(methods, key=lambda method: (known.index(method) if method in known else len(known), method))
