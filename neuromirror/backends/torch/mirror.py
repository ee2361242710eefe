"""Mirror mode of a network: noisy layers, what they drive, and the Hebbian rule that pulls every B toward its Wᵀ (C.2).

Signals run as far as the mode has projections on. Batch norm acts where a population sends its signal on in the same
mode, as with a single noisy input, and is left out where it does not (C.2: through the convolution, then the ReLU).
Feedback cells copy what the forward cells' nonlinearity gives; as the lower end of a B, what they send on.

Noise comes from the device's generator, seeded by run, population, step and shard of 64 examples, so that however a
batch is divided the noise is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromirror import seeds
from neuromirror.backends.torch.contract import Conv, mean_conv_drive, mean_drive
from neuromirror.backends.torch.feedback import FeedbackConv2d
from neuromirror.backends.torch.network import Network, Stage, summed
from neuromirror.circuit.description import Noise
from neuromirror.dynamics.correlation import shares
from neuromirror.modes import Learner, ModePlan
from neuromirror.rules.updater import Step

SHARD = 64
"""Examples that one seed of the device's generator draws."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What the feedback cells of one layer copy in mirror mode.

    Attributes
    ----------
    fired : Tensor
        What the forward cells' nonlinearity gives, noise included.
    sent : Tensor
        What goes on to the layer above: the same, but for batch norm and shortcuts after the nonlinearity.
    pure : bool
        Whether it is noise and nothing else.
    """

    fired: Tensor
    sent: Tensor
    pure: bool


class Mirror:
    """Runs the mirror modes of a network.

    Parameters
    ----------
    network : Network
    means : {"channel", "position"}
        Over what the means that the rules subtract are taken: over a channel's positions and examples, or over the
        examples alone.
    """

    def __init__(self, network: Network, *, means: str = "channel") -> None:
        self.network, self.means = network, means
        self._forward_of = {
            mode: {d: axons[0].source for d, axons in plan.drives.items()} for mode, plan in network.plan.modes.items()
        }
        self._w_of = network.plan.mirrors

    @torch.no_grad()
    def turn(self, mode: ModePlan, *, examples: int, number: int, steps: Mapping[str, Step]) -> None:
        """Let every B that learns in a mode learn from so many noisy examples.

        Parameters
        ----------
        mode : ModePlan
        examples : int
        number : int
            Of the turn, from the start of the run: no two turns have the same noise.
        steps : mapping of str to Step
            What the updater of each B makes of its mean drive.
        """
        with self.network.statistics_kept():
            copied = self._signals(mode, examples, number)
        for learner in mode.learners:
            B, mean = self.mean(mode, learner, copied)
            B.mul_(steps[learner.name].keep).add_(mean, alpha=steps[learner.name].step)

    def mean(self, mode: ModePlan, learner: Learner, copied: Mapping[str, Copied]) -> tuple[Tensor, Tensor]:
        """Return a B, and the mean of the drive of its rule over what its cells copy."""
        layer = self.network.projections[self._w_of[learner.name]]
        B = layer.feedback
        assert isinstance(B, Tensor)
        of = self._forward_of[mode.name]
        upper, lower = copied[of[learner.source or ""]], copied[of[learner.target]]
        # The noise is that of forward cells: none is injected into the feedback cells that a B joins.
        values: dict[str, Callable[[], Tensor]] = {
            "pre": lambda: upper.fired,
            "noise_pre": lambda: torch.zeros_like(upper.fired),
            "beta_pre": lambda: self._baseline(upper.fired, upper.pure),
            "post": lambda: lower.sent,
            "cross": lambda: lower.sent,
            "noise_post": lambda: torch.zeros_like(lower.sent),
            "beta_post": lambda: self._baseline(lower.sent, lower.pure),
        }
        seen = {name: values[name]() for name in values if name in learner.rule.drive.names | {"pre", "post"}}
        if isinstance(layer, FeedbackConv2d):
            conv = Conv(stride=layer.stride, padding=tuple(map(int, layer.padding)), transposed=True)
            return B, mean_conv_drive(learner.rule.drive, seen, B, conv)
        whole = {"pre": upper.fired.shape[1:], "post": lower.sent.shape[1:]}
        flat = {
            name: value.expand(whole[name.removeprefix("beta_")]).flatten() if name[:4] == "beta" else value.flatten(1)
            for name, value in seen.items()
        }
        return B, mean_drive(learner.rule.drive, flat, B)

    def _baseline(self, signal: Tensor, pure: bool) -> Tensor:
        """Return the baseline of a layer: that of pure noise is known to be zero."""
        if pure:
            return torch.zeros(signal.shape[1], *[1] * (signal.ndim - 2), dtype=signal.dtype, device=signal.device)
        if signal.ndim == 4 and self.means == "channel":
            return signal.mean(dim=(0, 2, 3))[:, None, None]
        return signal.mean(dim=0)

    def _signals(self, mode: ModePlan, examples: int, number: int) -> dict[str, Copied]:
        """Return what the layers of a mode give, by forward population."""
        transmitting = {axons.name for group in mode.synapses.values() for axons in group}
        sending = {axons.source for group in mode.synapses.values() for axons in group}
        sent, found = dict[str, Tensor](), dict[str, Copied]()
        for name, stage in ((self.network.input, None), *((stage.name, stage) for stage in self.network.stages)):
            noise = self.noise(name, mode.noise[name], examples, number) if name in mode.noise else None
            own = None if stage is None else self._driven(stage, mode, transmitting, sent, norm=name in sending)
            if own is None and stage is not None and noise is not None and mode.bias_on and name in self.network.biases:
                resting = stage.phi(self.network.biased(stage, torch.zeros_like(noise)))
                own = resting, resting
            if own is not None:
                fired, on = own if noise is None else (own[0] + noise, own[1] + noise)
            elif noise is not None:
                fired = on = noise
            else:
                continue
            found[name], sent[name] = Copied(fired=fired, sent=on, pure=own is None), on
        return found

    def _driven(
        self, stage: Stage, mode: ModePlan, transmitting: set[str], sent: Mapping[str, Tensor], *, norm: bool
    ) -> tuple[Tensor, Tensor] | None:
        """Return what a population fires and what it sends on, driven by the layers below; None where nothing does."""
        network = self.network

        def on(axons: tuple[tuple[str, str], ...]) -> list[tuple[str, Tensor]]:
            return [(name, sent[source]) for name, source in axons if name in transmitting and source in sent]

        arriving = [network.projections[name](signal) for name, signal in on(stage.layers)]
        before, after = ([signal for _, signal in on(axons)] for axons in (stage.before, stage.after))
        if not arriving and not before and not after:
            return None
        total = summed(arriving) if arriving else torch.zeros_like((before or after)[0])
        if mode.bias_on:
            total = network.biased(stage, total)
        if norm and stage.norm == "before":
            total = network.norms[stage.name](total)
        fired = stage.phi(summed([total, *before]))
        normed = network.norms[stage.name](fired) if norm and stage.norm == "after" else fired
        return fired, summed([normed, *after])

    def noise(self, population: str, noise: Noise, examples: int, number: int) -> Tensor:
        """Return noise of a population, (example, …), of one turn."""
        like = next(layer.weight for _, layer in self.network.weighted())
        shape = self.network.plan.description.populations[population].shape
        last = (*shape[1:], shape[0])  # channels last, whatever the network's own format: the faster one
        drawn, generator = like.new_empty((examples, *last)), torch.Generator(device=like.device)
        for first, shard in enumerate(drawn.split(SHARD)):
            generator.manual_seed(seeds.integer(self.network.plan.seed, "mirror", population, number, first))
            _fill(shard, noise, generator)
        return drawn.permute(0, 3, 1, 2) if len(shape) == 3 else drawn.flatten(1)


def _fill(shard: Tensor, noise: Noise, generator: torch.Generator) -> None:
    """Fill a shard, (example, …, channel), as `neuromirror.backends.noise.NoiseSource` fills what it draws."""
    _draw(shard, noise, generator)
    rho = noise.correlation or 0.0
    if not rho:
        return
    common = shard.new_empty((len(shard), *[1] * (shard.ndim - 1)))
    _draw(common, noise, generator)
    private_share, common_share = shares(rho)
    if noise.law == "rademacher":
        takes = torch.empty_like(shard).bernoulli_(common_share, generator=generator)
        shard.add_(takes * (common - shard))
    else:
        shard.mul_(private_share).add_(common, alpha=common_share)


def _draw(numbers: Tensor, noise: Noise, generator: torch.Generator) -> None:
    if noise.law == "rademacher":
        numbers.bernoulli_(0.5, generator=generator).mul_(2.0 * noise.sd).sub_(noise.sd)
    else:
        numbers.normal_(0.0, noise.sd, generator=generator)
