"""Means over examples that are divided among ranks and, on each, into chunks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from torch import Tensor

from neuromirror.backends.torch.ranks import Ranks

Key = TypeVar("Key", bound=Hashable)


class SharedMeans(Generic[Key]):
    """Several means, by key, that all ranks get in one exchange.

    Parameters
    ----------
    keys : iterable
        The same on all ranks, in one order.

    Attributes
    ----------
    keys : tuple
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = tuple(keys)
        self._found: dict[Key, Tensor | None] = dict.fromkeys(self.keys)

    def add(self, key: Key, mean: Tensor, share: float) -> None:
        """Add the mean over some examples, which are such a share of all; its tensor is taken over."""
        mean = mean if share == 1 else mean.mul_(share)
        before = self._found[key]
        # The mean of all examples is taken as it is: adding it to zeros would lose the sign of a zero.
        self._found[key] = mean if before is None else before.add_(mean)

    def of_all(self, ranks: Ranks, zeros: Callable[[Key], Tensor]) -> dict[Key, Tensor]:
        """Return the means over the examples of all ranks; a rank that has seen none gives zeros of the same shape."""
        found = {key: zeros(key) if mean is None else mean for key, mean in self._found.items()}
        ranks.sum_(list(found.values()), "mirroring")
        return found
