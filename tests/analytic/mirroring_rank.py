"""One of several processes that mirror together: python mirroring_rank.py DIRECTORY, with what torchrun sets.

It leaves its B of every circuit in DIRECTORY, and what it has given into sums.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from mirroring_networks import CHAIN, CONVS, circuit_of, modes_that_mirror, take_turn
from safetensors.torch import save_file

from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import Ranks, joined
from neuromirror.backends.torch.weights import feedback_state
from neuromirror.plan import make_plan

CIRCUITS = {
    "chain": circuit_of(*CHAIN, turns="each"),
    "alternate": circuit_of(*CHAIN, turns="alternate", bias="on"),
    "convolutions": circuit_of(*CONVS, turns="each"),
    "norms": circuit_of(*CONVS, turns="single"),
}
EXAMPLES = 150


def mirrored(ranks: Ranks, name: str) -> Mirror:
    """Return a mirror after two turns of each mode of a circuit, in chunks that are of one shard each."""
    plan = make_plan(CIRCUITS[name], 1)
    mirror = Mirror(Network(plan).to(torch.float64), ranks=ranks, held=64 * 200)
    mirror.network.train()
    for number in range(2):
        for mode in modes_that_mirror(plan):
            take_turn(mirror, mode, EXAMPLES, number)
    return mirror


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    directory = Path(sys.argv[1])
    ranks = joined()
    given = {}
    for name in CIRCUITS:
        before = ranks.exchanged_bytes["mirroring"]
        found = feedback_state(mirrored(ranks, name).network)
        given[name] = ranks.exchanged_bytes["mirroring"] - before
        save_file({key: B.contiguous() for key, B in found.items()}, directory / f"{name}-{ranks.rank}.safetensors")
    (directory / f"{ranks.rank}.json").write_text(json.dumps(given))


if __name__ == "__main__":
    main()
