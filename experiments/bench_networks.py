"""What a network of the circuit file costs against torchvision's, and mirroring against backprop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

import neuromirror as nm
from experiments.bounds import Line
from experiments.methods import SMALL
from experiments.section import stated
from neuromirror.backends.torch.network import Network
from neuromirror.plan import Plan
from neuromirror.recorder import alignment_of
from neuromirror.training.deltas import delta_angles
from neuromirror.training.loop import Trainer
from neuromirror.training.roles import roles_of
from neuromirror.training.session import arrays_of

BATCH, SIDE, CLASSES = 32, 64, 1000
NORM_FIRST = "resnet18_norm_first"
"""The circuit that is torchvision's network."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A bound on one way to do a step against another."""

    what: str
    of: str
    to: str
    most: float


RATIOS = (
    Ratio(what="backprop / torchvision's", of="bp", to="torchvision", most=1.03),
    Ratio(what="feedback alignment / backprop", of="fa", to="bp", most=1.03),
    Ratio(what="mirroring every batch / backprop", of="wm", to="bp", most=1.72),
)


class _Still:
    """Batches of one and the same images."""

    steps_per_epoch, waited_s = 1 << 30, 0.0

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield self.images, self.labels


def lines(*, rounds: int) -> Iterator[Line]:
    """Measure every bound, on one thread; steps of all kinds alternate, and each round gives one ratio."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        images, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(CLASSES, (BATCH,))
        steps = {"torchvision": _stock(images, labels)}
        steps |= {method: _ours(method, images, labels) for method in ("bp", "fa", "wm")}
        costs = _timed(steps, rounds)
        for ratio in RATIOS:
            values = [of / to for of, to in zip(costs[ratio.of], costs[ratio.to], strict=True)]
            middle = sorted(values)[len(values) // 2]
            yield Line(
                what=f"ResNet-18: {ratio.what}",
                measured=stated(values, ""),
                bound=f"{ratio.most:g}",
                met=middle <= ratio.most,
            )
        yield _memory(images, labels)
        yield _angles(rounds)
    finally:
        torch.set_num_threads(threads)


def _stock(images: Tensor, labels: Tensor) -> Callable[[], None]:
    model = torchvision.models.resnet18(num_classes=CLASSES).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, nesterov=True, weight_decay=1e-4)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _network(method: str) -> Network:
    circuit = nm.load(NORM_FIRST).fitted(size=(SIDE, SIDE), classes=CLASSES).method(method)
    return Network(Plan(circuit, 0)).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _ours(method: str, images: Tensor, labels: Tensor) -> Callable[[], None]:
    network = _network(method)
    training = network.plan.description.training
    assert training is not None
    values = {"batch": BATCH, "micro_batch": BATCH, "rate": 1e-6, "mirror_epochs": 0.0, "warmup_epochs": 0.0}
    still = _Still(images.contiguous(memory_format=torch.channels_last), labels)
    return Trainer(network, roles_of(network.plan), training.model_copy(update=values), still).advance  # pyright: ignore[reportArgumentType]


def _timed(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Return the processor time of each kind of step in each round, in seconds; the first round warms up."""
    costs: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        order = list(steps) if number % 2 else list(reversed(steps))
        for name in order:
            started = time.process_time()
            steps[name]()
            if number:
                costs[name].append(time.process_time() - started)
    return costs


def _memory(images: Tensor, labels: Tensor) -> Line:
    """Hold what autograd saves for the backward pass with B against what it saves for backprop, and B itself."""
    models = {method: _network(method) for method in ("bp", "wm")}
    saved = {method: saved_bytes(model, images) for method, model in models.items()}
    feedback = sum(layer.feedback.nbytes for _, layer in models["wm"].weighted() if layer.feedback is not None)
    more = (saved["wm"] - saved["bp"]) / 2**20
    return Line(
        what="ResNet-18: memory saved beyond backprop",
        measured=f"{more:.1f} MiB of {saved['bp'] / 2**20:.1f} MiB",
        bound=f"B's {feedback / 2**20:.1f} MiB",
        met=saved["wm"] <= saved["bp"] + feedback,
    )


def _angles(rounds: int) -> Line:
    """Hold what the angles of an epoch cost against its steps, in the runs of the experiments on images."""
    described = nm.load("resnet20").with_values(SMALL.values).method("fa")
    network, training = Network(Plan(described, 0)), described.description.training
    assert training is not None
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    images, labels = torch.randn(training.batch, 3, 32, 32), torch.randint(10, (training.batch,))
    few = SMALL.settings["delta_images"]
    trainer = Trainer(network, roles_of(network.plan), training, _Still(images, labels))  # pyright: ignore[reportArgumentType]

    def measure() -> None:
        alignment_of(network.plan, arrays_of(network))
        delta_angles(network, images[:few], labels[:few], trainer.loss)

    costs = _timed({"step": trainer.advance, "angles": measure}, rounds)
    steps = SMALL.settings["train_images"] / training.batch
    shares = [100 * a / (a + steps * s) for a, s in zip(costs["angles"], costs["step"], strict=True)]
    middle = sorted(shares)[len(shares) // 2]
    return Line(what="ResNet-20: angles of an epoch", measured=stated(shares, "%"), bound="2%", met=middle <= 2.0)


def saved_bytes(model: nn.Module, images: Tensor) -> int:
    """Return the bytes of all tensors that autograd saves in a forward pass, W included, each storage once."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    held = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held.append(model(images))
    return sum(storages.values())
