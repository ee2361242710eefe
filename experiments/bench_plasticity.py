"""What learning costs a spiking circuit: programs that differ in it alone, run by turns."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from unittest.mock import patch

import brian2 as b2

import neuromirror as nm
from experiments.bounds import Line
from experiments.section import section, stated
from neuromirror.backends.brian2 import equations, standalone
from neuromirror.backends.brian2.exclusive import alone
from neuromirror.backends.brian2.network import SpikingNetwork
from neuromirror.backends.brian2.private import seeding_code, standalone_device
from neuromirror.plan import make_plan

CELLS = 500
"""Of either layer: B has 500×500 plastic synapses."""

MOST = 2.0
"""How often the processor time of the circuit that does not learn one that does may take."""

SETTING = (
    "code.beta=20 Hz",
    "time.dt=1 ms",
    "projections.x0.delay=4 ms",
    "modes.mirror.window=20 ms",
    'modes.mirror.signal={ kind = "count" }',
)
NORMALISED = (*SETTING, 'rules.mirror.updater.normalise={ per = "target", norm = 1.0 }')
KINDS: Mapping[str, Sequence[str]] = {
    "still": (*SETTING, "modes.mirror.learn={}"),
    "plastic": SETTING,
    "normalised": NORMALISED,
}


def lines(*, rounds: int, length: str = "20 s", cells: int = CELLS) -> Iterator[Line]:
    """Hold the processor time with plasticity against that without; ratios are paired by round.

    Parameters
    ----------
    rounds : int
        How often each program runs.
    length : str
        Simulated time of a run.
    cells : int
        Of either layer.
    """
    with tempfile.TemporaryDirectory(prefix="neuromirror-") as folder:
        programs = {kind: Path(folder) / kind for kind in KINDS}
        for kind, directory in programs.items():
            build(section(cells, cells, length, changes=KINDS[kind]), directory)
        uncounted = Path(folder) / "uncounted"
        build(section(cells, cells, length, changes=SETTING), uncounted, count_clipping=False)
        costs = timed({**programs, "uncounted": uncounted}, rounds)
    size = f"{cells}×{cells}"
    ratios = [a / b for a, b in zip(costs["plastic"], costs["still"], strict=True)]
    plastic = median(ratios) <= MOST
    yield Line(what=f"{size} plastic / still: CPU", measured=stated(ratios, ""), bound=f"{MOST:g}", met=plastic)
    for what, of, to in (("normalised", "normalised", "plastic"), ("counted", "plastic", "uncounted")):
        ratios = [a / b for a, b in zip(costs[of], costs[to], strict=True)]
        yield Line(what=f"{size} {what} / not: CPU", measured=stated(ratios, ""), bound="none", met=True)


def build(circuit: nm.Circuit, directory: Path, *, running_s: float = 1e3, count_clipping: bool = True) -> None:
    """Build the standalone program of a circuit, optimised for runs of that many seconds."""
    plan = make_plan(circuit, 0, "brian2")
    with alone(), standalone_device(directory) as device:
        device.insert_code("before_network_run", seeding_code(standalone.SEED_VARIABLE))
        with contextlib.nullcontext() if count_clipping else _without_counters():
            spiking = SpikingNetwork(plan, 2)
            spiking.network.run(plan.phases[-1].stop_s * b2.second, namespace={})
        standalone.build(directory, running_s=running_s)


def timed(programs: Mapping[str, Path], rounds: int) -> dict[str, list[float]]:
    """Return the processor time of each program in each round, in seconds; their order alternates."""
    costs: dict[str, list[float]] = {name: [] for name in programs}
    environment = {**os.environ, standalone.SEED_VARIABLE: "1"}
    for number in range(rounds):
        for name in list(programs) if number % 2 else reversed(list(programs)):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                ["./main", "--results_dir", "results/"],
                cwd=programs[name],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            costs[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return costs


@contextlib.contextmanager
def _without_counters() -> Iterator[None]:
    """Build cells that do not count what is clipped."""
    step = equations.membrane_step
    window = "".join(line for line in equations.WINDOW.splitlines(keepends=True) if "asked" not in line)

    def quiet_step(of: object, variables: object, method_options: object = None) -> str:
        return "\n".join(line for line in step(of, variables).splitlines() if "asked" not in line)

    with patch.object(equations, "WINDOW", window), patch.object(equations, "membrane_step", quiet_step):
        yield
