"""Which images are for training and which for validation: fixed, and balanced over classes.

The images of each class are brought into an order that is always the same. Training takes from its front, one of each
class in turn, validation likewise from its back; so neither moves when more of the other are asked for, as long as
there are enough of every class.
"""

from __future__ import annotations

import numpy as np

from neuromirror.seeds import stream


def divided(labels: np.ndarray, train: int, validation: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide training images.

    Parameters
    ----------
    labels : ndarray of int64, shape (images,)
        Label of each.
    train, validation : int
        How many are wanted: no more than there are, and for validation no more than `most_for_validation`.

    Returns
    -------
    train, validation : ndarray of int64
        Numbers of the images, ascending. The second does not depend on how many are wanted for training, and leaves
        every class one image at least.
    """
    rank, size = _ranks(labels)
    from_behind = np.lexsort((labels, size - rank))
    for_validation = from_behind[rank[from_behind] > 0][:validation]
    in_front = np.lexsort((labels, rank))
    for_training = in_front[~np.isin(in_front, for_validation)][:train]
    return np.sort(for_training), np.sort(for_validation)


def most_for_validation(labels: np.ndarray) -> int:
    """Return how many images can be for validation, if every class keeps one for training."""
    return len(labels) - len(np.unique(labels))


def _ranks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each image among those of its class, from 0, and how many these are."""
    shuffled = stream(0, "data", "subsets").permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    _, first, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank, size = np.empty_like(labels), np.empty_like(labels)
    rank[by_class] = np.arange(len(labels)) - np.repeat(first, counts)
    size[by_class] = np.repeat(counts, counts)
    return rank, size
