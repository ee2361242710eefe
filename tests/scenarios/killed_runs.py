"""Trains, is killed by SIGKILL again and again, and goes on until it is done: ``killed_runs.py RUN SEED ARGUMENT…``.

Each life is a process of its own, forked from one that has loaded all modules. It ends at the n-th event from its
start, n drawn from the seed; events are the moments at which a run does what it must not do by halves. The last line
that is printed says how many lives there were, and which events ended them.
"""

from __future__ import annotations

import collections
import json
import os
import random
import sys
from pathlib import Path

import torch
from dooming import doom

from neuromirror.backends.torch.mirror import Mirror
from neuromirror.cli import main
from neuromirror.data.load import load_data
from neuromirror.record.store import RunWriter
from neuromirror.training import checkpoint, session, train  # noqa: F401 (loaded once for all lives)
from neuromirror.training.loop import Trainer
from neuromirror.training.optimizer import ForwardUpdater

MOMENTS = [
    (Mirror, "turn"),
    (ForwardUpdater, "step"),
    (Trainer, "advance"),
    (RunWriter, "metrics"),
    (RunWriter, "weight_files"),
    (RunWriter, "finish"),
    (checkpoint, "sync_folder"),
    (os, "replace"),
    (os, "fsync"),
]
"""Each is an event before it is done, and one after it."""


def live(arguments: list[str], events: int, said: int) -> None:
    """Run a command, and end at an event; what it is goes into a pipe."""
    doom(MOMENTS, events, lambda name: os.write(said, name.encode()))
    main(arguments)


def main_loop(folder: Path, seed: int, arguments: list[str]) -> None:
    torch.set_num_threads(1)
    # What is loaded on first use is loaded here, once for all lives.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)]).step()
    load_data("digits", size=(8, 8))
    chance, ends = random.Random(seed), collections.Counter[str]()
    command = ["train", *arguments, "--out", str(folder)]
    while True:
        read, write = os.pipe()
        # The last event of a life is one of the next sixty, about three steps, or, if seldom, of the first three.
        events = chance.choice([*range(1, 60), 1, 2, 3, 1, 2, 3])
        if (child := os.fork()) == 0:
            try:
                live(command, events, write)
            except SystemExit as stopped:
                os._exit(int(stopped.code or 0))
            os._exit(99)
        os.close(write)
        _, status = os.waitpid(child, 0)
        ends[os.read(read, 100).decode()] += 1
        os.close(read)
        manifest = folder / "manifest.json"
        if not os.WIFSIGNALED(status) or json.loads(manifest.read_text(encoding="utf-8"))["complete"]:
            print(f"{sum(ends.values())} lives, {dict(ends)}")
            sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 0)
        command = ["train", "--resume", str(folder), "--no-figures"]


if __name__ == "__main__":
    main_loop(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
