"""What is said where a library that something needs is missing, or is there and cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from neuromirror.backends.brian2.private import REQUIREMENT
from neuromirror.errors import UnsupportedError
from neuromirror.libraries import INSTALL, is_installed, need

ROOT = Path(__file__).resolve().parents[2]
TORCH = "needs torch, which is not installed: pip install torch torchvision"

MISSING = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
BROKEN = "raise OSError('libcudart.so.12: cannot open shared object file')"

ASKED = """
import neuromirror as nm
from neuromirror.errors import UnsupportedError

def data():
    import neuromirror.data

def layers():
    from neuromirror.backends.torch.feedback import FeedbackConv2d, FeedbackLinear

def run():
    nm.run("figure1", backend="torch")

for ask in (lambda: nm.train, lambda: nm.align, lambda: nm.Alignment, data, layers, run):
    try:
        ask()
    except UnsupportedError as error:
        print(error)
    else:
        print("nothing was refused")
"""


def python(arguments: list[str], torch: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where importing torch does what a line of code does."""
    library = folder / "library"
    library.mkdir()
    (library / "torch.py").write_text(torch, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(library), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("torch", "sentence"),
    [
        (MISSING, TORCH),
        (
            BROKEN,
            "needs torch, which is installed but cannot be imported (OSError: libcudart.so.12: cannot open shared",
        ),
    ],
    ids=["missing", "broken"],
)
def test_without_torch_all_that_needs_it_says_so(torch: str, sentence: str, tmp_path: Path) -> None:
    found = python(["-c", ASKED], torch, tmp_path)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 6
    assert [line for line in lines if sentence not in line] == []
    assert all(line.endswith("pip install torch torchvision") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [["run", "figure1", "--backend", "torch"], ["train", "digits"], ["train", "digits", "--backend", "brian2"]],
    ids=" ".join,
)
def test_commands_that_need_torch_say_so(arguments: list[str], tmp_path: Path) -> None:
    found = python(["-m", "neuromirror", *arguments], MISSING, tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert TORCH in found.stderr
    assert "Traceback" not in found.stderr


def test_what_is_not_there_is_refused() -> None:
    need("numpy", "a test")
    assert is_installed("numpy")
    assert not is_installed("no_such_library")


def test_a_library_that_is_missing_inside_another_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorboard.py").write_text("import no_such_library", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorboard", raising=False)
    with pytest.raises(UnsupportedError, match=r"installed but cannot be imported .*no_such_library"):
        need("tensorboard", "a test")


def test_what_installs_a_library_is_what_the_package_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["torch"]]
    assert REQUIREMENT in required
    assert INSTALL["brian2"].startswith(f"pip install '{REQUIREMENT}'")
    assert all(any(text.startswith(library) for text in required) for library in INSTALL)
    assert not any("neuromirror" in text for text in INSTALL.values())
