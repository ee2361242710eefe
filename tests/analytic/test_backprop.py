"""Engaged mode with exact feedback weights is gradient descent on half the squared output error.

The gradients come from torch.autograd on a network that is written here from eqs 1, 13 and 20, and from central
differences of the losses that the backends themselves report.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from experiments.in_memory import simulate
from experiments.random_circuits import ACTIVATIONS, RATE_BACKENDS, Tables, dense, one_to_one
from neuromirror import seeds
from neuromirror.circuit.circuit import Circuit

Arrays = dict[str, np.ndarray]

PHI: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "linear": lambda u: u,
    "tanh": torch.tanh,
    "rectified_tanh": lambda u: torch.relu(torch.tanh(u)),
}
BELOW_ZERO = {"linear", "tanh"}
UNIT_HZ = 25.0


@dataclass(frozen=True)
class Net:
    """A feedforward network: its layers, which W leads from which layer to which, and its code."""

    sizes: list[int]
    activations: list[str]
    beta_Hz: float | None
    biased: bool
    batch: int
    shortcut: bool = False

    @property
    def top(self) -> int:
        return len(self.sizes) - 1

    @property
    def beta(self) -> float:
        return 0.0 if self.beta_Hz is None else self.beta_Hz / UNIT_HZ

    @property
    def steps(self) -> dict[str, tuple[int, int]]:
        """Lower and upper layer of every W."""
        chain = {f"W{layer}": (layer - 1, layer) for layer in range(1, len(self.sizes))}
        return {**chain, "Wover": (self.top - 2, self.top)} if self.shortcut and self.top > 1 else chain

    def default_bias(self, layer: int) -> float:
        """b⁻ of Appendix B."""
        if self.beta_Hz is None:
            return 0.0
        return math.atanh(self.beta) if "tanh" in self.activations[layer] else self.beta

    def forward(self, arrays: dict[str, Tensor], inputs: Tensor) -> list[Tensor]:
        """Return the signals of all layers, (example, cell)."""
        signals = [self._clipped(self.beta + inputs)]
        for layer in range(1, len(self.sizes)):
            u = torch.full((len(inputs), self.sizes[layer]), self.default_bias(layer), dtype=torch.float64)
            for name, (lower, upper) in self.steps.items():
                if upper == layer:
                    u = u + torch.einsum("ts,bs->bt", arrays[name], signals[lower] - self.beta)
            if self.biased:
                u = u + arrays[f"y{layer}.bias"]
            signals.append(self._clipped(PHI[self.activations[layer]](u)))
        return signals

    def _clipped(self, y: Tensor) -> Tensor:
        return y if self.beta_Hz is None else torch.relu(y)

    def tables(self, *, updates: int = 1, transport: str = "exact", rate: float = 1.0) -> Tables:
        """Return the circuit that learns everything for some updates."""
        populations, projections = {}, {}
        for layer, size in enumerate(self.sizes):
            common = {"layer": layer, "shape": [size], "cell": self.activations[layer]}
            bias = {"bias": {"init": "normal", "gain": 0.5}} if self.biased and layer else {}
            populations[f"y{layer}"] = {"path": "forward", **common, **bias}
            populations[f"d{layer}"] = {"path": "feedback", **common}
            projections[f"g{layer}"] = one_to_one(f"y{layer}", f"d{layer}", "gate")
            projections[f"e{layer}"] = one_to_one(f"d{layer}", f"y{layer}", "error")
        for name, (lower, upper) in self.steps.items():
            projections[name] = dense(f"y{lower}", f"y{upper}", {"init": "normal"})
            projections[f"B{name[1:]}"] = dense(
                f"d{upper}", f"d{lower}", {"init": "normal"}, mirrors=name, transport=transport
            )
        learn = {name: "forward" for name in self.steps}
        if self.biased:
            learn |= {f"y{layer}.bias": "bias" for layer in range(1, len(self.sizes))}
        code = {"kind": "zero_mean"} if self.beta_Hz is None else {"kind": "baseline", "beta": f"{self.beta_Hz} Hz"}
        return {
            "name": "net",
            "code": {**code, "unit": f"{UNIT_HZ} Hz"},
            "cells": {kind: {"activation": kind} for kind in sorted(set(self.activations))},
            "populations": populations,
            "projections": projections,
            "rules": {kind: {"drive": kind, "updater": {"rate": rate}} for kind in ("forward", "bias")},
            "modes": {
                "engaged": {
                    "input": {"y0": "stimulus"},
                    "compare": {f"d{self.top}": f"y{self.top} - target"},
                    "on": list(projections),
                    "learn": learn,
                }
            },
            "stimulus": {"kind": "teacher", "sd": 0.8, "bias_gain": 0.3},
            "schedule": [{"mode": "engaged", "examples": updates * self.batch}],
            "time": {"batch": self.batch},
        }

    def with_values(self, tables: Tables, arrays: Arrays) -> Circuit:
        """Return the circuit that begins with given arrays."""
        populations, projections = dict(tables["populations"]), dict(tables["projections"])
        for name, array in arrays.items():
            init = {"init": "values", "values": array.tolist()}
            if name in projections:
                projections[name] = {**projections[name], "weight": init}
            else:
                population = name.removesuffix(".bias")
                populations[population] = {**populations[population], "bias": init}
        return Circuit({**tables, "populations": populations, "projections": projections})


class Teacher:
    """The stimulus, from its named streams."""

    def __init__(self, net: Net, seed: int) -> None:
        self.net, self.inputs = net, seeds.stream(seed, "stimulus", "y0")
        self.arrays: dict[str, Tensor] = {}
        for name, (lower, upper) in net.steps.items():
            drawn = seeds.stream(seed, "teacher", name).standard_normal((net.sizes[upper], net.sizes[lower]))
            self.arrays[name] = torch.as_tensor(drawn / math.sqrt(net.sizes[lower]))
        for layer in range(1, len(net.sizes)):
            drawn = 0.3 * seeds.stream(seed, "teacher", f"y{layer}.bias").standard_normal(net.sizes[layer])
            self.arrays[f"y{layer}.bias"] = torch.as_tensor(drawn)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the next batch."""
        inputs = torch.as_tensor(0.8 * self.inputs.standard_normal((self.net.batch, self.net.sizes[0])))
        return inputs, self.net.forward(self.arrays, inputs)[-1]


def loss_and_gradients(net: Net, arrays: Arrays, inputs: Tensor, targets: Tensor) -> tuple[float, Arrays]:
    """Return half the squared output error, the mean over the batch, and its gradients by autograd."""
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items() if name[0] != "B"}
    loss = 0.5 * (net.forward(leaves, inputs)[-1] - targets).square().sum() / len(inputs)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return loss.item(), {name: gradient.numpy() for name, gradient in zip(leaves, gradients, strict=True)}


def first_update(net: Net, circuit: Circuit, backend: str, seed: int) -> tuple[Arrays, Arrays, float, Arrays]:
    """Return the initial arrays, their change by one update of rate 1, the loss, and the gradients."""
    kept = simulate(circuit, backend, seed)
    before, after = kept.snapshots[0].arrays, kept.snapshots[-1].arrays
    loss, gradients = loss_and_gradients(net, dict(before), *Teacher(net, seed).draw())
    assert kept.snapshots[-1].more["loss"] == pytest.approx(loss, rel=1e-12, abs=1e-15)
    return dict(before), {name: after[name] - before[name] for name in gradients}, loss, gradients


def assert_descends(before: Arrays, changes: Arrays, gradients: Arrays, rtol: float = 1e-12) -> None:
    """Compare changes with negative gradients, relative to the largest numbers that they were computed from."""
    scale = max(float(np.abs(array).max()) for array in (*before.values(), *gradients.values()))
    for name, gradient in gradients.items():
        np.testing.assert_allclose(changes[name], -gradient, rtol=0, atol=rtol * scale, err_msg=name)


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Draw a network."""
    beta_Hz = draw(st.sampled_from([None, 5.0, 15.0, 23.0]))
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    return Net(
        sizes=sizes,
        activations=[draw(st.sampled_from(ACTIVATIONS)) for _ in sizes],
        beta_Hz=beta_Hz,
        biased=draw(st.booleans()),
        batch=draw(st.integers(1, 5)),
        shortcut=draw(st.booleans()),
    )


DEEP = Net(sizes=[4, 5, 5, 3], activations=["relu"] * 4, beta_Hz=None, biased=True, batch=8)
every_backend = pytest.mark.parametrize("backend", RATE_BACKENDS)
without_brian2 = pytest.mark.parametrize(
    "backend",
    [pytest.param(backend, marks=pytest.mark.slow if backend == "brian2-rate" else ()) for backend in RATE_BACKENDS],
)
"""Every backend, Brian2 among the slow tests: it takes a while to make the code of each new circuit."""


@without_brian2
@settings(deadline=None, max_examples=50)
@given(net=nets(), seed=st.integers(0, 2**32))
def test_one_update_is_minus_the_rate_times_the_gradient(backend: str, net: Net, seed: int) -> None:
    before, changes, _, gradients = first_update(net, Circuit(net.tables()), backend, seed)
    assert_descends(before, changes, gradients)


@settings(deadline=None, max_examples=8)
@given(net=nets(), seed=st.integers(0, 2**32))
def test_one_update_in_brian2_is_too(net: Net, seed: int) -> None:
    before, changes, _, gradients = first_update(net, Circuit(net.tables()), "brian2-rate", seed)
    assert_descends(before, changes, gradients)


@every_backend
@pytest.mark.parametrize("kind", sorted(BELOW_ZERO))
def test_cells_clipped_at_zero_descend_the_gradient_too(backend: str, kind: str) -> None:
    net = Net(sizes=[4, 5, 3], activations=[kind] * 3, beta_Hz=5.0, biased=True, batch=8)
    before, changes, _, gradients = first_update(net, Circuit(net.tables()), backend, 0)
    assert_descends(before, changes, gradients)


@every_backend
@settings(deadline=None, max_examples=10)
@given(net=nets(), seed=st.integers(0, 2**32))
def test_many_updates_are_stochastic_gradient_descent(backend: str, net: Net, seed: int) -> None:
    kept = simulate(Circuit(net.tables(updates=12, rate=0.05)), backend, seed, points=12)
    arrays, teacher = dict(kept.snapshots[0].arrays), Teacher(net, seed)
    for snapshot in kept.snapshots[1:]:
        loss, gradients = loss_and_gradients(net, arrays, *teacher.draw())
        arrays |= {name: arrays[name] - 0.05 * gradient for name, gradient in gradients.items()}
        assert snapshot.more["loss"] == pytest.approx(loss, rel=1e-10, abs=1e-14)
        for name in gradients:
            np.testing.assert_allclose(snapshot.arrays[name], arrays[name], rtol=1e-11, atol=1e-12)
        for name in net.steps:
            np.testing.assert_array_equal(snapshot.arrays[f"B{name[1:]}"], snapshot.arrays[name].T)


@without_brian2
@pytest.mark.parametrize(
    ("kind", "beta_Hz"),
    [("relu", None), ("tanh", None), ("rectified_tanh", None), ("relu", 15.0), ("rectified_tanh", 15.0)],
)
def test_updates_agree_with_central_differences_of_the_reported_loss(
    backend: str, kind: str, beta_Hz: float | None
) -> None:
    """The network has no cell within the step of an edge of φ: it has fixed seeds, and an edge would show as 1e-2."""
    net = Net(sizes=[2, 3, 2], activations=[kind] * 3, beta_Hz=beta_Hz, biased=True, batch=4)
    kept = simulate(Circuit(net.tables()), backend, 3)
    before, after = dict(kept.snapshots[0].arrays), kept.snapshots[-1].arrays
    step = 1e-5
    for name in [name for name in before if name[0] != "B"]:
        for index in np.ndindex(*before[name].shape):
            losses = []
            for sign in (1, -1):
                moved = {key: array.copy() for key, array in before.items() if key[0] != "B"}
                moved[name][index] += sign * step
                run = simulate(net.with_values(net.tables(), moved), backend, 3)
                losses.append(run.snapshots[-1].more["loss"])
            slope = (losses[0] - losses[1]) / (2 * step)
            assert after[name][index] - before[name][index] == pytest.approx(-slope, rel=1e-6, abs=1e-8)


@every_backend
@pytest.mark.parametrize("seed", range(3))
def test_untransported_feedback_weights_do_not_give_the_gradient_below_the_top(backend: str, seed: int) -> None:
    circuit = Circuit(DEEP.tables(transport="none"))
    _, changes, _, gradients = first_update(DEEP, circuit, backend, seed)
    for name in ("W3", "y3.bias"):
        np.testing.assert_allclose(changes[name], -gradients[name], rtol=1e-11, atol=1e-12)
    for name in ("W2", "W1", "y2.bias", "y1.bias"):
        missed = np.linalg.norm(changes[name] + gradients[name]) / np.linalg.norm(gradients[name])
        assert missed > 0.3


@every_backend
def test_feedback_weights_given_as_the_transpose_serve_for_one_update(backend: str) -> None:
    seed = 5
    exact = simulate(Circuit(DEEP.tables(updates=2)), backend, seed, points=2)
    initial = exact.snapshots[0].arrays
    given_values = {f"B{layer}": initial[f"W{layer}"].T for layer in (1, 2, 3)}
    circuit = DEEP.with_values(DEEP.tables(updates=2, transport="none"), given_values)
    stale = simulate(circuit, backend, seed, points=2)
    for name in ("W1", "W2", "W3", "y1.bias"):
        np.testing.assert_array_equal(stale.snapshots[1].arrays[name], exact.snapshots[1].arrays[name])
    for name in ("W1", "W2", "y1.bias"):
        assert np.abs(stale.snapshots[2].arrays[name] - exact.snapshots[2].arrays[name]).max() > 1e-3


@every_backend
@pytest.mark.parametrize("lesion", ["g2", "e2", "B3"])
def test_a_lesion_of_what_carries_the_error_loses_the_gradient(backend: str, lesion: str) -> None:
    tables = DEEP.tables()
    engaged = tables["modes"]["engaged"]
    engaged["on"] = [name for name in engaged["on"] if name != lesion]
    if lesion == "e2":
        del engaged["learn"]["W2"], engaged["learn"]["y2.bias"]
    _, changes, _, gradients = first_update(DEEP, Circuit(tables), backend, 0)
    assert np.linalg.norm(changes["W2"] + gradients["W2"]) > 0.3 * np.linalg.norm(gradients["W2"])


@every_backend
def test_feedback_cells_in_another_order_give_the_same_gradient(backend: str) -> None:
    """Cell i of d1 belongs to cell order[i] of y1; gate, error and feedback weights are wired accordingly."""
    net = Net(sizes=[3, 4, 2], activations=["tanh", "relu", "tanh"], beta_Hz=None, biased=True, batch=6)
    straight = simulate(Circuit(net.tables()), backend, 1)
    order = [2, 0, 3, 1]
    tables = net.tables(transport="none")
    tables["projections"]["g1"]["permutation"] = order
    tables["projections"]["e1"]["permutation"] = [order.index(cell) for cell in range(4)]
    B2 = straight.snapshots[0].arrays["W2"].T[order]
    permuted = simulate(net.with_values(tables, {"B2": B2}), backend, 1)
    for name in ("W1", "W2", "y1.bias", "y2.bias"):
        np.testing.assert_allclose(
            permuted.snapshots[-1].arrays[name], straight.snapshots[-1].arrays[name], rtol=1e-13, atol=1e-14
        )
