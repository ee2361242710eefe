"""The labels of Tiny ImageNet's validation images, which lie together in ``DIR/val/images``.

Each line of ``DIR/val/val_annotations.txt`` has the name of a file, its class and a box, divided by tabs.
"""

from __future__ import annotations

from pathlib import Path

from neuromirror.data.broken import shown
from neuromirror.errors import RequestError

FILE = "val_annotations.txt"
FOLDER = "images"

_REMEDY = "Unpack the set anew."


def annotated(root: Path, part: str, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Sort images into the classes that their annotations give.

    Parameters
    ----------
    root : Path
        The directory.
    part : str
        Its folder with the annotations and the folder of the images.
    names : tuple of str
        Names of the images' files.

    Returns
    -------
    dict of str to list of str
        Paths of images within the directory, in the order of names, by class; in the order of these.

    Raises
    ------
    RequestError
        If the annotations cannot be read, or are not those of exactly these images.
    """
    file = root / part / FILE
    said = shown(str(file))
    try:
        lines = file.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise RequestError(f"{said}: cannot be read ({error.strerror or error}). {_REMEDY}") from error
    class_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, *rest = line.split("\t")
        if not rest or not rest[0] or name in class_of:
            why = f"a second line of '{shown(name)}'" if name in class_of else "no name and class, divided by a tab"
            raise RequestError(f"{said}:{number}: {why}. {_REMEDY}")
        class_of[name] = rest[0]
    missing, unlabelled = sorted(set(class_of) - set(names)), sorted(set(names) - set(class_of))
    if missing or unlabelled:
        first = f"'{shown(missing[0])}' is missing" if missing else f"'{shown(unlabelled[0])}' has no line"
        raise RequestError(
            f"{said}: it is of {len(class_of)} images, and {FOLDER} has {len(names)}: {first}. Put in exactly those."
        )
    classes: dict[str, list[str]] = {}
    for name in sorted(names):
        classes.setdefault(class_of[name], []).append(f"{part}/{FOLDER}/{name}")
    return dict(sorted(classes.items()))
