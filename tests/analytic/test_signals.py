"""Counts and traces, the two signals that rules read of spikes: unbiased, with the correlation times of their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.section import section
from neuromirror.backends.base import Options, Snapshot
from neuromirror.backends.brian2.run import backend
from neuromirror.measure import correlation_time_s
from neuromirror.plan import make_plan

SIGNALS = {"count": ('kind = "count"', 20e-3), "trace": ('kind = "trace", tau = "7 ms"', 7e-3)}
BETA, BETA_HZ, DT_S = 4.0, 100.0, 0.5e-3


class LastArrays:
    """A recorder that keeps the last state."""

    arrays: dict[str, np.ndarray]

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        self.arrays = dict(snapshot.arrays)

    def spikes(self, population: str, ticks: np.ndarray, cells: np.ndarray) -> None:
        pass

    def progress(self, done_s: float) -> None:
        pass


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("estimated", [True, False])
def test_independent_poisson_cells_teach_b_nothing(signal: str, estimated: bool) -> None:
    """The mean of 100 synapses after 4 s, about zero within five standard errors, s²·√(τ_c/(100·4 s)) with s² the
    variance of a signal. A rule that missed the coincidences of one time step would be off by β²·dt/window for
    counts and β²·dt/τ for traces, which is more."""
    kind, tau_s = SIGNALS[signal]
    changes = [
        "modes.mirror.noise={ y0 = { law = 'poisson' }, y1 = { law = 'poisson' } }",
        'modes.mirror.on=["x0", "x1"]',
        f"modes.mirror.signal={{ {kind} }}",
        'modes.mirror.window="20 ms"',
        'rules.mirror.updater={ memory = "100 h", memory_from = "20 ms", decay = 1.0 }',
        'cells.cell.refractory="0 ms"',  # so that relays copy every spike
        'cells.cell.noise="0.1 mV"',  # and fire none of their own
        'projections.B1.weight={ init = "constant" }',
    ]
    if not estimated:
        changes.append("code.estimate=")
    plan, last = make_plan(section(10, 10, "4 s", changes=changes), 3, "brian2"), LastArrays()
    backend.run([plan], [last], Options(target="numpy", points=1))
    variance = BETA_HZ / (tau_s if signal == "count" else 2 * tau_s) / 25**2
    bound = 5 * variance * math.sqrt(max(tau_s, 20e-3) / (100 * 3.9))
    assert abs(last.arrays["B1"].mean()) < bound
    assert bound < BETA**2 * DT_S / tau_s


@pytest.mark.parametrize(("signal", "sampled_s"), [("count", 20e-3), ("trace", 2.5e-3)])
def test_the_correlation_time_of_independent_cells(signal: str, sampled_s: float) -> None:
    """τ_c is the window of counts and the τ of traces: 200 s of 20 cells of each layer give it within 4 %."""
    rng = np.random.default_rng(0)
    steps, every = 80_000, 1
    spikes = rng.poisson(BETA_HZ * 2.5e-3, (steps, 40)).astype(float)
    if signal == "count":
        every = 8
        read = spikes.reshape(-1, every, 40).sum(axis=1)
        expected_s = 20e-3
    else:
        kernel, kept = np.exp(-np.arange(60) * 2.5e-3 / 7e-3), math.exp(-2 * 2.5e-3 / 7e-3)
        expected_s = 2.5e-3 * (1 + kept) / (1 - kept)  # τ itself, but for the sampling
        read = np.apply_along_axis(lambda one: np.convolve(one, kernel)[:steps], 0, spikes)
    found_s = correlation_time_s(read[:, :20], read[:, 20:], sampled_s, 0.1)
    assert found_s == pytest.approx(expected_s, rel=0.04)
