"""The passes of a network on several ranks: each sees its part of a batch, and all sum their gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import Ranks
from neuromirror.circuit.protocol import Training
from neuromirror.errors import RequestError


def check_ranks(training: Training, ranks: int) -> None:
    """Refuse a number of processes among which a batch cannot be divided into whole micro-batches.

    Raises
    ------
    RequestError
    """
    micro = min(training.micro_batch, training.batch)
    if ranks == 1 or training.batch % (ranks * micro) == 0:
        return
    fitting = [str(n) for n in range(1, training.batch // micro + 1) if training.batch % (n * micro) == 0]
    can = f"{', '.join(fitting)} can" if fitting else "no number can"
    raise RequestError(
        f"{ranks} processes: they cannot divide a batch of {training.batch} images in micro-batches of {micro} evenly "
        f"among them ({can}). Start as many, or change training.micro_batch, over which batch norm takes its means."
    )


def distributed(
    module: nn.Module, network: Network, images: int, autocast: Callable[[], torch.autocast], ranks: Ranks
) -> DistributedDataParallel:
    """Return a module whose backward pass sums gradients over all ranks.

    Such a module lays its gradients out anew after its first pass, in the order in which they come. That pass is done
    here, on images of nothing, so that a run which goes on adds numbers in the same order as one never stopped.

    Parameters
    ----------
    module : Module
        The network, compiled or not.
    network : Network
        With those parameters frozen that nothing teaches.
    images : int
        Of a micro-batch.
    autocast : callable
        What gives the context of a forward pass.
    ranks : Ranks
    """
    made = DistributedDataParallel(module, broadcast_buffers=False, init_sync=False, gradient_as_bucket_view=True)
    made.register_comm_hook(None, ranks.sum_later)  # pyright: ignore[reportArgumentType]
    like = next(network.parameters())
    shape = network.plan.description.populations[network.input].shape
    network.train()
    with network.statistics_kept():
        with autocast():
            output = made(torch.zeros((images, *shape), dtype=like.dtype, device=like.device))
        (output.sum() * 0).backward()
    network.zero_grad(set_to_none=True)
    ranks.exchanged_bytes["gradients"] = 0
    return made


def exchanging(module: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """Return a context for the passes of one micro-batch; those of the last sum the gradients of all over ranks."""
    if last or not isinstance(module, DistributedDataParallel):
        return contextlib.nullcontext()
    return module.no_sync()
