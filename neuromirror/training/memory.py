"""How much memory one process of a training run takes, without allocating any of it.

Weights, B, gradients and momentum are counted. What the forward pass keeps for the backward pass is what autograd saves
of a network on the meta device, where tensors have shapes and no numbers: inputs of convolutions, outputs of
nonlinearities, and what pools and norms need; each block of memory once, parameters and B apart. Left out are what a
library takes for its own work, the images that are loaded ahead, the buckets in which gradients are exchanged, and what
the allocator leaves unused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromirror.backends.torch.mirror import HELD
from neuromirror.backends.torch.network import Network
from neuromirror.circuit.protocol import Training
from neuromirror.training.cost import signal_numbers
from neuromirror.training.device import DTYPES
from neuromirror.training.optimizer import ForwardUpdater
from neuromirror.training.roles import Roles
from neuromirror.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes.

    Attributes
    ----------
    weights : int
        All that the forward path has, running statistics of batch norm included.
    feedback : int
        B.
    gradients, momentum : int
    kept : int
        For the backward pass, whatever the micro-batch.
    kept_per_image : int
        The same, of each image of a micro-batch.
    signals : mapping of str to int
        By mirror mode, of each noisy example: its noise and what that drives.
    held : int
        The most that the signals of a chunk of a turn take.
    """

    weights: int
    feedback: int
    gradients: int
    momentum: int
    kept: int
    kept_per_image: int
    signals: Mapping[str, int]
    held: int

    @property
    def lasting(self) -> int:
        """What there is all the time."""
        return self.weights + self.feedback + self.gradients + self.momentum

    def activations(self, micro_batch: int) -> int:
        """Return what is kept of a micro-batch for its backward pass."""
        return self.kept + self.kept_per_image * micro_batch

    def mirroring(self, examples: Mapping[str, int], workers: int = 1) -> int:
        """Return what the signals of the largest chunk of a turn of mirroring take of each process."""
        turns = (min(size * -(-examples[mode] // workers), self.held) for mode, size in self.signals.items())
        return max(turns, default=0)

    def peak(self, micro_batch: int, examples: Mapping[str, int], workers: int) -> int:
        """Return the most that a process takes: a micro-batch and a turn of mirroring are not held together."""
        return self.lasting + max(self.activations(micro_batch), self.mirroring(examples, workers))


def memory_of(network: Network, roles: Roles, training: Training, settings: Settings) -> Memory:
    """Return what a process takes.

    Parameters
    ----------
    network : Network
        On the meta device.
    roles : Roles
    training : Training
    settings : Settings
        For the type of numbers; with ``bf16`` the signals of both passes have two bytes each, and so have the copies of
        weights and B that they are computed with.
    """
    dtype = DTYPES[settings.dtype]
    network = network.to(dtype=dtype)
    updater = ForwardUpdater(network, roles, training)
    groups = [
        (group["momentum"] > 0, sum(p.nbytes for p in group["params"])) for group in updater.optimizer.param_groups
    ]
    feedback = [layer.feedback for _, layer in network.weighted() if layer.feedback is not None]
    of_B, everything = sum(B.nbytes for B in feedback), [*network.parameters(), *network.buffers()]
    copies = 2 * sum(layer.weight.numel() for _, layer in network.weighted()) if settings.bf16 else 0
    described = network.plan.description.populations
    found = Memory(
        weights=sum(tensor.nbytes for tensor in everything) - of_B,
        feedback=of_B,
        gradients=sum(size for _, size in groups),
        momentum=sum(size for moves, size in groups if moves),
        kept=copies,
        kept_per_image=0,
        signals={mode.name: signal_numbers(network.plan, mode) * dtype.itemsize for mode in roles.mirrors},
        held=HELD * dtype.itemsize,
    )
    if settings.bf16:
        network = network.to(dtype=torch.bfloat16)
    two, four = (_kept(network, described[network.input].shape, images) for images in (2, 4))
    per_image = (four - two) // 2
    return Memory(**{**vars(found), "kept": copies + two - 2 * per_image, "kept_per_image": per_image})


def _kept(network: Network, shape: tuple[int, ...], images: int) -> int:
    """Return the bytes that autograd saves of a forward pass."""
    own = {_block(tensor) for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[_block(tensor)] = tensor
        return tensor

    like = next(network.parameters())
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(like.new_empty((images, *shape)))
    del output
    return sum(tensor.untyped_storage().nbytes() for block, tensor in saved.items() if block not in own)


def _block(tensor: Tensor) -> int:
    """Return what tensors have in common that share their memory."""
    return tensor.untyped_storage()._cdata
