"""What is remarkable about one image file: found by decoding it wholly."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from neuromirror.data.broken import FORMATS, reason, shown
from neuromirror.data.files import SUFFIXES, Encoded, converted

ERRORS = {
    "unreadable": "cannot be decoded; training stops there",
    "truncated": "the file ends before its image does; training stops there",
}
"""Kinds of findings at which training stops, and what is said of each."""

NOTES = {
    "CMYK": "converted to RGB",
    "grey": "three equal channels, where the set is one of colour",
    "other mode": "converted: palettes are resolved, alpha is ignored, 16 bits become 8",
    "misnamed": "decoded by what it holds, whatever its suffix says",
}
"""Kinds of findings that training copes with, and what it does."""

GREY = ("L", "1")
RIFF_HEADER = 12
"""Bytes: "RIFF", the length of what follows the first eight, and "WEBP"."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something remarkable about an image.

    Attributes
    ----------
    kind : str
        One of `ERRORS` or `NOTES`.
    name : str
        Of the image within its set, as it is shown.
    what : str
        Details.
    """

    kind: str
    name: str
    what: str


def examined(encoded: Encoded, number: int) -> list[Finding]:
    """Decode an image, and return what is remarkable about it: nothing for an RGB image that is what it is called."""
    name = shown(os.fsdecode(encoded.identity(number)))
    try:
        with encoded.opened(number) as file:
            try:
                with Image.open(file, formats=FORMATS) as image:
                    called = _format(image), image.mode
                    converted(image, "RGB").load()
            except Exception as error:
                kind = "truncated" if _ends_early(file, error) else "unreadable"
                return [Finding(kind=kind, name=name, what=reason(error))]
    except OSError as error:
        return [Finding(kind="unreadable", name=name, what=reason(error))]
    return _remarks(name, *called)


def _remarks(name: str, kind: str, mode: str) -> list[Finding]:
    found = []
    if mode != "RGB":
        named = "CMYK" if mode == "CMYK" else "grey" if mode in GREY else "other mode"
        found.append(Finding(kind=named, name=name, what=f"mode {mode}"))
    suffix = os.path.splitext(name)[1]
    if SUFFIXES.get(suffix.lower()) != kind:
        found.append(Finding(kind="misnamed", name=name, what=f"a {kind} called {suffix}"))
    return found


def _format(image: Image.Image) -> str:
    return "JPEG" if image.format == "MPO" else str(image.format)  # a JPEG that further images follow


def _ends_early(file: BinaryIO, error: Exception) -> bool:
    """Tell whether an image cannot be decoded because its file ends too early; WebP itself only says that it cannot."""
    if "truncated" in str(error).lower():
        return True
    file.seek(0)
    head = file.read(RIFF_HEADER)
    is_webp = head[:4] == b"RIFF" and head[8:] == b"WEBP"
    return is_webp and file.seek(0, os.SEEK_END) < 8 + int.from_bytes(head[4:8], "little")
