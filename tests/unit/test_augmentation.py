"""Order and augmentation: pure functions of seed, epoch and index, and the crops and flips that they should be."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import functional

from neuromirror.data import AUGMENTATIONS, augmented, order
from neuromirror.data.augment import NUMBERS, augmented_batch, crop_box, drawn
from neuromirror.data.resize import fitted
from neuromirror.errors import RequestError
from neuromirror.seeds import MAX_SEED, stream

SEEDS = st.integers(0, MAX_SEED)
EPOCHS = st.integers(0, 1000)
INDICES = st.lists(st.integers(0, 2_000_000), min_size=1, max_size=6)
SIZE = (16, 16)


def noise(rows: int, columns: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Give an image of which no two crops are alike."""
    pixels = np.random.default_rng(seed).integers(1, 256, (channels, rows, columns), dtype=np.uint8)
    return torch.from_numpy(pixels)


def shown(image: Tensor, augment: str, seed: int = 1, epoch: int = 2, index: int = 3) -> Tensor:
    """Give an image as it is shown."""
    return augmented(image, augment=augment, size=SIZE, seed=seed, epoch=epoch, index=index)


# ---- order ----------------------------------------------------------------------------------------------------------


@given(SEEDS, EPOCHS, st.integers(0, 300))
@settings(deadline=None)
def test_the_order_of_an_epoch_is_a_permutation_of_its_own_stream(seed: int, epoch: int, examples: int) -> None:
    found = order(seed, epoch, examples)
    assert found.dtype == torch.int64
    assert sorted(found.tolist()) == list(range(examples))
    order(seed, epoch + 1, examples)
    assert torch.equal(order(seed, epoch, examples), found)
    assert found.tolist() == stream(seed, "data", "order", epoch).permutation(examples).tolist()


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    found = {tuple(order(seed, epoch, 50).tolist()) for seed in range(10) for epoch in range(10)}
    assert len(found) == 100


def test_orders_and_numbers_stay_what_they_are() -> None:
    # Golden: runs that exist go on with these. They may change only with the version of the record's schema.
    assert order(0, 0, 8).tolist() == [0, 4, 2, 3, 7, 1, 6, 5]
    assert np.round(drawn(0, 1, [5])[0, -3:], 6).tolist() == [0.386012, 0.246524, 0.38197]


# ---- the numbers of an image ----------------------------------------------------------------------------------------


@given(SEEDS, EPOCHS, st.lists(st.integers(0, 200), min_size=1, max_size=8))
@settings(deadline=None)
def test_the_numbers_of_an_image_are_a_row_of_the_epochs_stream(seed: int, epoch: int, indices: list[int]) -> None:
    rows = stream(seed, "data", "augment", epoch).random((201, NUMBERS))
    assert np.array_equal(drawn(seed, epoch, indices), rows[indices])


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@given(SEEDS, EPOCHS, INDICES, st.randoms())
@settings(deadline=None, max_examples=20)
def test_augmentation_does_not_depend_on_what_is_done_before(
    augment: str, seed: int, epoch: int, indices: list[int], random: object
) -> None:
    images = {index: noise(*SIZE, seed=index) for index in indices}
    one_by_one = {i: shown(images[i], augment, seed, epoch, i) for i in indices}
    again = {i: shown(images[i], augment, seed, epoch, i) for i in random.sample(indices, len(indices))}  # type: ignore[attr-defined]
    assert all(torch.equal(again[i], one_by_one[i]) for i in indices)
    if augment != "resized_crop":
        batch = torch.stack([images[i] for i in indices])
        together = augmented_batch(batch, augment=augment, seed=seed, epoch=epoch, indices=indices)
        assert all(torch.equal(image, one_by_one[i]) for image, i in zip(together, indices))


@pytest.mark.parametrize("augment", ["crop_flip", "resized_crop"])
def test_seed_epoch_and_index_each_make_a_difference(augment: str) -> None:
    image = noise(*SIZE)
    keys = list(itertools.product(range(6), repeat=3))
    found = {shown(image, augment, *key).numpy().tobytes() for key in keys}
    # Of 50 crops and flips of 16×16, 216 draws leave out few: each with probability (49/50)^216 = 0.013.
    assert len(found) > (44 if augment == "crop_flip" else 150)
    for axis in range(3):
        along = [shown(image, augment, *(k if a == axis else 1 for a in range(3))).numpy().tobytes() for k in range(20)]
        assert len(set(along)) > 8


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_the_image_itself_is_left_alone(augment: str) -> None:
    image = noise(*SIZE)
    before = image.clone()
    for index in range(10):
        result = shown(image, augment, index=index)
        assert result.dtype == torch.uint8
        assert result.shape == (3, *SIZE)
        assert torch.equal(image, before)
    batch = image[None].repeat(10, 1, 1, 1)
    if augment != "resized_crop":
        augmented_batch(batch, augment=augment, seed=0, epoch=0, indices=range(10))
    assert torch.equal(batch, image[None].repeat(10, 1, 1, 1))


# ---- what is done ---------------------------------------------------------------------------------------------------


def test_without_augmentation_an_image_is_shown_as_it_is() -> None:
    image = noise(*SIZE)
    assert all(torch.equal(shown(image, "none", index=index), image) for index in range(20))


def test_half_of_the_images_are_flipped_left_to_right() -> None:
    image = noise(*SIZE)
    mirrored = torch.from_numpy(image.numpy()[:, :, ::-1].copy())
    found = [shown(image, "flip", index=index) for index in range(400)]
    flips = [torch.equal(each, mirrored) for each in found]
    assert all(flip or torch.equal(each, image) for flip, each in zip(flips, found))
    assert abs(sum(flips) - 200) < 50  # 5 sd


@pytest.mark.parametrize(("size", "pads"), [((16, 16), (2, 2)), ((32, 16), (4, 2)), ((7, 8), (0, 1))])
def test_crops_are_all_those_of_the_padded_image_and_each_as_often(
    size: tuple[int, int], pads: tuple[int, int]
) -> None:
    rows, columns = size
    image = noise(*size, channels=1)
    padded = np.pad(image.numpy(), [(0, 0), (pads[0],) * 2, (pads[1],) * 2])
    tops, lefts = range(2 * pads[0] + 1), range(2 * pads[1] + 1)
    crops = [padded[:, t : t + rows, x : x + columns] for t in tops for x in lefts]
    expected = [crop[:, :, ::step].tobytes() for crop in crops for step in (1, -1)]
    draws = 40 * len(expected)
    found = [
        augmented(image, augment="crop_flip", size=size, seed=0, epoch=0, index=index).numpy().tobytes()
        for index in range(draws)
    ]
    counts = np.array([found.count(each) for each in expected])
    assert counts.sum() == draws
    # Poisson of mean 40, at most 90 of them: beyond 5.5 sd with probability 4e-6; the seed is fixed.
    assert np.abs(counts - 40).max() < 5.5 * math.sqrt(40)


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=NUMBERS, max_size=NUMBERS),
    st.integers(1, 900),
    st.integers(1, 900),
)
@settings(deadline=None)
def test_a_random_box_lies_within_the_image(numbers: list[float], rows: int, columns: int) -> None:
    top, left, height, width = crop_box(np.array(numbers), rows, columns)
    assert 0 <= top <= top + height <= rows
    assert 0 <= left <= left + width <= columns
    assert min(height, width) >= 1


def test_random_boxes_have_the_areas_ratios_and_places_of_the_recipe() -> None:
    boxes = np.array([crop_box(numbers, 1000, 1000) for numbers in drawn(3, 0, range(4000))])
    top, left, height, width = boxes.T
    area, log_ratio = height * width / 1e6, np.log(width / height)
    assert 0.079 < area.min() < 0.09
    assert 0.98 < area.max() <= 1
    assert np.abs(log_ratio).max() < math.log(4 / 3) + 0.01
    # Areas are uniform, but for the largest, where ratios far from 1 do not fit; log ratios are uniform and even.
    small = area[area < 0.7]
    assert np.mean(small) == pytest.approx((0.08 + 0.7) / 2, abs=5 * 0.18 / math.sqrt(len(small)))
    assert np.mean(log_ratio[area < 0.7]) == pytest.approx(0, abs=5 * 0.167 / math.sqrt(len(small)))
    assert np.std(log_ratio[area < 0.7]) == pytest.approx(2 * math.log(4 / 3) / math.sqrt(12), rel=0.05)
    for start, free in ((top, 1000 - height), (left, 1000 - width)):
        where = (start / np.maximum(free, 1))[free > 100]
        assert np.mean(where) == pytest.approx(0.5, abs=5 * 0.29 / math.sqrt(len(where)))
        assert 0 <= where.min() < 0.01
        assert 0.99 < where.max() <= 1


def test_boxes_that_never_fit_give_way_to_the_largest_in_the_centre() -> None:
    assert crop_box(np.full(NUMBERS, 0.99), 10, 300) == (0, 143, 10, 13)
    assert crop_box(np.full(NUMBERS, 0.99), 300, 10) == (143, 0, 13, 10)
    second = np.full(NUMBERS, 0.99)
    second[2:4] = 0.0, 0.5
    assert crop_box(second, 10, 300)[2:] == (10, 13)  # an area of 240 needs 15 rows
    second[2:4] = 0.0, 0.5
    assert crop_box(second, 20, 60) == (10, 50, 10, 10)  # an area of 96; of 11 by 51 places the last


@pytest.mark.parametrize(("rows", "columns"), [(40, 50), (9, 200), (16, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_resized_crop_is_taken_from_the_image_as_it_came(rows: int, columns: int, channels: int) -> None:
    image = noise(rows, columns, channels)
    picture = functional.to_pil_image(image)
    for index in range(10):
        (numbers,) = drawn(1, 2, [index])
        crop = functional.resized_crop(picture, *crop_box(numbers, rows, columns), list(SIZE))
        expected = functional.pil_to_tensor(functional.hflip(crop) if numbers[-1] < 0.5 else crop)
        assert torch.equal(shown(image, "resized_crop", index=index), expected)


@pytest.mark.parametrize(
    ("own", "size", "whole"),
    [
        ((32, 48), (16, 16), (16, 24)),
        ((48, 32), (16, 16), (24, 16)),
        ((8, 8), (16, 16), (16, 16)),
        ((64, 20), (24, 10), (32, 10)),
        ((40, 56), (20, 8), (20, 28)),
        ((16, 16), (16, 16), (16, 16)),
    ],
)
def test_other_sizes_are_fitted_by_the_shorter_side_and_cut_in_the_centre(
    own: tuple[int, int], size: tuple[int, int], whole: tuple[int, int]
) -> None:
    image = noise(*own)
    resized = functional.resize(functional.to_pil_image(image), list(whole))
    expected = functional.pil_to_tensor(functional.center_crop(resized, list(size)))
    found = augmented(image, augment="none", size=size, seed=0, epoch=0, index=0)
    assert (found.int() - expected.int()).abs().max() <= 1  # PIL's fixed point


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None)
def test_the_cut_is_central_whatever_the_sizes(rows: int, columns: int, height: int, width: int) -> None:
    image, size = noise(rows, columns), (height, width)
    found = fitted(image, size)
    assert found.shape == (3, height, width)
    turned = fitted(image.flip(1, 2), size).flip(1, 2)
    assert (found.int() - turned.int()).abs().max() <= 2


def test_what_is_no_augmentation_is_refused() -> None:
    with pytest.raises(RequestError, match=r"augment 'crop_flop': no such augmentation. Did you mean 'crop_flip'\?"):
        shown(noise(*SIZE), "crop_flop")
    with pytest.raises(RequestError, match=r"There are: crop_flip, flip, none, resized_crop\."):
        shown(noise(*SIZE), "mixup")
