"""What standalone programs hand over while they run, which makes no difference to the record."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from test_resumed_runs import assert_same

import neuromirror as nm
from neuromirror.backends.brian2 import harvest, standalone, stream
from neuromirror.errors import DivergenceError
from neuromirror.recorder import RunRecorder

LONG = ['schedule=[{mode="mirror", duration="100 s"}, {mode="engaged", duration="100 s"}]']


def run(folder: Path) -> nm.Run:
    return nm.run(nm.load("figure1", LONG), target="cpp_standalone", out=folder.name, figures=False)


def test_spikes_are_written_while_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread that reads small files as they come, which are gone when they have been read.

    The run directory is relative, and Brian2 works in another while a program runs.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(harvest, "PART_SPIKES", 2000)
    monkeypatch.setattr(standalone, "WATCH_S", 60.0)
    run(tmp_path / "at_once")
    monkeypatch.setattr(standalone, "WATCH_S", 0.01)
    monkeypatch.setattr(stream, "FILE_BYTES", 100_000)
    meanwhile, files, before = [0], [0], RunRecorder.spikes

    def spikes(self: RunRecorder, population: str, ticks: np.ndarray, cells: np.ndarray) -> None:
        meanwhile[0] += threading.current_thread() is not threading.main_thread()
        files[0] = max(files[0], *(int(path.stem[7:]) for path in tmp_path.glob("neuromirror-*/program_*/results_*/stream-*")))
        before(self, population, ticks, cells)

    monkeypatch.setattr(RunRecorder, "spikes", spikes)
    run(tmp_path / "meanwhile")
    assert meanwhile[0] > 0
    assert files[0] > 5
    assert_same(tmp_path / "meanwhile", tmp_path / "at_once")


def test_weights_that_run_away_are_an_error_and_not_one_of_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone, "WATCH_S", 0.01)
    changes = [*LONG, "rules.mirror.updater={rate=1e200, decay=0.0}"]
    with pytest.raises(DivergenceError, match=r"B1 is no longer finite after .* in mirror mode"):
        nm.run(nm.load("figure1", changes), target="cpp_standalone", out=tmp_path / "run", figures=False)
    assert not nm.open_run(tmp_path / "run").manifest.complete
