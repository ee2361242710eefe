"""Parameters that differ from cell to cell of a spiking population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.brian2.cells import cell_values
from neuromirror.backends.brian2.layout import Layout
from neuromirror.circuit.circuit import Circuit
from neuromirror.plan import make_plan

VARIED = {
    "tau_m": ["12 ms", "20 ms", "35 ms"],
    "tau_syn": ["4 ms", "6 ms", "20 ms"],
    "refractory": ["0 ms", "2 ms", "4 ms"],
    "v_rest": ["-72 mV", "-70 mV", "-65 mV"],
    "v_reset": ["-75 mV", "-70 mV", "-60 mV"],
    "v_threshold": ["-54 mV", "-50 mV", "-45 mV"],
    "noise": ["2 mV", "6 mV", "9 mV"],
    "default_bias": ["10 mV", "calibrate", "30 mV"],
}


def values(circuit: Circuit) -> dict[str, np.ndarray]:
    plan = make_plan(circuit, 0, "brian2")
    found = cell_values(layout := Layout(plan, plan.description.time.dt.s), plan)
    return {name: np.asarray(array)[layout.cells("y0")] for name, array in found.items()}


@pytest.mark.parametrize("names", [*([name] for name in VARIED), list(VARIED)], ids="+".join)
def test_each_cell_is_a_cell_of_a_kind_with_its_own_values(names: list[str]) -> None:
    given = {name: VARIED[name] for name in names}
    varied = values(nm.load("figure1").with_values({"populations.y0.parameters": given}))
    for index in range(3):
        kind = {f"cells.cell.{name}": choices[index] for name, choices in given.items()}
        alike = values(nm.load("figure1").with_values(kind))
        for name in set(varied) - {"b"}:
            assert varied[name][index] == alike[name][index], name


def test_calibrated_cells_fire_at_the_baseline_whatever_differs(tmp_path: Path) -> None:
    """60 cells for 20 s: each count is about 2 000, of a standard deviation below 45 (Poisson)."""
    rng = np.random.default_rng(0)
    parameters = {
        "tau_m": [f"{x} ms" for x in rng.uniform(10, 40, 60)],
        "refractory": [f"{x} ms" for x in rng.uniform(0, 5, 60)],
        "v_threshold": [f"{x} mV" for x in rng.uniform(-55, -45, 60)],
        "noise": [f"{x} mV" for x in rng.uniform(2, 9, 60)],
    }
    circuit = Circuit(
        {
            "name": "varied",
            "code": {"kind": "baseline", "beta": "100 Hz"},
            "cells": {"cell": {"noise": "8 mV"}},
            "populations": {"y0": {"path": "forward", "layer": 0, "shape": [60], "cell": "cell"}},
            "modes": {"rest": {}},
            "schedule": [{"mode": "rest", "duration": "20 s"}],
            "time": {"dt": "0.1 ms"},
        }
    )
    fixed = circuit.with_values({"cells.cell.default_bias": "26 mV", "populations.y0.parameters": parameters})
    free = circuit.with_values({"populations.y0.parameters": parameters})
    rates = {}
    for name, one in (("fixed", fixed), ("free", free)):
        run = nm.run(one, target="cpp_standalone", points=1, out=tmp_path / name, figures=False)
        rates[name] = np.bincount(run.spikes("y0").cell, minlength=60) / 20
    assert np.abs(rates["free"] / 100 - 1).max() < 0.12
    assert abs(rates["free"].mean() / 100 - 1) < 0.02
    assert np.ptp(rates["fixed"]) > 40


def test_rates_do_not_depend_on_what_spiking_cells_are(tmp_path: Path) -> None:
    plain = nm.load("figure1", ['schedule=[{mode="mirror", examples=100}]'])
    varied = plain.with_values({"populations.y0.parameters": VARIED})
    assert varied.sha256 != plain.sha256
    runs = [nm.run(one, backend="torch", out=tmp_path / one.sha256, figures=False) for one in (plain, varied)]
    np.testing.assert_array_equal(runs[0].weights("B1"), runs[1].weights("B1"))


def test_the_parameters_come_back_from_a_file(tmp_path: Path) -> None:
    varied = nm.load("figure1").with_values({"populations.y0.parameters": VARIED})
    assert nm.load(varied.save(tmp_path / "varied.toml")).sha256 == varied.sha256


def test_a_value_without_its_unit_is_refused_by_itself() -> None:
    parameters = {"tau_m": ["20 ms", "21", "22 ms"]}
    (problem,) = nm.load("figure1").with_values({"populations.y0.parameters": parameters}).problems()
    assert problem.path == "populations.y0.parameters.tau_m.1"
    assert "'21' is not a number with a unit" in problem.message
