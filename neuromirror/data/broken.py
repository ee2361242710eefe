"""Images that cannot be read: the error that names one, and how names are shown."""

from __future__ import annotations

from PIL import Image

from neuromirror.errors import RunError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
"""What an image file may be, whatever its suffix says."""


class UnreadableImageError(RunError):
    """An image that cannot be read.

    Parameters
    ----------
    where : str
        The file, or the place in one, as it is shown.
    why : str
        What is wrong with it.
    """

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)  # both are arguments, so that it can be pickled
        self.where, self.why = where, why

    def __str__(self) -> str:
        return f"{self.where}: this image cannot be read ({self.why}). Replace the file, or take it out of the folder."


def reason(error: Exception) -> str:
    """Return in words why an image cannot be read."""
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def shown(name: str) -> str:
    """Return a name as it can be printed and written in one line, whatever bytes and characters it consists of."""
    return "".join(character if character.isprintable() else _escaped(character) for character in name)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]
