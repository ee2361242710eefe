"""One of the processes that torchrun starts, which trains, and is killed by SIGKILL: ``killed_ranks.py ARGUMENT…``.

In each of the first ``KILLS`` lives of the run one rank ends at the n-th event of its training, rank and n drawn from
``KILL_SEED`` and the life. Events are the moments at which a run does what it must not do by halves; half
of them fall into the writing of a checkpoint. What ended which life is written into ``KILL_LOG``.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import torch
from dooming import doom

from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.ranks import Ranks
from neuromirror.cli import main
from neuromirror.processes import place
from neuromirror.record.store import RunWriter
from neuromirror.training import checkpoint
from neuromirror.training.loop import Trainer
from neuromirror.training.optimizer import ForwardUpdater

MOMENTS = [
    (Mirror, "turn"),
    (ForwardUpdater, "step"),
    (Trainer, "advance"),
    (Ranks, "numbers"),
    (Ranks, "gathered"),
    (RunWriter, "metrics"),
    (RunWriter, "weight_files"),
    (checkpoint, "sync_folder"),
    (os, "replace"),
    (os, "fsync"),
]
"""Each is an event before it is done, and one after it."""


def live() -> None:
    """Train, doomed or not."""
    at, log = place(), Path(os.environ["KILL_LOG"])
    chance = random.Random(f"{os.environ['KILL_SEED']} {at.restarts}")
    rank, events = chance.randrange(at.size), chance.choice([*range(1, 90), 1, 2, 3])
    if at.restarts < int(os.environ["KILLS"]) and rank == at.rank:

        def note(name: str) -> None:
            with log.open("a") as file:
                file.write(f"life {at.restarts}: rank {rank}, event {events}, {name}\n")

        doom(MOMENTS, events, note)
    torch.set_num_threads(1)
    main(sys.argv[1:])


if __name__ == "__main__":
    live()
