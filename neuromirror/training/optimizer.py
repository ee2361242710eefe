"""The optimizer of what learns awake: one group of parameters for each rule of the circuit, with its updater."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from neuromirror.backends.torch.network import Network
from neuromirror.circuit.description import Updater
from neuromirror.circuit.protocol import Training
from neuromirror.errors import choice
from neuromirror.training.rates import peak_rate
from neuromirror.training.roles import Roles


class ForwardUpdater:
    """Nesterov's or plain gradient descent of what learns awake (eq. 4), as `torch.optim.SGD` does it.

    Parameters
    ----------
    network : Network
        Arrays of it that no rule teaches are frozen.
    roles : Roles
    training : Training
        For the peak of the learning rates.
    """

    def __init__(self, network: Network, roles: Roles, training: Training) -> None:
        self.network, self.roles = network, roles
        taught = {**roles.forward, **roles.kolen_pollack}
        arrays: dict[str, list[Tensor]] = {}
        for name, rule in taught.items():
            arrays.setdefault(rule, []).extend(_arrays(network, name))
        for parameter in set(network.parameters()) - {one for group in arrays.values() for one in group}:
            parameter.requires_grad_(False)
        rules = network.plan.description.rules
        groups = [{"params": some, **_options(rules[rule].updater, training)} for rule, some in arrays.items()]
        self.optimizer = torch.optim.SGD(groups, fused=is_fused(next(network.parameters()).device) or None)

    def step(self, factor: float) -> None:
        """Update every array from its gradient, at a part of the peak learning rate, and clear the gradients.

        Kolen-Pollack: B takes the step of its W, which is the product of the same two signals.
        """
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
