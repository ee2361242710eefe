"""A trace of some steps of training: which operations take how long."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

FOLDER = "profile"
"""Of a run directory."""

WARM_UP = 3
"""Steps before those that are traced: the first ones choose algorithms, compile, and start workers."""

_ROWS = 15


class Profile:
    """Traces steps of one process, if any are asked for.

    Parameters
    ----------
    folder : Path
        The run directory.
    steps : int
        How many steps are traced; with 0 nothing is done.
    first : int
        The step from which the warm-up begins.

    Attributes
    ----------
    file : Path
        What is written: a trace of Chrome's format, JSON.
    traced : int
        Steps that are in it; below 0 those of the warm-up that are still to come.
    table : str
        The operations that took most time, once the file is written.
    """

    def __init__(self, folder: Path, steps: int, first: int) -> None:
        self.steps, self.first = steps, first
        self.file = folder / FOLDER / f"steps-from-{first + WARM_UP + 1:010d}.json"
        self.table, self.traced = "", -WARM_UP
        self._profile: profile | None = None

    def begin(self, step: int) -> None:
        """Take note that a step begins, before which so many have been done."""
        if not self.steps or step != self.first:
            return
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        course = schedule(wait=0, warmup=WARM_UP, active=self.steps, repeat=1)
        self._profile = profile(activities=activities, schedule=course, on_trace_ready=self._write, acc_events=True)
        self._profile.start()

    def end(self) -> None:
        """Take note that a step has ended; after the last of them the trace is written."""
        if self._profile is not None:
            self.traced += 1
            self._profile.step()
            if self.traced == self.steps:
                self.close()

    def close(self) -> None:
        """Write what has been traced, if that has not been done."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def say(self) -> None:
        """Print on standard error where the trace is, and what took most time in it."""
        if self.table:
            print(f"{self.file}: steps traced: {self.traced}.\n{self.table}", file=sys.stderr)
        elif self.steps:
            print(f"--profile-steps: the run ended within the {WARM_UP} steps of warming up.", file=sys.stderr)

    def _write(self, found: profile) -> None:
        if self.traced < 1:
            return
        self.file.parent.mkdir(exist_ok=True)
        part = self.file.with_name(f"{self.file.stem}.part.json")
        found.export_chrome_trace(str(part))
        part.replace(self.file)
        key = "self_device_time_total" if ProfilerActivity.CUDA in found.activities else "self_cpu_time_total"
        self.table = found.key_averages().table(sort_by=key, row_limit=_ROWS, max_name_column_width=40)
