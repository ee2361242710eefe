"""δ angles: the errors that reach each layer through B, against those of the true backprop chain (section 7).

Two definitions are reported, which differ: the angle of a whole batch's δ as one vector, and the mean over examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromirror.backends.torch.network import Network
from neuromirror.measure.alignment import mean_example_angle_deg, vector_angle_deg


@dataclass(frozen=True, kw_only=True)
class DeltaAngles:
    """Angles of δ by forward population, in degrees.

    Attributes
    ----------
    vector : dict of str to float
        Of the batch's δ as one vector; nan where an error is zero, as below a W without a B.
    examples : dict of str to float
        Mean over the examples.
    """

    vector: dict[str, float]
    examples: dict[str, float]


def delta_angles(
    network: Network, images: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> DeltaAngles:
    """Measure the δ angle of every population that weights lead to, on one batch.

    Parameters
    ----------
    network : Network
        Batch norm uses the batch's own statistics, as in training; its running ones are left alone.
    images, labels : Tensor
        The batch.
    loss : callable
        Of output and labels.

    Notes
    -----
    δ_l is the gradient of the loss with respect to what arrives at layer l, which is what teaches W_l (eq. 4).
    """
    training = network.training
    network.train()
    try:
        with network.statistics_kept():
            own = _errors(network, images, labels, loss)
            with network.transported():
                true = _errors(network, images, labels, loss)
    finally:
        network.train(training)
    return DeltaAngles(
        vector={name: vector_angle_deg(own[name], true[name]) for name in own},
        examples={name: mean_example_angle_deg(own[name], true[name]) for name in own},
    )


def _errors(network: Network, images: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> dict:
    arriving: dict[str, Tensor] = {}
    output = network.signals(images, arriving)[network.output].flatten(1)
    found = torch.autograd.grad(loss(output, labels), list(arriving.values()), allow_unused=True)
    return {
        name: (torch.zeros_like(total) if delta is None else delta).float().cpu().numpy()
        for (name, total), delta in zip(arriving.items(), found, strict=True)
    }
