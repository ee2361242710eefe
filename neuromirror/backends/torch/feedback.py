r"""Layers whose errors flow back through weights of their own: drop-ins for ``nn.Linear`` and ``nn.Conv2d``.

Forward and the gradient of W are those of the ordinary layer; what goes on to the layer below is

.. math:: \delta_l = B\,\delta_{l+1}

in place of :math:`W^\mathsf{T}\delta_{l+1}` (eq. 3; the gate φ'(y) is the derivative of the activation module below).
B is a buffer: no optimizer moves it and `state_dict` keeps it. It is not used in the forward pass, so it may be
changed in place between a backward pass and the next forward pass.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuromirror.errors import UnsupportedError
from neuromirror.plan import with_signs


class _LinearThroughB(torch.autograd.Function):
    """x Wᵀ + b, with B for W in the backward pass."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor) -> Tensor:
        return functional.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, _, bias, feedback = inputs
        ctx.save_for_backward(x, feedback)
        ctx.has_bias = bias is not None

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, feedback = ctx.saved_tensors
        flat, x_flat = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
        into = grad @ feedback.T if ctx.needs_input_grad[0] else None
        weight = flat.T @ x_flat if ctx.needs_input_grad[1] else None
        bias = flat.sum(dim=0) if ctx.has_bias and ctx.needs_input_grad[2] else None
        return into, weight, bias, None


class _ConvThroughB(torch.autograd.Function):
    """A convolution with B for W in the backward pass: one call gives B's input gradient and W's weight gradient."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, stride: list[int], padding: list[int]
    ) -> Tensor:
        return functional.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, _, bias, feedback, stride, padding = inputs
        ctx.save_for_backward(x, feedback)
        ctx.stride, ctx.padding, ctx.has_bias = stride, padding, bias is not None

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, feedback = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
        found = torch.ops.aten.convolution_backward(
            grad, x, feedback, [feedback.shape[0]], ctx.stride, ctx.padding, [1, 1], False, [0, 0], 1, wanted
        )
        into, weight, bias = (tensor if here else None for tensor, here in zip(found, wanted, strict=True))
        return into, weight, bias, None, None, None


def _operands(x: Tensor, *others: Tensor | None) -> tuple[Any, ...]:
    """Cast as autocast would: it does not look inside an `autograd.Function`."""
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):  # there is no autocast of what has no numbers
        return (x, *others)
    dtype = torch.get_autocast_dtype(x.device.type)
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in (x, *others))


class FeedbackLinear(nn.Linear):
    """``nn.Linear`` with feedback weights B.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype
        As of ``nn.Linear``.
    transport : {"none", "exact", "sign"}
        ``none``: B is drawn at random, and moves by what changes it in place; ``exact``: B is Wᵀ (backprop);
        ``sign``: B has the signs of Wᵀ, and the magnitudes that it was drawn with (sign-symmetry).

    Attributes
    ----------
    feedback : Tensor, shape (in_features, out_features)
        B, of which (target, source) are (input, output); not there with ``exact``.
    """

    feedback: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        transport: Literal["none", "exact", "sign"] = "none",
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.transport = transport
        self.register_buffer("feedback", None if transport == "exact" else _drawn(self.weight.T, in_features))

    def forward(self, input: Tensor) -> Tensor:
        """Return x Wᵀ + b; (…, in_features) to (…, out_features)."""
        if self.transport == "exact" or not torch.is_grad_enabled():
            return super().forward(input)
        B = self.feedback if self.transport == "none" else with_signs(self.feedback, self.weight.detach().T)
        return _LinearThroughB.apply(*_operands(input, self.weight, self.bias, B))  # pyright: ignore[reportReturnType]


class FeedbackConv2d(nn.Conv2d):
    """``nn.Conv2d`` with feedback weights B, kept in the layout of W and applied as its transposed convolution.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        As of ``nn.Conv2d``; without dilation or groups, and padded with zeros.
    transport : {"none", "exact", "sign"}
        As of `FeedbackLinear`.

    Attributes
    ----------
    feedback : Tensor, shape (out_channels, in_channels, kernel rows, kernel columns)
        B; not there with ``exact``.

    Raises
    ------
    UnsupportedError
        For dilation, groups, or another padding.
    """

    feedback: Tensor

    def __init__(self, *arguments: Any, transport: Literal["none", "exact", "sign"] = "none", **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name, found, needed in (
            ("groups", self.groups, 1),
            ("dilation", tuple(self.dilation), (1, 1)),
            ("padding_mode", self.padding_mode, "zeros"),
        ):
            if found != needed:
                raise UnsupportedError(
                    f"feedback convolutions have {name} = {needed}; {name} = {found} is not built. Use nn.Conv2d there."
                )
        if isinstance(self.padding, str):
            raise UnsupportedError(f"feedback convolutions have padding in numbers, not '{self.padding}'.")
        self.transport = transport
        fan_in = self.in_channels * math.prod(self.kernel_size)
        self.register_buffer("feedback", None if transport == "exact" else _drawn(self.weight, fan_in))

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution; (batch, in_channels, rows, columns) to (batch, out_channels, rows, columns)."""
        if self.transport == "exact" or not torch.is_grad_enabled():
            return super().forward(input)
        B = self.feedback if self.transport == "none" else with_signs(self.feedback, self.weight.detach())
        operands = _operands(input, self.weight, self.bias, B)
        found = _ConvThroughB.apply(*operands, list(self.stride), list(self.padding))
        return found  # pyright: ignore[reportReturnType]


def with_feedback(layer: nn.Module) -> FeedbackLinear | FeedbackConv2d:
    """Return a layer with feedback weights of its own that has the parameters of an ordinary one, the same objects.

    Parameters
    ----------
    layer : nn.Linear or nn.Conv2d

    Raises
    ------
    UnsupportedError
        For other layers, subclasses included, and for what `FeedbackConv2d` does not do.
    """
    like = {"device": "meta", "dtype": getattr(getattr(layer, "weight", None), "dtype", None)}
    if type(layer) is nn.Linear:
        made = FeedbackLinear(layer.in_features, layer.out_features, layer.bias is not None, **like)
        fan_in, own = layer.in_features, layer.weight.T
    elif type(layer) is nn.Conv2d:
        made = FeedbackConv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            **like,
        )
        fan_in, own = layer.in_channels * math.prod(layer.kernel_size), layer.weight
    else:
        raise UnsupportedError(f"{type(layer).__name__}: feedback weights are for nn.Linear and nn.Conv2d.")
    made.weight = layer.weight
    made.register_parameter("bias", cast("nn.Parameter | None", layer.bias))
    made.feedback = _drawn(own, fan_in)
    return made.train(layer.training)


def _drawn(like: Tensor, fan_in: int) -> Tensor:
    """Return B as random as W's own default beginning, and independent of it: uniform of sd 1/√(3·fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty_like(like, requires_grad=False).contiguous().uniform_(-bound, bound)
