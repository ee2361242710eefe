"""B learns through the circuit: what cross-projections bring to the feedback cells is what it learns, on every backend.

The rate backends compute without noise of their own, so that statements about them are exact. Spiking runs have fixed
seeds; their bounds are at least five standard deviations away from what unrelated weights would give.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuromirror as nm
from neuromirror.measure.alignment import angle_deg

W = np.array([[1.2, 0.1, -0.6], [-0.5, 0.9, 0.3]])
SHORT = 'schedule=[{mode="mirror", duration="500 ms"}]'
BACKENDS = ["reference", "torch", "brian2-rate", "brian2"]


def mirrored(backend: str, folder: Path, *changes: str) -> np.ndarray:
    """Return B, (3, 2), after mirror mode from B = 0: 8 s of spikes, or 2 000 examples."""
    length = 'duration="8 s"' if backend == "brian2" else "examples=2000"
    circuit = nm.load(
        "figure1",
        [
            f'projections.W1.weight={{init="values", values={W.tolist()}}}',
            'projections.B1.weight={init="constant"}',
            f'schedule=[{{mode="mirror", {length}}}]',
            *changes,
        ],
    )
    target = "numpy" if backend == "brian2" else "auto"
    run = nm.run(circuit, backend=backend, seed=3, target=target, points=1, out=folder / "run", figures=False)
    return run.weights("B1")


@pytest.fixture(scope="module", params=BACKENDS)
def straight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A backend, and the B that it learns from the file as it is."""
    return request.param, mirrored(request.param, tmp_path_factory.mktemp("straight"))


def test_b_aligns_with_w(straight: tuple[str, np.ndarray]) -> None:
    backend, B = straight
    assert angle_deg(B, W) < (12.0 if backend == "brian2" else 5.0)


@pytest.mark.parametrize(("axons", "order"), [("x0", [2, 0, 1]), ("x1", [1, 0])])
def test_permuting_a_cross_projection_permutes_b(
    axons: str, order: list[int], straight: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    backend, B = straight
    permuted = mirrored(backend, tmp_path, f"projections.{axons}.permutation={order}")
    expected = B[order] if axons == "x0" else B[:, order]
    if backend == "brian2":
        assert angle_deg(permuted, expected.T) < 12.0
        assert angle_deg(permuted, W) > 45.0
    else:
        np.testing.assert_allclose(permuted, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("left", "axons"), [(["W1", "x1"], "x0"), (["W1", "x0"], "x1")])
def test_without_a_cross_projection_b_learns_nothing(
    left: list[str], axons: str, straight: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    backend, B = straight
    found = mirrored(backend, tmp_path, f"modes.mirror.on={left}".replace("'", '"'))
    if backend == "brian2":
        assert np.linalg.norm(found) < 0.3 * np.linalg.norm(B)
    else:
        assert not found.any()


def test_a_lesion_of_the_forward_weights_leaves_nothing_to_mirror(
    straight: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    backend, B = straight
    found = mirrored(backend, tmp_path, 'modes.mirror.on=["x0", "x1"]')
    assert np.linalg.norm(found) < (0.3 if backend == "brian2" else 0.05) * np.linalg.norm(B)


def test_a_drive_of_the_users_own_runs_everywhere(straight: tuple[str, np.ndarray], tmp_path: Path) -> None:
    backend, B = straight
    drive = 'rules.mirror.drive="k*(post - beta_post)*(pre - beta_pre)"'
    doubled = mirrored(backend, tmp_path, drive, "rules.mirror.constants={k=2.0}")
    np.testing.assert_allclose(doubled, 2 * B, rtol=1e-9)


def test_a_drive_that_cancels_in_part_runs_everywhere(tmp_path: Path) -> None:
    """Brian2 simplifies a drive before it looks for the names in it."""
    for backend in BACKENDS:
        drives = ("abs(post - beta_post)**2*(pre - beta_pre) + w - w", "(post - beta_post)**2*(pre - beta_pre)")
        first, second = (
            mirrored(backend, tmp_path / f"{backend}-{k}", f'rules.mirror.drive="{drive}"', SHORT)
            for k, drive in enumerate(drives)
        )
        np.testing.assert_allclose(first, second, rtol=1e-9)


def test_what_a_drive_brings_is_what_rules_see_as_cross(straight: tuple[str, np.ndarray], tmp_path: Path) -> None:
    """A relay copies its axon's spikes, so a rule that reads the axon learns what one that reads the relay learns."""
    backend, B = straight
    found = mirrored(backend, tmp_path, 'rules.mirror.drive="(cross - beta_post)*(pre - beta_pre)"')
    if backend == "brian2":
        assert angle_deg(found, B.T) < 5.0
    else:
        np.testing.assert_allclose(found, B, rtol=1e-9)


def test_a_gate_brings_cross_where_no_drive_does(straight: tuple[str, np.ndarray], tmp_path: Path) -> None:
    backend, _ = straight
    changes = ['modes.mirror.on=["W1", "g0", "x1"]', 'rules.mirror.drive="(cross - beta_post)*(pre - beta_pre)"']
    found = mirrored(backend, tmp_path, *changes)
    assert angle_deg(found, W) < (15.0 if backend == "brian2" else 5.0)
