"""Processes of torchrun for tests: ``start`` starts some, and as a script this is one of them.

As a script: ``on_ranks.py JOBS``, a JSON file of trainings to do one after another, in which ``of_rank`` has options
that are those of one rank alone; ``bent_at`` is a step after which a weight is changed. What each came to on each rank
is written into ``JOBS.RANK``: the error, if it is one, the fingerprint of all arrays, and how many bytes it exchanged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(arguments: Sequence[str | Path], *, ranks: int = 2, restarts: int = 0, **environment: str) -> Any:
    """Start processes by torchrun, of ``-m neuromirror`` or of a script, and return the one that watches them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.Popen(
        [*torchrun, "--max-restarts", str(restarts), *map(str, arguments)],
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def done(process: Any, seconds: float = 240) -> tuple[int, str]:
    """Wait for the end of processes, and return their exit code and what they said."""
    said, _ = process.communicate(timeout=seconds)
    return process.returncode, said


def trained(jobs: list[dict[str, Any]], folder: Path, ranks: int = 2) -> list[list[dict[str, Any]]]:
    """Do trainings on several ranks, and return what each came to on each rank."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    code, said = done(start([__file__, file], ranks=ranks))
    assert code == 0, said
    found = [json.loads(file.with_suffix(f".{rank}").read_text()) for rank in range(ranks)]
    return [[of_rank[number] for of_rank in found] for number in range(len(jobs))]


def bend(trainer: Any, step: int) -> None:
    """Let one weight change by a bit after a step."""
    import torch

    advance = trainer.advance

    def bending(images: int) -> None:
        advance(images)
        if trainer.step == step:
            weights = next(trainer.network.parameters()).data.view(-1)
            weights[0] = torch.nextafter(weights[0], torch.tensor(1e9, dtype=weights.dtype))

    trainer.advance = bending


def main(file: Path) -> None:
    """Be one of the processes."""
    import torch

    import neuromirror as nm
    from neuromirror.backends.torch.fingerprint import fingerprint_of_all
    from neuromirror.backends.torch.ranks import joined
    from neuromirror.training import start as starting
    from neuromirror.training.moment import shared_arrays

    torch.set_num_threads(1)
    ranks, sessions, found, bent = joined(), [], [], None
    begin = starting.Session.__init__

    def noted(session: Any, *given: Any) -> None:
        sessions.append(session)
        begin(session, *given)
        if bent is not None:
            bend(session.trainer, bent)

    starting.Session.__init__ = noted
    for job in json.loads(file.read_text()):
        ranks.exchanged_bytes.update(dict.fromkeys(ranks.exchanged_bytes, 0))
        job |= job.pop("of_rank", {}).get(str(ranks.rank), {})
        bent = job.pop("bent_at", None)
        error = None
        try:
            nm.train(job.pop("circuit"), figures=False, **job)
        except nm.NeuromirrorError as caught:
            error = [type(caught).__name__, str(caught)]
        trainer = sessions[-1].trainer if sessions else None
        found.append(
            {
                "error": error,
                "fingerprint": None if trainer is None else fingerprint_of_all(shared_arrays(trainer)),
                "exchanged": dict(ranks.exchanged_bytes),
            }
        )
        sessions.clear()
    file.with_suffix(f".{ranks.rank}").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
