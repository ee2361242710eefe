"""Streams of random numbers: known by seed and name alone, different where either differs, and without relation."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.errors import RequestError
from neuromirror.seeds import MAX_SEED, checked_seed, integer, stream

SEEDS = st.integers(0, MAX_SEED)
NAMES = st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=6), max_size=4).map(tuple)


@given(SEEDS, NAMES)
@settings(deadline=None)
def test_a_stream_is_philox_keyed_by_a_hash_of_seed_and_name(seed: int, names: tuple[str, ...]) -> None:
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    expected = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    assert np.array_equal(stream(seed, *names).random(5), expected.random(5))


def test_numbers_of_a_seed_stay_what_they_are() -> None:
    # Golden: all records that exist were made with these. They may change only with the version of the record's schema.
    assert stream(0, "weights", "W1").integers(0, 2**31, 3).tolist() == [733105877, 666591302, 500908940]
    assert integer(7, "brian2") == 484399688


@given(SEEDS, NAMES, NAMES)
@settings(deadline=None)
def test_a_stream_does_not_depend_on_those_asked_for_before(
    seed: int, names: tuple[str, ...], others: tuple[str, ...]
) -> None:
    alone = stream(seed, *names).random(3)
    stream(seed, *others).random(7)
    assert np.array_equal(stream(seed, *names).random(3), alone)


@given(st.lists(st.tuples(SEEDS, NAMES), min_size=2, max_size=8, unique=True))
@settings(deadline=None)
def test_streams_of_other_seeds_or_names_are_others(keys: list[tuple[int, tuple[str, ...]]]) -> None:
    # Two equal numbers of 53 bits among 8 streams: probability 3e-15 an example.
    first = [stream(seed, *names).random() for seed, names in keys]
    assert len(set(first)) == len(keys)


def test_names_are_not_run_together() -> None:
    asked = [(1, "23"), (12, "3"), (123,), (1, "2", "3"), (1, "", "23"), (1, "23", "")]
    assert len({stream(seed, *names).random() for seed, *names in asked}) == len(asked)


def test_a_number_may_be_part_of_a_name() -> None:
    assert stream(1, "layer", 2).random() == stream(1, "layer", "2").random()


def test_streams_of_neighbouring_seeds_and_names_are_uncorrelated() -> None:
    # 60 streams of 4000 numbers: 1770 correlations and 60 means of sd 1/sqrt(4000), 60 variances of sd sqrt(2/4000).
    # By the normal law one of these 1890 exceeds 5.5 sd with probability 7e-5; the seeds are fixed.
    keys = itertools.product(range(20), ["W1", "W2", "B1"])
    drawn = np.array([stream(seed, "weights", name).standard_normal(4000) for seed, name in keys])
    correlations = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    assert np.abs(correlations).max() < 5.5 / np.sqrt(4000)
    assert np.abs(drawn.mean(axis=1)).max() < 5.5 / np.sqrt(4000)
    assert np.abs(drawn.var(axis=1) - 1).max() < 5.5 * np.sqrt(2 / 4000)


@given(SEEDS, NAMES)
@settings(deadline=None)
def test_an_integer_has_31_bits_and_is_that_of_its_name(seed: int, names: tuple[str, ...]) -> None:
    assert 0 <= integer(seed, *names) < 2**31
    assert integer(seed, *names) == integer(seed, *names)


def test_each_bit_of_the_integers_is_as_often_one_as_zero() -> None:
    # 31 bits, each the sum of 2000 fair ones: beyond 5 sd with probability 31·6e-7 = 2e-5; the seeds are fixed.
    found = np.array([integer(seed, "device") for seed in range(2000)])
    ones = (found[:, None] >> np.arange(31) & 1).sum(axis=0)
    assert np.abs(ones - 1000).max() < 5 * np.sqrt(2000) / 2
    assert len(set(found.tolist())) == 2000  # a collision of 31 bits: probability 1e-3


@pytest.mark.parametrize("seed", [0, 1, MAX_SEED, np.int64(5), np.uint8(200)])
def test_whole_numbers_up_to_the_largest_are_seeds(seed: int) -> None:
    assert checked_seed(seed) == int(seed)
    assert type(checked_seed(seed)) is int
    assert stream(seed, "x").random() == stream(int(seed), "x").random()


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 2**64, 1.0, "1", None, True, np.bool_(True), np.float64(3), [1]])
def test_what_is_no_seed_is_refused(seed: object) -> None:
    for ask in (checked_seed, stream, integer):
        with pytest.raises(RequestError, match=r"seed .*: expected a whole number from 0"):
            ask(seed)  # type: ignore[arg-type]
