"""Values that a circuit file can have, each as a type: what is read, what is refused, and how it is written again.

Physical values carry units in the file and are `neuromirror.units.Quantity` here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from neuromirror.units import UNITS, Dimension, Quantity, parse_quantity


def _reader(dimension: Dimension, *, positive: bool) -> Callable[[object], Quantity]:
    def read(value: object) -> Quantity:
        quantity = parse_quantity(value, dimension)
        if quantity.si < 0 or (positive and quantity.si == 0):
            raise ValueError(f"{quantity} is {'not above' if positive else 'below'} zero.")
        return quantity

    return read


def _voltage(value: object) -> Quantity:
    return parse_quantity(value, "voltage")


def _memory(value: object) -> Quantity | int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError(f'{value} is not above zero. Expected a number of examples, or a time such as "60 s".')
        if value > 10**9:
            raise ValueError("a memory has at most 1000000000 examples.")
        return value
    quantity = parse_quantity(value, "time")
    if quantity.si <= 0:
        raise ValueError(f"{quantity} is not above zero.")
    return quantity


def _default_bias(value: object) -> Quantity | str:
    return "calibrate" if value == "calibrate" else _voltage(value)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Quantity) else value


def _json(dimension: Dimension, *others: dict[str, Any]) -> WithJsonSchema:
    """Return what an editor is told of a quantity: a text with a number and a unit, or something else."""
    units = "|".join(unit for unit, (of, _) in UNITS.items() if of == dimension)
    text = {"type": "string", "pattern": rf"^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*(µs|μs|{units})\s*$"}
    return WithJsonSchema({"anyOf": [text, *others]} if others else text)


_AS_TEXT = PlainSerializer(str)
Time = Annotated[Quantity, BeforeValidator(_reader("time", positive=True)), _AS_TEXT, _json("time")]
Delay = Annotated[Quantity, BeforeValidator(_reader("time", positive=False)), _AS_TEXT, _json("time")]
Rate = Annotated[Quantity, BeforeValidator(_reader("rate", positive=True)), _AS_TEXT, _json("rate")]
Voltage = Annotated[Quantity, BeforeValidator(_voltage), _AS_TEXT, _json("voltage")]
Spread = Annotated[Quantity, BeforeValidator(_reader("voltage", positive=False)), _AS_TEXT, _json("voltage")]
Memory = Annotated[
    Quantity | int,
    BeforeValidator(_memory),
    PlainSerializer(_plain),
    _json("time", {"type": "integer", "minimum": 1}),
]
DefaultBias = Annotated[
    Quantity | Literal["calibrate"],
    BeforeValidator(_default_bias),
    PlainSerializer(_plain),
    _json("voltage", {"const": "calibrate"}),
]
# Adding 0.0 turns -0.0 into 0.0: equal values have equal hashes.
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True), AfterValidator(lambda x: x + 0.0)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True), AfterValidator(lambda x: x + 0.0)]
Truth = Annotated[bool, Field(strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True), AfterValidator(lambda x: x + 0.0)]
Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]


def _kernel(value: object) -> object:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


_SIDE = {"type": "integer", "minimum": 1}
Kernel = Annotated[
    tuple[Count, Count],
    BeforeValidator(_kernel),
    WithJsonSchema({"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2}]}),
]


def _file_name(value: str) -> str:
    if value in (".", "..") or not value.isprintable() or "/" in value or "\\" in value:
        raise ValueError(f"{value!r} names files and folders too: leave out slashes and control characters.")
    return value


def _identifier(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", value):
        raise ValueError(f"{value!r}: a name begins with a letter and goes on with letters, digits and underscores.")
    return value


FileName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_file_name)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Brian2Code = Annotated[str, Field(max_length=10_000)]
UnitCurrent = Annotated[Quantity, BeforeValidator(_reader("voltage", positive=True)), _AS_TEXT, _json("voltage")]
Constants = dict[str, str | Finite]
Starts = dict[str, str | Finite | tuple[str | Finite, str | Finite]]
