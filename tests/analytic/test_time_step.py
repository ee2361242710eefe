"""Results of spiking circuits do not depend on the time step, as far as their seeds can tell."""

from __future__ import annotations

import pytest

from experiments.time_step import COARSER, differences


@pytest.mark.slow
def test_results_agree_over_time_steps() -> None:
    """Mean differences from 0.1 ms, over 10 seeds paired by their weights: 20→10 cells, 10 s.

    Standard errors are 2.5 % for the angle, 0.6 % for the gain and 0.3 % for mean rates, which do differ by 1.6 %
    between 0.1 and 0.5 ms. Such results fail with a probability below 1 %.
    """
    found = differences("10 s", seeds=10)
    assert set(found) == set(COARSER)
    for step, by_name in found.items():
        for name, one in by_name.items():
            assert one.estimate == pytest.approx(0.0, abs=0.10 if name == "angle" else 0.03), (step, name)
