"""The command ``run --resume``: going on with a run that was cut short."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from neuromirror.commands.report import as_json, report
from neuromirror.errors import RequestError
from neuromirror.progress import ProgressBar
from neuromirror.resuming import resume_run

DEFAULTS = {
    "the circuit": None,
    "--backend": "brian2",
    "--seed": 0,
    "--seeds": 1,
    "--target": "auto",
    "--dtype": "float64",
    "--points": 200,
    "--out": None,
    "--method": None,
    "--set": (),
}
"""What says how a run begins, as it is where it is left out."""


def go_on(folder: Path, begun: Sequence[object], *, figures: bool, json_: bool) -> None:
    """Do it.

    Parameters
    ----------
    folder : Path
        The run directory.
    begun : sequence
        What was given of `DEFAULTS`, in their order.
    figures, json_ : bool
        Whether to draw the figures, and to print one JSON object as the last line.

    Raises
    ------
    RequestError
        If something of it was given.
    """
    for (name, default), value in zip(DEFAULTS.items(), begun, strict=True):
        if value != default:
            raise RequestError(f"--resume: a run goes on as it was begun. Leave out {name}.")
    started = time.perf_counter()
    with ProgressBar() as bar:
        record = resume_run(
            folder, figures=figures, announce=lambda line: print(line, file=sys.stderr), progress=bar.update
        )
    report(record, figures)
    if json_:
        print(json.dumps(as_json([record], time.perf_counter() - started), sort_keys=True))
