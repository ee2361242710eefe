"""Torch and Brian2 compute what the reference computes cell by cell, on circuits that hypothesis makes up."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
import pytest
from chosen_circuits import circuits
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from experiments.agreement import RUNAWAY
from experiments.in_memory import Kept, simulate
from experiments.random_circuits import ACTIVATIONS, RATE_BACKENDS
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.homeostasis import scaled_in
from neuromirror.circuit.load import load
from neuromirror.plan import make_plan
from neuromirror.recorder import alignment_of
from neuromirror.rules.expression import FUNCTIONS, VARIABLES

seeds = st.integers(0, 2**32)
made_up = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def assert_same(circuit: Circuit, found: Kept, expected: Kept, tolerance: float) -> None:
    """Compare all snapshots of two runs, relative to the largest number of each kind, or to 1 where that is larger."""
    plan = make_plan(circuit, 0)
    assert len(found.snapshots) == len(expected.snapshots)
    largest = max(1.0, *(float(np.abs(array).max()) for one in expected.snapshots for array in one.arrays.values()))
    for a, b in zip(found.snapshots, expected.snapshots, strict=True):
        assert (a.phase, a.examples, a.t_s, set(a.arrays), set(a.more)) == (
            (b.phase, b.examples, b.t_s, set(b.arrays), set(b.more))
        )
        for name, array in b.arrays.items():
            np.testing.assert_allclose(a.arrays[name], array, rtol=0, atol=tolerance * largest, err_msg=name)
        if "loss" in b.more:
            assert a.more["loss"] == pytest.approx(b.more["loss"], rel=tolerance, abs=tolerance)
        angles, expected_angles = (alignment_of(plan, one.arrays)["angles_deg"] for one in (a, b))
        for name, angle in expected_angles.items():
            # An angle is as sure as the smaller of its two arrays: one may have decayed to nearly nothing.
            norm = min(float(np.linalg.norm(b.arrays[end])) for end in (name, plan.mirrors[name]))
            allowed = np.degrees(tolerance) * 10 * largest / min(1.0, norm) if norm > 0 else 0.0
            assert angles[name] == pytest.approx(angle, abs=allowed, nan_ok=True)


@made_up
@given(circuit=circuits(), seed=seeds)
def test_torch_equals_the_reference(circuit: Circuit, seed: int) -> None:
    """To 1e-9 in float64, where rounding leaves about 1e-15; to 1e-5 in float32, where it leaves about 2e-7.

    Circuits whose weights run away enlarge every rounding on the way, so they say nothing of float32.
    """
    reference = simulate(circuit, "reference", seed, points=20)
    assert_same(circuit, simulate(circuit, "torch", seed, points=20), reference, 1e-9)
    if max(np.abs(array).max() for one in reference.snapshots for array in one.arrays.values()) < RUNAWAY:
        assert_same(circuit, simulate(circuit, "torch", seed, points=20, dtype="float32"), reference, 1e-5)


@settings(made_up, max_examples=25)
@given(circuit=circuits(), seed=seeds)
def test_brian2_equals_the_reference(circuit: Circuit, seed: int) -> None:
    reference = simulate(circuit, "reference", seed, points=20)
    assert_same(circuit, simulate(circuit, "brian2-rate", seed, points=20), reference, 1e-9)


@pytest.mark.slow
@settings(made_up, max_examples=500)
@given(circuit=circuits(), seed=seeds)
def test_all_agree_on_many_circuits(circuit: Circuit, seed: int) -> None:
    reference = simulate(circuit, "reference", seed, points=20)
    for backend in ("torch", "brian2-rate"):
        assert_same(circuit, simulate(circuit, backend, seed, points=20), reference, 1e-9)


@pytest.mark.parametrize("drive", ["tanh(post*pre)", "exp(-(post - w*pre)**2)", "abs(pre - post)/(1 + (pre*post)**2)"])
def test_brian2_and_the_reference_compute_drives_that_do_not_separate(drive: str) -> None:
    circuit = load("figure1", [f"rules.mirror.drive={drive}", 'schedule=[{mode="mirror", examples=120}]'])
    found, expected = (simulate(circuit, backend, 2, points=3) for backend in ("brian2-rate", "reference"))
    assert_same(circuit, found, expected, 1e-9)
    assert np.abs(expected.snapshots[-1].arrays["B1"] - expected.snapshots[0].arrays["B1"]).max() > 0.1


def features(circuit: Circuit) -> set[str]:
    """Return what a circuit makes use of in the modes that its schedule runs."""
    described = circuit.description
    running = [described.modes[step.mode] for step in described.schedule]
    rules = [described.rules[rule] for mode in running for rule in mode.learn.values()]
    kind = described.code.kind
    return {
        *(f"{kind} {cell.activation}" for cell in described.cells.values()),
        f"estimated {described.code.estimate is not None}",
        f"dale {described.code.dale}",
        *(noise.law for mode in running for noise in mode.noise.values()),
        *(f"bias {mode.bias}" for mode in running),
        *("compare" for mode in running if mode.compare),
        *(word for rule in rules for word in re.findall(r"[a-z_]\w*", rule.drive)),
        *(key for rule in rules for key in rule.updater.model_dump(exclude_defaults=True)),
        *(f"transport {p.transport}" for p in described.projections.values() if p.mirrors),
        *(f"permuted {p.role}" for p in described.projections.values() if p.permutation not in (None, (0,))),
        *(f"layers {p.layer + 1}" for p in described.populations.values()),
        *(f"phases {len(running)}" for _ in running),
        *(f"per {rule.updater.normalise.per}" for rule in rules if rule.updater.normalise is not None),
        *("shared" for population in described.populations.values() if population.shares is not None),
        *("scaling" for mode in running if scaled_in(described, mode)),
        *("mask" for p in described.projections.values() if p.mask is not None),
        *("learns a bias" for mode in running if any("bias" in name for name in mode.learn)),
    }


class AllSeen(Exception):
    """Ends a search."""


def test_the_circuits_made_up_use_all_that_rates_can() -> None:
    seen: set[str] = set()
    wanted = {
        *(f"{kind} {activation}" for kind in ("zero_mean", "baseline", "push_pull") for activation in ACTIVATIONS),
        *(
            "estimated True",
            "estimated False",
            "dale True",
            "dale False",
            "gaussian",
            "rademacher",
            "bias on",
            "bias blocked",
            "bias everywhere",
            "compare",
            "k",
        ),
        *(
            "weight_mirror",
            "kolen_pollack",
            "forward",
            "bias",
            "rate",
            "decay",
            "decay_times_rate",
            "memory",
            "memory_from",
        ),
        *("transport none", "transport exact", "transport sign", "permuted drive", "permuted gate", "permuted error"),
        *("per target", "per source", "per array", "scaling", "shared"),
        *("layers 2", "layers 3", "layers 4", "phases 1", "phases 2", "phases 3", "learns a bias", "mask"),
        *VARIABLES,
        *FUNCTIONS,
    }

    @settings(made_up, max_examples=1000, derandomize=True, database=None, phases=[Phase.generate])
    @given(circuits())
    def collect(circuit: Circuit) -> None:
        seen.update(features(circuit))
        if wanted <= seen:
            raise AllSeen

    with suppress(AllSeen):
        collect()
    assert wanted - seen == set()


@given(circuit=circuits(), seed=seeds)
@settings(made_up, max_examples=6)
def test_the_same_seed_gives_the_same_bits(circuit: Circuit, seed: int) -> None:
    for backend in RATE_BACKENDS:
        first, second = (simulate(circuit, backend, seed).snapshots[-1].arrays for _ in range(2))
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array)


@pytest.mark.parametrize("seed", range(3))
def test_a_large_baseline_costs_float32_no_digits(seed: int) -> None:
    """At β = 40, centring each signal first leaves errors of 2e-7; the expanded product would leave 2e-4."""

    def mirrored(drive: str, dtype: str) -> np.ndarray:
        circuit = Circuit(
            {
                "name": "large-baseline",
                "code": {"kind": "baseline", "beta": "1 kHz", "unit": "25 Hz"},
                "cells": {"cell": {"refractory": "0 s"}},
                "layers": {"sizes": [6, 4]},
                "feedback": {},
                "rules": {"mirror": {"drive": drive, "updater": {"rate": 0.1, "decay": 0.5}}},
                "modes": {"mirror": {"noise": {"y0": {}}, "on": ["W1", "x0", "x1"], "learn": {"B1": "mirror"}}},
                "schedule": [{"mode": "mirror", "examples": 1000}],
            }
        )
        return simulate(circuit, "torch", seed, dtype=dtype).snapshots[-1].arrays["B1"]

    exact = mirrored("weight_mirror", "float64")
    expanded = mirrored("post*pre - post*beta_pre - beta_post*pre + beta_post*beta_pre", "float32")
    assert np.abs(mirrored("weight_mirror", "float32") - exact).max() < 2e-6 * np.abs(exact).max()
    assert np.abs(expanded - exact).max() > 2e-5 * np.abs(exact).max()
