"""The private parts of Brian2 that the backend uses, one by one, in the version that is installed."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
import pytest

import neuromirror.backends.brian2
from neuromirror.backends.brian2 import private, standalone
from neuromirror.errors import RequestError, UnsupportedError

pytestmark = pytest.mark.spiking
SEED = "SEED_OF_A_TEST"


@pytest.fixture(autouse=True)
def _quiet_and_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(b2.prefs, "codegen.target", "numpy")
    monkeypatch.setattr(logging.getLogger("brian2"), "level", logging.CRITICAL)


def network_of(delay_ms: float = 3.0) -> Any:
    """Give a network in which two cells fire by chance, and drive two others some time steps later."""
    cells = b2.NeuronGroup(
        4, "v : 1\nconstant_of_cell : 1 (constant)", threshold="i < 2 and rand() < 0.5", name="cells"
    )
    synapses = b2.Synapses(cells, cells, "w : 1", on_pre="v_post += w", name="synapses", delay=delay_ms * b2.ms)
    synapses.connect(i=[0, 1, 1], j=[2, 3, 2])
    synapses.w = [1.0, 10.0, 100.0]
    return b2.Network(cells, synapses, b2.SpikeMonitor(cells, name="spikes"))


# ---- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.9.0", "2.10.1", "2.11.0", "2.11.0.post1", "2.10.2.dev5"])
def test_known_versions_are_taken(version: str) -> None:
    private.check_version(version)


@pytest.mark.parametrize("version", ["2.8.0.4", "2.12.0", "2.12.0.dev3", "2.1", "3.0", "2.110.0", "unknown", ""])
def test_other_versions_are_refused_with_what_to_do(version: str) -> None:
    with pytest.raises(UnsupportedError, match=r"It knows 2\.9, 2\.10, 2\.11: pip install 'brian2>=2\.9,<2\.12'"):
        private.check_version(version)


def test_the_version_that_is_tested_here_is_a_known_one() -> None:
    private.check_version(private.VERSION)


def test_no_part_of_the_backend_is_loaded_with_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "VERSION", "2.12.0")
    with pytest.raises(UnsupportedError, match=r"Brian2 2\.12\.0: not known to this version of neuromirror"):
        importlib.reload(neuromirror.backends.brian2)


# ---- the runtime device ----------------------------------------------------------------------------------------------


def test_numbers_drawn_ahead_are_dropped() -> None:
    device: Any = b2.get_device()
    device.rand_buffer_index[:], device.randn_buffer_index[:] = 7, 8
    private.drop_numbers_drawn_ahead()
    assert device.rand_buffer_index.tolist() == device.randn_buffer_index.tolist() == [0]


def test_what_changes_is_found_and_what_monitors_hold_is_not() -> None:
    network = network_of()
    network.run(1 * b2.ms)
    names = set(dict(private.variables_of(network)))
    assert {"cells/v", "synapses/w"} <= names
    assert not any(name.startswith("spikes/") or "constant" in name for name in names)


def test_a_variable_takes_more_and_fewer_values() -> None:
    network = network_of()
    network.run(1 * b2.ms)
    weights = dict(private.variables_of(network))["synapses/w"]
    for values in (np.arange(5.0), np.arange(2.0)):
        private.set_values(weights, values)
        assert weights.get_value().tolist() == values.tolist()


def test_the_time_of_a_network_is_set() -> None:
    network = network_of()
    network.run(0 * b2.ms)
    private.set_time(network, 0.25)
    network.run(1 * b2.ms)
    assert float(network.t / b2.second) == pytest.approx(0.251)


def test_spikes_that_are_on_their_way_arrive_in_another_network() -> None:
    """A network that is given another's state half-way ends as that one does."""
    whole, half = network_of(), network_of()
    b2.seed(1)
    whole.run(10 * b2.ms)
    reached = whole["cells"].v[:].copy()
    random = np.random.get_state()
    kept = {name: variable.get_value().copy() for name, variable in private.variables_of(whole)}
    ((name, queue),) = private.queues_of(whole)
    spikes = private.queue_state(queue)
    assert name == "synapses_pre/queue"
    assert int(spikes["numbers"][1:].sum()) > 0
    whole.run(10 * b2.ms)
    half.run(0 * b2.ms)
    for name, variable in private.variables_of(half):
        private.set_values(variable, kept[name])
    private.restore_queue(next(private.queues_of(half))[1], spikes)
    private.set_time(half, 0.01)
    np.random.set_state(random)
    half.run(10 * b2.ms)
    assert half["cells"].v[:].tolist() == whole["cells"].v[:].tolist()
    assert reached.max() > 0
    assert (half["cells"].v[2:] > reached[2:]).all()


def test_spikes_that_are_on_their_way_are_kept_by_the_queue_in_python_too() -> None:
    module = pytest.importorskip("brian2.synapses.spikequeue", reason="this version of Brian2 has none in Python")
    queues = [module.SpikeQueue(source_start=0, source_end=2) for _ in range(2)]
    for queue in queues:
        queue.prepare(np.array([1e-3, 2e-3]), 1e-3, np.array([0, 1], dtype=np.int32))
    queues[0].push(np.array([0, 1], dtype=np.int32))
    state = private.queue_state(queues[0])
    private.restore_queue(queues[1], state)
    for queue in queues:
        queue.advance()
    assert [queue.peek().tolist() for queue in queues] == [[0], [0]]


def test_a_state_of_another_kind_of_queue_is_refused() -> None:
    network = network_of()
    network.run(1 * b2.ms)
    queue = next(private.queues_of(network))[1]
    state = private.queue_state(queue)
    with pytest.raises(RequestError, match="another build of Brian2"):
        private.restore_queue(queue, {**state, "kind": np.array(5 - int(state["kind"]))})


# ---- how runs end ----------------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_is_told_once() -> None:
    assert not private.take_interrupt()
    b2.Network._globally_stopped = True
    assert [private.take_interrupt(), private.take_interrupt()] == [True, False]


def test_brian2_takes_its_runs_for_running_until_it_is_told_otherwise() -> None:
    assert isinstance(b2.Network._globally_running, bool)
    b2.Network._globally_running = True
    private.forget_run()
    assert b2.Network._globally_running is False


def test_an_object_that_cannot_be_built_is_an_error_with_its_cause() -> None:
    cells = b2.NeuronGroup(1, "v : 1", threshold="v > no_such_name", name="wrong")
    with pytest.raises(private.BrianObjectException) as raised:
        b2.Network(cells).run(1 * b2.ms, namespace={})
    assert "no_such_name" in str(raised.value.__cause__)
    del cells, raised
    gc.collect()  # while Brian2 says nothing: it warns of objects that never ran


# ---- programs in C++ -------------------------------------------------------------------------------------------------


def written(directory: Path) -> Any:
    """Write a program's sources as Brian2 does, and return the monitor of its snapshots."""
    with private.standalone_device(directory) as device:
        assert private.is_standalone(device)
        device.insert_code("before_network_run", private.seeding_code(SEED))
        network = network_of()
        monitor = b2.StateMonitor(network["cells"], "v", record=True, name="snapshots")
        network.add(monitor)
        rows = private.array_name(monitor.variables["v"])
        device.insert_code(
            "after_network_run",
            f'std::ofstream out({private.RESULTS_FOLDER} + "rows.bin", std::ios::binary);\n'
            f"auto& rows = {rows};\n{private.rows_code('rows', 'out')}\n"
            "if (rows.n != 0 || rows.m != 4) return 3;\n",
        )
        network.run(20 * b2.ms)
        device.build(directory=str(directory), compile=False, run=False, with_output=False)
    return monitor


def test_all_sources_of_a_program_are_joined(tmp_path: Path) -> None:
    written(tmp_path)
    assert not private.is_standalone(b2.get_device())
    joined = private.joined_source(tmp_path)
    lines = joined.splitlines()
    first_code = next(number for number, line in enumerate(lines) if line and not line.lstrip().startswith("#include"))
    assert len({*lines[:first_code]}) == first_code
    late = [line for line in lines[first_code:] if line.lstrip().startswith("#include")]
    assert all("brianlib/" in line for line in late)
    for path in (tmp_path / "code_objects").glob("*.cpp"):
        for name in re.findall(r"^void (\w+)\(\)", path.read_text(), re.MULTILINE):
            assert re.search(rf"^void {name}\(\) {{ unit_\d+::{name}\(\); }}$", joined, re.MULTILINE)
    assert "int main(" in joined


def test_delays_have_the_name_that_a_program_takes_them_by(tmp_path: Path) -> None:
    """Values of other names are passed over by a program: it would go on with the delays that it was built with."""
    with private.standalone_device(tmp_path) as device:
        network = network_of()
        synapses = network["synapses"]
        synapses.pre.delay = np.array([1.0, 2.0, 3.0]) * b2.ms
        network.run(1 * b2.ms)
        device.build(directory=str(tmp_path), compile=False, run=False, with_output=False)
        (tmp_path / "joined.cpp").write_text(private.joined_source(tmp_path))
        private.check_taken([private.delays_name(synapses), "cells.v", "synapses.w", "unused_table.values"], tmp_path)
        with pytest.raises(UnsupportedError, match=r"does not take cells\.no_such, synapses\.delays\. Use --target"):
            private.check_taken(["synapses.delays", "cells.no_such", "cells.v"], tmp_path)


@pytest.mark.skipif(standalone.compiler() is None, reason="there is no C++ compiler")
def test_a_joined_program_takes_its_seed_and_hands_over_its_rows(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "joined.cpp").write_text(private.joined_source(tmp_path))
    compiler = [*(standalone.compiler() or "").split(), "-w", "-std=c++11", "-O0", "-I.", "joined.cpp", "-o", "main"]
    subprocess.run(compiler, cwd=tmp_path, check=True)
    rows = []
    for seed in (1, 1, 2):
        environment = {**os.environ, SEED: str(seed)}
        subprocess.run([str(tmp_path / "main")], cwd=tmp_path, env=environment, check=True, capture_output=True)
        rows.append(np.fromfile(tmp_path / "results" / "rows.bin").reshape(-1, 4))
    assert rows[0].shape == (200, 4)
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert (np.diff(rows[0], axis=0)[:, 2:] >= 0).all()
    assert rows[0][-1, 2:].min() > 0
