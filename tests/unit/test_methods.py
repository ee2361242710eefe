"""Methods as overlays: what each changes of a circuit, what it leaves alone, and what it does on the rate backends."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.methods import METHODS
from neuromirror.errors import RequestError
from neuromirror.measure import angle_deg
from neuromirror.plan import make_plan

CHAIN = """
name = "chain"
code = { kind = "zero_mean" }
cells.cell.activation = "tanh"
layers = { sizes = [6, 5, 4], bias = { init = "normal", gain = 0.3 } }
feedback = { skip = ["W1"] }
stimulus.kind = "teacher"
schedule = [{ repeat = 2, steps = [{ mode = "mirror", examples = 500 }, { mode = "engaged", examples = 500 }] }]
[rules]
mirror = { drive = "weight_mirror", updater = { rate = 0.1, decay = 0.5 } }
forward = { drive = "forward", updater = { rate = 0.1, decay = 0.02 } }
bias = { drive = "bias", updater = { rate = 0.1 } }
[modes.mirror]
noise = { y1 = {} }
on = ["W2", "x1", "x2"]
learn = { B2 = "mirror" }
bias = "blocked"
[modes.engaged]
input = { y0 = "stimulus" }
compare = { d2 = "y2 - target" }
on = ["W1", "W2", "B2", "g1", "g2", "e1", "e2"]
learn = { W1 = "forward", W2 = "forward", "y1.bias" = "bias", "y2.bias" = "bias" }
"""


@pytest.fixture
def chain() -> Circuit:
    return Circuit(tomllib.loads(CHAIN))


def modes_of(circuit: Circuit) -> list[str]:
    return [step.mode for step in circuit.description.schedule]  # type: ignore[union-attr]


CONTROLS = ("output_only", "permuted", "shifted")
"""Methods that change more than B."""
OF_B = [name for name in METHODS if name not in CONTROLS]


@pytest.mark.parametrize("name", OF_B)
def test_an_overlay_changes_b_and_the_schedule_alone(chain: Circuit, name: str) -> None:
    changed = chain.method(name)
    assert changed.name == f"chain-{name}"
    assert not [problem for problem in changed.problems() if problem.severity == "error"]
    before, after = (c.description.model_dump(exclude={"name", "schedule"}) for c in (chain, changed))
    before["projections"]["B2"].pop("transport")
    transport = after["projections"]["B2"].pop("transport")
    assert transport == {"bp": "exact", "ss": "sign", "wt0": "initial"}.get(name, "none")
    for mode in ("mirror", "engaged"):
        for described in (before, after):
            described["modes"][mode]["learn"].pop("B2", None)
    for rule in set(after["rules"]) - set(before["rules"]):
        assert name == "kp", rule
        del after["rules"][rule]
    assert after == before
    assert modes_of(changed) == (["mirror", "engaged"] * 2 if name == "wm" else ["engaged"] * 2)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_transported_is_marked_as_not_local(chain: Circuit, name: str) -> None:
    assert METHODS[name].local == (chain.method(name).not_local == {})


def test_kolen_pollack_teaches_b_with_the_updater_of_its_w(chain: Circuit) -> None:
    changed = chain.method("kp").description
    rule = changed.rules[changed.modes["engaged"].learn["B2"]]
    assert rule.drive == "kolen_pollack"
    assert rule.updater == changed.rules["forward"].updater
    assert "B2" not in changed.modes["mirror"].learn


def test_an_overlay_of_an_overlay_is_the_last_one(chain: Circuit) -> None:
    assert chain.method("bp").method("fa").sha256 == chain.method("fa").sha256


def test_methods_share_initial_weights(chain: Circuit) -> None:
    drawn = [make_plan(chain.method(name), 3).drawn_arrays() for name in METHODS]
    for arrays in drawn[1:]:
        for name, array in drawn[0].items():
            np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_b_under_each_method(chain: Circuit, backend: str, tmp_path: Path) -> None:
    ran = {
        name: nm.run(chain.method(name), backend=backend, out=tmp_path / name, points=4, figures=False) for name in OF_B
    }
    for name, run in ran.items():
        assert run.manifest.circuit == f"chain-{name}"
        for step in run.weight_steps():
            B, W, first = run.weights("B2", step), run.weights("W2", step), run.weights("B2", 0)
            if name == "bp":
                np.testing.assert_array_equal(B, W.T)
            elif name == "ss":
                np.testing.assert_array_equal(np.sign(B), np.sign(W.T))
                np.testing.assert_array_equal(np.abs(B), np.abs(first))
            elif name == "wt0":
                np.testing.assert_array_equal(B, run.weights("W2", 0).T)
            elif name == "fa":
                np.testing.assert_array_equal(B, first)
    np.testing.assert_array_equal(np.abs(ran["ss"].weights("B2", 0)), np.abs(ran["fa"].weights("B2", 0)))


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_under_kolen_pollack_b_and_w_differ_by_what_decay_leaves(chain: Circuit, backend: str, tmp_path: Path) -> None:
    """B − Wᵀ shrinks by 1 − η·λ at each of 20 updates, whatever is learned: Kolen & Pollack 1994."""
    run = nm.run(chain.method("kp"), backend=backend, out=tmp_path / "run", figures=False)
    gaps = [run.weights("B2", step) - run.weights("W2", step).T for step in run.weight_steps()]
    np.testing.assert_allclose(gaps[-1], gaps[0] * (1 - 0.1 * 0.02) ** 20, rtol=1e-9, atol=1e-12)


def test_with_time_kolen_pollack_aligns(tmp_path: Path) -> None:
    text = CHAIN.replace("examples = 500", "examples = 20000").replace("decay = 0.02", "decay = 0.1")
    circuit = Circuit(tomllib.loads(text)).method("kp")
    run = nm.run(circuit, backend="torch", out=tmp_path / "run", points=1, figures=False)
    assert angle_deg(run.weights("B2", 0), run.weights("W2", 0)) > 45
    assert angle_deg(run.weights("B2"), run.weights("W2")) < 2


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ([], "bpp", "method 'bpp': there is none of that name. Did you mean 'bp'?"),
        (['schedule=[{mode="mirror", duration="1 s"}]'], "fa", "nothing of the schedule is left"),
        (["projections.B1.mirrors=", "modes.mirror.learn="], "fa", "no projection of this circuit mirrors another"),
    ],
)
def test_what_cannot_be_overlaid_is_refused(changes: list[str], name: str, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        nm.load("figure1", changes).method(name)
    assert says in str(caught.value)


def test_output_only_leaves_what_leads_to_the_output(chain: Circuit) -> None:
    changed = chain.method("output_only")
    assert {name: dict(mode.learn) for name, mode in changed.description.modes.items()}["mirror"] == {}
    learns = chain.description.modes["engaged"].learn
    output = {name: rule for name, rule in learns.items() if name in ("W2", "y2.bias")}
    assert dict(changed.description.modes["engaged"].learn) == output
    assert output


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_the_permuted_sham_learns_the_weights_beside_those_that_b_mirrors(
    chain: Circuit, backend: str, tmp_path: Path
) -> None:
    """With each feedback cell a copy of the next forward cell, B[i, j] learns W[j + 1, i + 1]."""
    circuit = chain.with_values({"schedule": [{"mode": "mirror", "examples": 4000}]}).method("permuted")
    run = nm.run(circuit, backend=backend, out=tmp_path / "run", figures=False)
    beside = np.roll(run.weights("W2"), (-1, -1), axis=(0, 1))
    assert angle_deg(run.weights("B2"), beside) < 15
    assert angle_deg(run.weights("B2"), run.weights("W2")) > 30


def test_what_each_layer_mimics_is_later_by_the_time_of_settling(chain: Circuit) -> None:
    """Besides the delay that its axons have anyway."""
    chain = chain.expand().with_values({"projections.x1.delay": "3 ms"})
    before, after = (c.description.projections for c in (chain, chain.method("shifted")))
    assert before["x1"].delay.s > 0
    later = {name: after[name].delay.s - before[name].delay.s for name, p in before.items() if p.role == "drive"}
    layers = {name: chain.description.populations[before[name].target].layer for name in later}
    lowest = min(layers.values())
    assert later == pytest.approx({n: chain.description.time.settle.s * (layers[n] - lowest) for n in later})
    assert len(set(later.values())) > 1


@pytest.mark.parametrize("backend", ["reference", "torch", "brian2-rate"])
def test_rates_refuse_a_sham_that_they_would_not_see(chain: Circuit, backend: str) -> None:
    found = chain.method("shifted").problems(backend)
    assert {problem.name for problem in found} == {"shifted-signals"}
    assert "rates have no time" in found[0].message


AWAKE = "modes.engaged.on=['W1', 'B1', 'g0', '{}', 'e1']"
ASLEEP = "modes.mirror.on=['W1', 'x0', '{}']"


@pytest.mark.parametrize(
    ("changes", "method", "says"),
    [
        (["projections.x0.permutation=[1, 0, 2]"], "permuted", "x0 is permuted already"),
        (
            ['projections.x1.roles={engaged="gate"}', AWAKE.format("x1")],
            "permuted",
            "x1 drives in some modes and gates in others",
        ),
        (
            ['projections.g1.roles={mirror="drive"}', ASLEEP.format("g1")],
            "shifted",
            "g1 drives in some modes and gates in others",
        ),
        (["time.settle=0 s"], "shifted", "the shift is that of time.settle, which is 0 s"),
    ],
)
def test_a_sham_that_cannot_be_laid_over_is_refused(changes: list[str], method: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        nm.load("figure1", changes).method(method)


RESTING: dict[str, Any] = {
    "modes.rest": {"on": ["W1", "B1", "g0", "g1", "e1"]},
    "code.estimate.rest": "rest",
    "schedule": [
        {"mode": "rest", "duration": "1 s"},
        {"repeat": 2, "steps": [{"mode": "mirror", "duration": "1 s"}, {"mode": "rest", "duration": "1 s"}]},
        {"mode": "engaged", "duration": "1 s"},
    ],
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_mode_that_never_taught_stays_in_the_schedule(method: str) -> None:
    """So errors have the same baseline by all methods; what is left out is the sleep of those that do not mirror."""
    described = nm.load("figure1").with_values(RESTING).method(method).description
    asleep = ["mirror"] if described.modes["mirror"].learn else []
    assert [step.mode for step in described.schedule] == ["rest", *[*asleep, "rest"] * 2, "engaged"]
    assert described.code.estimate is not None
    assert described.code.estimate.rest == "rest"


def test_a_schedule_in_which_nothing_teaches_any_more_is_refused() -> None:
    circuit = nm.load("figure1").with_values({**RESTING, "schedule": RESTING["schedule"][:2]})
    with pytest.raises(nm.RequestError, match="nothing of the schedule is left"):
        circuit.method("fa")


def test_a_lesion_of_the_last_comparison_takes_the_rest_with_it() -> None:
    described = nm.load("figure1").with_values(RESTING).without("d1").description
    assert not any(mode.compare for mode in described.modes.values())
    assert described.code.estimate is not None
    assert described.code.estimate.rest is None
