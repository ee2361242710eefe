"""What the two ends of a B copy in mirror mode, and the mean drive of its rule over it.

Feedback cells copy what the forward cells' nonlinearity gives; as the lower end of a B, what they send on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromirror.backends.torch.contract import Conv, mean_conv_drive, mean_drive
from neuromirror.backends.torch.feedback import FeedbackConv2d
from neuromirror.backends.torch.mirror_signals import Signal, Way
from neuromirror.backends.torch.network import Network, Weighted
from neuromirror.errors import choice
from neuromirror.modes import Learner, ModePlan


@dataclass(frozen=True, kw_only=True)
class Site:
    """A B that learns in a mode, and what its cells copy.

    Attributes
    ----------
    learner : Learner
    layer : FeedbackConv2d or FeedbackLinear
        That of its W.
    pre, post : Signal
        Of its upper and of its lower end.
    subtracted : tuple of Signal
        Those of the two whose means its rule names, but for pure noise, whose mean is known to be zero.
    """

    learner: Learner
    layer: Weighted
    pre: Signal
    post: Signal
    subtracted: tuple[Signal, ...]

    @property
    def feedback(self) -> Tensor:
        """The B itself."""
        assert isinstance(self.layer.feedback, Tensor)
        return self.layer.feedback

    @property
    def copied(self) -> tuple[Signal, Signal]:
        """The signals that its cells copy."""
        return self.pre, self.post

    def mean_drive(self, copied: Mapping[Signal, Tensor], baselines: Mapping[Signal, Tensor]) -> Tensor:
        """Return the mean of the drive over examples, of the shape of the B.

        Parameters
        ----------
        copied : mapping of Signal to Tensor (example, …)
        baselines : mapping of Signal to Tensor
            What is subtracted, without the examples.
        """
        drive, seen = self.learner.rule.drive, self._seen(copied, baselines)
        if isinstance(self.layer, FeedbackConv2d):
            padding = tuple(map(int, self.layer.padding))
            conv = Conv(stride=self.layer.stride, padding=padding, transposed=True)
            return mean_conv_drive(drive, seen, self.feedback, conv)
        whole = {"pre": copied[self.pre].shape[1:], "post": copied[self.post].shape[1:]}
        flat = {
            name: value.expand(whole[name.removeprefix("beta_")]).flatten() if name[:4] == "beta" else value.flatten(1)
            for name, value in seen.items()
        }
        return mean_drive(drive, flat, self.feedback)

    def _seen(self, copied: Mapping[Signal, Tensor], baselines: Mapping[Signal, Tensor]) -> dict[str, Tensor]:
        """Return what the drive names."""
        pre, post = copied[self.pre], copied[self.post]

        def baseline(signal: Signal) -> Tensor:
            return baselines[signal] if signal in self.subtracted else no_mean(copied[signal].shape[1:], pre)

        # The noise is that of forward cells: none is injected into the feedback cells that a B joins.
        values: dict[str, Callable[[], Tensor]] = {
            "pre": lambda: pre,
            "noise_pre": lambda: torch.zeros_like(pre),
            "beta_pre": lambda: baseline(self.pre),
            "post": lambda: post,
            "cross": lambda: post,
            "noise_post": lambda: torch.zeros_like(post),
            "beta_post": lambda: baseline(self.post),
        }
        return {name: values[name]() for name in values if name in self.learner.rule.drive.names | {"pre", "post"}}


def sites_of(network: Network, mode: ModePlan, way: Way) -> list[Site]:
    """Return what learns in a mirror mode."""
    forward_of = {d: axons[0].source for d, axons in mode.drives.items()}

    def site(learner: Learner) -> Site:
        layer = network.projections[network.plan.mirrors[learner.name]]
        assert isinstance(layer, Weighted)
        upper, lower = way[forward_of[learner.source or ""]], way[forward_of[learner.target]]
        ends = {"beta_pre": (upper, upper.fired), "beta_post": (lower, lower.sent)}
        named = [ends[name] for name in ends if name in learner.rule.drive.names]
        subtracted = tuple(signal for end, signal in named if not end.pure)
        return Site(learner=learner, layer=layer, pre=upper.fired, post=lower.sent, subtracted=subtracted)

    return [site(learner) for learner in mode.learners]


def mean_of(signal: Tensor, means: str) -> Tensor:
    """Return the mean of a signal over its examples and, with "channel", over the positions of each channel."""
    if signal.ndim == 4 and choice("training.mirror_means", means, "channel", "position") == "channel":
        return signal.mean(dim=(0, 2, 3))[:, None, None]
    return signal.mean(dim=0)


def no_mean(shape: tuple[int, ...], like: Tensor, means: str = "channel") -> Tensor:
    """Return zeros in the place of what `mean_of` returns of signals of a shape, given without the examples."""
    return like.new_zeros((shape[0], *[1] * (len(shape) - 1)) if means == "channel" else shape)
