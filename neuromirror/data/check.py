"""Checks a directory of images: every one is decoded, and what training would stop at or convert is counted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuromirror.data.broken import shown
from neuromirror.data.directory import Directory, read_directory
from neuromirror.data.examine import ERRORS, NOTES, Finding, Look, examined
from neuromirror.data.files import Encoded
from neuromirror.data.listing import PassedOver
from neuromirror.data.whole import checked_whole
from neuromirror.data.workers import Workers

Size = tuple[int, int]
"""Columns and rows."""

FIRST = 3
"""Findings of a kind that are kept, unless all are wanted."""

AT_A_TIME = 64
"""Images that a process examines before it reports."""


@dataclass(kw_only=True)
class Found:
    """Findings of one kind: how many, and the first of them, or all."""

    count: int = 0
    first: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PartCount:
    """How many images a part has, and the fewest and the most of a class, with its name."""

    images: int
    fewest: tuple[int, str] | None
    most: tuple[int, str] | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a directory of images is like.

    Attributes
    ----------
    name : str
    classes : int
    channels : int
        In how many training takes all images: 1 if none has colour, else 3.
    sizes : ((int, int), (int, int)) or None
        Columns and rows of the smallest and of the largest image, by their number of pixels.
    parts : dict of str to PartCount
        "train" and "test".
    problems : tuple of str
        What keeps the directory as a whole from being trained on.
    findings : dict of str to Found
        By kind, of `ERRORS` and `NOTES`; only kinds of which there are some.
    passed_over : PassedOver
        What of the directory training does not take.
    """

    name: str
    classes: int
    channels: int
    sizes: tuple[Size, Size] | None
    parts: dict[str, PartCount]
    problems: tuple[str, ...]
    findings: dict[str, Found]
    passed_over: PassedOver

    @property
    def can_be_trained_on(self) -> bool:
        """Whether training neither refuses the directory nor stops at an image."""
        return not self.problems and not set(self.findings) & set(ERRORS)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "name": self.name,
            "classes": self.classes,
            "channels": self.channels,
            "sizes": None if self.sizes is None else {"smallest": self.sizes[0], "largest": self.sizes[1]},
            "parts": {part: vars(count) for part, count in self.parts.items()},
            "problems": list(self.problems),
            "findings": {
                kind: {"count": found.count, "images": [{"name": one.name, "what": one.what} for one in found.first]}
                for kind, found in self.findings.items()
            },
            "passed_over": {"count": self.passed_over.count, "names": list(map(shown, self.passed_over.names))},
            "can_be_trained_on": self.can_be_trained_on,
        }


@dataclass(frozen=True, kw_only=True)
class _Examiner:
    """Examines a range of the images of one part, in whichever process it is."""

    sources: tuple[Encoded, ...]

    def __call__(self, request: tuple[int, int, int]) -> list[Look]:
        part, start, stop = request
        source = self.sources[part]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL, on what training does not look at
            return [examined(source, number) for number in range(start, stop)]


class _Tally:
    """What images are together."""

    def __init__(self, *, keep_all: bool) -> None:
        self._keep_all = keep_all
        self._kinds = {kind: Found() for kind in (*ERRORS, *NOTES)}
        self.channels = 1
        self.sizes: tuple[Size, Size] | None = None

    def add(self, look: Look) -> None:
        for finding in look.findings:
            found = self._kinds[finding.kind]
            found.count += 1
            if self._keep_all or found.count <= FIRST:
                found.first.append(finding)
        self.channels = 3 if look.has_colour else self.channels
        if look.size is not None:
            smallest, largest = self.sizes or (look.size, look.size)
            self.sizes = min(smallest, look.size, key=math.prod), max(largest, look.size, key=math.prod)

    @property
    def findings(self) -> dict[str, Found]:
        """What there is some of; grey images are nothing special in a set without colour."""
        passing = {"grey"} if self.channels == 1 else set()
        return {kind: found for kind, found in self._kinds.items() if found.count and kind not in passing}


@dataclass(frozen=True, kw_only=True)
class _Ranges:
    """Ranges of images, `AT_A_TIME` each, made as they are asked for."""

    sizes: tuple[int, ...]

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for part, size in enumerate(self.sizes):
            for start in range(0, size, AT_A_TIME):
                yield part, start, min(start + AT_A_TIME, size)

    def __len__(self) -> int:
        return sum(-(-size // AT_A_TIME) for size in self.sizes)


def check_directory(
    root: Path | str,
    *,
    jobs: int = 1,
    all_findings: bool = False,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Report:
    """Decode every image of a directory, and report what there is in it.

    Parameters
    ----------
    root : path
        A directory that `neuromirror.data.load_data` takes.
    jobs : int
        Processes that decode.
    all_findings : bool
        Whether all findings are kept instead of the first of each kind.
    progress : callable
        Called with the number of images done, and of all.

    Returns
    -------
    Report
        The same for any number of processes.

    Raises
    ------
    RequestError
        If there is no such directory, or it cannot be read.
    """
    checked_whole("jobs", jobs, 1)
    there = read_directory(Path(root))
    examiner = _Examiner(sources=(there.train, there.test))
    requests = _Ranges(sizes=(len(there.train), len(there.test)))
    answers = map(examiner, requests) if jobs == 1 else Workers(examiner, jobs).answers(requests)
    tally, done, total = _Tally(keep_all=all_findings), 0, sum(requests.sizes)
    for (_, start, stop), looks in zip(requests, answers):
        for look in looks:
            tally.add(look)
        done += stop - start
        progress(done, total)
    return Report(
        name=there.name,
        classes=len(there.classes),
        channels=tally.channels,
        sizes=tally.sizes,
        parts={"train": _count(there, there.train_labels), "test": _count(there, there.test_labels)},
        problems=there.problems,
        findings=tally.findings,
        passed_over=there.passed_over,
    )


def _count(there: Directory, labels: np.ndarray) -> PartCount:
    if not there.classes:
        return PartCount(images=0, fewest=None, most=None)
    counts = np.bincount(labels, minlength=len(there.classes))
    fewest, most = (
        (int(counts[place]), shown(there.classes[place])) for place in (int(counts.argmin()), int(counts.argmax()))
    )
    return PartCount(images=len(labels), fewest=fewest, most=most)
