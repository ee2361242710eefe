"""What tests of spiking runs that are cut short have in common: cutting, killing, and comparing records."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import neuromirror as nm
from neuromirror.backends.brian2.here import RunHere
from neuromirror.record import checkpoint

ROOT = Path(__file__).resolve().parents[2]


def record_of(folder: Path) -> dict[str, bytes]:
    """Return all that two identical runs have in common: every file, but for dates and times of the clock."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "timings.json"):
        content = path.read_bytes()
        if path.name == "manifest.json":
            manifest = json.loads(content)
            del manifest["invocation"]
            content = json.dumps(manifest).encode()
        found[path.relative_to(folder).as_posix()] = content
    return found


def assert_same(folder: Path, other: Path) -> None:
    found, expected = record_of(folder), record_of(other)
    assert set(found) == set(expected)
    assert [name for name in found if found[name] != expected[name]] == []


def at_boundary(number: int, act: Callable[[], None]) -> Callable[[RunHere], None]:
    """Return what happens at a boundary, and besides at one of them, counted from 1."""
    left, before = [number], RunHere._at_boundary

    def acting(self: RunHere) -> None:
        left[0] -= 1
        if left[0] == 0:
            act()
        before(self)

    return acting


def heed() -> None:
    """Let Ctrl-C interrupt a process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment() -> dict[str, str]:
    """Return that of a command which runs by itself."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def kill_until_complete(life: str, command: list[str], *, again: list[str], folder: Path, rows: int) -> None:
    """Run a command, which is killed eight times, and goes on each time, until its record is complete.

    Parameters
    ----------
    life : str
        Program that takes the command's arguments.
    command, again : list of str
        Arguments of the beginning, and of going on.
    folder : Path
        The run directory; the command runs in the one above.
    rows : int
        Of the metrics of the whole. A kill, by SIGKILL, SIGTERM and SIGINT in turn, comes after three tenths at most.
    """
    chance, kills, reached_s = random.Random(0), 0, [0.0]
    while kills == 0 or not nm.open_run(folder).manifest.complete:
        running = subprocess.Popen([sys.executable, "-c", life, *command], cwd=folder.parent,
                                   env=environment(), stderr=subprocess.PIPE, text=True, preexec_fn=heed)  # fmt: skip
        before = _file_time(folder / "metrics.jsonl")
        while running.poll() is None and _file_time(folder / "metrics.jsonl") == before:
            time.sleep(0.01)
        stop = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[kills % 3]
        if kills < 8:
            last = _rows(folder) + chance.randrange(3 * rows // 10)
            while running.poll() is None and _rows(folder) < last:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.2))
            running.send_signal(stop)
        _, said = running.communicate(timeout=300)
        # A signal that comes while modules are loaded, or at the end, ends the command as it would any program.
        assert running.returncode in (0, 130, -stop), said
        reached_s += [float(found[1]) for found in re.finditer(r"goes on after (\S+) of", said)]
        kills, command = kills + 1, again
    assert reached_s == sorted(reached_s)
    assert len(set(reached_s)) > 2
    checkpoint.discard(folder)  # left where it was killed between its last two steps


def _rows(folder: Path) -> int:
    """Return how many rows of metrics there are by now."""
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _file_time(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
