"""Runs circuits: picks the backend, records what it sees, and draws the figures."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromirror import __version__
from neuromirror.backends.base import Options, Snapshot, check_options, load_backend
from neuromirror.circuit.capabilities import DEFAULT_BACKEND, capabilities
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.errors import DivergenceError, RequestError
from neuromirror.measure.alignment import angle_deg, gain
from neuromirror.plan import Plan, make_plan
from neuromirror.record.manifest import Manifest, PhaseEntry
from neuromirror.record.store import RunWriter, check_free, is_free
from neuromirror.result import Run, open_run
from neuromirror.schedule import Phase

Progress = Callable[[float, float], None]
"""Takes the simulated time done and to do, in seconds, over all seeds."""


@dataclass
class RunRecorder:
    """Writes what a backend sees into a run directory, and measures the angle and gain of every B on the way."""

    plan: Plan
    writer: RunWriter
    progress_to: Callable[[float], None]
    last: Snapshot | None = None
    first: Snapshot | None = None
    after: dict[str, Snapshot] = field(default_factory=dict)
    spike_counts: dict[str, int] = field(default_factory=dict)
    clipped: dict[str, dict[str, tuple[float, int]]] = field(default_factory=dict)

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        """Add a row to the metrics, and keep the arrays where asked.

        Raises
        ------
        DivergenceError
            If a weight is not finite any more; the row is added all the same.
        """
        weights = [array for array in snapshot.arrays.values() if array.ndim > 1]
        assert not (self.plan.dale and any((array < 0).any() for array in weights)), "Dale's law holds"
        self._count_clipped(snapshot)
        self.first = self.first or snapshot
        self.last = snapshot
        if keep_arrays and snapshot.examples:
            self.after[self.plan.phases[snapshot.phase].mode] = snapshot
        self.writer.metrics(
            {
                "phase": snapshot.phase,
                "mode": self.plan.phases[snapshot.phase].mode,
                "examples": snapshot.examples,
                "t_s": round(snapshot.t_s, 9),
                **alignment_of(self.plan, snapshot.arrays),
                **snapshot.more,
            }
        )
        if keep_arrays:
            self.write_arrays(snapshot)
        if (lost := _lost(snapshot.arrays)) is not None:
            mode = self.plan.phases[snapshot.phase].mode
            raise DivergenceError(
                f"{lost} is no longer finite after {snapshot.t_s:g} s, in {mode} mode. Lower the rate of the rule that "
                "teaches it, or mend a drive that divides by zero or overflows."
            )

    def _count_clipped(self, snapshot: Snapshot) -> None:
        """Add up the examples in which cells of each population were clipped, and all, by mode."""
        examples = snapshot.examples - (self.last.examples if self.last is not None else 0)
        of_mode = self.clipped.setdefault(self.plan.phases[snapshot.phase].mode, {})
        for name, share in snapshot.more.get("clipped", {}).items():
            clipped, all_of_them = of_mode.get(name, (0.0, 0))
            of_mode[name] = clipped + share * examples, all_of_them + examples

    def clipped_shares(self) -> dict[str, dict[str, float]]:
        """Return how often the cells of each population were clipped, as a share of all examples, by mode."""
        return {
            mode: {name: clipped / examples for name, (clipped, examples) in sorted(found.items())}
            for mode, found in sorted(self.clipped.items())
            if found
        }

    def write_arrays(self, snapshot: Snapshot) -> None:
        """Write all weights, those of the feedback path apart."""
        feedback = {
            name
            for name, projection in self.plan.description.projections.items()
            if self.plan.description.populations[projection.target].path == "feedback"
        }
        self.writer.weights(
            snapshot.examples,
            {name: array for name, array in snapshot.arrays.items() if name not in feedback},
            {name: array for name, array in snapshot.arrays.items() if name in feedback},
        )

    def spikes(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        """Write spikes of one population."""
        self.spike_counts[population] = self.spike_counts.get(population, 0) + len(ticks)
        self.writer.spikes(population, ticks, cells)

    def progress(self, done_s: float) -> None:
        """Pass on how far the run is."""
        self.progress_to(done_s)

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        at_end = self.last is not None and self.last.t_s >= self.plan.phases[-1].stop_s - 1e-9
        return at_end and self.last is not None and _lost(self.last.arrays) is None

    def left(self) -> str:
        """Say what an interrupted run leaves behind."""
        seed, total_s = self.plan.seed, self.plan.phases[-1].stop_s
        if self.last is None:
            return f"seed {seed}: stopped before there was anything to save"
        return f"seed {seed}: stopped after {self.last.t_s:g} of {total_s:g} s, which are saved in {self.writer.path}"

    def close(self, backend: str, wall_s: float) -> None:
        """Close the record: as complete, as cut short with the last state, or not at all where nothing was recorded."""
        if self.last is None:
            self.writer.discard()
            return
        self.writer.timings({"wall_s": wall_s})
        if self.complete:
            self.writer.finish(summary(self, backend))
        else:
            self.write_arrays(self.last)
            self.writer.interrupt()


def _lost(arrays: Mapping[str, NDArray[np.float64]]) -> str | None:
    """Return the name of an array that has diverged, if one has."""
    return next((name for name in sorted(arrays) if not np.isfinite(arrays[name]).all()), None)


@np.errstate(all="ignore")  # a norm that overflows is written as null
def alignment_of(plan: Plan, arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Return the angle to Wᵀ and the gain of every B, between units, and the norm of every array."""
    units = plan.coding.unit_weights
    pairs = {b: (units(arrays[b]), units(arrays[w])) for b, w in plan.mirrors.items()}
    return {
        "angles_deg": {name: angle_deg(B, W) for name, (B, W) in pairs.items()},
        "gain": {name: gain(B, W) for name, (B, W) in pairs.items()},
        "w_norm": {name: float(np.linalg.norm(arrays[name])) for name in sorted(arrays) if arrays[name].ndim >= 2},
    }


def run(
    circuit: Circuit | str | Path,
    *,
    backend: str = DEFAULT_BACKEND,
    seed: int = 0,
    out: Path | str | None = None,
    target: str = "auto",
    dtype: str = "float64",
    points: int = 200,
    figures: bool = True,
) -> Run:
    """Simulate a circuit's schedule with one seed.

    Parameters
    ----------
    circuit : Circuit, str or Path
        A circuit, its file, or the name of a shipped one.
    backend : {"brian2", "torch", "brian2-rate", "reference"}
        What simulates it.
    seed : int
        Root of all random streams.
    out : path, optional
        The run directory itself; ``runs/NAME-BACKEND-seedN`` by default, numbered where it is taken.
    target : str
        For brian2 ``auto``, ``numpy``, ``cython`` or ``cpp_standalone``; for torch the device.
    dtype : {"float64", "float32"}
        Of the numbers; only torch has float32.
    points : int
        Number of rows of the metrics.
    figures : bool
        Whether to draw the figures.

    Returns
    -------
    Run
        The record, opened.

    Raises
    ------
    CircuitError
        If the circuit has errors, or this backend cannot run it.
    RequestError
        If the run directory is taken, or an option is wrong.
    RunError
        If the simulation fails, for one because a weight diverges; the record up to there is kept.
    """
    return run_seeds(
        circuit,
        backend=backend,
        seeds=[seed],
        out=out,
        options=Options(target=target, dtype=dtype, points=points),
        figures=figures,
    )[0]


def run_seeds(
    circuit: Circuit | str | Path,
    *,
    backend: str = DEFAULT_BACKEND,
    seeds: Sequence[int],
    out: Path | str | None = None,
    options: Options | None = None,
    figures: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Progress = lambda done, total: None,
) -> list[Run]:
    """Simulate a circuit's schedule once for each seed; see `run`.

    With several seeds ``out`` names the directory that holds a run directory ``seed-N`` for each.
    """
    options = options or Options()
    circuit = circuit if isinstance(circuit, Circuit) else load(circuit)
    capabilities(backend)  # which refuses names of none
    check_options(options, backend)
    seeds = list(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise RequestError(f"seeds {seeds}: expected one or more seeds, each once.")
    plans = [make_plan(circuit, seed, backend) for seed in seeds]
    simulator = load_backend(backend)
    target = simulator.target(plans, options)
    folders = run_folders(f"{circuit.name}-{backend}", seeds, out)
    for folder in folders:
        check_free(folder)
    total_s = plans[0].phases[-1].stop_s
    said = simulator.said(target, plans, options)
    announce(f"{circuit.name}: {total_s:g} s of simulated time, backend {backend} ({said}), {_seeds(seeds)}")
    recorders = []
    for index, (plan, folder) in enumerate(zip(plans, folders, strict=True)):
        progress_to = partial(_progress_of_one, progress, index, total_s, len(plans))
        recorders.append(recorder_of(plan, folder, backend=backend, target=target, progress_to=progress_to))
    started = time.perf_counter()
    try:
        simulator.run(plans, list(recorders), options)
    finally:
        wall_s = (time.perf_counter() - started) / len(plans)
        for recorder in recorders:
            recorder.close(backend, wall_s)
            if not recorder.complete:
                announce(recorder.left())
    runs = [open_run(folder) for folder in folders]
    if figures:
        for record in runs:
            record.save_figures()
    return runs


def _progress_of_one(progress: Progress, index: int, of_s: float, runs: int, done_s: float) -> None:
    progress(index * of_s + done_s, runs * of_s)


def recorder_of(
    plan: Plan, folder: Path, *, backend: str, target: str, progress_to: Callable[[float], None]
) -> RunRecorder:
    """Make the run directory of a plan, and return what records into it; see `RunWriter.create`."""
    files = plan.circuit.to_files("circuit")
    text = files.pop("circuit.toml").decode()
    phases = tuple(phase_entry(phase) for phase in plan.phases)
    learned = {one.name for phase in plan.phases for one in plan.modes[phase.mode].learners}
    manifest = manifest_of(plan, backend=backend, target=target, phases=phases, learned=learned)
    return RunRecorder(plan, RunWriter.create(folder, manifest, text, files), progress_to)


def summary(recorder: RunRecorder, backend: str) -> dict[str, Any]:
    """Return what ``--json`` prints of a run, without what differs between identical runs."""
    plan, last, first = recorder.plan, recorder.last, recorder.first
    assert last is not None
    assert first is not None
    aligned = alignment_of(plan, last.arrays)
    return {
        "circuit_sha256": plan.circuit.sha256,
        "protocol_sha256": plan.circuit.protocol_sha256,
        "backend": backend,
        "seed": plan.seed,
        "examples": last.examples,
        "simulated_s": plan.phases[-1].stop_s,
        "matrix_angles_deg": aligned["angles_deg"],
        "matrix_angles_before_deg": alignment_of(plan, first.arrays)["angles_deg"],
        "matrix_angles_after_deg": {
            mode: alignment_of(plan, state.arrays)["angles_deg"] for mode, state in recorder.after.items()
        },
        "gain": aligned["gain"],
        "clipped": recorder.clipped_shares(),
        "spikes": recorder.spike_counts,
    }


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


def run_folders(name: str, seeds: Sequence[int], out: Path | str | None) -> list[Path]:
    """Return the run directory of every seed: below ``out``, or below a free one of that name in ``runs``.

    Raises
    ------
    RequestError
        If ``out`` is an empty name.
    """
    parent = out_folder(f"{name}-{_seeds(seeds).replace(' ', '-')}", out)
    return [parent] if len(seeds) == 1 else [parent / f"seed-{seed}" for seed in seeds]


def out_folder(name: str, out: Path | str | None) -> Path:
    """Return ``out``, or a free directory of that name in ``runs``.

    Raises
    ------
    RequestError
        If ``out`` is an empty name.
    """
    if out is not None:
        if not str(out).strip():
            raise RequestError("--out: the name is empty. Give --out another directory.")
        return Path(out)
    number, folder = 1, Path("runs") / name
    while not is_free(folder):
        number += 1
        folder = folder.with_name(f"{name}-{number}")
    return folder


def phase_entry(phase: Phase) -> PhaseEntry:
    """Return a phase as the manifest has it."""
    return {
        "mode": phase.mode,
        "start_s": round(phase.start_s, 9),
        "stop_s": round(phase.stop_s, 9),
        "first_example": phase.first_example,
        "examples": phase.examples,
    }


def manifest_of(
    plan: Plan, *, backend: str, target: str, phases: tuple[PhaseEntry, ...], learned: Iterable[str]
) -> Manifest:
    """Return the manifest of a run that begins."""
    description = plan.description
    spiking = capabilities(backend).spiking
    return Manifest(
        circuit=plan.circuit.name,
        circuit_sha256=plan.circuit.sha256,
        protocol_sha256=plan.circuit.protocol_sha256,
        backend=backend,
        target=target,
        seed=plan.seed,
        dt_s=description.time.dt.s if spiking else None,
        versions=_versions(backend),
        device=target.partition(",")[0] if backend == "torch" else "cpu",
        populations={
            name: {"path": p.path, "layer": p.layer, "size": plan.sizes[name]}
            for name, p in description.populations.items()
        },
        projections={
            name: {"source": p.source, "target": p.target, "role": p.role, "mirrors": plan.mirrors.get(name)}
            for name, p in description.projections.items()
        },
        phases=phases,
        learned=tuple(sorted(set(learned))),
        invocation={"started": None, "finished": None, "command_line": _command_line()},
    )


def _command_line() -> str:
    return " ".join([os.path.basename(sys.argv[0]) or "python", *sys.argv[1:]])


def _versions(backend: str) -> dict[str, str]:
    modules = {name: importlib.import_module(name) for name in ("numpy", capabilities(backend).needs)}
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "neuromirror": __version__,
        **{name: str(module.__version__) for name, module in modules.items()},
    }
