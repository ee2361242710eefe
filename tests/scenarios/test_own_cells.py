"""Spiking cells of a user's own: the equations given are those that run, and what Brian2 refuses is located."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
import pytest

import neuromirror as nm
from neuromirror.backends.base import Options
from neuromirror.backends.brian2.own_steps import too_long_step
from neuromirror.backends.brian2.quantities import quantity
from neuromirror.backends.brian2.standalone import compiler
from neuromirror.circuit.circuit import Circuit
from neuromirror.dynamics.neurons import LIF
from neuromirror.errors import CircuitError

compiled = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
LEAKY = LIF(tau_m_s=0.02, refractory_s=0.002, reset_V=0.0, threshold_V=0.02, noise_V=0.008)
BIAS_V = LEAKY.bias_V(100.0, 5e-4)
OWN_LIF = {
    "model": "custom",
    "equations": "dv/dt = (drive - v)/tau + sigma*sqrt(2/tau)*xi : volt (unless refractory)",
    "threshold": "v > theta",
    "reset": "v = 0*mV",
    "constants": {"tau": "20 ms", "sigma": "8 mV", "theta": "20 mV"},
    "start": {"v": ["0 mV", "20 mV"]},
    "tau_syn": "8 ms",
    "default_bias": f"{BIAS_V} V",
    "unit_current": f"{25 / LEAKY.slope_Hz_per_V(BIAS_V, 5e-4)} V",
}


def own_lif(**changes: Any) -> dict[str, Any]:
    """Give the cell with other texts, and of its constants those that they name."""
    cell = {**OWN_LIF, **changes}
    texts = " ".join(cell[field] for field in ("equations", "threshold", "reset"))
    named = {name: value for name, value in OWN_LIF["constants"].items() if re.search(rf"\b{name}\b", texts)}
    return {**cell, "constants": changes.get("constants", named)}


IZHIKEVICH = {
    "model": "custom",
    "equations": """
        dv/dt = (0.04*v**2/mV + 5*v + 140*mV - u + drive)/ms + sigma*xi/ms**0.5 : volt
        du/dt = a*(b*v - u) : volt
    """,
    "threshold": "v > 30*mV",
    "reset": "v = c; u += d",
    "constants": {"a": "0.1/ms", "b": 0.2, "c": "-65 mV", "d": "2 mV", "sigma": "1 mV"},
    "start": {"v": ["-70 mV", "-50 mV"], "u": "-13 mV"},
    "refractory": "0 ms",
    "tau_syn": "8 ms",
    "default_bias": "9.1 mV",
    "unit_current": "1.74 mV",
}
W = np.array([[1.2, 0.1, -0.6], [-0.5, 0.9, 0.3]])


def figure1(seconds: float = 10.0, **cells: Any) -> Circuit:
    """Give Figure 1 in mirror mode, from B = 0; the kinds of populations may be given by name."""
    changes: dict[str, Any] = {f"cells.{name}": kind for name, kind in cells.items()}
    changes |= {
        "projections.W1.weight": {"init": "values", "values": W},
        "projections.B1.weight": {"init": "constant"},
        "schedule": [{"mode": "mirror", "duration": f"{seconds} s"}],
    }
    return nm.load("figure1").with_values(changes)


def simulate(circuit: Circuit, folder: Path, target: str = "numpy", seed: int = 3) -> nm.Run:
    return nm.run(circuit, target=target, seed=seed, points=1, out=folder, figures=False)


def alone(cell: dict[str, Any], cells: int = 1, seconds: float = 0.5) -> Circuit:
    """Give cells that nothing reaches but their default bias."""
    return Circuit(
        {
            "name": "alone",
            "code": {"kind": "baseline", "beta": "100 Hz"},
            "cells": {"cell": cell},
            "populations": {"y0": {"path": "forward", "layer": 0, "shape": [cells], "cell": "cell"}},
            "modes": {"rest": {}},
            "schedule": [{"mode": "rest", "duration": f"{seconds} s"}],
        }
    )


@pytest.mark.parametrize("target", ["numpy", "cpp_standalone"])
@pytest.mark.parametrize("refractory", ["0 ms", "3 ms"])
def test_spikes_are_those_of_brian2_itself(target: str, refractory: str, tmp_path: Path) -> None:
    """The same equations in a group of their own, without noise, at the same drive."""
    equations = """
        dv/dt = (g*(E - v)/nS + drive + I/nA*mV)/tau : volt (unless refractory)
        dw/dt = -w/(50*ms) : 1
        I = -w*nA : amp
        g : siemens
    """
    threshold, reset = "v > 15*mV + w*mV", "v = 2*mV\nw += 0.5"
    constants = {"tau": "12 ms", "E": "-3 mV"}
    own = {
        **{"model": "custom", "equations": equations, "threshold": threshold, "reset": reset, "constants": constants},
        **{
            "start": {"v": "1 mV", "g": "1 nS"},
            "refractory": refractory,
            "default_bias": "40 mV",
            "unit_current": "2 mV",
        },
    }
    run = simulate(alone(own), tmp_path / "run", target)
    b2.set_device("runtime")
    b2.prefs.codegen.target = "numpy"
    clock = b2.Clock(0.5 * b2.ms)
    wait = quantity(refractory) + (0.5 * b2.ms if refractory != "0 ms" else 0 * b2.ms)
    group = b2.NeuronGroup(
        1,
        equations + "\ndrive : volt",
        threshold=threshold,
        reset=reset,
        refractory=wait,
        method="euler",
        clock=clock,
        namespace={name: quantity(text) for name, text in constants.items()},
    )
    group.v, group.g, group.drive = 1 * b2.mV, 1 * b2.nS, 40 * b2.mV
    spikes = b2.SpikeMonitor(group)
    b2.Network(group, spikes).run(0.5 * b2.second)
    expected = np.rint(np.asarray(spikes.t / b2.ms) / 0.5)
    assert len(expected) > 10
    np.testing.assert_array_equal(np.rint(run.spikes("y0").t_s / 0.0005), expected)


def test_leaky_cells_of_ones_own_are_leaky_cells(tmp_path: Path) -> None:
    """60 cells for 10 s: the standard error of a mean rate is below 0.4 Hz (Poisson)."""
    run = simulate(alone(OWN_LIF, 60, 10.0), tmp_path / "run", "cpp_standalone")
    assert len(run.spikes("y0")) / 600 == pytest.approx(LEAKY.rate_Hz(BIAS_V, 5e-4), rel=0.04)


@pytest.mark.parametrize("kind", [OWN_LIF, IZHIKEVICH], ids=["lif", "izhikevich"])
def test_b_mirrors_w_through_cells_of_ones_own(kind: dict[str, Any], tmp_path: Path) -> None:
    run = simulate(figure1(cell=kind), tmp_path / "run", "cpp_standalone")
    assert nm.measure.angle_deg(run.weights("B1"), W) < 20.0
    for forward, feedback, cells in (("y0", "d0", 3), ("y1", "d1", 2)):
        counts = [np.bincount(run.spikes(name).cell, minlength=cells) for name in (forward, feedback)]
        np.testing.assert_allclose(counts[0], counts[1], rtol=0.02)
        assert 70 < counts[0].mean() / 10 < 130


def test_kinds_mix(tmp_path: Path) -> None:
    """Cells of two kinds of one's own, and leaky ones, do each what they do among their like."""
    kinds = {"cell": {"noise": "8 mV", "tau_syn": "8 ms"}, "a": OWN_LIF, "b": IZHIKEVICH}
    populations = {
        name: {"path": "forward", "layer": 0, "shape": [40], "cell": cell}
        for name, cell in (("y0", "cell"), ("y1", "a"), ("y2", "b"))
    }
    together = alone(OWN_LIF, 40, 4.0).with_values({"cells": kinds, "populations": populations})
    run = simulate(together, tmp_path / "together")
    for name, cell in (("y0", "cell"), ("y1", "a"), ("y2", "b")):
        apart = simulate(alone(kinds[cell], 40, 4.0), tmp_path / name)
        rates = [len(one.spikes(population)) / 160 for one, population in ((run, name), (apart, "y0"))]
        assert rates[0] == pytest.approx(rates[1], rel=0.04)
        assert rates[0] == pytest.approx(100, rel=0.12)


def test_feedback_cells_may_be_of_another_kind(tmp_path: Path) -> None:
    circuit = figure1(own=IZHIKEVICH).with_values({"populations.y0.cell": "own", "populations.y1.cell": "own"})
    run = simulate(circuit, tmp_path / "run", "cpp_standalone")
    assert nm.measure.angle_deg(run.weights("B1"), W) < 20.0


def test_seeds_draw_their_own_starts(tmp_path: Path) -> None:
    still = {**OWN_LIF, "constants": {**OWN_LIF["constants"], "sigma": "0 mV"}, "default_bias": "25 mV"}
    circuit = alone(still, 20, 0.1)
    compiled = nm.run_seeds(
        circuit, seeds=[0, 1], options=Options(target="cpp_standalone", points=1), out=tmp_path / "c", figures=False
    )
    here = [simulate(circuit, tmp_path / f"here{seed}", seed=seed) for seed in (0, 1)]
    for one, other in zip(compiled, here, strict=True):
        np.testing.assert_array_equal(one.spikes("y0").t_s, other.spikes("y0").t_s)
    assert not np.array_equal(here[0].spikes("y0").t_s, here[1].spikes("y0").t_s)
    assert len({*here[0].spikes("y0").t_s[:20]}) > 5


def test_values_may_differ_from_cell_to_cell(tmp_path: Path) -> None:
    biases = [f"{x} mV" for x in (15, 22, 30, 60)]
    still = {**OWN_LIF, "constants": {**OWN_LIF["constants"], "sigma": "0.1 mV"}}
    circuit = alone(still, 4).with_values({"populations.y0.parameters": {"default_bias": biases}})
    counts = np.bincount(simulate(circuit, tmp_path / "run").spikes("y0").cell, minlength=4)
    assert counts[0] == 0
    assert (np.diff(counts) > 3).all()


def test_rates_do_not_depend_on_it(tmp_path: Path) -> None:
    changes = {"schedule": [{"mode": "mirror", "examples": 100}]}
    circuits = [one.with_values(changes) for one in (figure1(), figure1(cell=IZHIKEVICH))]
    assert circuits[0].sha256 != circuits[1].sha256
    runs = [nm.run(one, backend="torch", out=tmp_path / one.sha256, figures=False) for one in circuits]
    np.testing.assert_array_equal(runs[0].weights("B1"), runs[1].weights("B1"))
    assert nm.load(runs[1].path / "circuit.toml").sha256 == circuits[1].sha256


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "says"),
    [
        ({"equations": "dv/dt = (drive - v)/tau"}, "equations", "Brian2 says: "),
        ({"equations": "dv/dt = (drive - v) : volt"}, "equations", "Brian2 says: "),
        ({"equations": "dv/dt = (drive - v)/taum : volt"}, "equations", "taum"),
        ({"equations": "dv/dt = (drive - v)/tau + v*xi/tau**0.5 : volt"}, "equations", "Brian2 says: "),
        ({"equations": "dv/dt = (10*mV - v)/tau : volt"}, "equations", "nothing reaches the cell"),
        ({"equations": "dx/dt = (drive - x)/tau : volt", "reset": "x = 0*mV", "start": {}}, "equations", "no dv/dt"),
        ({"equations": "dv/dt = (drive - v)/tau : volt\ndrive : volt"}, "equations", "do not declare it"),
        ({"threshold": "v > 3"}, "threshold", "Brian2 says: "),
        ({"threshold": "w > 20*mV"}, "threshold", "w"),
        ({"threshold": "v >"}, "threshold", "Brian2 says: "),
        ({"threshold": "v + 3*mV"}, "threshold", "Brian2 says: "),
        ({"reset": "v = 3"}, "reset", "Brian2 says: "),
        ({"reset": "v == 3*mV"}, "reset", "is no statement such as"),
        ({"reset": "w = 3*mV"}, "reset", "no variable 'w'"),
        ({"constants": {**OWN_LIF["constants"], "tau": "20 parsecs"}}, "constants.tau", "'parsecs' is no unit"),
        ({"constants": {**OWN_LIF["constants"], "tau": "open('x')"}}, "constants.tau", "is no number with a unit"),
        ({"constants": {**OWN_LIF["constants"], "v": "20 ms"}}, "constants.v", "declare 'v' too"),
        ({"start": {"v": ["0 mV", "20 ms"]}}, "start.v", "'20 ms' has not the unit of v"),
        ({"start": {"w": "0 mV"}}, "start.w", "no variable 'w'"),
    ],
)
def test_what_brian2_refuses_is_an_error_in_its_place(
    changes: dict[str, Any], path: str, says: str, tmp_path: Path
) -> None:
    circuit = figure1(cell=own_lif(**changes))
    assert circuit.problems("brian2") == ()
    with pytest.raises(CircuitError) as refused:
        simulate(circuit, tmp_path / "run")
    (problem,) = refused.value.problems
    assert problem.name == "custom-equations"
    assert problem.path == f"cells.cell.{path}"
    assert says in problem.message
    assert not (tmp_path / "run").exists()


def test_the_command_line_says_where_without_a_traceback(tmp_path: Path) -> None:
    file = figure1(cell=own_lif(threshold="v > 3")).save(tmp_path / "mine.toml")
    line = 1 + next(n for n, text in enumerate(file.read_text().splitlines()) if text.startswith("threshold"))
    command = [sys.executable, "-m", "neuromirror", "run", str(file), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"mine.toml:{line}  cells.cell.threshold: Brian2 says: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("20 ms", 0.02, b2.second),
        ("-65 mV", -0.065, b2.volt),
        ("0.02/ms", 20.0, 1 / b2.second),
        ("1e-3 /mV", 1.0, 1 / b2.volt),
        ("10 nS/cm**2", 1e-4, b2.siemens / b2.meter**2),
        ("2*(3 + 1)", None, None),
        (0.2, 0.2, 1),
        ("0.2", 0.2, 1),
        ("ms", 0.001, b2.second),
        ("20", 20.0, 1),
        ("20 ms ms", None, None),
        ("True", None, None),
        ("1/0", None, None),
        ("", None, None),
    ],
)
def test_constants_with_units(text: str | float, value: float | None, unit: Any) -> None:
    if value is None:
        with pytest.raises(ValueError, match=r"Expected such as|is no"):
            quantity(text)
    else:
        found = quantity(text)
        assert b2.have_same_dimensions(found, unit)
        assert float(np.asarray(found)) == pytest.approx(value)


# ---- numbers that are none, and steps that are too long --------------------------------------------------------------


def logarithm(until_s: float) -> dict[str, Any]:
    """Give a cell one of whose variables is the logarithm of a number that falls below zero after a time."""
    return {
        **OWN_LIF,
        "equations": """
            dv/dt = (drive - v)/tau + 1e-9*mV/ms*log(a) : volt (unless refractory)
            da/dt = -1/second : 1
        """,
        "constants": {"tau": "20 ms", "theta": "20 mV"},
        "start": {"a": until_s},
    }


@pytest.mark.parametrize("target", ["numpy", pytest.param("cpp_standalone", marks=compiled)])
def test_a_variable_that_is_no_number_ends_the_run_with_its_name_and_time(target: str, tmp_path: Path) -> None:
    """At the end of the window of 2.5 ms in which the argument has fallen below zero."""
    with pytest.raises(nm.RunError, match=r"the variable v of cell 0 of d0 is no longer finite at 0\.30[25]* s"):
        simulate(figure1(1.0, cell=logarithm(0.3)), tmp_path / "run", target)
    left = nm.open_run(tmp_path / "run")
    assert not left.manifest.complete
    assert left.weight_steps()[0] == 0, "what there was before is kept"


def test_currents_that_overflow_end_a_run_in_spikes(tmp_path: Path) -> None:
    circuit = nm.load("figure1", ["projections.W1.weight={init='constant', value=5e307}", "schedule.0.duration=1 s"])
    with pytest.raises(nm.RunError, match=r"\(\w+\) of cell 0 of y1 is no longer finite at 0\.0025 s"):
        simulate(circuit, tmp_path / "run")
    circuit = nm.load("figure1", ["projections.W1.weight={init='constant', value=1e308}"])
    with pytest.raises(nm.RunError, match="the norm of W1 is no longer finite after 0 s"):
        simulate(circuit, tmp_path / "other")


@pytest.mark.parametrize(("tau_ms", "does"), [(0.4, "overshoots"), (0.2, "grows")])
def test_equations_that_are_faster_than_the_step_are_refused(tau_ms: float, does: str, tmp_path: Path) -> None:
    fast = {**OWN_LIF, "constants": {**OWN_LIF["constants"], "tau": f"{tau_ms} ms"}}
    with pytest.raises(
        CircuitError, match=rf"a time constant of {tau_ms} ms, and {does} in steps of 0\.5 ms"
    ) as refused:
        simulate(figure1(1.0, cell=fast), tmp_path / "run")
    assert refused.value.problems[0].path == "cells.cell.equations"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "equations",
    [
        "dv/dt = (drive - v)/tau + (1*mV/ms)*(w - 1) : volt (unless refractory)\ndw/dt = -5*w/ms : 1",
        "dv/dt = (drive - v)/tau : volt (unless refractory)\ndw/dt = -w*rate : 1\nrate = 5/ms : Hz",
        "dv/dt = (drive - v + 0.1*mV*exp(v/(1*mV)))/tau - 5*x/ms : volt\ndx/dt = 5*v/ms - x/ms : volt",
    ],
)
def test_the_fastest_of_several_equations_counts(equations: str) -> None:
    """The last oscillates with an angular frequency of 5/ms, and every Euler step makes it larger."""
    named = {name: value for name, value in OWN_LIF["constants"].items() if name != "sigma"}
    cell = {**OWN_LIF, "equations": equations, "constants": named}
    kind = figure1(1.0, cell=cell).description.cells["cell"]
    assert too_long_step(kind, 5e-4) is not None
    assert too_long_step(kind, 1e-5) is None


def test_cells_that_are_slower_than_the_step_are_taken() -> None:
    for kind in (OWN_LIF, IZHIKEVICH):
        assert too_long_step(figure1(1.0, cell=kind).description.cells["cell"], 5e-4) is None
