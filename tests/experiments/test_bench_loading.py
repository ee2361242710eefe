"""The bare way of loading makes the same images as training does, so that the two may be compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments import bench_loading
from neuromirror.data import load_data
from neuromirror.data.augment import drawn
from neuromirror.data.order import order

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_the_bare_way_makes_the_images_that_training_loads(tmp_path: Path) -> None:
    bench_loading.write_photographs(tmp_path, 8, rows=60, columns=80)
    data = load_data(tmp_path, size=(24, 24))
    bare = bench_loading.bare_of(tmp_path, data, 24)
    shown = order(bench_loading.SEED, 3, 8).tolist()
    found = torch.cat([images for images, _ in bench_loading.batches_of(data, batch=4, workers=2).epoch(3)])
    numbers = drawn(bench_loading.SEED, 3, shown)
    assert found.equal(torch.stack([bare.image(index, own) for index, own in zip(shown, numbers)]))


def test_without_checksums_nothing_is_known(tmp_path: Path) -> None:
    bench_loading.write_photographs(tmp_path, 2, rows=60, columns=80)
    data = load_data(tmp_path, size=(24, 24))
    source = data.train.source
    vars(source)["_contents"] = bench_loading.Unknown(2)
    for _ in bench_loading.batches_of(data, batch=2, workers=0).epoch(0):
        assert not data.train.known.any()


def test_speeds_are_held_against_their_bounds() -> None:
    def met(folders: list[float], shards: list[float]) -> list[bool]:
        found = {"bare": [2.0] * 7, "folders": folders, "shards": shards, "unknown": [1.95] * 7}
        return [line.met for line in bench_loading.compared(found, 10)]

    assert met([1.9] * 7, [1.9] * 7) == [True, True, True]
    assert met([1.7] * 7, [1.7] * 7) == [False, True, False]
    assert met([1.9] * 7, [1.8] * 7) == [True, False, True]
    assert met([1.9] * 7, [1.8] * 5 + [2.0] * 2) == [True, True, True]


def test_every_way_is_timed_in_every_round_after_the_first() -> None:
    passes: list[tuple[str, int]] = []
    ways = {name: lambda epoch, name=name: passes.append((name, epoch)) for name in ("a", "b")}
    found = bench_loading.speeds(ways, 3)
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}
    assert sorted(passes) == [(name, epoch) for name in ("a", "b") for epoch in range(4)]


@pytest.mark.slow
def test_all_lines_come_of_a_small_tree() -> None:
    lines = list(bench_loading.lines(rounds=1, images=2 * bench_loading.BATCH, side=16))
    assert len(lines) == 3
    assert all("bare" in line.measured for line in lines)
