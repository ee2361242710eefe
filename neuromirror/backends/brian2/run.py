"""Runs plans as spiking neurons in Brian2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import brian2 as b2

from neuromirror import seeds
from neuromirror.backends.base import COMPILED, Options, Recorder
from neuromirror.backends.brian2.costs import costs_s
from neuromirror.backends.brian2.exclusive import simulating
from neuromirror.backends.brian2.here import RunHere
from neuromirror.backends.brian2.network import SpikingNetwork
from neuromirror.backends.brian2.own_checks import check_own_cells
from neuromirror.backends.brian2.programs import Program, builder, program_key
from neuromirror.backends.brian2.runtime import errors_of_brian2, quieten, use_runtime
from neuromirror.backends.brian2.standalone import compiler
from neuromirror.errors import RequestError
from neuromirror.plan import Plan

TARGETS = ("numpy", "cython", COMPILED)


class _Brian2:
    def target(self, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        """Return the target: the one asked for, or whichever should finish the runs first.

        Raises
        ------
        RequestError
            If there is no such target.
        CircuitError
            If Brian2 refuses cells of a user's own.
        """
        for plan in _one_a_circuit(plans):
            check_own_cells(plan)
        if options.target != "auto":
            if options.target not in TARGETS:
                raise RequestError(f"--target {options.target}: brian2 has {', '.join(TARGETS)} and auto.")
            if options.target != "numpy" and compiler() is None:
                raise RequestError(
                    f"--target {options.target}: there is no C++ compiler here, neither g++ nor clang++ nor one that "
                    "CXX names. Install one, or use --target numpy."
                )
            return options.target
        found_s = costs_s(plans, builds=self._builds(plans, options), jobs=jobs)
        return min(found_s, key=lambda target: found_s[target])

    def said(self, target: str, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        """Return the target, and how long the runs should take on it, which is what it was chosen by."""
        builds = self._builds(plans, options)
        cost_s = costs_s(plans, builds=builds, jobs=jobs).get(target)
        if cost_s is None:
            return target
        about = f"{target}, about {cost_s:.0f} s" if cost_s < 180 else f"{target}, about {cost_s / 60:.0f} min"
        with_builds = "with its build" if builds == 1 else f"with {builds} builds"
        return f"{about} {with_builds}" if target == COMPILED else about

    def _builds(self, plans: Sequence[Plan], options: Options) -> int:
        return len({program_key(plan, options) for plan in _one_a_circuit(plans)})

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        """Run plans that differ in their seed only; a standalone program is built once for all of them."""
        target = self.target(plans, options)
        if target == COMPILED:
            with self.builder(options) as build:
                program = build(plans)
                for plan, recorder in zip(plans, recorders, strict=True):
                    program.run(plan, recorder)
            return
        with simulating(), errors_of_brian2():
            quieten()
            _run_here(plans, recorders, options, target)

    def key(self, plan: Plan, options: Options) -> str:
        """Return what plans that one standalone program can run have in common."""
        return program_key(plan, options)

    def builder(self, options: Options) -> AbstractContextManager[Callable[[Sequence[Plan]], Program]]:
        """Give a function that builds the standalone program of plans of one key."""
        return builder(options)


def _one_a_circuit(plans: Sequence[Plan]) -> list[Plan]:
    return list({id(plan.circuit): plan for plan in plans}.values())


def _run_here(plans: list[Plan], recorders: list[Recorder], options: Options, target: str) -> None:
    """Run each plan in this process."""
    use_runtime(target)
    for plan, recorder in zip(plans, recorders, strict=True):
        spiking = SpikingNetwork(plan, options.points, options.population)
        b2.seed(seeds.integer(plan.seed, "brian2"))
        RunHere(spiking, plan, recorder).run(spiking.duration)


backend = _Brian2()
