"""Physical quantities of circuit files: a number and a unit, read from text such as ``"20 ms"``.

Values are kept in SI units and read back in a named unit (``tau_m.ms``), so that no bare number needs a comment to
say what it means.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, get_args

Dimension = Literal["time", "rate", "voltage"]

UNITS: dict[str, tuple[Dimension, Decimal]] = {
    "h": ("time", Decimal(3600)),
    "min": ("time", Decimal(60)),
    "s": ("time", Decimal(1)),
    "ms": ("time", Decimal("1e-3")),
    "us": ("time", Decimal("1e-6")),
    "Hz": ("rate", Decimal(1)),
    "kHz": ("rate", Decimal("1e3")),
    "V": ("voltage", Decimal(1)),
    "mV": ("voltage", Decimal("1e-3")),
}
"""Each unit's dimension and its value in SI units."""

_SI: dict[Dimension, str] = {"time": "s", "rate": "Hz", "voltage": "V"}
_USUAL: dict[Dimension, str] = {"time": "ms", "rate": "Hz", "voltage": "mV"}
_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([A-Za-zµμ]+)\s*")


@dataclass(frozen=True, order=True)
class Quantity:
    """A physical value.

    Parameters
    ----------
    si : float
        The value in SI units (s, Hz, V).
    dimension : {"time", "rate", "voltage"}
        What it measures.
    """

    si: float
    dimension: Dimension

    @property
    def s(self) -> float:
        """The value in seconds."""
        return self._in("s")

    @property
    def ms(self) -> float:
        """The value in milliseconds."""
        return self._in("ms")

    @property
    def Hz(self) -> float:
        """The value in hertz."""
        return self._in("Hz")

    @property
    def mV(self) -> float:
        """The value in millivolts."""
        return self._in("mV")

    def _in(self, unit: str) -> float:
        dimension, scale = UNITS[unit]
        if dimension != self.dimension:
            raise TypeError(f"a {self.dimension} was read in {unit}, a unit of {dimension}")
        return float(Decimal(repr(self.si)) / scale)

    def __str__(self) -> str:
        unit = {"rate": "Hz", "voltage": "mV", "time": "s"}[self.dimension]
        if self.dimension == "time" and 0 < abs(self.si) < 1:
            unit = "ms" if abs(self.si) >= 1e-5 else "us"
        value = self._in(unit)
        text = f"{value:g} {unit}" if float(f"{value:g}") == value else f"{value!r} {unit}"
        if math.isfinite(value) and parse_quantity(text, self.dimension) == self:
            return text
        return f"{self.si!r} {_SI[self.dimension]}"


def parse_quantity(text: object, dimension: Dimension) -> Quantity:
    """Read a quantity of a given dimension.

    Parameters
    ----------
    text : object
        A number and a unit, such as ``"20 ms"``; a `Quantity` is passed through.
    dimension : {"time", "rate", "voltage"}
        What is wanted.

    Raises
    ------
    ValueError
        If the text is no number with a unit, is not finite, or has a unit of another dimension.
    """
    if dimension not in get_args(Dimension):
        raise TypeError(f"no dimension {dimension!r}")
    units = [unit for unit, (of, _) in UNITS.items() if of == dimension]
    wanted = f'Expected a {dimension} with its unit ({", ".join(units)}), such as "20 {_USUAL[dimension]}".'
    if isinstance(text, Quantity):
        if text.dimension != dimension:
            raise ValueError(f"{text} is a {text.dimension}. {wanted}")
        return text
    if not isinstance(text, str):
        raise ValueError(f"{text!r} has no unit. {wanted}")
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit. {wanted}")
    number, unit = match.groups()
    unit = unit.replace("µ", "u").replace("μ", "u")  # the micro sign and the Greek letter
    if unit not in UNITS or UNITS[unit][0] != dimension:
        kind = f"a unit of {UNITS[unit][0]}" if unit in UNITS else "not a unit known here"
        raise ValueError(f"{text!r}: '{unit}' is {kind}. {wanted}")
    try:
        si = float(Decimal(number) * UNITS[unit][1])
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(f"{text!r} is out of range. {wanted}") from error
    if not math.isfinite(si):
        raise ValueError(f"{text!r} is not finite. {wanted}")
    return Quantity(si + 0.0, dimension)
