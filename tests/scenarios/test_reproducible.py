"""The same circuit, seed, target and versions give the same record, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.base import Options

SHORT = [
    'schedule=[{mode="mirror", duration="500 ms"}, {mode="engaged", duration="500 ms"}, {mode="mirror", examples=80}]'
]
WAYS = [
    ("brian2", "numpy"),
    ("brian2", "cpp_standalone"),
    ("torch", "auto"),
    ("brian2-rate", "auto"),
    ("reference", "auto"),
]
DRAWN = ("numpy",)
"""Targets with figures: these read the record alone, which all others have like it."""


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of every file of a record, but for what may differ: times and dates."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "timings.json"):
        content = file.read_bytes()
        if file.name == "manifest.json":
            manifest = json.loads(content)
            del manifest["invocation"]
            content = json.dumps(manifest).encode()
        found[str(file.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def shuffled(value: Any, order: random.Random) -> Any:
    """Return a value with the keys of all its tables in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        order.shuffle(items)
        return {key: shuffled(item, order) for key, item in items}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A backend, a target, and the record of seed 7 there."""
    backend, target = request.param
    out = tmp_path_factory.mktemp("once") / "run"
    nm.run(nm.load("figure1", SHORT), backend=backend, target=target, seed=7, out=out, figures=target in DRAWN)
    return backend, target, out


def test_the_same_seed_gives_the_same_record_in_any_order_of_keys(once: tuple[str, str, Path], tmp_path: Path) -> None:
    backend, target, first = once
    circuit = nm.Circuit(shuffled(tomllib.loads(nm.load("figure1", SHORT).to_toml()), random.Random(1)))
    nm.run(circuit, backend=backend, target=target, seed=7, out=tmp_path / "shuffled", figures=target in DRAWN)
    expected = digests(first)
    assert any(name.endswith(".png") for name in expected) == (target in DRAWN)
    assert ("spikes/y0-0000.npz" in expected) == (backend == "brian2")
    assert digests(tmp_path / "shuffled") == expected


def test_a_seed_among_several_gives_the_record_that_it_gives_alone(once: tuple[str, str, Path], tmp_path: Path) -> None:
    backend, target, first = once
    circuit, options = nm.load("figure1", SHORT), Options(target=target)
    nm.run_seeds(circuit, backend=backend, seeds=[8, 7], options=options, out=tmp_path / "both", figures=False)
    alone = {name: digest for name, digest in digests(first).items() if not name.startswith("figures/")}
    assert digests(tmp_path / "both" / "seed-7") == alone
    assert digests(tmp_path / "both" / "seed-8") != alone


def test_the_level_of_optimisation_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = nm.load("figure1", SHORT)
    for level, running_s in (("O0", 0.1), ("O3", 100.0)):
        monkeypatch.setattr("neuromirror.backends.brian2.programs.running_s", lambda _, s=running_s: s)
        nm.run(circuit, target="cpp_standalone", out=tmp_path / level, figures=False)
    assert digests(tmp_path / "O0") == digests(tmp_path / "O3")


def test_what_a_mode_does_not_teach_is_bit_identical_after_it(once: tuple[str, str, Path]) -> None:
    run = nm.open_run(once[2])
    steps = run.weight_steps()
    learned = {"mirror": {"B1"}, "engaged": {"W1", "y1.bias"}}
    for phase, (before, after) in zip(run.manifest.phases, pairwise(steps), strict=True):
        for name in ("B1", "W1", "y1.bias"):
            same = np.array_equal(run.weights(name, before), run.weights(name, after))
            assert same == (name not in learned[phase["mode"]]), (phase, name)


@pytest.mark.parametrize(("target", "duration_s"), [("numpy", 60), ("cpp_standalone", 2000)])
def test_ctrl_c_keeps_what_has_been_simulated(target: str, duration_s: int, tmp_path: Path) -> None:
    length = f'schedule=[{{mode="mirror", duration="{duration_s} s"}}]'
    command = ["run", "figure1", "--target", target, "--out", "run", "--no-figures", "--set", length]
    with subprocess.Popen(
        [sys.executable, "-m", "neuromirror", *command],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as program:
        assert program.stderr is not None
        assert any(line.startswith(" 10%") for line in iter(program.stderr.readline, ""))
        os.killpg(program.pid, signal.SIGINT)
        _, said = program.communicate(timeout=120)
    assert program.returncode == 130, said
    assert "saved in run" in said
    goes_on = "go on with: neuromirror run --resume run"
    assert ("it cannot be resumed, since standalone programs keep no state" if target != "numpy" else goes_on) in said
    run = nm.open_run(tmp_path / "run")
    reached_s = run.times_s()[-1]
    assert not run.manifest.complete
    assert 0 < reached_s < duration_s
    assert run.spikes("y0").t_s[-1] == pytest.approx(reached_s, abs=2 * duration_s / 200)
    assert run.weight_steps()[-1] == run.metrics()[-1]["examples"]
