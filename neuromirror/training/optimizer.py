"""The optimizer of what learns awake: one group of parameters for each rule of the circuit, with its updater."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from neuromirror.backends.torch.network import Network
from neuromirror.circuit.description import Updater
from neuromirror.circuit.error_path import without_errors
from neuromirror.circuit.protocol import Training
from neuromirror.errors import RequestError, choice
from neuromirror.training.rates import peak_rate
from neuromirror.training.roles import Roles


class ForwardUpdater:
    """Nesterov's or plain gradient descent of what learns awake (eq. 4), as `torch.optim.SGD` does it.

    Parameters
    ----------
    network : Network
        Arrays of it that no rule teaches are frozen, and those that no error reaches.
    roles : Roles
    training : Training
        For the peak of the learning rates.

    Attributes
    ----------
    without_errors : tuple of str
        What is listed to learn and has no error to learn from.

    Raises
    ------
    RequestError
        If that is all that would learn.

    Notes
    -----
    Where a W has no B, no error reaches what is below it, and the drive of the forward rule is zero there. What the
    updater of its rule does by itself it does all the same, as in ``neuromirror run``: an array without decay keeps its
    bits, one with decay shrinks.
    """

    def __init__(self, network: Network, roles: Roles, training: Training) -> None:
        self.network, self.roles = network, roles
        taught = {**roles.forward, **roles.kolen_pollack}
        self.without_errors = tuple(without_errors(network.plan.description, roles.on, roles.forward))
        if roles.forward and len(self.without_errors) == len(roles.forward):
            raise RequestError(
                f"no error reaches {' or '.join(self.without_errors[:3])}: no B leads down to what learns, so that "
                "nothing would. Take out feedback.skip, or let what is above it learn."
            )
        resting = {one for name in self.without_errors for one in _arrays(network, name)}
        arrays: dict[str, list[Tensor]] = {}
        for name, rule in taught.items():
            arrays.setdefault(rule, []).extend(_arrays(network, name))
        learning = {one for group in arrays.values() for one in group} - resting
        for parameter in set(network.parameters()) - learning:
            parameter.requires_grad_(False)
        rules = network.plan.description.rules
        groups = [{"params": some, **_options(rules[rule].updater, training)} for rule, some in arrays.items()]
        self._decaying = [one for g in groups if g["weight_decay"] for one in g["params"] if one in resting]
        self.optimizer = torch.optim.SGD(groups, fused=is_fused(next(network.parameters()).device) or None)

    def step(self, factor: float) -> None:
        """Update every array from its gradient, at a part of the peak learning rate, and clear the gradients.

        Kolen-Pollack: B takes the step of its W, which is the product of the same two signals.
        """
        for array in self._decaying:
            array.grad = torch.zeros_like(array)
        for w, layer in self.network.weighted():
            if self.network.feedback_of.get(w) in self.roles.kolen_pollack and layer.weight.grad is not None:
                grad = layer.weight.grad
                layer.feedback.grad = (grad.T if grad.ndim == 2 else grad).clone()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
            if self.optimizer.defaults["fused"]:
                _lay_out(group["params"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def is_fused(device: torch.device) -> bool:
    """Return whether all arrays take their steps in one kernel: on CUDA.

    On the CPU its numbers would differ in the last bit from those of the loop over arrays.
    """
    return device.type == "cuda"


def _lay_out(arrays: Iterable[Tensor]) -> None:
    """Let gradients lie in memory as their arrays do: fused steps go through both by address, and do not look."""
    for array in arrays:
        if array.grad is not None and array.grad.stride() != array.stride():
            array.grad = torch.empty_strided(array.shape, array.stride(), dtype=array.dtype, device=array.device).copy_(
                array.grad
            )


def _arrays(network: Network, name: str) -> Iterator[Tensor]:
    """Yield what is meant by the name of a learner."""
    population, _, part = name.rpartition(".")
    if part == "bias" and population in network.biases:
        yield network.biases[population]
    elif part == "norm" and population in network.norms:
        yield from network.norms[population].parameters()
    elif name in network.projections:
        yield from (p for key, p in network.projections[name].named_parameters() if key == "weight")
    else:
        yield from (layer.feedback for w, layer in network.weighted() if network.feedback_of.get(w) == name)


def _options(updater: Updater, training: Training) -> dict[str, float | bool]:
    peak, decay = peak_rate(updater.rate or 0.0, training), updater.decay
    if (
        choice("updater.kind", updater.kind, "plain", "sgd") == "plain" and not updater.decay_times_rate
    ):  # at the peak the decay is what the file says
        decay = decay / peak if peak else 0.0
    return {
        "lr": peak,
        "peak": peak,
        "momentum": updater.momentum,
        "nesterov": updater.nesterov and updater.momentum > 0,
        "weight_decay": decay,
    }
