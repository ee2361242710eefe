"""Runs a sweep: checks all of it, compiles what its runs have in common, runs what is left, and sums up."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neuromirror.backends.base import COMPILED, Backend, Compiles, Options, Program, check_options, load_backend
from neuromirror.circuit.capabilities import DEFAULT_BACKEND, capabilities
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.errors import NeuromirrorError, RequestError
from neuromirror.notices import notice
from neuromirror.plan import Plan, make_plan
from neuromirror.record.lock import Held
from neuromirror.record.store import not_written
from neuromirror.seeds import checked_seed
from neuromirror.simulation import Progress, out_folder
from neuromirror.sweeps.record import FILE, Sweep, SweepRun, settings_in
from neuromirror.sweeps.tasks import Task, perform_all
from neuromirror.sweeps.variations import Variation, variations

MAX_RUNS = 100_000
Announce = Callable[[str], None]


def sweep(
    circuit: Circuit | str | Path,
    vary: Mapping[str, Sequence[Any]],
    *,
    seeds: int | Iterable[int] = 1,
    seed: int = 0,
    jobs: int = 1,
    backend: str = DEFAULT_BACKEND,
    out: Path | str | None = None,
    target: str = "auto",
    dtype: str = "float64",
    points: int = 200,
    method: str | None = None,
    announce: Announce = lambda _: None,
    progress: Progress = lambda done, total: None,
) -> Sweep:
    """Simulate a circuit with every combination of values, each with the same seeds.

    Parameters
    ----------
    circuit : Circuit, str or Path
        A circuit, its file, or the name of a shipped one.
    vary : mapping of str to sequence
        Values by their dotted names, such as ``{"code.beta": ["20 Hz", "50 Hz"]}``; see `Circuit.with_values`.
    seeds : int or iterable of int
        Number of runs of each variation, with ``seed`` and those that follow it; or the seeds themselves.
    seed : int
        The first of them.
    jobs : int
        How many processes run at a time.
    backend, target, dtype, points
        Of every run; see `neuromirror.run`.
    out : path, optional
        The directory of the sweep; ``runs/NAME-BACKEND-sweep`` by default, numbered where it is taken. In a directory
        in which a sweep has been begun, what has reached its end is not run again.
    method : str, optional
        Overlay of the circuit: ``"wm"``, ``"fa"``, ``"kp"``, ``"bp"`` or ``"ss"``.
    announce : callable
        Takes what is to be said before the runs, line by line.
    progress : callable
        Takes the simulated time done and to do, in seconds, over all runs.

    Returns
    -------
    Sweep
        With ``failed``, what went wrong with runs that did not reach their end: the others go on.

    Raises
    ------
    RequestError
        If a variation has errors, an option is wrong, the directory cannot be written, or another process is running
        the same sweep; nothing has been run then.
    """
    options = Options(target=target, dtype=dtype, points=points)
    circuit = circuit if isinstance(circuit, Circuit) else load(circuit)
    capabilities(backend)  # which refuses names of none
    check_options(options, backend)
    if jobs < 1:
        raise RequestError(f"--jobs {jobs}: expected 1 or more.")
    all_seeds = _seeds(seeds, seed)
    if (runs := math.prod(map(len, vary.values())) * len(all_seeds)) > MAX_RUNS:
        raise RequestError(f"a sweep of {runs} runs: expected at most {MAX_RUNS}. Vary less.")
    simulator, warnings = load_backend(backend), dict[str, None]()

    def checked(changed: Circuit) -> Circuit:
        changed = changed if method is None else changed.method(method)
        warnings.update(dict.fromkeys(str(problem) for problem in changed.check(backend)))
        simulator.target([make_plan(changed, all_seeds[0], backend)], options)
        return changed

    found = variations(circuit, vary, checked)
    for warning in warnings:
        announce(warning)
    path = out_folder(f"{found[0].circuit.name}-{backend}-sweep", out)
    if (begun := settings_in(path)) is not None:
        if isinstance(simulator, Compiles) and target == "auto":  # the choice must not depend on how many are left
            options = replace(options, target=begun.get("target", target))
        _check_same(path, begun, found[0].circuit.name, backend, options)
    with _held(path):
        return _told(_Sweeper(simulator, backend, options, jobs, announce, progress).run(path, found, all_seeds))


def _told(swept: Sweep) -> Sweep:
    """Return a sweep after notices of variations that made no difference, and of how many runs are doubtful and why."""
    if doubtful := swept.warnings():
        first = next(iter(doubtful))
        notice(
            f"{len(doubtful)} of {_count(len(swept.all_runs), 'run')} ended with warnings, which are in "
            f"{swept.path / FILE}. The first: {first}: {doubtful[first][0]}"
        )
    for names in swept.alike():
        notice(
            f"the runs of {', '.join(names)} ended with the same results, bit for bit: backend "
            f"{swept.settings['backend']} does not read what differs between them, or nothing came of it"
        )
    return swept


def _held(path: Path) -> Held:
    """Make the directory of a sweep, and keep other processes from running it at the same time."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        return Held(path)
    except OSError as error:
        raise not_written(path, error) from error


def _seeds(seeds: int | Iterable[int], first: int) -> list[int]:
    if isinstance(seeds, int):
        if not 1 <= seeds <= 10_000:
            raise RequestError(f"--seeds {seeds}: expected a number of runs from 1 to 10000.")
        seeds = range(first, first + seeds)
    found = [checked_seed(one) for one in seeds]
    if not found or len(set(found)) < len(found):
        raise RequestError(f"seeds {found}: expected one or more seeds, each once.")
    return found


def _check_same(path: Path, begun: Mapping[str, Any], circuit: str, backend: str, options: Options) -> None:
    """Refuse to go on with a sweep that was begun in another way."""
    wanted = {"circuit": circuit, "backend": backend, "dtype": options.dtype, "points": options.points}
    begun = {**begun, "target": str(begun.get("target")).partition(",")[0]}  # after which the type of numbers is said
    if options.target != "auto":
        wanted["target"] = options.target
    for name, value in wanted.items():
        if begun.get(name) != value:
            raise RequestError(
                f"{path}: this sweep was begun with {name} {begun.get(name)}, not {value}. Give another --out."
            )


@dataclass(frozen=True)
class _Sweeper:
    """How to run a sweep."""

    simulator: Backend
    backend: str
    options: Options
    jobs: int
    announce: Announce
    progress: Progress

    def run(self, path: Path, found: Sequence[Variation], seeds: Sequence[int]) -> Sweep:
        """Run what is left of a sweep."""
        runs = [
            SweepRun(variation=one, seed=seed, path=path / one.name / f"seed-{seed}") for one in found for seed in seeds
        ]
        ended = {one.path for one in runs if one.done(self.backend)}
        left = [one for one in runs if one.path not in ended]
        plans = [Plan(one.variation.circuit, one.seed) for one in left or runs]
        target = self.simulator.target(plans, self.options, jobs=self.jobs)
        settings = {"circuit": found[0].circuit.name, "backend": self.backend, "target": target}
        settings |= {"dtype": self.options.dtype, "points": self.options.points}
        swept = Sweep(path, runs, settings, ended=ended)
        if not left:
            self.announce(f"{path}: all {len(runs)} runs have been run.")
            swept.save()
            return swept
        for one in left:
            one.clear()
        swept.save()
        self._announce(swept, plans, target)
        try:
            with ExitStack() as stack:
                watched = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neuromirror-")))
                programs = self._programs(stack, swept, left, plans, target)
                self._perform(swept, left, programs, target, watched)
        except KeyboardInterrupt:
            swept.ended |= {one.path for one in left if one.done(self.backend)}
            self.announce(
                f"{len(swept.ended)} of {_count(len(runs), 'run')} are done, {swept.left()} are left; "
                f"the same command with --out {path} goes on with them."
            )
            raise
        finally:
            swept.save()
        return swept

    def _announce(self, swept: Sweep, plans: Sequence[Plan], target: str) -> None:
        total_s = sum(plan.phases[-1].stop_s for plan in plans)
        said = self.simulator.said(target, plans, self.options, jobs=self.jobs)
        runs, varied = len(swept.all_runs), len(swept.variations)
        grid = f"{_count(runs, 'run')} ({_count(varied, 'variation')}, {_count(runs // varied, 'seed')})"
        if swept.ended:
            grid += f", {len(plans)} of them still to be run"
        self.announce(
            f"{swept.settings['circuit']}: {grid}, {total_s:g} s of simulated time, backend {self.backend} ({said})"
        )

    def _programs(
        self, stack: ExitStack, swept: Sweep, left: Sequence[SweepRun], plans: Sequence[Plan], target: str
    ) -> dict[Path, Program]:
        """Build the programs, one for all runs with the same key; runs whose program cannot be built have failed."""
        if target != COMPILED or not isinstance(self.simulator, Compiles):
            return {}
        keys = dict[str, list[int]]()
        of_circuit = {id(plan.circuit): self.simulator.key(plan, self.options) for plan in plans}
        for number, plan in enumerate(plans):
            keys.setdefault(of_circuit[id(plan.circuit)], []).append(number)
        self.announce(f"{_count(len(plans), 'run')}, {_count(len(keys), 'build')}")
        build, programs = stack.enter_context(self.simulator.builder(self.options)), dict[Path, Program]()
        for numbers in keys.values():
            try:
                program = build([plans[number] for number in numbers])
            except NeuromirrorError as error:
                swept.failed |= {left[number].path: str(error) for number in numbers}
                continue
            programs |= {left[number].path: program for number in numbers}
        return programs

    def _perform(
        self,
        swept: Sweep,
        left: Sequence[SweepRun],
        programs: Mapping[Path, Program],
        target: str,
        watched: Path,
    ) -> None:
        options = replace(self.options, target=target) if isinstance(self.simulator, Compiles) else self.options
        todo = [one for one in left if one.path not in swept.failed]
        tasks = [
            Task(
                folder=one.path.absolute(),  # a process that has been there before may be in another directory
                circuit=one.variation.circuit,
                seed=one.seed,
                backend=self.backend,
                target=target,
                options=options,
                program=programs.get(one.path),
            )
            for one in todo
        ]
        totals_s, done_s = [task.total_s for task in tasks], [0.0] * len(tasks)

        def tell(number: int, seconds: float) -> None:
            done_s[number] = max(done_s[number], min(seconds, totals_s[number]))
            self.progress(sum(done_s), sum(totals_s))

        for number, error in perform_all(tasks, jobs=self.jobs, watched=watched, progress=tell):
            tell(number, totals_s[number])
            if error is None:
                swept.ended.add(todo[number].path)
            else:
                swept.failed[todo[number].path] = error


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
