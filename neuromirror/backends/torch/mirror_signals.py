"""How signals run through a network in mirror mode: which layers are noisy, what they drive, and what is copied (C.2).

Signals run as far as the mode has projections on. Batch norm acts where a population sends its signal on in the same
mode, as with a single noisy input, and is left out where it does not (C.2: through the convolution, then the ReLU).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neuromirror.backends.torch.network import Network, Stage, summed
from neuromirror.circuit.description import Noise
from neuromirror.modes import ModePlan

Signal = tuple[str, str]
"""A population, and which of its signals: "fired", what its nonlinearity gives, or "sent", what goes on to others."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a population comes by its signals in a mirror mode.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of its signals, without the examples: (channels, rows, columns) or (cells,).
    stage : Stage or None
        None of the input.
    layers, before, after : tuple of (str, str)
        What drives it, as in `Stage`: the projections that transmit from populations that have signals.
    norm : {"before", "after"} or None
        Where batch norm acts.
    biased : bool
        Whether it has a bias, which acts. What nothing drives is then noisy about φ of its bias.
    noise : Noise or None
        What is added to what it fires.
    """

    name: str
    shape: tuple[int, ...]
    stage: Stage | None
    layers: tuple[tuple[str, str], ...]
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    norm: str | None
    biased: bool
    noise: Noise | None

    @property
    def sources(self) -> list[str]:
        """What drives it, once for each projection."""
        return [source for _, source in (*self.layers, *self.before, *self.after)]

    @property
    def driven(self) -> bool:
        """Whether other populations drive it."""
        return bool(self.layers or self.before or self.after)

    @property
    def pure(self) -> bool:
        """Whether its signal is noise and nothing else."""
        return not self.driven and not self.biased

    @property
    def fired(self) -> Signal:
        """What its nonlinearity gives, noise included."""
        return self.name, "fired"

    @property
    def sent(self) -> Signal:
        """What goes on to the layers above: the same, but for batch norm and shortcuts after the nonlinearity."""
        return (self.name, "sent") if self.norm == "after" or self.after else self.fired

    @property
    def numbers(self) -> int:
        """Of its signals for one example."""
        return math.prod(self.shape) * len({self.fired, self.sent})


Way = Mapping[str, Reached]
"""The populations that have signals in a mode, in the order in which they get them."""


def way_of(network: Network, mode: ModePlan) -> Way:
    """Return what signals run through in a mirror mode."""
    transmitting = {axons.name for group in mode.synapses.values() for axons in group}
    sending = {axons.source for group in mode.synapses.values() for axons in group}
    found = dict[str, Reached]()

    def on(axons: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((name, source) for name, source in axons if name in transmitting and source in found)

    for name, stage in ((network.input, None), *((stage.name, stage) for stage in network.stages)):
        layers, before, after = ((), (), ()) if stage is None else map(on, (stage.layers, stage.before, stage.after))
        driven, noise = bool(layers or before or after), mode.noise.get(name)
        if not driven and noise is None:
            continue
        shape = network.plan.description.populations[name].shape
        found[name] = Reached(
            name=name,
            shape=shape if len(shape) == 3 else (math.prod(shape),),
            stage=stage,
            layers=layers,
            before=before,
            after=after,
            norm=stage.norm if stage is not None and driven and name in sending else None,
            biased=name in mode.biased,
            noise=noise,
        )
    return found


def signals(network: Network, way: Way, noise_of: Callable[[str, Noise], Tensor]) -> Iterator[tuple[Signal, Tensor]]:
    """Yield the signals of one mode, each (example, …), in the order of the way; noise is drawn when its turn comes.

    None is held here for longer than others are driven by it.
    """
    sent, left = dict[str, Tensor](), Counter(source for one in way.values() for source in one.sources)
    for one in way.values():
        fired, sent[one.name] = _signals_of(
            network, one, sent, None if one.noise is None else noise_of(one.name, one.noise)
        )
        yield one.fired, fired
        if one.sent != one.fired:
            yield one.sent, sent[one.name]
        del fired
        if not left[one.name]:
            del sent[one.name]
        for source in one.sources:
            left[source] -= 1
            if not left[source]:
                del sent[source]


def _signals_of(
    network: Network, one: Reached, sent: Mapping[str, Tensor], noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return what a population fires, and what it sends on; the same tensor where they are the same signal."""
    if one.driven:
        fired, on = _driven(network, one, sent)
    else:
        assert noise is not None
        if one.pure:
            return noise, noise
        assert one.stage is not None
        fired = on = one.stage.phi(network.biased(one.stage, torch.zeros_like(noise)))
    if noise is None:
        return fired, on
    noisy = fired + noise
    return noisy, noisy if on is fired else on + noise


def _driven(network: Network, one: Reached, sent: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return what a population fires and what it sends on, driven by the layers below."""
    stage = one.stage
    assert stage is not None
    arriving = [network.projections[name](sent[source]) for name, source in one.layers]
    before, after = ([sent[source] for _, source in axons] for axons in (one.before, one.after))
    total = summed(arriving) if arriving else torch.zeros_like((before or after)[0])
    if one.biased:
        total = network.biased(stage, total)
    if one.norm == "before":
        total = network.norms[one.name](total)
    fired = stage.phi(summed([total, *before]))
    normed = network.norms[one.name](fired) if one.norm == "after" else fired
    return fired, summed([normed, *after])
