"""Layers whose errors flow through B: forward and the gradient of W as ever, the error below by B alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input, conv2d_weight

from neuromirror.backends.torch.feedback import FeedbackConv2d, FeedbackLinear
from neuromirror.errors import UnsupportedError

every_transport = pytest.mark.parametrize("transport", ["none", "sign", "exact"])


def expected_feedback(layer: Any, weight: Tensor) -> Tensor:
    """Give what B is to act as, in the layout of W."""
    if layer.transport == "exact":
        return weight
    drawn = layer.feedback if layer.feedback.shape == weight.shape else layer.feedback.T
    return drawn if layer.transport == "none" else drawn.abs() * weight.sign()


def through(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, the error that is sent through the layer, and what arrives below."""
    x.requires_grad_()
    y = layer(x)
    error = torch.randn_like(y)
    y.backward(error)
    assert x.grad is not None
    return y.detach(), error, x.grad


@every_transport
@pytest.mark.parametrize(("stride", "padding", "kernel"), [(1, 0, 1), (1, 1, 3), (2, 1, (3, 2)), (3, 2, 5)])
def test_convolutions(transport: Any, stride: int, padding: int, kernel: Any) -> None:
    torch.manual_seed(0)
    layer = FeedbackConv2d(3, 5, kernel, stride=stride, padding=padding, transport=transport).double()
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    y, error, below = through(layer, x)
    assert layer.bias is not None
    options: dict[str, Any] = {"stride": stride, "padding": padding}
    torch.testing.assert_close(y, functional.conv2d(x, layer.weight, layer.bias, stride, padding).detach())
    feedback = expected_feedback(layer, layer.weight.detach())
    torch.testing.assert_close(below, conv2d_input(x.shape, feedback, error, **options))
    torch.testing.assert_close(layer.weight.grad, conv2d_weight(x.detach(), layer.weight.shape, error, **options))
    torch.testing.assert_close(layer.bias.grad, error.sum(dim=(0, 2, 3)))


@every_transport
@pytest.mark.parametrize("batch", [(6,), (2, 3)])
def test_all_to_all(transport: Any, batch: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    layer = FeedbackLinear(4, 3, transport=transport).double()
    x = torch.randn(*batch, 4, dtype=torch.float64)
    y, error, below = through(layer, x)
    assert layer.bias is not None
    torch.testing.assert_close(y, functional.linear(x, layer.weight, layer.bias).detach())
    torch.testing.assert_close(below, error @ expected_feedback(layer, layer.weight.detach()))
    flat, sent = error.reshape(-1, 3), x.detach().reshape(-1, 4)
    torch.testing.assert_close(layer.weight.grad, flat.T @ sent)
    torch.testing.assert_close(layer.bias.grad, flat.sum(dim=0))


@pytest.mark.parametrize("layer", [FeedbackLinear(4, 3), FeedbackConv2d(4, 3, 1)], ids=["all to all", "conv"])
def test_b_is_kept_and_no_optimizer_moves_it(layer: nn.Module) -> None:
    assert "feedback" in layer.state_dict()
    assert {name for name, _ in layer.named_parameters()} == {"weight", "bias"}


def test_autocast_reaches_into_the_layers() -> None:
    layer, x = FeedbackConv2d(3, 5, 3), torch.randn(2, 3, 7, 7, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "circular", "padding": 1}, {"padding": "same"}]
)
def test_what_is_not_built_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=next(iter(options))):
        FeedbackConv2d(4, 4, 3, **options)
