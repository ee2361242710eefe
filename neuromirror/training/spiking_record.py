"""What training in spikes records: errors by what the output cells fire, and how well every B follows its W."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import Snapshot, State
from neuromirror.circuit.turns import takes_turns
from neuromirror.measure import health
from neuromirror.plan import FloatArray, Plan
from neuromirror.record import checkpoint
from neuromirror.record.checkpoint import Checkpoint, Checkpoints
from neuromirror.record.manifest import PhaseEntry
from neuromirror.record.store import RunWriter
from neuromirror.recorder import alignment_of, check_finite, last_of, left_behind, moment, reached_end, write_arrays
from neuromirror.run_warnings import learned_mirrors
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
    last : Snapshot or None
        That of the newest row.
    worst_deg : dict of str to float
        The largest angle of every B to its Wᵀ, after any turn awake so far, in degrees.
    errors_percent : dict of str to float
        The newest error on the images of each part.
    begun : State or None
        What the backend goes on from; None at the beginning of a run.
    """

    plan: Plan
    writer: RunWriter
    phases: Sequence[Stretch]
    labels: NDArray[np.int64]
    output: str
    about: dict[str, Any]
    progress_to: Callable[[float], None]
    last: Snapshot | None = None
    worst_deg: dict[str, float] = field(default_factory=dict)
    errors_percent: dict[str, float] = field(default_factory=dict)
    begun: State | None = None

    def __post_init__(self) -> None:
        self._counts = np.zeros((len(self.labels), self.plan.sizes[self.output]))
        self._checkpoints = Checkpoints(self.writer)
        self._learned_before = 0  # images that were learned from before the run was gone on with

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

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        """Add a row at the end of each phase, with the error of the images that it showed.

        Raises
        ------
        DivergenceError
            If something is not finite any more; the row is added all the same.
        """
        if not keep_arrays:
            if snapshot.lost is not None:
                self.last = snapshot
            check_finite(snapshot, f"{snapshot.t_s:g} s")
            return
        self.last, stretch = snapshot, self.phases[snapshot.phase]
        aligned = alignment_of(self.plan, snapshot.arrays)
        row: dict[str, Any] = {
            "phase": int(snapshot.phase >= self._alone > 0),
            "mode": stretch.mode,
            "examples": snapshot.examples,
            "t_s": round(snapshot.t_s, 9),
            "epoch": stretch.epoch,
            **aligned,
            **snapshot.more,
        }
        if stretch.part is not None and snapshot.examples:
            row[f"{stretch.part}_error_percent"] = self.errors_percent[stretch.part] = self._error_percent(snapshot)
        if stretch.mode not in self._asleep:
            self.worst_deg |= {
                name: max(self.worst_deg.get(name, deg), deg) for name, deg in aligned["angles_deg"].items()
            }
        self.writer.metrics(row)
        alone_ends = snapshot.phase + 1 == self._alone
        if not snapshot.examples or alone_ends or stretch.part in ("validation", "test"):
            write_arrays(self.plan, self.writer, snapshot)
        check_finite(snapshot, f"{snapshot.t_s:g} s")

    def _error_percent(self, snapshot: Snapshot) -> float:
        """Return the error of the images of the phase that has ended: their spikes came before the snapshot."""
        here = slice(self._first_shown[snapshot.phase], self._first_shown[snapshot.phase + 1])
        return error_percent(self.plan.coding.values(self._counts[here]), self.labels[here])

    def progress(self, done_s: float) -> None:
        """Pass on how far the run is."""
        self.progress_to(done_s)

    # ---- what a run goes on from -------------------------------------------------------------------------------------

    def keep(self, state: Callable[[], State], *, now: bool) -> None:
        """Write a checkpoint, if one is due or asked for."""
        if self.last is not None:
            self._checkpoints.keep(lambda: self._moment(state()), now=now)

    def _moment(self, backend: State) -> Checkpoint:
        assert self.last is not None
        facts = {"worst_deg": self.worst_deg, "errors_percent": self.errors_percent}
        return moment(self.last, backend, facts, {"counts": self._counts})

    def restore(self, found: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.worst_deg, self.errors_percent = dict(found.facts["worst_deg"]), dict(found.facts["errors_percent"])
        self.last = last_of(found)
        self._counts = found.arrays["counts"]
        self._learned_before = self._learned(self.last)
        self.begun = found.part("backend")

    # ---- how it ends -------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        return reached_end(self.plan, self.last)

    def left(self) -> str:
        """Say what an interrupted run leaves behind."""
        return left_behind(self.plan, self.writer, self.last, "train")

    def close(self, wall_s: float) -> None:
        """Close the record: as complete, as cut short with the last state, or not at all where nothing was recorded."""
        if self.last is None:
            self.writer.discard()
            return
        learned = self._learned(self.last) - self._learned_before
        self.writer.timings({"wall_s": wall_s, "images_per_s": learned / max(wall_s, 1e-9)})
        if self.complete:
            self.writer.finish(self.summary())
            checkpoint.discard(self.writer.path)
        else:
            write_arrays(self.plan, self.writer, self.last)
            self.writer.interrupt()

    def _learned(self, snapshot: Snapshot) -> int:
        """Return how many images have been learned from at the end of a phase, or at the beginning of the run."""
        done = self.phases[: snapshot.phase + 1] if snapshot.examples else ()
        return sum(stretch.examples for stretch in done if stretch.part == "train")

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints of a run; ``worst`` angles are those after any turn of mirroring or learning.

        Angles count from where the circuit begins to learn its task.
        """
        last = self.last
        assert last is not None
        aligned = alignment_of(self.plan, last.arrays)
        return {
            **self.about,
            "epochs": self.phases[last.phase].epoch,
            "steps": self._learned(last),
            "examples": last.examples,
            "simulated_s": self.plan.phases[-1].stop_s,
            "matrix_angles_deg": aligned["angles_deg"],
            "matrix_angles_worst_deg": {name: self.worst_deg.get(name) for name in aligned["angles_deg"]},
            "gain": aligned["gain"],
            "top1_error_percent": self.errors_percent.get("test"),
            "validation_error_percent": self.errors_percent.get("validation"),
            "warnings": self._warnings(),
        }

    def _warnings(self) -> list[str]:
        """Return what is doubtful of the run; of spikes only those of the output are known."""
        rows = self.writer.written_rows()
        found = health.of_rows(rows, learned_mirrors(self.plan, self.writer.manifest))
        found += health.clipped_populations(least_clipped(rows))
        shown_s = sum(
            phase.stop_s - phase.start_s
            for phase, stretch in zip(self.plan.phases, self.phases, strict=True)
            if stretch.part is not None
        )
        counts, beta_Hz = self._counts.sum(axis=0).astype(np.int64), self.plan.beta * self.plan.unit_Hz
        engaged = next((stretch.mode for stretch in self.phases if stretch.part is not None), "")
        found += health.doubtful_cells(engaged, self.output, counts, spent_s=shown_s, beta_Hz=beta_Hz, limit_Hz=np.inf)
        return found


def least_clipped(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return by mode and population the least share of examples that was clipped in any row of the metrics."""
    least = dict[str, dict[str, float]]()
    for row in rows:
        of_mode = least.setdefault(row["mode"], {})
        for name, share in row.get("clipped", {}).items():
            of_mode[name] = min(share, of_mode.get(name, share))
    return least


def alone(phases: Sequence[Stretch]) -> int:
    """Return how many phases come before the first image."""
    return next((index for index, stretch in enumerate(phases) if stretch.part is not None), len(phases))


def entries(plan: Plan, phases: Sequence[Stretch], engaged: str) -> tuple[PhaseEntry, ...]:
    """Return the parts of a run as the manifest has them: mirroring or rest alone, then learning, turns included."""
    first = alone(phases)
    modes = {phase.mode for phase in plan.phases[:first]}
    estimate = plan.description.code.estimate
    begins = "mirroring" if estimate is None or modes != {estimate.rest} else str(estimate.rest)
    parts = [(begins, plan.phases[:first]), (engaged, plan.phases[first:])]
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
