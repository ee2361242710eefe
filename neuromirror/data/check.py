"""Checks a directory of images: every one is decoded, and what training would stop at or convert is counted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuromirror.data.broken import shown
from neuromirror.data.directory import Directory, read_directory
from neuromirror.data.examine import ERRORS, NOTES, Finding, examined
from neuromirror.data.files import Encoded
from neuromirror.data.whole import checked_whole
from neuromirror.data.workers import Workers

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
    parts : dict of str to PartCount
        "train" and "test".
    problems : tuple of str
        What keeps the directory as a whole from being trained on.
    findings : dict of str to Found
        By kind, of `ERRORS` and `NOTES`; only kinds of which there are some.
    """

    name: str
    classes: int
    parts: dict[str, PartCount]
    problems: tuple[str, ...]
    findings: dict[str, Found]

    @property
    def can_be_trained_on(self) -> bool:
        """Whether training neither refuses the directory nor stops at an image."""
        return not self.problems and not set(self.findings) & set(ERRORS)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "name": self.name,
            "classes": self.classes,
            "parts": {part: vars(count) for part, count in self.parts.items()},
            "problems": list(self.problems),
            "findings": {
                kind: {"count": found.count, "images": [{"name": one.name, "what": one.what} for one in found.first]}
                for kind, found in self.findings.items()
            },
            "can_be_trained_on": self.can_be_trained_on,
        }


@dataclass(frozen=True, kw_only=True)
class _Examiner:
    """Examines a range of the images of one part, in whichever process it is."""

    sources: tuple[Encoded, ...]

    def __call__(self, request: tuple[int, int, int]) -> list[Finding]:
        part, start, stop = request
        source = self.sources[part]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL, on what training does not look at
            return [finding for number in range(start, stop) for finding in examined(source, number)]


@dataclass(frozen=True, kw_only=True)
class _Ranges(Sequence[tuple[int, int, int]]):
    """Ranges of images, `AT_A_TIME` each, made as they are asked for."""

    sizes: tuple[int, ...]

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for part, size in enumerate(self.sizes):
            for start in range(0, size, AT_A_TIME):
                yield part, start, min(start + AT_A_TIME, size)

    def __len__(self) -> int:
        return sum(-(-size // AT_A_TIME) for size in self.sizes)

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]


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
    kinds, done, total = {kind: Found() for kind in (*ERRORS, *NOTES)}, 0, sum(requests.sizes)
    for (_, start, stop), findings in zip(requests, answers):
        for finding in findings:
            found = kinds[finding.kind]
            found.count += 1
            if all_findings or found.count <= FIRST:
                found.first.append(finding)
        done += stop - start
        progress(done, total)
    return Report(
        name=there.name,
        classes=len(there.classes),
        parts={"train": _count(there, there.train_labels), "test": _count(there, there.test_labels)},
        problems=there.problems,
        findings={kind: found for kind, found in kinds.items() if found.count},
    )


def _count(there: Directory, labels: np.ndarray) -> PartCount:
    if not there.classes:
        return PartCount(images=0, fewest=None, most=None)
    counts = np.bincount(labels, minlength=len(there.classes))
    fewest, most = (
        (int(counts[place]), shown(there.classes[place])) for place in (int(counts.argmin()), int(counts.argmax()))
    )
    return PartCount(images=len(labels), fewest=fewest, most=most)
