"""Types of command-line options that several modules declare."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter


def _whole(_: object, tokens: Any) -> int:
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"{tokens[0].value!r} is not a whole number") from error


Whole = Annotated[int, Parameter(converter=_whole)]
"""A whole number, of any number of digits."""
