"""Images that cannot be read: the error that names one, how many there may be, and how names are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from neuromirror.errors import RunError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
"""What an image file may be, whatever its suffix says."""


class UnreadableImageError(RunError):
    """An image that cannot be read.

    Parameters
    ----------
    where : str
        The file, or the place in one, as it is shown.
    why : str
        What is wrong with it.
    name : str
        Its name within the set, which is the same wherever that is.
    """

    def __init__(self, where: str, why: str, name: str) -> None:
        super().__init__(where, why, name)  # all are arguments, so that it can be pickled
        self.where, self.why, self.name = where, why, name

    def __str__(self) -> str:
        return f"{self.where}: this image cannot be read ({self.why}). Replace the file, or take it out of the folder."


class BrokenImages:
    """Training images that cannot be read and are left out, each counted once.

    Parameters
    ----------
    limit : int
        How many there may be. With 0 none is left out: the first ends the run.

    Attributes
    ----------
    found : dict of str to str
        What is wrong with each, by its name in the set; in the order in which they were come upon.
    loaded : dict of str to str
        The same of those that were found when the set was loaded, and so are known in every run.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.found: dict[str, str] = {}
        self.loaded: dict[str, str] = {}

    def note(self, error: UnreadableImageError) -> None:
        """Count an image that cannot be read.

        Raises
        ------
        RunError
            If that is one more than there may be.
        """
        if not self.limit:
            raise error
        self.found.setdefault(error.name, error.why)
        self._check(error.where, error.why)

    def agree(self, known: int, of_ranks: Sequence[Mapping[str, str]]) -> None:
        """Know what several processes have found that were alike until then, in their order.

        Parameters
        ----------
        known : int
            How many all of them knew.
        of_ranks : sequence of mapping of str to str
            What each has found since.

        Raises
        ------
        RunError
            If there are more than there may be.
        """
        self.found = dict(list(self.found.items())[:known])
        for some in of_ranks:
            for name, why in some.items():
                self.found.setdefault(name, why)
                self._check(name, why)

    def _check(self, where: str, why: str) -> None:
        if len(self.found) > self.limit:
            raise RunError(
                f"{where}: training image number {len(self.found)} that cannot be read ({why}), where "
                f"max_broken_images allows {self.limit}. 'neuromirror data check' finds all of them: mend the set, or "
                "allow more."
            )

    def begin(self, before: Mapping[str, str] | None = None) -> None:
        """Begin a run with those found when the set was loaded, and go on from those found before a checkpoint."""
        self.found = {**(before or {}), **self.loaded}


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
