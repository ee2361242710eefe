"""A circuit as a network of torch computes what the circuit says: signals, gradients, and errors through B.

Random convolutional circuits are compared with a plain implementation that is written here, straight from their
tables; where B is Wᵀ, all gradients are those of autograd through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import neuromirror as nm
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.norms import ScaleOnly
from neuromirror.errors import RequestError, UnsupportedError
from neuromirror.plan import make_plan

Tables = dict[str, Any]
PHI: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda u: u * (u > 0),
    "linear": lambda u: u,
    "tanh": torch.tanh,
    "rectified_tanh": lambda u: torch.tanh(u) * (u > 0),
}
BATCH, CLASSES = 3, 4
TOLERANCE = 1e-12
"""Relative to the largest number that is compared with."""


@pytest.fixture(autouse=True)
def one_thread_and_float64() -> Iterator[None]:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


def circuit_of(populations: Tables, projections: Tables, *, skip: tuple[str, ...] = ()) -> nm.Circuit:
    """Return the circuit of a forward path, whose lowest population is 'image' and whose highest is 'head'."""
    return nm.Circuit(
        {
            "name": "net",
            "code": {"kind": "zero_mean"},
            "cells": {kind: {"activation": kind} for kind in PHI},
            "populations": {
                name: {"path": "forward", "layer": layer, **described}
                for layer, (name, described) in enumerate(populations.items())
            },
            "projections": projections,
            "feedback": {"skip": list(skip)},
            "rules": {
                "mirror": {"drive": "weight_mirror", "updater": {"rate": 0.1, "decay": 0.5}},
                "forward": {"drive": "forward", "updater": {"rate": 0.1}},
            },
            "modes": {
                "engaged": {
                    "input": {"image": "stimulus"},
                    "compare": {"d_head": "head - target"},
                    "on": ["@forward", "@feedback", "@gate", "@error"],
                    "learn": {"@W": "forward"},
                }
            },
            "stimulus": {"kind": "teacher"},
            "schedule": [{"mode": "engaged", "examples": 1}],
        }
    )


def network_of(circuit: nm.Circuit, seed: int = 0) -> Network:
    return Network(make_plan(circuit, seed))


@dataclass
class Draft:
    """A forward path in the making."""

    populations: Tables
    projections: Tables

    def shape(self, name: str) -> tuple[int, int, int]:
        return tuple(self.populations[name]["shape"])

    def windowed(self, source: str, target: str, key: str, window: Tables, described: Tables, **more: Any) -> None:
        """Add a population and the window that leads to it."""
        rows, columns = (
            (side + 2 * window["padding"] - kernel) // window["stride"] + 1
            for side, kernel in zip(self.shape(source)[1:], window["kernel"], strict=True)
        )
        channels = described.pop("channels", self.shape(source)[0])
        self.populations[target] = {"shape": [channels, rows, columns], **described}
        self.projections[key] = {"source": source, "target": target, **window, **more}


@st.composite
def windows(draw: st.DrawFn, shape: tuple[int, int, int], *, largest: int = 3) -> Tables:
    """Draw a kernel that fits."""
    kernel = [draw(st.integers(1, min(largest, side))) for side in shape[1:]]
    padding = draw(st.integers(0, min(kernel) // 2 if largest == 2 else 2))
    return {"kernel": kernel, "stride": draw(st.integers(1, 2)), "padding": padding}


def norms() -> st.SearchStrategy[Tables]:
    norm = st.fixed_dictionaries(
        {
            "kind": st.just("batch_norm"),
            "when": st.sampled_from(["before", "after"]),
            "eps": st.sampled_from([1e-5, 1e-2]),
            "momentum": st.sampled_from([0.1, 0.5]),
        }
    )
    return st.one_of(st.just({}), norm.map(lambda norm: {"norm": norm}))


@st.composite
def conv_circuits(draw: st.DrawFn, *, cells: tuple[str, ...] = tuple(PHI)) -> tuple[Draft, tuple[str, ...]]:
    """Draw a forward path of one to four convolutions, and the projections of any kind that have no B."""
    biases = st.sampled_from([{}, {"bias": {"init": "normal", "gain": 0.5}}])
    shape = [draw(st.integers(1, 3)), draw(st.integers(3, 6)), draw(st.integers(3, 6))]
    net, below = Draft({"image": {"shape": shape, "cell": "linear"}}, {}), "image"
    for layer in range(1, draw(st.integers(1, 4)) + 1):
        y, window = f"y{layer}", draw(windows(net.shape(below)))
        described = {"cell": draw(st.sampled_from(cells)), **draw(norms()), **draw(biases)}
        channels = draw(st.integers(1, 3))
        conv = {"connector": "conv", "weight": {"gain": 1.2}}
        shortcut = {"target": y, "connector": "shortcut", "join": draw(st.sampled_from(["before", "after"]))}
        if draw(st.booleans()):  # a shortcut with a convolution of its own, of the same window
            own = {"cell": "linear", "channels": channels, **draw(norms()), **draw(biases)}
            net.windowed(below, f"s{layer}", f"V{layer}", window, own, **conv)
            net.projections[f"S{layer}"] = {**shortcut, "source": f"s{layer}"}
        net.windowed(below, y, f"W{layer}", window, {"channels": channels, **described}, **conv)
        alike = [name for name in net.populations if name not in (y, f"s{layer}") and net.shape(name) == net.shape(y)]
        if alike and draw(st.booleans()):
            net.projections[f"A{layer}"] = {**shortcut, "source": draw(st.sampled_from(alike))}
        below = y
        if draw(st.booleans()):
            pool, below = {"connector": "pool", "pool": draw(st.sampled_from(["max", "average"]))}, f"p{layer}"
            net.windowed(y, below, f"P{layer}", draw(windows(net.shape(y), largest=2)), {"cell": "linear"}, **pool)
    net.populations["head"] = {"shape": [CLASSES], "cell": "linear", "bias": {"init": "normal"}}
    net.projections["W_head"] = {"source": below, "target": "head", "connector": "all_to_all", "weight": {}}
    return net, tuple(sorted(draw(st.sets(st.sampled_from(sorted(net.projections)), max_size=2))))


def plain(net: Draft, values: dict[str, Tensor], images: Tensor, skip: tuple[str, ...] = ()) -> Tensor:
    """Return the output of a forward path with the functions of torch alone; what is skipped has no way back."""
    signals = {"image": images}
    for name, population in net.populations.items():
        if name == "image":
            continue
        into = [(key, p) for key, p in net.projections.items() if p["target"] == name]
        sent = {key: signals[p["source"]].detach() if key in skip else signals[p["source"]] for key, p in into}
        u: Any = 0.0
        for key, p in into:
            below = sent[key]
            if p["connector"] == "conv":
                u = u + functional.conv2d(below, values[key], None, p["stride"], p["padding"])
            elif p["connector"] == "all_to_all":
                u = u + torch.einsum("bs,ts->bt", below.reshape(len(below), -1), values[key])
            elif p["connector"] == "pool":
                pool = functional.max_pool2d if p["pool"] == "max" else functional.avg_pool2d
                u = u + pool(below, p["kernel"], p["stride"], p["padding"])
        if "bias" in population:
            u = u + values[f"{name}.bias"].reshape(-1, *[1] * (u.ndim - 2))
        norm = population.get("norm", {"when": None})
        if norm["when"] == "before":
            u = normalised(u, values[f"{name}.gain"], values[f"{name}.shift"], norm["eps"])
        u = u + sum(sent[key] for key, p in into if p.get("join") == "before")
        y = PHI[population["cell"]](u)
        if norm["when"] == "after":
            y = normalised(y, values[f"{name}.gain"], values[f"{name}.shift"], norm["eps"])
        signals[name] = y + sum(sent[key] for key, p in into if p.get("join") == "after")
    return signals["head"]


def normalised(u: Tensor, gain: Tensor, shift: Tensor, eps: float) -> Tensor:
    return functional.batch_norm(u, None, None, gain, shift, training=True, eps=eps)


def set_at_random(network: Network, seed: int) -> torch.Generator:
    """Give the norms gains and shifts that are not those they begin with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in network.norms.values():
            norm.weight.uniform_(0.5, 1.5, generator=generator)  # pyright: ignore[reportCallIssue]
            norm.bias.normal_(generator=generator)  # pyright: ignore[reportCallIssue]
    return generator


def parameters_of(network: Network) -> dict[str, nn.Parameter]:
    """Return all that the forward path learns, by the names that `plain` has for it."""
    found = {name: layer.weight for name, layer in network.weighted()}
    found |= {f"{name}.bias": bias for name, bias in network.biases.items()}
    found |= {f"{name}.gain": norm.weight for name, norm in network.norms.items()}
    found |= {f"{name}.shift": norm.bias for name, norm in network.norms.items()}
    return found  # pyright: ignore[reportReturnType]


def gradients(output: Tensor, target: Tensor, images: Tensor, parameters: dict[str, Any]) -> dict[str, Tensor]:
    """Return the gradients of half the squared error; zero where none arrives."""
    wanted = {"image": images, **parameters}
    found = torch.autograd.grad(0.5 * (output - target).square().sum(), [*wanted.values()], allow_unused=True)
    return {
        name: torch.zeros_like(one) if grad is None else grad
        for (name, one), grad in zip(wanted.items(), found, strict=True)
    }


def largest_error(network: Network, images: Tensor, target: Tensor) -> float:
    """Return the largest δ of the true chain, of which gradients are sums.

    Before batch norm of a signal that hardly varies δ is large, and the gradient of a bias there is the sum of many
    that cancel.
    """
    arriving: dict[str, Tensor] = {}
    with network.statistics_kept(), network.transported():
        output = network.signals(images, arriving)[network.output].flatten(1)
        found = torch.autograd.grad(0.5 * (output - target).square().sum(), [*arriving.values()], allow_unused=True)
    return max(float(delta.abs().max()) for delta in found if delta is not None)


def assert_alike(
    found: dict[str, Tensor], expected: dict[str, Tensor], rtol: float = TOLERANCE, *, scale: float = 0.0
) -> None:
    """Compare arrays, relative to the largest number among them, or a scale: small ones are differences of others."""
    scale = max(scale, *(float(array.detach().abs().max()) for array in expected.values()))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        torch.testing.assert_close(found[name], array, rtol=0, atol=rtol * scale, msg=lambda m, n=name: f"{n}: {m}")


def mirrored_by_hand(network: Network) -> None:
    """Set every B to its Wᵀ."""
    with torch.no_grad():
        for _, layer in network.weighted():
            if layer.feedback is not None:
                layer.feedback.copy_(layer.weight if layer.weight.ndim == 4 else layer.weight.T)


made_up = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("method", ["bp", "wm", "fa"])
@given(drawn=conv_circuits(), seed=st.integers(0, 2**32))
@settings(made_up, max_examples=80)
def test_with_b_the_transpose_all_gradients_are_those_of_backprop(
    method: str, drawn: tuple[Draft, tuple[str, ...]], seed: int
) -> None:
    net, skip = drawn
    assume(any("weight" in p for name, p in net.projections.items() if name not in skip))  # or no B has a method
    circuit = circuit_of(net.populations, net.projections, skip=skip)
    network = network_of(circuit if method == "wm" else circuit.method(method), seed)
    generator = set_at_random(network, seed)
    assert {name for name, layer in network.weighted() if layer.feedback is None} == {
        name for name in net.projections if method == "bp" or name in skip
    } & {name for name, _ in network.weighted()}
    mirrored_by_hand(network)
    images = torch.randn(BATCH, *net.shape("image"), generator=generator, requires_grad=True)
    target = torch.randn(BATCH, CLASSES, generator=generator)
    parameters = parameters_of(network)
    leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    output, expected = network(images), plain(net, leaves, images, skip)
    assert_alike({"output": output}, {"output": expected})
    found, wanted = gradients(output, target, images, parameters), gradients(expected, target, images, leaves)
    assert_alike(found, wanted, scale=largest_error(network, images, target))


@given(drawn=conv_circuits(), seed=st.integers(0, 2**32))
@settings(made_up, max_examples=20)
def test_the_true_chain_is_there_whatever_b_is_and_then_gone(drawn: tuple[Draft, tuple[str, ...]], seed: int) -> None:
    net, skip = drawn
    network = network_of(circuit_of(net.populations, net.projections, skip=skip), seed)
    generator = set_at_random(network, seed)
    images = torch.randn(BATCH, *net.shape("image"), generator=generator, requires_grad=True)
    target = torch.randn(BATCH, CLASSES, generator=generator)
    parameters = parameters_of(network)
    leaves = {name: value.detach().clone().requires_grad_() for name, value in parameters.items()}
    with network.statistics_kept():
        own = gradients(network(images), target, images, parameters)
        held = {name: value.clone() for name, value in network.state_dict().items()}
        with network.transported():
            true = gradients(network(images), target, images, parameters)
        again = gradients(network(images), target, images, parameters)
    wanted = gradients(plain(net, leaves, images), target, images, leaves)
    assert_alike(true, wanted, scale=largest_error(network, images, target))
    for name, value in own.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, held[name], rtol=0, atol=0)


SMOOTH = conv_circuits(cells=("tanh", "linear")).filter(
    lambda drawn: all(p.get("pool") != "max" for p in drawn[0].projections.values())
)


@given(drawn=SMOOTH, seed=st.integers(0, 2**32))
@settings(made_up, max_examples=12)
def test_gradients_agree_with_finite_differences(drawn: tuple[Draft, tuple[str, ...]], seed: int) -> None:
    net, _ = drawn
    network = network_of(circuit_of(net.populations, net.projections), seed)
    generator = set_at_random(network, seed)
    for norm in network.norms.values():
        norm.eps = 0.1  # pyright: ignore[reportArgumentType] # a channel that hardly varies would be too curved for a difference
    mirrored_by_hand(network)
    images = torch.randn(BATCH, *net.shape("image"), generator=generator, requires_grad=True)
    names = [name for name, _ in network.named_parameters()]

    def output(images: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (images,))

    with network.statistics_kept():
        assert torch.autograd.gradcheck(output, (images, *network.parameters()), fast_mode=True)


CHAIN = (
    {
        "image": {"shape": [2, 6, 5], "cell": "linear"},
        "a": {"shape": [3, 6, 5], "cell": "tanh", "bias": {"init": "normal", "gain": 0.3}},
        "b": {"shape": [2, 3, 3], "cell": "relu", "bias": {"init": "normal", "gain": 0.3}},
        "head": {"shape": [CLASSES], "cell": "linear", "bias": {"init": "normal"}},
    },
    {
        "W1": {"source": "image", "target": "a", "connector": "conv", "kernel": 3, "padding": 1, "weight": {}},
        "W2": {
            "source": "a", "target": "b", "connector": "conv", "kernel": [3, 2], "stride": 2, "padding": 1,
            "weight": {},
        },
        "W_head": {"source": "b", "target": "head", "connector": "all_to_all", "weight": {}},
    },
)  # fmt: skip
"""A small net of two convolutions, without norm."""


def joined(kernel: tuple[int, int], stride: int, padding: int, above: tuple[int, ...], below: tuple[int, ...]) -> list:
    """Return (tap, place above, place below) of all places that a kernel joins, within the image."""
    found = []
    for tap in np.ndindex(*kernel):
        for up in np.ndindex(*above):
            down = tuple(u * stride - padding + t for u, t in zip(up, tap, strict=True))
            if all(0 <= d < side for d, side in zip(down, below, strict=True)):
                found.append((tap, up, down))
    return found


def test_errors_run_through_b_as_equation_3_has_it() -> None:
    """δ of each layer, and what it teaches W by eq. 4, by loops over examples, taps and places."""
    network = network_of(circuit_of(*CHAIN).method("fa"), 3)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 2, 6, 5, generator=generator, requires_grad=True)
    target = torch.randn(BATCH, CLASSES, generator=generator)
    arriving: dict[str, Tensor] = {}
    signals = network.signals(images, arriving)
    loss = 0.5 * (signals["head"] - target).square().sum()
    weights = {name: layer.weight for name, layer in network.weighted()}
    wanted = [images, *arriving.values(), *weights.values(), *network.biases.values()]
    found = torch.autograd.grad(loss, wanted)
    names = ["image", *arriving, *weights, *(f"{name}.bias" for name in network.biases)]
    by_name = {name: array.numpy() for name, array in zip(names, found, strict=True)}

    B = {name: layer.feedback.numpy() for name, layer in network.weighted()}
    y = {name: signal.detach().numpy() for name, signal in signals.items()}
    delta = {"head": y["head"] - target.numpy()}
    delta["b"] = (y["b"] > 0) * (delta["head"] @ B["W_head"].T).reshape(y["b"].shape)
    slopes = {"a": 1 - y["a"] ** 2, "image": np.ones_like(y["image"])}
    expected = {"W_head": delta["head"].T @ y["b"].reshape(BATCH, -1)}
    for w, upper, lower, kernel, stride in (("W2", "b", "a", (3, 2), 2), ("W1", "a", "image", (3, 3), 1)):
        back, taught = np.zeros_like(y[lower]), np.zeros(B[w].shape)
        for tap, up, down in joined(kernel, stride, 1, y[upper].shape[2:], y[lower].shape[2:]):
            for example, out, into in np.ndindex(BATCH, *B[w].shape[:2]):
                back[example, into, *down] += B[w][out, into, *tap] * delta[upper][example, out, *up]
                taught[out, into, *tap] += delta[upper][example, out, *up] * y[lower][example, into, *down]
        delta[lower], expected[w] = slopes[lower] * back, taught
    expected |= delta | {f"{name}.bias": delta[name].sum(axis=(0, 2, 3)) for name in ("a", "b")}
    expected["head.bias"] = delta["head"].sum(axis=0)
    assert expected.keys() == by_name.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(by_name[name], array, rtol=0, atol=TOLERANCE * np.abs(array).max(), err_msg=name)


def test_running_statistics_are_kept_where_they_are_asked_to_be() -> None:
    populations, projections = CHAIN
    backward = {"a": "full", "b": "sigma"}
    normed = {n: {"norm": {"kind": "batch_norm", "backward": backward[n]}} for n in backward}
    network = network_of(circuit_of({n: {**p, **normed.get(n, {})} for n, p in populations.items()}, projections))
    images = torch.randn(BATCH, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    free = network(images)
    held = {name: value.clone() for name, value in network.state_dict().items()}
    assert held["norms.a.num_batches_tracked"] == held["norms.b.num_batches_tracked"] == 1
    with network.statistics_kept():
        torch.testing.assert_close(network(2 * images), network(2 * images), rtol=0, atol=0)
        torch.testing.assert_close(network(images), free, rtol=0, atol=0)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, held[name], rtol=0, atol=0)
    network(2 * images)
    for name in backward:
        assert not torch.equal(network.state_dict()[f"norms.{name}.running_mean"], held[f"norms.{name}.running_mean"])
        assert not torch.equal(network.state_dict()[f"norms.{name}.running_var"], held[f"norms.{name}.running_var"])
    with network.statistics_kept():  # in use, running statistics are what it normalises by
        network.eval()
        expected = network(images)
    torch.testing.assert_close(network(images), expected, rtol=0, atol=0)
    assert not torch.allclose(expected, free)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gain", [True, False], ids=["sigma", "sigma_without_gain"])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (7, 3)])
def test_scale_only_norms_forward_as_batch_norm_does_and_errors_by_their_scale(
    shape: tuple[int, ...], gain: bool, training: bool
) -> None:
    """The running variance is unbiased; that of the batch, which errors are divided by, is not."""
    generator = torch.Generator().manual_seed(1)
    ordinary = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3, eps=0.01, momentum=0.3)
    with torch.no_grad():
        ordinary.weight.uniform_(0.5, 1.5, generator=generator)
        ordinary.bias.normal_(generator=generator)
    own = ScaleOnly(3, gain=gain, eps=0.01, momentum=0.3)
    own.load_state_dict(ordinary.state_dict())
    for _ in range(2):
        x = torch.randn(shape, generator=generator) * 2 + 1
        torch.testing.assert_close(own(x), ordinary(x), rtol=TOLERANCE, atol=TOLERANCE)
    assert_alike(own.state_dict(), ordinary.state_dict())
    own.train(training)
    ordinary.train(training)
    x = torch.randn(shape, generator=generator, requires_grad=True)
    error = torch.randn(shape, generator=generator)
    y, expected = own(x), ordinary(x)
    torch.testing.assert_close(y, expected, rtol=TOLERANCE, atol=TOLERANCE)
    found = torch.autograd.grad(y, [x, own.weight, own.bias], error)
    of_parameters = torch.autograd.grad(expected, [ordinary.weight, ordinary.bias], error)
    assert_alike(dict(zip("ws", found[1:], strict=True)), dict(zip("ws", of_parameters, strict=True)))
    axes, across = (0, *range(2, len(shape))), (-1, *[1] * (len(shape) - 2))
    assert ordinary.running_var is not None
    variance = x.detach().var(dim=axes, correction=0) if training else ordinary.running_var
    scale = (ordinary.weight.detach() if gain else 1.0) / (variance + 0.01).sqrt()
    assert_alike({"below": found[0]}, {"below": error * scale.view(across)}, rtol=1e-15 * 4)


@pytest.mark.parametrize("backward", ["sigma", "sigma_without_gain"])
def test_the_network_has_the_norm_that_the_circuit_says(backward: str) -> None:
    populations, projections = CHAIN
    norm = {"kind": "batch_norm", "backward": backward, "eps": 0.02, "momentum": 0.25}
    network = network_of(circuit_of({**populations, "a": {**populations["a"], "norm": norm}}, projections))
    made = network.norms["a"]
    assert isinstance(made, ScaleOnly)
    assert (made.gain, made.eps, made.momentum, made.num_features) == (backward == "sigma", 0.02, 0.25, 3)


def alone(shortcuts: Tables, *, cell: str = "tanh", norm: Tables | None = None) -> Network:
    """Return a network with a population 'm' that shortcuts alone lead to."""
    populations = {
        "image": {"shape": [2, 3, 3], "cell": "linear"},
        "m": {"shape": [2, 3, 3], "cell": cell, "bias": {"init": "normal"}, **({} if norm is None else {"norm": norm})},
        "head": {"shape": [CLASSES], "cell": "linear"},
    }
    head = {"source": "m", "target": "head", "connector": "all_to_all", "weight": {}}
    return network_of(circuit_of(populations, {"W_head": head, **shortcuts}))


def test_a_population_of_shortcuts_alone_has_its_bias() -> None:
    axons = {"source": "image", "target": "m", "connector": "shortcut"}
    images = torch.randn(BATCH, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    for join, expected in (
        ("before", lambda bias: torch.tanh(images + bias)),
        ("after", lambda bias: torch.tanh(bias) + images),
    ):
        network = alone({"S": {**axons, "join": join}})
        torch.testing.assert_close(network.signals(images)["m"], expected(network.biases["m"][:, None, None]))


def test_all_to_all_leads_to_images_too() -> None:
    """A population of (channels, rows, columns) has that shape whatever leads to it, and a bias to each channel."""
    populations = {
        "image": {"shape": [7], "cell": "linear"},
        "a": {"shape": [2, 4, 3], "cell": "tanh", "bias": {"init": "normal"}, "norm": {"kind": "batch_norm"}},
        "b": {"shape": [3, 4, 3], "cell": "tanh"},
        "head": {"shape": [CLASSES], "cell": "linear"},
    }
    projections = {
        "W1": {"source": "image", "target": "a", "connector": "all_to_all", "weight": {}},
        "W2": {"source": "a", "target": "b", "connector": "conv", "kernel": 3, "padding": 1, "weight": {}},
        "V2": {"source": "image", "target": "b", "connector": "all_to_all", "weight": {}},
        "W_head": {"source": "b", "target": "head", "connector": "all_to_all", "weight": {}},
    }
    network = network_of(circuit_of(populations, projections))
    rows = torch.randn(BATCH, 7, generator=torch.Generator().manual_seed(0))
    values: Any = parameters_of(network)
    a = (rows @ values["W1"].T).reshape(BATCH, 2, 4, 3) + values["a.bias"][:, None, None]
    a = torch.tanh(normalised(a, values["a.gain"], values["a.shift"], 1e-5))
    b = functional.conv2d(a, values["W2"], padding=1) + (rows @ values["V2"].T).reshape(BATCH, 3, 4, 3)
    expected = torch.tanh(b).flatten(1) @ values["W_head"].T
    torch.testing.assert_close(network(rows), expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_network_begins_with_the_arrays_that_all_backends_begin_with() -> None:
    network = network_of(circuit_of(*CHAIN), 7)
    expected = network.plan.initial_arrays()
    found = {name: parameter.detach() for name, parameter in parameters_of(network).items()}
    found |= {network.feedback_of[name]: layer.feedback for name, layer in network.weighted()}
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_projections_that_do_not_transmit_are_left_out() -> None:
    populations, projections = CHAIN
    over = {"source": "image", "target": "a", "connector": "conv", "kernel": 1, "weight": {}}
    plan = make_plan(circuit_of(populations, {**projections, "V1": over}), 0)
    images = torch.randn(BATCH, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    without = Network(plan, frozenset(projections))
    assert set(dict(without.weighted())) == set(projections)
    expected = network_of(circuit_of(*CHAIN))(images)
    torch.testing.assert_close(without(images), expected, rtol=TOLERANCE, atol=TOLERANCE)
    with pytest.raises(RequestError, match="one input, but this circuit has b, image"):
        Network(plan, frozenset({"W1", "W_head"}))


@pytest.mark.parametrize("name", ["values", "keys", "training"])
@pytest.mark.parametrize("part", [{"bias": {"init": "normal"}}, {"norm": {"kind": "batch_norm"}}])
def test_names_that_torch_has_itself_are_refused(name: str, part: Tables) -> None:
    populations = {
        "image": {"shape": [2, 3, 3], "cell": "linear"},
        name: {"shape": [2, 3, 3], "cell": "relu", **part},
        "head": {"shape": [CLASSES], "cell": "linear"},
    }
    projections = {
        "W1": {"source": "image", "target": name, "connector": "conv", "kernel": 1, "weight": {}},
        "W_head": {"source": name, "target": "head", "connector": "all_to_all", "weight": {}},
    }
    with pytest.raises(UnsupportedError, match=f"'{name}'"):
        network_of(circuit_of(populations, projections))


def test_a_pool_that_torch_does_not_have_is_refused() -> None:
    populations = {
        "image": {"shape": [2, 3, 3], "cell": "linear"},
        "p": {"shape": [2, 6, 6], "cell": "linear"},
        "head": {"shape": [CLASSES], "cell": "linear"},
    }
    projections = {
        "P": {"source": "image", "target": "p", "connector": "pool", "pool": "max", "kernel": 2, "padding": 2},
        "W_head": {"source": "p", "target": "head", "connector": "all_to_all", "weight": {}},
    }
    with pytest.raises(UnsupportedError, match=r"projections\.P: a padding of 2"):
        network_of(circuit_of(populations, projections))
