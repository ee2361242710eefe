"""The labels of ImageNet's validation images, as its development kit gives them.

The images of ``DIR/val`` are numbered and unsorted, ``ILSVRC2012_val_00000001.JPEG`` and so on. Line n of the kit's
``ILSVRC2012_validation_ground_truth.txt`` is the ILSVRC2012_ID of image n, and its ``meta.mat`` says which WordNet ID
belongs to it (``n01440764``), by which the folders of the training images are named.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from neuromirror.data.broken import shown
from neuromirror.errors import RequestError

FOLDER = "ILSVRC2012_devkit_t12"
LABELS = "data/ILSVRC2012_validation_ground_truth.txt"
META = "data/meta.mat"
FIELDS = ("ILSVRC2012_ID", "WNID", "num_children")

_NUMBER = re.compile(r"(\d+)\.[^.]+\Z", re.ASCII)
_REMEDY = f"Unpack {FOLDER}.tar.gz anew."


def sorted_by_class(root: Path, part: str, names: list[str]) -> dict[str, list[str]]:
    """Sort unsorted images into classes.

    Parameters
    ----------
    root : Path
        The directory, with the development kit in it.
    part : str
        Folder of the images.
    names : list of str
        Names of their files.

    Returns
    -------
    dict of str to list of str
        Paths of images within the directory, in the order of names, by WordNet ID; in the order of these.

    Raises
    ------
    RequestError
        If a file of the kit is missing or is not what it should be, if there are not as many images as labels, each
        with its number, or if a label is that of no class.
    """
    kit, said = root / FOLDER, shown(str(root / part))
    if not kit.is_dir():
        raise RequestError(
            f"{said}: {len(names)} images without class folders, whose labels would be in {shown(str(kit))}; there is "
            f"no such directory. Unpack {FOLDER}.tar.gz beside '{part}', or sort the images into class folders."
        )
    labels, wnids = _labels(kit / LABELS), _wnids(kit / META)
    numbered = _numbered(said, names)
    if sorted(numbered) != list(range(1, len(labels) + 1)):
        wrong = _first_wrong(set(numbered), len(labels))
        raise RequestError(
            f"{said}: {len(numbered)} images, but {LABELS} has {len(labels)} labels, of images 1 to {len(labels)}; "
            f"{wrong}. Put in exactly the images that the kit has labels of."
        )
    classes: dict[str, list[str]] = {}
    for number, name in sorted(numbered.items(), key=lambda item: item[1]):
        label = labels[number - 1]
        if label not in wnids:
            raise RequestError(
                f"{shown(str(kit / LABELS))}:{number}: label {label} is no class of {META}: of its synsets those count "
                f"that have no children. {_REMEDY}"
            )
        classes.setdefault(wnids[label], []).append(f"{part}/{name}")
    return dict(sorted(classes.items()))


def _numbered(said: str, names: list[str]) -> dict[int, str]:
    """Return names by the numbers in them."""
    numbered: dict[int, str] = {}
    for name in names:
        found = _NUMBER.search(name)
        if found is None or int(found[1]) in numbered:
            why = "has no number before its suffix" if found is None else f"is a second image {int(found[1])}"
            raise RequestError(
                f"{said}: '{shown(name)}' {why}; the number tells its label. Names are such as "
                "ILSVRC2012_val_00000001.JPEG."
            )
        numbered[int(found[1])] = name
    return numbered


def _first_wrong(numbers: set[int], labels: int) -> str:
    missing = set(range(1, labels + 1)) - numbers
    return f"image {min(missing)} is missing" if missing else f"image {max(numbers)} has no label"


def _labels(file: Path) -> list[int]:
    lines = _read(file).decode("ascii", "replace").split("\n")
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not re.fullmatch("[0-9]{1,9}", line):
            raise RequestError(f"{shown(str(file))}:{number}: {line[:20]!r} is no label, a whole number. {_REMEDY}")
    return [int(line) for line in lines]


def _wnids(file: Path) -> dict[int, str]:
    """Return the WordNet ID of each class by its ILSVRC2012_ID."""
    from scipy.io import loadmat  # it takes a while

    content = _read(file)
    try:
        synsets: Any = np.atleast_1d(loadmat(io.BytesIO(content), squeeze_me=True)["synsets"])
        rows = [tuple(synset[field] for field in FIELDS) for synset in synsets]
        return {int(number): str(wnid) for number, wnid, children in rows if int(children) == 0}
    except Exception as error:  # of a damaged file scipy raises whatever it comes upon
        message = f"no array 'synsets' with the fields {', '.join(FIELDS)} can be read from it"
        raise RequestError(f"{shown(str(file))}: {message}. {_REMEDY}") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RequestError(f"{shown(str(file))}: cannot be read ({error.strerror or error}). {_REMEDY}") from error
