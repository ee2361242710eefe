"""Builds a Brian2 standalone program as one translation unit.

Brian2 writes a source file for each object and compiles each on its own, and nearly all of that time goes into reading
the same headers; joined in one file a small circuit's program compiles in a seventh of the CPU time.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import brian2 as b2
import numpy as np

from neuromirror.errors import RunError

SEED_VARIABLE = "NEUROMIRROR_STANDALONE_SEED"
SEED_CODE = f"""
for (auto &generator : brian::_random_generators) generator.seed(std::stoul(std::getenv("{SEED_VARIABLE}")));
"""
"""Takes the seed at run time, so that one program serves all seeds."""

WATCH_S = 0.5
"""How often a program is listened to, in seconds."""

_FLAGS = ["-ffp-contract=off", "-I."]
"""Without contraction and without -ffast-math, every level of optimisation gives the same numbers."""
_INCLUDE = re.compile(r'^\s*#include\s*[<"][^>"]+[>"].*$', re.MULTILINE)
_FUNCTION = re.compile(r"^void (\w+)\(\)", re.MULTILINE)


def compiler() -> str | None:
    """Return the C++ compiler's command, or None where there is none: ``$CXX``, g++ or clang++."""
    for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++"):
        if name and (path := shutil.which(shlex.split(name)[0])):
            return " ".join([path, *shlex.split(name)[1:]])
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
        If the program does not compile, either joined or Brian2's own way.
    """
    b2.device.build(directory=str(directory), compile=False, run=False, with_output=False)
    (directory / "joined.cpp").write_text(joined_source(directory))
    level = "-O0" if running_s < 0.5 else "-O1" if running_s < 20 else "-O3"
    command = [*shlex.split(compiler() or "c++"), "-w", "-std=c++11", level, *_FLAGS, "joined.cpp", "-o", "main"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        _build_apart(directory, done.stderr)


def joined_source(directory: Path) -> str:
    """Return all sources of a program in one: helpers of the code objects keep apart in namespaces of their own."""
    includes: dict[str, None] = {}
    parts = []
    objects = sorted((directory / "code_objects").glob("*.cpp"))
    others = [directory / f"{name}.cpp" for name in ("synapses_classes", "network", "objects", "run", "main")]
    for index, path in enumerate([*objects, *others]):
        text = path.read_text()
        includes |= dict.fromkeys(line.strip() for line in _INCLUDE.findall(text))
        text = _INCLUDE.sub("", text)
        if path in objects:
            forwards = "".join(f"void {name}() {{ unit_{index}::{name}(); }}\n" for name in _FUNCTION.findall(text))
            text = f"namespace unit_{index} {{\n{text}\n}}\n{forwards}"
        parts.append(text)
    return "\n".join([*includes, *parts])


def _build_apart(directory: Path, said: str) -> None:
    jobs = f"-j{os.cpu_count() or 1}"
    done = subprocess.run(["make", jobs], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(
            f"the standalone program does not compile; the compiler said: {(done.stderr or said).strip()[-500:]}\n"
            "  Use --target numpy, or point CXX at a C++ compiler."
        )


def execute(values: Mapping[str, np.ndarray], *, results: Path, seed: int, watch: Callable[[], None]) -> None:
    """Run a program with values and a seed of its own.

    Parameters
    ----------
    values : mapping of str to array
        Of variables and tables, by the names that the program knows them by, such as ``"cells.v"``.
    results : Path
        Directory for the results, in that where the program was built; values are written there too.
    seed : int
        Of the program's random numbers.
    watch : callable
        Looks at what the program has written: now and then while it runs, in a thread of its own, and once at its end.
        What it raises is raised when the program has ended.
    """
    os.environ[SEED_VARIABLE] = str(seed)
    watcher = _Watcher(watch)
    given = [f"{name}={_argument(array, results / f'given_{k}')}" for k, (name, array) in enumerate(values.items())]
    watcher.start()
    try:
        b2.device.run(str(results.parent), results_directory=results.name, with_output=False, run_args=given)
    finally:
        del os.environ[SEED_VARIABLE]
        watcher.end()


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
