"""The state of a Brian2 network at the beginning of a time step, as arrays by name.

Brian2's own ``Network.store`` keeps clocks by names that depend on what else has been built, and of the random numbers
that Cython code has drawn ahead only the address. Here clocks follow from the time, and numbers drawn ahead are dropped
where a state can be taken, in all runs alike.
"""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
from numpy.typing import NDArray

from neuromirror.backends.base import State
from neuromirror.backends.brian2.private import (
    queue_state,
    queues_of,
    restore_queue,
    set_time,
    set_values,
    variables_of,
)
from neuromirror.errors import RequestError


def state_of(network: Any) -> dict[str, NDArray[Any]]:
    """Return the state of a network whose monitors are empty, when its random numbers are none drawn ahead."""
    kind, key, position, has_gauss, gauss = np.random.get_state()
    assert kind == "MT19937", "the generator that Brian2 seeds"
    state = {
        "t_s": np.array(float(network.t / b2.second)),
        "random/key": np.asarray(key),
        "random/rest": np.array([position, has_gauss, gauss], dtype=np.float64),
    }
    for name, variable in variables_of(network):
        state[name] = np.asarray(variable.get_value()).copy()
    for name, queue in queues_of(network):
        state |= {f"{name}/{part}": array for part, array in queue_state(queue).items()}
    return state


def restore(network: Any, state: State) -> None:
    """Give a network that was just built the state of another of the same plan.

    Raises
    ------
    RequestError
        If it is the state of a network of other variables.
    """
    variables, queues = dict(variables_of(network)), dict(queues_of(network))
    of_queues = {name for name in state if name.rpartition("/")[0] in queues}
    if set(variables) != set(state) - of_queues - {"t_s", "random/key", "random/rest"}:
        raise RequestError("the checkpoint is that of another network. Start the run again.")
    position, has_gauss, gauss = state["random/rest"].tolist()
    np.random.set_state(("MT19937", state["random/key"], int(position), int(has_gauss), gauss))
    for name, variable in variables.items():
        set_values(variable, state[name])
    for name, queue in queues.items():
        restore_queue(queue, {part: state[f"{name}/{part}"] for part in ("kind", "numbers", "spikes")})
    set_time(network, float(state["t_s"]))
