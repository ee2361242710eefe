"""Progress of a run: a bar with the time left on a terminal, one line for each tenth elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any


class ProgressBar:
    """A context that shows progress on standard error; `update` moves it.

    Parameters
    ----------
    describe : callable, optional
        What is said of the amounts done and to do; by default they are simulated time in seconds.
    """

    def __init__(self, describe: Callable[[float, float], str] | None = None) -> None:
        self._describe = describe
        self._bar: Any = None
        self._task: Any = None
        self._tenths = 0
        self._started = time.perf_counter()

    def __enter__(self) -> ProgressBar:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def restart(self) -> None:
        """Begin again from nothing, for another run."""
        self._tenths, self._started = 0, time.perf_counter()
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None

    def update(self, done: float, total: float) -> None:
        """Show how much is done, such as simulated time in seconds."""
        done = min(done, total)
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("", total=total)
            said = f"{done:.1f} of {total:.1f} s simulated" if self._describe is None else self._describe(done, total)
            self._bar.update(self._task, completed=done, description=said)
            return
        tenths = int(10 * done / total + 1e-9)
        if self._tenths < tenths:
            self._tenths = tenths
            elapsed_s = time.perf_counter() - self._started
            said = f"{done:.1f} s simulated" if self._describe is None else self._describe(done, total)
            print(f"{10 * tenths:3d}%  {said} in {elapsed_s:.1f} s", file=sys.stderr, flush=True)
