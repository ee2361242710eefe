"""Standalone programs, each built once for all plans that differ in its data only.

What a program is made of is its code: equations, rules, which synapses there are, the sizes of its tables and the
lengths of its clocks. Everything else that a circuit file says reaches it as tables over time or modes, or as initial
values of cells and synapses, which the program reads from files when it is run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neuromirror import seeds
from neuromirror.backends.base import Options, Recorder
from neuromirror.backends.brian2 import standalone
from neuromirror.backends.brian2.cells import cell_values
from neuromirror.backends.brian2.costs import running_s
from neuromirror.backends.brian2.exclusive import alone, check_device_is_free, simulating
from neuromirror.backends.brian2.harvest import Harvest, boundary_ticks
from neuromirror.backends.brian2.layout import Layout
from neuromirror.backends.brian2.network import SpikingNetwork
from neuromirror.backends.brian2.private import check_taken, delays_name, seeding_code, standalone_device
from neuromirror.backends.brian2.runtime import errors_of_brian2, quieten, stop_if_interrupted
from neuromirror.backends.brian2.stream import Stream, hand_over
from neuromirror.backends.brian2.tables import table_values
from neuromirror.backends.brian2.weights import weight_values
from neuromirror.circuit.arrays import Array
from neuromirror.circuit.description import Parameters
from neuromirror.plan import Plan

_DATA: dict[str, Any] = {
    "name": None,
    "about": None,
    "code": {"beta": None, "unit": None, "estimate": {"tau": None}},
    "cells": {"*": dict.fromkeys(("activation", "phi", "slope", "unit_current", *Parameters.model_fields))},
    "populations": {"*": {"bias": None, "parameters": None}},
    "projections": {"*": {"weight": None, "delay": None}},
    "rules": {"*": {"updater": dict.fromkeys(("rate", "decay", "decay_times_rate", "memory", "memory_from"))}},
    "modes": {
        "*": {"noise": {"*": dict.fromkeys(("sd", "tau", "amplitude", "correlation"))}, "window": None, "signal": None}
    },
    "stimulus": None,
    "schedule": None,
    "time": dict.fromkeys(("window", "batch", "signal", "settle")),
    "training": None,
}
"""What of a circuit file a program reads as data, key by key; what it uses is in no other way in its code."""


def program_key(plan: Plan, options: Options) -> str:
    """Return what plans with the same program have in common, as a hash.

    Parameters
    ----------
    plan : Plan
        With any seed.
    options : Options

    Notes
    -----
    Of what the file says all counts that is not known to be data; of the schedule, the number of time steps and the
    modes; of all tables, their shapes.
    """
    dumped = plan.description.model_dump(by_alias=True, exclude_none=True, context={"array": _digest})
    for mode in dumped["modes"].values():
        for noise in mode["noise"].values():
            noise["common"] = bool(noise.get("correlation"))
    for projection in dumped["projections"].values():
        if projection["connector"] != "one_to_one":  # Brian2's code depends on a delay that all of an array have
            projection["delay_of_all"] = projection["delay"]
    layout = Layout(plan, plan.description.time.dt.s)
    grid = layout.grid
    made_of = {
        "file": _without_data(dumped, _DATA),
        "modes": layout.scheduled,
        "steps": [grid.tick_steps, grid.ticks, grid.snapshot_ticks(options.points)],
        "recorded": options.population,
        "tables": {name: values.shape for name, values in table_values(layout, plan).items()},
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()


def _digest(array: Array) -> str:
    return f"{array.shape} {array.sha256}"


def _without_data(tables: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables without the values that are data."""
    kept = {}
    for key, value in tables.items():
        if key not in data and "*" not in data:
            kept[key] = value
        elif (inside := data.get(key, data.get("*"))) is not None:
            kept[key] = _without_data(value, inside)
    return kept


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that has been built.

    Attributes
    ----------
    directory : Path
        Where it is.
    plan : Plan
        The one that it was built for.
    options : Options
    """

    directory: Path
    plan: Plan
    options: Options

    def run(self, plan: Plan, recorder: Recorder) -> None:
        """Run a plan of the same key, in the process that built the program or in any other, several at a time."""
        with simulating():
            built = _opened(self)
            spiking = built.spiking.seen_as(plan)
            results = Path(tempfile.mkdtemp(prefix="results_", dir=self.directory))
            stream = Stream(results, spiking, Harvest(spiking, plan, recorder))
            given = {
                name: values
                for name, values in values_of(spiking).items()
                if not np.array_equal(values, built.values[name], equal_nan=True)
            }
            seed = seeds.integer(plan.seed, "brian2")
            try:
                standalone.execute(given, program=self.directory, results=results, seed=seed, watch=stream.poll)
            finally:
                shutil.rmtree(results, ignore_errors=True)
            stop_if_interrupted()


@dataclass
class _Open:
    """The Brian2 objects of a program, without its code, and their values."""

    directory: Path
    spiking: SpikingNetwork

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        return values_of(self.spiking)


_open: _Open | None = None
"""The program that this process built or ran last."""


def _opened(program: Program) -> _Open:
    """Return a program's Brian2 objects; in a process that has not built it they are made anew, without its code."""
    global _open
    if _open is None or _open.directory != program.directory:
        quieten()
        with standalone_device(program.directory):
            spiking = SpikingNetwork(program.plan, program.options.points, program.options.population)
            _open = _Open(program.directory, spiking)
    return _open


@contextmanager
def builder(options: Options) -> Iterator[Callable[[Sequence[Plan]], Program]]:
    """Give a function that builds the program of plans of one key; programs are gone at the end.

    Raises
    ------
    RunError
        By that function, if Brian2 or the compiler refuses.
    """
    global _open
    number = 0
    with alone(), tempfile.TemporaryDirectory(prefix="neuromirror-") as folder:
        check_device_is_free()

        def build(plans: Sequence[Plan]) -> Program:
            nonlocal number
            global _open
            directory, number = Path(folder) / f"program_{number}", number + 1
            quieten()
            with errors_of_brian2(), standalone_device(directory) as device:
                spiking = SpikingNetwork(plans[0], options.points, options.population)
                device.insert_code("before_network_run", seeding_code(standalone.SEED_VARIABLE))
                hand_over(spiking, boundary_ticks(spiking.layout, spiking.snapshot_ticks))
                device.apply_run_args()  # before Brian2 sets up queues by the delays that it is given
                spiking.network.run(spiking.duration, namespace={})
                standalone.build(directory, running_s=running_s(plans))
                check_taken(list(values_of(spiking)), directory)
            _open = _Open(directory, spiking)
            return Program(directory=directory, plan=plans[0], options=options)

        try:
            yield build
        finally:
            _open = None


def values_of(spiking: SpikingNetwork) -> dict[str, np.ndarray]:
    """Return all that the program of a plan reads when it is run, by the names that it goes by there."""
    plan, layout = spiking.plan, spiking.layout
    values = {f"{spiking.tables[name].name}.values": array for name, array in table_values(layout, plan).items()}
    cells = spiking.cells.variables
    for name, array in cell_values(layout, plan).items():
        values[f"cells.{name}"] = np.asarray(array, dtype=cells[name].dtype)
    for name, synapses in spiking.arrays.items():
        initially = weight_values(plan, name)
        values |= {f"{synapses.name}.{key}": array for key, array in initially.items() if key != "twin"}
    if spiking.axons is not None:
        values[delays_name(spiking.axons)] = np.array([row.delay_s for row in spiking.axon_rows()])
    return values
