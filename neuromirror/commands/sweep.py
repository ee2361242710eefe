"""What ``neuromirror sweep`` does: sweeps with progress on standard error, and prints one table."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuromirror.errors import RunError
from neuromirror.progress import ProgressBar

if TYPE_CHECKING:
    from neuromirror.backends.base import Options
    from neuromirror.circuit.circuit import Circuit
    from neuromirror.sweeps.record import Sweep


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for; ``seeds`` are the first one and how many."""

    vary: tuple[str, ...]
    seeds: tuple[int, int]
    jobs: int
    backend: str
    options: Options
    method: str | None
    out: str | None
    as_json: bool


def run_sweep(circuit: Circuit, request: Request) -> None:
    """Sweep, and print the table.

    Raises
    ------
    RequestError
        If something is wrong with the request; nothing has been run then.
    RunError
        If runs have failed, once all others are done.
    """
    from neuromirror.sweeps.sweep import sweep
    from neuromirror.sweeps.variations import parsed

    started, options = time.perf_counter(), request.options
    with ProgressBar() as bar:
        swept = sweep(
            circuit,
            parsed(request.vary),
            seed=request.seeds[0],
            seeds=request.seeds[1],
            jobs=request.jobs,
            backend=request.backend,
            out=request.out,
            target=options.target,
            dtype=options.dtype,
            points=options.points,
            method=request.method,
            announce=lambda line: print(line, file=sys.stderr, flush=True),
            progress=bar.update,
        )
    print(swept.table())
    print(f"record   {swept.path}")
    if request.as_json:
        print(json.dumps(_as_json(swept, time.perf_counter() - started), sort_keys=True))
    if swept.failed:
        failed = [f"{path}: {why.removeprefix('error: ')}" for path, why in swept.failed.items()]
        more = "" if len(failed) == 1 else f" The others are in {swept.path / 'sweep.json'}."
        raise RunError(f"{len(failed)} of {len(swept.all_runs)} runs failed. {failed[0]}{more}")


def _as_json(swept: Sweep, wall_s: float) -> dict[str, Any]:
    said = json.loads((swept.path / "sweep.json").read_text(encoding="utf-8"))
    return {**said, "sweep_dir": str(swept.path), "wall_s": wall_s}
