"""The order in which the examples of an epoch are shown."""

from __future__ import annotations

import torch
from torch import Tensor

from neuromirror.seeds import stream


def order(seed: int, epoch: int, examples: int) -> Tensor:
    """Return the order of one epoch.

    Parameters
    ----------
    seed : int
        Root seed of the run.
    epoch : int
        Number of the epoch, from 0.
    examples : int
        How many there are.

    Returns
    -------
    Tensor of int64, shape (examples,)
        A permutation; a pure function of the three.
    """
    return torch.from_numpy(stream(seed, "data", "order", epoch).permutation(examples))
