"""Schedules of section 8.5 in a deep network: which layers may be noisy at a time, and what a wrong choice costs.

Claim     In a ResNet-20 one noisy layer at a time and every second layer bring every B to its Wᵀ as fast as the law of
          sampling allows, across shortcuts too. With all layers noisy at once, or one noisy input that drives the rest
          through batch norm, the angles come to a floor: signals that other layers drive are not white.
Command   python -m experiments.deep_schedules (--quick: fewer examples, one seed)
Takes     1 minute on one core.
Expected  median angle of the B of each part in degrees, mean of seeds 0 to 2, after 256 examples a turn, and after
          1,024 with the range of the seeds:
                                    layer1                        layer2
              one layer at a time    1.6, then 0.8                 4.5, then 2.3 (2.2 to 2.3)
              every second layer     1.6, then 0.8                 4.5, then 2.3 (2.2 to 2.3)
              all at once           14.9, then 14.9 (14.6 to 15.1) 17.3, then 16.5 (16.4 to 16.7)
              one noisy input       28.7, then 28.7 (28.3 to 29.1) 36.6, then 36.5 (35.6 to 37.4)
                                    layer3                         head
              one layer at a time   12.8, then 6.4 (6.4 to 6.5)    26.4, then 13.7 (13.5 to 13.7)
              every second layer    12.8, then 6.4 (6.4 to 6.5)    26.4, then 13.7 (13.5 to 13.7)
              all at once           22.7, then 19.5 (19.2 to 19.7) 26.4, then 13.8 (13.3 to 14.0)
              one noisy input       41.6, then 41.0 (40.1 to 41.7) 50.7, then 49.0 (43.7 to 52.3)
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median

import torch

import neuromirror as nm
from experiments.section import options
from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.network import Network
from neuromirror.measure import angle_deg
from neuromirror.plan import Plan
from neuromirror.rules.updater import Step
from neuromirror.training.roles import roles_of

SCHEDULES = {
    "each": "one layer at a time",
    "alternate": "every second layer",
    "together": "all at once",
    "single": "one noisy input",
}
EXAMPLES = 64
"""Of a turn."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print what it found."""
    chosen = options(__doc__, argv, quick="fewer examples, one seed")
    turns, seeds = (4, 1) if chosen.quick else (16, 3)
    print(f"{'':20} angle of B to Wᵀ in degrees after {turns // 4 * EXAMPLES} and {turns * EXAMPLES} examples")
    for schedule, name in SCHEDULES.items():
        early, late = zip(*(mirrored(schedule, turns, seed) for seed in range(seeds)), strict=True)
        print(f"{name:20} {', '.join(_line(part, early, late) for part in early[0])}")


def _line(part: str, early: Sequence[dict[str, float]], late: Sequence[dict[str, float]]) -> str:
    """Return the means over seeds of a part's angle, and the range of seeds where there are several."""
    angles = [of_seed[part] for of_seed in late]
    seeds = f" ({min(angles):.1f} to {max(angles):.1f})" if len(angles) > 1 else ""
    return f"{part} {mean(of_seed[part] for of_seed in early):.1f} then {mean(angles):.1f}{seeds}"


def mirrored(schedule: str, turns: int, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median angle of the B of each part of the network, after a quarter of the turns and after all.

    All turns of the noise count alike, so that what sampling leaves falls with the root of their number.
    """
    circuit = nm.load("resnet20").with_values({"mirroring.turns": schedule}).method("wm")
    network = Network(Plan(circuit, seed)).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network.train()
    mirror, modes = Mirror(network), roles_of(network.plan).mirrors
    found = []
    for turn in range(1, turns + 1):
        for mode in modes:
            steps = {one.name: Step(keep=1 - 1 / turn, step=1 / turn) for one in mode.learners}
            mirror.turn(mode, examples=EXAMPLES, number=turn, steps=steps)
        if turn in (turns // 4, turns):
            found.append(by_part(network))
    return found[0], found[1]


def by_part(network: Network) -> dict[str, float]:
    """Return the median angle of the B of each part of a ResNet, whose names begin alike."""
    parts: dict[str, list[float]] = {}
    for name, layer in network.weighted():
        if layer.feedback is not None:
            B, W = layer.feedback.numpy(), layer.weight.detach().numpy()
            part = name.partition("_")[0] if name.startswith("layer") else name
            parts.setdefault(part, []).append(angle_deg(B, W))
    return {part: median(angles) for part, angles in parts.items()}


if __name__ == "__main__":
    main()
