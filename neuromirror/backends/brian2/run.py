"""Runs plans as spiking neurons in Brian2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import brian2 as b2
import numpy as np

from neuromirror import seeds
from neuromirror.backends.base import COMPILED, Options, Recorder, Snapshot
from neuromirror.backends.brian2.clipping import clipped_share
from neuromirror.backends.brian2.costs import costs_s
from neuromirror.backends.brian2.losses import mean_loss, window_losses
from neuromirror.backends.brian2.network import BIASES, SpikingNetwork
from neuromirror.backends.brian2.own_checks import check_own_cells
from neuromirror.backends.brian2.programs import Program, builder, program_key
from neuromirror.backends.brian2.runtime import errors_of_brian2, quieten, stop_if_interrupted, use_runtime
from neuromirror.errors import RequestError
from neuromirror.plan import FloatArray, Plan, transport

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
        quieten()
        target = self.target(plans, options)
        if target == COMPILED:
            with self.builder(options) as build:
                program = build(plans)
                for plan, recorder in zip(plans, recorders, strict=True):
                    program.run(plan, recorder)
            return
        with errors_of_brian2():
            _run_here(plans, recorders, options, target)

    def key(self, plan: Plan, options: Options) -> str:
        """Return what plans that one standalone program can run have in common."""
        return program_key(plan, options)

    def builder(self, options: Options) -> AbstractContextManager[Callable[[Sequence[Plan]], Program]]:
        """Give a function that builds the standalone program of plans of one key."""
        return builder(options, _harvest)


def _one_a_circuit(plans: Sequence[Plan]) -> list[Plan]:
    return list({id(plan.circuit): plan for plan in plans}.values())


def _run_here(plans: list[Plan], recorders: list[Recorder], options: Options, target: str) -> None:
    """Run each plan in this process."""
    use_runtime(target)
    for plan, recorder in zip(plans, recorders, strict=True):
        spiking = SpikingNetwork(plan, options.points, options.population)
        b2.seed(seeds.integer(plan.seed, "brian2"))
        spiking.network.run(spiking.duration, report=_reporter(recorder), report_period=0.2 * b2.second, namespace={})
        _harvest(spiking, plan, recorder, float(spiking.network.t / b2.second))
        stop_if_interrupted()


def _harvest(spiking: SpikingNetwork, plan: Plan, recorder: Recorder, reached_s: float) -> None:
    """Hand spikes and snapshots to the recorder, as far as the run has come."""
    grid = spiking.grid
    last = grid.ticks * grid.tick_steps
    ticks = np.rint(np.asarray(spiking.spikes.t / b2.second) / grid.dt_s).astype(np.int64)
    cells = np.asarray(spiking.spikes.i, dtype=np.int32) + np.int32(spiking.recorded.start)
    for name in plan.sizes if spiking.population is None else [spiking.population]:
        here = spiking.layout.cells(name)
        mine = (cells >= here.start) & (cells < here.stop) & (ticks < last)
        recorder.spikes(name, ticks[mine], (cells[mine] - here.start).astype(np.int32))
    fixed, magnitudes = plan.initial_arrays(), plan.magnitudes()
    at = _snapshots(spiking, plan)
    losses, counts = window_losses(spiking.layout, plan, ticks, cells), np.asarray(spiking.clipped.clipped)
    phase = seen = 0
    for k in range(1 + int(reached_s / (spiking.snapshot_ticks * grid.tick_s) + 1e-9)):
        tick = k * spiking.snapshot_ticks
        if tick > grid.ticks:
            break
        while phase + 1 < len(plan.phases) and tick > grid.first_tick[phase + 1]:
            phase, seen = phase + 1, 0
        here = plan.phases[phase]
        done = (tick - grid.first_tick[phase]) * grid.tick_steps // grid.window_steps[here.mode]
        state = Snapshot(
            phase=phase,
            examples=here.first_example + done,
            t_s=tick * grid.tick_s,
            arrays=transport(plan, {**fixed, **at(k)}, magnitudes),
            more={
                **mean_loss(losses[phase], seen, done),
                **clipped_share(spiking.layout, plan.modes[here.mode], counts, k, done - seen),
            },
        )
        seen = done
        recorder.snapshot(state, keep_arrays=tick in grid.first_tick)


def _snapshots(spiking: SpikingNetwork, plan: Plan) -> Callable[[int], dict[str, FloatArray]]:
    """Return a function that gives the arrays that learn, at the k-th snapshot."""
    recorded: dict[str, FloatArray] = {}
    for name, monitor in spiking.monitors.items():
        recorded[name] = np.asarray(monitor.b if name == BIASES else monitor.w)
    shapes = {name: array.shape for name, array in plan.initial_arrays().items()}

    def at(k: int) -> dict[str, FloatArray]:
        arrays = {}
        for name in spiking.layout.learners:
            if name in spiking.arrays:
                array = np.zeros(shapes[name])
                array.flat[plan.synapses(name)] = recorded[name][:, k]
                arrays[name] = array
            else:
                here = spiking.layout.cells(name.removesuffix(".bias"))
                arrays[name] = recorded[BIASES][here, k].copy()
        return arrays

    return at


def _reporter(recorder: Recorder) -> Callable[..., None]:
    def report(elapsed: Any, completed: float, start: Any, duration: Any) -> None:
        recorder.progress(float(completed * duration / b2.second))

    return report


backend = _Brian2()
