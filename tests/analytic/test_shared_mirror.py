"""Turns of mirroring that are divided, among ranks and into chunks: the same B, the same noise, and bounded memory."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mirroring_networks import (
    CHAIN,
    CONVS,
    DRIVES,
    MEAN,
    TURNS,
    Tables,
    circuit_of,
    conv,
    dense,
    modes_that_mirror,
    take_turn,
)
from mirroring_rank import CIRCUITS, mirrored
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import neuromirror as nm
from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import ALONE, Ranks
from neuromirror.backends.torch.shards import FEWEST, SHARD, chunks, share
from neuromirror.backends.torch.weights import feedback_state
from neuromirror.circuit.description import Noise
from neuromirror.plan import Plan, make_plan
from neuromirror.rules.expression import Factor

PLAIN_CONVS = ({n: {k: v for k, v in p.items() if k != "norm"} for n, p in CONVS[0].items()}, CONVS[1])
NOISES = ({}, {"sd": 0.7}, {"law": "rademacher"}, {"correlation": 0.3}, {"law": "rademacher", "correlation": 0.2})


@pytest.fixture(autouse=True, scope="module")
def one_thread_and_float64() -> Iterator[None]:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


class InThreads(Ranks):
    """One of several ranks that are threads of this process."""

    def __init__(self, rank: int, given: list[Tensor | None], meeting: threading.Barrier) -> None:
        super().__init__(rank, len(given))
        self.given, self.meeting, self.exchanges = given, meeting, 0

    def sum_(self, tensors: Any, what: str = "mirroring") -> None:
        assert what == "mirroring"
        if not tensors:
            return
        self.exchanges += 1
        self.given[self.rank] = torch.cat([one.reshape(-1) for one in tensors])
        self.meeting.wait()
        total = sum(self.given)
        self.meeting.wait()
        for one, summed in zip(tensors, total.split([one.numel() for one in tensors]), strict=True):
            one.copy_(summed.view(one.shape))


def together(plan: Plan, size: int, examples: int, *, train: bool = True, **options: Any) -> list[dict[str, Tensor]]:
    """Return the B of each of several ranks after a turn of every mode."""
    given, meeting = [None] * size, threading.Barrier(size, timeout=30)

    def one(rank: int) -> dict[str, Tensor]:
        ranks = ALONE if size == 1 else InThreads(rank, given, meeting)
        mirror = Mirror(Network(plan).train(train), ranks=ranks, **options)
        try:
            for mode in modes_that_mirror(plan):
                take_turn(mirror, mode, examples, 3, MEAN)
                if isinstance(ranks, InThreads):  # one of means, where some are subtracted, and one of drives
                    assert ranks.exchanges <= 2
                    ranks.exchanges = 0
        except BaseException:
            meeting.abort()
            raise
        return feedback_state(mirror.network)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def assert_alike(found: list[dict[str, Tensor]], alone: dict[str, Tensor]) -> None:
    """Hold the B of ranks against each other, bit for bit, and against those of one process, to 1e-12."""
    for name, B in alone.items():
        assert all(torch.equal(one[name], found[0][name]) for one in found)
        torch.testing.assert_close(found[0][name], B, rtol=0, atol=1e-12 * float(B.abs().max()), msg=name)


@settings(deadline=None, max_examples=120)
@given(
    circuit=st.sampled_from([CHAIN, PLAIN_CONVS]),
    turns=st.sampled_from(TURNS),
    drive=st.one_of(st.just("weight_mirror"), st.sampled_from(DRIVES)),
    noise=st.sampled_from(NOISES),
    bias=st.sampled_from(["on", "blocked", "everywhere"]),
    means=st.sampled_from(["channel", "position"]),
    size=st.integers(1, 4),
    examples=st.integers(2, 300),
    held=st.integers(1, 30_000),
)
def test_b_is_the_same_however_examples_are_divided(
    circuit: tuple[Tables, Tables],
    turns: str,
    drive: str,
    noise: Tables,
    bias: str,
    means: str,
    size: int,
    examples: int,
    held: int,
) -> None:
    plan = make_plan(circuit_of(*circuit, drive=drive, turns=turns, bias=bias, noise=noise), 1)
    (alone,) = together(plan, 1, examples, means=means)
    assert_alike(together(plan, size, examples, means=means, held=held), alone)


@pytest.mark.parametrize("size", [1, 3])
def test_norms_that_act_see_the_examples_of_a_chunk(size: int) -> None:
    """So B hangs on how a turn is divided, but for running statistics; on all ranks it is the same."""
    plan = make_plan(circuit_of(*CONVS, turns="single"), 2)
    (alone,) = together(plan, 1, 200)
    found = together(plan, size, 200, held=64 * 200)
    for name, B in alone.items():
        assert all(torch.equal(one[name], found[0][name]) for one in found)
        apart = float((found[0][name] - B).norm() / B.norm())
        assert (apart < 1e-12) if name == "B1" else (1e-6 < apart < 0.1)  # no norm is below B1
    (alone,) = together(plan, 1, 200, train=False)
    assert_alike(together(plan, size, 200, train=False, held=64 * 200), alone)


def test_too_few_examples_for_norms_are_refused_on_all_ranks() -> None:
    plan = make_plan(circuit_of(*CONVS, turns="single"), 2)
    for rank in range(3):  # of which one has two examples
        mirror = Mirror(Network(plan), ranks=Ranks(rank, 3))
        with pytest.raises(nm.RequestError, match=r"4 examples a turn for 3 processes.*mirror_examples=6"):
            take_turn(mirror, plan.modes["mirror_single"], 4)


@given(examples=st.integers(2, 5000), size=st.integers(1, 40), most=st.integers(0, 400))
def test_examples_are_divided_into_whole_shards_where_there_are_enough(examples: int, size: int, most: int) -> None:
    shares = [share(examples, Ranks(rank, size)) for rank in range(size)]
    assert [example for own in shares for example in own] == list(range(examples))
    whole = examples >= SHARD * size
    assert max(map(len, shares)) - min(map(len, shares)) <= (2 * SHARD - 1 if whole else 1)
    for own in shares:
        assert own.start % SHARD == 0 or not whole
        parts = chunks(own, most)
        assert [example for part in parts for example in part] == list(own)
        assert all(len(part) <= max(most, FEWEST) for part in parts)
        assert len(parts) < 2 or all(len(part) > 1 for part in parts)
        if whole and most >= SHARD:
            assert all(part.start % SHARD == 0 for part in parts[:-1])


@settings(deadline=None)
@given(data=st.data(), examples=st.integers(2, 200), noise=st.sampled_from([Noise(**given) for given in NOISES]))
def test_noise_of_a_part_is_that_part_of_the_noise(data: st.DataObject, examples: int, noise: Noise) -> None:
    mirror = Mirror(Network(make_plan(circuit_of(*CONVS), 5)))
    start = data.draw(st.integers(0, examples))
    part = range(start, data.draw(st.integers(start, examples)))
    whole = mirror.noise("a", noise, examples, 3)
    assert torch.equal(mirror.noise("a", noise, examples, 3, part), whole[part.start : part.stop])


class Watched(TorchDispatchMode):
    """Follows the tensors that are made: numbers drawn, numbers of the largest, and of all that live at once."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = self.largest = self.living = self.most = 0
        self.counted = set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func._schema.name == "aten::normal_":
            self.drawn += args[0].numel()
        for one in tree_leaves(found):
            if isinstance(one, Tensor) and (key := one.untyped_storage()._cdata) not in self.counted:
                numbers = one.untyped_storage().nbytes() // one.element_size()
                self.largest, self.living = max(self.largest, numbers), self.living + numbers
                self.most = max(self.most, self.living)
                self.counted.add(key)
                weakref.finalize(one.untyped_storage(), self._gone, key, numbers)
        return found

    def _gone(self, key: int, numbers: int) -> None:
        self.counted.discard(key)
        self.living -= numbers


def test_a_rank_draws_the_noise_of_its_share_alone() -> None:
    plan = make_plan(circuit_of(*PLAIN_CONVS, turns="single"), 0)
    pixels = math.prod(plan.description.populations["image"].shape)
    for rank in range(4):
        mirror = Mirror(Network(plan), ranks=Ranks(rank, 4))
        with Watched() as watched:
            mirror.noise("image", Noise(), 300, 0, share(300, mirror.ranks))
        assert watched.drawn == (44 + 64 if rank == 3 else 64) * pixels


WIDE = (
    {
        "y0": {"shape": [2, 12, 12], "cell": "linear"},
        "y1": {"shape": [4, 12, 12], "cell": "relu"},
        "y2": {"shape": [3], "cell": "relu"},
    },
    {"W1": conv("y0", "y1", 3, padding=1), "W2": dense("y1", "y2")},
)
"""Of many positions, so that signals are larger than weights."""


@pytest.mark.parametrize("drive", ["weight_mirror", "post*pre"])
@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("held", [200_000, 40_000])
def test_signals_that_live_at_once_are_bounded_whatever_the_examples(
    turns: str, drive: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest has no more numbers than are held; all that live, copies in the middle of sums too, three times that.

    Those of all examples would have 590 000. Where a shard is larger than a chunk, its noise is there besides.
    """
    plan = make_plan(circuit_of(*WIDE, turns=turns, drive=drive), 0)
    mirror = Mirror(Network(plan), held=held)
    # Following tensors needs the builtins, which the expressions of drives are not given.
    monkeypatch.setattr(Factor, "evaluate", lambda self, values, functions: eval(self.code, {**functions, **values}))
    with Watched() as watched:
        for mode in modes_that_mirror(plan):
            take_turn(mirror, mode, 1024)
    shard = 4 * 12 * 12 * SHARD
    assert watched.largest <= held
    assert watched.most <= 3 * held + (shard if held < 2 * shard else 0)


def test_signals_are_let_go_after_their_last_use() -> None:
    """Of 12 layers in a row, each with a B, three are there at a time where no mean is waited for."""
    layers = {f"y{layer}": {"shape": [20], "cell": "relu"} for layer in range(12)}
    plan = make_plan(
        circuit_of(
            layers, {f"W{n}": dense(f"y{n - 1}", f"y{n}") for n in range(1, 12)}, turns="single", drive="post*pre"
        ),
        0,
    )
    mirror = Mirror(Network(plan))
    with Watched() as watched:
        take_turn(mirror, plan.modes["mirror_single"], 2048)
    weights = 12 * 20 * 20
    assert watched.most <= 4 * 20 * 2048 + 2 * weights


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where two processes left what they mirrored together."""
    directory = tmp_path_factory.mktemp("ranks")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("mirroring_rank.py")), str(directory)]
    started = [subprocess.Popen(command, env={**common, "RANK": str(rank)}) for rank in range(2)]
    try:
        assert [one.wait(timeout=120) for one in started] == [0, 0]
    finally:
        for one in started:
            one.kill()
    return directory


@pytest.mark.parametrize("name", CIRCUITS)
def test_two_processes_mirror_as_one_does(two_processes: Path, name: str) -> None:
    first, second = (load_file(two_processes / f"{name}-{rank}.safetensors") for rank in range(2))
    alone = feedback_state(mirrored(ALONE, name).network)
    if name == "norms":
        assert all(torch.equal(first[key], second[key]) for key in alone)
    else:
        assert_alike([first, second], alone)


def test_processes_exchange_every_b_once_and_the_means_that_are_subtracted(two_processes: Path) -> None:
    """Those of upper layers, one for a channel or a cell, and of lower ones that are more than noise; float64."""
    y1, y2, y3, y4, a, b, head = 2, 6, 4, 3, 3, 3, 4
    means = {
        "chain": y1 + (y2 + y3) + y3 + y4,
        # What is noisy is noise alone, whatever its biases. Where y1 and y3 are noisy, y3 is above y1 too.
        "alternate": (y1 + y3) + (y2 + y4 + y3),
        "convolutions": a + b + head,
        # As the upper end a cell gives what its nonlinearity does, as the lower one what it sends on.
        "norms": (a + b + head) + (a + b),
    }
    for rank in range(2):
        given = json.loads((two_processes / f"{rank}.json").read_text())
        for name, count in means.items():
            numbers = sum(B.numel() for B in load_file(two_processes / f"{name}-{rank}.safetensors").values())
            assert given[name] == 2 * 8 * (numbers + count), name
