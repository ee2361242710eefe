"""Runs that reach their end and have come to nothing say so: in the record, in Python, and in every command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import neuromirror as nm
from experiments.tiny_nets import dense_tables
from neuromirror.cli import main
from neuromirror.notices import told_by

SHRINKING = (
    "projections.B1.weight={init='normal', gain=500.0}",
    "rules.mirror.updater={rate=1.0, decay=0.5}",
    "schedule=[{mode='mirror', examples=600}]",
)
EXPECTED = "the norm of B1 went from "


def simulate(path: Path, *changes: str, backend: str = "torch", **options: object) -> nm.Run:
    """Run Figure 1 with changes."""
    return nm.run(nm.load("figure1", changes), backend=backend, out=path, figures=False, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_a_run_warns_in_python_and_keeps_what_it_warned_of(backend: str, tmp_path: Path) -> None:
    with pytest.warns(nm.NeuromirrorWarning, match=EXPECTED):
        run = simulate(tmp_path / "run", *SHRINKING, backend=backend)
    assert any(text.startswith(EXPECTED) for text in run.warnings)
    assert nm.open_run(run.path).warnings == run.warnings


def test_every_command_shows_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = [part for change in SHRINKING for part in ("--set", change)]
    arguments = ["run", "figure1", "--backend", "torch", "--no-figures", "--out", str(tmp_path / "run"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *options])
    output = capfd.readouterr()
    assert ended.value.code == 0
    assert f"warning: {tmp_path / 'run'}: {EXPECTED}" in output.err
    assert json.loads(output.out.splitlines()[-1])["warnings"] == list(nm.open_run(tmp_path / "run").warnings)
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "run")])
    assert f"warning: {tmp_path / 'run'}: {EXPECTED}" in capfd.readouterr().out


def test_a_sweep_counts_the_runs_that_warned(tmp_path: Path) -> None:
    vary = {"projections.B1.weight.gain": [1.0, 500.0]}
    circuit = nm.load("figure1", [*SHRINKING[1:]])
    with pytest.warns(nm.NeuromirrorWarning, match=r"1 of 2 runs ended with warnings.*the norm of B1 went"):
        swept = nm.sweep(circuit, vary, backend="torch", out=tmp_path / "sweep")
    kept = json.loads((swept.path / "sweep.json").read_text())["runs"]
    assert [bool(run["warnings"]) for run in kept] == [False, True]


def test_a_sweep_says_which_variations_made_no_difference(tmp_path: Path) -> None:
    """Torch reads no constants of spiking cells; those that differ in what it reads are not said to be alike."""
    circuit = nm.load("figure1", ["schedule=[{mode='mirror', duration='1 s'}]"])
    vary = {"cells.cell.tau_m": ["10 ms", "20 ms"], "modes.mirror.noise.y0.sd": [1.0, 2.0]}
    with pytest.warns(nm.NeuromirrorWarning, match="the runs of .* ended with the same results, bit for bit") as told:
        swept = nm.sweep(circuit, vary, seeds=2, backend="torch", out=tmp_path / "sweep")
    alike = [[f"tau_m={tau},sd={sd}" for tau in ("10ms", "20ms")] for sd in ("1.0", "2.0")]
    assert swept.alike() == json.loads((swept.path / "sweep.json").read_text())["alike"] == alike
    assert sum("same results" in str(one.message) for one in told) == 2
    weights = swept.path / "tau_m=10ms,sd=1.0" / "seed-1" / "weights" / "0000000000" / "B.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")  # where no row of the metrics differs
    assert swept.alike() == alike[1:]


def test_spiking_runs_tell_of_angles_silence_and_rates_off_the_baseline(tmp_path: Path) -> None:
    short = "schedule=[{mode='mirror', duration='1 s'}]"
    beyond = simulate(tmp_path / "beyond", short, "code.beta=0.01 Hz", backend="brian2", target="numpy")
    assert any(text.startswith("y0 fired at ") and "code.beta is 0.01 Hz" in text for text in beyond.warnings)
    below = "cells.cell.default_bias='5 mV'", "cells.cell.noise='4 mV'", "modes.mirror.noise.y0.sd=0.01"
    silent = simulate(tmp_path / "silent", short, *below, backend="brian2", target="numpy")
    assert any("cells of y0 never fired in 1 s of mirror mode" in text for text in silent.warnings)
    assert any("cells of y1 fired in mirror mode at nearly the 400 Hz" in text for text in silent.warnings)
    assert any(text.startswith("y0 fired at ") and "code.beta is 100 Hz" in text for text in silent.warnings)


def test_shipped_circuits_end_without_a_warning(tmp_path: Path) -> None:
    short = ["schedule.0.duration=1 s", "schedule.1.duration=0.5 s"]
    spikes = simulate(tmp_path / "spikes", *short, backend="brian2", target="numpy", points=4)
    rates = simulate(tmp_path / "rates", *short)
    pairs = nm.run(nm.load("figure1_push_pull", short), backend="torch", out=tmp_path / "pairs", figures=False)
    assert spikes.warnings == rates.warnings == pairs.warnings == ()


def test_a_dead_layer_of_a_rate_run_is_told_of(tmp_path: Path) -> None:
    dead = ("code={kind='zero_mean'}", "populations.y1.bias={init='constant', value=-100.0}")
    run = simulate(tmp_path / "run", *dead, "schedule=[{mode='engaged', examples=100}]")
    assert any(text.startswith("no signal of y1 was above zero in engaged mode") for text in run.warnings)


def test_trainings_tell_of_it_too(tmp_path: Path) -> None:
    tables = dense_tables()
    tables["populations"]["y1"]["bias"] = {"init": "constant", "value": -1000.0}
    with pytest.warns(nm.NeuromirrorWarning, match="no cell of y1 fires for any of 32 images"):
        run = nm.train(nm.Circuit(tables), out=tmp_path / "run", train_images=100, test_images=50, figures=False)
    assert nm.open_run(run.path).warnings == run.warnings


def test_spiking_trainings_tell_of_it_too(tmp_path: Path) -> None:
    changes = {"layers.sizes": [64, 4, 10], "feedback.skip": ["W1"], "modes.engaged.compare": {"d2": "y2 - target"}}
    changes |= {"cells.cell.default_bias": "-20 mV", "training.epochs": 1, "training.mirror_epochs": 0}
    changes |= {"training.mirror_every": 10, "training.mirror_examples": 100}
    settings = {"train_images": 10, "test_images": 2, "figures": False, "target": "numpy"}
    told = list[str]()
    with told_by(told.append):  # pytest would make errors of the warnings of what Brian2 imports
        nm.train(nm.load("digits_narrow").with_values(changes), backend="brian2", out=tmp_path / "run", **settings)
    assert any("the norm of B2 went from " in text for text in told), told
    assert any("B2 learned to mirror W2, and ends at " in text for text in told)
