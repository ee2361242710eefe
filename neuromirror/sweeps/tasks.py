"""The runs of a sweep, one after the other or several processes at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromirror.backends.base import Options, Program, load_backend
from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import NeuromirrorError
from neuromirror.interrupts import noting_interrupts
from neuromirror.plan import Plan
from neuromirror.simulation import recorder_of

LOOK_S = 0.5
"""How often the progress of other processes is looked at, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run. It can be pickled.

    Attributes
    ----------
    folder : Path
        Its run directory.
    circuit : Circuit
    seed : int
    backend, target : str
    options : Options
    program : Program or None
        What has been compiled for it.
    """

    folder: Path
    circuit: Circuit
    seed: int
    backend: str
    target: str
    options: Options
    program: Program | None = None

    @property
    def total_s(self) -> float:
        """Simulated time, in seconds."""
        return Plan(self.circuit, self.seed).phases[-1].stop_s


def perform(task: Task, progress_to: Callable[[float], None]) -> str | None:
    """Run, record, and return what went wrong if something did.

    Raises
    ------
    KeyboardInterrupt
        After a Ctrl-C, whatever became of it on the way.
    """
    with noting_interrupts() as interrupted:
        try:
            error = _simulate(task, progress_to)
        except NeuromirrorError as raised:
            error = str(raised)
        except Exception as raised:  # whatever it is, the other runs go on, and this one's record says it
            error = f"{type(raised).__name__}: {raised}"
    if interrupted.is_set():
        raise KeyboardInterrupt
    return error


def _simulate(task: Task, progress_to: Callable[[float], None]) -> str | None:
    plan, started = Plan(task.circuit, task.seed), time.perf_counter()
    recorder = recorder_of(
        plan,
        task.folder,
        backend=task.backend,
        target=task.target,
        points=task.options.points,
        progress_to=progress_to,
    )
    try:
        if task.program is not None:
            task.program.run(plan, recorder)
        else:
            load_backend(task.backend).run([plan], [recorder], task.options)
    finally:
        recorder.close(time.perf_counter() - started)
    return None if recorder.complete else "it stopped before its end"


def perform_all(
    tasks: Sequence[Task], *, jobs: int, watched: Path, progress: Callable[[int, float], None]
) -> Iterator[tuple[int, str | None]]:
    """Run tasks, and yield the number of each that has ended and what went wrong with it.

    Parameters
    ----------
    tasks : sequence of Task
    jobs : int
        How many at a time; each of several in a process of its own.
    watched : Path
        A directory in which other processes say how far they are.
    progress : callable
        Takes the number of a task and the simulated time done of it, in seconds.
    """
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        for number, task in enumerate(tasks):
            yield number, perform(task, lambda done_s, k=number: progress(k, done_s))
        return
    import joblib

    # Tasks are handed out one by one: those of a sweep may differ in length, and an end is known when it comes.
    one: Any = 1
    parallel = joblib.Parallel(n_jobs=jobs, backend="loky", batch_size=one, return_as="generator_unordered")
    with _looking(watched, progress):
        calls = (joblib.delayed(_perform_apart)(k, task, watched) for k, task in enumerate(tasks))
        ended: Any = parallel(calls)
        yield from ended


def _perform_apart(number: int, task: Task, watched: Path) -> tuple[int, str | None]:
    said_s = 0.0

    def tell(done_s: float) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s >= said_s + LOOK_S:
            said_s = now_s
            (watched / str(number)).write_text(repr(done_s))

    return number, perform(task, tell)


@contextlib.contextmanager
def _looking(watched: Path, progress: Callable[[int, float], None]) -> Iterator[None]:
    """Pass on what other processes say of their progress, every so often."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            for file in watched.iterdir():
                with contextlib.suppress(ValueError, OSError):  # it is being written
                    progress(int(file.name), float(file.read_text()))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
