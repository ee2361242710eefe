"""Packs a directory of images into tar files with an index: few large files in place of very many small ones."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from neuromirror.data.broken import shown
from neuromirror.data.directory import Directory, read_directory
from neuromirror.data.files import Encoded, unreadable
from neuromirror.data.shard_index import FILE, ROWS, Index
from neuromirror.data.whole import checked_whole
from neuromirror.errors import RequestError, RunError

MB = 1_000_000
HEADER = 512
"""Bytes of a tar file's header, and of the blocks that its contents are rounded up to."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What came of packing: how many images, tar files, and bytes of these."""

    images: int
    shards: int
    size: int


def pack_directory(
    root: Path | str,
    out: Path | str,
    *,
    shard_bytes: int = 256 * MB,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Packed:
    """Pack a directory of images; `neuromirror.data.load_data` gives the same of either.

    Images are packed as they are, broken ones too; none is decoded.

    Parameters
    ----------
    root : path
        A directory that `neuromirror.data.load_data` takes.
    out : path
        The new directory. It appears when all is written, or not at all.
    shard_bytes : int
        Length of a tar file at most, unless one image is longer.
    progress : callable
        Called with the number of images done, and of all.

    Raises
    ------
    RequestError
        If there is no such directory, it cannot be trained on as a whole, or the new one is there already.
    RunError
        If a file cannot be read, or what is packed cannot be written.
    """
    checked_whole("shard_bytes", shard_bytes, 1)
    root, out = Path(root), Path(out)
    there = read_directory(root)
    if there.problems:
        raise RequestError(there.problems[0])
    _check_free(root, out)
    outer: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        outer = Path(tempfile.mkdtemp(prefix=f".{out.name}.part-", dir=out.parent))
        inner = outer / "packed"
        inner.mkdir()
        packed = _written(there, inner, shard_bytes, progress)
        os.rename(inner, out)
        _sync(out.parent)
        return packed
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise RunError(f"{shown(str(out))}: cannot be written ({why}). Nothing is left of it.") from error
    finally:
        if outer is not None:
            shutil.rmtree(outer, ignore_errors=True)


def _check_free(root: Path, out: Path) -> None:
    said = shown(str(out))
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise RequestError(f"{said}: there is something of that name, and it is not overwritten. Give another.")
    if out.resolve().is_relative_to(root.resolve()):
        raise RequestError(f"{said}: inside of the directory that is packed. Give a place outside of it.")


def _written(there: Directory, folder: Path, shard_bytes: int, progress: Callable[[float, float], None]) -> Packed:
    """Write tar files and index."""
    shards, total = _Shards(folder, shard_bytes), len(there.train) + len(there.test)
    rows, names = {name: np.empty(total, kind) for name, kind in ROWS.items()}, bytearray()
    ends, row = np.zeros(total + 1, np.int64), 0
    with shards:
        for part, source, labels in (
            ("train", there.train, there.train_labels),
            ("test", there.test, there.test_labels),
        ):
            shards.begin(part)
            for number, label in enumerate(labels.tolist()):
                content, name = _content(source, number), source.identity(number)
                offset = shards.add(name, content)
                found = (shards.number, offset, len(content), zlib.crc32(content), label)
                for key, value in zip(ROWS, found, strict=True):
                    rows[key][row] = value
                names += name
                row += 1
                ends[row] = len(names)
                progress(row, total)
    index = Index(
        name=there.name,
        classes=there.classes,
        shards=tuple(shards.written),
        train=len(there.train),
        rows=rows,
        names=np.frombuffer(bytes(names), np.uint8),
        ends=ends,
    )
    with (folder / FILE).open("wb") as file:
        file.write(index.to_bytes())
        _flush(file)
    _sync(folder)
    return Packed(images=total, shards=len(shards.written), size=sum(size for _, size in shards.written))


class _Shards:
    """Tar files that are written one after the other."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._part, self._of_part = "", 0
        self._file: BinaryIO | None = None
        self._tar: tarfile.TarFile | None = None
        self.written: list[tuple[str, int]] = []

    @property
    def number(self) -> int:
        """Number of the tar file that is written."""
        return len(self.written)

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._end()
        elif self._file is not None:
            self._file.close()

    def begin(self, part: str) -> None:
        """Begin a part of the set, with a tar file of its own."""
        self._end()
        self._part, self._of_part = part, 0

    def add(self, name: bytes, content: bytes) -> int:
        """Add a file, and return where its content begins."""
        if self._file is not None and self._file.tell() + len(content) + 4 * HEADER > self._limit:
            self._end()
        if self._file is None or self._tar is None:
            self._file = (self._folder / self._name()).open("xb")
            self._tar = tarfile.open(  # noqa: SIM115 (closed in _end)
                fileobj=self._file, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
            )
        member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        return self._file.tell() - -(-len(content) // HEADER) * HEADER

    def _name(self) -> str:
        return f"{self._part}-{self._of_part:06d}.tar"

    def _end(self) -> None:
        if self._file is None or self._tar is None:
            return
        self._tar.close()
        _flush(self._file)
        self.written.append((self._name(), self._file.tell()))
        self._of_part += 1
        self._file.close()
        self._file = self._tar = None


def _content(source: Encoded, number: int) -> bytes:
    try:
        with source.opened(number) as file:
            return file.read()
    except OSError as error:
        raise unreadable(source, number, error) from error


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make sure of the names in a folder, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
