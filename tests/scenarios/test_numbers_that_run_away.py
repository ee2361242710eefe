"""Numbers that run away: every rate backend takes them as floating point does, and ends the run in the same words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm

SHORT = ("schedule.0.duration=", "schedule.0.examples=100", "schedule.1.duration=", "schedule.1.examples=100")
HUGE = "{init='constant', value=1e200}"


def simulate(backend: str, change: str, path: Path) -> nm.Run:
    """Run Figure 1 with a change, for a short time."""
    return nm.run(nm.load("figure1", [*SHORT, change]), backend=backend, out=path, figures=False)


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize(
    "drive",
    [
        "(pre - beta_pre)**0.5",
        "abs((pre - beta_pre)**0.5)*post",
        "sqrt(pre - beta_pre)",
        "exp(1000*pre)",
        "1/(pre - pre)",
        "(1e30*pre)**16",
    ],
)
def test_a_drive_that_is_no_number_ends_the_run(backend: str, drive: str, tmp_path: Path) -> None:
    with pytest.raises(nm.RunError, match=r"B1 is no longer finite after 0\.125 s, in mirror mode\. Lower the rate"):
        simulate(backend, f"rules.mirror.drive={drive}", tmp_path / "run")
    left = nm.open_run(tmp_path / "run")
    assert not left.manifest.complete
    assert not np.isfinite(left.weights("B1")).all()


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("modes.mirror.noise={y0={sd=1e308}}", "B1"),
        ("stimulus.sd=1e200", "W1"),
        ("projections.W1.weight={init='constant', value=5e307}", "B1"),
        ("projections.W1.weight={init='constant', value=1e308}", "the norm of W1"),
        ("projections.W1.weight={init='constant', value=1e200}", "the signal of d0"),
    ],
)
def test_signals_that_overflow_end_the_run(backend: str, change: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(nm.RunError, match=rf"{name} is no longer finite"):
        simulate(backend, change, tmp_path / "run")


@pytest.mark.parametrize(
    "change",
    [
        "projections.W1.weight={init='constant', value=1e100}",
        f"projections.B1.weight={HUGE}",
        f"populations.y1.bias={HUGE}",
        "modes.mirror.noise={y0={sd=1e200}}",
        "rules.mirror.drive=tanh(exp(100*pre))*post",
    ],
)
def test_numbers_that_are_huge_and_finite_are_computed_with(change: str, tmp_path: Path) -> None:
    one, two = (simulate(backend, change, tmp_path / backend) for backend in ("reference", "torch"))
    for name in ("W1", "B1", "y1.bias"):
        np.testing.assert_allclose(one.weights(name), two.weights(name), rtol=1e-9)
    for first, second in zip(one.metrics(), two.metrics(), strict=True):
        assert (first.get("loss") is None) == (second.get("loss") is None)


@pytest.mark.parametrize("drive", ["tanh((-1)**0.5)*pre", "abs((-1)**0.5)*pre", "sign((0-2)**0.5)*pre"])
def test_functions_of_complex_numbers_are_refused(drive: str) -> None:
    (problem,) = nm.load("figure1", [f"rules.mirror.drive={drive}"]).problems()
    assert re.search(r"rules\.mirror\.drive: '.*' is not a finite number", str(problem))
