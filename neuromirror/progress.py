"""Progress of a run: a bar with the time left on a terminal, one line for each tenth elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class ProgressBar:
    """A context that shows progress on standard error; `update` moves it."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._tenths = 0
        self._started = time.perf_counter()

    def __enter__(self) -> ProgressBar:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.completed:.1f} of {task.total:.1f} s simulated"),
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

    def update(self, done_s: float, total_s: float) -> None:
        """Show how much simulated time is done, in seconds."""
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("run", total=total_s)
            self._bar.update(self._task, completed=min(done_s, total_s))
            return
        tenths = int(10 * done_s / total_s + 1e-9)
        if self._tenths < tenths <= 10:
            self._tenths = tenths
            elapsed_s = time.perf_counter() - self._started
            print(f"{10 * tenths:3d}%  {done_s:.1f} s simulated in {elapsed_s:.1f} s", file=sys.stderr, flush=True)
