"""One of the processes that torchrun starts, which trains, and is killed by SIGKILL: ``killed_ranks.py ARGUMENT…``.

In each of the first ``KILLS`` lives of the run one rank ends at the n-th event of its training, rank and n drawn from
``KILL_SEED`` and the life. Events are the moments at which a run does what it must not do by halves; half
of them fall into the writing of a checkpoint. What ended which life is written into ``KILL_LOG``.
"""

from __future__ import annotations

import io
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.ranks import Ranks
from neuromirror.cli import main
from neuromirror.processes import place
from neuromirror.record.store import RunWriter
from neuromirror.training import checkpoint, session
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


def doom(events: int, note: Callable[[str], None]) -> None:
    """Let this process be killed at an event of its training."""
    left = events

    def event(name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            note(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*given: Any, **options: Any) -> Any:
            event(f"before {name}")
            result = act(*given, **options)
            event(f"after {name}")
            return result

        return acted

    def saved(state: Any, file: Any) -> None:
        whole = io.BytesIO()
        save(state, whole)
        content = whole.getvalue()
        file.write(content[: len(content) // 2])
        file.flush()
        event("half an array of a checkpoint")
        file.write(content[len(content) // 2 :])

    def begun(*given: Any, **options: Any) -> Any:  # the record is there from here on
        for owner, name in MOMENTS:
            setattr(owner, name, watched(name, getattr(owner, name)))
        torch.save = saved
        return run(*given, **options)

    save, run = torch.save, session.Session.run
    session.Session.run = begun


def live() -> None:
    """Train, doomed or not."""
    at, log = place(), Path(os.environ["KILL_LOG"])
    chance = random.Random(f"{os.environ['KILL_SEED']} {at.restarts}")
    rank, events = chance.randrange(at.size), chance.choice([*range(1, 90), 1, 2, 3])
    if at.restarts < int(os.environ["KILLS"]) and rank == at.rank:

        def note(name: str) -> None:
            with log.open("a") as file:
                file.write(f"life {at.restarts}: rank {rank}, event {events}, {name}\n")

        doom(events, note)
    torch.set_num_threads(1)
    main(sys.argv[1:])


if __name__ == "__main__":
    live()
