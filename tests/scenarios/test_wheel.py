"""What users install: a wheel, in a folder that holds nothing of the source."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("neuromirror-*.whl")
    return found


def test_it_holds_the_circuits_and_nothing_beside_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"neuromirror/circuits_shipped/{path.name}" for path in (ROOT / "circuits").glob("*.toml")} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"neuromirror"}


def test_it_runs_figure1_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = [sys.executable, "-c", "import neuromirror; print(neuromirror.__file__)"]
    found = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(site / "neuromirror" / "__init__.py")
    command = [sys.executable, "-m", "neuromirror", "run", "figure1", "--set", 'schedule.0.duration="2 s"']
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "angle of B1 to its Wᵀ" in done.stdout
    figures = [Path(line.split(maxsplit=1)[1]) for line in done.stdout.splitlines() if line.startswith("figure")]
    assert len(figures) == 3
    assert all((empty / figure).is_file() for figure in figures)
