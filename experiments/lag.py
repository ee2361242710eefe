"""Lag and noise of B: which of the two costs a weight mirror its accuracy.

Claim     Noise that is new in every step, of 5° in every B of a ResNet-20, costs no training error. A B without noise
          that averages over Wᵀ and forgets half in each step costs points of it, although it is within a degree of Wᵀ
          but in the last layer: the B of all layers lag in concert.
Command   python -m experiments.lag --data DIR (--quick: a few steps on digits; --seeds)
Takes     12 minutes a seed on one core.
Expected  CIFAR-10 as JPEG files, peak rate .4, seed 0; other seeds differ from it by about a point:
              backprop            training error 21.9%, validation error 32.5%
              noise of 5°         training error 21.5%, validation error 34.3%
              memory              training error 24.2%, validation error 33.9%
              noise and memory    training error 22.5%, validation error 33.5%
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

import neuromirror as nm
from experiments.methods import SMALL, SMOKE
from neuromirror.backends.torch.network import Network
from neuromirror.measure import over_seeds
from neuromirror.rules.updater import Step
from neuromirror.training.loop import Tally
from neuromirror.training.prepared import prepare
from neuromirror.training.settings import Settings

RATE = 0.4


@dataclass(frozen=True, kw_only=True)
class Case:
    """What B is: the running average that forgets a share of itself in each step, over Wᵀ with noise of an angle."""

    name: str
    forgets: float
    noise_deg: float


CASES = (
    Case(name="backprop", forgets=1.0, noise_deg=0.0),
    Case(name="noise of 5°", forgets=1.0, noise_deg=5.0),
    Case(name="memory", forgets=0.5, noise_deg=0.0),
    Case(name="noise and memory", forgets=0.5, noise_deg=5.0),
)


@dataclass
class IdealMirror:
    """A mirror that reads W: it stands for one whose error is known.

    Attributes
    ----------
    network : Network
    case : Case
        Its noise is that of the average.
    """

    network: Network
    case: Case

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.network.plan.seed)

    @torch.no_grad()
    def turn(self, mode: Any, *, examples: int, number: int, steps: dict[str, Step]) -> None:
        """Do as `neuromirror.backends.torch.mirror.Mirror.turn`."""
        forgets = self.case.forgets if number else 1.0
        averaged = (2 - forgets) / forgets
        for one in mode.learners:
            layer: Any = self.network.projections[self.network.plan.mirrors[one.name]]
            W = layer.weight if layer.weight.ndim == 4 else layer.weight.T
            noise = torch.randn(W.shape, generator=self.generator)
            noise *= math.tan(math.radians(self.case.noise_deg)) * W.norm() / noise.norm()
            layer.feedback.lerp_(W + noise * math.sqrt(averaged), forgets)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few steps on digits: shows only that it runs")
    parser.add_argument("--data", help="a directory of class folders")
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args(argv)
    if not chosen.data and not chosen.quick:
        parser.error("--data DIR: class folders of images, such as CIFAR-10's, unless --quick is given")
    seeds = range(1 if chosen.quick else chosen.seeds)
    for case in CASES:
        found = zip(*(errors(case, seed, chosen.data, quick=chosen.quick) for seed in seeds), strict=True)
        parts = zip(("training", "validation"), map(over_seeds, found), strict=True)
        said = ", ".join(f"{part} error {one.mean:.1f}% (sd {one.sd:.1f})" for part, one in parts)
        print(f"{case.name:18} {said}, {len(seeds)} seeds")


def errors(case: Case, seed: int, data: str | None, *, quick: bool) -> tuple[float, float]:
    """Train, and return the error in percent on the training images in the last epoch and on others."""
    size = SMOKE if quick else SMALL
    circuit = nm.load("resnet20").with_values(size.values).with_values({"training.rate": RATE})
    settings = Settings(data=data or "digits", method="wm", **size.settings)
    prepared = prepare(circuit, settings)
    trainer = prepared.trainer(seed, settings)
    trainer.mirror = IdealMirror(trainer.network, case)  # pyright: ignore[reportAttributeAccessIssue]
    while trainer.step < trainer.length.total:
        if trainer.step % trainer.length.epoch == 0:
            trainer.tally = Tally()
        trainer.advance()
    validation = prepared.data.validation
    assert validation is not None
    return 100.0 * trainer.tally.wrong / trainer.tally.images, trainer.error_percent(validation, prepared.data)


if __name__ == "__main__":
    main()
