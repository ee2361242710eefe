"""Builds a Brian2 standalone program as one translation unit.

Brian2 writes a source file for each object and compiles each on its own, and nearly all of that time goes into reading
the same headers; joined in one file a small circuit's program compiles in a seventh of the CPU time.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import brian2 as b2
import numpy as np

from neuromirror.backends.brian2.exclusive import reporting
from neuromirror.backends.brian2.private import joined_source
from neuromirror.errors import RunError
from neuromirror.processes import cores

SEED_VARIABLE = "NEUROMIRROR_STANDALONE_SEED"
"""By which a program is told its seed."""

WATCH_S = 0.5
"""How often a program is listened to, in seconds."""

_FLAGS = ["-ffp-contract=off", "-I."]
"""Without contraction and without -ffast-math, every level of optimisation gives the same numbers."""


def compiler() -> str | None:
    """Return the C++ compiler's command, or None where there is none: ``$CXX``, g++ or clang++."""
    for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++"):
        words = shlex.split(name)
        if words and (path := shutil.which(words[0])):
            return shlex.join([path, *words[1:]])
    return None


def build(directory: Path, *, running_s: float) -> None:
    """Write and compile the program of the active standalone device.

    Parameters
    ----------
    directory : Path
        Where the program is built.
    running_s : float
        Estimated time of all its runs together, in seconds: what optimising is worth.

    Raises
    ------
    RunError
        If the program does not compile, either joined or source by source.
    """
    b2.device.build(directory=str(directory), compile=False, run=False, with_output=False)
    (directory / "joined.cpp").write_text(joined_source(directory))
    command = compiler() or "c++"
    flags = ["-w", "-std=c++11", "-O0" if running_s < 0.5 else "-O1" if running_s < 20 else "-O3", *_FLAGS]
    errors = _errors_of([*shlex.split(command), *flags, "joined.cpp", "-o", "main"], directory)
    if errors is None:
        return
    # What does not compile joined may do so apart, as Brian2 compiles it; with our flags, for the same numbers.
    make = ["make", f"-j{cores()}", f"CXX={command}", f"OPTIMISATIONS={shlex.join(flags)}"]
    if shutil.which("make") and (errors := _errors_of(make, directory)) is None:
        return
    raise RunError(
        f"the standalone program does not compile with {command} and Brian2 {b2.__version__}: {first_error(errors)}\n"
        "  Use --target numpy or cython, which need no such program."
    )


def _errors_of(command: list[str], directory: Path) -> str | None:
    """Run a command; return what it says of errors where it fails, and None where it does not."""
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, errors="replace", check=False)
    return (ended.stderr or ended.stdout or f"exit code {ended.returncode}") if ended.returncode else None


def first_error(errors: str) -> str:
    """Return the line with which a compiler begins to say what is wrong; else the last that is not empty."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[-1] if lines else "it says nothing")


def execute(
    values: Mapping[str, np.ndarray], *, program: Path, results: Path, seed: int, watch: Callable[[], None]
) -> None:
    """Run a program with values and a seed of its own, in a process of its own.

    Parameters
    ----------
    values : mapping of str to array
        Of variables and tables, by the names that the program knows them by, such as ``"cells.v"``.
    program : Path
        Directory of the program.
    results : Path
        Directory for the results; values are written there too.
    seed : int
        Of the program's random numbers.
    watch : callable
        Looks at what the program has written: now and then while it runs, in a thread of its own, and once at its end.
        What it raises is raised when the program has ended.

    Raises
    ------
    RunError
        If the program fails.
    """
    arguments = [f"{name}={_argument(array, results / f'given_{k}')}" for k, (name, array) in enumerate(values.items())]
    watcher = _Watcher(watch)
    watcher.start()
    try:
        ended = subprocess.run(
            [str(program.absolute() / "main"), "--results_dir", f"{results.absolute()}/", *arguments],
            cwd=program,
            env={**os.environ, SEED_VARIABLE: str(seed)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    finally:
        watcher.end()
    if ended.returncode:
        lines = ended.stdout.strip().splitlines() or ["It said nothing."]
        raise RunError(f"the standalone program ended with exit code {ended.returncode}. {lines[-1]}")


def _argument(array: np.ndarray, file: Path) -> str:
    """Return an array as a program takes it: a number itself, or the name of a file that is written."""
    if array.size == 1:
        return repr(array.item())
    array.tofile(file)
    return str(file.absolute())


class _Watcher(threading.Thread):
    """Calls a function every so often, until it raises something, and once at the end."""

    def __init__(self, watch: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._watch, self._ended = watch, threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        with reporting():
            while not self._ended.wait(WATCH_S):
                try:
                    self._watch()
                except BaseException as error:
                    self._error = error
                    return

    def end(self) -> None:
        """Call it for the last time, or raise what it has raised."""
        self._ended.set()
        self.join()
        if self._error is not None:
            raise self._error
        self._watch()
