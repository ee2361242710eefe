"""Spikes by population and mode: counted as they are written, and no cell's twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.record import Manifest
from neuromirror.record.activity import SpikeCounts, mean_rates_Hz, of_all_cells

DT_S = 0.0005
MANIFEST = Manifest(
    circuit="two",
    circuit_sha256="c" * 64,
    protocol_sha256="d" * 64,
    backend="brian2",
    target="numpy",
    seed=0,
    dt_s=DT_S,
    versions={},
    device="cpu",
    populations={"y": {"path": "forward", "layer": 0, "size": 4}, "d": {"path": "feedback", "layer": 0, "size": 2}},
    projections={},
    phases=(),
    learned=(),
)
phases = st.lists(st.tuples(st.sampled_from(["asleep", "awake"]), st.integers(1, 30)), min_size=1, max_size=5)


def with_phases(lengths: list[tuple[str, int]]) -> Manifest:
    """Give a manifest whose phases last so many time steps."""
    ends = np.cumsum([steps for _, steps in lengths]).tolist()
    entries = [
        {
            "mode": mode,
            "start_s": round((end - steps) * DT_S, 9),
            "stop_s": round(end * DT_S, 9),
            "first_example": 0,
            "examples": 1,
        }
        for (mode, steps), end in zip(lengths, ends, strict=True)
    ]
    return dataclasses.replace(MANIFEST, phases=tuple(entries))  # pyright: ignore[reportArgumentType]


@settings(deadline=None)
@given(lengths=phases, data=st.data())
def test_every_spike_is_counted_in_its_mode(lengths: list[tuple[str, int]], data: st.DataObject) -> None:
    mode_of = [mode for mode, steps in lengths for _ in range(steps)]
    ticks = sorted(data.draw(st.lists(st.integers(0, len(mode_of) - 1), max_size=40)))
    cut = data.draw(st.integers(0, len(ticks)))
    counts = SpikeCounts(with_phases(lengths))
    for part in (ticks[:cut], ticks[cut:]):
        counts.add("y", np.array(part, dtype=np.int64))
    expected = {mode: sum(mode_of[tick] == mode for tick in ticks) for mode in set(mode_of)}
    assert {mode: of_mode["y"] for mode, of_mode in counts.by_mode.items()} == expected
    assert all(of_mode["d"] == 0 for of_mode in counts.by_mode.values())


def test_rates_are_those_of_one_cell_over_all_phases_of_a_mode() -> None:
    manifest = with_phases([("asleep", 100), ("awake", 50), ("asleep", 300)])
    counts = {"asleep": {"y": 40, "d": 6}, "awake": {"y": 5, "d": 0}}
    rates_Hz = mean_rates_Hz(counts, manifest)
    assert rates_Hz["asleep"] == pytest.approx({"y": 40 / (4 * 0.2), "d": 6 / (2 * 0.2)})
    assert rates_Hz["awake"] == pytest.approx({"y": 5 / (4 * 0.025), "d": 0.0})


def test_rates_of_a_run_that_was_cut_short_are_those_until_then() -> None:
    manifest = with_phases([("asleep", 100), ("awake", 50)])
    rates_Hz = mean_rates_Hz({"asleep": {"y": 4, "d": 2}, "awake": {"y": 0, "d": 0}}, manifest, until_s=0.025)
    assert rates_Hz == {"asleep": pytest.approx({"y": 4 / (4 * 0.025), "d": 2 / (2 * 0.025)})}


def test_spikes_of_shared_cells_are_counted_once() -> None:
    assert of_all_cells({"y": 5, "d": 5, "x": 1}, {"d": "y"}) == 6
