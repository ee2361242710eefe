"""What a spiking run spends, in its record: spikes of each population by mode, those of shared cells once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.cli import main
from neuromirror.record.activity import of_all_cells

SCHEDULE = (
    'schedule=[{mode="mirror", duration="200 ms"}, {mode="engaged", duration="200 ms"}, {mode="mirror", examples=40}]'
)
MIRROR = 'schedule=[{mode="mirror", duration="200 ms"}]'
SHARED = ['populations.d0.shares="y0"', 'populations.d1.shares="y1"', 'projections.x0.delay="0 s"', MIRROR]


def test_spikes_by_mode_are_those_of_the_files(tmp_path: Path) -> None:
    run = nm.run(nm.load("figure1", [SCHEDULE]), target="numpy", out=tmp_path / "run", figures=False)
    summary = run.manifest.summary
    spent_s = {"mirror": 0.3, "engaged": 0.2}
    assert set(run.spikes_by_mode()) == set(spent_s)
    for name, entry in run.manifest.populations.items():
        t_s = run.spikes(name).t_s + 0.25e-3
        awake = int(np.sum((t_s > 0.2) & (t_s < 0.4)))
        expected = {"engaged": awake, "mirror": len(t_s) - awake}
        assert {mode: of_mode[name] for mode, of_mode in run.spikes_by_mode().items()} == expected
        assert summary["spikes"][name] == len(t_s)
        for mode, spikes in expected.items():
            rate_Hz = spikes / (entry["size"] * spent_s[mode])
            assert run.mean_rates_Hz()[mode][name] == summary["mean_rates_Hz"][mode][name] == pytest.approx(rate_Hz)
    manifest = json.loads((run.path / "manifest.json").read_text())
    for key in ("spikes_by_mode", "mean_rates_Hz"):  # as of a version that did not count them
        del manifest["summary"][key]
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    assert nm.open_run(run.path).spikes_by_mode() == run.spikes_by_mode()


def test_shared_cells_spike_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nm.load("figure1", SHARED).save(tmp_path / "shared.toml")
    command = ["run", str(tmp_path / "shared.toml"), "--target", "numpy", "--no-figures", "--json"]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--out", str(tmp_path / "run")])
    assert stopped.value.code == 0
    run, printed = nm.open_run(tmp_path / "run"), capsys.readouterr().out.splitlines()
    (of_mode,) = run.spikes_by_mode().values()
    assert run.shared_cells == {"d0": "y0", "d1": "y1"}
    assert of_mode["d0"] == of_mode["y0"] > 0
    spikes = len(run.spikes("y0")) + len(run.spikes("y1"))
    assert of_all_cells(of_mode, run.shared_cells) == spikes
    assert json.loads(printed[-1])["shared_cells"] == run.shared_cells
    assert f"seed 0  spikes: {spikes} in mirror mode ({spikes / (5 * 0.2):.1f} Hz a cell)" in printed


def test_rates_have_no_spikes_to_count(tmp_path: Path) -> None:
    run = nm.run(nm.load("figure1", [SCHEDULE]), backend="reference", out=tmp_path / "run", figures=False)
    assert "spikes_by_mode" not in run.manifest.summary
    with pytest.raises(nm.RequestError, match="no spikes in this run"):
        run.spikes_by_mode()
