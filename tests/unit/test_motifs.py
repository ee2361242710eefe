"""Motifs: what their uses make of a circuit, and where problems inside them are said to be."""

from __future__ import annotations

import tomllib

import pytest

from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import from_text

TEXT = """
name = "deep"
code = { kind = "zero_mean" }
cells.cell = {}
[populations]
low = { path = "forward", layer = 3, shape = [4], cell = "cell" }
[motifs.block]
parameters = { wide = 4 }
inputs = ["below"]
output = "b"
[motifs.block.populations]
a = { layer = 1, shape = ["$wide"], cell = "cell" }
b = { layer = 2, shape = [4], cell = "cell" }
[motifs.block.projections]
Wa = { source = "below", target = "a", connector = "all_to_all", weight = { gain = 0.5 } }
Wb = { source = "a", target = "b", connector = "all_to_all", weight = {} }
skip = { source = "below", target = "b", connector = "shortcut", join = "before" }
[[use]]
motif = "block"
name = "one"
repeat = 2
inputs = { below = "low" }
[[use]]
motif = "block"
name = "two"
inputs = { below = "one" }
parameters = { wide = 7 }
"""


def line(start: str) -> int:
    return next(number for number, one in enumerate(TEXT.splitlines(), 1) if one.startswith(start))


def test_a_use_adds_the_motif_under_its_name() -> None:
    found = from_text(TEXT).description
    layers = {name: population.layer for name, population in found.populations.items()}
    assert layers == {"low": 3, "one_0_a": 4, "one_0_b": 5, "one_1_a": 6, "one_1_b": 7, "two_a": 8, "two_b": 9}
    assert all(population.path == "forward" for population in found.populations.values())
    ends = {name: (p.source, p.target) for name, p in found.projections.items()}
    assert ends["one_0_Wa"] == ("low", "one_0_a")
    assert ends["one_0_skip"] == ("low", "one_0_b")
    assert ends["one_1_Wa"] == ("one_0_b", "one_1_a")
    assert ends["two_Wa"] == ("one_1_b", "two_a"), "the name of a use stands for its last output"
    assert ends["two_skip"] == ("one_1_b", "two_b")
    assert found.populations["two_a"].shape == (7,)
    assert found.populations["one_1_a"].shape == (4,)
    assert found.projections["two_Wa"].weight is not None
    assert found.projections["two_Wa"].weight.gain == 0.5


def test_a_motif_written_out_by_hand_is_the_same_circuit() -> None:
    short = from_text(TEXT)
    assert Circuit(tomllib.loads(short.to_toml())).sha256 == short.sha256
    assert short.expand().sha256 == short.sha256
    assert "motifs" not in short.to_toml()


def test_copies_are_numbered_from_the_first() -> None:
    names = set(from_text(TEXT, changes=["use.0.first=3"]).description.populations)
    assert {"one_3_a", "one_4_b"} <= names
    assert "one_0_a" not in names


@pytest.mark.parametrize(
    ("change", "path", "at", "says"),
    [
        ("use.0.motif=blck", "use.0.motif", None, "there is no motif 'blck'. Did you mean 'block'?"),
        ("use.1.inputs.belw=low", "use.1.inputs.belw", None, "has no input 'belw'. Did you mean 'below'?"),
        ("use.1.parameters.wid=3", "use.1.parameters.wid", None, "has no parameter 'wid'. Did you mean 'wide'?"),
        ("use.1.inputs={}", "use.1.inputs", None, "input 'below' of motif 'block' is not given"),
        ("motifs.block.output=c", "motifs.block.output", None, "the motif has no population 'c'. There are: a, b."),
        ("use.1.name=one_0", "use.1.name", None, "there is a population 'one_0_a' already"),
        ("motifs.block.parameters={}", "motifs.block.populations.a.shape.0", "a = ", "no parameter 'wide'"),
        ("motifs.block.populations.b.shap=[4]", "motifs.block.populations.b.shap", None, "Did you mean 'shape'?"),
        ("motifs.block.populations.b.shape=[5]", "motifs.block.projections.skip", "skip", "a shortcut, but source"),
        ("motifs.block.projections.Wa.source=belw", "motifs.block.projections.Wa.source", None, "no population 'belw'"),
        ("motifs.block.populations=3", "motifs.block.populations", None, "found 3, expected a table"),
        ("use.0.repeat=0", "use.0.repeat", None, "greater than or equal to 1"),
        ("use=3", "use", None, "found 3, expected an array"),
        ("motifs=3", "motifs", None, "found 3, expected a table"),
        ("populations=3", "populations", None, "found 3, expected a table"),
    ],
)
def test_a_problem_is_said_once_at_its_place_in_the_motif(change: str, path: str, at: str | None, says: str) -> None:
    problems = from_text(TEXT, file="deep.toml", changes=[change]).problems()
    found = [problem for problem in problems if problem.path == path]
    assert len(found) == 1, problems
    assert says in found[0].message
    if at is None:
        assert found[0].file == f"--set {change}"
    else:
        assert (found[0].file, found[0].line) == ("deep.toml", line(at))
