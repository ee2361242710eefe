"""The documentation: every example runs, every field, command, rule and check is there, and every link leads somewhere.

Examples are fenced blocks, executed page by page, from the top of the page down, in one directory a page:

- ``console``: lines ``$ neuromirror …``, each followed by what it prints, standard error included; ``$ echo $?`` after
  a command that fails. Progress lines are left out.
- ``python`` with ``>>>``: doctest, with one namespace a page.
- ``toml`` that begins with ``# NAME.toml``: becomes that file.

``...`` stands for any text. The README may show other commands (``$ make demo``); those are not run.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from neuromirror import cli
from neuromirror.circuit import description, protocol
from neuromirror.circuit.model import Model
from neuromirror.rules.expression import FUNCTIONS, VARIABLES, Drive
from neuromirror.rules.library import library

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.glob("*.md")) + ([README] if README.is_file() else [])
PAGE_NAMES = [page.stem for page in PAGES]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRESS = re.compile(r"^ *\d+%  .* in [\d.]+ s\n", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, with the line on which each text begins."""
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(text)]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


# -- examples ---------------------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command of a console block, and what it is said to print."""

    text: str
    printed: str
    line: int


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a console block."""
    lines = block.text.splitlines(keepends=True)
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {block.line}: a console block begins with a command, '$ …'"
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(lines[start][2:].strip(), "".join(lines[start + 1 : stop]), block.line + start)


class Shell:
    """Runs the commands of a page in this process."""

    def __init__(self, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.page = page
        self.monkeypatch = monkeypatch
        self.status = 0
        self.said = True

    def run(self, command: Command) -> None:
        """Run a command, and compare what it prints."""
        where = f"{self.page.name}:{command.line}: $ {command.text}"
        if command.text == "echo $?":
            got, self.said = f"{self.status}\n", True
        elif command.text.startswith("neuromirror "):
            self.settled(where)
            got = self.neuromirror(shlex.split(command.text)[1:])
            self.said = self.status == 0
        else:
            assert self.page == README, f"{where}: only neuromirror and 'echo $?' are run here"
            return
        checker = doctest.OutputChecker()
        if not checker.check_output(command.printed, got, FLAGS):
            example = doctest.Example("", command.printed)
            pytest.fail(f"{where}\n{checker.output_difference(example, got, FLAGS)}", pytrace=False)

    def settled(self, where: str) -> None:
        """Insist that a failure is spoken of before the page goes on."""
        assert self.said, f"{where}: the command before this one exited with {self.status}; say so with '$ echo $?'"

    def neuromirror(self, arguments: list[str]) -> str:
        """Run the command line; return what a terminal would show of it, without progress."""
        file = None
        if ">" in arguments:
            at = arguments.index(">")
            file, arguments = Path(arguments[at + 1]), arguments[:at]
        self.monkeypatch.setattr(sys, "argv", ["neuromirror", *arguments])
        shown = io.StringIO()
        printed = shown if file is None else io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(shown), pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        self.status = int(ended.value.code or 0)
        if file is not None:
            file.write_text(printed.getvalue(), encoding="utf-8")
        return PROGRESS.sub("", shown.getvalue())


def run_python(page: Path, block: Block, names: dict[str, Any]) -> None:
    """Run a block of doctest examples in the page's namespace."""
    test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), block.line - 1)
    test.globs = names  # get_doctest takes a copy
    report = io.StringIO()
    result = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=report.write, clear_globs=False)
    if result.failed:
        pytest.fail(report.getvalue(), pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_examples(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shell, names = Shell(page, monkeypatch), {"__name__": page.stem}
    for block in blocks(page):
        if block.language == "console":
            for command in commands(block):
                shell.run(command)
        elif block.language == "python" and ">>>" in block.text:
            run_python(page, block, names)
        elif block.language == "toml" and (title := re.match(r"# (\w+\.toml)\n", block.text)):
            Path(title[1]).write_text(block.text, encoding="utf-8")
    shell.settled(page.name)


def test_there_are_examples() -> None:
    count = {page.stem: sum(block.language in ("console", "python") for block in blocks(page)) for page in PAGES}
    assert all(count[name] for name in ("circuit-file", "rules", "modes-and-time", "command-line", "python", "record"))


# -- completeness -----------------------------------------------------------------------------------------------------

MODELS = {
    description.Description: "The file as a whole",
    description.Code: "[code]",
    description.Estimate: "[code]",
    description.Cell: "[cells.NAME]",
    description.Population: "[populations.NAME]",
    description.Parameters: "[populations.NAME]",
    description.Norm: "[populations.NAME]",
    description.Init: "Initial values",
    description.Projection: "[projections.NAME]",
    description.Rule: "[rules.NAME]",
    description.Updater: "[rules.NAME]",
    description.Normalise: "[rules.NAME]",
    description.Mode: "[modes.NAME]",
    description.Noise: "[modes.NAME]",
    protocol.Signal: "[modes.NAME]",
    protocol.Stimulus: "[stimulus]",
    protocol.ArrayStimulus: "[stimulus]",
    protocol.DigitsStimulus: "[stimulus]",
    protocol.Step: "[[schedule]]",
    protocol.Repeat: "[[schedule]]",
    protocol.Timing: "[time]",
    protocol.Training: "[training]",
    description.Layers: "[layers]",
    description.Feedback: "[feedback]",
    description.Motif: "[motifs.NAME]",
    description.Use: "[[use]]",
    description.Mirroring: "[mirroring]",
}
"""Every model of a circuit file, and the heading of circuit-file.md under which its fields are."""


def sections(page: Path) -> dict[str, str]:
    """Return the text below each heading of a page, without code marks in the headings."""
    parts = re.split(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {title.replace("`", "").strip(): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def rows(section: str) -> dict[str, list[str]]:
    """Return the rows of a section's tables of fields: the cells after the first, by the name in the first."""
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) > 1:
            found[cells[0].strip("`")] = cells[1:]
    return found


def default_text(field: FieldInfo) -> str:
    """Return a default as circuit-file.md writes it."""
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if field.alias == "schema":
        return "`1`"  # a file that does not say is one of the first version
    if isinstance(value, BaseModel) and value.model_fields_set:
        return "`{ " + ", ".join(f'{key} = "{getattr(value, key)}"' for key in value.model_fields_set) + " }`"
    if value is None or value in ((), {}, "") or isinstance(value, BaseModel):
        return "–"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def choices(annotation: Any) -> list[str]:
    """Return the texts that a field allows."""
    if typing.get_origin(annotation) is Literal:
        return [value for value in typing.get_args(annotation) if isinstance(value, str)]
    return [choice for part in typing.get_args(annotation) for choice in choices(part)]


PREFIXES = {
    description.Estimate: "estimate.",
    description.Updater: "updater.",
    description.Parameters: "parameters.",
    description.Normalise: "updater.normalise.",
    description.Norm: "norm.",
    description.Noise: "noise.POPULATION.",
    protocol.Signal: "signal.",
}
"""What the names of nested tables' fields begin with in circuit-file.md."""


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model under the names that circuit-file.md gives them."""
    return {PREFIXES.get(model, "") + (field.alias or name): field for name, field in model.model_fields.items()}


def test_models_are_all_known() -> None:
    written = {
        value
        for value in (*vars(description).values(), *vars(protocol).values())
        if isinstance(value, type) and issubclass(value, Model) and value is not Model
    }
    assert written == set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[BaseModel]) -> None:
    table, wrong = rows(sections(DOCS / "circuit-file.md")[MODELS[model]]), []
    for name, field in fields(model).items():
        cells = table.get(name, [])
        if default_text(field) not in cells:
            wrong.append(f"{name}: the row is {cells}, but the default is {default_text(field)}")
        wrong += [
            f"{name}: allows '{one}' too" for one in choices(field.annotation) if f"`{one}`" not in " ".join(cells)
        ]
    assert wrong == []


def test_no_field_is_made_up() -> None:
    written = sections(DOCS / "circuit-file.md")
    known = {(heading, name) for model, heading in MODELS.items() for name in fields(model)}
    known.add((MODELS[description.Description], "extends"))  # read before the rest of a file is
    assert {(heading, name) for heading in set(MODELS.values()) for name in rows(written[heading])} == known


def test_every_check_is_listed() -> None:
    folder = ROOT / "neuromirror"
    parts = ("circuit", "backends", "training")
    files = [folder / "schedule.py", *(file for part in parts for file in folder.glob(f"{part}/**/*.py"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = re.findall(
        r'(?:(?:c|self)\.problem\(\s*|Problem\(\s*name=|name, message = \(?\s*|return "[a-z_]+", )"([a-z-]+)"', text
    )
    kinds = re.findall(r'c\.missing\(.*"([a-z]+)"\)$', text, re.MULTILINE)
    expected = {*named, *(f"unknown-{kind}" for kind in kinds)}
    assert len(expected) > 40
    listed = rows(sections(DOCS / "circuit-file.md")["Checks"])
    assert {name.strip("`") for key in listed for name in key.split(", ")} == expected


def test_every_command_and_option_is_described() -> None:
    written = sections(DOCS / "command-line.md")
    for name in cli.app:
        if name.startswith("-"):
            assert f"`{name}`" in prose(DOCS / "command-line.md")
            continue
        assert name in written, f"command-line.md has no heading for '{name}'"
        for part in [part for part in cli.app[name] if not part.startswith("-")] or [""]:
            assert f"`neuromirror {name} {part}" in written[name] or not part, (name, part)
            app = cli.app[name][part] if part else cli.app[name]
            for option in (option for one in app.assemble_argument_collection() for option in one.names):
                assert not option.startswith("-") or f"`{option}" in written[name] or option == "--set", (name, option)


def test_every_rule_is_described_with_its_equation() -> None:
    text = (DOCS / "rules.md").read_text(encoding="utf-8")
    for name, rule in library().items():
        assert f"`{name}`" in text
        assert f"`{rule.drive}`" in text
        assert Drive(rule.drive).latex() in text, f"rules.md has not the equation of '{name}'"
    assert {name for name in (*VARIABLES, *FUNCTIONS) if f"`{name}`" not in text} == set()


# -- links ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    slugs: list[str] = []
    for title in titles:
        slug = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        slugs.append(slug if slug not in slugs else f"{slug}-{slugs.count(slug)}")
    return set(slugs)


@pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index] == []
