"""Which Python ``make`` takes, and what it says where there is none that it can take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Make = Callable[..., subprocess.CompletedProcess[str]]
MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"
TOOLS = ("make", "sh", "rm", "test", "touch")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

SHIM = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"
OLD = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Give what runs make in an empty folder, with a path that has these Pythons alone."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool) or "")
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "pyproject.toml").touch()

    def run(*arguments: str, **pythons: str) -> subprocess.CompletedProcess[str]:
        for name, code in pythons.items():
            file = tools / name.replace("_", ".")
            file.write_text(code, encoding="utf-8")
            file.chmod(0o755)
        environment = {"PATH": str(tools), "HOME": str(tmp_path)}
        command = ["make", "--no-print-directory", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run


WORKS = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


def test_the_first_python_that_runs_is_taken(make: Make) -> None:
    found = make("-n", "demo", python3_11=SHIM, python3_12=OLD, python3_13=WORKS, python3=WORKS)
    assert found.returncode == 0, found.stderr
    assert '"python3.13" -m venv .venv' in found.stdout


def test_another_python_has_another_environment(make: Make) -> None:
    found = make("-n", "test-spiking", "PYTHON=python9", "VENV=.venv-9")
    assert '"python9" -m venv .venv-9' in found.stdout
    assert '.venv-9/bin/python -m pytest -n 2 --dist worksteal -q -m "spiking and not slow"' in found.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [],
            "no Python from 3.11 on was found that can make a virtual environment (module venv)",
        ),
        (["PYTHON=python3.8"], "python3.8: no Python from 3.11 on. Name another: make demo PYTHON=/path/to/python3"),
    ],
    ids=["none", "old"],
)
def test_without_a_python_make_says_so(make: Make, arguments: list[str], said: str) -> None:
    found = make("demo", *arguments, python3_8=OLD, python3=OLD, python3_12=SHIM)
    assert found.returncode == 2
    assert said in found.stderr


def test_an_environment_of_another_python_is_not_used_unseen(make: Make, tmp_path: Path) -> None:
    environment = tmp_path / ".venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(sys.executable)
    other = '#!/bin/sh\ncase "$2" in *exit*) exit 0;; *) echo 3.99;; esac\n'
    assert make("python", python3_99=other).returncode == 0
    found = make("python", "PYTHON=python3.99")
    assert found.returncode == 2
    version = ".".join(map(str, sys.version_info[:2]))
    assert f".venv is of Python {version}, and python3.99 is another. Add VENV=.venv-other." in found.stderr
    assert os.path.exists(environment / "python")
