"""Lines of keys: the index has the paths of what tomllib reads, each on the line where it is written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.circuit.lines import Path, key_lines, line_of
from neuromirror.circuit.load import shipped

BARE_KEYS = st.text("abcXYZ0189_-", min_size=1, max_size=4)
KEYS = BARE_KEYS | st.sampled_from(
    ["", "a.b", "[x]", "a = 1", "#", "]", "µ", 'say "hi"', "it's", "back\\slash", "tab\t"]
)
TRAPS = ["# a = 1", "[table]", "a = 1", "'", "\\\\", ", }", "]]", "=", "{"]
STRINGS = st.lists(st.sampled_from([*TRAPS, "x", " "]), max_size=3).map("".join)
NUMBERS = st.sampled_from(["1", "-2.5e3", "0x1F", "1_000", "inf", "nan", "true", "1979-05-27 07:32:00Z", "07:32:00"])


class Writer:
    """Writes TOML in many ways, and keeps the line on which each path stands first."""

    def __init__(self, draw: st.DrawFn, newline: str) -> None:
        self.draw, self.newline = draw, newline
        self.text, self.line = "", 1
        self.lines: dict[Path, int] = {}

    def put(self, text: str) -> None:
        self.text += text.replace("\n", self.newline)
        self.line += text.count("\n")

    def note(self, *path: str | int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self.line)

    def filler(self) -> None:
        """Write blank lines and comments that look like keys."""
        for one in self.draw(st.lists(st.sampled_from(["\n", " \t\n", "# [a]\n", "  # a = '''\n"]), max_size=2)):
            self.put(one)

    def blanks(self) -> None:
        self.put(self.draw(st.sampled_from(["", " ", "\t "])))

    def key(self, key: str) -> None:
        if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) and self.draw(st.booleans()):
            self.put(key)
        elif "'" not in key and "\t" not in key and self.draw(st.booleans()):
            self.put(f"'{key}'")
        else:
            escaped = key.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
            self.put(f'"{escaped}"')

    def keys(self, keys: list[str]) -> None:
        for number, key in enumerate(keys):
            if number:
                self.blanks()
                self.put(".")
                self.blanks()
            self.key(key)

    def string(self) -> None:
        inside = self.draw(STRINGS)
        literal = inside.replace("'", "")
        match self.draw(st.sampled_from(["basic", "literal", "long", "long literal", "quotes at the end"])):
            case "basic":
                self.put(f'"{inside}\\""')
            case "literal":
                self.put(f"'{literal}'")
            case "long":
                self.put(f'"""\n{inside}\n[not.a.table]\n\\""" x = 1 \\\n   """')
            case "long literal":
                self.put(f"'''{literal}\nkey = 1\n'' \"\"\"\n'''")
            case _:
                self.put(f'"""{inside}"""""')

    def value(self, path: Path, depth: int, *, one_line: bool = False) -> None:
        kinds = ["number", "string", *(["array", "table"] if depth else [])]
        match self.draw(st.sampled_from(kinds if not one_line else ["number", *kinds[2:]])):
            case "number":
                self.put(self.draw(NUMBERS))
            case "string":
                self.string()
            case "array":
                self.array(path, depth, one_line=one_line)
            case "table":
                self.inline_table(path, depth)

    def array(self, path: Path, depth: int, *, one_line: bool) -> None:
        self.put("[")
        for index in range(self.draw(st.integers(0, 3))):
            if not one_line:
                self.filler_in_array()
            self.note(*path, index)
            self.value((*path, index), depth - 1, one_line=one_line)
            self.blanks()
            self.put(",")
        self.put("]")

    def filler_in_array(self) -> None:
        self.put(self.draw(st.sampled_from(["", " ", "\n", "# ] }\n", "\n\n\t"])))

    def inline_table(self, path: Path, depth: int) -> None:
        self.put("{")
        for number, key in enumerate(self.draw(st.lists(KEYS, unique=True, max_size=3))):
            self.put(", " if number else " ")
            tail = self.draw(st.lists(BARE_KEYS, max_size=1))
            self.note(*path, key, *tail)
            self.keys([key, *tail])
            self.put(" =")
            self.blanks()
            self.value((*path, key, *tail), depth - 1, one_line=True)
        self.put(" }")

    def pairs(self, table: Path) -> None:
        for key in self.draw(st.lists(KEYS, unique=True, max_size=3)):
            self.filler()
            tail = self.draw(st.lists(KEYS, max_size=2))
            self.blanks()
            self.note(*table, key, *tail)
            self.keys([key, *tail])
            self.blanks()
            self.put("=")
            self.blanks()
            self.value((*table, key, *tail), 2)
            self.put(self.draw(st.sampled_from(["\n", " # [a]\n", "\t\n"])))

    def header(self, table: Path, keys: list[str], *, array: bool) -> None:
        self.filler()
        self.blanks()
        self.note(*table)
        self.put("[[" if array else "[")
        self.blanks()
        self.keys(keys)
        self.blanks()
        self.put(("]]" if array else "]") + self.draw(st.sampled_from(["\n", " # x\n"])))
        self.pairs(table)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    """Draw a TOML text, and the line of every path in it."""
    writer = Writer(draw, draw(st.sampled_from(["\n", "\r\n"])))
    writer.pairs(())
    for number in range(draw(st.integers(0, 3))):
        name = f"T{number}"  # apart from the keys drawn above, which have no T
        if draw(st.booleans()):
            below = draw(st.lists(KEYS, max_size=2))
            writer.header((name, *below), [name, *below], array=False)
            continue
        for index in range(draw(st.integers(1, 3))):
            writer.header((name, index), [name], array=True)
            for inner in range(draw(st.integers(0, 2))):
                writer.header((name, index, "Tin", inner), [name, "Tin"], array=True)
                if draw(st.booleans()):
                    writer.header((name, index, "Tin", inner, "Tmore"), [name, "Tin", "Tmore"], array=False)
    writer.filler()
    text = writer.text.removesuffix(writer.newline) if draw(st.booleans()) else writer.text
    return text, writer.lines


def paths_of(value: Any, path: Path = ()) -> set[Path]:
    """Give the paths of all that tomllib has read."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [paths_of(inside, (*path, key)) for key, inside in items]
    return set().union(*below, {path} if path else set())


@given(documents())
@settings(deadline=None, max_examples=150)
def test_every_path_that_tomllib_reads_has_the_line_where_it_is_written(document: tuple[str, dict[Path, int]]) -> None:
    text, lines = document
    assert set(lines) == paths_of(tomllib.loads(text))
    assert key_lines(text) == lines


@given(documents(), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_lines_before_the_text_move_it_down(document: tuple[str, dict[Path, int]], number: int) -> None:
    text, _ = document
    moved = {path: line + number for path, line in key_lines(text).items()}
    assert key_lines("# [a]\n" * number + text) == moved


@given(documents(), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_a_text_that_breaks_off_has_the_lines_of_what_is_there(
    document: tuple[str, dict[Path, int]], share: float
) -> None:
    text, lines = document
    rows = text.splitlines(keepends=True)
    kept = round(share * len(rows))
    assert key_lines("".join(rows[:kept])) == {path: line for path, line in lines.items() if line <= kept}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_keys_of_a_shipped_circuit_stand_on_their_lines(name: str) -> None:
    text = shipped()[name].read_text(encoding="utf-8")
    lines = key_lines(text)
    assert set(lines) == paths_of(tomllib.loads(text))
    for path, number in lines.items():
        if isinstance(path[-1], str):
            assert path[-1].rpartition(".")[2] in text.splitlines()[number - 1]


def test_what_is_mentioned_twice_has_its_first_line() -> None:
    text = "[a.b]\nx = 1\n[a]\ny = 1\n[[c]]\n[c.d]\n[[c]]\n[c.d]\n"
    assert key_lines(text) == {
        **{("a",): 1, ("a", "b"): 1, ("a", "b", "x"): 2, ("a", "y"): 4},
        **{("c",): 5, ("c", 0): 5, ("c", 0, "d"): 6, ("c", 1): 7, ("c", 1, "d"): 8},
    }


@pytest.mark.parametrize(
    "text", ["", "\n", "# x", "a", "a =", "= 1", "a = [1,", 'a = "', "[", "[[", "[[a]", "\x00", "a.b."]
)
def test_text_that_is_not_toml_gives_the_lines_up_to_there(text: str) -> None:
    found = key_lines(f"first = 1\nsecond = {{ x = 2 }}\n{text}")
    before = {("first",): 1, ("second",): 2, ("second", "x"): 2}
    assert found.items() >= before.items()
    assert all(line >= 3 for path, line in found.items() if path not in before)


@given(st.dictionaries(st.lists(st.sampled_from(["a", "b", 0]), min_size=1, max_size=3).map(tuple), st.integers(1, 9)))
@settings(deadline=None)
def test_a_path_without_a_line_has_that_of_its_longest_prefix(lines: dict[Path, int]) -> None:
    for path in [("a", "b", 0), ("a", 0, "b"), ("b",), ("c", "a"), ()]:
        prefixes = [path[:length] for length in range(1, len(path) + 1) if path[:length] in lines]
        assert line_of(lines, path) == (lines[prefixes[-1]] if prefixes else None)
        assert line_of(lines, list(path)) == line_of(lines, path)
