"""The choice of learning rates in the experiments on images: the best of a grid that goes beyond it on both sides."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import methods
from experiments.methods import SMALL


class _Job:
    def __init__(self, method: str, rate: float, seed: int) -> None:
        self.method, self.rate, self.seed = method, rate, seed


@given(best=st.integers(-3, 4), stable=st.integers(0, 3))
def test_the_choice_goes_on_until_the_best_rate_lies_inside_and_a_rate_that_diverges_is_never_the_best(
    best: int, stable: int
) -> None:
    def error(job: _Job) -> float:
        """Least at 0.1 · 2^best, and infinite more than `stable` steps above."""
        above = math.log2(job.rate / 0.1) - best
        return math.inf if above > stable + 0.5 else abs(above)

    done: list[_Job] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "run_all", lambda jobs, at_a_time: done.extend(jobs))
        patch.setattr(methods, "validation_error", error)
        found = methods._tuned(["bp"], replace(SMALL, rates={"bp": (0.05, 0.1, 0.2)}), _Job, 1)
    rates = sorted(rate for _, rate in found)
    chosen = min(rates, key=lambda rate: found["bp", rate])
    assert chosen == pytest.approx(0.1 * 2**best)
    assert rates[0] < chosen < rates[-1]
    assert all(b == pytest.approx(2 * a) for a, b in itertools.pairwise(rates))
    assert {job.seed for job in done} == {methods.TUNING_SEED}
    assert len(done) == len(rates)


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
