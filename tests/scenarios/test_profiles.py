"""A profiler's trace of a few steps: it names what a step consists of, and changes nothing of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import neuromirror as nm
from experiments.tiny_nets import tiny
from neuromirror.errors import NeuromirrorError
from neuromirror.training.forks import differences
from neuromirror.training.profiling import WARM_UP
from neuromirror.training.settings import Settings

SMALL: dict[str, Any] = {"train_images": 100, "test_images": 50, "figures": False, "device": "cpu"}
"""Five steps to an epoch."""


def named(trace: Path) -> dict[str, int]:
    """Return how often each label is in a trace."""
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    labels = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    return {label: labels.count(label) for label in ("load", "forward", "backward", "update", "mirror")}


def test_a_trace_names_the_parts_of_a_step_and_changes_no_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    circuit = tiny(epochs=3, mirror_epochs=1)
    plain = nm.train(circuit, method="wm", out=tmp_path / "plain", **SMALL)
    assert capsys.readouterr().err == ""
    profiled = nm.train(circuit, method="wm", out=tmp_path / "profiled", profile_steps=2, **SMALL)
    assert (profiled.path / "metrics.jsonl").read_bytes() == (plain.path / "metrics.jsonl").read_bytes()
    for weights in sorted((plain.path / "weights").rglob("*.safetensors")):
        assert (profiled.path / weights.relative_to(plain.path)).read_bytes() == weights.read_bytes()
    (trace,) = (profiled.path / "profile").iterdir()
    assert trace.name == f"steps-from-{5 + WARM_UP + 1:010d}.json"
    assert named(trace) == {"load": 2, "forward": 4, "backward": 4, "update": 2, "mirror": 2}
    said = capsys.readouterr().err
    assert str(trace) in said
    assert "aten::convolution" in said
    assert not (plain.path / "profile").exists()


def test_steps_of_mirroring_alone_are_traced_where_there_are_no_others(tmp_path: Path) -> None:
    run = nm.train(tiny(epochs=1, mirror_epochs=1), method="wm", out=tmp_path / "run", profile_steps=1, **SMALL)
    (trace,) = (run.path / "profile").iterdir()
    assert named(trace) == {"load": 0, "forward": 0, "backward": 0, "update": 0, "mirror": 1}


def test_a_run_that_ends_too_early_keeps_what_was_traced_or_says_that_nothing_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = nm.train(tiny(epochs=1, mirror_epochs=0), method="bp", out=tmp_path / "run", profile_steps=9, **SMALL)
    (trace,) = (run.path / "profile").iterdir()
    assert named(trace)["update"] == 5 - WARM_UP
    short = tiny(epochs=1, mirror_epochs=0, steps=WARM_UP)
    run = nm.train(short, method="bp", out=tmp_path / "short", profile_steps=1, **SMALL)
    assert not list(run.path.rglob("profile/*.json"))
    assert "--profile-steps: the run ended within the 3 steps of warming up." in capsys.readouterr().err


def test_a_run_goes_on_with_a_profile_or_without(tmp_path: Path) -> None:
    run = nm.train(tiny(epochs=1), method="bp", out=tmp_path / "run", **SMALL)
    circuit = nm.load(run.path / "circuit.toml")
    settings = {name: value for name, value in SMALL.items() if name != "figures"}
    assert not list(differences(run.path, circuit, 0, Settings(method="bp", profile_steps=4, **settings)))
    assert list(differences(run.path, circuit, 0, Settings(method="bp", bf16=True, **settings)))


def test_a_profile_is_refused_where_it_is_none(tmp_path: Path) -> None:
    with pytest.raises(NeuromirrorError, match="--profile-steps -1: expected 0 or more"):
        nm.train(tiny(), out=tmp_path / "run", profile_steps=-1, **SMALL)
    with pytest.raises(NeuromirrorError, match="profile-steps"):
        nm.train("digits_narrow", backend="brian2", out=tmp_path / "run", profile_steps=2)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
