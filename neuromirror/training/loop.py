"""One training run, step by step: mirroring alone, then batches of images with mirroring in between (C.2).

All that is random is a pure function of the seed and the step, so that a run that goes on from a checkpoint does what
it would have done.

Several ranks take each a part of every batch, whole micro-batches, so that batch norm sees what it would see in one
process. Their gradients are summed, and W and B stay bit for bit the same on all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import record_function

from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import ALONE, Ranks
from neuromirror.circuit.protocol import Training
from neuromirror.data.batches import Batches
from neuromirror.data.images import Images
from neuromirror.data.load import Data
from neuromirror.errors import DivergenceError, RequestError, choice
from neuromirror.modes import ModePlan
from neuromirror.rules.updater import Step
from neuromirror.training.distributed import check_ranks, distributed, exchanging
from neuromirror.training.mirroring import examples_of, shortened
from neuromirror.training.optimizer import ForwardUpdater
from neuromirror.training.rates import dropped, rate_factor
from neuromirror.training.roles import Roles
from neuromirror.training.statistics import average_statistics


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a run is, in steps of one batch.

    Attributes
    ----------
    epoch : int
        Steps to an epoch.
    mirror : int
        Steps of mirroring alone, at the start.
    total : int
        All steps.
    """

    epoch: int
    mirror: int
    total: int


def length_of(training: Training, steps_per_epoch: int, *, mirrors: bool) -> Length:
    """Return how long a run is; ``training.epochs`` counts those of mirroring alone.

    Raises
    ------
    RequestError
        If a batch is more than all images, or there is no step to do.
    """
    if not steps_per_epoch:
        raise RequestError(
            f"training.batch {training.batch}: there are fewer images to learn from, so an epoch would have no step. "
            "Take a smaller batch, or more images."
        )
    mirror = round(training.mirror_epochs * steps_per_epoch) if mirrors else 0
    total = max(mirror, round(training.epochs * steps_per_epoch))
    total = total if training.steps is None else min(total, training.steps)
    if not total:
        raise RequestError(f"training.epochs {training.epochs:g}: comes to no step of a batch. Ask for more.")
    return Length(epoch=steps_per_epoch, mirror=min(mirror, total), total=total)


@dataclass
class Tally:
    """What an epoch's batches came to: sums over its images."""

    loss: float = 0.0
    wrong: int = 0
    images: int = 0


EVALUATED = 250
"""Images that pass the network at a time when it is tested."""


class Trainer:
    """A network that learns.

    Parameters
    ----------
    network : Network
    roles : Roles
    training : Training
    batches : Batches
        Of the training images.
    autocast : torch.dtype or None
        The type of numbers in which forward and backward passes are computed where that is safe.
    compiled : bool
        Whether `torch.compile` makes the forward and backward passes.
    ranks : Ranks
        The processes that train the network together; ``batches`` gives this one's part of each batch.

    Attributes
    ----------
    step : int
        Steps done.
    tally : Tally
        Of the batches since it was last taken.
    examples : dict of str to int
        Of one turn of each mirror mode.
    seen : dict of str to int
        Mirroring examples that each B has learned from.
    mirroring_s : float
        Seconds spent mirroring so far.
    """

    def __init__(
        self,
        network: Network,
        roles: Roles,
        training: Training,
        batches: Batches,
        *,
        autocast: torch.dtype | None = None,
        compiled: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        check_ranks(training, ranks.size)
        self.network, self.roles, self.training, self.batches, self.ranks = network, roles, training, batches, ranks
        self.length = length_of(training, batches.steps_per_epoch, mirrors=bool(roles.mirrors))
        self.updater = ForwardUpdater(network, roles, training)
        self.mirror = Mirror(network, means=training.mirror_means, ranks=ranks)
        self.autocast, self.step, self.tally, self.mirroring_s = autocast, 0, Tally(), 0.0
        self.device, self._dtype = (first := next(network.parameters())).device, first.dtype
        self._module: nn.Module = torch.compile(network) if compiled else network  # pyright: ignore[reportAttributeAccessIssue]
        if ranks.size > 1:
            micro = min(training.micro_batch, training.batch)
            self._module = distributed(self._module, network, micro, self._autocast, ranks)
        self._images: Iterator[tuple[Tensor, Tensor]] | None = None
        self._loaded: tuple[Tensor, Tensor] | None = None
        self.seen = dict.fromkeys((one.name for mode in roles.mirrors for one in mode.learners), 0)
        self.examples = {mode.name: examples_of(network, mode, training) for mode in roles.mirrors}

    @property
    def epoch(self) -> float:
        """Epochs done, those of mirroring alone included."""
        return self.step / self.length.epoch

    @property
    def rate_factor(self) -> float:
        """The learning rate of the next step, as a part of its peak."""
        return rate_factor(self.epoch, self.training, mirror_epochs=self.length.mirror / self.length.epoch)

    def load(self) -> int:
        """Take the images of the next step, if it learns from any, and return how many they are on this rank.

        Raises
        ------
        RunError
            If they cannot be read.
        """
        if self.step < self.length.mirror:
            return 0
        if self._loaded is None:
            with record_function("load"):
                self._loaded = self._next()
        return len(self._loaded[1])

    def advance(self, images: int | None = None) -> None:
        """Do one step.

        Parameters
        ----------
        images : int, optional
            Those of all ranks; by default this one is alone.

        Raises
        ------
        DivergenceError
            If the loss is no longer finite. Several ranks do not raise here: see `is_finite`, which they agree on.
        """
        self.network.train()
        if self.step < self.length.mirror:
            self.mirror_all(1.0)
        else:
            own, factor = self.load(), self.rate_factor
            self._learn(own if images is None else images)
            if self.ranks.size == 1:
                self.check_finite(self.step)
            with record_function("update"):
                self.updater.step(factor)
            if (self.step - self.length.mirror + 1) % self.training.mirror_every == 0:
                memory = choice("training.mirror_memory", self.training.mirror_memory, "fixed", "follows_drops")
                follows = memory == "follows_drops"
                self.mirror_all(dropped(self.epoch, self.training) if follows else 1.0)
        self.step += 1

    @property
    def is_finite(self) -> bool:
        """Whether the losses since the tally was last taken are finite on this rank."""
        return math.isfinite(self.tally.loss)

    def check_finite(self, steps: int, *, finite: bool | None = None) -> None:
        """Raise if the loss of the step after so many is not finite, here or as others have found.

        Raises
        ------
        DivergenceError
        """
        if not (self.is_finite if finite is None else finite):
            raise DivergenceError(
                f"the loss is no longer finite after {steps} steps (epoch {steps / self.length.epoch:.2f}). "
                "Lower training.rate, or warm up for longer."
            )

    def mirror_all(self, shortening: float) -> None:
        """Let every mirror mode have its turn; see `neuromirror.training.mirroring.shortened`."""
        started = time.perf_counter()
        with record_function("mirror"):
            for mode in self.roles.mirrors:
                examples = self.examples[mode.name]
                steps = {one.name: self._step(mode, one.name, examples, shortening) for one in mode.learners}
                self.mirror.turn(mode, examples=examples, number=self.step, steps=steps)
        self.mirroring_s += time.perf_counter() - started

    def _step(self, mode: ModePlan, name: str, examples: int, shortening: float) -> Step:
        updater = next(one.rule.updater for one in mode.learners if one.name == name)
        step = updater.step(examples_seen=self.seen[name], examples=examples, window_s=mode.window_s)
        self.seen[name] += examples
        return shortened(step, shortening)

    def _learn(self, total: int) -> None:
        """Sum the gradients of this rank's images, each as one of so many, and those of all ranks."""
        assert self._loaded is not None
        (images, labels), self._loaded = self._loaded, None
        parts = list(zip(self._micro_batches(images), self._micro_batches(labels), strict=True))
        losses, wrong = [], []
        for number, (some, those) in enumerate(parts):
            some, those = self.placed(some), those.to(self.device, non_blocking=True)
            with exchanging(self._module, number == len(parts) - 1):
                with record_function("forward"), self._autocast():
                    output = self._module(some)
                loss = self.loss(output, those)
                with record_function("backward"):
                    (loss * (len(those) / total)).backward()
            losses.append(loss.detach())
            wrong.append((output.detach().argmax(dim=1) != those).sum())
        # Read once a step: a device that is asked for a number has to finish all that it was given before.
        for (_, those), loss, false in zip(parts, *(torch.stack(one).tolist() for one in (losses, wrong)), strict=True):
            self.tally.loss += loss * len(those)
            self.tally.wrong += false
            self.tally.images += len(those)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None)

    def forget_loaded(self) -> None:
        """Take the images of the next step anew: it is another one."""
        self._images = self._loaded = None

    def _micro_batches(self, rows: Tensor) -> Sequence[Tensor]:
        micro = self.training.micro_batch
        if len(rows) == self.training.batch // self.ranks.size:
            return rows.split(micro)
        # Images that cannot be read are left out. Even parts leave none with a single image, of which batch norm might
        # take no variance.
        return rows.tensor_split(max(1, min(-(-len(rows) // micro), len(rows) // 2)))

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over examples of the loss whose gradient is the output error (C.1, or half the square)."""
        if choice("training.loss", self.training.loss, "cross_entropy", "squared") == "cross_entropy":
            return functional.cross_entropy(output.float() if self.autocast is not None else output, labels)
        wanted = self.training.target * functional.one_hot(labels, output.shape[1]).to(output.dtype)
        return 0.5 * ((output - wanted) ** 2).sum(dim=1).mean()

    def placed(self, images: Tensor) -> Tensor:
        """Return images where the network is, in its numbers."""
        placed = images.to(self.device, self._dtype, non_blocking=True)
        return placed if self.training.input_sd == 1 else placed * self.training.input_sd

    def _next(self) -> tuple[Tensor, Tensor]:
        epoch, within = divmod(self.step - self.length.mirror, self.length.epoch)
        if within == 0 or self._images is None:
            self._images = self.batches.epoch(epoch, within)
        return next(self._images)

    @torch.no_grad()
    def error_percent(self, part: Images, data: Data) -> float:
        """Return the share of the images of a part of a set that the network puts into a wrong class, in percent."""
        own = (self.ranks.rank, self.ranks.size)
        batches = Batches(part, data, batch=min(EVALUATED, len(part)), size=part.size, part=own)
        average_statistics(self.network, self.ranks)
        self.network.eval()
        wrong = images = 0
        for some, labels in batches.all():
            with self._autocast():
                output = self.network(self.placed(some))
            wrong += int((output.argmax(dim=1).cpu() != labels).sum())
            images += len(labels)
        wrong, images = self.ranks.numbers([wrong, images])
        return 100.0 * wrong / images
