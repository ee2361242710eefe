"""Where each key of a TOML text stands: an index from key paths to line numbers, which no TOML library gives.

The text has been read by `tomllib` before, so the scanner follows the grammar without judging it; on text that is not
TOML it stops and returns what it has.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Span:
    """From where to where in a text a key and its value stand: of a dotted key, its last part."""

    key: tuple[int, int]
    value: tuple[int, int]


class _StopError(Exception):
    """The text is not what the scanner expects."""


def key_lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of every key, table and array element of a TOML text.

    Parameters
    ----------
    text : str
        TOML 1.0.

    Returns
    -------
    dict
        From key paths, as they address what `tomllib` returns, to lines; what is mentioned twice has its first line.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_StopError, IndexError, RecursionError, tomllib.TOMLDecodeError):
        scanner.document()
    return scanner.lines


def longest_value_line(text: str) -> int | None:
    """Return the line of the longest value that is no text, array or table, or None where there is none."""
    scanner = _Scanner(text)
    with contextlib.suppress(_StopError, IndexError, RecursionError, tomllib.TOMLDecodeError):
        scanner.document()
    return scanner.longest[1]


def key_spans(text: str) -> dict[Path, Span]:
    """Return where in a TOML text the keys that have a value, and their values, stand.

    Parameters
    ----------
    text : str
        TOML 1.0.
    """
    scanner = _Scanner(text)
    with contextlib.suppress(_StopError, IndexError, RecursionError, tomllib.TOMLDecodeError):
        scanner.document()
    return scanner.spans


def line_of(lines: Mapping[Path, int], path: Sequence[str | int]) -> int | None:
    """Return the line of a path or of its longest known prefix, or None where not even its first key is known."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.spans: dict[Path, Span] = {}
        self.arrays: dict[Path, int] = {}
        self.longest: tuple[int, int | None] = (0, None)
        self._line_at, self._line = 0, 1
        self._last_key = (0, 0)

    def document(self) -> None:
        """Walk through the whole text."""
        table: Path = ()
        while self._skip(" \t\r\n"):
            if self.text.startswith("[[", self.at):
                table = self._array_header()
            elif self._peek() == "[":
                line = self._here()
                self.at += 1
                table = self._resolve((), self._key(), line)
                self._expect("]")
            else:
                self._pair(table)

    def _array_header(self) -> Path:
        line = self._here()
        self.at += 2
        keys = self._key()
        parent = self._resolve((), keys[:-1], line)
        array = (*parent, keys[-1])
        self._note(array, line)
        index = self.arrays[array] = self.arrays.get(array, -1) + 1
        self._note((*array, index), line)
        self._expect("]")
        self._expect("]")
        return (*array, index)

    def _resolve(self, base: Path, keys: Sequence[str], line: int) -> Path:
        """Return the path of a dotted key, stepping into the last element of arrays of tables."""
        path = base
        for key in keys:
            path = (*path, key)
            self._note(path, line)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        return path

    def _pair(self, base: Path) -> None:
        line = self._here()
        path = self._resolve(base, self._key(), line)
        key = self._last_key
        self._expect("=")
        self._skip(" \t")
        start = self.at
        self._value(path)
        self.spans[path] = Span(key, (start, start + len(self.text[start : self.at].rstrip())))

    def _key(self) -> list[str]:
        keys = [self._simple_key()]
        while self._skip(" \t") and self._peek() == ".":
            self.at += 1
            keys.append(self._simple_key())
        return keys

    def _simple_key(self) -> str:
        self._skip(" \t")
        start = self.at
        if self._peek() in "\"'":
            self._string()
            self._last_key = (start, self.at)
            return tomllib.loads(f"{self.text[start : self.at]} = 0").popitem()[0]
        while self.at < len(self.text) and (self.text[self.at].isalnum() or self.text[self.at] in "-_"):
            self.at += 1
        if self.at == start:
            raise _StopError
        self._last_key = (start, self.at)
        return self.text[start : self.at]

    def _value(self, path: Path) -> None:
        self._skip(" \t")
        first = self._peek()
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            start = self.at
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\r\n":
                self.at += 1
            if self.at == start:
                raise _StopError
            if self.at - start > self.longest[0]:
                self.longest = (self.at - start, self._here())

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._skip(" \t\r\n,") and self._peek() != "]":
            self._note((*path, index), self._here())
            self._value((*path, index))
            index += 1
        self._expect("]")

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip(" \t\r\n,") and self._peek() != "}":
            self._pair(path)
        self._expect("}")

    def _string(self) -> None:
        quote = self._peek()
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            if self.at >= len(self.text) or (len(fence) == 1 and self.text[self.at] == "\n"):
                raise _StopError
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(fence)
        while len(fence) == 3 and self._peek(or_end=True) == quote:
            self.at += 1

    def _skip(self, blanks: str) -> bool:
        """Skip blanks, and comments where line ends are among them; return whether any text is left."""
        while self.at < len(self.text):
            if self.text[self.at] in blanks:
                self.at += 1
            elif self.text[self.at] == "#" and "\n" in blanks:
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return True
        return False

    def _peek(self, *, or_end: bool = False) -> str:
        if self.at >= len(self.text):
            if or_end:
                return ""
            raise _StopError
        return self.text[self.at]

    def _expect(self, character: str) -> None:
        self._skip(" \t")
        if self._peek() != character:
            raise _StopError
        self.at += 1

    def _here(self) -> int:
        """Return the line of the scanner's place, counting on from the last time."""
        self._line += self.text.count("\n", self._line_at, self.at)
        self._line_at = self.at
        return self._line

    def _note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)
