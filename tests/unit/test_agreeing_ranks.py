"""What ranks agree on, with fakes in place of other processes; and the numbers by which arrays are compared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from neuromirror.backends.torch.fingerprint import combined, fingerprint, fingerprint_of_all
from neuromirror.backends.torch.ranks import ALONE, Ranks, reached
from neuromirror.circuit.protocol import Training
from neuromirror.data.broken import BrokenImages
from neuromirror.errors import RequestError, RunError
from neuromirror.training import train as training
from neuromirror.training.agreement import agree, check_alike, check_same
from neuromirror.training.distributed import check_ranks
from neuromirror.training.statistics import average_statistics, mean_statistics, statistics_of

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8)

# ---- fingerprints ----------------------------------------------------------------------------------------------------


@given(
    dtype=st.sampled_from(DTYPES), numbers=st.integers(1, 300), where=st.integers(0, 10**6), bit=st.integers(0, 10**6)
)
def test_a_single_bit_that_differs_is_noticed(dtype: torch.dtype, numbers: int, where: int, bit: int) -> None:
    generator = torch.Generator().manual_seed(numbers)
    one = (torch.randn(numbers, generator=generator) * 50).to(dtype)
    other = one.clone()
    octets = other.view(torch.uint8)
    octets[where % len(octets)] ^= 1 << (bit % 8)
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one.clone())


def test_the_order_of_numbers_counts_and_the_order_in_memory_does_not() -> None:
    one = torch.randn(2, 3, 4, 5)
    assert fingerprint(one) == fingerprint(one.to(memory_format=torch.channels_last))
    assert fingerprint(one) != fingerprint(one.flip(0))
    assert fingerprint_of_all({"a": one, "b": -one}) == fingerprint_of_all({"b": -one, "a": one})
    assert fingerprint_of_all({"a": one, "b": -one}) != fingerprint_of_all({"a": -one, "b": one})


def test_signs_of_zero_and_numbers_that_are_none_are_told_apart() -> None:
    assert fingerprint(torch.tensor([0.0])) != fingerprint(torch.tensor([-0.0]))
    assert fingerprint(torch.tensor([float("nan")])) == fingerprint(torch.tensor([float("nan")]))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_numbers_combine_to_one_of_64_bits(numbers: list[int]) -> None:
    assert -(2**63) <= combined(numbers) < 2**63


# ---- the same arrays on all ranks ------------------------------------------------------------------------------------


class Pair(Ranks):
    """The first of two ranks, the other of which has what a function makes of what this one has."""

    def __init__(self, other: Any) -> None:
        super().__init__(0, 2)
        self.other = other

    def integers(self, value: int) -> list[int]:
        return [value, self.other(value)]

    def numbers(self, values: Any) -> list[float]:
        return [one + other for one, other in zip(values, self.other(list(values)), strict=True)]

    def gathered(self, value: Any) -> list[Any]:
        return [value, self.other(value)]


def network() -> Any:
    made = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    made.register_buffer("feedback", torch.ones(2, 3))
    return made


def test_ranks_that_are_alike_go_on() -> None:
    check_same(network(), Pair(lambda value: value), 7)
    check_same(network(), ALONE, 7)


def test_ranks_that_differ_are_stopped_by_name() -> None:
    def differing(value: Any) -> Any:
        return value + 1 if isinstance(value, int) else {**value, "feedback": value["feedback"] + 1}

    with pytest.raises(RunError, match=r"^after 7 steps ranks differ from rank 0 in feedback of rank 1\."):
        check_same(network(), Pair(differing), 7)


def test_running_statistics_are_each_ranks_own() -> None:
    seen: list[dict[str, int]] = []

    def noted(value: Any) -> Any:
        if isinstance(value, dict):
            seen.append(value)
        return value + 1 if isinstance(value, int) else value

    with pytest.raises(RunError):
        check_same(network(), Pair(noted), 1)
    assert set(seen[0]) == {"0.weight", "0.bias", "1.weight", "1.bias", "feedback"}


def test_statistics_of_ranks_are_averaged_and_counts_are_not() -> None:
    class Other(Pair):
        def sum_(self, tensors: Any, what: str = "mirroring") -> None:
            assert what == "statistics"
            for one in tensors:
                one.add_(one, alpha=3.0)  # the other has three times as much

    own = network()
    own[1].running_mean.copy_(torch.tensor([1.0, -2.0]))
    own[1].num_batches_tracked.fill_(5)
    before = {name: one.clone() for name, one in statistics_of(own).items()}
    others = {name: 3 * one for name, one in before.items()}
    average_statistics(own, Other(None))
    assert own[1].running_mean.tolist() == [2.0, -4.0]
    assert own[1].running_var.tolist() == [2.0, 2.0]
    assert own[1].num_batches_tracked == 5
    read = mean_statistics([before, others])
    assert read.keys() == before.keys()
    assert all(torch.equal(read[name], one) for name, one in statistics_of(own).items())
    average_statistics(own, ALONE)
    assert own[1].running_mean.tolist() == [2.0, -4.0]
    assert mean_statistics([before]) == before


# ---- what is asked of them ------------------------------------------------------------------------------------------


def test_ranks_that_were_asked_for_different_things_are_refused_by_name() -> None:
    asked = {"circuit": "small", "images": "digits (1438)", "seeds": [0]}
    check_alike(Pair(lambda value: value), asked)
    check_alike(ALONE, asked)
    for name in asked:
        with pytest.raises(RequestError, match=rf"^rank 1: {name} others, where rank 0 has .* Start all processes"):
            check_alike(Pair(lambda value, name=name: {**value, name: "others"}), asked)


def test_a_run_that_another_rank_cannot_evaluate_is_evaluated_by_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "read_settings", lambda folder: None)
    monkeypatch.setattr(training, "open_run", lambda folder: SimpleNamespace(manifest=None))
    monkeypatch.setattr(training, "prepared_again", lambda folder, manifest, settings: None)
    monkeypatch.setattr(training, "joined", lambda: Pair(lambda value: (2, "no such images")))
    with pytest.raises(RequestError, match=r"^rank 1: no such images$"):
        training.evaluate("a run")


GLOO = "[/src/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:43908. This is typically caused by"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            GLOO,
            RunError,
            r"^another process of the run is lost \(Connection closed by peer \[127.0.0.1\]:43908\)\. What",
        ),
        ("Timed out waiting for 1800000ms.\nMore", RunError, r"is lost \(Timed out waiting for 1800000ms\)\. What"),
        ("mat1 and mat2 shapes cannot be multiplied", RuntimeError, "^mat1 and mat2"),
    ],
)
def test_a_lost_process_is_told_from_other_errors(error: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught, reached():
        raise RuntimeError(error)
    assert type(caught.value) is kind


# ---- what comes next -------------------------------------------------------------------------------------------------

NOTHING = {"stop": False, "save": False, "images": 8, "finite": True, "failure": None}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("finite", [False, True])
def test_what_one_rank_has_holds_for_all(rank: int, stop: bool, finite: bool) -> None:
    theirs = [float(stop and rank == 1), 0.0, 7.0, float(not finite and rank == 1), 0.0, 0.0]
    own: dict[str, Any] = {**NOTHING, "stop": stop and rank == 0, "finite": finite or rank == 1}
    found = agree(Pair(lambda _: theirs), BrokenImages(), 0, **own)
    assert (found.stop, found.save, found.images, found.finite) == (stop, False, 15, finite)


def test_only_the_first_rank_finds_that_it_is_time_to_save() -> None:
    second = Pair(lambda values: [0.0] * len(values))
    second.rank = 1
    assert not agree(second, BrokenImages(), 0, **{**NOTHING, "save": True}).save
    assert agree(Pair(lambda values: [0.0] * len(values)), BrokenImages(), 0, **{**NOTHING, "save": True}).save


def test_all_know_what_any_has_found_broken_and_in_one_order() -> None:
    broken = BrokenImages(4)
    broken.found = {"known": "half", "mine": "empty"}

    def other(value: Any) -> Any:
        return {"theirs": "none", "mine": "empty"} if isinstance(value, dict) else [0, 0, 8, 0, 2, 0]

    agree(Pair(other), broken, 1, **NOTHING)
    assert list(broken.found) == ["known", "mine", "theirs"]


def test_the_limit_is_that_of_all_ranks_together() -> None:
    broken = BrokenImages(1)
    broken.found = {"mine": "empty"}
    with pytest.raises(RunError, match=r"^theirs: training image number 2 that cannot be read \(none\)"):
        agree(
            Pair(lambda value: {"theirs": "none"} if isinstance(value, dict) else [0, 0, 8, 0, 1, 0]),
            broken,
            0,
            **NOTHING,
        )


def test_a_failure_elsewhere_is_raised_here_with_its_rank() -> None:
    def other(value: Any) -> Any:
        return (1, "no such file") if value is None else [0, 0, 8, 0, 0, 1]

    with pytest.raises(RunError, match=r"^rank 1: no such file$"):
        agree(Pair(other), BrokenImages(), 0, **NOTHING)


@pytest.mark.parametrize(("kind", "code"), [(RunError, 1), (RequestError, 2)])
def test_what_fails_on_one_rank_fails_on_all(kind: type[Exception], code: int) -> None:
    def fails() -> Tensor:
        raise kind("it is so")

    with pytest.raises(kind, match=r"^it is so$"):
        Pair(lambda value: None).together(fails)
    with pytest.raises(kind, match=r"^rank 1: it is so$"):
        Pair(lambda value: (code, "it is so")).together(lambda: 3)
    assert Pair(lambda value: value).together(lambda: 3) == 3


@given(batch=st.integers(1, 512), micro=st.integers(1, 128), ranks=st.integers(1, 64))
def test_ranks_divide_a_batch_into_whole_micro_batches_or_are_refused(batch: int, micro: int, ranks: int) -> None:
    training = Training(batch=batch, micro_batch=micro)
    if ranks == 1 or batch % (ranks * min(micro, batch)) == 0:
        check_ranks(training, ranks)
        return
    with pytest.raises(RequestError, match=rf"^{ranks} processes: they cannot divide a batch of {batch} images"):
        check_ranks(training, ranks)
