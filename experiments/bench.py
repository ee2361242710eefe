"""Every bound on accuracy and time that neuromirror holds itself to, each with what is measured here.

Claim     All bounds are met but those marked; the exit code is 1 if one is not.
Command   python -m experiments.bench, or make bench
Takes     4 minutes on two cores; 2 minutes with --quick, which takes 3 seeds.
Expected  over seeds 0 to 9 (0 to 39 for 20→10 cells), median (95 % interval by order statistics):
              spikes 3→2, 20 s               4.48° (2.65° to 6.20°)      bound 5°
              spikes 3→2, 60 s               2.51° (1.50° to 4.00°)      bound 3.5°
              rates 3→2, 5000 examples       2.14° (1.53° to 2.86°)      bound 2.5°
              spikes 20→10, 60 s             5.67° (5.50° to 5.91°)      bound 6.5°
              spikes 100→50, 60 s            11.88° (11.71° to 12.04°)   bound 13°
              angle over the sampling law    1.08 and 1.01               bound 0.9 to 1.1
          and for `neuromirror run figure1` with nothing cached, the median of five:
              wall time                      6 s                         bound 20 s
              CPU time beyond importing      4.4 s                       bound 10 s
          and of processor time, the median of five:
              neuromirror check resnet50     0.7 s                       bound 1 s
              neuromirror --help             0.2 s                       bound 0.3 s
          and of 100 runs of figure1 in standalone C++, processor time against that of one run, the median of three:
              100 runs / 1 run               6.5 (6.2 to 6.6)            bound 5, missed
          and of 500×500 plastic synapses at 20 Hz, windows of 20 ms, steps of 1 ms, 20 s as a standalone program,
          processor time in ratios paired by round, the last two for information:
              plastic / still                1.09 (1.05 to 1.10)         bound 2
              normalised / not               1.46 (1.42 to 1.48)
              clipping counted / not         1.02 (1.00 to 1.06)
          and of ResNet-18, 32 images of 64×64, processor time of one thread in ratios paired by round:
              backprop / torchvision's       1.02 (0.98 to 1.11)         bound 1.03
              feedback alignment / backprop  1.07 (1.02 to 1.12)         bound 1.03, missed
              mirroring / backprop           1.77 (1.66 to 1.95)         bound 1.72, missed
              memory saved beyond backprop   0 MiB                       bound B's 45 MiB
          and of 384 JPEG files of 500×375, 90 kB, to 224×224, speeds by the clock in ratios paired by round:
              folders, 2 workers / bare      0.95 (0.88 to 0.97)         bound 0.9
              shards / folders               1.03 (0.97 to 1.05)         bound 1, not wholly below
              checksums / none               0.89 (0.80 to 1.10)         bound 0.95, not wholly below
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from experiments import bench_chains, bench_loading, bench_networks, bench_plasticity
from experiments.bounds import Line
from experiments.section import Mirrored, mirror, options, section, stated

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = ("-c", "import neuromirror, brian2, matplotlib")
RUN = ("-m", "neuromirror", "run", "figure1")
GRID = ("--vary", "code.beta=60 Hz,70 Hz,80 Hz,90 Hz,100 Hz", "--vary", "modes.mirror.noise.y0.sd=1,1.5,2,2.5")
SWEEP = ("-m", "neuromirror", "sweep", "figure1", "--target", "cpp_standalone", "--out", "sweep")
ONE, HUNDRED = (*SWEEP, "--vary", "code.beta=100 Hz"), (*SWEEP, *GRID, "--seeds", "5")
SWEEP_RATIO = 5.0
"""What a hundred runs of a sweep may cost at most, against one run: each has one build."""
LAW_SHARE = 0.1
"""How far the angle may be from what the sampling law predicts, as a share of it."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The bounds on one section of cells after one length of mirror mode; `law`: the sampling law is one of them."""

    lower: int
    upper: int
    length: str
    most_deg: float
    seeds: int = 10
    backend: str = "brian2"
    law: bool = False


SECTIONS = (
    Section(lower=3, upper=2, length="20 s", most_deg=5.0),
    Section(lower=3, upper=2, length="60 s", most_deg=3.5),
    Section(lower=3, upper=2, length="5000 examples", most_deg=2.5, backend="torch"),
    # Of 20→10 the distance from the law has a standard error of 3 % with 10 seeds, too much to tell 8 % from 10 %.
    Section(lower=20, upper=10, length="60 s", most_deg=6.5, seeds=40, law=True),
    Section(lower=100, upper=50, length="60 s", most_deg=13.0, law=True),
)
WALL_S, CPU_S = 20.0, 10.0
LOOKS = ((("-m", "neuromirror", "check", "resnet50"), 1.0), (("-m", "neuromirror", "--help"), 0.3))
"""Commands that only look, and the seconds of processor time that each may take."""


def accuracy(bounds: Section, *, seeds: int) -> Iterator[Line]:
    """Mirror, and hold the angle against its bounds."""
    circuit = section(bounds.lower, bounds.upper, bounds.length)
    found = mirror(circuit, seeds=seeds, backend=bounds.backend, law=bounds.law)
    yield from accuracy_lines(bounds, found)


def accuracy_lines(bounds: Section, found: Mirrored) -> Iterator[Line]:
    """Hold angles against their bounds."""
    kind = "spikes" if bounds.backend == "brian2" else "rates"
    what = f"{kind} {bounds.lower}→{bounds.upper}, {bounds.length}"
    met = median(found.angles_deg) <= bounds.most_deg
    yield Line(what=f"{what}: angle", measured=stated(found.angles_deg), bound=f"{bounds.most_deg:g}°", met=met)
    if bounds.law:
        met = abs(median(found.ratios) - 1) <= LAW_SHARE
        share = f"{1 - LAW_SHARE:g} to {1 + LAW_SHARE:g}"
        yield Line(what=f"{what}: angle/law", measured=stated(found.ratios, ""), bound=share, met=met)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one process and its children took, in seconds: by the clock, and of processor time, user and system."""

    wall_s: float
    cpu_s: float


def cold_cost(arguments: Sequence[str]) -> Cost:
    """Run Python in an empty home directory, where neither Brian2 nor matplotlib finds anything cached."""
    with tempfile.TemporaryDirectory() as folder:
        home = {name: folder for name in ("HOME", "USERPROFILE", "TMPDIR")}
        home |= {f"XDG_{name}_HOME": f"{folder}/{name.lower()}" for name in ("CACHE", "CONFIG", "DATA")}
        kept = {name: value for name, value in os.environ.items() if name not in ("MPLCONFIGDIR", "CCACHE_DIR")}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**kept, **home, "PYTHONPATH": path},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall_s=wall_s, cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def speed(run: Sequence[str], imports: Sequence[str], *, pairs: int) -> Iterator[Line]:
    """Time a command from a cold cache, and its processor time beyond that of importing; imports and runs alternate."""
    costs = [(cold_cost(imports), cold_cost(run)) for _ in range(pairs)]
    walls = [of_run.wall_s for _, of_run in costs]
    beyond = [of_run.cpu_s - of_imports.cpu_s for of_imports, of_run in costs]
    for what, values, bound in (("wall time", walls, WALL_S), ("CPU beyond importing", beyond, CPU_S)):
        yield Line(
            what=f"{' '.join(run[1:4])}, cold: {what}",
            measured=stated(values, " s"),
            bound=f"{bound:g} s",
            met=median(values) <= bound,
        )


def sweeps(one: Sequence[str], hundred: Sequence[str], imports: Sequence[str], *, times: int) -> Iterator[Line]:
    """Hold the processor time of a sweep of a hundred runs against that of one run, both beyond that of importing."""
    ratios = []
    for _ in range(times):
        base, of_one, of_all = (cold_cost(command).cpu_s for command in (imports, one, hundred))
        ratios.append((of_all - base) / (of_one - base))
    yield Line(
        what="sweep figure1: CPU, 100 runs / 1 run",
        measured=stated(ratios, ""),
        bound=f"{SWEEP_RATIO:g}",
        met=median(ratios) <= SWEEP_RATIO,
    )


def looks(commands: Sequence[tuple[Sequence[str], float]], *, times: int) -> Iterator[Line]:
    """Hold the processor time of whole commands against their bounds."""
    for command, bound in commands:
        costs = [cold_cost(command).cpu_s for _ in range(times)]
        met = median(costs) <= bound
        yield Line(what=f"{' '.join(command[1:])}: CPU", measured=stated(costs, " s"), bound=f"{bound:g} s", met=met)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each bound, and return the exit code."""
    quick = options(__doc__, argv, quick="3 seeds, and one run of the command line").quick
    met = True
    for line in lines(quick=quick):
        print(line, flush=True)
        met &= line.met
    return 0 if met else 1


def lines(*, quick: bool) -> Iterator[Line]:
    """Measure everything, one line a bound."""
    for bounds in SECTIONS:
        yield from accuracy(bounds, seeds=3 if quick else bounds.seeds)
    yield from bench_chains.lines(seeds=3 if quick else 10, wide_seeds=2 if quick else 3)
    yield from looks(LOOKS, times=5)
    yield from speed(RUN, IMPORTS, pairs=1 if quick else 5)
    yield from bench_plasticity.lines(rounds=3 if quick else 7)
    yield from sweeps(ONE, HUNDRED, IMPORTS, times=1 if quick else 3)
    yield from bench_networks.lines(rounds=3 if quick else 15)
    yield from bench_loading.lines(rounds=3 if quick else 15)


if __name__ == "__main__":
    sys.exit(main())
