r"""The learning rate over a training run (C.1).

.. math:: \eta_W(e) = \eta_\text{peak}\cdot\operatorname{clip}\Big(\frac{e - e_0}{e_w}, 0, 1\Big)
    \cdot f^{\,\#\{d \le e\}}

with e the epochs done, mirror-only ones included, e_0 the mirror-only epochs, e_w those of warm-up, and a drop by f
after each epoch d of a list. The paper: e_w = 6, f = 0.1, d = 32, 62, 82, and e_0 = 2 with weight mirrors.
"""

from __future__ import annotations

from neuromirror.circuit.protocol import Training


def rate_factor(epoch: float, training: Training, *, mirror_epochs: float) -> float:
    """Return the learning rate as a part of its peak.

    Parameters
    ----------
    epoch : float
        Epochs done, mirror-only ones included.
    training : Training
    mirror_epochs : float
        How many epochs there are of mirroring alone, 0 for methods without.

    Returns
    -------
    float
        0 to 1.
    """
    since = epoch - mirror_epochs
    warm = 1.0 if training.warmup_epochs == 0 else min(max(since / training.warmup_epochs, 0.0), 1.0)
    return (warm if since >= 0 else 0.0) * dropped(epoch, training)


def dropped(epoch: float, training: Training) -> float:
    """Return the part of the peak that the drops so far have left, 0 to 1."""
    return training.drop_factor ** sum(drop <= epoch for drop in training.drops)


def peak_rate(rate: float, training: Training) -> float:
    """Return the peak of a rule's learning rate: what the protocol says, or the rule's own for 256 images, scaled."""
    return training.rate if training.rate is not None else rate * training.batch / 256
