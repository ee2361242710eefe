r"""Batch norm whose backward pass is whole, or passes the scale σ only (C.3).

.. math:: \hat y = \gamma\,\frac{y - \mu}{\sigma} + \text{shift}

The whole derivative takes into account that μ and σ are made of the batch's own signals, which asks of each feedback
cell what all others carry. With ``sigma`` it is γ/σ, one number a channel; with ``sigma_without_gain`` it is 1/σ.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neuromirror.circuit.description import Norm
from neuromirror.errors import UnsupportedError, choice


def batch_norm(norm: Norm, shape: tuple[int, ...]) -> nn.Module:
    """Return the batch norm of a population.

    Parameters
    ----------
    norm : Norm
    shape : tuple of int
        Of the population: (channels, rows, columns), each channel with a gain and a shift, or (cells,), each cell.

    Raises
    ------
    UnsupportedError
        For a norm of another kind.
    """
    if norm.kind != "batch_norm":
        raise UnsupportedError(f"networks of torch have no norm '{norm.kind}', only batch_norm.")
    image = len(shape) == 3
    channels = shape[0] if image else math.prod(shape)
    if choice("norm.backward", norm.backward, "full", "sigma", "sigma_without_gain") != "full":
        return ScaleOnly(channels, gain=norm.backward == "sigma", eps=norm.eps, momentum=norm.momentum)
    return (nn.BatchNorm2d if image else nn.BatchNorm1d)(channels, eps=norm.eps, momentum=norm.momentum)


class ScaleOnly(nn.BatchNorm2d):
    """Batch norm whose errors are divided by σ, and multiplied by γ or not, and nothing else.

    Parameters
    ----------
    num_features, eps, momentum
        As of ``nn.BatchNorm2d``; signals are (batch, channels, rows, columns) or (batch, cells).
    gain : bool
        Whether errors are multiplied by γ.

    Attributes
    ----------
    whole : bool
        Whether errors pass the whole derivative for now.
    """

    def __init__(self, num_features: int, *, gain: bool, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.gain, self.whole = gain, False

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised signal, of the shape of the input."""
        if self.whole:
            return super().forward(input)
        across = (-1, *[1] * (input.ndim - 2))
        weight, bias = self.weight.view(across), self.bias.view(across)
        followed = self.track_running_stats or not self.training
        if self.training and followed and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        with torch.no_grad():
            normalised = nn.functional.batch_norm(
                input,
                self.running_mean if followed else None,
                self.running_var if followed else None,
                training=self.training,
                momentum=self.momentum or 0.0,
                eps=self.eps,
            )
            variance = input.var(dim=[0, *range(2, input.ndim)], unbiased=False) if self.training else self.running_var
            inverse_sigma = (variance + self.eps).rsqrt().view(across)  # pyright: ignore[reportOptionalOperand]
        # Zero forward; backward, the input over a constant σ.
        passing = (input - input.detach()) * inverse_sigma
        if self.gain:
            return (normalised + passing) * weight + bias
        return normalised * weight + passing + bias

    def _check_input_dim(self, input: Tensor) -> None:
        """Take signals of any number of axes."""
