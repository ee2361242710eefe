"""What is said where a program cannot be compiled, and how many processes compile one."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

import neuromirror as nm
from neuromirror import cli, processes
from neuromirror.backends.brian2 import standalone
from neuromirror.errors import RequestError, RunError

pytestmark = pytest.mark.spiking
SHORT = ['schedule=[{mode="mirror", duration="100 ms"}]']
ERROR = "joined.cpp:17:5: error: call of overloaded ‘resize(int, size_t&)’ is ambiguous" + " in a long line" * 60


def executable(path: Path, code: str) -> Path:
    """Write a program."""
    path.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def run(folder: Path, target: str = "cpp_standalone") -> nm.Run:
    return nm.run(nm.load("figure1", SHORT), target=target, out=folder / "run", points=2, figures=False)


@pytest.fixture
def _nothing_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.usefixtures("_nothing_on_the_path")
@pytest.mark.parametrize("target", ["cpp_standalone", "cython"])
def test_without_a_compiler_a_target_that_needs_one_is_refused_in_a_sentence(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "figure1", "--target", target, "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"error: --target {target}: there is no C++ compiler here, ")
    assert said.endswith("Install one, or use --target numpy.\n")
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("_nothing_on_the_path")
def test_without_a_compiler_a_sweep_is_refused_and_auto_needs_none(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no C\+\+ compiler"):
        nm.sweep(nm.load("figure1", SHORT), {"code.beta": ["80 Hz"]}, target="cpp_standalone", out=tmp_path / "sweep")
    assert run(tmp_path, "auto").manifest.target == "numpy"


def test_the_compilers_line_is_said_whole_and_nobody_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = executable(
        tmp_path / "compiler",
        f"import sys\nprint('In file included from x', {ERROR!r}, 'joined.cpp:18: note', sep='\\n', file=sys.stderr)\n"
        "sys.exit(1)",
    )
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(RunError) as raised:
        run(tmp_path)
    first, remedy = str(raised.value).splitlines()
    assert first.startswith(f"the standalone program does not compile with {compiler} and Brian2 2.")
    assert first.endswith(ERROR)
    assert remedy.strip() == "Use --target numpy or cython, which need no such program."


def test_what_compiles_apart_is_compiled_by_as_many_processes_as_there_are_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the flags of the joined program: others, such as -ffast-math, would give other numbers."""
    executable(tmp_path / "compiler", "raise SystemExit('error: not joined')")
    make = "import pathlib, sys; pathlib.Path(__file__).with_name('arguments').write_text('\\n'.join(sys.argv[1:]))"
    executable(tmp_path / "make", make + "\nraise SystemExit('it fails')")
    monkeypatch.setenv("CXX", str(tmp_path / "compiler"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(standalone, "cores", lambda: 3)
    with pytest.raises(RunError, match="it fails"):
        run(tmp_path)
    jobs, compiler, flags = (tmp_path / "arguments").read_text().splitlines()
    assert (jobs, compiler) == ("-j3", f"CXX={tmp_path / 'compiler'}")
    assert "-ffp-contract=off" in flags
    assert "fast-math" not in flags


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= processes.cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5}, raising=False)
    assert processes.cores() == 1


@pytest.mark.parametrize(
    ("errors", "line"),
    [
        ("In file a:\n  b.cpp:1:2: error: one\nb.cpp:2:2: error: two\n", "b.cpp:1:2: error: one"),
        ("c.cpp:3:10: fatal error: omp.h: No such file", "c.cpp:3:10: fatal error: omp.h: No such file"),
        ("ld: cannot find -lgsl\n\n", "ld: cannot find -lgsl"),
        ("", "it says nothing"),
    ],
)
def test_the_first_error_of_a_compiler_is_found(errors: str, line: str) -> None:
    assert standalone.first_error(errors) == line


@pytest.mark.parametrize("name", ["", " ", "no_such_compiler -m32"])
def test_a_compiler_that_is_named_and_not_there_is_passed_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    otherwise = standalone.compiler()
    monkeypatch.setenv("CXX", name)
    assert standalone.compiler() == otherwise


def test_options_of_the_compiler_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", f"{shlex.quote(sys.executable)} -m 'two words'")
    assert shlex.split(standalone.compiler() or "") == [sys.executable, "-m", "two words"]


def test_a_program_that_fails_says_with_what(tmp_path: Path) -> None:
    executable(tmp_path / "main", "print('a line'); print('no memory'); raise SystemExit(7)")
    (tmp_path / "results").mkdir()
    with pytest.raises(RunError, match=r"ended with exit code 7\. no memory"):
        standalone.execute({}, program=tmp_path, results=tmp_path / "results", seed=1, watch=lambda: None)
