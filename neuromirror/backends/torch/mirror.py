"""Mirror mode of a network: turns of noisy examples, over which every B that learns is pulled toward its Wᵀ (C.2).

The examples of a turn are shared among ranks, and each rank takes its own in chunks whose signals fit into memory.
First what the rules subtract is averaged over all of them, and then the drives, each in one exchange. So B is the same
however they are divided, but for rounding; only a batch norm that acts in the mode sees the examples of a chunk alone.
On all ranks B is the same bit for bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from neuromirror import seeds
from neuromirror.backends.torch.mirror_signals import Signal, Way, signals, way_of
from neuromirror.backends.torch.mirror_sites import Site, mean_of, no_mean, sites_of
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import ALONE, Ranks
from neuromirror.backends.torch.shards import chunks, drawn, share
from neuromirror.backends.torch.shared_means import SharedMeans
from neuromirror.circuit.description import Noise
from neuromirror.errors import RequestError
from neuromirror.modes import ModePlan
from neuromirror.rules.updater import Step

HELD = 2**28
"""Numbers that the signals of one chunk have together, at most: 1 GiB in float32."""

Copied = Callable[[range], Iterator[tuple[Signal, Tensor]]]
"""Runs the signals of some examples of a turn."""


class Mirror:
    """Runs the mirror modes of a network.

    Parameters
    ----------
    network : Network
    means : {"channel", "position"}
        Over what the means that the rules subtract are taken: over a channel's positions and examples, or over the
        examples alone.
    ranks : Ranks
        The processes that share the examples of a turn, all with the same network.
    held : int
        Numbers that the signals of a chunk have together, at most; a chunk has some examples (`shards.FEWEST`) however
        large they are. It sets how sums are rounded, and hangs on no machine.
    """

    def __init__(self, network: Network, *, means: str = "channel", ranks: Ranks = ALONE, held: int = HELD) -> None:
        self.network, self.means, self.ranks, self.held = network, means, ranks, held
        self._of_mode: dict[str, tuple[Way, list[Site]]] = {}

    @torch.no_grad()
    def turn(self, mode: ModePlan, *, examples: int, number: int, steps: Mapping[str, Step]) -> None:
        """Let every B that learns in a mode learn from so many noisy examples.

        Parameters
        ----------
        mode : ModePlan
        examples : int
            Of all ranks together.
        number : int
            Of the turn, from the start of the run: no two turns have the same noise.
        steps : mapping of str to Step
            What the updater of each B makes of its mean drive.

        Raises
        ------
        RequestError
            If batch norm acts in the mode, and a rank would have a single example or none.
        """
        way, sites = self._way_and_sites(mode)
        normed = any(one.norm for one in way.values())
        if normed and self.network.training:
            self._check_shares(mode, examples)
        parts = chunks(share(examples, self.ranks), self.held // sum(one.numbers for one in way.values()))
        shares = {part: len(part) / examples for part in parts}

        def copied(part: range) -> Iterator[tuple[Signal, Tensor]]:
            return signals(self.network, way, lambda one, noise: self.noise(one, noise, examples, number, part))

        with self.network.statistics_kept() if normed else nullcontext():
            baselines, kept = self._baselines(sites, way, shares, copied)
            means = self._mean_drives(sites, shares, copied if kept is None else lambda _: _emptied(kept), baselines)
        for site, mean in zip(sites, means, strict=True):
            step = steps[site.learner.name]
            site.feedback.mul_(step.keep).add_(mean, alpha=step.step)

    def noise(self, population: str, noise: Noise, examples: int, number: int, part: range | None = None) -> Tensor:
        """Return noise of a population, (example, …), for a part of the examples of one turn, by default all."""
        weight = next(layer.weight for _, layer in self.network.weighted())
        shape = self.network.plan.description.populations[population].shape
        last = (*shape[1:], shape[0])  # channels last, whatever the network's own format: the faster one

        def seed_of(shard: int) -> int:
            return seeds.integer(self.network.plan.seed, "mirror", population, number, shard)

        found = drawn(noise, seed_of, examples, range(examples) if part is None else part, last, weight)
        return found.permute(0, 3, 1, 2) if len(shape) == 3 else found.flatten(1)

    def _way_and_sites(self, mode: ModePlan) -> tuple[Way, list[Site]]:
        if mode.name not in self._of_mode:
            way = way_of(self.network, mode)
            self._of_mode[mode.name] = way, sites_of(self.network, mode, way)
        return self._of_mode[mode.name]

    def _check_shares(self, mode: ModePlan, examples: int) -> None:
        # On all ranks alike: one that stopped alone would let the others wait.
        if (size := self.ranks.size) > 1 and examples < 2 * size:
            raise RequestError(
                f"mode '{mode.name}': {examples} examples a turn for {size} processes, and its batch norm "
                f"needs two in each. Take training.mirror_examples={2 * size} or more, or fewer processes."
            )

    def _baselines(
        self, sites: Sequence[Site], way: Way, shares: Mapping[range, float], copied: Copied
    ) -> tuple[dict[Signal, Tensor], dict[Signal, Tensor] | None]:
        """Return the means that the rules subtract, over all examples of a turn, and signals that need not run again.

        Those of a single chunk are kept for the drives; of several the noise is drawn again.
        """
        means = SharedMeans(dict.fromkeys(signal for site in sites for signal in site.subtracted))
        kept = {} if means.keys and len(shares) == 1 else None
        for part, share_of_all in shares.items() if means.keys else ():
            for signal, value in copied(part):
                if signal in means.keys:
                    means.add(signal, mean_of(value, self.means), share_of_all)
                if kept is not None:
                    kept[signal] = value
                del value  # or it would live on while the next signal comes about
        return means.of_all(self.ranks, lambda one: no_mean(way[one[0]].shape, sites[0].feedback, self.means)), kept

    def _mean_drives(
        self, sites: Sequence[Site], shares: Mapping[range, float], copied: Copied, baselines: Mapping[Signal, Tensor]
    ) -> list[Tensor]:
        """Return the mean drive of every B over all examples of a turn; signals are let go after their last use."""
        means, due = SharedMeans(range(len(sites))), dict[Signal, list[int]]()
        for index, site in enumerate(sites):
            due.setdefault(site.pre, []).append(index)  # the upper end of a B has its signal after the lower one
        for part, share_of_all in shares.items():
            found, left = dict[Signal, Tensor](), Counter(signal for site in sites for signal in site.copied)
            for signal, value in copied(part):
                if left[signal]:
                    found[signal] = value
                del value
                for index in due.get(signal, ()):
                    means.add(index, sites[index].mean_drive(found, baselines), share_of_all)
                    for one in sites[index].copied:
                        left[one] -= 1
                        if not left[one]:
                            del found[one]
        return list(means.of_all(self.ranks, lambda index: torch.zeros_like(sites[index].feedback)).values())


def _emptied(kept: dict[Signal, Tensor]) -> Iterator[tuple[Signal, Tensor]]:
    for signal in list(kept):
        yield signal, kept.pop(signal)
