"""What stands for the writer of a run directory in the processes that write nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class Onlooker:
    """Takes what `neuromirror.record.store.RunWriter` takes of a training run, and leaves it to another process.

    Parameters
    ----------
    path : Path
        The run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def metrics(self, row: Mapping[str, object]) -> None:
        """Leave a row to the other."""

    def weight_files(self, step: int, forward: bytes, feedback: bytes) -> None:
        """Leave a snapshot of the weights to it."""

    def timings(self, timings: Mapping[str, object]) -> None:
        """Leave the times to it."""

    def finish(self, summary: Mapping[str, object]) -> None:
        """Leave the end to it."""

    def interrupt(self, summary: Mapping[str, object] | None = None) -> None:
        """Leave it to the other to close a record that was cut short."""

    def discard(self) -> None:
        """Leave it to the other to take the directory away."""
