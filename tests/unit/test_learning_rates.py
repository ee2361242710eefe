"""The choice of learning rates in the experiments on images: the best of a grid that goes beyond it on both sides."""

import itertools
import math
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import methods
from experiments.methods import SMALL
from experiments.tuning import CLOSE, SEEDS, chosen, tuned


@given(
    best=st.integers(-3, 4),
    stable=st.integers(0, 3),
    curvature=st.floats(0.01, 20),
    noise=st.lists(st.floats(-0.4, 0.4), min_size=3, max_size=3),
)
def test_the_best_rate_lies_inside_and_apart_from_others_or_all_seeds_have_been_tried(
    best: int, stable: int, curvature: float, noise: list[float]
) -> None:
    """The error is least at 0.1 · 2^best, infinite more than some steps above, and noisy alike for all rates."""
    tries: list[tuple[str, float, int]] = []

    def error_of(some: list[tuple[str, float, int]]) -> list[float]:
        tries.extend(some)
        above = [math.log2(rate / 0.1) - best for _, rate, _ in some]
        return [
            math.inf if x > stable + 0.5 else curvature * x**2 + noise[SEEDS.index(seed)]
            for x, (_, _, seed) in zip(above, some, strict=True)
        ]

    found = tuned({"bp": (0.05, 0.1, 0.2)}, error_of)["bp"]
    rates, rate = sorted(found), chosen(found)
    assert rates[0] < rate < rates[-1]
    assert all(b == pytest.approx(2 * a) for a, b in itertools.pairwise(rates))
    assert len(set(tries)) == len(tries)  # no run is asked for twice
    assert [seed for _, r, seed in tries if r == rate] == list(SEEDS[: len(found[rate])])
    for other in set(rates) - {rate}:
        apart = mean(found[other]) >= mean(found[rate]) + CLOSE
        assert apart or len(found[other]) == len(found[rate]) == len(SEEDS)
    if curvature > 2:
        assert rate == pytest.approx(0.1 * 2**best)
        assert {len(errors) for errors in found.values()} == {1}


def test_a_rate_that_is_best_by_chance_alone_is_overruled_by_more_seeds() -> None:
    errors = {0.1: [50.0, 50.0, 50.0], 0.2: [33.0, 31.0, 31.0], 0.4: [32.9, 35.0, 35.0], 0.8: [60.0, 60.0, 60.0]}
    found = tuned({"bp": tuple(errors)}, lambda some: [errors[rate][SEEDS.index(seed)] for _, rate, seed in some])["bp"]
    assert chosen(found) == 0.2
    assert {rate: len(values) for rate, values in found.items()} == {0.1: 1, 0.2: 2, 0.4: 2, 0.8: 1}


def test_a_run_that_diverges_is_marked_and_not_begun_again(
    tmp_path: methods.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = methods.Job(
        circuit="resnet20", method="bp", rate=0.8, seed=0, size=SMALL, data="digits", folder=tmp_path, threads=1
    )
    begun = []

    def diverge(job: methods.Job) -> None:
        begun.append(job)
        raise methods.nm.DivergenceError("the loss is no longer finite")

    monkeypatch.setattr(methods, "_train", diverge)
    for _ in range(2):
        methods.run_all([job], 1)
    assert len(begun) == 1
    assert methods.validation_error(job) == math.inf
    assert job.diverged.name == "resnet20-bp-rate0.8-seed0.diverged"
