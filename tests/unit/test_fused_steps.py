"""Fused steps of the optimizer: on CUDA alone, and the same as the loop over arrays, however these lie in memory."""

from __future__ import annotations

import pytest
import torch

from experiments.tiny_nets import tiny
from neuromirror.backends.torch.network import Network
from neuromirror.plan import Plan
from neuromirror.training import optimizer
from neuromirror.training.optimizer import ForwardUpdater, is_fused
from neuromirror.training.roles import roles_of

SEED = 5


def test_steps_are_fused_on_cuda_alone() -> None:
    assert is_fused(torch.device("cuda", 1))
    assert not is_fused(torch.device("cpu"))


@pytest.mark.parametrize("fused", [False, True])
def test_the_optimizer_is_fused_where_the_device_is(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "is_fused", lambda device: fused)
    assert bool(updater("wm").optimizer.defaults["fused"]) == fused


def updater(method: str) -> ForwardUpdater:
    plan = Plan(tiny(rate=0.4).method(method), 0)
    network = Network(plan).to(dtype=torch.float64).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    training = plan.description.training
    assert training is not None
    return ForwardUpdater(network, roles_of(plan), training)


def stepped(method: str, *, steps: int = 3) -> dict[str, torch.Tensor]:
    """Return all arrays after steps by gradients that lie in memory in the other order than the arrays."""
    made, random = updater(method), torch.Generator().manual_seed(SEED)
    for _ in range(steps):
        for parameter in made.network.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        made.step(0.5)
    return {name: one.clone() for name, one in made.network.state_dict().items()}


@pytest.mark.parametrize("method", ["wm", "kp"])
def test_fused_steps_are_those_of_the_loop(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """kp: the gradient of B is the transpose of its W's where these are matrices."""
    before, plain = stepped(method, steps=0), stepped(method)
    monkeypatch.setattr(optimizer, "is_fused", lambda device: True)
    fused = stepped(method)
    for name, one in plain.items():
        torch.testing.assert_close(fused[name], one, rtol=1e-12, atol=1e-13, msg=name)
    changed = {name for name, one in plain.items() if not one.equal(before[name])}
    assert {"projections.W1.weight", "projections.W_head.weight"} <= changed
    assert any("feedback" in name for name in changed) == (method == "kp")
