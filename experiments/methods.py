"""The paper's methods side by side on images: which runs there are, how their rates are chosen, and running them.

Every run has a directory of its own, named for what it is. One that is complete is read, one that was cut short goes
on, so that an experiment may be stopped at any time and started again.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import neuromirror as nm
from experiments.tuning import chosen as best
from experiments.tuning import tuned
from neuromirror import figures
from neuromirror.circuit.load import shipped
from neuromirror.circuit.protocol import Training
from neuromirror.processes import cores
from neuromirror.training.rates import peak_rate

METHODS = ("bp", "wm", "kp", "ss", "fa")
NAMES = MappingProxyType(
    {
        "bp": "backprop",
        "wm": "weight mirror",
        "kp": "Kolen-Pollack",
        "ss": "sign-symmetry",
        "fa": "feedback alignment",
        "wt0": "Wᵀ as at first",
        "output_only": "output only",
        "permuted": "sham: permuted",
        "shifted": "sham: shifted",
    }
)
MIRRORED = ("wm", "permuted", "shifted")
"""The methods in which B learns asleep."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large an experiment is.

    Attributes
    ----------
    circuits : tuple of str
    data : str or None
        A data set, or None where a directory has to be given.
    values, mirrored : mapping of str to object
        What differs from the circuit's file for every method, and besides for those of `MIRRORED`.
    settings : mapping of str to object
        Of `neuromirror.training.settings.Settings`.
    rates : mapping of str to tuple of float
        Peak learning rates of each method to choose from on the validation images, as `experiments.tuning` does. One
        rate is taken as it is, and that of the circuit's file for a method that has none here.
    seeds : int
    backend : {"torch", "brian2"}
    rate_names : tuple of str
        The values of the circuit that a learning rate is.
    recipes : str or None
        The folder of shipped circuits that has a file for each circuit and method.
    """

    circuits: tuple[str, ...]
    data: str | None
    values: Mapping[str, Any]
    mirrored: Mapping[str, Any]
    settings: Mapping[str, Any]
    rates: Mapping[str, tuple[float, ...]]
    seeds: int
    backend: str = "torch"
    rate_names: tuple[str, ...] = ("training.rate",)
    recipes: str | None = None

    def recipe(self, circuit: str, method: str) -> str | None:
        """Return the name of the file that a circuit has for a method, where it has one."""
        name = f"{self.recipes}/{circuit}_{method}"
        return name if self.recipes is not None and name in shipped() else None

    def rate(self, circuit: str, method: str) -> float:
        """Return the peak learning rate of W where it is not chosen."""
        if method in self.rates:
            return self.rates[method][0]
        described = nm.load(self.recipe(circuit, method) or circuit).description
        learn = described.modes["engaged"].learn
        rule = next(rule for name, rule in learn.items() if name in described.projections)
        return peak_rate(described.rules[rule].updater.rate or 0.0, described.training or Training())


SMOKE = Size(
    circuits=("resnet20",),
    data="digits",
    values={"training": {"epochs": 1, "batch": 32, "warmup_epochs": 0, "drops": [], "mirror_epochs": 0}},
    mirrored={
        "training.epochs": 2,
        "training.mirror_epochs": 1,
        "training.mirror_angle_deg": 20.0,
        "rules.mirror.updater.rate": 1.5,
        "rules.mirror_linear.updater.rate": 0.75,
    },
    settings={"train_images": 64, "validation_images": 20, "test_images": 20, "delta_images": 8},
    rates=dict.fromkeys(METHODS, (0.1,)),
    seeds=2,
)
"""Shows only that everything runs."""

SMALL = Size(
    circuits=("resnet20",),
    data=None,
    values={
        "training": {
            "epochs": 6,
            "batch": 128,
            "micro_batch": 64,
            "warmup_epochs": 1,
            "drops": [4, 5],
            "mirror_epochs": 0,
        }
    },
    # B forgets three quarters of itself with every minibatch, for lag costs more than noise (experiments.lag), and less
    # as W slows down. So it needs no more than an epoch of mirroring alone.
    mirrored={
        "training.epochs": 7,
        "training.mirror_epochs": 1,
        "training.drops": [5, 6],
        "training.mirror_angle_deg": 5.0,
        "training.mirror_memory": "follows_drops",
        "rules.mirror.updater.rate": 1.5,
        "rules.mirror_linear.updater.rate": 0.75,
    },
    settings={"train_images": 10_000, "validation_images": 5_000, "delta_images": 32},
    rates=dict.fromkeys(METHODS, (0.05, 0.1, 0.2)),
    seeds=5,
)
"""A fixed subset of a small data set, with which a run takes minutes on one core."""

PAPER = Size(
    circuits=("resnet18", "resnet50"),
    data=None,
    values={},
    mirrored={},
    settings={"bf16": True, "workers": 8},
    rates={},
    seeds=1,
    recipes="imagenet",
)
"""Appendix C: all numbers are in the files of `circuits/imagenet`, and for Kolen-Pollack in those of the circuits."""

SIZES = MappingProxyType({"smoke": SMOKE, "small": SMALL, "paper": PAPER})


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run."""

    circuit: str
    method: str
    rate: float
    seed: int
    size: Size
    data: str
    folder: Path
    threads: int

    @property
    def out(self) -> Path:
        """Its directory."""
        return self.folder / f"{self.circuit}-{self.method}-rate{self.rate:g}-seed{self.seed}"

    @property
    def recipe(self) -> str | None:
        """The file that says the method too, if there is one."""
        return self.size.recipe(self.circuit, self.method)

    @property
    def changed(self) -> nm.Circuit:
        """The circuit with all that differs from its file, but for the method."""
        circuit = nm.load(self.recipe or self.circuit).with_values(self.size.values)
        if self.method in self.size.rates:
            circuit = circuit.with_values(dict.fromkeys(self.size.rate_names, self.rate))
        return circuit.with_values(self.size.mirrored) if self.method in MIRRORED else circuit

    @property
    def diverged(self) -> Path:
        """A file that is there if the run came to no end, for its rate is too high."""
        return self.out.with_name(f"{self.out.name}.diverged")


@dataclass(frozen=True, kw_only=True)
class Results:
    """All runs of an experiment.

    Attributes
    ----------
    rates : dict of str to float
        The peak learning rate of each method.
    runs : dict of str to list of Run
        By method, one for each seed, in order.
    tuning : dict of str to dict of float to list of float
        Validation errors in percent by method and rate, a seed each; infinite where training diverged.
    """

    rates: dict[str, float]
    runs: dict[str, list[nm.Run]]
    tuning: dict[str, dict[float, list[float]]] = field(default_factory=dict)

    def errors(self, method: str) -> list[float]:
        """Return the test error of each seed, in percent."""
        return [run.manifest.summary["top1_error_percent"] for run in self.runs[method]]


def options(documentation: str | None, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line of an experiment on images."""
    first = (documentation or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=first, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="smoke, small or paper")
    parser.add_argument("--quick", action="store_const", const="smoke", dest="size", help="the same as --size smoke")
    parser.add_argument("--data", help="digits, or a directory of class folders")
    parser.add_argument("--out", type=Path, help="where the runs are kept; a temporary directory for --size smoke")
    parser.add_argument("--seeds", type=int, help="runs of each method, instead of what the size says")
    parser.add_argument("--jobs", type=int, help="runs at a time; 1 for --size smoke, else 2 by default")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    found = parser.parse_args(arguments)
    found.jobs = found.jobs or (1 if found.size == "smoke" else 2)
    found.data = found.data or SIZES[found.size].data
    if found.data is None:
        parser.error(f"--size {found.size} needs --data DIR, class folders of images such as CIFAR-10's")
    if found.out is None and found.size != "smoke":
        found.out = Path("runs") / f"methods-{found.size}"
    return found


def results(chosen: argparse.Namespace, circuit: str, methods: Sequence[str], size: Size | None = None) -> Results:
    """Choose the rate of each method, and run every seed of it; print how far it is to standard error."""
    size = SIZES[chosen.size] if size is None else size
    seeds = chosen.seeds or size.seeds
    threads = max(1, cores() // chosen.jobs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if chosen.out is None else chosen.out

        def job(method: str, rate: float, seed: int) -> Job:
            return Job(
                circuit=circuit,
                method=method,
                rate=rate,
                seed=seed,
                size=size,
                data=chosen.data,
                folder=folder,
                threads=threads,
            )

        def errors(tries: list[tuple[str, float, int]]) -> list[float]:
            some = [job(*one) for one in tries]
            run_all(some, chosen.jobs)
            return [validation_error(one) for one in some]

        tuning = tuned(
            {method: size.rates[method] for method in methods if len(size.rates.get(method, ())) > 1}, errors
        )
        rates = {method: best(tuning[method]) if method in tuning else size.rate(circuit, method) for method in methods}
        wanted = [job(method, rates[method], seed) for seed in range(seeds) for method in methods]
        run_all(wanted, chosen.jobs)
        if diverged := [one.out.name for one in wanted if one.diverged.exists()]:
            sys.exit(f"Diverged with the rate that was chosen: {', '.join(diverged)}.")
        runs = {m: [nm.open_run(job(m, rates[m], seed).out) for seed in range(seeds)] for m in methods}
        for run in (run for some in runs.values() for run in some):
            run.metrics()  # read while the directory is there
    return Results(rates=rates, runs=runs, tuning=tuning)


def draw(found: Results, number: int, name: str, out: Path | None) -> None:
    """Draw Figure 2 or 3 of the runs where they are kept, as PNG and PDF, and print where; nothing without `out`."""
    if out is None:
        return
    runs = [run for some in found.runs.values() for run in some]
    figure = figures.figure2(runs) if number == 2 else figures.figure3(runs)
    for suffix in ("png", "pdf"):
        print(f"figure   {figures.save(figure, out / f'{name}.{suffix}')}")


def validation_error(job: Job) -> float:
    """Return what a run came to on the validation images, in percent: infinite where it diverged."""
    if job.diverged.exists():
        return math.inf
    return nm.open_run(job.out).manifest.summary["validation_error_percent"]


def run_all(jobs: Sequence[Job], at_a_time: int) -> None:
    """Do every run that has not come to its end, several at a time, each in a process of its own."""
    open_jobs = [job for job in jobs if not job.diverged.exists() and not _is_complete(job.out)]
    if at_a_time == 1 or len(open_jobs) < 2:
        for job in open_jobs:
            run_one(job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_a_time, mp_context=context, max_tasks_per_child=1) as pool:
        for job, _ in zip(open_jobs, pool.map(run_one, open_jobs), strict=True):
            print(f"done: {job.out.name}", file=sys.stderr, flush=True)


def run_one(job: Job) -> None:
    """Do one run, or go on with it."""
    import torch

    torch.set_num_threads(job.threads)
    try:
        _train(job)
    except nm.DivergenceError as error:
        job.diverged.write_text(f"{error}\n")


def _train(job: Job) -> None:
    if (job.out / "training.json").is_file():
        if job.size.backend == "torch":
            nm.resume(job.out, figures=False)
            return
        shutil.rmtree(job.out)  # what was cut short in spikes begins again
    nm.train(
        job.changed,
        data=job.data,
        method=None if job.recipe else job.method,
        backend=job.size.backend,
        seed=job.seed,
        out=job.out,
        figures=False,
        **job.size.settings,
    )


def _is_complete(folder: Path) -> bool:
    return (folder / "manifest.json").is_file() and nm.open_run(folder).manifest.complete
