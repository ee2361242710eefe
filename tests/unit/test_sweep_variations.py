"""What is varied in a sweep, how its directories are called, and what is refused before anything is run."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuromirror as nm
from neuromirror.backends.base import Options, load_backend
from neuromirror.backends.brian2 import standalone
from neuromirror.errors import RequestError
from neuromirror.plan import make_plan
from neuromirror.sweeps.variations import parsed, split, variations

SHORT = 'schedule=[{mode="mirror", duration="1 s"}]'

numbers = st.integers(-99, 99).map(str)
texts = st.text("abc ,[]{}'", max_size=6).map(json.dumps)
flat = numbers | texts
values = st.recursive(flat, lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"))
tables = values.map(lambda value: f"{{kind = {value}, n = 1}}")


@given(st.lists(values | tables, min_size=1, max_size=5))
def test_commas_inside_a_value_do_not_split_it(parts: list[str]) -> None:
    assert split(",".join(parts)) == parts
    assert split(" , ".join(parts)) == parts


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["a.b=20 Hz,50 Hz"], {"a.b": ["20 Hz", "50 Hz"]}),
        (["a=1,2.5,true", "b='x,y',z"], {"a": [1, 2.5, True], "b": ["x,y", "z"]}),
        (
            ['s={kind="trace", tau="10 ms"},{kind="count"}'],
            {"s": [{"kind": "trace", "tau": "10 ms"}, {"kind": "count"}]},
        ),
        (["v=[[1, 2]],[[3, 4]]"], {"v": [[[1, 2]], [[3, 4]]]}),
    ],
)
def test_values_are_those_of_a_circuit_file(options: list[str], found: dict) -> None:
    assert parsed(options) == found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["code.beta"], "expected dotted.name=value,value"),
        (["=1,2"], "expected dotted.name=value,value"),
        (["a=1,,2"], "an empty value"),
        (["a="], "an empty value"),
        (["a=[1,2"], "] is missing"),
        (['a="x,y'], '" is missing'),
        (["a=1", "a=2"], "varied already"),
    ],
)
def test_options_that_are_none_are_refused(options: list[str], said: str) -> None:
    with pytest.raises(RequestError, match="--vary") as raised:
        parsed(options)
    assert said in str(raised.value)


def test_all_combinations_have_names_of_their_own() -> None:
    vary = {
        "modes.mirror.noise.y0.tau": ["5 ms", "10 ms"],
        "cells.cell.tau_m": ["20 ms"],
        "rules.mirror.updater.decay": [1.0, 2.0],
        "modes.mirror.signal": [{"kind": "trace", "tau": "7 ms"}, {"kind": "count"}],
    }
    found = variations(nm.load("figure1"), vary, lambda circuit: circuit)
    names = [one.name for one in found]
    assert len(set(names)) == len(names) == 8
    assert names[0] == "tau=5ms,tau_m=20ms,decay=1.0,signal=kind_trace_tau_7ms"
    assert [one.values["rules.mirror.updater.decay"] for one in found[:4]] == ["1.0", "1.0", "2.0", "2.0"]
    assert found[-1].circuit.description.modes["mirror"].noise["y0"].tau.ms == 10
    same_end = {"rules.forward.updater.rate": [0.1], "rules.bias.updater.rate": [0.2], "cells.cell.v_rest": ["-70 mV"]}
    (one,) = variations(nm.load("figure1"), same_end, lambda circuit: circuit)
    assert one.name == "forward.updater.rate=0.1,bias.updater.rate=0.2,v_rest=-70mV"
    (one,) = variations(nm.load("figure1"), {"stimulus.gain": [2], "stimulus.bias_gain": [1]}, lambda circuit: circuit)
    assert one.name == "gain=2,bias_gain=1"
    long = {"rules.mirror.drive": [f"{'(post - beta_post)*' * 3}(pre - beta_pre)*{k}" for k in (1, 2)]}
    first, second = variations(nm.load("figure1"), long, lambda circuit: circuit)
    assert second.name == f"{first.name}~2"


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({}, "give --vary"),
        ({"code.beta": []}, "one or more values"),
        ({"code.beta": ["20 Hz", "20 Hz"]}, "each value once"),
        ({"code.beta": ["100 Hz", "800 Hz"]}, "--vary code.beta=800 Hz: cells.cell.refractory: "),
        ({"code.beat": ["100 Hz"]}, "--vary code.beat=100 Hz: code.beat: unknown field. Did you mean 'beta'?"),
        ({"schedule.7.mode": ["mirror"]}, "--vary schedule.7.mode=mirror: "),
        (
            {"code.beta": ["90 Hz"], "modes.mirror.noise.y0.sd": [1, -2]},
            "code.beta=90 Hz modes.mirror.noise.y0.sd=-2: ",
        ),
    ],
)
def test_a_wrong_variation_is_named_and_nothing_is_run(vary: dict, said: str, tmp_path) -> None:
    with pytest.raises(RequestError) as raised:
        nm.sweep("figure1", vary, out=tmp_path / "out")
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jobs": 0}, "--jobs 0"),
        ({"seeds": 0}, "--seeds 0"),
        ({"seeds": [1, 1]}, "each once"),
        ({"points": 0}, "--points 0"),
        ({"target": "gpu"}, "--target gpu"),
        ({"backend": "nest"}, "nest"),
        ({"out": " "}, "name is empty"),
    ],
)
def test_wrong_options_are_refused(options: dict, said: str) -> None:
    with pytest.raises(RequestError) as raised:
        nm.sweep("figure1", {"code.beta": ["90 Hz"]}, **options)
    assert said in str(raised.value)


@pytest.mark.skipif(standalone.compiler() is None, reason="there is no C++ compiler")
def test_the_target_is_chosen_by_the_length_of_all_runs_and_said_with_its_cost() -> None:
    simulator, options = load_backend("brian2"), Options()
    one = make_plan(nm.load("figure1", [SHORT]), 0)
    many = [make_plan(one.circuit, seed) for seed in range(100)]
    assert simulator.target([one], options) == "numpy"
    assert simulator.target(many, options) == "cpp_standalone"
    apart = [make_plan(nm.load("figure1", [SHORT, f"time.dt={dt} ms"]), 0) for dt in (0.5, 0.25, 0.125)]
    assert simulator.target(apart, options) == "numpy"  # three builds take longer
    assert simulator.said("cpp_standalone", many, options).endswith("s with its build")
    assert simulator.said("cpp_standalone", apart, options).endswith("with 3 builds")
    assert simulator.said("numpy", [one], options).startswith("numpy, about ")
    assert simulator.said("cython", [one], options) == "cython"


def test_rows_that_would_be_the_same_run_are_refused() -> None:
    """Of one B in feedback alignment, the rule that mirrors teaches nothing; training is not simulated."""
    figure = nm.load("figure1")
    for vary, check in (
        ({"training.rate": [0.1, 0.2]}, lambda circuit: circuit),
        ({"name": ["a", "b"]}, lambda circuit: circuit),
        ({"rules.mirror.updater.decay": [1.0, 2.0]}, lambda circuit: circuit.method("fa")),
        ({"projections.B1.weight.gain": [1.0, 2.0]}, lambda circuit: circuit.method("bp")),
    ):
        (name,) = vary
        with pytest.raises(RequestError, match=rf"--vary {name}=.*: the runs of these would be the same"):
            variations(figure, vary, check)


@pytest.mark.parametrize(
    "vary",
    [
        {"layers.sizes": [[9, 9], [20, 40]]},
        {"feedback.cross_delay": ["1 ms", "2 ms"]},
        {"time.window": ["10 ms", "30 ms"]},
    ],
)
def test_what_a_file_states_itself_is_not_varied_in_vain(vary: dict[str, list[object]]) -> None:
    with pytest.raises(RequestError, match=r"does nothing.* Set \w+"):
        variations(nm.load("figure1"), vary, lambda circuit: (circuit.check() and circuit) or circuit)
