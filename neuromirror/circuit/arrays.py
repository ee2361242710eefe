"""Arrays of numbers in a circuit: written out, given from Python, or read from a file.

A circuit holds its arrays by content. Two circuits with the same numbers are equal and have the same hashes, whichever
way the numbers came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, WithJsonSchema

MAX_DIMENSIONS = 8


class Array:
    """A float64 array that cannot be changed, equal to every other one of the same shape and numbers.

    Parameters
    ----------
    numbers : array-like
        Copied.
    """

    def __init__(self, numbers: Any) -> None:
        # Adding 0.0 turns -0.0 into 0.0: equal values have equal hashes.
        self.numbers: NDArray[np.float64] = np.array(numbers, dtype=np.float64, order="C") + 0.0
        self.numbers.setflags(write=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of entries along each dimension."""
        return self.numbers.shape

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.numbers.size

    @cached_property
    def sha256(self) -> str:
        """Hash of the numbers, in hexadecimal."""
        return hashlib.sha256(self.numbers.astype("<f8").tobytes()).hexdigest()

    def tolist(self) -> list[Any]:
        """Return the numbers as nested lists."""
        return self.numbers.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.numbers if dtype is None and not copy else np.array(self.numbers, dtype=dtype)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        return self.numbers[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self.shape == other.shape and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash((self.shape, self.sha256))

    def __deepcopy__(self, memo: dict[int, Any]) -> Array:
        return self

    def __repr__(self) -> str:
        return f"<array of {' × '.join(map(str, self.shape))} numbers>"


def read_array(value: object) -> Array:
    """Return an array of what a circuit file, or Python, gives for one.

    Raises
    ------
    ValueError
        If it is not an array of finite numbers.
    """
    if isinstance(value, Array):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.size == 0 or value.ndim == 0:
            raise ValueError(f"an array of {value.dtype} and shape {value.shape} is not an array of numbers.")
        if lost := int(value.size - np.isfinite(value.astype(np.float64)).sum()):
            raise ValueError(f"{lost} of {value.size} entries are not finite numbers.")
        return Array(value)
    if not isinstance(value, list | tuple) or not value:
        found = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
        raise ValueError(
            f'{found} is not an array of numbers. Expected [...], or {{ file = "NAME.safetensors", key = "NAME" }}.'
        )
    _shape(value, 1)
    return Array(value)


def _shape(value: object, depth: int) -> tuple[int, ...]:
    """Return the shape of nested lists of finite numbers."""
    if not isinstance(value, list | tuple):
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= 1e308:
            raise ValueError("an entry is not a finite number.")
        return ()
    if depth > MAX_DIMENSIONS or not value:
        raise ValueError("an array of numbers has no empty rows." if not value else "the array is nested too deeply.")
    shapes = {_shape(item, depth + 1) for item in value}
    if len(shapes) > 1:
        raise ValueError("the rows are not equally long.")
    return (len(value), *shapes.pop())


def _written(array: Array, info: SerializationInfo) -> Any:
    """Return an array as lists, or as the context's ``array`` makes it."""
    how = (info.context or {}).get("array")
    return array.tolist() if how is None else how(array)


Values = Annotated[
    Array,
    BeforeValidator(read_array),
    PlainSerializer(_written, return_type=Any),
    WithJsonSchema({"type": ["array", "object"]}),
]
"""An array in the description: lists or a NumPy array, by content."""
