"""Sets by name: the digits, noise, subsets that no seed moves, normalisation, and what is said of wrong requests."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from neuromirror.data import Batches, Data, Images, load_data
from neuromirror.data.digits import digits as arrays_of_digits
from neuromirror.data.subsets import divided, most_for_validation
from neuromirror.errors import RequestError

PIXELS, LABELS = load_digits(return_X_y=True)


def numbers(images: Images) -> set[int]:
    """Give the numbers of images among all of their set."""
    return set(images.members.tolist())


def digits(**options: int) -> Data:
    """Load the digits at their size."""
    return load_data("digits", size=(8, 8), **options)


# ---- the digits -----------------------------------------------------------------------------------------------------


def test_every_fifth_digit_is_for_tests() -> None:
    data = digits()
    assert (data.name, data.channels, data.validation) == ("digits", 1, None)
    assert data.classes == tuple("0123456789")
    assert data.test.members.tolist() == list(range(4, 1797, 5))
    assert sorted(numbers(data.train) | numbers(data.test)) == list(range(1797))
    assert len(data.train) + len(data.test) == 1797


def test_digits_are_those_of_scikit_learn_with_their_labels() -> None:
    data = digits(validation_images=100)
    assert data.validation is not None
    for part in (data.train, data.validation, data.test):
        assert part.labels.dtype == torch.int64
        assert part.labels.tolist() == LABELS[part.members].tolist()
        for index in range(0, len(part), 37):
            image = part.image(index)
            assert image.dtype == torch.uint8
            expected = PIXELS[part.members[index]].reshape(1, 8, 8)
            assert np.array_equal(np.rint(image.numpy() * (16 / 255)), expected)
    assert data.train.batch(range(len(data.train))).max() == 255


def test_digits_are_resized() -> None:
    data = load_data("digits", size=(16, 12))
    assert tuple(data.train.image(0).shape) == (1, 16, 12)
    assert tuple(data.train.original(0).shape) == (1, 8, 8)
    assert data.sha256 == digits().sha256


# ---- noise ----------------------------------------------------------------------------------------------------------


def test_noise_is_made_of_part_and_index_alone() -> None:
    data = load_data("synthetic", size=(5, 7), validation_images=3)
    assert (data.name, data.channels, len(data.train), len(data.test)) == ("synthetic", 3, 1024, 256)
    assert data.validation is not None
    assert len(data.validation) == 3
    longer = load_data("synthetic", size=(5, 7), train_images=2000, test_images=9)
    assert (len(longer.train), len(longer.test)) == (2000, 9)
    assert all(data.train.image(i).equal(longer.train.image(i)) for i in (0, 1, 500, 1023))
    assert data.test.image(8).equal(longer.test.image(8))
    assert data.train.labels.equal(longer.train.labels[:1024])
    images = [part.image(i).numpy().tobytes() for part in (data.train, data.validation, data.test) for i in range(3)]
    assert len(set(images)) == 9
    values = torch.stack([data.train.image(i) for i in range(100)]).double()
    assert values.mean().item() == pytest.approx(127.5, abs=5 * 74 / np.sqrt(10500))
    assert (values.min().item(), values.max().item()) == (0, 255)


@pytest.mark.parametrize(("name", "classes"), [("synthetic", 10), ("synthetic:1000", 1000), ("synthetic:2", 2)])
def test_noise_has_as_many_classes_as_are_asked_for(name: str, classes: int) -> None:
    data = load_data(name, size=(2, 2))
    assert len(data.classes) == classes
    counts = np.bincount(data.train.labels.numpy(), minlength=classes)
    assert len(counts) == classes
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    "name", ["synthetic:", "synthetic:1", "synthetic:0", "synthetic:-3", "synthetic:ten", "synthetic:2.5"]
)
def test_a_number_of_classes_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=rf"data '{name}': expected synthetic:CLASSES, with a whole number from 2"):
        load_data(name, size=(8, 8))


# ---- subsets --------------------------------------------------------------------------------------------------------

LABELLINGS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(lambda labels: np.array(labels, dtype=np.int64))


@given(LABELLINGS, st.data())
@settings(deadline=None)
def test_validation_and_training_are_disjoint_and_balanced(labels: np.ndarray, draw: st.DataObject) -> None:
    validation = draw.draw(st.integers(0, most_for_validation(labels)))
    train = draw.draw(st.integers(0, len(labels) - validation))
    for_training, for_validation = divided(labels, train, validation)
    assert (len(for_training), len(for_validation)) == (train, validation)
    assert len(set(for_training) | set(for_validation)) == train + validation
    assert sorted(for_training) == list(for_training)
    # Whatever is asked of training, validation stays, and all that is asked of one is part of what more would be.
    assert np.array_equal(divided(labels, 0, validation)[1], for_validation)
    everything = divided(labels, len(labels) - validation, validation)
    assert set(for_training) <= set(everything[0])
    assert set(divided(labels, 0, max(validation - 1, 0))[1]) <= set(for_validation)
    assert set(labels[everything[0]]) == set(labels)
    # Balanced: no class has two more than one that has images left.
    sizes = np.bincount(labels, minlength=5)
    of_validation = np.bincount(labels[for_validation], minlength=5)
    of_training = np.bincount(labels[for_training], minlength=5)
    for counts, more in (
        (of_validation, sizes - 1 > of_validation),
        (of_training, sizes - of_validation > of_training),
    ):
        if more.any():
            assert counts.max() - counts[more].min() <= 1


def test_training_images_stay_when_validation_images_are_asked_for() -> None:
    few = divided(LABELS, 500, 0)[0]
    assert np.array_equal(divided(LABELS, 500, 300)[0], few)


def test_subsets_are_not_the_first_images_of_each_class() -> None:
    # Files that come one after the other are often alike: frames of a film, digits of one hand.
    for_training, for_validation = divided(LABELS, 100, 100)
    assert np.median(for_training) == pytest.approx(900, abs=250)
    assert np.median(for_validation) == pytest.approx(900, abs=250)


def test_parts_of_the_digits_are_as_asked_for() -> None:
    whole = digits()
    for train in (None, 100, 1):
        options = {} if train is None else {"train_images": train}
        data = digits(validation_images=105, **options)
        assert data.validation is not None
        assert len(data.train) == (1438 - 105 if train is None else train)
        assert numbers(data.train).isdisjoint(numbers(data.validation))
        assert numbers(data.train) | numbers(data.validation) <= numbers(whole.train)
        assert numbers(data.validation) == numbers(digits(validation_images=105).validation)  # type: ignore[arg-type]
        assert sorted(np.bincount(data.validation.labels.numpy())) == [10] * 5 + [11] * 5
    some = digits(train_images=30, test_images=20)
    assert np.bincount(some.train.labels.numpy()).tolist() == [3] * 10
    assert np.bincount(some.test.labels.numpy()).tolist() == [2] * 10
    assert numbers(some.test) <= numbers(whole.test)


def test_no_seed_is_asked_for() -> None:
    assert "seed" not in inspect.signature(load_data).parameters


def test_the_hash_is_of_the_images_and_their_parts() -> None:
    assert digits().sha256 == digits().sha256
    assert len(digits().sha256) == 64
    different = [
        digits(),
        digits(train_images=1437),
        digits(test_images=100),
        digits(validation_images=10),
        load_data("synthetic", size=(8, 8)),
        load_data("synthetic", size=(8, 9)),
        load_data("synthetic:11", size=(8, 8)),
        load_data("synthetic", size=(8, 8), train_images=1023),
    ]
    assert len({data.sha256 for data in different}) == len(different)


def test_the_hash_is_of_the_labels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digits().sha256
    source, labels = arrays_of_digits()
    monkeypatch.setattr("neuromirror.data.load.digits", lambda: (source, labels[::-1].copy()))
    assert digits().sha256 != before


# ---- normalisation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_training_images_have_mean_0_and_sd_1_in_every_channel(name: str) -> None:
    data = load_data(name, size=(8, 8), train_images=400, validation_images=50)
    batches = Batches(data.train, data, batch=64, size=(8, 8))
    images = torch.cat([images for images, _ in batches.all()]).double()
    assert images.shape == (400, data.channels, 8, 8)
    assert images.mean(dim=(0, 2, 3)).abs().max() < 1e-6
    assert (images.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-6


def test_mean_and_sd_are_those_of_the_images_used_for_training() -> None:
    data = digits(train_images=50, validation_images=100)
    pixels = np.stack([data.train.image(index).numpy() for index in range(50)]) / 255
    assert data.mean == pytest.approx((pixels.mean(),), rel=1e-12)
    assert data.std == pytest.approx((pixels.std(),), rel=1e-12)
    assert data.mean != digits().mean


def test_a_channel_that_is_constant_is_not_divided_by_nothing() -> None:
    data = load_data("synthetic", size=(1, 1), train_images=1)
    assert data.std == (1.0, 1.0, 1.0)
    (images, _), *_ = Batches(data.train, data, batch=1, size=(1, 1)).all()
    assert images.abs().max() < 1e-6


# ---- requests that cannot be met ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("digit", r"Did you mean 'digits'\?"),
        ("syntetic", r"Did you mean 'synthetic'\?"),
        ("imagenet", r"There are: digits, synthetic\."),
        ("some/where", r"There are: digits, synthetic\."),
        ("x" * 5000, r"There are: digits, synthetic\."),
    ],
)
def test_a_word_that_is_no_set_and_no_directory_is_refused(name: str, suggested: str) -> None:
    with pytest.raises(
        RequestError, match=rf"data '{name}': neither a set .*'synthetic:CLASSES'\) nor a dir.*{suggested}"
    ):
        load_data(name, size=(8, 8))


def test_a_directory_called_as_a_set_is_given_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_data("digits", size=(8, 8)).train) == 1438
    for path in ("./digits", Path("digits")):
        with pytest.raises(RequestError, match=r"digits: no class folders"):
            load_data(path, size=(8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_images": 1439}, r"train_images 1439: digits has 1438 training images\. Ask for fewer\."),
        (
            {"train_images": 1400, "validation_images": 39},
            r"train_images 1400: digits has 1438 training images, of which 39 are for validation: 1399 are left\.",
        ),
        (
            {"validation_images": 1429},
            r"validation_images 1429: digits has 1438 training images, of which 1428 at most",
        ),
        ({"test_images": 899}, r"test_images 899: digits has 898 test images\. Ask for fewer\."),
        ({"train_images": 0}, r"train_images 0: expected a whole number from 1\."),
        ({"test_images": -1}, r"test_images -1: expected a whole number from 1\."),
        ({"validation_images": -1}, r"validation_images -1: expected a whole number from 0\."),
        ({"train_images": 1.5}, r"train_images 1\.5: expected a whole number"),
        ({"train_images": True}, r"train_images True: expected a whole number"),
        ({"size": (0, 8)}, r"size \(0, 8\): expected rows and columns, two whole numbers above 0"),
        ({"size": 8}, r"size 8: expected rows and columns"),
        ({"size": (8, 8, 3)}, r"size \(8, 8, 3\): expected rows and columns"),
        ({"size": (8.0, 8)}, r"size \(8\.0, 8\): expected rows and columns"),
    ],
)
def test_more_than_there_is_and_what_is_no_number_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        load_data("digits", **{"size": (8, 8), **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"train_images": 1438}, {"validation_images": 1428}, {"test_images": 359}])
def test_all_there_are_may_be_asked_for(options: dict[str, int]) -> None:
    data = digits(**options)
    assert set(data.train.labels.tolist()) == set(range(10))
