"""Circuit files and the changes to them: every fault with its place, all at once, and never any other exception."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.lines import key_lines, line_of
from neuromirror.circuit.load import MAX_FILE_BYTES, from_text, load, resolve, shipped
from neuromirror.errors import CircuitError, RequestError

FIGURE1 = shipped()["figure1"]
TEXT = FIGURE1.read_text(encoding="utf-8")
TABLES = tomllib.loads(TEXT)
LINES = TEXT.splitlines()
KeyPath = tuple[str | int, ...]


class Fault(NamedTuple):
    """One fault of a file: on the first line that begins so, some text replaced by another."""

    start: str
    old: str
    new: str
    path: str
    name: str
    says: str

    @property
    def line(self) -> int:
        """The line of the file, from 1."""
        return next(number for number, line in enumerate(LINES, 1) if line.startswith(self.start))


FAULTS = [
    Fault(
        "schema",
        "2",
        "-2",
        "schema",
        "unknown-schema",
        "-2, which is no version of the format. Expected a whole number",
    ),
    Fault("beta", "100 Hz", "100 ms", "code.beta", "wrong-value", "'ms' is a unit of time. Expected a rate"),
    Fault("estimate", "tau", "tua", "code.estimate.tua", "unknown-field", "unknown field. Did you mean 'tau'?"),
    Fault("activation", "relu", "rleu", "cells.cell.activation", "wrong-value", "Did you mean 'relu'? Allowed: "),
    Fault("tau_m", '"20 ms"', "20", "cells.cell.tau_m", "wrong-value", "20 has no unit. Expected a time with its unit"),
    Fault("refractory", "2 ms", "-2 ms", "cells.cell.refractory", "wrong-value", "is below zero."),
    Fault("noise =", "8 mV", "mV", "cells.cell.noise", "wrong-value", "'mV' is not a number with a unit."),
    Fault("y0", "layer = 0,", "", "populations.y0.layer", "missing-field", "this field is required and missing."),
    Fault("y1", "shape", "siez", "populations.y1.siez", "unknown-field", "unknown field. Did you mean 'shape'?"),
    Fault("d1", "[2]", "2", "populations.d1.shape", "wrong-value", "found 2, expected an array."),
    Fault("W1", "1.0", "-1.0", "projections.W1.weight.gain", "wrong-value", "greater than or equal to 0. Found -1.0."),
    Fault("B1", "W1", "W3", "projections.B1.mirrors", "unknown-projection", "there is no projection 'W3'."),
    Fault("x0", "delay", "dleay", "projections.x0.dleay", "unknown-field", "Did you mean 'delay'?"),
    Fault("x1", "role", "permutaton = [1, 0], role", "projections.x1.permutaton", "unknown-field", "'permutation'?"),
    Fault("g1", "d1", "d7", "projections.g1.target", "unknown-population", "there is no population 'd7'."),
    Fault('drive = "weight', "mirror", "miror", "rules.mirror.drive", "bad-drive", "Did you mean 'weight_mirror'?"),
    Fault(
        "updater = { rate",
        "0.01",
        "0.01, momentm = 0.9",
        "rules.forward.updater.momentm",
        "unknown-field",
        "Did you mean 'momentum'?",
    ),
    Fault("noise = { y0", "2.0", "0.0", "modes.mirror.noise.y0.sd", "wrong-value", "greater than 0. Found 0.0."),
    Fault('on = ["W1", "x0"', "x1", "x9", "modes.mirror.on.2", "unknown-projection", "there is no projection 'x9'."),
    Fault("compare", "-", "+", "modes.engaged.compare.d1", "bad-compare", 'expected "POPULATION - target"'),
    Fault("learn = { W1", '"bias"', '"bais"', "modes.engaged.learn.y1.bias", "unknown-rule", "Did you mean 'bias'?"),
    Fault('kind = "teacher"', "teacher", "teahcer", "stimulus.kind", "wrong-value", "Did you mean 'teacher'?"),
    Fault('mode = "engaged"', "engaged", "engagde", "schedule.1.mode", "unknown-mode", "Did you mean 'engaged'?"),
    Fault("batch", "50", "5.5", "time.batch", "wrong-value", "found 5.5, expected a whole number."),
    Fault("dt", '"0.5 ms"', "true", "time.dt", "wrong-value", "has no unit."),
]


def with_faults(faults: list[Fault]) -> str:
    """Give the text of Figure 1 with some faults."""
    lines = list(LINES)
    for fault in faults:
        assert fault.old in lines[fault.line - 1]
        lines[fault.line - 1] = lines[fault.line - 1].replace(fault.old, fault.new, 1)
    return "\n".join(lines) + "\n"


def test_the_faults_are_of_different_lines() -> None:
    assert len({fault.line for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.path)
def test_a_fault_of_a_file_has_file_line_name_and_remedy(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / "circuit.toml"
    path.write_text(with_faults([fault]), encoding="utf-8")
    (problem,) = load(path).problems()
    assert (problem.name, problem.path) == (fault.name, fault.path)
    assert fault.says in problem.message
    assert str(problem).startswith(f"error: {path}:{fault.line}  {fault.path}: ")


@given(st.lists(st.sampled_from(FAULTS), unique=True, min_size=2))
@example(FAULTS)
@settings(deadline=None, max_examples=60)
def test_all_faults_are_reported_at_once_in_the_order_of_the_file(faults: list[Fault]) -> None:
    problems = from_text(with_faults(faults), file="f.toml").problems()
    expected = sorted((fault.line, fault.path, fault.name) for fault in faults)
    assert [(problem.line, problem.path, problem.name) for problem in problems] == expected


def test_a_misspelt_key_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fault = next(fault for fault in FAULTS if fault.path == "populations.y1.siez")
    Path("figure1.toml").write_text(with_faults([fault]), encoding="utf-8")
    with pytest.raises(CircuitError) as refused:
        load("figure1.toml").check()
    expected = f"error: figure1.toml:{fault.line}  populations.y1.siez: unknown field. Did you mean 'shape'?"
    assert str(refused.value) == expected


def test_an_unknown_field_that_resembles_none_is_told_which_there_are() -> None:
    (problem,) = from_text(TEXT.replace("[stimulus]", "[stimulus]\nzzz = 1")).problems()
    assert problem.path == "stimulus.zzz"
    assert problem.message == "unknown field. There are: bias_gain, gain, kind, sd."


@pytest.mark.parametrize(
    ("stimulus", "path", "says"),
    [
        ("{}", "kind", "this field is required and missing"),
        ('{ knd = "digits" }', "knd", "unknown field. Did you mean 'kind'?"),
        ("{ kind = 3 }", "kind", "3 is not allowed. There are: array, digits, teacher."),
        ('{ kind = "arrays" }', "kind", "Did you mean 'array'? Allowed: teacher, array, digits."),
        ('{ kind = "digits", gain = 1.0 }', "gain", "unknown field. There are: amplitude, kind, order, part, sd."),
        ('{ kind = "teacher", order = "given" }', "order", "unknown field. There are: bias_gain, gain, kind, sd."),
        ('{ kind = "digits", order = "random" }', "order", "Allowed: given, shuffled."),
        ('{ kind = "digits", sd = 0 }', "sd", "greater than 0"),
    ],
)
def test_a_stimulus_has_the_fields_of_its_kind(stimulus: str, path: str, says: str) -> None:
    changes = ["modes.engaged.input=", "modes.engaged.compare=", f"stimulus={stimulus}"]
    (problem,) = from_text(TEXT, changes=changes).problems()
    assert problem.path == f"stimulus.{path}"
    assert says in problem.message


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('{ kind = "count" }', '{ kind = "count", tau = "10 ms" }', "time.signal.tau"),
        ('{ kind = "trace", tau', '{ kind = "count", tau', "modes.mirror.signal.tau"),
    ],
)
def test_only_a_trace_has_a_time_constant(old: str, new: str, path: str) -> None:
    text = TEXT.replace(old, new)
    (problem,) = from_text(text).problems()
    line = next(number for number, row in enumerate(text.splitlines(), 1) if new in row)
    assert (problem.name, problem.path, problem.line) == ("unused-tau", path, line)
    assert problem.message == 'only a trace has a time constant. Take it out, or say kind = "trace".'


@pytest.mark.parametrize("part", ["name", "code", "cells"])
def test_what_a_file_lacks_is_said_of_its_first_line(part: str) -> None:
    tables = {key: value for key, value in TABLES.items() if key != part}
    (problem,) = from_text(tomli_w.dumps(tables), file="f.toml").problems()
    assert str(problem) == f"error: f.toml:1  {part}: this field is required and missing."


@pytest.mark.parametrize("part", ["name", "code", "cells"])
def test_a_file_without_a_required_part_is_told_so(part: str) -> None:
    (problem,) = Circuit({key: value for key, value in TABLES.items() if key != part}).problems()
    assert (problem.name, problem.path) == ("missing-field", part)


def test_an_empty_file_lacks_everything(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_bytes(b"")
    problems = load(tmp_path / "empty.toml").problems()
    assert {(problem.name, problem.path) for problem in problems} == {
        ("missing-field", "name"),
        ("missing-field", "code"),
        ("missing-field", "cells"),
    }
    assert {problem.file for problem in problems} == {str(tmp_path / "empty.toml")}


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b"name", 1, "Expected '='"),
        (b"a = 1\na = 2", 2, "Cannot overwrite a value"),
        (b"\n\n[a]\n[a]\n", 4, "twice"),
        (b'a = 1\n\nb = """never\nclosed\n', 5, "Unterminated string"),
        (b"a = [1,\n2", 2, "Unclosed array"),
        (b"a = 1\r\nb = \r\n", 2, "Invalid value"),
        (b"a = 1\n\x00", 2, "Invalid statement"),
        (b"a = { b = { c = ] } }\n", 1, "Invalid value"),
        (b"a = 1\nb = \xff\xfe\n", 2, "not UTF-8 text"),
        (b"\xff\xfea\x00=\x001\x00", 1, "not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n", 1, "not UTF-8 text"),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(content: bytes, line: int, says: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(CircuitError) as refused:
        load(path)
    (problem,) = refused.value.problems
    assert (problem.name, problem.file, problem.line) == ("not-toml", str(path), line)
    assert says in problem.message
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 5000,
        "x = " + "{a = " * 5000 + "1" + "}" * 5000,
        "x = " + "{a = " * 300 + "1" + "}" * 300,
        "x = " + "[" * 300 + "]" * 300,
        "x = " + "9" * 5000,
        ".".join("a" * 3000) + " = 1",
        "[" + ".".join("a" * 3000) + "]\nb = 1",
        "[[" + ".".join("a" * 2000) + "]]\nb = 1",
    ],
    ids=["arrays", "tables", "closed tables", "closed arrays", "digits", "dotted key", "header", "array header"],
)
def test_however_deep_a_file_is_nested_it_is_refused_on_its_line(text: str) -> None:
    with pytest.raises(CircuitError) as refused:
        from_text(f"name = 'x'\nother = '{'8' * 9000}'\n{text}", file="deep.toml").check()
    (problem,) = refused.value.problems
    says = "more digits than can be read" if "9999" in text else "nested too deeply|not TOML"
    assert re.search(says, problem.message)
    assert (problem.file, problem.line) == ("deep.toml", 3)


def test_a_change_that_nests_too_deeply_is_named() -> None:
    with pytest.raises(CircuitError, match=r"--set about=\[+\]+: nested too deeply"):
        from_text(TEXT, file="f.toml", changes=[f"about={'[' * 110}{']' * 110}"])


@pytest.mark.parametrize("place", ["stimulus.kind", "code.beta", "time.batch", "rules.mirror.constants.k"])
def test_a_number_that_cannot_be_written_out_is_refused(place: str) -> None:
    with pytest.raises(CircuitError) as caught:
        load("figure1", [f"{place}=0x{'f' * 5000}"])
    (problem,) = caught.value.problems
    assert (problem.path, str(problem.file).split("=")[0]) == (place, f"--set {place}")
    assert "thousands of digits" in problem.message


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file to write to, the same for all examples."""
    return tmp_path_factory.mktemp("load") / "scratch.toml"


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(deadline=None, max_examples=60)
def test_no_bytes_raise_anything_but_a_circuit_error(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(content)
    with pytest.raises(CircuitError, match=re.escape(str(scratch))):
        load(scratch).check()


def test_a_directory_is_not_a_circuit_file(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"this is a directory\. Give a circuit file, or one of: .*figure1"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["none.toml", "a/b/c.toml", "x" * 300, "a\x00b", "~", "figure1.toml"])
def test_a_missing_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="no such file, and no shipped circuit of that name"):
        load(name)


def test_a_misspelt_shipped_circuit_is_guessed() -> None:
    with pytest.raises(RequestError, match=r"figrue1: .*Did you mean 'figure1'\?"):
        load("figrue1")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(RequestError, match=f"{MAX_FILE_BYTES + 1} bytes; a circuit file has at most {MAX_FILE_BYTES}"):
        load(path)


def test_a_shipped_circuit_is_found_by_name_unless_a_file_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("figure1") == FIGURE1
    assert load("figure1").name == "figure1"
    Path("figure1").write_text(TEXT.replace('name = "figure1"', 'name = "mine"'), encoding="utf-8")
    assert load("figure1").name == "mine"


def test_problems_of_a_shipped_circuit_name_its_file_shortly() -> None:
    (problem,) = load("figure1", ["modes.mirror.signal.tau="]).problems()
    line = LINES.index('signal = { kind = "trace", tau = "7 ms" }') + 1
    assert (problem.file, problem.line) == ("figure1.toml", line)


KEYS = st.text("abcé_ -.#=[]{}\"'", max_size=5)


def numbered(tables: Any, count: Iterator[int]) -> Any:
    """Replace every leaf by a number of its own."""
    if isinstance(tables, dict):
        return {key: numbered(value, count) for key, value in tables.items()}
    if isinstance(tables, list):
        return [numbered(value, count) for value in tables]
    return next(count)


def paths_of(tables: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every key path of nested tables, with what is there."""
    items = tables.items() if isinstance(tables, dict) else enumerate(tables) if isinstance(tables, list) else ()
    for key, value in items:
        yield (*path, key), value
        yield from paths_of(value, (*path, key))


@given(
    st.dictionaries(
        KEYS,
        st.recursive(st.none(), lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3)),
        max_size=4,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_every_key_is_found_on_its_line(shape: dict[str, Any], multiline_strings: bool) -> None:
    tables = numbered(shape, itertools.count(100_000))
    text = tomli_w.dumps(tables, multiline_strings=multiline_strings)
    lines, rows = key_lines(text), text.splitlines()
    for path, value in paths_of(tables):
        if isinstance(value, int):
            assert str(value) in rows[lines[path] - 1]
        else:
            assert path in lines or not value


def test_lines_of_every_way_to_write_a_key() -> None:
    text = '''# comment = 1
a.b . "c d" = """
not = "a key" \\""" still
[neither]""""
e = [ # one
  "x # not a comment",
  { f = 1, "g" = [2,
    3] },
]
[h.i]
"" = '''
    lines = key_lines(
        text + "'''\n]'''\n[[j]]\nk = 1\n[[j]]\nk = 2\n[j.l]\nm = 2\n[[j.n]]\no.p = 0\nq = 1979-05-27 07:32:00\n"
    )
    assert lines == {
        ("a",): 2, ("a", "b"): 2, ("a", "b", "c d"): 2,
        ("e",): 5, ("e", 0): 6, ("e", 1): 7, ("e", 1, "f"): 7, ("e", 1, "g"): 7, ("e", 1, "g", 0): 7,
        ("e", 1, "g", 1): 8,
        ("h",): 10, ("h", "i"): 10, ("h", "i", ""): 11,
        ("j",): 13, ("j", 0): 13, ("j", 0, "k"): 14, ("j", 1): 15, ("j", 1, "k"): 16,
        ("j", 1, "l"): 17, ("j", 1, "l", "m"): 18, ("j", 1, "n"): 19, ("j", 1, "n", 0): 19,
        ("j", 1, "n", 0, "o"): 20, ("j", 1, "n", 0, "o", "p"): 20, ("j", 1, "n", 0, "q"): 21,
    }  # fmt: skip
    assert line_of(lines, ("j", 1, "l", "none", 3)) == 17
    assert line_of(lines, ("none",)) is None


@example("'\x1f'")
@given(st.text(max_size=100))
@settings(deadline=None, max_examples=60)
def test_lines_are_given_of_any_text(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in key_lines(text).values())


def leaf(circuit: Circuit, path: str) -> Any:
    """Give what an expanded circuit has at a dotted path."""
    here: Any = tomllib.loads(circuit.to_toml())
    for key in path.split("."):
        here = here[int(key)] if isinstance(here, list) else here[key]
    return here


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("code.beta=80 Hz", "code.beta", "80 Hz"),
        ('code.beta = "80 Hz"', "code.beta", "80 Hz"),
        ("schedule.0.duration=1 s", "schedule.0.duration", "1 s"),
        ("schedule.1.mode=mirror", "schedule.1.mode", "mirror"),
        ("rules.mirror.updater.decay=1.5", "rules.mirror.updater.decay", 1.5),
        ("time.batch=7", "time.batch", 7),
        ("populations.y0.shape.0=3", "populations.y0.shape.0", 3),
        ('modes.mirror.noise={y0={sd=0.5, law="rademacher"}}', "modes.mirror.noise.y0.law", "rademacher"),
        ("about=a = b, c", "about", "a = b, c"),
        ("about='[1'", "about", "[1"),
        ("stimulus.gain=2", "stimulus.gain", 2.0),
        ("schedule.2={mode='mirror', examples=5}", "schedule.2.examples", 5),
        ("projections.W1.weight={init='normal', gain=0.5}", "projections.W1.weight.gain", 0.5),
        (" time.dt =1 ms ", "time.dt", "1 ms"),
    ],
)
def test_a_change_reaches_its_value(change: str, path: str, value: object) -> None:
    assert leaf(load("figure1", [change]), path) == value


def test_a_change_reaches_a_key_with_a_dot_in_it() -> None:
    circuit = load(
        "figure1", ["rules.other.drive=bias", "rules.other.updater={rate=1}", "modes.engaged.learn.y1.bias=other"]
    )
    assert circuit.description.modes["engaged"].learn == {"W1": "forward", "y1.bias": "other"}


def test_a_change_sees_those_before_it() -> None:
    changes = [
        "schedule.0=",
        "schedule.0.duration=2 s",
        "schedule.1={mode='mirror', examples=1}",
        "schedule.1.examples=9",
    ]
    steps = load("figure1", changes).description.schedule
    assert [(step.mode, step.examples) for step in steps if hasattr(step, "mode")] == [("engaged", None), ("mirror", 9)]


@pytest.mark.parametrize(
    "path", ["code.estimate", "modes.engaged.learn.y1.bias", "schedule.1", "schedule.0", "modes.mirror.on.1", "about"]
)
def test_an_empty_value_takes_the_key_out(path: str) -> None:
    without = copy.deepcopy(TABLES)
    *folders, last = next(p for p, _ in paths_of(TABLES) if ".".join(map(str, p)) == path)
    parent: Any = without
    for key in folders:
        parent = parent[key]
    del parent[last]
    for change in (f"{path}=", f" {path} =  "):
        assert load("figure1", [change]).description == Circuit(without).description != Circuit(TABLES).description


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("code", "expected dotted.name=value, such as schedule.0.duration"),
        ("=3", "expected dotted.name=value"),
        ("", "expected dotted.name=value"),
        ("schedule.x.mode=mirror", "'x' stands where a list wants a number from 0 to 1"),
        ("schedule.-1.mode=mirror", "'-1' stands where a list wants a number"),
        ("schedule..mode=mirror", "'' stands where a list wants a number"),
        ("schedule.3={mode='mirror'}", "there are 2 items, from 0 to 1"),
        ("schedule.2.mode=mirror", "there is no 2 here"),
        ("schedule.7=", "there is no schedule.7 to take out"),
        ("nothing=", "there is no nothing to take out"),
        ("code.estimate.tua=", "there is no code.estimate.tua to take out"),
        ("name.x=1", "name is a value, not a table"),
        ("code.beta.x.y=1", "there is no x here"),
        ("time.batch.0=1", "time.batch is a value, not a table"),
        ("schedule." + "9" * 30 + ".mode=mirror", "999"),
        ("schedule." + "9" * 5000 + ".mode=mirror", "999"),
    ],
)
def test_a_change_of_a_place_that_is_not_there_is_refused(change: str, says: str) -> None:
    with pytest.raises(RequestError) as refused:
        load("figure1", [change])
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ("schedule.0.mode=miror", "schedule.0.mode", "Did you mean 'mirror'?"),
        ("code.beta=20", "code.beta", "20 has no unit"),
        ("shcedule=[]", "shcedule", "Did you mean 'schedule'?"),
        ("populations.y0={path='forward', layer=0, shape=3, cell='cell'}", "populations.y0.shape", "an array"),
        ("modes.mirror.noise={y0={law='gauss'}}", "modes.mirror.noise.y0.law", "Did you mean 'gaussian'?"),
        ("modes.mirror.on=['W1', 'x7']", "modes.mirror.on.1", "no projection 'x7'"),
    ],
)
def test_a_fault_of_a_change_names_the_change_and_no_line(change: str, path: str, says: str) -> None:
    (problem,) = load("figure1", [change]).problems()
    assert (problem.path, problem.file, problem.line) == (path, f"--set {change}", None)
    assert says in problem.message


def test_faults_of_the_file_keep_their_lines_after_a_change_above_them() -> None:
    text = TEXT.replace('mode = "engaged"', 'mode = "engagde"')
    line = text.splitlines().index('mode = "engagde"') + 1
    assert [p.line for p in from_text(text, changes=["schedule.0.duration=1 s"]).problems()] == [line]
    (problem,) = from_text(text, file="f.toml", changes=["schedule.0="]).problems()
    assert (problem.path, problem.line) == ("schedule.0.mode", line)


def test_a_change_as_deep_as_a_word_is_long_is_refused() -> None:
    with pytest.raises(CircuitError):
        load("figure1", [".".join("a" * 1100) + "=1"]).check()


PARTS = [str(key) for path, _ in paths_of(TABLES) for key in path] + ["", "9", "-1", "00", "²", "٣", " ", "é", "[", "{"]
CHANGE = st.one_of(
    st.builds(
        lambda name, equals, value: ".".join(name) + equals + value,
        st.lists(st.sampled_from(PARTS), max_size=5),
        st.sampled_from(["=", "", "==", " = "]),
        st.text(max_size=10)
        | st.sampled_from(["", "1", "[]", "{}", "[[1]]", "nan", "true", "1 s", "'", "1\nname = 2"]),
    ),
    st.text(max_size=30),
)


@given(st.lists(CHANGE, max_size=4))
@settings(deadline=None, max_examples=60)
def test_no_changes_raise_anything_but_a_request_error(changes: list[str]) -> None:
    with contextlib.suppress(RequestError):
        load("figure1", changes).check()


WORDS = sorted({word for _, value in paths_of(TABLES) for word in [value] if isinstance(word, str)} | set(PARTS[:-10]))
NUMBERS = st.one_of(st.integers(-3, 12), st.floats(), st.sampled_from([10**9, 2**64, 10**400, -0.0, 1e308]))
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.text(max_size=8)
    | st.sampled_from(
        [*WORDS, "d1 - target", "1e300 s", "1e-300 s", "-1 mV", "values", "tanh(pre*post)", "1/w", "x" * 300]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Draw Figure 1 with up to four entries taken out, replaced, renamed or added."""
    tables = copy.deepcopy(TABLES)
    for _ in range(draw(st.integers(1, 4))):
        places = [path for path, _ in paths_of(tables)]
        if not places:
            break
        path = draw(st.sampled_from(places))
        parent: Any = tables
        for key in path[:-1]:
            parent = parent[key]
        edit = draw(st.sampled_from(["delete", "replace", "rename", "add", "copy"]))
        if edit == "delete":
            del parent[path[-1]]
        elif edit == "replace":
            parent[path[-1]] = draw(JUNK)
        elif edit == "copy":
            parent[path[-1]] = copy.deepcopy(dict(paths_of(tables))[draw(st.sampled_from(places))])
        elif isinstance(parent, dict):
            name = draw(st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=6))
            parent[name] = parent.pop(path[-1]) if edit == "rename" else draw(JUNK)
    return tables


@given(mutated())
@settings(deadline=None, max_examples=60)
def test_a_mutated_circuit_raises_nothing_but_a_circuit_error(tables: dict[str, Any]) -> None:
    circuit = Circuit(tables)
    problems = circuit.problems()
    assert all(problem.message and problem.severity in ("error", "warning") for problem in problems)
    assert all(isinstance(circuit.problems(backend), tuple) for backend in ("brian2", "torch", "reference"))
    if any(problem.severity == "error" for problem in problems):
        with pytest.raises(CircuitError):
            circuit.check()
    else:
        assert circuit.check() == problems
        assert Circuit(tomllib.loads(circuit.to_toml())).sha256 == circuit.sha256


@given(st.sampled_from([path for path, _ in paths_of(TABLES)]), JUNK)
@settings(deadline=None, max_examples=60)
def test_a_mutated_file_is_read_as_the_mutated_tables_are(path: KeyPath, value: object) -> None:
    tables = copy.deepcopy(TABLES)
    parent: Any = tables
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    try:
        text = tomli_w.dumps(tables)
        text.encode()
        written = repr(tomllib.loads(text)) == repr(tables)
    except (TypeError, ValueError):
        written = False
    if written:
        from_file, from_python = from_text(text).problems(), Circuit(tables).problems()
        assert {(p.name, p.path, p.message) for p in from_file} == {(p.name, p.path, p.message) for p in from_python}


def test_numbers_too_large_for_a_float_are_refused() -> None:
    weight = {"init": "values", "values": [[10**400, 0, 0], [0, 0, 0]]}
    tables = copy.deepcopy(TABLES)
    tables["projections"]["W1"]["weight"] = weight
    (problem,) = (one for one in Circuit(tables).problems() if one.name == "wrong-value")
    assert problem.path == "projections.W1.weight.values"


def test_a_memory_too_large_for_a_float_is_refused() -> None:
    problems = load(
        "figure1", [f"rules.mirror.updater.memory={10**400}", "rules.mirror.updater.memory_from="]
    ).problems()
    assert [(problem.name, problem.path) for problem in problems] == [("wrong-value", "rules.mirror.updater.memory")]


@pytest.mark.parametrize("name", ["a/b", "../up", "a\x00b", "a\nb", ".."])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    (problem,) = Circuit({**TABLES, "name": name}).problems()
    assert problem.path == "name"


def test_a_key_without_letters_is_shown_in_quotes() -> None:
    (problem,) = from_text(f'{TEXT}\n["" ]\n', file="f.toml").problems()
    assert str(problem).startswith(f'error: f.toml:{len(LINES) + 2}  "": unknown field.')


def test_values_are_shown_as_the_file_writes_them() -> None:
    changes = ["modes.mirror.noise.y0.sd=true", "name=2020-01-01", "populations.y1.shape=[]"]
    text = "\n".join(map(str, load("figure1", changes).problems()))
    for pythonic in ("True", "datetime", "Tuple", "validation"):
        assert pythonic not in text
