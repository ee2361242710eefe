"""What ``neuromirror data`` does: checks and packs directories of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from neuromirror.errors import RequestError, RunError
from neuromirror.progress import ProgressBar

if TYPE_CHECKING:
    from neuromirror.data.check import Found, PartCount, Report


def run_check(root: Path, *, jobs: int, every: bool, as_json: bool) -> None:
    """Check a directory of images, and print what there is in it.

    Raises
    ------
    RequestError
        If there is no such directory, or it cannot be read.
    RunError
        If training would refuse it, or stop at an image; all has been printed then.
    """
    if jobs < 1:
        raise RequestError(f"--jobs {jobs}: expected a number of processes from 1.")
    from neuromirror.data.check import check_directory

    with ProgressBar(lambda done, total: f"{done:.0f} of {total:.0f} images") as bar:
        report = check_directory(root, jobs=jobs, all_findings=every, progress=bar.update)
    _say(report)
    if as_json:
        print(json.dumps(report.as_json(), sort_keys=True))
    if not report.can_be_trained_on:
        raise RunError(_why_not(root, report))


def run_pack(root: Path, out: Path, *, shard_mb: int) -> None:
    """Pack a directory of images into tar files with an index.

    Raises
    ------
    RequestError
        If there is no such directory, it cannot be trained on as a whole, or the new one is there already.
    RunError
        If a file cannot be read, or what is packed cannot be written.
    """
    if shard_mb < 1:
        raise RequestError(f"--shard-mb {shard_mb}: expected a number of megabytes from 1.")
    from neuromirror.data.broken import shown
    from neuromirror.data.pack import MB, pack_directory

    with ProgressBar(lambda done, total: f"{done:.0f} of {total:.0f} images") as bar:
        packed = pack_directory(root, out, shard_bytes=shard_mb * MB, progress=bar.update)
    print(
        f"packed   {shown(str(out))}: {packed.images:,} images, {packed.shards:,} tar files, {packed.size / MB:,.1f} MB"
    )


def _say(report: Report) -> None:
    from neuromirror.data.examine import ERRORS, NOTES

    print(f"{report.name}: {report.classes} classes")
    for part, count in report.parts.items():
        print(f"{part:10} {_said(count)}")
    for problem in report.problems:
        print(f"problem    {problem}")
    for kind, found in report.findings.items():
        print(f"{kind:10} {found.count:,} image{'' if found.count == 1 else 's'}: {(ERRORS | NOTES)[kind]}")
        _list(found)
    if not report.problems and not report.findings:
        print("nothing that training would stop at or convert")


def _list(found: Found) -> None:
    for one in found.first:
        print(f"{'':10}   {one.name}: {one.what}")
    if found.count > len(found.first):
        print(f"{'':10}   and {found.count - len(found.first):,} more; --list shows all")


def _said(count: PartCount) -> str:
    if count.fewest is None or count.most is None or not count.images:
        return "no images"
    if count.fewest[0] == count.most[0]:
        return f"{count.images:,} images, {count.most[0]:,} of each class"
    fewest, most = (f"{number:,} ({name})" for number, name in (count.fewest, count.most))
    return f"{count.images:,} images, from {fewest} to {most} of a class"


def _why_not(root: Path, report: Report) -> str:
    from neuromirror.data.broken import shown
    from neuromirror.data.examine import ERRORS

    broken = sum(report.findings[kind].count for kind in ERRORS if kind in report.findings)
    found = [f"{len(report.problems)} problem{'' if len(report.problems) == 1 else 's'} of the directory"]
    found = found if report.problems else []
    found += [f"{broken:,} image{'' if broken == 1 else 's'} that cannot be read"] if broken else []
    return f"{shown(str(root))}: {' and '.join(found)}. Mend what is listed, or take it out of the folders."
