"""Runs in threads of one process: the numbers of each are those that it has alone, and the process stays as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brian2 as b2
import matplotlib
import numpy as np
import pytest
import torch

import neuromirror as nm
from neuromirror.backends.base import Options
from neuromirror.backends.brian2 import standalone
from neuromirror.backends.brian2.exclusive import alone
from neuromirror.backends.torch.determinism import deterministic
from neuromirror.errors import RequestError
from neuromirror.figures import style
from neuromirror.simulation import run_seeds

ROOT = Path(__file__).resolve().parents[2]
SHORT = ['schedule=[{mode="mirror", duration="300 ms"}, {mode="engaged", duration="100 ms"}]']
OWN = [
    *SHORT,
    'cells.cell={model="custom", equations="dv/dt = (drive - v)/(20*ms) : volt", threshold="v > 10*mV", '
    'reset="v = 0*mV", unit_current="2 mV", default_bias="20 mV"}',
]
COMPILER = pytest.mark.skipif(standalone.compiler() is None, reason="there is no C++ compiler")


def weights(folder: Path, backend: str, target: str = "auto", changes: list[str] = SHORT) -> dict[str, np.ndarray]:
    """Give all weights that a run ends with."""
    run = nm.run(
        nm.load("figure1", changes), backend=backend, target=target, points=2, out=folder, figures=False, seed=3
    )
    return {name: run.weights(name) for name in ("W1", "B1")}


@pytest.mark.parametrize(
    "kinds",
    [
        [("brian2", "numpy"), ("brian2", "numpy")],
        [("brian2", "numpy"), ("brian2-rate", "auto"), ("torch", "auto"), ("reference", "auto")],
        pytest.param([("brian2", "cpp_standalone"), ("brian2", "numpy")], marks=COMPILER),
    ],
    ids=["twice", "backends", "targets"],
)
def test_runs_in_threads_are_those_that_they_are_alone(kinds: list[tuple[str, str]], tmp_path: Path) -> None:
    before = [weights(tmp_path / f"alone{number}", *kind) for number, kind in enumerate(kinds)]
    with ThreadPoolExecutor(len(kinds)) as pool:
        futures = [pool.submit(weights, tmp_path / f"beside{number}", *kind) for number, kind in enumerate(kinds)]
        beside = [future.result() for future in futures]
    for expected, found in zip(before, beside, strict=True):
        assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_seeds_and_sweeps_wait_for_each_other(tmp_path: Path) -> None:
    """Other ways in than `nm.run`. Going on with a run, and training in spikes, end where that does, in the backend."""
    circuit = nm.load("figure1", SHORT)

    def seeds(name: str) -> list[float]:
        options = Options(target="numpy", points=2)
        runs = run_seeds(circuit, seeds=[0, 1], options=options, out=tmp_path / name, figures=False)
        return [float(run.angles_deg("B1")[-1]) for run in runs]

    def swept(name: str) -> list[float]:
        found = nm.sweep(circuit, {"code.beta": ["80 Hz"]}, target="numpy", points=2, out=tmp_path / name)
        return [float(run.angles_deg("B1")[-1]) for run in map(nm.open_run, found.ended)]

    ways: list[Callable[[str], list[float]]] = [seeds, swept]
    before = [way(f"alone{number}") for number, way in enumerate(ways)]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(way, f"beside{number}") for number, way in enumerate(ways)]
        assert [future.result() for future in futures] == before


def test_brian2_is_imported_first_in_a_thread(tmp_path: Path) -> None:
    """Python lets the main thread alone set signal handlers; those that were there stay."""
    script = f"""
import signal, threading, warnings
from concurrent.futures import ThreadPoolExecutor
import neuromirror as nm
before, set_handler, show_warning = signal.getsignal(signal.SIGINT), signal.signal, warnings.showwarning
def job(number):
    run = nm.run(nm.load("figure1", {SHORT!r}), target="numpy", out=f"run{{number}}", points=2, figures=False)
    return float(run.angles_deg("B1")[-1])
with ThreadPoolExecutor(2) as pool:
    first, second = pool.map(job, range(2))
assert first == second == job(2)
assert signal.getsignal(signal.SIGINT) is before
assert signal.signal is set_handler
assert warnings.showwarning is show_warning
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


# ---- what a run leaves behind ----------------------------------------------------------------------------------------


def process_state() -> dict[str, object]:
    """Give what a process has once, and a run may have changed."""
    return {
        "random": [np.array(part).tolist() for part in np.random.get_state()],
        "torch": (torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
        "torch_random": torch.get_rng_state().tolist(),
        "device": b2.get_device(),
        "target": b2.prefs.codegen.target,
        "dt": float(b2.defaultclock.dt),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "errors": np.geterr(),
        "style": dict(matplotlib.rcParams),
        "threads": threading.active_count(),
    }


@pytest.fixture
def _of_the_user(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of Brian2 that are not its defaults."""
    dt = b2.defaultclock.dt
    monkeypatch.setitem(b2.prefs, "codegen.target", "cython")
    b2.defaultclock.dt = 0.7 * b2.ms
    yield
    b2.defaultclock.dt = dt


@pytest.mark.usefixtures("_of_the_user")
@pytest.mark.parametrize(
    ("backend", "target"),
    [
        ("brian2", "numpy"),
        pytest.param("brian2", "cpp_standalone", marks=COMPILER),
        ("brian2-rate", "auto"),
        ("torch", "auto"),
        ("reference", "auto"),
    ],
)
def test_a_run_leaves_the_process_as_it_was(backend: str, target: str, tmp_path: Path) -> None:
    with deterministic():
        pass  # which has torch import parts of its own that set an environment variable
    before = process_state()
    run = nm.run(
        nm.load("figure1", SHORT), backend=backend, target=target, points=2, out=tmp_path / "run", figures=False
    )
    run.save_figures()
    assert process_state() == before


@pytest.mark.usefixtures("_of_the_user")
def test_a_check_of_own_cells_leaves_brian2_as_it_was(tmp_path: Path) -> None:
    before = process_state()
    weights(tmp_path / "run", "brian2", "numpy", OWN)
    assert process_state() == before


def test_one_thread_alone_uses_brian2() -> None:
    inside, most, dt = [0], [0], float(b2.defaultclock.dt)
    start = threading.Barrier(4)

    def use() -> None:
        start.wait()
        with alone(), alone():
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            b2.defaultclock.dt = 0.3 * b2.ms
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(use) for _ in range(4)]:
            future.result()
    assert most == [1]
    assert float(b2.defaultclock.dt) == dt


def test_a_simulation_within_another_is_refused(tmp_path: Path) -> None:
    def start_another(done_s: float, total_s: float) -> None:
        nm.run(nm.load("figure1", SHORT), target="numpy", out=tmp_path / "inner", figures=False)

    with pytest.raises(RequestError, match="one simulation at a time, and this would be one within another"):
        run_seeds(
            nm.load("figure1", SHORT),
            seeds=[0],
            options=Options(target="numpy", points=2),
            out=tmp_path / "outer",
            figures=False,
            progress=start_another,
        )
    assert weights(tmp_path / "after", "brian2", "numpy")


@COMPILER
def test_brian2_code_of_the_users_own_is_not_spoilt(tmp_path: Path) -> None:
    """Its program in the making stays Brian2's, and none of ours is made meanwhile; runs that need none are made."""
    b2.set_device("cpp_standalone", build_on_run=False)
    try:
        cells = b2.NeuronGroup(1, "v : 1", name="of_the_user")
        with pytest.raises(RequestError, match="'cpp_standalone' is in use by other code of this process"):
            weights(tmp_path / "program", "brian2", "cpp_standalone")
        assert weights(tmp_path / "run", "brian2", "numpy")
        device = b2.get_device()
        assert cells.variables["v"] in device.arrays
        assert device.build_on_run is False
    finally:
        b2.device.reinit()
        b2.set_device("runtime")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_while_a_thread_uses_brian2_can_use_it(tmp_path: Path) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with alone():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        with alone():
            os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


# ---- what else a process has once ------------------------------------------------------------------------------------


def test_algorithms_stay_deterministic_until_the_last_that_needs_them_is_done() -> None:
    first, second = deterministic(), deterministic()
    assert not torch.are_deterministic_algorithms_enabled()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.are_deterministic_algorithms_enabled()
    second.__exit__(None, None, None)
    assert not torch.are_deterministic_algorithms_enabled()


def test_figures_drawn_in_threads_leave_the_users_style() -> None:
    before = dict(matplotlib.rcParams)
    inside, leave = threading.Event(), threading.Event()

    def draw() -> None:
        with style.context():
            inside.set()
            leave.wait(0.2)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(draw) for _ in range(2)]
        inside.wait()
        leave.set()
        for future in futures:
            future.result()
    assert dict(matplotlib.rcParams) == before
