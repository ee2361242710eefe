"""The cost of plasticity is taken of programs that differ in nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import bench_plasticity
from experiments.section import section
from neuromirror.backends.brian2.standalone import compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")


def test_programs_differ_in_plasticity_and_counters_alone(tmp_path: Path) -> None:
    sources = {}
    for kind in ("still", "plastic", "normalised"):
        bench_plasticity.build(
            section(4, 4, "200 ms", changes=bench_plasticity.KINDS[kind]), tmp_path / kind, running_s=0.1
        )
        sources[kind] = (tmp_path / kind / "joined.cpp").read_text()
    plastic = section(4, 4, "200 ms", changes=bench_plasticity.SETTING)
    bench_plasticity.build(plastic, tmp_path / "uncounted", running_s=0.1, count_clipping=False)
    sources["uncounted"] = (tmp_path / "uncounted" / "joined.cpp").read_text()
    learns = {kind: "void _run_learn_weights_B1" in source for kind, source in sources.items()}
    assert learns == {"still": False, "plastic": True, "normalised": True, "uncounted": True}
    scales = {kind: "void _run_normalise_0_0" in source for kind, source in sources.items()}
    assert scales == {"still": False, "plastic": False, "normalised": True, "uncounted": False}
    counts = {kind: "asked +=" in source for kind, source in sources.items()}
    assert counts == {"still": True, "plastic": True, "normalised": True, "uncounted": False}
    costs = bench_plasticity.timed({kind: tmp_path / kind for kind in sources}, rounds=2)
    assert all(len(times) == 2 and min(times) > 0 for times in costs.values())
