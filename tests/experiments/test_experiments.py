"""Every experiment runs, at its smallest size, and prints what it is for."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import bench, bench_chains
from experiments.spiking_schedules import At, Found

FOLDER = Path(bench.__file__).parent
NAMES = sorted(
    path.stem for path in FOLDER.glob("*.py") if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
)
EXPERIMENTS = [name for name in NAMES if name != "bench"]


PARTS = ["Claim", "Command", "Takes", "Expected"]
LENGTH_OF_TIME = re.compile(r"\b(\d+|an?|one) (second|minute|hour)s?\b", re.IGNORECASE)
UNCERTAINTY = re.compile(r"±|\([+−]?[\d.]+[°%]? to\s+[+−]?[\d.]+|of all seeds|other seeds differ")


def docstring(name: str) -> str:
    """Return what a module of the experiments says of itself."""
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""


def statement(text: str) -> dict[str, str]:
    """Return the parts of an experiment's docstring, each without its name."""
    parts = re.split(rf"^({'|'.join(PARTS)})\s+", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def faults(name: str, text: str) -> list[str]:
    """Return what an experiment's docstring lacks."""
    parts = statement(text)
    if list(parts) != PARTS:
        return [f"has the parts {list(parts)}, not {PARTS}"]
    expected = parts["Expected"]
    wanted = {
        "a claim in words": len(re.findall(r"[^\W\d_]{2,}", parts["Claim"])) >= 8,
        "the command that runs it": re.match(rf"python -m experiments\.{name}\b", parts["Command"]),
        "how long it takes": LENGTH_OF_TIME.search(parts["Takes"]),
        "numbers that are expected": len(re.findall(r"\d", expected)) >= 10,
        "the seeds that gave them": re.search(r"\bseeds? \d", expected, re.IGNORECASE),
        "their uncertainty": UNCERTAINTY.search(expected),
    }
    return [fault for fault, there in wanted.items() if not there]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_states_its_claim(name: str) -> None:
    assert faults(name, docstring(name)) == []


def test_a_statement_without_numbers_is_found_out() -> None:
    text = """Which noise is best?

    Claim     One of them is better than all of the others are by far.
    Command   python -m experiments.noise
    Takes     {takes}
    Expected  {expected}
    """
    good = {"takes": "2 minutes on one core.", "expected": "seeds 0 to 9: 1.5° (1.0° to 2.0°), 2.5° (2.0° to 3.0°)"}
    bad = {"takes": "no time", "expected": "1 2 3 4 5 6 7 8 9 10"}
    assert faults("noise", inspect.cleandoc(text.format(**good))) == []
    assert faults("noise", inspect.cleandoc(text.format(**bad))) == [
        "how long it takes",
        "the seeds that gave them",
        "their uncertainty",
    ]


def test_a_module_is_an_experiment_or_helps_one() -> None:
    """An experiment has a command, which the documentation lists; a helper claims nothing, and one of them uses it."""
    table = (FOLDER.parent / "docs" / "experiments.md").read_text(encoding="utf-8")
    sources = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py") if path.stem != "__init__"}
    assert [name for name in EXPERIMENTS if f"| `python -m experiments.{name}" not in table] == []
    for helper in sources.keys() - set(NAMES):
        assert not statement(docstring(helper)), f"{helper} states a claim and has no command"
        assert docstring(helper), f"{helper} does not say what it is for"
        uses = re.compile(rf"^from experiments(\.{helper} import|\b.* import .*\b{helper}\b)", re.MULTILINE)
        tests = [path.read_text(encoding="utf-8") for path in FOLDER.parent.glob("tests/**/*.py")]
        assert any(uses.search(source) for source in [*sources.values(), *tests]), f"nothing uses {helper}"


DRAWN = {"figure2": "figure2-resnet20", "figure3": "figure3-resnet20"}
"""What experiments draw that keep their runs."""
LONGEST = dict.fromkeys(
    ("figure2", "figure3", "lag", "agreement", "mirroring_time", "spiking_learning"), pytest.mark.slow
)


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONGEST.get(name, ())) for name in EXPERIMENTS])
def test_an_experiment_runs(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept = ["--out", str(tmp_path)] if name in DRAWN else []
    importlib.import_module(f"experiments.{name}").main(["--quick", *kept])
    drawn = {f"{DRAWN[name]}.{suffix}" for suffix in ("png", "pdf")} if name in DRAWN else set()
    assert {path.name for path in tmp_path.glob("figure*")} == drawn
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) >= 2
    assert len(re.findall(r"\d\.\d", printed)) >= 2


def test_bounds_are_held_against_what_is_measured() -> None:
    bounds = bench.Section(lower=20, upper=10, length="1 s", most_deg=6.5, law=True)
    good = bench.Mirrored(angles_deg=(6.0, 6.4, 9.0), laws_deg=(6.0, 6.0, 8.9))
    assert [line.met for line in bench.accuracy_lines(bounds, good)] == [True, True]
    wide = bench.Mirrored(angles_deg=(6.0, 6.6, 9.0), laws_deg=(5.0, 5.0, 9.0))
    assert [line.met for line in bench.accuracy_lines(bounds, wide)] == [False, False]


def test_chains_are_held_against_the_bound_and_schedules_against_each_other() -> None:
    def found(*angles_deg: list[float]) -> Found:
        at = At(angles_deg=np.array(angles_deg), law_deg=np.array(angles_deg))
        return Found(same_noise=at, same_time=at, shares=np.zeros(at.angles_deg.shape))

    each, alike, worse = found([8, 7], [7, 8.5]), found([7, 8], [8, 8]), found([8, 8], [8, 9.5])
    assert [line.met for line in bench_chains.angle_lines(each, alike)] == [True, True, True]
    assert [line.met for line in bench_chains.angle_lines(each, worse)] == [True, False, True]
    apart = found([8, 8.0], [8, 8.501])
    assert [line.met for line in bench_chains.angle_lines(each, apart)] == [True, True, False]


def test_time_is_taken_of_a_command_and_its_children() -> None:
    quick, slow = (
        ["-c", "pass"],
        ["-c", "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"],
    )
    _, beyond = bench.speed(slow, quick, pairs=1)
    assert float(beyond.measured.split()[0]) > 0.2


def test_commands_that_only_look_are_held_against_their_bounds() -> None:
    slow = ["-c", "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"]
    assert [line.met for line in bench.looks([(slow, 0.3), (slow, 60.0)], times=1)] == [False, True]
