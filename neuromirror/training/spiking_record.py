"""What training in spikes records: errors by what the output cells fire, and how well every B follows its W."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import Snapshot
from neuromirror.circuit.turns import takes_turns
from neuromirror.errors import DivergenceError
from neuromirror.plan import FloatArray, Plan
from neuromirror.record.manifest import PhaseEntry
from neuromirror.record.store import RunWriter
from neuromirror.recorder import alignment_of
from neuromirror.training.spiking_schedule import Stretch


@dataclass
class SpikingRecorder:
    """Writes the record of one run, and judges every image that was shown by the spikes that the output fired.

    Attributes
    ----------
    plan : Plan
    writer : RunWriter
    phases : sequence of Stretch
        Those of the plan.
    labels : int array (images shown,)
        Their classes.
    output : str
        The population that tells the class: that of the cell, or pair of cells, with the most spikes in the window.
    about : dict
        What of the summary is known before.
    progress_to : callable
        Takes the simulated time done, in seconds.
    """

    plan: Plan
    writer: RunWriter
    phases: Sequence[Stretch]
    labels: NDArray[np.int64]
    output: str
    about: dict[str, Any]
    progress_to: Any
    rows: list[dict[str, Any]] = field(default_factory=list)
    last: Snapshot | None = None

    def __post_init__(self) -> None:
        self._counts = np.zeros((len(self.labels), self.plan.sizes[self.output]))
        self._pending: list[tuple[dict[str, Any], int | None]] = []

    @cached_property
    def _windows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The time steps at which each image that is shown begins, and at which its output has been counted."""
        dt_s, starts, stops = self.plan.description.time.dt.s, [np.zeros(0, int)], [np.zeros(0, int)]
        for phase, stretch in zip(self.plan.phases, self.phases, strict=True):
            if stretch.part is not None:
                width = round(phase.window_s / dt_s)
                begin = round(phase.start_s / dt_s) + width * np.arange(phase.examples)
                turns = takes_turns(self.plan.description, phase.mode)  # then y is in the first half
                starts.append(begin)
                stops.append(begin + (width // 2 if turns else width))
        return np.concatenate(starts), np.concatenate(stops)

    @cached_property
    def _alone(self) -> int:
        """How many phases there are of mirroring alone."""
        return alone(self.phases)

    @cached_property
    def _asleep(self) -> set[str]:
        """The modes in which no images are shown."""
        return {stretch.mode for stretch in self.phases if stretch.part is None}

    @cached_property
    def _first_shown(self) -> list[int]:
        """How many images were shown before each phase."""
        return np.cumsum([0, *(stretch.examples if stretch.part else 0 for stretch in self.phases)]).tolist()

    def spikes(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        """Count the spikes of the output in the window of each image."""
        if population != self.output or not len(self.labels):
            return
        starts, stops = self._windows
        image = np.searchsorted(starts, ticks, side="right") - 1
        inside = (image >= 0) & (ticks < stops[image])
        np.add.at(self._counts, (image[inside], cells[inside]), 1.0)
        self._flush()

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        """Add a row at the end of each phase, with the error of the images that it showed.

        Raises
        ------
        DivergenceError
            If a weight is not finite any more; the row is added all the same.
        """
        if not keep_arrays:
            return
        self.last, stretch = snapshot, self.phases[snapshot.phase]
        row: dict[str, Any] = {
            "phase": int(snapshot.phase >= self._alone > 0),
            "mode": stretch.mode,
            "examples": snapshot.examples,
            "t_s": round(snapshot.t_s, 9),
            "epoch": stretch.epoch,
            **alignment_of(self.plan, snapshot.arrays),
            **snapshot.more,
        }
        self._pending.append((row, snapshot.phase if stretch.part is not None and snapshot.examples else None))
        alone_ends = snapshot.phase + 1 == self._alone
        if not snapshot.examples or alone_ends or stretch.part in ("validation", "test"):
            self.write_arrays(snapshot)
        lost = next((n for n, array in sorted(snapshot.arrays.items()) if not np.isfinite(array).all()), None)
        if lost is not None:
            self._flush()
            raise DivergenceError(
                f"{lost} is no longer finite after {snapshot.t_s:g} s. Lower the rate of the rule that teaches it."
            )

    def _flush(self) -> None:
        """Write the rows whose spikes have all been counted: spikes come in parts, and up to a moment that is later."""
        for row, phase in self._pending:
            if phase is not None:
                row[f"{self.phases[phase].part}_error_percent"] = self._error_percent(phase)
            self.rows.append(row)
            self.writer.metrics(row)
        self._pending = []

    def _error_percent(self, phase: int) -> float:
        here = slice(self._first_shown[phase], self._first_shown[phase + 1])
        return error_percent(self.plan.coding.values(self._counts[here]), self.labels[here])

    def write_arrays(self, snapshot: Snapshot) -> None:
        """Write all weights, those of the feedback path apart."""
        described = self.plan.description
        back = {n for n, p in described.projections.items() if described.populations[p.target].path == "feedback"}
        forward = {name: array for name, array in snapshot.arrays.items() if name not in back}
        self.writer.weights(
            snapshot.examples, forward, {name: array for name, array in snapshot.arrays.items() if name in back}
        )

    def progress(self, done_s: float) -> None:
        """Pass on how far the run is."""
        self.progress_to(done_s)

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        return self.last is not None and self.last.t_s >= self.plan.phases[-1].stop_s - 1e-9

    def close(self, wall_s: float) -> None:
        """Close the record: as complete, as cut short, or not at all where nothing was recorded."""
        if self.last is None:
            self.writer.discard()
            return
        self._flush()
        shown = sum(stretch.examples for stretch in self.phases if stretch.part == "train")
        self.writer.timings({"wall_s": wall_s, "images_per_s": shown / max(wall_s, 1e-9)})
        if self.complete:
            self.writer.finish(self.summary())
        else:
            self.writer.interrupt()

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints of a run; ``worst`` angles are those after any turn of mirroring or learning.

        Angles count from where the circuit begins to learn its task.
        """
        learned = [row for row in self.rows if row["mode"] not in self._asleep]
        last = self.rows[-1]
        errors = {part: [row[f"{part}_error_percent"] for row in self.rows if f"{part}_error_percent" in row]
                  for part in ("validation", "test")}  # fmt: skip
        shown = sum(stretch.examples for stretch in self.phases if stretch.part == "train")
        return {
            **self.about,
            "epochs": last["epoch"],
            "steps": shown,
            "examples": last["examples"],
            "simulated_s": self.plan.phases[-1].stop_s,
            "matrix_angles_deg": last["angles_deg"],
            "matrix_angles_worst_deg": {
                name: max((row["angles_deg"][name] for row in learned), default=None) for name in last["angles_deg"]
            },
            "gain": last["gain"],
            "top1_error_percent": errors["test"][-1] if errors["test"] else None,
            "validation_error_percent": errors["validation"][-1] if errors["validation"] else None,
        }


def alone(phases: Sequence[Stretch]) -> int:
    """Return how many phases come before the first image."""
    return next((index for index, stretch in enumerate(phases) if stretch.part is not None), len(phases))


def entries(plan: Plan, phases: Sequence[Stretch], engaged: str) -> tuple[PhaseEntry, ...]:
    """Return the parts of a run as the manifest has them: mirroring alone, then learning, turns asleep included."""
    first = alone(phases)
    parts = [("mirroring", plan.phases[:first]), (engaged, plan.phases[first:])]
    return tuple(
        PhaseEntry(
            mode=mode,
            start_s=round(some[0].start_s, 9),
            stop_s=round(some[-1].stop_s, 9),
            first_example=some[0].first_example,
            examples=sum(phase.examples for phase in some),
        )
        for mode, some in parts
        if some
    )


def error_percent(values: FloatArray, labels: NDArray[np.int64]) -> float:
    """Return the share of images whose class has not the largest value, in percent.

    Among k classes that tie for the largest, the right one counts 1/k: what a guess among them would get.

    Parameters
    ----------
    values : float array (images, classes)
    labels : int array (images,)
    """
    largest = values == values.max(axis=1, keepdims=True)
    right = largest[np.arange(len(labels)), labels] / largest.sum(axis=1)
    return float(100 * (1 - right.mean()))
