"""What is remarkable about one image file: found by decoding it wholly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from neuromirror.data.broken import FORMATS, reason, shown
from neuromirror.data.files import GREY, SUFFIXES, Encoded, converted

ERRORS = {
    "unreadable": "cannot be decoded; training stops there",
    "truncated": "the file ends before its image does; training stops there",
}
"""Kinds of findings at which training stops, and what is said of each."""

NOTES = {
    "CMYK": "converted to RGB",
    "grey": "three equal channels, where the set is one of colour",
    "other mode": "converted: palettes are resolved, alpha is ignored, 16 bits become 8",
    "orientation": "a camera's note (EXIF) to turn or mirror it is ignored",
    "frames": "the first of several frames or pages is taken",
    "misnamed": "decoded by what it holds, whatever its suffix says",
}
"""Kinds of findings that training copes with, and what it does."""

ORIENTATION, UPRIGHT = 0x0112, 1
"""The tag of EXIF, and what it says of an image that is as it should be."""

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
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


@dataclass(frozen=True, kw_only=True)
class Look:
    """What an image is, and what is remarkable about it: nothing for an RGB image that is what it is called.

    Attributes
    ----------
    findings : tuple of Finding
    has_colour : bool
        Whether the set becomes one of three channels by it; False of a file whose header cannot be read.
    size : (int, int) or None
        Columns and rows; None of what cannot be decoded.
    """

    findings: tuple[Finding, ...]
    has_colour: bool = False
    size: tuple[int, int] | None = None


def examined(encoded: Encoded, number: int) -> Look:
    """Decode an image, as training does it, and return what it is."""
    name, has_colour = shown(os.fsdecode(encoded.identity(number))), False
    try:
        with encoded.opened(number) as file:
            try:
                with Image.open(file, formats=FORMATS) as image:
                    mode, size = image.mode, image.size
                    has_colour = mode not in GREY
                    converted(image, "RGB").load()
                    remarks = tuple(_remarks(name, image, mode))
            except Exception as error:
                kind = "truncated" if _ends_early(file, error) else "unreadable"
                return Look(findings=(Finding(kind=kind, name=name, what=reason(error)),), has_colour=has_colour)
    except OSError as error:
        return Look(findings=(Finding(kind="unreadable", name=name, what=reason(error)),))
    return Look(findings=remarks, has_colour=has_colour, size=size)


def _remarks(name: str, image: Image.Image, mode: str) -> Iterator[Finding]:
    if mode != "RGB":
        named = "CMYK" if mode == "CMYK" else "grey" if mode in ("L", "1") else "other mode"
        yield Finding(kind=named, name=name, what=f"mode {mode}")
    if (orientation := _orientation(image)) != UPRIGHT:
        yield Finding(kind="orientation", name=name, what=f"orientation {orientation}")
    if (frames := _frames(image)) > 1:
        yield Finding(kind="frames", name=name, what=f"{frames} frames")
    kind, suffix = _format(image), os.path.splitext(name)[1]
    if SUFFIXES.get(suffix.lower()) != kind:
        yield Finding(kind="misnamed", name=name, what=f"a {kind} called {suffix}")


def _orientation(image: Image.Image) -> int:
    """Return which of the eight orientations EXIF notes; upright where it has none, or is damaged."""
    try:
        noted = image.getexif().get(ORIENTATION, UPRIGHT)
    except Exception:  # of damaged EXIF PIL raises whatever it comes upon, and training does not look at it
        return UPRIGHT
    return noted if noted in range(2, 9) else UPRIGHT


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1)) if image.format != "MPO" else 1
    except Exception:  # of frames after the first that are damaged
        return 1


def _format(image: Image.Image) -> str:
    return "JPEG" if image.format == "MPO" else str(image.format)  # a JPEG that further images follow


def _ends_early(file: BinaryIO, error: Exception) -> bool:
    """Tell whether an image cannot be decoded because its file ends too early, of which PIL does not always speak."""
    if "truncated" in str(error).lower():
        return True
    file.seek(0)
    content = file.read()
    if content.startswith(JPEG_START):
        return JPEG_END not in content
    is_webp = content[:4] == b"RIFF" and content[8:RIFF_HEADER] == b"WEBP"
    return is_webp and len(content) < 8 + int.from_bytes(content[4:8], "little")
