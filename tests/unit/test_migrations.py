"""Files of older versions of the format: the same circuit as their twin in the newest, told of on the right line."""

from __future__ import annotations

import contextlib
import io
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror import cli
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import SCHEMA
from neuromirror.circuit.files import parse
from neuromirror.circuit.load import from_text, shipped
from neuromirror.circuit.migrated_text import rewritten
from neuromirror.circuit.migrations import MIGRATIONS, Move, Tables, before, migrated, moved
from neuromirror.errors import CircuitError
from neuromirror.plan import make_plan

FIGURE1 = """
schema = 1
name = "figure1"
about = "Figure 1: three cells project to two; mirror mode first, then engaged"

[code]
kind = "baseline"              # zero_mean | baseline | push_pull
beta = "50 Hz"
unit = "25 Hz"

[cells.cell]
activation = "relu"
model = "lif"
tau_m = "20 ms"
refractory = "2 ms"
default_bias = "calibrate"

[populations]
y0 = { path = "forward",  layer = 0, shape = [3], cell = "cell" }
y1 = { path = "forward",  layer = 1, shape = [2], cell = "cell" }
d1 = { path = "feedback", layer = 1, shape = [2], cell = "cell" }
d0 = { path = "feedback", layer = 0, shape = [3], cell = "cell" }

[projections]
W1 = { source = "y0", target = "y1", connector = "all_to_all", weight = { init = "normal", gain = 1.0 } }
B1 = { source = "d1", target = "d0", connector = "all_to_all", weight = { init = "normal", gain = 1.0 }, mirrors = "W1", transport = "none" }
x0 = { source = "y0", target = "d0", connector = "one_to_one", role = "drive" }   # eq. 6
x1 = { source = "y1", target = "d1", connector = "one_to_one", role = "drive" }
g0 = { source = "y0", target = "d0", connector = "one_to_one", role = "gate" }
e1 = { source = "d1", target = "y1", connector = "one_to_one", role = "error" }   # eq. 4

[rules.mirror]
drive = "weight_mirror"
updater = { kind = "plain", rate = 0.1, decay = 0.5, decay_times_rate = true }
[rules.forward]
drive = "forward"
updater = { kind = "plain", rate = 0.01 }

[modes.mirror]
noise = { y0 = { law = "gaussian", sd = 1.0, tau = "10 ms" } }
on = ["W1", "x0", "x1"]
learn = { B1 = "mirror" }
bias = "blocked"
[modes.engaged]
input = { y0 = "stimulus" }
compare = { d1 = "y1 - target" }   # the output error
on = ["W1", "B1", "g0", "e1"]
learn = { W1 = "forward" }

[stimulus]
kind = "teacher"

[[schedule]]
mode = "mirror"
duration = "20 s"
[[schedule]]
mode = "engaged"
duration = "5 s"
[time]
window = "20 ms"
batch = 50
signal = { kind = "count" }
"""  # noqa: E501

OLD = """# a chain
schema = 1    # of the format
name = "old"  # of the circuit
code = { kind = "zero_mean" }
cells.cell = {}
[layers]
sizes = [3, 4, 2]
gain = 0.7    # of W
[feedback]
# of B
gain = 0.3
"""
NEW = """# a chain
schema = 2    # of the format
name = "old"  # of the circuit
code = { kind = "zero_mean" }
cells.cell = {}
[layers]
sizes = [3, 4, 2]
weight = { init = "normal", gain = 0.7 }    # of W
[feedback]
# of B
weight = { init = "normal", gain = 0.3 }
"""


def hashes(circuit: Circuit) -> tuple[str, str]:
    """Give the hashes of circuit and protocol."""
    return circuit.sha256, circuit.protocol_sha256


def command(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def told(circuit: Circuit) -> list[str]:
    return [str(problem) for problem in circuit.problems()]


def test_there_is_a_migration_from_every_version_but_the_newest() -> None:
    assert list(MIGRATIONS) == list(range(1, SCHEMA))


def test_a_whole_file_of_version_1_is_read_and_run_with_one_warning(tmp_path: Path) -> None:
    old = from_text(FIGURE1, file="figure1.toml")
    assert [text for text in told(old) if "applied once an update" not in text] == [
        "warning: figure1.toml:2  schema: version 1 of the format is read, but is not the newest. "
        "'neuromirror migrate' writes it in version 2."
    ]
    new = from_text(FIGURE1.replace("schema = 1", "schema = 2"))
    assert all("applied once an update" in text for text in told(new))
    assert hashes(old) == hashes(new)
    run = nm.run(
        old.with_values({"schedule": [{"mode": "mirror", "examples": 50}]}), backend="torch", out=tmp_path / "r"
    )
    assert {problem.name for problem in nm.load(run.path / "circuit.toml").problems()} == {"rate-per-update"}


def test_a_recorded_circuit_of_version_1_is_read(tmp_path: Path) -> None:
    recorded = from_text(NEW).to_toml().replace("schema = 2", "schema = 1")
    (tmp_path / "circuit.toml").write_text(recorded, encoding="utf-8")
    found = nm.load(tmp_path / "circuit.toml")
    assert hashes(found) == hashes(from_text(NEW))
    assert [problem.name for problem in found.problems()] == ["old-schema"]


GAINS = st.none() | st.floats(0, 4, allow_nan=False)


@given(forward=GAINS, feedback=GAINS, stated=st.booleans(), sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4))
@settings(deadline=None, max_examples=40)
def test_an_old_file_and_its_twin_are_the_same_circuit(
    forward: float | None, feedback: float | None, stated: bool, sizes: list[int]
) -> None:
    old: Tables = tomllib.loads(OLD)
    if not stated:
        del old["schema"]
    new: Tables = {**old, "schema": 2}
    for part, gain in (("layers", forward), ("feedback", feedback)):
        more = {"sizes": sizes} if part == "layers" else {}
        old[part] = {**more, **({} if gain is None else {"gain": gain})}
        new[part] = {**more, **({} if gain is None else {"weight": {"init": "normal", "gain": gain}})}
    twin = from_text(tomli_w.dumps(new))
    for read in (from_text(tomli_w.dumps(old)), Circuit(old)):
        assert hashes(read) == hashes(twin)
        assert read.description == twin.description
        warned = stated or forward is not None or feedback is not None
        assert [problem.name for problem in read.problems()] == ["old-schema"] * warned
    assert twin.problems() == ()
    again = rewritten(tomli_w.dumps(old))
    assert tomllib.loads(again.text) == new
    assert again.comments_kept
    assert rewritten(again.text) == rewritten(again.text)
    assert rewritten(again.text).text == again.text
    assert not rewritten(again.text).changed


@pytest.mark.parametrize(
    ("said", "line", "path"),
    [
        ('gain = "x"', 8, "layers.weight.gain: found 'x', expected a number."),
        ("gain = -1", 8, "layers.weight.gain: Input should be greater than or equal to 0."),
        ("gain = [1, 2]", 8, "layers.weight.gain: found [1, 2], expected a number."),
        ("# \ngian = 1", 9, "layers.gian: unknown field."),
        ("gain = 0.7\nweight = {}", 8, "layers.gain: version 2 of the format has 'layers.weight.gain' in its place."),
    ],
)
def test_problems_are_on_the_lines_of_the_old_file(said: str, line: int, path: str) -> None:
    text = OLD.replace("gain = 0.7", said) + '[time]\ndt = "1"\n'
    found = told(from_text(text, file="old.toml"))
    last = text.splitlines().index('dt = "1"') + 1
    assert len(found) == 3
    assert found[0].startswith(f"error: old.toml:{line}  {path}")
    assert found[1].startswith(f"error: old.toml:{last}  time.dt")
    assert found[2].startswith("warning: old.toml:2  schema: version 1 ")


def test_what_a_short_form_makes_is_on_the_line_of_its_weights() -> None:
    text = NEW.replace('init = "normal", gain = 0.7', 'init = "values", values = [[1, 2], [3]]')
    assert told(from_text(text, file="new.toml")) == [
        "error: new.toml:8  layers.weight.values: the rows are not equally long."
    ]


def test_short_forms_have_the_initial_weights_of_projections() -> None:
    text = NEW.replace('init = "normal", gain = 0.3', 'init = "constant", value = 0.25')
    text = text.replace("[3, 4, 2]", "[1, 2]").replace(
        'init = "normal", gain = 0.7', 'init = "values", values = [[1], [2]]'
    )
    text += '[modes.mirror]\n[[schedule]]\nmode = "mirror"\nexamples = 1\n'
    arrays = make_plan(from_text(text), 0).initial_arrays()
    assert arrays["W1"].tolist() == [[1], [2]]
    assert arrays["B1"].tolist() == [[0.25, 0.25]]


def test_changes_have_the_names_of_the_newest_version() -> None:
    assert hashes(from_text(OLD, changes=["layers.weight.gain=2"])) == hashes(
        from_text(NEW, changes=["layers.weight.gain=2"])
    )
    found = told(from_text(OLD, changes=["layers.gain=2"]))
    assert found[0] == (
        "error: --set layers.gain=2  layers.gain: version 2 of the format has 'layers.weight.gain' in its place."
    )
    unstated = from_text(OLD.replace("schema = 1", ""), changes=["layers.gain=2"])
    assert [problem.name for problem in unstated.problems()] == ["unknown-field", "old-schema"]


@pytest.mark.parametrize(("base", "own"), [(OLD, NEW), (NEW, OLD), (OLD, OLD), (NEW, NEW)])
def test_each_file_is_migrated_before_it_is_merged(base: str, own: str, tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(base, encoding="utf-8")
    head, _, rest = own.partition("[layers]\n")
    own = f'extends = "base.toml"\n{head}[layers]\n{rest}'.replace("0.7", "0.9").replace("sizes = [3, 4, 2]\n", "")
    own = own.partition("[feedback]")[0]
    path = tmp_path / "own.toml"
    path.write_text(own, encoding="utf-8")
    found = nm.load(path)
    assert hashes(found) == hashes(from_text(NEW.replace("0.7", "0.9")))
    old = [name for name, text in (("own", own), ("base", base)) if "schema = 1" in text]
    assert sorted(Path(str(problem.file)).stem for problem in found.problems()) == sorted(old)
    path.write_text(own.replace("0.9", '"x"'), encoding="utf-8")
    line = next(n for n, text in enumerate(own.splitlines(), 1) if "0.9" in text)
    assert told(nm.load(path))[0].startswith(f"error: {path}:{line}  layers.weight.gain: found 'x'")


def test_what_an_old_file_leaves_out_has_its_old_name(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(NEW, encoding="utf-8")
    text = '# less\nextends = { circuit = "base.toml", without = ["layers.gain"] }\nschema = 1\n'
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    plain = hashes(from_text(NEW, changes=["layers.weight="]))
    assert hashes(nm.load(tmp_path / "own.toml")) == plain
    again = rewritten(text)
    assert not again.comments_kept
    (tmp_path / "new.toml").write_text(again.text, encoding="utf-8")
    assert hashes(nm.load(tmp_path / "new.toml")) == plain
    assert nm.load(tmp_path / "new.toml").problems() == ()


@pytest.mark.parametrize("said", ["0", "-1", "true", "false", "1.0", "2.0", "nan", '"2"', "[]", "{}", "1979-05-27"])
def test_what_is_no_version_is_refused_beside_what_else_is_wrong(said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(OLD.replace("schema = 1", f"schema = {said}") + '[time]\ndt = "1"\n', encoding="utf-8")
    code, out, err = command("check", str(path))
    first, second = err.splitlines()
    assert (code, out) == (2, "")
    assert first.startswith(f"error: {path}:2  schema: found ")
    assert first.endswith("which is no version of the format. Expected a whole number from 1 to 2.")
    assert second.startswith(f"error: {path}:13  time.dt")
    assert command("migrate", str(path))[:2] == (2, "")


@pytest.mark.parametrize("said", [SCHEMA + 1, 99, 10**30])
def test_a_newer_version_is_refused_in_one_sentence(said: int, tmp_path: Path) -> None:
    path = tmp_path / "newer.toml"
    path.write_text(f'schema = {said}\ncolour = "of another time"\n', encoding="utf-8")
    expected = (
        f"error: {path}:1  schema: version {said} of the format is newer than this neuromirror, "
        f"which reads versions 1 to {SCHEMA}. Upgrade neuromirror.\n"
    )
    for done in ("check", "expand", "migrate"):
        assert command(done, str(path)) == (2, "", expected)
    above = tmp_path / "above.toml"
    above.write_text(f'schema = {SCHEMA}\nextends = "newer.toml"\n', encoding="utf-8")
    assert command("check", str(above)) == (2, "", expected)
    assert [problem.name for problem in Circuit({"schema": said, "colour": 1}).problems()] == ["unknown-schema"]


def _first(tables: Tables) -> tuple[Tables, tuple[Move, ...]]:
    """Invented: a becomes b."""
    rest = {key: value for key, value in tables.items() if key != "a"}
    return ({**rest, "b": tables["a"]}, (Move(("a",), ("b",)),)) if "a" in tables else (tables, ())


def _second(tables: Tables) -> tuple[Tables, tuple[Move, ...]]:
    """Invented: b moves into the table c."""
    rest = {key: value for key, value in tables.items() if key != "b"}
    return ({**rest, "c": {"b": tables["b"]}}, (Move(("b",), ("c", "b")),)) if "b" in tables else (tables, ())


CHAIN = {1: _first, 2: _second}


def test_migrations_follow_one_another_from_the_version_of_the_file() -> None:
    def after(tables: Tables) -> Tables:
        return migrated(tables, lambda _: (None, None), CHAIN).tables

    assert after({"schema": 1, "a": 5}) == {"schema": 3, "c": {"b": 5}}
    assert after({"schema": 2, "b": 5}) == {"schema": 3, "c": {"b": 5}}
    assert after({"schema": 2, "a": 5}) == {"schema": 3, "a": 5}, "not a name of version 2"
    assert after({"schema": 3, "a": 5, "b": 5}) == {"schema": 3, "a": 5, "b": 5}
    assert after({"a": 5}) == {"c": {"b": 5}}, "a file that does not say is of version 1"


def test_places_follow_the_whole_chain() -> None:
    tables, places = parse("schema = 1\n\na = [\n1, { x = 2 }]\n", "f.toml")
    found = migrated(tables, lambda _: (None, None), CHAIN)
    after = moved(places, found.moves)
    lines = {("c",): 3, ("c", "b"): 3, ("c", "b", 0): 4, ("c", "b", 1): 4, ("c", "b", 1, "x"): 4, ("schema",): 1}
    assert after == {path: ("f.toml", line) for path, line in lines.items()}
    for path, old in ((("c", "b", 1, "x"), ("a", 1, "x")), (("c", "b"), ("a",)), (("c",), ("a",)), (("d",), ("d",))):
        assert before(path, found.moves) == old


def test_a_text_follows_the_whole_chain_with_its_comments() -> None:
    text = '# first\n"a" = [ # of a\n  1,\n]   # end\nschema=1# x\n'
    found = rewritten(text, chain=CHAIN)
    assert found.text == "# first\nc = { b = [ # of a\n  1,\n] }   # end\nschema=3# x\n"
    assert (found.version, found.changed, found.comments_kept) == (3, True, True)


VALUES = st.recursive(
    st.integers(0, 3) | st.floats(0, 3) | st.booleans() | st.text("ab\n\"'#", max_size=4),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inside, max_size=3),
    max_leaves=6,
)
PARTS = st.dictionaries(st.sampled_from(["gain", "weight", "sizes", "cell"]), VALUES, max_size=3) | VALUES


@given(
    st.fixed_dictionaries(
        {}, optional={"layers": PARTS, "feedback": PARTS, "schema": st.just(1) | st.just(2), "extends": VALUES}
    )
)
@settings(deadline=None)
def test_any_tables_are_migrated_once_and_left_as_they_were(tables: dict[str, Any]) -> None:
    given_tables = repr(tables)
    once = migrated(tables, lambda _: (None, None)).tables
    assert repr(tables) == given_tables
    assert migrated(once, lambda _: (None, None)).tables == once
    text = tomli_w.dumps(tables)
    again = rewritten(text)
    assert tomllib.loads(again.text) == {**once, "schema": SCHEMA}
    assert rewritten(again.text).text == again.text


WEIGHT = 'weight = { init = "normal", gain = '
UNSTATED = [text.replace(f"schema = {version}    # of the format\n", "") for version, text in ((1, OLD), (2, NEW))]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OLD, NEW),
        (UNSTATED[0], f"schema = 2\n{UNSTATED[1]}"),
        ('schema = 1\nlayers = { "gain" = 2, cell = "a" }', f'schema = 2\nlayers = {{ {WEIGHT}2 }}, cell = "a" }}'),
        ("layers . gain = 0x10 # hex\n", f"schema = 2\nlayers . {WEIGHT}0x10 }} # hex\n"),
        ("schema = 1\r\n[layers]\r\ngain = 1\r\n", f"schema = 2\r\n[layers]\r\n{WEIGHT}1 }}\r\n"),
    ],
)
def test_a_file_is_written_anew_with_its_comments(old: str, new: str) -> None:
    assert rewritten(old).text == new


def test_the_command_prints_or_writes_a_new_file_and_overwrites_none(tmp_path: Path) -> None:
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(OLD, encoding="utf-8")
    assert command("migrate", str(old)) == (0, NEW, "")
    assert command("migrate", str(old), "-o", str(new)) == (0, f"{new}\n", "")
    assert new.read_text(encoding="utf-8") == NEW
    code, out, err = command("migrate", str(old), "-o", str(old))
    assert (code, out) == (2, "")
    assert "it is not overwritten" in err
    assert old.read_text(encoding="utf-8") == OLD
    assert command("migrate", str(new)) == (0, NEW, f"{new}: of version 2 already, which is the newest.\n")
    code, _, err = command("migrate", str(old), "-o", str(tmp_path / "nowhere" / "new.toml"))
    assert (code, "cannot be written" in err) == (2, True)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_circuits_say_that_they_are_of_the_newest_version(name: str) -> None:
    text = shipped()[name].read_text(encoding="utf-8")
    assert tomllib.loads(text)["schema"] == SCHEMA
    assert not rewritten(text).changed


def test_a_circuit_derived_from_an_old_file_goes_on_to_say_so() -> None:
    old = from_text(FIGURE1)
    for derived in (old.with_values({"time.batch": 10}), old.with_changes({"about": ""}), old.method("fa")):
        assert "old-schema" in {problem.name for problem in derived.problems()}
    with pytest.raises(CircuitError, match=r"layers\.weight\.gain"):
        from_text(OLD).with_changes({"layers": {"sizes": [1, 2], "gain": 1}}).check()
