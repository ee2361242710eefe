"""Files that extend others: what is merged, where each value is said to come from, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.extends import extended
from neuromirror.circuit.files import parse, shipped
from neuromirror.errors import CircuitError


def problems(path: Path) -> list[str]:
    """Return all that is said of a file, whether it could be loaded or not."""
    try:
        return [str(problem) for problem in nm.load(path).problems()]
    except CircuitError as error:
        return [str(problem) for problem in error.problems]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_says_wins_and_the_rest_is_that_of_the_file_beneath(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.toml", 'extends = "figure1"\nname = "mine"\n[code]\nbeta = "50 Hz"\n')
    expected = nm.load("figure1", ["code.beta=50 Hz"])
    assert nm.load(path).sha256 == expected.sha256
    assert nm.load(path).protocol_sha256 == expected.protocol_sha256
    assert nm.load(path).name == "mine"


def test_paths_start_from_the_folder_of_the_file_that_names_them(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    write(tmp_path / "one", "base.toml", shipped()["figure1"].read_text(encoding="utf-8"))
    write(tmp_path / "one" / "two", "middle.toml", 'extends = "../base.toml"\n[code]\nbeta = "50 Hz"\n')
    top = write(tmp_path, "top.toml", 'extends = "one/two/middle.toml"\n[code]\nunit = "20 Hz"\n')
    monkeypatch.chdir(tmp_path / "one")
    assert nm.load(top).sha256 == nm.load("figure1", ["code.beta=50 Hz", "code.unit=20 Hz"]).sha256


def test_names_are_taken_out_of_what_is_extended(tmp_path: Path) -> None:
    text = """
extends = { circuit = "figure1", without = ["projections.g1", "populations.y1.bias", "modes.engaged.learn"] }
[modes.engaged]
on = ["W1", "B1", "g0", "e1"]
learn = { W1 = "forward" }
"""
    circuit = nm.load(write(tmp_path, "mine.toml", text))
    assert "g1" not in circuit.description.projections
    assert circuit.description.populations["y1"].bias is None


def test_every_problem_has_the_place_that_its_value_comes_from(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", shipped()["figure1"].read_text(encoding="utf-8").replace('"8 mV"', '"8 V/m"'))
    text = 'extends = "base.toml"\n\n[populations]\ny1 = { shap = [2] }\n[time]\ndt = "1"\n'
    noise = 1 + next(n for n, line in enumerate((tmp_path / "base.toml").read_text().splitlines()) if "8 V/m" in line)
    found = problems(write(tmp_path, "mine.toml", text))
    assert len(found) == 3
    assert any(f"base.toml:{noise}  cells.cell.noise" in one for one in found)
    assert any("mine.toml:4  populations.y1.shap" in one for one in found)
    assert any("mine.toml:6  time.dt" in one for one in found)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('\nextends = "nowhere.toml"', 2, "no such file, and no shipped circuit of that name"),
        ('extends = "mine.toml"', 1, "in a circle: mine.toml → mine.toml"),
        ("extends = 3", 1, 'expected extends = "figure1.toml"'),
        ('extends = { circuit = "figure1", witout = [] }', 1, "expected extends ="),
        ('extends = { circuit = "figure1", without = ["a.b"] }', 1, "there is no 'a.b' to leave out"),
        ('extends = { circuit = "figure1", without = ["projections.x9"] }', 1, "no 'projections.x9' to leave out."),
        ('extends = "."', 1, "is a directory"),
        ('extends = ""', 1, "no circuit is named"),
        ('extends = "\\u0000"', 1, "cannot be extended"),
    ],
)
def test_what_cannot_be_extended_is_refused_where_it_is_named(tmp_path: Path, text: str, line: int, says: str) -> None:
    (found,) = problems(write(tmp_path, "mine.toml", text))
    assert f"mine.toml:{line}  extends" in found
    assert says in found


def test_a_circle_of_several_files_is_refused(tmp_path: Path) -> None:
    for one, other in ("ab", "bc", "ca"):
        write(tmp_path, f"{one}.toml", f'extends = "{other}.toml"')
    (found,) = problems(tmp_path / "a.toml")
    assert "in a circle: b.toml → c.toml → a.toml → b.toml" in found


def test_a_base_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    base = write(tmp_path, "base.toml", "a = 1\nb = = 2\n")
    (found,) = problems(write(tmp_path, "mine.toml", 'extends = "base.toml"'))
    assert found.startswith(f"error: {base}:2: not TOML")


TABLES = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inside: st.dictionaries(st.sampled_from("abc"), inside, max_size=3),
    max_leaves=8,
)


def merged(base: object, own: object) -> object:
    if isinstance(base, dict) and isinstance(own, dict):
        return {key: merged(base.get(key), own[key]) if key in own else base[key] for key in {**base, **own}}
    return own


@given(base=st.dictionaries(st.sampled_from("abc"), TABLES), own=st.dictionaries(st.sampled_from("abc"), TABLES))
def test_tables_merge_key_by_key_and_each_value_keeps_its_place(tmp_path_factory, base, own) -> None:
    import tomli_w

    folder = tmp_path_factory.mktemp("merge")
    write(folder, "base.toml", tomli_w.dumps(base))
    text = 'extends = "base.toml"\n' + tomli_w.dumps(own)
    tables, places = extended(*parse(text, "own.toml"), file="own.toml", folder=folder)
    assert tables == merged(base, own)
    lines = {str(folder / "base.toml"): tomli_w.dumps(base).splitlines(), "own.toml": text.splitlines()}
    for path, (file, line) in places.items():
        value = tables
        for key in path:
            value = value[key]
        from_own = tomllib.loads("\n".join(lines["own.toml"]))
        for key in path:
            from_own = (
                from_own.get(key)
                if isinstance(from_own, dict)
                else (from_own[key] if isinstance(from_own, list) and key < len(from_own) else None)
            )
        assert (file == "own.toml") == (from_own is not None), path
        assert 1 <= (line or 0) <= len(lines[str(file)])


def test_a_circuit_from_tables_says_what_to_do_with_extends() -> None:
    found = Circuit({"extends": "figure1", "name": "x"}).problems()
    assert any(problem.path == "extends" and "nm.load" in problem.message for problem in found)
