"""Whoever stops reading loses nothing that was asked for, and no encoding of a terminal stops a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import neuromirror as nm
from neuromirror.commands.ending import CLOSED

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "neuromirror"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def left_by_its_reader(folder: Path, *arguments: str, errors: bool) -> int:
    """Run a command whose standard output nobody reads, nor its standard error where that goes the same way."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [*COMMAND, *arguments],
            stdout=writing,
            stderr=writing if errors else subprocess.DEVNULL,
            cwd=folder,
            env=environment(),
            timeout=120,
        ).returncode
    finally:
        os.close(writing)


@pytest.mark.parametrize("errors", [True, False])
@pytest.mark.parametrize("arguments", [("check", "figure1"), ("expand", "figure1")])
def test_output_that_nobody_reads_is_no_success(arguments: tuple[str, ...], errors: bool, tmp_path: Path) -> None:
    assert left_by_its_reader(tmp_path, *arguments, errors=errors) == CLOSED != 0


def test_a_run_goes_on_to_its_end_when_nobody_reads_what_it_says(tmp_path: Path) -> None:
    short = ("--set", "schedule.0.examples=20", "--set", "schedule.0.duration=", "--set", "schedule.1=")
    code = left_by_its_reader(
        tmp_path, "run", "figure1", "--backend", "reference", *short, "--no-figures", "--out", "r", errors=True
    )
    assert code == CLOSED
    assert nm.open_run(tmp_path / "r").manifest.complete


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_no_encoding_stops_a_command(encoding: str, tmp_path: Path) -> None:
    """What is printed at the end of a run has degrees and arrows, and the JSON line comes after it."""
    short = ("--set", "schedule.0.examples=20", "--set", "schedule.0.duration=", "--set", "schedule.1=")
    found = subprocess.run(
        [*COMMAND, "run", "figure1", "--backend", "reference", *short, "--no-figures", "--out", "r", "--json"],
        capture_output=True,
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding),
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.decode(encoding).splitlines()[-1])["matrix_angles_deg"]
    assert b"\\u1d40" in found.stdout  # the T of Wᵀ


@pytest.mark.parametrize("command", ["expand", "migrate"])
def test_files_are_printed_in_utf_8_whatever_the_encoding(command: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('schema = 2\nextends = "figure1"\nname = "c"\nabout = "→ °"\n', encoding="utf-8")
    found = subprocess.run(
        [*COMMAND, command, "c.toml"],
        capture_output=True,
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert tomllib.loads(found.stdout.decode())["about"] == "→ °"
