"""Running statistics of batch norm, which each rank has of its own images: they are averaged before they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from neuromirror.backends.torch.ranks import Ranks

NAMES = ("running_mean", "running_var", "num_batches_tracked")


def is_statistic(name: str) -> bool:
    """Return whether an array of a network is a running statistic, by its name."""
    return name.rpartition(".")[2] in NAMES


def statistics_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the running statistics of a network by name, the arrays themselves."""
    return {name: one for name, one in network.named_buffers() if is_statistic(name)}


def average_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Make the running statistics the mean of those of all ranks; all of them together."""
    if ranks.size > 1:
        own = [one for one in statistics_of(network).values() if one.is_floating_point()]
        ranks.sum_(own, "statistics")
        for one in own:
            one.div_(ranks.size)


def mean_statistics(of_ranks: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of statistics that several ranks have written, as `average_statistics` would have made it.

    Of how many batches they are is what the first rank has counted.
    """
    first, *others = of_ranks
    return {
        name: sum((other[name] for other in others), one) / len(of_ranks) if others and one.is_floating_point() else one
        for name, one in first.items()
    }
