"""Layers of a trained network that say nothing: of rectified cells none of which fires for any of some images."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from neuromirror.data.batches import Batches
from neuromirror.data.load import Data
from neuromirror.errors import NeuromirrorError
from neuromirror.training.loop import Trainer

IMAGES = 32
"""How many images are looked at: the first of those to learn from."""
RECTIFIED = ("relu", "rectified_tanh")
"""The activations with a zero that no slope leads out of."""


@torch.no_grad()
def silent_layers(trainer: Trainer, data: Data) -> Iterator[str]:
    """Yield a sentence for each population of rectified cells that no image makes fire.

    Parameters
    ----------
    trainer : Trainer
        At the end of its run; nothing of it changes but that its network is in the mode of evaluation.
    data : Data
    """
    network, described = trainer.network, trainer.network.plan.description
    shown = Batches(data.train, data, batch=min(IMAGES, len(data.train)), size=data.train.size)
    try:
        images, _ = next(shown.all())
    except NeuromirrorError:  # an image that cannot be read is told of where it is learned from
        return
    network.eval()
    signals = network.signals(trainer.placed(images))
    for stage in network.stages:
        population = described.populations[stage.name]
        normed_after = population.norm is not None and population.norm.when == "after"
        if described.cells[population.cell].activation not in RECTIFIED or normed_after or stage.after:
            continue
        if not bool((signals[stage.name] > 0).any()):
            yield f"no cell of {stage.name} fires for any of {len(images)} images: all are dead. Lower training.rate."
