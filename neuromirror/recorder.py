"""Takes what a backend sees into a run directory, measures it on the way, and keeps what a run can go on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import Snapshot, State, unresumable
from neuromirror.errors import DivergenceError
from neuromirror.measure.alignment import angle_deg, gain, norm
from neuromirror.plan import Plan
from neuromirror.record import checkpoint
from neuromirror.record.activity import SpikeCounts, mean_rates_Hz
from neuromirror.record.cell_counts import CellCounts
from neuromirror.record.checkpoint import Checkpoint, Checkpoints
from neuromirror.record.parts import SpikeParts
from neuromirror.record.store import RunWriter
from neuromirror.run_warnings import run_warnings

Angles = dict[str, float]
Counted = dict[str, dict[str, tuple[float, int]]]
"""By mode and population: how many examples something was true of, and how many there were."""


@dataclass
class RunRecorder:
    """Writes what a backend sees into a run directory, and measures the angle and gain of every B on the way."""

    plan: Plan
    writer: RunWriter
    progress_to: Callable[[float], None]
    last: Snapshot | None = None
    before_deg: Angles | None = None
    after_deg: dict[str, Angles] = field(default_factory=dict)
    clipped: Counted = field(default_factory=dict)
    silent: Counted = field(default_factory=dict)
    begun: State | None = None
    """What the backend goes on from; None at the beginning of a run."""

    def __post_init__(self) -> None:
        spiking = self.writer.manifest.dt_s is not None
        self.activity = SpikeCounts(self.writer.manifest) if spiking else None
        self._cells = CellCounts(self.writer.manifest) if spiking else None
        self._parts = SpikeParts(self.writer)
        self._checkpoints = Checkpoints(self.writer)

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        """Add a row to the metrics, and keep the arrays where asked.

        Raises
        ------
        DivergenceError
            If a weight is not finite any more; the row is added all the same.
        """
        weights = [array for array in snapshot.arrays.values() if array.ndim > 1]
        assert not (self.plan.dale and any((array < 0).any() for array in weights)), "Dale's law holds"
        self._count(self.clipped, snapshot, snapshot.more.get("clipped", {}))
        self._count(self.silent, snapshot, snapshot.silent)
        self.last, mode = snapshot, self.plan.phases[snapshot.phase].mode
        aligned = alignment_of(self.plan, snapshot.arrays)
        if self.before_deg is None:
            self.before_deg = aligned["angles_deg"]
        if keep_arrays and snapshot.examples:
            self.after_deg[mode] = aligned["angles_deg"]
        self.writer.metrics(
            {
                "phase": snapshot.phase,
                "mode": mode,
                "examples": snapshot.examples,
                "t_s": round(snapshot.t_s, 9),
                **aligned,
                **snapshot.more,
            }
        )
        if keep_arrays:
            write_arrays(self.plan, self.writer, snapshot)
        check_finite(snapshot, f"{snapshot.t_s:g} s, in {mode} mode")

    def _count(self, counted: Counted, snapshot: Snapshot, shares: Mapping[str, float]) -> None:
        """Add up the examples of which a snapshot has shares by population, such as those clipped, and all, by mode."""
        examples = snapshot.examples - (self.last.examples if self.last is not None else 0)
        of_mode = counted.setdefault(self.plan.phases[snapshot.phase].mode, {})
        for name, share in shares.items():
            so_far, all_of_them = of_mode.get(name, (0.0, 0))
            of_mode[name] = so_far + share * examples, all_of_them + examples

    def clipped_shares(self) -> dict[str, dict[str, float]]:
        """Return how often the cells of each population were clipped, as a share of all examples, by mode."""
        return _shares(self.clipped)

    def spikes(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        """Write spikes of one population."""
        assert self.activity is not None, "a backend that spikes has a time step"
        assert self._cells is not None
        self.activity.add(population, ticks)
        self._cells.add(population, ticks, cells)
        self._parts.add(population, ticks, cells)

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
        facts = {
            "before_deg": self.before_deg,
            "after_deg": self.after_deg,
            "clipped": self.clipped,
            "spikes": None if self.activity is None else self.activity.by_mode,
        }
        arrays = {f"spikes/{name}": array for name, array in self._parts.state().items()}
        if self._cells is not None:
            arrays |= {f"fired/{name}": array for name, array in self._cells.state().items()}
        return moment(self.last, backend, facts, arrays)

    def restore(self, found: Checkpoint) -> None:
        """Go on from a checkpoint."""
        facts = found.facts
        self.before_deg, self.after_deg = facts["before_deg"], dict(facts["after_deg"])
        self.clipped = {
            mode: {name: (clipped, examples) for name, (clipped, examples) in of_mode.items()}
            for mode, of_mode in facts["clipped"].items()
        }
        if self.activity is not None:
            self.activity.by_mode = facts["spikes"]
        if self._cells is not None:
            self._cells.restore(found.part("fired"))
        self.last = last_of(found)
        self._parts.restore(found.part("spikes"))
        self.begun = found.part("backend")

    # ---- how it ends -------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        return reached_end(self.plan, self.last)

    def left(self) -> str:
        """Say what an interrupted run leaves behind."""
        return left_behind(self.plan, self.writer, self.last, "run")

    def close(self, wall_s: float) -> None:
        """Close the record: as complete, as cut short with the last state, or not at all where nothing was recorded."""
        if self.last is None:
            self.writer.discard()
            return
        self._parts.close()
        self.writer.timings({"wall_s": wall_s})
        if self.complete:
            self.writer.finish(self.summary())
            checkpoint.discard(self.writer.path)
        else:
            write_arrays(self.plan, self.writer, self.last)
            self.writer.interrupt()

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints of a run, without what differs between identical runs."""
        plan, last = self.plan, self.last
        assert last is not None
        aligned = alignment_of(plan, last.arrays)
        return {
            "circuit_sha256": plan.circuit.sha256,
            "protocol_sha256": plan.circuit.protocol_sha256,
            "backend": self.writer.manifest.backend,
            "seed": plan.seed,
            "examples": last.examples,
            "simulated_s": plan.phases[-1].stop_s,
            "matrix_angles_deg": aligned["angles_deg"],
            "matrix_angles_before_deg": self.before_deg,
            "matrix_angles_after_deg": self.after_deg,
            "gain": aligned["gain"],
            "clipped": self.clipped_shares(),
            "warnings": self._warnings(),
            **self._energy(),
        }

    def _warnings(self) -> list[str]:
        """Return what is doubtful of the run."""
        return run_warnings(
            self.plan,
            self.writer.manifest,
            self.writer.written_rows(),
            clipped=self.clipped_shares(),
            silent=_shares(self.silent),
            counts=self._cells,
        )

    def _energy(self) -> dict[str, Any]:
        """Return what the populations have spiked; nothing where nothing spikes."""
        if self.activity is None:
            return {"spikes": {}}
        by_mode, populations = self.activity.by_mode, self.plan.description.populations
        return {
            "spikes": {name: sum(of_mode[name] for of_mode in by_mode.values()) for name in self.plan.sizes},
            "spikes_by_mode": by_mode,
            "mean_rates_Hz": mean_rates_Hz(by_mode, self.writer.manifest),
            "shared_cells": {name: p.shares for name, p in populations.items() if p.shares is not None},
        }


def _shares(counted: Counted) -> dict[str, dict[str, float]]:
    """Return by mode and population the share of examples that something was true of."""
    return {
        mode: {name: so_far / examples for name, (so_far, examples) in sorted(of_mode.items())}
        for mode, of_mode in sorted(counted.items())
        if of_mode
    }


def lost_of(arrays: Mapping[str, NDArray[np.float64]]) -> str | None:
    """Return what has diverged, if anything has: the name of an array, or that its norm has."""
    for name in sorted(arrays):
        if not np.isfinite(arrays[name]).all():
            return name
    return next((f"the norm of {name}" for name in sorted(arrays) if not np.isfinite(norm(arrays[name]))), None)


def check_finite(snapshot: Snapshot, when: str) -> None:
    """Raise if a snapshot has something that is not finite.

    Parameters
    ----------
    snapshot : Snapshot
    when : str
        After how long it was taken.

    Raises
    ------
    DivergenceError
    """
    if (lost := lost_of(snapshot.arrays)) is not None:
        raise DivergenceError(
            f"{lost} is no longer finite after {when}. Lower the rate of the rule that teaches it, or its first "
            "weights, or mend a drive that divides by zero or overflows."
        )
    if snapshot.lost is not None:
        raise DivergenceError(
            f"{snapshot.lost}. Lower the weights and the noise that drive it, or mend equations of cells that divide "
            "by zero, take the logarithm or the root of a negative number, or overflow."
        )


def write_arrays(plan: Plan, writer: RunWriter, snapshot: Snapshot) -> None:
    """Write all weights, those of the feedback path apart."""
    described = plan.description
    back = {n for n, p in described.projections.items() if described.populations[p.target].path == "feedback"}
    forward = {name: array for name, array in snapshot.arrays.items() if name not in back}
    writer.weights(snapshot.examples, forward, {n: array for n, array in snapshot.arrays.items() if n in back})


def moment(last: Snapshot, backend: State, facts: dict[str, Any], arrays: State) -> Checkpoint:
    """Return the state of a run: its last snapshot, the state of its backend, and what its recorder adds to them."""
    at = {"phase": last.phase, "examples": last.examples, "t_s": last.t_s}
    kept = {"backend": backend, "last": last.arrays}
    parts = {f"{part}/{name}": array for part, some in kept.items() for name, array in some.items()}
    return Checkpoint(facts={**facts, "last": at}, arrays={**parts, **arrays})


def last_of(found: Checkpoint) -> Snapshot:
    """Return the last snapshot of a run."""
    return Snapshot(**found.facts["last"], arrays=found.part("last"))


def reached_end(plan: Plan, last: Snapshot | None) -> bool:
    """Return whether a run whose last snapshot this is has come to its end, with weights that are finite."""
    return last is not None and last.t_s >= plan.phases[-1].stop_s - 1e-9 and not _is_lost(last)


def _is_lost(last: Snapshot) -> bool:
    return last.lost is not None or lost_of(last.arrays) is not None


def left_behind(plan: Plan, writer: RunWriter, last: Snapshot | None, command: str) -> str:
    """Say what a run leaves behind that was cut short, and how to go on with it by a command, or why one cannot."""
    seed, total_s, manifest = plan.seed, plan.phases[-1].stop_s, writer.manifest
    if last is None:
        return f"seed {seed}: stopped before there was anything to save"
    said = f"seed {seed}: stopped after {last.t_s:g} of {total_s:g} s, which are saved in {writer.path}"
    if _is_lost(last):
        return said
    if (why := unresumable(manifest.backend, manifest.target)) is not None:
        return f"{said}; it cannot be resumed, since {why}"
    return f"{said}; go on with: neuromirror {command} --resume {writer.path}"


@np.errstate(all="ignore")  # a norm that overflows is written as null
def alignment_of(plan: Plan, arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Return the angle to Wᵀ and the gain of every B, between units, and the norm of every array."""
    units = plan.coding.unit_weights
    pairs = {b: (units(arrays[b]), units(arrays[w])) for b, w in plan.mirrors.items()}
    return {
        "angles_deg": {name: angle_deg(B, W) for name, (B, W) in pairs.items()},
        "gain": {name: gain(B, W) for name, (B, W) in pairs.items()},
        "w_norm": {name: norm(arrays[name]) for name in sorted(arrays) if arrays[name].ndim >= 2},
    }
