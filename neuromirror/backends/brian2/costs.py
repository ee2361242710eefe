"""How long spiking runs take on each of Brian2's targets, roughly: what a target is chosen by."""

from __future__ import annotations

from collections.abc import Sequence

from neuromirror.backends.brian2 import standalone
from neuromirror.plan import Plan

BUILD_S = 4.5
"""Rough time in which a standalone program is built, in seconds."""


def costs_s(plans: Sequence[Plan], *, builds: int, jobs: int = 1) -> dict[str, float]:
    """Return rough times of the targets that `auto` chooses from, in seconds, as measured on two cores.

    Parameters
    ----------
    plans : sequence of Plan
        All of them are to be run.
    builds : int
        How many programs they need in standalone C++.
    jobs : int
        How many of them run at a time; programs are built one by one.
    """
    work = [_work(plan) for plan in plans]
    costs = {"numpy": 1.0 + sum(300e-6 * steps + 40e-9 * visits for steps, visits in work) / jobs}
    if standalone.compiler() is not None:
        costs["cpp_standalone"] = BUILD_S * builds + running_s(plans) / jobs
    return costs


def running_s(plans: Sequence[Plan]) -> float:
    """Return the rough time of the runs of standalone programs, in seconds, building apart."""
    found_s = 0.0
    for plan in plans:
        steps, visits = _work(plan)
        found_s += (2e-6 + 50e-9 * sum(plan.sizes.values())) * steps + 3e-9 * visits
    return found_s


def _work(plan: Plan) -> tuple[float, float]:
    """Return the number of time steps of a run, and of synapses that spikes and updates visit."""
    dt_s = plan.description.time.dt.s
    steps = plan.phases[-1].stop_s / dt_s
    weights = sum(plan.sizes[p.source] * plan.sizes[p.target] for p in plan.description.projections.values())
    window_s = min(phase.window_s for phase in plan.phases)
    return steps, steps * weights * dt_s * (max(plan.beta * plan.unit_Hz, 1.0) + 2 / window_s)
