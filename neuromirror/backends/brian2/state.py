"""The state of a Brian2 network at the beginning of a time step, as arrays by name.

Brian2's own ``Network.store`` keeps clocks by names that depend on what else has been built, and of the random numbers
that Cython code has drawn ahead only the address. Here clocks follow from the time, and numbers drawn ahead are dropped
where a state can be taken, in all runs alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import brian2 as b2
import numpy as np
from brian2.core.variables import ArrayVariable, DynamicArrayVariable
from brian2.monitors.spikemonitor import EventMonitor
from brian2.synapses.synapses import SynapticPathway
from numpy.typing import NDArray

from neuromirror.backends.base import State
from neuromirror.errors import RequestError


def drop_numbers_drawn_ahead() -> None:
    """Have the next random number be the next of NumPy's generator, whose state can be kept."""
    device: Any = b2.get_device()
    device.rand_buffer_index[:] = 0
    device.randn_buffer_index[:] = 0


def state_of(network: Any) -> dict[str, NDArray[Any]]:
    """Return the state of a network whose monitors are empty, when its random numbers are none drawn ahead."""
    kind, key, position, has_gauss, gauss = np.random.get_state()
    assert kind == "MT19937", "the generator that Brian2 seeds"
    state = {
        "t_s": np.array(float(network.t / b2.second)),
        "random/key": np.asarray(key),
        "random/rest": np.array([position, has_gauss, gauss], dtype=np.float64),
    }
    for name, variable in _variables(network):
        state[name] = np.asarray(variable.get_value()).copy()
    for name, pathway in _pathways(network):
        state |= {f"{name}/{part}": array for part, array in _queue_state(pathway.queue).items()}
    return state


def restore(network: Any, state: State) -> None:
    """Give a network that was just built the state of another of the same plan.

    Raises
    ------
    RequestError
        If it is the state of a network of other variables.
    """
    variables, pathways = dict(_variables(network)), dict(_pathways(network))
    of_queues = {name for name in state if name.rpartition("/")[0] in pathways}
    if set(variables) != set(state) - of_queues - {"t_s", "random/key", "random/rest"}:
        raise RequestError("the checkpoint is that of another network. Start the run again.")
    position, has_gauss, gauss = state["random/rest"].tolist()
    np.random.set_state(("MT19937", state["random/key"], int(position), int(has_gauss), gauss))
    for name, variable in variables.items():
        if isinstance(variable, DynamicArrayVariable):
            variable.resize(state[name].shape if state[name].ndim > 1 else len(state[name]))
        variable.set_value(state[name])
    for name, pathway in pathways.items():
        _restore_queue(pathway.queue, {part: state[f"{name}/{part}"] for part in ("kind", "numbers", "spikes")})
    network.t_ = float(state["t_s"])


def _variables(network: Any) -> Iterator[tuple[str, Any]]:
    """Yield what changes as a network runs, but for what monitors hold."""
    for item in network.sorted_objects:
        if isinstance(item, b2.StateMonitor | EventMonitor) or not hasattr(item, "_full_state"):
            continue
        for variable in item.variables.values():
            owned = isinstance(variable, ArrayVariable) and getattr(variable.owner, "name", None) == item.name
            if owned and not variable.constant:
                yield f"{item.name}/{variable.name}", variable


def _pathways(network: Any) -> Iterator[tuple[str, Any]]:
    for item in network.sorted_objects:
        if isinstance(item, SynapticPathway):
            yield f"{item.name}/queue", item


def _queue_state(queue: Any) -> dict[str, NDArray[Any]]:
    """Return the spikes that are under way, of either of Brian2's queues."""
    state = queue._full_state()
    if len(state) == 2:  # of the compiled queue: where the present is, and the synapses of each time step
        offset, steps = state
        numbers = np.array([offset, *map(len, steps)], dtype=np.int64)
        spikes = np.array([synapse for step in steps for synapse in step], dtype=np.int64)
        return {"kind": np.array(2), "numbers": numbers, "spikes": spikes}
    dt_s, spikes, shape = state
    return {"kind": np.array(3), "numbers": np.array([dt_s, *shape], dtype=np.float64), "spikes": spikes}


def _restore_queue(queue: Any, state: State) -> None:
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
