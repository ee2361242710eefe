"""Runs circuits: picks the backend, records what it sees, and draws the figures."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from neuromirror import __version__
from neuromirror.backends.base import Backend, Options, Recorder, check_options, load_backend, unresumable
from neuromirror.circuit.capabilities import DEFAULT_BACKEND, capabilities
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.errors import RequestError
from neuromirror.libraries import need
from neuromirror.plan import Plan, make_plan
from neuromirror.record.manifest import Manifest, PhaseEntry
from neuromirror.record.store import RunWriter, check_free, is_free
from neuromirror.recorder import RunRecorder
from neuromirror.result import Run, open_run, warned
from neuromirror.schedule import Phase

Progress = Callable[[float, float], None]
"""Takes the simulated time done and to do, in seconds, over all seeds."""

OPTIONS = "options.json"
"""The file of a run directory that has the options which the run goes on with, should it be cut short."""


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
        recorders.append(
            recorder_of(plan, folder, backend=backend, target=target, points=options.points, progress_to=progress_to)
        )
    carry_out(simulator, plans, recorders, options, announce)
    runs = [warned(open_run(folder)) for folder in folders]
    if figures:
        for record in runs:
            record.save_figures()
    return runs


def _progress_of_one(progress: Progress, index: int, of_s: float, runs: int, done_s: float) -> None:
    progress(index * of_s + done_s, runs * of_s)


def recorder_of(
    plan: Plan, folder: Path, *, backend: str, target: str, points: int, progress_to: Callable[[float], None]
) -> RunRecorder:
    """Make the run directory of a plan, and return what records into it; see `RunWriter.create`."""
    files = plan.circuit.to_files("circuit")
    text = files.pop("circuit.toml").decode()
    if unresumable(backend, target) is None:
        files[OPTIONS] = (json.dumps({"points": points}) + "\n").encode()
    phases = tuple(phase_entry(phase) for phase in plan.phases)
    learned = {one.name for phase in plan.phases for one in plan.modes[phase.mode].learners}
    manifest = manifest_of(plan, backend=backend, target=target, phases=phases, learned=learned)
    return RunRecorder(plan, RunWriter.create(folder, manifest, text, files), progress_to)


class Closing(Recorder, Protocol):
    """A recorder that has a record to close."""

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        ...

    def close(self, wall_s: float) -> None:
        """Close the record, after so many seconds of the clock."""
        ...

    def left(self) -> str:
        """Say what a run that is not complete leaves behind."""
        ...


def carry_out(
    simulator: Backend,
    plans: list[Plan],
    recorders: Sequence[Closing],
    options: Options,
    announce: Callable[[str], None],
) -> None:
    """Run plans into their records, and close these, however it ends."""
    started = time.perf_counter()
    try:
        simulator.run(plans, list(recorders), options)
    finally:
        wall_s = (time.perf_counter() - started) / len(plans)
        for recorder in recorders:
            recorder.close(wall_s)
            if not recorder.complete:
                announce(recorder.left())


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
        versions=versions_of(backend),
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


def versions_of(backend: str, *more: str) -> dict[str, str]:
    """Return the versions of all that the numbers of a backend depend on, by name, and those of more modules."""
    libraries = ("numpy", capabilities(backend).needs, *more)
    for library in libraries:
        need(library, "the record of a run")
    modules = {name: importlib.import_module(name) for name in libraries}
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "neuromirror": __version__,
        **{name: str(module.__version__) for name, module in modules.items()},
    }
