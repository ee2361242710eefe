"""Batches: the same for any number of workers and from any step on, normalised, and every image where it belongs."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from neuromirror.data import AUGMENTATIONS, Batches, Data, augmented, load_data, order
from neuromirror.data import images as images_module
from neuromirror.data.workers import Workers
from neuromirror.errors import RequestError, RunError

# A process of several threads may be forked here: what the workers do needs none of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SIZE = (8, 8)
DIGITS = load_data("digits", size=SIZE, train_images=70, validation_images=20, test_images=30)

Pairs = list[tuple[Tensor, Tensor]]


def batches(data: Data = DIGITS, **options: object) -> Batches:
    """Give the batches of a set's training images."""
    return Batches(data.train, data, **{"batch": 16, "size": data.train.size, "seed": 5, **options})  # type: ignore[arg-type]


def same(first: Pairs, second: Pairs) -> bool:
    """Tell whether batches are the same bit by bit."""
    return len(first) == len(second) and all(
        images.equal(others) and labels.equal(their) for (images, labels), (others, their) in zip(first, second)
    )


def shapes_and_kinds(found: Pairs) -> set[object]:
    """Give what the batches are like."""
    return {(tuple(images.shape), images.dtype, tuple(labels.shape), labels.dtype) for images, labels in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a tree of images larger than they are taken, and not square."""
    rng = np.random.default_rng(2)
    for name, i in ((name, i) for name in "ab" for i in range(10)):
        path = tmp_path / "set" / name / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)).save(path)
    return tmp_path / "set"


# ---- what is in them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("kept", [True, False])
def test_a_batch_is_its_images_augmented_and_normalised(
    folder: Path, augment: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    data = load_data(folder, size=SIZE)
    assert (data.train.whole() is not None) == kept
    for epoch in (0, 3):
        found = list(batches(data, batch=5, augment=augment).epoch(epoch))
        assert shapes_and_kinds(found) == {((5, 3, *SIZE), torch.float32, (5,), torch.int64)}
        indices = order(5, epoch, 16).tolist()
        for step, (images, labels) in enumerate(found):
            for row, index in enumerate(indices[5 * step : 5 * step + 5]):
                image = augmented(
                    data.train.original(index), augment=augment, size=SIZE, seed=5, epoch=epoch, index=index
                )
                expected = (image / 255 - torch.tensor(data.mean)[:, None, None]) / torch.tensor(data.std)[
                    :, None, None
                ]
                torch.testing.assert_close(images[row], expected, rtol=0, atol=2e-6)
                assert labels[row] == data.train.labels[index]


def test_an_epoch_shows_no_image_twice_and_leaves_the_last_part_batch_out() -> None:
    every = batches(batch=16)
    assert every.steps_per_epoch == 4
    found = list(every.epoch(0))
    assert shapes_and_kinds(found) == {((16, 1, *SIZE), torch.float32, (16,), torch.int64)}
    assert len(found) == 4
    shown = {image.numpy().tobytes() for images, _ in found for image in images}
    assert len(shown) == 64
    assert len(list(batches(batch=70).epoch(0))) == batches(batch=70).steps_per_epoch == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_all_images_are_given_once_in_their_order_and_as_they_are(workers: int) -> None:
    for part in (DIGITS.train, DIGITS.validation, DIGITS.test):
        assert part is not None
        every = Batches(part, DIGITS, batch=16, size=SIZE, augment="crop_flip", seed=3, workers=workers)
        found = list(every.all())
        assert [len(labels) for _, labels in found][-1] == len(part) % 16
        assert torch.cat([labels for _, labels in found]).equal(part.labels)
        pixels = torch.cat([images for images, _ in found]) * DIGITS.std[0] + DIGITS.mean[0]
        assert (pixels * 255 - part.batch(range(len(part)))).abs().max() < 1e-3


def test_all_images_of_less_than_a_batch_are_given() -> None:
    ((images, labels),) = batches(batch=1000).all()
    assert (len(images), len(labels)) == (70, 70)


# ---- the same, whoever loads them and from wherever on --------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), st.integers(0, 9), st.integers(1, 30), st.sampled_from(AUGMENTATIONS), st.data())
@settings(deadline=None, max_examples=40)
def test_an_epoch_goes_on_from_any_step(seed: int, epoch: int, batch: int, augment: str, draw: st.DataObject) -> None:
    whole = list(batches(batch=batch, augment=augment, seed=seed).epoch(epoch))
    first = draw.draw(st.integers(0, len(whole)))
    rest = list(batches(batch=batch, augment=augment, seed=seed).epoch(epoch, first_step=first))
    assert same(rest, whole[first:])


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_batches_are_the_same_for_any_number_of_workers(folder: Path, augment: str) -> None:
    data = load_data(folder, size=SIZE)
    alone, two, one = (batches(data, batch=3, augment=augment, workers=workers) for workers in (0, 2, 1))
    for epoch in (0, 1):
        whole = list(alone.epoch(epoch))
        assert len(whole) == 5
        assert same(list(two.epoch(epoch)), whole)
        assert same(list(two.epoch(epoch, first_step=2)), whole[2:])
    assert same(list(one.epoch(1, first_step=4)), whole[4:])
    assert list(two.epoch(0, first_step=5)) == []


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_may_be_forked_or_spawned(start_method: str) -> None:
    every = batches(augment="crop_flip", workers=1, start_method=start_method)
    assert same(list(every.epoch(1)), list(batches(augment="crop_flip").epoch(1)))


def test_epochs_and_seeds_differ() -> None:
    first = {
        (seed, epoch): next(batches(augment="none", seed=seed).epoch(epoch))[0].numpy().tobytes()
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(first.values())) == 9


def test_what_is_skipped_is_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    data = load_data(folder, size=SIZE)
    skipped = order(5, 0, 16)[:9].tolist()
    for index in skipped:
        (folder / data.train.source.identity(int(data.train.members[index])).decode()).unlink()
    assert len(list(batches(data, batch=3).epoch(0, first_step=3))) == 2
    with pytest.raises(RunError, match=r"this image cannot be read \(No such file"):
        next(batches(data, batch=3).epoch(0, first_step=2))


def test_epochs_may_be_left_early_and_read_at_the_same_time() -> None:
    alone, two = batches(augment="flip"), batches(augment="flip", workers=2)
    whole = [list(alone.epoch(epoch)) for epoch in range(3)]
    with contextlib.closing(two.epoch(0)) as begun:  # type: ignore[type-var]
        assert same([next(begun)], whole[0][:1])
    assert same(list(two.epoch(1)), whole[1])
    pairs = list(zip(two.epoch(2), two.all(), two.epoch(0, first_step=1)))
    assert same([pair[0] for pair in pairs], whole[2][:3])
    assert same([pair[1] for pair in pairs], list(alone.all())[:3])
    assert same([pair[2] for pair in pairs], whole[0][1:])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_random_numbers_are_left_alone(workers: int) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    every = batches(augment="crop_flip", workers=workers)
    assert len(list(every.epoch(0)) + list(every.all())) == 9
    assert torch.get_rng_state().equal(expected[0])
    assert np.array_equal(np.random.get_state()[1], expected[1])  # type: ignore[index]


def test_images_that_are_kept_are_decoded_before_the_workers_start(folder: Path) -> None:
    data = load_data(folder, size=SIZE)
    every = Batches(data.test, data, batch=2, size=SIZE, workers=1)
    found = list(every.all())
    for name in "ab":
        for file in (folder / name).iterdir():
            file.unlink()
    assert same(list(every.all()), found)
    assert same(list(Batches(data.test, data, batch=2, size=SIZE).all()), found)


# ---- workers --------------------------------------------------------------------------------------------------------


def whereabouts(request: float) -> tuple[int, int]:
    """Give process and number of threads of a worker."""
    time.sleep(request)
    return os.getpid(), torch.get_num_threads()


def dying(request: int) -> int:
    """Answer, or end."""
    if request > 2:
        os._exit(7)
    return request


def test_workers_stay_and_have_one_thread_each() -> None:
    workers = Workers(whereabouts, 2)
    first, second = (list(workers.answers([0.05] * 6)) for _ in range(2))
    assert {threads for _, threads in [*first, *second]} == {1}
    assert {process for process, _ in first} == {process for process, _ in second}
    assert len({process for process, _ in first}) == 2
    assert os.getpid() not in {process for process, _ in first}


def test_a_worker_that_dies_ends_the_run_with_a_remedy() -> None:
    workers = Workers(dying, 1)
    with pytest.raises(RunError, match=r"loading data: a worker ended before its time .*use fewer workers, or smaller"):
        list(workers.answers(range(5)))
    assert list(workers.answers(range(2))) == [0, 1]


def failing(request: int) -> int:
    """Answer, or fail as an image does."""
    if request > 2:
        raise RunError(f"image {request}")
    return request


def test_workers_end_with_those_who_asked_even_after_an_error() -> None:
    # What only the garbage collector can free is not left behind: the processes would take seconds to end.
    gc.collect()
    gc.disable()
    try:
        workers = Workers(failing, 1)
        with pytest.raises(RunError, match=r"^image 3$"):
            list(workers.answers(range(9)))
        known = weakref.ref(workers)
        del workers
        assert known() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_named_whoever_loads_it(
    folder: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    data = load_data(folder, size=SIZE)
    (folder / "b" / "3.png").write_bytes((folder / "b" / "3.png").read_bytes()[:200])
    every = batches(data, batch=4, workers=workers)
    with pytest.raises(RunError) as caught:
        list(every.all())
    assert str(caught.value).startswith(f"{folder / 'b' / '3.png'}: this image cannot be read (")
    assert "Traceback" not in str(caught.value)
    with pytest.raises(RunError, match=r"3\.png"):
        list(every.all())


def test_a_set_can_be_given_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(DIGITS))
    assert same(list(batches(copy).epoch(0)), list(batches().epoch(0)))


def test_the_time_that_is_waited_is_counted() -> None:
    every = batches(workers=0)
    assert every.waited_s == 0
    started = time.perf_counter()
    for _ in every.epoch(0):
        time.sleep(0.02)
    taken = time.perf_counter() - started
    assert 0 < every.waited_s < taken - 4 * 0.02
    before = every.waited_s
    list(every.all())
    assert every.waited_s > before


# ---- requests that cannot be met ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, r"batch 0: expected a whole number from 1\."),
        ({"batch": 2.0}, r"batch 2\.0: expected a whole number from 1\."),
        ({"workers": -1}, r"workers -1: expected a whole number from 0\."),
        ({"augment": "flips"}, r"augment 'flips': no such augmentation\. Did you mean 'flip'\?"),
        ({"size": (16, 16)}, r"size \(16, 16\): digits was loaded at \(8, 8\)\. Load it at the size"),
        ({"seed": -1}, r"seed -1: expected a whole number"),
    ],
)
def test_what_is_no_batch_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        batches(**options)


@pytest.mark.parametrize(
    ("batch", "asked", "message"),
    [
        (71, (0,), r"batch 71 is more than the 70 training images, so an epoch would have no step\. Take a smaller"),
        (16, (0, 5), r"first_step 5: an epoch has 4 steps, of 16 images each\. Begin with the next epoch\."),
        (16, (0, -1), r"first_step -1: expected a whole number from 0\."),
        (16, (-1,), r"epoch -1: expected a whole number from 0\."),
    ],
)
def test_what_is_no_step_is_refused_before_any_is_made(batch: int, asked: tuple[int, ...], message: str) -> None:
    every = batches(batch=batch)
    with pytest.raises(RequestError, match=message):
        every.epoch(*asked)
