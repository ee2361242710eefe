"""The command ``run --resume``: going on with a run that was cut short."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from neuromirror.commands.report import as_json, report
from neuromirror.errors import RequestError
from neuromirror.progress import ProgressBar
from neuromirror.resuming import resume_run


def go_on(folder: Path, given: Mapping[str, bool], *, figures: bool, json_: bool) -> None:
    """Do it.

    Parameters
    ----------
    folder : Path
        The run directory.
    given : mapping of str to bool
        Whether each option, by its name, was given that says how a run begins.
    figures, json_ : bool
        Whether to draw the figures, and to print one JSON object as the last line.

    Raises
    ------
    RequestError
        If one was given.
    """
    for name, is_given in given.items():
        if is_given:
            raise RequestError(f"--resume: a run goes on as it was begun. Leave out {name}.")
    started = time.perf_counter()
    with ProgressBar() as bar:
        record = resume_run(
            folder, figures=figures, announce=lambda line: print(line, file=sys.stderr), progress=bar.update
        )
    report(record, figures)
    if json_:
        print(json.dumps(as_json([record], time.perf_counter() - started), sort_keys=True))
