"""Weights of a network by name, to and from other networks: torchvision's names where there are some, else ours.

Ours are those of the record: ``"W1"`` for weights, ``"y1.bias"`` for biases, and for batch norm ``"y1.norm.weight"``
(the gain), ``"y1.norm.bias"`` (the shift), ``"y1.norm.running_mean"``, ``"y1.norm.running_var"`` and
``"y1.norm.num_batches_tracked"``. Feedback weights are apart, by the names of their projections: ``"B1"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor

from neuromirror.backends.torch.network import ACTIVATIONS, Network, Stage
from neuromirror.backends.torch.torchvision_names import forward_keys, torchvision_names
from neuromirror.circuit.files import shipped
from neuromirror.circuit.methods import METHODS
from neuromirror.errors import RequestError, suggestion

NormOrder = Literal["before", "after", "mixed", "none"]

ORDERS: Mapping[str, str] = {
    "before": "batch norm and joins before the nonlinearity",
    "after": "batch norm and joins after the nonlinearity",
    "mixed": "batch norm and joins before some nonlinearities and after others",
    "none": "no batch norm",
}
"""What `norm_order` says, in words."""

NAMED = 3
"""How many names an error message lists."""


def norm_order(network: Network) -> NormOrder:
    """Return where a network has batch norm and the joins of its shortcuts: the same weights ask for the same order.

    ``before`` or ``after`` every nonlinearity; ``mixed``: some before and some after; ``none``: there is no batch norm.
    Linear cells that nothing joins do not count, since both orders are one there.
    """
    if not any(stage.norm for stage in network.stages):
        return "none"
    found = {when for stage in network.stages if not _is_either(stage) for when in _orders(stage)}
    if len(found) == 1:
        return "before" if "before" in found else "after"
    return "mixed" if found else "before"  # all cells are linear


def _orders(stage: Stage) -> Iterable[str]:
    joins = {"before": stage.before, "after": stage.after}
    return [when for when, sources in joins.items() if sources or stage.norm == when]


def _is_either(stage: Stage) -> bool:
    """Return whether batch norm of a population does the same before and after its nonlinearity."""
    return stage.phi is ACTIVATIONS["linear"] and not stage.before and not stage.after


def state_dict_of(network: Network) -> dict[str, Tensor]:
    """Return all that a network has learned but its feedback weights, by torchvision's keys or else by ours.

    The tensors are the network's own, detached, as those of ``network.state_dict()`` are.
    """
    tensors = network.state_dict()
    return {name: tensors[key] for key, name in _names(network).items()}


def load_state_dict(network: Network, tensors: Mapping[str, Tensor], *, norm_order: str | None) -> None:
    """Give a network the weights that `state_dict_of` returned, or that a ResNet of torchvision has.

    Parameters
    ----------
    network : Network
        Takes copies, in its own dtype and on its own device; it keeps what it has if there is an error.
    tensors : mapping of str to Tensor
        All of them and no others. Only ``num_batches_tracked`` may be missing, as in torchvision's older files; it is 0
        then, and nothing depends on it.
    norm_order : {"before", "after", "mixed", "none"} or None
        What `norm_order` says of the network that the weights belong to; ``before`` for those of torchvision. None if
        it is not known.

    Raises
    ------
    RequestError
        If the weights belong to a network of another order, or if names or shapes are not those of this network.
    """
    if norm_order is not None:
        _check_order(network, norm_order)
    own = state_dict_of(network)
    counts = {name: torch.zeros_like(t) for name, t in own.items() if name.endswith(".num_batches_tracked")}
    _copy(own, {**counts, **tensors}, network, f"Give all weights of {_circuit(network)} and nothing else.")


def feedback_state(network: Network) -> dict[str, Tensor]:
    """Return the feedback weights by the names of their projections: ``"B1"``, in the layout that their layer has.

    Those that are transported exactly, as in backprop, are not among them: they are Wᵀ. Of sign-symmetry these are the
    magnitudes. The tensors are the network's own.
    """
    own = {name: layer.feedback for name, layer in network.weighted() if layer.feedback is not None}
    return {network.feedback_of[name]: feedback for name, feedback in own.items()}


def load_feedback(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Give a network the feedback weights that `feedback_state` returned.

    Raises
    ------
    RequestError
        If names or shapes are not those of this network's own feedback weights.
    """
    own = feedback_state(network)
    remedy = f"Give all feedback weights of {_circuit(network)} and nothing else."
    _copy(own, tensors, network, remedy if own else "It takes none: its feedback weights are made of W.")


def _names(network: Network) -> dict[str, str]:
    """Return the name of every key of a network's ``state_dict()``, feedback weights left out."""
    return torchvision_names(network) or {key: own_name(key) for key in forward_keys(network)}


def own_name(key: str) -> str:
    """Return the name in the circuit of a key of a network's ``state_dict()``."""
    kind, _, path = key.partition(".")
    part, _, leaf = path.partition(".")
    return {"projections": part, "norms": f"{part}.norm.{leaf}", "biases": f"{part}.bias"}[kind]


def _check_order(network: Network, given: str) -> None:
    if given not in ORDERS:
        raise RequestError(f"norm_order: there is no '{given}'. {suggestion(given, ORDERS)}")
    own = norm_order(network)
    if own != given:
        raise RequestError(
            f"these weights belong to a network with {ORDERS[given]}, but {_circuit(network)} has {ORDERS[own]}. "
            f"{_remedy(network, given)}"
        )


def _remedy(network: Network, given: str) -> str:
    """Say which circuit has an order."""
    if given == "mixed":
        return "Use the circuit that they were saved with."
    if given == "none":
        return "Use a circuit without norm."
    name = network.plan.circuit.name
    stem, _, method = name.rpartition("-")
    base = (stem if method in METHODS else name).removesuffix("_norm_first")
    other = f"{base}_norm_first" if given == "before" else base
    if {base, f"{base}_norm_first"} <= set(shipped()):
        return f"Use the circuit '{other}'."
    return f'Use a circuit whose populations have norm.when = "{given}" and whose shortcuts have join = "{given}".'


def _circuit(network: Network) -> str:
    return f"circuit '{network.plan.circuit.name}'"


def _copy(own: Mapping[str, Tensor], given: Mapping[str, Tensor], network: Network, remedy: str) -> None:
    """Copy tensors into those of the same names, if all of them fit."""
    here = _circuit(network)
    missing = [name for name in own if name not in given]
    unknown = [name for name in given if name not in own]
    unlike = [
        f"{name} is {_said(given[name])}, expected {_said(own[name])}"
        for name in own
        if name in given and _said(given[name]) != _said(own[name])
    ]
    problems = [
        f"{len(missing)} of the {len(own)} tensors of {here} are missing: {_first(missing)}" if missing else "",
        f"{len(unknown)} tensors are not of {here}: {_first(unknown)}" if unknown else "",
        f"{len(unlike)} tensors have another shape or kind: {_first(unlike, '; ')}" if unlike else "",
    ]
    if any(problems):
        fit = " `Circuit.fitted` makes a circuit for other images and classes." if unlike else ""
        raise RequestError(f"weights: {'. '.join(filter(None, problems))}. {remedy}{fit}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])


def _said(tensor: object) -> str:
    """Return shape and kind of a tensor, as messages have them."""
    if not isinstance(tensor, Tensor):
        return f"of type {type(tensor).__name__}"
    return f"{tuple(tensor.shape)} of {'fractions' if tensor.is_floating_point() else 'whole numbers'}"


def _first(names: list[str], between: str = ", ") -> str:
    return between.join(map(str, names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
