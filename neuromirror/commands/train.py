"""The command ``train``: runs, going on with one, evaluation alone, or only saying what would be done."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from neuromirror.circuit.capabilities import TRAINING
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.errors import RequestError, UnsupportedError
from neuromirror.libraries import need
from neuromirror.processes import place
from neuromirror.progress import ProgressBar
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import backend_of

if TYPE_CHECKING:
    from neuromirror.result import Run
    from neuromirror.training.session import Session


SPIKING = "brian2"
"""The backend that trains spiking cells."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for; see ``neuromirror train --help``.

    Attributes
    ----------
    seeds : (int, int)
        The first, and how many.
    target : str
        Of Brian2.
    settings : Settings
    throughput, bandwidth_gbit : float or None
        Of the plan that --dry-run prints.
    """

    circuit: str | None
    changes: tuple[str, ...]
    backend: str
    target: str
    seeds: tuple[int, int]
    out: str | None
    resume: Path | None
    or_resume: bool
    fork: Path | None
    evaluate: bool
    dry_run: bool
    as_json: bool
    figures: bool
    settings: Settings
    throughput: float | None = None
    bandwidth_gbit: float | None = None


def run_train(request: Request) -> None:
    """Do it.

    Raises
    ------
    RequestError
        If options do not go together, or ask for what there is not.
    """
    _check(request)
    if not request.evaluate and _backend(request) == SPIKING:
        _run_spiking(request)
        return
    if request.dry_run:
        _say_plan(request)
        return
    from neuromirror.training import train as training

    started = time.perf_counter()
    if request.evaluate:
        assert request.resume is not None
        _say_errors(training.evaluate(request.resume), request)
        return
    bars = _Bars()
    with bars.bar:
        if request.resume is not None:
            runs = [training.resume(request.resume, figures=request.figures, announce=_announce, progress=bars.of)]
        else:
            circuit = load(request.circuit or "", request.changes)
            _warn(circuit)
            runs = training.train_seeds(
                circuit,
                seeds_=range(request.seeds[0], sum(request.seeds)),
                out=request.out,
                settings=request.settings,
                figures=request.figures,
                or_resume=request.or_resume,
                fork=request.fork,
                announce=_announce,
                progress=bars.of,
            )
    _say(runs, request, time.perf_counter() - started)


def _say_plan(request: Request) -> None:
    """Print what a run would be."""
    from neuromirror.training.plan_text import said
    from neuromirror.training.planning import Speed, planned

    circuit = load(request.circuit or "", request.changes)
    _warn(circuit)
    speed = Speed(throughput=request.throughput, bandwidth_gbit=request.bandwidth_gbit)
    plan = planned(circuit, request.settings, request.seeds[0], speed)
    print(said(plan))
    if request.as_json:
        print(json.dumps(plan.as_json(), sort_keys=True))


def _backend(request: Request) -> str:
    """Return the backend of the run: that of a run that goes on is the one it was begun with."""
    return request.backend if request.resume is None else backend_of(request.resume)


def _run_spiking(request: Request) -> None:
    """Train spiking cells, or go on with that."""
    from neuromirror.training import spiking

    started = time.perf_counter()
    if request.resume is not None:
        with ProgressBar() as bar:
            resumed = spiking.resume_spiking(
                request.resume, figures=request.figures, announce=_announce, progress=bar.update
            )
        _say([resumed], request, time.perf_counter() - started)
        return
    circuit = load(request.circuit or "", request.changes)
    _warn(circuit)
    if request.dry_run:
        print(spiking.said_of(spiking.spiking_training(circuit, request.settings)))
        return
    with ProgressBar() as bar:
        runs = spiking.train_spiking_seeds(
            circuit,
            seeds_=range(request.seeds[0], sum(request.seeds)),
            out=request.out,
            settings=request.settings,
            target=request.target,
            figures=request.figures,
            announce=_announce,
            progress=bar.update,
        )
    _say(runs, request, time.perf_counter() - started)


def _say(runs: list[Run], request: Request, wall_s: float) -> None:
    """Print what runs came to, and their records."""
    if not place().is_first:
        return
    for run in runs:
        _report(run, request.figures)
    if request.as_json:
        found = [{**run.manifest.summary, **_speed(run), "run_dir": str(run.path)} for run in runs]
        every = {**found[0], "wall_s": wall_s} if len(found) == 1 else {"runs": found, "wall_s": wall_s}
        print(json.dumps(every, sort_keys=True))


class _Bars:
    """One bar for all runs of a command, which says of each where it is."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self.bar = ProgressBar(self._describe)

    def _describe(self, done: float, total: float) -> str:
        assert self._session is not None
        return self._session.describe(done, total)

    def of(self, session: Session) -> Any:
        if not place().is_first:
            return lambda done, total: None
        self._session = session
        self.bar.restart()
        return self.bar.update


def _check_speed(request: Request) -> None:
    """Refuse what is said of a machine's speed where no plan is asked for that it would be of use to."""
    given = {"--throughput": request.throughput, "--bandwidth-gbit": request.bandwidth_gbit}
    for option, value in given.items():
        if value is None:
            continue
        if not request.dry_run:
            raise RequestError(f"{option}: of the plan that --dry-run prints. Add --dry-run, or leave it out.")
        if request.backend != TRAINING.name:
            raise RequestError(f"{option}: of networks of torch, and not of {request.backend}. Leave it out.")
        if not 0 < value < math.inf:
            raise RequestError(f"{option} {value:g}: expected a number above 0.")
    if request.bandwidth_gbit is not None and request.throughput is None:
        raise RequestError("--bandwidth-gbit: a share of which time? Add --throughput, images/s of one process.")


def _check(request: Request) -> None:
    _check_speed(request)
    if request.backend not in (TRAINING.name, SPIKING):
        raise UnsupportedError(f"--backend {request.backend}: training is done by torch, or in spikes by {SPIKING}.")
    if place().size > 1 and (_backend(request) == SPIKING or request.dry_run):
        what = "--dry-run" if request.dry_run else f"--backend {SPIKING}"
        raise RequestError(f"{what}: one process does that. Start it without torchrun.")
    if request.backend == SPIKING and (request.or_resume or request.fork is not None):
        option = "--or-resume" if request.or_resume else "--fork"
        raise UnsupportedError(f"{option}: spiking cells go on by --resume DIR alone. Leave it out.")
    if request.or_resume and request.out is None:
        raise RequestError("--or-resume: which run? Add --out DIR.")
    if request.backend != SPIKING and request.target != "auto" and request.resume is None:
        raise RequestError(f"--target {request.target}: a target of {SPIKING}. For torch use --device.")
    for library in ("torch", "torchvision"):
        need(library, "training")
    if request.evaluate and request.resume is None:
        raise RequestError("--evaluate: of which run? Add --resume DIR, the directory of one.")
    if request.resume is None and request.circuit is None:
        raise RequestError("train: name a circuit, such as resnet20, or a run to go on with: --resume DIR.")
    if request.resume is not None:
        if request.dry_run:
            raise RequestError("--dry-run: what a run goes on to do is known from its beginning. Leave out --resume.")
        if request.seeds != (0, 1):
            raise RequestError("--resume: a run goes on as it was begun. Leave out --seed and --seeds.")
        if request.or_resume or request.fork is not None:
            option = "--or-resume" if request.or_resume else "--fork"
            raise RequestError(f"--resume: a run goes on as it was begun. Leave out {option}, or --resume.")
        if request.circuit is not None or request.changes or request.out is not None:
            raise RequestError("--resume: a run goes on as it was begun. Leave out the circuit, --set and --out.")
        for option, given in (("--backend", request.backend != TRAINING.name), ("--target", request.target != "auto")):
            if given:
                raise RequestError(f"--resume: a run goes on as it was begun. Leave out {option}.")
        changed = [name for name, value in vars(request.settings).items() if value != getattr(Settings(), name)]
        if changed:
            raise RequestError(f"--resume: a run goes on as it was begun. Leave out --{changed[0].replace('_', '-')}.")
    if not 1 <= request.seeds[1] <= 10_000:
        raise RequestError(f"--seeds {request.seeds[1]}: expected a number of runs from 1 to 10000.")


def _announce(line: str) -> None:
    if place().is_first:
        print(line, file=sys.stderr, flush=True)


def _warn(circuit: Circuit) -> None:
    for problem in circuit.check():
        _announce(str(problem))


def _say_errors(errors: dict[str, float], request: Request) -> None:
    if not place().is_first:
        return
    for name, error in errors.items():
        print(f"{request.resume}  {name.split('_')[0]} error: {error:.2f}%")
    if request.as_json:
        print(json.dumps(errors, sort_keys=True))


def _speed(run: Run) -> dict[str, float]:
    return {"images_per_s": json.loads((run.path / "timings.json").read_text(encoding="utf-8"))["images_per_s"]}


def _report(run: Run, figures: bool) -> None:
    """Print errors and angles of a run, and where its record is."""
    summary, seed = run.manifest.summary, run.manifest.seed
    for part in ("validation_error_percent", "top1_error_percent"):
        if (error := summary.get(part)) is not None:
            print(f"seed {seed}  {'validation' if part[0] == 'v' else 'test'} error: {error:.2f}%")
    for what, key in (("B to Wᵀ", "matrix_angles_deg"), ("δ to backprop's", "delta_angles_deg")):
        known = {name: angle for name, angle in summary.get(key, {}).items() if angle is not None}
        if known:
            worst = max(known, key=lambda name: known[name])
            found = f"median {median(known.values()):.1f}°, worst {known[worst]:.1f}° ({worst})"
            print(f"seed {seed}  angle of {what}: {found}")
    if broken := summary.get("broken_images"):
        named = ", ".join(broken[:3]) + (f" and {len(broken) - 3} more" if len(broken) > 3 else "")
        print(f"seed {seed}  left out, not readable: {len(broken)} of the training images ({named})")
    print(f"record   {run.path}")
    if figures:
        for figure in sorted((run.path / "figures").glob("*.png")):
            print(f"figure   {figure}")
