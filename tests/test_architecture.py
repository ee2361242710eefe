"""What may import what, what looking at a circuit loads, and how large modules and functions get."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neuromirror"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 80
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]

modules = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def tree(module: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(module.read_text(encoding="utf-8"))


def for_types(node: ast.AST) -> bool:
    """Tell whether a statement is read by type checkers alone."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(module: Path) -> Iterator[str]:
    """Give the absolute name of all that a module imports when it runs, at its top or later."""
    package = module.relative_to(ROOT).parent.parts
    unused = {inside for node in ast.walk(tree(module)) if for_types(node) for inside in ast.walk(node)}
    for node in set(ast.walk(tree(module))) - unused:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def importers(name: str) -> set[str]:
    """Give the modules that import a package, by their path within ours."""
    return {
        str(module.relative_to(PACKAGE).as_posix())
        for module in MODULES
        if any(found.split(".")[0] == name for found in imported(module))
    }


# ---- contracts ------------------------------------------------------------------------------------------------------


def test_the_contracts_of_imports_are_kept() -> None:
    script = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in found.stdout


def test_every_part_of_the_package_has_its_layer() -> None:
    (layers,) = [contract["layers"] for contract in CONTRACTS if contract["type"] == "layers"]
    in_layers = set(re.findall(r"neuromirror\.(\w+)", " ".join(layers)))
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    free = {"__init__", "__main__", "progress"}
    assert parts - free == in_layers
    assert not any(name.startswith("neuromirror") for name in imported(PACKAGE / "progress.py"))


def test_nothing_in_the_package_imports_experiments_or_tests() -> None:
    assert importers("experiments") == set()
    assert importers("tests") == set()


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("brian2", ("backends/brian2/",)),
        ("torch", ("backends/torch/", "data/", "training/")),
        ("torchvision", ("data/", "training/")),
    ],
)
def test_a_simulator_is_imported_at_home_only(library: str, homes: tuple[str, ...]) -> None:
    assert all(module.startswith(homes) for module in importers(library))


PRIVATE = re.compile(
    r"\bbrian2\.(core|devices|monitors|synapses|codegen|memory)\.|\bb2\.(\w+\.)*_[a-z]|brian::|_full_state|_globally_|"
    r"\brandn?_buffer|set_device\(.cpp|\bnetwork\.t_\b"
)
"""Parts of Brian2 that its reference does not promise, as they are written."""


def test_private_parts_of_brian2_stand_in_one_module() -> None:
    places = [*(PACKAGE / "backends" / "brian2").glob("*.py"), *(ROOT / "experiments").glob("*.py")]
    uses = {path.name for path in places if PRIVATE.search(re.sub(r"neuromirror[\w.]*", "", path.read_text("utf-8")))}
    assert uses == {"private.py"}


def test_the_search_finds_what_imports_the_simulators() -> None:
    assert importers("brian2")
    assert importers("torch")


def test_matplotlib_is_imported_by_figures_only() -> None:
    assert {module.split("/")[0] for module in importers("matplotlib")} == {"figures"}


def test_the_search_for_imports_finds_every_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "package" / "part" / "module.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "import a.b, c as d\nfrom e.f import g\nfrom . import h\nfrom ..i import j\n"
        "def later():\n    import k\n    importlib.import_module('l.m')\n"
        "if TYPE_CHECKING:\n    import n\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert set(imported(module)) == {"a.b", "c", "e.f.g", "package.part.h", "package.i.j", "k", "l.m"}


# ---- what is loaded -------------------------------------------------------------------------------------------------

SIMULATORS = ("brian2", "torch")
PLOTTING = ("matplotlib",)
SLOW = ("scipy.signal", "scipy.stats")


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """Give the names of all modules that a fresh Python loads, as ``-X importtime`` reports them."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-X", "importtime", *arguments]
    environment = {**os.environ, "PYTHONPATH": path, "MPLCONFIGDIR": str(folder)}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    names = re.findall(r"^import time: .*\| +(\S+)$", found.stderr, flags=re.MULTILINE)
    return {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)}


@pytest.mark.parametrize(
    ("arguments", "loads", "spares"),
    [
        (["-c", "import neuromirror"], "neuromirror", (*SIMULATORS, *PLOTTING, "numpy", "scipy", "pydantic")),
        (["-c", "import neuromirror.measure"], "neuromirror.measure.traces", (*SIMULATORS, *PLOTTING, "scipy")),
        (["-m", "neuromirror", "--help"], "neuromirror.cli", (*SIMULATORS, *PLOTTING, "numpy", "scipy")),
        (["-m", "neuromirror", "cite"], "neuromirror.cli", (*SIMULATORS, *PLOTTING, "numpy", "scipy")),
        (["-m", "neuromirror", "backends"], "neuromirror.circuit", (*SIMULATORS, *PLOTTING, *SLOW)),
        (["-m", "neuromirror", "check", "figure1"], "neuromirror.circuit.checks", (*SIMULATORS, *PLOTTING, *SLOW)),
        (["-m", "neuromirror", "expand", "figure1"], "neuromirror.circuit.load", (*SIMULATORS, *PLOTTING, *SLOW)),
        (["-m", "neuromirror", "draw", "figure1", "-o", "f.svg"], "neuromirror.figures.draw", SIMULATORS),
        (["-c", "import neuromirror.figures.draw"], "matplotlib", SIMULATORS),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_looking_loads_little(arguments: list[str], loads: str, spares: tuple[str, ...], tmp_path: Path) -> None:
    found = loaded(arguments, tmp_path)
    assert loads in found
    assert not found & set(spares)


# ---- modules and functions ------------------------------------------------------------------------------------------


@modules
def test_a_module_says_what_it_is_for(module: Path) -> None:
    docstring = ast.get_docstring(tree(module))
    assert docstring
    assert docstring.strip()


@modules
def test_a_module_is_short(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


@modules
def test_functions_are_short(module: Path) -> None:
    functions = [node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}
