"""The command line. Exit codes: 0 done, 1 run failed, 2 request wrong, 130 interrupted, 141 output closed."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from neuromirror.commands.data import data
from neuromirror.commands.ending import code_of
from neuromirror.commands.output import lasting_output, print_file
from neuromirror.commands.unknown_options import naming_values
from neuromirror.errors import RequestError
from neuromirror.interrupts import noting_interrupts
from neuromirror.options import Whole
from neuromirror.training.settings import Settings

if TYPE_CHECKING:
    from neuromirror.circuit.circuit import Circuit

app = App(
    name="neuromirror",
    help="Simulate weight mirrors: one circuit file, as spiking neurons and as rates.",
    help_epilogue="CIRCUIT is the path of a circuit file, or the name of a shipped circuit such as figure1.",
    version_flags=["--version"],
    help_flags=["--help", "-h"],
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)

app.command(data)

Changes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative=(),
        help="Change a value of the file: dotted.name=value. Repeatable; no value takes it out.",
    ),
]


Overlay = Annotated[
    str | None,
    Parameter(name="--method", help="Overlay of the circuit: wm, fa, kp, bp or ss; as the file says where left out."),
]


def _load(circuit: str, changes: tuple[str, ...], method: str | None) -> Circuit:
    from neuromirror.circuit.load import load

    loaded = load(circuit, changes)
    return loaded if method is None else loaded.method(method)


def _warn(circuit: Circuit, backend: str | None = None) -> None:
    for problem in circuit.check(backend):
        print(problem, file=sys.stderr)


@app.command
def check(circuit: str, /, *, backend: str | None = None, method: Overlay = None, set_: Changes = ()) -> None:
    """Check a circuit file, and report all its problems at once.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit.
    backend
        Also check that this backend can run it.
    """
    from neuromirror.circuit.capabilities import BACKENDS, able
    from neuromirror.circuit.geometry import forward_parameters
    from neuromirror.commands.check import training_lines

    loaded = _load(circuit, set_, method)
    _warn(loaded, backend)
    graph = loaded.graph
    per_unit = loaded.description.code.cells_per_unit
    weights = per_unit**2 * sum(data["weights"] for *_, data in graph.edges(data=True))
    cells = per_unit * sum(data["size"] for _, data in graph.nodes(data=True))
    projections = graph.number_of_edges()
    print(f"{loaded.name}: {len(graph)} populations, {cells} cells, {projections} projections, {weights} weights")
    parameters, arrays = forward_parameters(loaded.description)
    print(f"forward   {parameters:,} parameters, {arrays} weighted array{'' if arrays == 1 else 's'}")
    print(f"circuit   {loaded.sha256}")
    print(f"protocol  {loaded.protocol_sha256}")
    if loaded.not_local:
        print(f"not local {', '.join(f'{name} ({how} transport)' for name, how in sorted(loaded.not_local.items()))}")
    shown = [name if BACKENDS[name].installed else f"{name} (not installed)" for name in able(loaded.description)]
    print(f"runs on   {', '.join(shown) or 'no backend yet'}")
    for line in training_lines(loaded):
        print(line)


@app.command
def expand(circuit: str, /, *, method: Overlay = None, set_: Changes = ()) -> None:
    """Print a circuit in its long form: short forms and defaults written out.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit.
    """
    loaded = _load(circuit, set_, method)
    _warn(loaded)
    for name, how in sorted(loaded.not_local.items()):
        print_file(f"# {name} is not local: its weights are transported ({how}).\n")
    print_file(loaded.to_toml())


@app.command
def migrate(circuit: str, /, *, out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None) -> None:
    """Print a circuit file of an older version of the format in the newest, comments and all.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit.
    out
        New file to write it to instead. No file is ever overwritten.
    """
    from neuromirror.circuit.files import read, resolve
    from neuromirror.circuit.migrated_text import rewritten

    found = rewritten(read(resolve(circuit)), file=circuit)
    if not found.changed:
        print(f"{circuit}: of version {found.version} already, which is the newest.", file=sys.stderr)
    if not found.comments_kept:
        print(f"warning: {circuit}: the whole file had to be written out; comments are lost.", file=sys.stderr)
    if out is None:
        print_file(found.text)
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.write(found.text)
    except FileExistsError as error:
        raise RequestError(f"{out}: there is such a file, and it is not overwritten. Give another name.") from error
    except (OSError, ValueError) as error:
        raise RequestError(f"{out}: cannot be written ({getattr(error, 'strerror', error)}).") from error
    print(out)


@app.command
def schema() -> None:
    """Print the JSON Schema of circuit files, for editors."""
    from neuromirror.circuit.json_schema import json_schema

    print_file(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


@app.command
def draw(
    circuit: str,
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    method: Overlay = None,
    set_: Changes = (),
) -> None:
    """Draw a circuit: a small one cell by cell in each of its modes, a large one layer by layer on one page.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit.
    out
        File to write (png, svg or pdf); NAME.png by default.
    """
    from neuromirror.figures.draw import draw as draw_graph
    from neuromirror.figures.style import save

    loaded = _load(circuit, set_, method)
    _warn(loaded)
    print(save(draw_graph(loaded.graph), out or Path(f"{loaded.name}.png")))


@app.command
def run(
    circuit: str | None = None,
    /,
    *,
    backend: str = "brian2",
    seed: Whole = 0,
    seeds: Whole = 1,
    target: str = "auto",
    dtype: str = "float64",
    points: Whole = 200,
    out: Annotated[str | None, Parameter(name=["--out", "-o"])] = None,
    resume: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
    figures: Annotated[bool, Parameter(help="Draw the figures; --no-figures draws none.")] = True,
    method: Overlay = None,
    set_: Changes = (),
) -> None:
    """Simulate a circuit's schedule, record it, and draw its figures.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit; left out with --resume.
    backend
        brian2 (spiking cells), torch, brian2-rate or reference (rates).
    seed
        Root of all random streams.
    seeds
        Number of runs, with this seed and those that follow it.
    target
        For brian2: auto, numpy, cython or cpp_standalone; for brian2-rate: numpy. For torch: the device.
    dtype
        float64; torch has float32 too.
    points
        Number of rows of the metrics.
    out
        The run directory itself; with several seeds, the directory of the run directories.
    resume
        Go on with the run of this directory, as it was begun.
    json_
        Print one JSON object as the last line.
    """
    if resume is not None:
        from neuromirror.commands.resume import go_on

        begun = (circuit, backend, seed, seeds, target, dtype, points, out, method, set_)
        go_on(resume, begun, figures=figures, json_=json_)
        return
    if circuit is None:
        raise RequestError("run: name a circuit, such as figure1, or a run to go on with: --resume DIR.")
    if not 1 <= seeds <= 10_000:
        raise RequestError(f"--seeds {seeds}: expected a number of runs from 1 to 10000.")
    from neuromirror.backends.base import Options
    from neuromirror.commands.report import as_json, report, report_seeds
    from neuromirror.progress import ProgressBar
    from neuromirror.simulation import run_seeds

    loaded = _load(circuit, set_, method)
    _warn(loaded, backend)
    started = time.perf_counter()
    with ProgressBar() as bar:
        records = run_seeds(
            loaded,
            backend=backend,
            seeds=range(seed, seed + seeds),
            out=out,
            options=Options(target=target, dtype=dtype, points=points),
            figures=figures,
            announce=lambda line: print(line, file=sys.stderr),
            progress=bar.update,
        )
    wall_s = time.perf_counter() - started
    for record in records:
        report(record, figures)
    if len(records) > 1:
        report_seeds(records)
    if json_:
        print(json.dumps(as_json(records, wall_s), sort_keys=True))


@app.command
def sweep(
    circuit: str,
    /,
    *,
    vary: Annotated[
        tuple[str, ...], Parameter(negative=(), help="Values of the file: dotted.name=value,value,…. Repeatable.")
    ] = (),
    seed: Whole = 0,
    seeds: Whole = 1,
    jobs: Whole = 1,
    backend: str = "brian2",
    target: str = "auto",
    dtype: str = "float64",
    points: Whole = 200,
    out: Annotated[str | None, Parameter(name=["--out", "-o"])] = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
    method: Overlay = None,
    set_: Changes = (),
) -> None:
    """Simulate every combination of values with the same seeds, and print one table.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit.
    seed
        Root of all random streams.
    seeds
        Number of runs of each variation, with this seed and those that follow it.
    jobs
        Number of processes that run at a time.
    backend
        brian2 (spiking cells), torch, brian2-rate or reference (rates).
    target
        As for run; auto is chosen by the length of all runs together.
    dtype
        float64; torch has float32 too.
    points
        Number of rows of the metrics of each run.
    out
        The directory of the sweep; of one that was begun there, only the runs that are left are run.
    json_
        Print one JSON object as the last line.
    """
    from neuromirror.backends.base import Options
    from neuromirror.circuit.load import load
    from neuromirror.commands.sweep import Request, run_sweep

    request = Request(
        vary=vary,
        seeds=(seed, seeds),
        jobs=jobs,
        backend=backend,
        options=Options(target=target, dtype=dtype, points=points),
        method=method,
        out=out,
        as_json=json_,
    )
    run_sweep(load(circuit, set_), request)


@app.command
def train(
    circuit: str | None = None,
    /,
    *,
    settings: Annotated[Settings, Parameter(name="*")] = Settings(),  # noqa: B008 (frozen)
    backend: str = "torch",
    seed: Whole = 0,
    seeds: Whole = 1,
    target: str = "auto",
    out: Annotated[str | None, Parameter(name=["--out", "-o"])] = None,
    resume: Path | None = None,
    or_resume: Annotated[bool, Parameter(negative=())] = False,
    fork: Path | None = None,
    evaluate: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    throughput: float | None = None,
    bandwidth_gbit: float | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
    figures: Annotated[bool, Parameter(help="Draw the figures; --no-figures draws none.")] = True,
    set_: Changes = (),
) -> None:
    """Teach a circuit to tell images apart, by any method, and measure how well B follows W on the way.

    Parameters
    ----------
    circuit
        Circuit file, or name of a shipped circuit; left out with --resume.
    backend
        torch (networks of rates), or brian2 (spiking cells, every synapse learning by itself).
    seed
        Root of all random streams.
    seeds
        Number of runs, with this seed and those that follow it.
    target
        For brian2: auto, numpy, cython or cpp_standalone.
    out
        The run directory itself; with several seeds, the directory of the run directories.
    resume
        Go on with the run of this directory, as it was begun.
    or_resume
        Go on with the run that --out has, if it was begun in the same way, instead of refusing it: for jobs that are
        started again. What torchrun restarts does so by itself.
    fork
        Begin where the newest checkpoint of this run directory is, with whatever differs.
    evaluate
        Only evaluate the newest checkpoint of --resume.
    dry_run
        Only say what would be done: steps, operations, memory, exchange, angles, and cost by the number of processes.
    throughput
        Images/s of one process, forward and backward, for the times that --dry-run gives.
    bandwidth_gbit
        Gbit/s that one process sends, for the same.
    json_
        Print one JSON object as the last line.
    """
    from neuromirror.commands.train import Request, run_train

    request = Request(
        circuit=circuit,
        changes=set_,
        backend=backend,
        target=target,
        seeds=(seed, seeds),
        out=out,
        resume=resume,
        or_resume=or_resume,
        fork=fork,
        evaluate=evaluate,
        dry_run=dry_run,
        throughput=throughput,
        bandwidth_gbit=bandwidth_gbit,
        as_json=json_,
        figures=figures,
        settings=settings,
    )
    run_train(request)


@app.command
def compare(*runs: Path) -> None:
    """Compare runs: one row each, and medians with paired differences where several have the same circuit.

    Parameters
    ----------
    runs
        Run directories, or directories of them.
    """
    from neuromirror.compare import comparison

    if not runs:
        raise RequestError("compare: name at least one run directory.")
    print(comparison(list(runs)))


@app.command
def report(
    *runs: Path,
    figure: Whole = 2,
    out: Annotated[tuple[Path, ...], Parameter(name=["--out", "-o"], negative=())] = (),
    paper: str = "auto",
    skip: Annotated[bool, Parameter(negative=())] = False,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Draw Figure 2 or 3 of the paper from training runs, half-finished ones and several seeds among them.

    Parameters
    ----------
    runs
        Run directories, or directories of them.
    figure
        2: error by method over epochs; 3: angles of B and of errors by layer.
    out
        File to write (png, svg, pdf; csv for the numbers), figure2.png or figure3.png by default. Repeatable.
    paper
        Whose values of the paper stand beside Figure 2: auto (of the circuit itself, on 1,000 classes), none, or one of
        resnet18, resnet50, resnet18_norm_first, resnet50_norm_first.
    skip
        Leave out runs that cannot be drawn, and name them, instead of refusing.
    json_
        Print one JSON object as the last line.
    """
    from neuromirror.commands.paper_figures import Request, run_report

    run_report(Request(runs=runs, figure=figure, out=out, paper=paper, skip=skip, as_json=json_))


@app.command
def backends() -> None:
    """List the backends, what each can run, and whether it is installed."""
    from neuromirror.circuit.capabilities import BACKENDS

    for name, backend in BACKENDS.items():
        state = "installed" if backend.installed else f"not installed: {backend.install}"
        print(f"{name:11} {backend.about} ({state})")
        for what in ("codes", "activations", "noise_laws", "connectors", "transports"):
            if what == "activations" and backend.spiking:
                continue  # spiking cells have none
            print(f"{'':11}   {what.replace('_', ' '):12} {', '.join(sorted(getattr(backend, what)))}")


@app.command
def cite() -> None:
    """Print how to cite neuromirror and the paper that it simulates."""
    from neuromirror import __version__

    print(
        f"neuromirror {__version__}, simulator of weight mirrors.\n\n"
        "Akrout M, Wilson C, Humphreys PC, Lillicrap T, Tweed D (2019). Using Weight Mirrors to Improve Feedback\n"
        "Alignment. arXiv:1904.05391. Published as: Deep Learning without Weight Transport, NeurIPS 2019.\n\n"
        "Spiking runs use Brian 2: Stimberg M, Brette R, Goodman DFM (2019). Brian 2, an intuitive and efficient\n"
        "neural simulator. eLife 8:e47314."
    )


def main(arguments: list[str] | None = None) -> None:
    """Run a command, and exit with its code.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of those of the process. ``--debug`` among them shows tracebacks.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    sys.exit(_run([argument for argument in arguments if argument != "--debug"], debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    from neuromirror import __version__

    app.version = __version__
    with lasting_output(), noting_interrupts() as interrupted:
        command = partial(naming_values, lambda: app(arguments, result_action="return_none"), arguments)
        return code_of(command, interrupted, debug=debug)


if __name__ == "__main__":
    main()
