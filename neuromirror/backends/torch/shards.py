"""Shards of 64 examples: what one seed of the device's generator draws, and what ranks and chunks are made of.

A shard is drawn whole, also where a part of it is wanted. So the noise of an example hangs on run, population, turn and
its own number, and on nothing of how the examples of a turn are divided.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from neuromirror.backends.torch.ranks import Ranks
from neuromirror.circuit.description import Noise
from neuromirror.dynamics.correlation import shares
from neuromirror.errors import choice

SHARD = 64
"""Examples that one seed of the device's generator draws."""

FEWEST = 3
"""Examples of a chunk however large they are, so that none has to be left alone, of which there is no variance."""


def share(examples: int, ranks: Ranks) -> range:
    """Return which examples of a turn are a rank's: whole shards, unless there are fewer than ranks."""
    if examples < SHARD * ranks.size:
        own = ranks.share(examples)
        return range(own.start, own.stop)
    own = ranks.share(-(-examples // SHARD))
    return range(own.start * SHARD, min(own.stop * SHARD, examples))


def chunks(own: range, most: int) -> list[range]:
    """Return consecutive parts of the examples of a rank.

    Parameters
    ----------
    own : range
    most : int
        Examples of a part, `FEWEST` at least; it is of whole shards if that is a shard or more.
    """
    most = most // SHARD * SHARD or max(most, FEWEST)
    parts = [own[first : first + most] for first in range(0, len(own), most)]
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [parts[-2][:-1], own[-2:]]
    return parts


def drawn(
    noise: Noise, seed_of: Callable[[int], int], examples: int, part: range, shape: tuple[int, ...], like: Tensor
) -> Tensor:
    """Return the noise of a part of the examples of a turn.

    Parameters
    ----------
    noise : Noise
    seed_of : callable
        The seed of a shard, by its number.
    examples : int
        Of the whole turn.
    part : range
        Of the examples.
    shape : tuple of int
        Of one example, channels last.
    like : Tensor
        Of the type and on the device that the noise is to have.

    Returns
    -------
    Tensor, shape (example, …, channel)
    """
    found, generator = like.new_empty((len(part), *shape)), torch.Generator(device=like.device)
    for number in range(part.start // SHARD, -(-part.stop // SHARD)):
        whole = range(number * SHARD, min((number + 1) * SHARD, examples))
        wanted = range(max(whole.start, part.start), min(whole.stop, part.stop))
        place = found[wanted.start - part.start : wanted.stop - part.start]
        shard = place if wanted == whole else like.new_empty((len(whole), *shape))
        generator.manual_seed(seed_of(number))
        _fill(shard, noise, generator)
        if shard is not place:
            place.copy_(shard[wanted.start - whole.start : wanted.stop - whole.start])
    return found


def _fill(shard: Tensor, noise: Noise, generator: torch.Generator) -> None:
    """Fill a shard, (example, …, channel), as `neuromirror.backends.noise.NoiseSource` fills what it draws."""
    _draw(shard, noise, generator)
    rho = noise.correlation or 0.0
    if not rho:
        return
    common = shard.new_empty((len(shard), *[1] * (shard.ndim - 1)))
    _draw(common, noise, generator)
    private_share, common_share = shares(rho)
    if choice("noise.law", noise.law, "gaussian", "rademacher") == "rademacher":
        takes = torch.empty_like(shard).bernoulli_(common_share, generator=generator)
        shard.add_(takes * (common - shard))
    else:
        shard.mul_(private_share).add_(common, alpha=common_share)


def _draw(numbers: Tensor, noise: Noise, generator: torch.Generator) -> None:
    if choice("noise.law", noise.law, "gaussian", "rademacher") == "rademacher":
        numbers.bernoulli_(0.5, generator=generator).mul_(2.0 * noise.sd).sub_(noise.sd)
    else:
        numbers.normal_(0.0, noise.sd, generator=generator)
