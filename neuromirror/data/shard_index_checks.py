"""What the index of packed images has to be like before any of them is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def wrong_about(about: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the text of an index, if anything."""
    classes, shards, train = about.get("classes"), about.get("shards"), about.get("train")
    if not isinstance(about.get("name"), str):
        return "it has no name"
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        return "its classes are no list of names"
    if len(classes) < 2 or len(set(classes)) < len(classes):
        return f"it has {len(set(classes))} classes of {len(classes)} names, where two at least were wanted, each once"
    if not isinstance(shards, list) or not all(_is_shard(shard) for shard in shards):
        return "its tar files are no list of names and lengths"
    if not _is_whole(train):
        return f"its number of training images is {train!r}"
    return None


def _is_shard(shard: object) -> bool:
    if not isinstance(shard, list) or len(shard) != 2:
        return False
    name, size = shard
    return isinstance(name, str) and name not in ("", "..") and "/" not in name and "\0" not in name and _is_whole(size)


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def wrong_arrays(arrays: Mapping[str, np.ndarray], kinds: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the arrays of an index, whose text is right.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    kinds : mapping of str to type
        The arrays that have a row for each image, and the type of their numbers.
    about : mapping
        The text.
    """
    wanted = {**kinds, "names": np.uint8, "ends": np.int64}
    for name, kind in wanted.items():
        if name not in arrays:
            yield f"the array '{name}' is missing"
        elif arrays[name].dtype != kind or arrays[name].ndim != 1:
            found = arrays[name]
            yield f"the array '{name}' is {found.dtype} of shape {found.shape}, expected a row of {np.dtype(kind)}"
    if any(name not in arrays or arrays[name].dtype != kind or arrays[name].ndim != 1 for name, kind in wanted.items()):
        return
    images = len(arrays["label"])
    for name in kinds:
        if len(arrays[name]) != images:
            yield f"the array '{name}' has {len(arrays[name])} rows, and 'label' has {images}"
            return
    yield from _wrong_rows(arrays, images, about)


def _wrong_rows(arrays: Mapping[str, np.ndarray], images: int, about: Mapping[str, Any]) -> Iterator[str]:
    ends, classes, shards = arrays["ends"], len(about["classes"]), about["shards"]
    if not 0 < about["train"] < images:
        yield f"{about['train']} of its {images} images are for training, where some were wanted and some for tests"
    if len(ends) != images + 1 or ends[0] != 0 or ends[-1] != len(arrays["names"]) or np.any(np.diff(ends) < 0):
        yield "its names do not end where it says"
    label, shard, offset, size = (arrays[name] for name in ("label", "shard", "offset", "size"))
    if (row := _first((label < 0) | (label >= classes))) is not None:
        yield f"image {row} has label {label[row]}, where its {classes} classes count from 0 to {classes - 1}"
    if (row := _first((shard < 0) | (shard >= len(shards)))) is not None:
        yield f"image {row} is in tar file number {shard[row]} of {len(shards)}"
        return
    lengths = np.array([length for _, length in shards], np.int64)
    if (row := _first((offset < 0) | (size < 0) | (size > lengths[shard] - offset))) is not None:
        yield f"image {row} is not within its tar file, '{shards[shard[row]][0]}'"


def _first(wrong: np.ndarray) -> int | None:
    """Return the number of the first row that is wrong."""
    return int(np.argmax(wrong)) if wrong.any() else None
