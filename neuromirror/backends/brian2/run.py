"""Runs plans as spiking neurons in Brian2."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import brian2 as b2

from neuromirror import seeds
from neuromirror.backends.base import Options, Recorder
from neuromirror.backends.brian2 import standalone
from neuromirror.backends.brian2.cells import cell_values
from neuromirror.backends.brian2.harvest import Harvest, boundary_ticks
from neuromirror.backends.brian2.here import RunHere
from neuromirror.backends.brian2.network import SpikingNetwork
from neuromirror.backends.brian2.own_cells import OwnCells
from neuromirror.backends.brian2.own_checks import check_own_cells
from neuromirror.backends.brian2.runtime import errors_of_brian2, quieten, stop_if_interrupted, use_runtime
from neuromirror.backends.brian2.stream import Stream, hand_over
from neuromirror.backends.brian2.tables import table_values
from neuromirror.backends.brian2.weights import weight_values
from neuromirror.errors import RequestError
from neuromirror.plan import Plan

TARGETS = ("numpy", "cython", "cpp_standalone")


def _costs_s(plan: Plan, runs: int) -> dict[str, float]:
    """Return rough times of the targets that `auto` chooses from, in seconds, as measured on two cores."""
    steps, visits = _work(plan, runs)
    costs = {"numpy": 1.0 + 300e-6 * steps + 40e-9 * visits}
    if standalone.compiler() is not None:
        costs["cpp_standalone"] = 4.5 + _running_s(plan, runs)
    return costs


def _running_s(plan: Plan, runs: int) -> float:
    """Return the rough time of a standalone program's runs, in seconds, building apart."""
    steps, visits = _work(plan, runs)
    return (2e-6 + 50e-9 * sum(plan.sizes.values())) * steps + 3e-9 * visits


def _work(plan: Plan, runs: int) -> tuple[float, float]:
    """Return the number of time steps of all runs, and of synapses that spikes and updates visit."""
    dt_s = plan.description.time.dt.s
    steps = runs * plan.phases[-1].stop_s / dt_s
    weights = sum(plan.sizes[p.source] * plan.sizes[p.target] for p in plan.description.projections.values())
    window_s = min(phase.window_s for phase in plan.phases)
    return steps, steps * weights * dt_s * (max(plan.beta * plan.unit_Hz, 1.0) + 2 / window_s)


class _Brian2:
    def target(self, plan: Plan, options: Options, runs: int) -> str:
        """Return the target: the one asked for, or whichever should finish the runs first.

        Raises
        ------
        RequestError
            If there is no such target.
        CircuitError
            If Brian2 refuses cells of a user's own.
        """
        check_own_cells(plan)
        if options.target != "auto":
            if options.target not in TARGETS:
                raise RequestError(f"--target {options.target}: brian2 has {', '.join(TARGETS)} and auto.")
            return options.target
        costs_s = _costs_s(plan, runs)
        return min(costs_s, key=lambda target: costs_s[target])

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        """Run plans that differ in their seed only; a standalone program is built once for all of them."""
        quieten()
        target = self.target(plans[0], options, len(plans))
        with errors_of_brian2():
            if target == "cpp_standalone":
                _run_standalone(plans, recorders, options)
            else:
                _run_here(plans, recorders, options, target)


def _run_here(plans: list[Plan], recorders: list[Recorder], options: Options, target: str) -> None:
    """Run each plan in this process."""
    use_runtime(target)
    for plan, recorder in zip(plans, recorders, strict=True):
        spiking = SpikingNetwork(plan, options.points, options.population)
        b2.seed(seeds.integer(plan.seed, "brian2"))
        RunHere(spiking, plan, recorder).run(_duration(spiking))


def _duration(spiking: SpikingNetwork) -> Any:
    """Return the run's length: that of the schedule, and the steps in which its last window is learned from and read.

    Brian2 takes times that differ by less than a ten-thousandth of a clock's step for the same, so that a clock of long
    steps needs more than one of ours to come to its last.
    """
    grid = spiking.grid
    longest = max(1, spiking.snapshot_ticks) * grid.tick_steps
    return (grid.ticks * grid.tick_steps + 1 + math.ceil(2e-4 * longest)) * grid.dt_s * b2.second


def _run_standalone(plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
    """Build one program, and run it for each plan."""
    with tempfile.TemporaryDirectory(prefix="neuromirror-") as folder:
        b2.set_device("cpp_standalone", build_on_run=False)
        try:
            b2.device.reinit()
            b2.device.activate(build_on_run=False)
            spiking = SpikingNetwork(plans[0], options.points, options.population)
            b2.device.insert_code("before_network_run", standalone.SEED_CODE)
            running_s = _running_s(plans[0], len(plans))
            hand_over(spiking, boundary_ticks(spiking.layout, spiking.snapshot_ticks))
            spiking.network.run(_duration(spiking), namespace={})
            standalone.build(Path(folder), running_s=running_s)
            for index, (plan, recorder) in enumerate(zip(plans, recorders, strict=True)):
                seed = seeds.integer(plan.seed, "brian2")
                harvest = Harvest(spiking, plan, recorder)
                stream = Stream(Path(folder) / f"results_{index}", spiking, harvest)
                standalone.execute(
                    _arguments(spiking, plan),
                    directory=Path(folder),
                    seed=seed,
                    results=f"results_{index}",
                    watch=stream.poll,
                )
                stop_if_interrupted()
        finally:
            b2.device.reinit()
            b2.set_device("runtime")


def _arguments(spiking: SpikingNetwork, plan: Plan) -> dict[Any, Any]:
    """Return what differs between seeds, for a program that was built for another seed."""
    arguments: dict[Any, Any] = {}
    for name, values in table_values(spiking.layout, plan).items():
        if name in ("inputs", "expected", "cancels") or name.startswith("places_"):
            arguments[spiking.tables[name]] = values
    for name, synapses in spiking.arrays.items():
        for variable, initially in weight_values(plan, name).items():
            if variable != "twin":  # which no seed changes
                arguments[getattr(synapses, variable)] = initially
    values = cell_values(spiking.layout, plan)
    for name in ("v", *OwnCells(plan).start(0, plan.seed)):
        arguments[getattr(spiking.cells, name)] = values[name]
    arguments[spiking.cells.b] = values["b"]
    return arguments


backend = _Brian2()
