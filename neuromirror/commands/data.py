"""What ``neuromirror data`` does: checks and packs directories of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from neuromirror.errors import RequestError, RunError
from neuromirror.options import Whole
from neuromirror.progress import ProgressBar

if TYPE_CHECKING:
    from neuromirror.data.check import Found, PartCount, Report
    from neuromirror.data.listing import PassedOver


data = App(
    name="data",
    help="Check and pack directories of images, as train takes them.",
    help_epilogue="See docs/data.md for the forms that a directory can have.",
)


@data.command(name="check")
def data_check(
    directory: Path,
    /,
    *,
    jobs: Whole = 1,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Decode every image of a directory, and report classes, counts, and what training would stop at or convert.

    Parameters
    ----------
    directory
        Directory of images, as train takes it.
    jobs
        Number of processes that decode.
    list_
        List all images that are remarkable, not only the first of each kind.
    json_
        Print one JSON object as the last line.
    """
    run_check(directory, jobs=jobs, every=list_, as_json=json_)


@data.command(name="pack")
def data_pack(directory: Path, out: Path, /, *, shard_mb: Whole = 256) -> None:
    """Pack a directory of images into tar files with an index, from which training is the same bit by bit.

    Parameters
    ----------
    directory
        Directory of images, as train takes it.
    out
        New directory for the tar files. It appears when all is written, and overwrites nothing.
    shard_mb
        Length of a tar file at most, in megabytes.
    """
    run_pack(directory, out, shard_mb=shard_mb)


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
    _say(report, every)
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


def _say(report: Report, every: bool) -> None:
    from neuromirror.data.examine import ERRORS, NOTES

    print(f"{report.name}: {report.classes} classes")
    for part, count in report.parts.items():
        print(f"{part:10} {_said(count)}")
    if report.sizes is not None:
        print(f"channels   {report.channels}{': no image has colour' if report.channels == 1 else ''}")
        smallest, largest = (f"{columns}×{rows}" for columns, rows in report.sizes)
        print(f"sizes      {smallest if smallest == largest else f'from {smallest} to {largest}'}, columns × rows")
    for problem in report.problems:
        print(f"problem    {problem}")
    for kind, found in report.findings.items():
        print(f"{kind:10} {found.count:,} image{'' if found.count == 1 else 's'}: {(ERRORS | NOTES)[kind]}")
        _list(found)
    if report.passed_over.count:
        _say_passed_over(report.passed_over, every)
    if not report.problems and not report.findings:
        print("nothing that training would stop at or convert")


def _list(found: Found) -> None:
    for one in found.first:
        print(f"{'':10}   {one.name}: {one.what}")
    if found.count > len(found.first):
        print(f"{'':10}   and {found.count - len(found.first):,} more; --list shows all")


def _say_passed_over(passed: PassedOver, every: bool) -> None:
    from neuromirror.data.broken import shown
    from neuromirror.data.check import FIRST

    names = passed.names if every else passed.names[:FIRST]
    print(f"passed over  {passed.count:,}: no image by its name, or in no class; not trained on")
    for name in names:
        print(f"{'':10}   {shown(name)}")
    if passed.count > len(names):
        print(f"{'':10}   and {passed.count - len(names):,} more{'' if every else '; --list shows them'}")


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
    found = []
    if count := len(report.problems):
        found.append(f"{count} problem{'' if count == 1 else 's'} of the directory")
    if broken:
        found.append(f"{broken:,} image{'' if broken == 1 else 's'} that cannot be read")
    return f"{shown(str(root))}: {' and '.join(found)}. Mend what is listed, or take it out of the folders."
