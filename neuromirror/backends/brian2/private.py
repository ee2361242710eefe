"""Parts of Brian2 that its reference does not promise, all of them here, and the versions in which they are known.

What a new version of Brian2 changes of them shows in ``tests/unit/test_brian2_private.py``, which has a test for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
from numpy.typing import NDArray

from neuromirror.errors import RequestError, UnsupportedError

KNOWN = ((2, 9), (2, 10), (2, 11))
"""Versions of Brian2 with which all of this module has been tested."""

REQUIREMENT = f"brian2>={KNOWN[0][0]}.{KNOWN[0][1]},<{KNOWN[-1][0]}.{KNOWN[-1][1] + 1}"
"""The same for pip."""

VERSION = b2.__version__
"""That which is installed."""

_brian2: Any = b2


def check_version(version: str) -> None:
    """Refuse a version of Brian2 whose private parts are not known.

    Parameters
    ----------
    version : str
        Such as ``"2.11.0"`` or ``"2.12.0.dev3"``.

    Raises
    ------
    UnsupportedError
        If it is none of `KNOWN`.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) not in KNOWN:
        known = ", ".join(f"{major}.{minor}" for major, minor in KNOWN)
        raise UnsupportedError(
            f"Brian2 {version}: not known to this version of neuromirror, which uses parts of Brian2 that change "
            f"between versions. It knows {known}: pip install '{REQUIREMENT}'. Or use --backend torch or reference."
        )


# ---- the runtime device: the state of a network between two time steps -----------------------------------------------


def drop_numbers_drawn_ahead() -> None:
    """Have the next random number be the next of NumPy's generator, whose state can be kept."""
    device = _brian2.get_device()
    device.rand_buffer_index[:] = 0
    device.randn_buffer_index[:] = 0


def variables_of(network: Any) -> Iterator[tuple[str, Any]]:
    """Yield what changes as a network runs, by name, but for what monitors hold."""
    array, monitor = _brian2.core.variables.ArrayVariable, _brian2.monitors.spikemonitor.EventMonitor
    for item in network.sorted_objects:
        if isinstance(item, b2.StateMonitor | monitor) or not hasattr(item, "_full_state"):
            continue
        for variable in item.variables.values():
            is_of_item = isinstance(variable, array) and getattr(variable.owner, "name", None) == item.name
            if is_of_item and not variable.constant:
                yield f"{item.name}/{variable.name}", variable


def set_values(variable: Any, values: NDArray[Any]) -> None:
    """Give a variable values, of which there may be more or fewer than it had."""
    if isinstance(variable, _brian2.core.variables.DynamicArrayVariable):
        variable.resize(values.shape if values.ndim > 1 else len(values))
    variable.set_value(values)


def set_time(network: Any, t_s: float) -> None:
    """Set how much simulated time has passed, in seconds; clocks follow from it."""
    network.t_ = t_s


def queues_of(network: Any) -> Iterator[tuple[str, Any]]:
    """Yield the queues of the spikes that are on their way, by name."""
    for item in network.sorted_objects:
        if isinstance(item, _brian2.synapses.synapses.SynapticPathway):
            yield f"{item.name}/queue", item.queue


def queue_state(queue: Any) -> dict[str, NDArray[Any]]:
    """Return the spikes that are on their way, of either of Brian2's queues: that in C++, or that in Python of 2.9."""
    state = queue._full_state()
    if len(state) == 2:  # in C++: where the present is, and the synapses of each time step
        offset, steps = state
        numbers = np.array([offset, *map(len, steps)], dtype=np.int64)
        spikes = np.array([synapse for step in steps for synapse in step], dtype=np.int64)
        return {"kind": np.array(2), "numbers": numbers, "spikes": spikes}
    dt_s, spikes, shape = state
    return {"kind": np.array(3), "numbers": np.array([dt_s, *shape], dtype=np.float64), "spikes": spikes}


def restore_queue(queue: Any, state: dict[str, NDArray[Any]]) -> None:
    """Give a queue the spikes of a state.

    Raises
    ------
    RequestError
        If it is the state of the other kind of queue.
    """
    if int(state["kind"]) != len(queue._full_state()):
        raise RequestError("the checkpoint is that of another build of Brian2. Start the run again.")
    numbers, spikes = state["numbers"].tolist(), state["spikes"]
    if int(state["kind"]) == 2:
        offset, *lengths = numbers
        steps = np.split(spikes, np.cumsum(lengths)[:-1])
        queue._restore_from_full_state((offset, [step.tolist() for step in steps]))
    else:
        dt_s, *shape = numbers
        queue._restore_from_full_state((dt_s, spikes, tuple(int(size) for size in shape)))


# ---- how runs end ----------------------------------------------------------------------------------------------------


def take_interrupt() -> bool:
    """Tell whether a Ctrl-C has ended a run early, which Brian2 tells nobody, and forget it."""
    stopped = bool(_brian2.Network._globally_stopped)
    _brian2.Network._globally_stopped = False
    return stopped


def forget_run() -> None:
    """Tell Brian2 that nothing runs: it forgets to after an error, and then takes every Ctrl-C for its own."""
    _brian2.Network._globally_running = False


BrianObjectException: Any = _brian2.core.base.BrianObjectException
"""What Brian2 raises of an object that it cannot build; the error itself is its cause."""


# ---- the standalone device: a program in C++ -------------------------------------------------------------------------

RESULTS_FOLDER = "brian::results_dir"
"""The folder of results, in the program's code: text that ends with a slash."""

_INCLUDE = re.compile(r'^\s*#include\s*[<"][^>"]+[>"].*$', re.MULTILINE)
_FUNCTION = re.compile(r"^void (\w+)\(\)", re.MULTILINE)


@contextmanager
def standalone_device(directory: Path) -> Iterator[Any]:
    """Give Brian2's device for programs in C++, with nothing in it, for as long as the context lasts."""
    _brian2.set_device("cpp_standalone", build_on_run=False)
    device = _brian2.get_device()
    try:
        device.reinit()
        device.activate(build_on_run=False)
        device.project_dir = str(directory)
        yield device
    finally:
        device.reinit()
        _brian2.set_device("runtime")


def is_standalone(device: Any) -> bool:
    """Tell whether a device is one for programs in C++."""
    return isinstance(device, _brian2.devices.cpp_standalone.device.CPPStandaloneDevice)


def seeding_code(variable: str) -> str:
    """Return code with which a program takes its seed from an environment variable: one program serves all seeds."""
    return (
        f'\nfor (auto &generator : brian::_random_generators) generator.seed(std::stoul(std::getenv("{variable}")));\n'
    )


def array_name(variable: Any) -> str:
    """Return the name by which a program's code knows the array of a variable."""
    return f"brian::{_brian2.get_device().get_array_name(variable, access_data=False)}"


def delays_name(synapses: Any) -> str:
    """Return the name by which a program takes the delays of synapses; Brian2 2.11 has another than those before."""
    delays = synapses.pre.variables["delay"]
    return f"{delays.owner.name}.{delays.name}"


def check_taken(names: Iterable[str], directory: Path) -> None:
    """Refuse a program that would pass over values that it is given, as Brian2's do where they do not know the name.

    Parameters
    ----------
    names : iterable of str
        Of variables and tables, such as ``"cells.v"`` or ``"table.values"``; tables that no code uses are in none.
    directory : Path
        Where Brian2 has written the sources.

    Raises
    ------
    UnsupportedError
        With the names that it does not know.
    """
    source = (directory / "joined.cpp").read_text()
    taken = set(re.findall(r'name == "([\w.]+)"', source))
    table = ".values"
    lost = {name for name in names if name not in taken and not name.endswith(table)}
    lost |= {name for name in names if name.endswith(table) and name not in taken and name.replace(".", "_") in source}
    if lost:
        raise UnsupportedError(
            f"Brian2 {VERSION}: a program of this version does not take {', '.join(sorted(lost))}. "
            "Use --target numpy or cython."
        )


def rows_code(rows: str, out: str) -> str:
    """Return code that writes the rows of a monitor, float64, to a stream of the program's, and forgets them.

    Notes
    -----
    The numbers of rows and columns, ``n`` and ``m``, are int in Brian2 2.9 and size_t since; so of the two functions
    `resize` that there are since 2.10 the arguments have to say which is meant.
    """
    return (
        f"for (int k = 0; k < (int) {rows}.n; k++)\n"
        f"            {out}.write((const char*) {rows}(k).data(), {rows}.m*sizeof(double));\n"
        f"        {rows}.resize((int) 0, (int) {rows}.m);"
    )


def joined_source(directory: Path) -> str:
    """Return all sources of a program in one: helpers of the code objects keep apart in namespaces of their own.

    Parameters
    ----------
    directory : Path
        Where Brian2 has written them.
    """
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
    # Sources of Brian2's own, such as the queue of 2.10 and later, which find their headers beside them.
    library = [f'#include "brianlib/{path.name}"' for path in sorted((directory / "brianlib").glob("*.cpp"))]
    return "\n".join([*includes, *parts, *library]) + "\n"
