"""Trains circuits on images: prepares data and network, runs the session, goes on with runs that were cut short."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from neuromirror.backends.torch.determinism import deterministic
from neuromirror.backends.torch.ranks import Ranks, joined
from neuromirror.begun import check_incomplete
from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import RequestError, UnsupportedError
from neuromirror.processes import place
from neuromirror.record.manifest import Manifest
from neuromirror.result import Run, open_run, warned
from neuromirror.simulation import run_folders
from neuromirror.training import checkpoint
from neuromirror.training.agreement import check_alike
from neuromirror.training.forks import check_same_run
from neuromirror.training.images import notes_of
from neuromirror.training.loop import Trainer
from neuromirror.training.moment import go_on
from neuromirror.training.prepared import Prepared, prepare, prepared_again
from neuromirror.training.session import CHECKPOINTS, Session
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import read_settings
from neuromirror.training.start import begin, gone_on, is_begun

Progress = Callable[[float, float], None]


def train(
    circuit: Circuit | str | Path,
    *,
    data: str | Path = "digits",
    method: str | None = None,
    backend: str = "torch",
    target: str = "auto",
    seed: int = 0,
    out: Path | str | None = None,
    figures: bool = True,
    or_resume: bool = False,
    fork: Path | str | None = None,
    **settings: Any,
) -> Run:
    """Teach a circuit to tell images apart (section 7).

    Parameters
    ----------
    circuit : Circuit, str or Path
        A circuit, its file, or the name of a shipped one. Its number of classes and of input channels becomes that of
        the data, whose images are resized to its input.
    data : str or Path
        ``"digits"``, ``"synthetic"``, or a directory of class folders.
    method : {"wm", "fa", "kp", "bp", "ss"}, optional
        The overlay; as the file says where left out. All methods: `neuromirror.circuit.methods.METHODS`.
    backend : {"torch", "brian2"}
        Networks of rates, or spiking cells of which every synapse learns by itself.
    target : str
        For brian2 ``auto``, ``numpy``, ``cython`` or ``cpp_standalone``.
    seed : int
        Root of all random streams.
    out : path, optional
        The run directory itself; ``runs/NAME-DATA-seedN`` by default, numbered where it is taken.
    figures : bool
        Whether to draw the figures.
    or_resume : bool
        Whether a run that ``out`` has already goes on, if it was begun in the same way. With torch alone.
    fork : path, optional
        A run directory at whose newest checkpoint this run begins. With torch alone.
    **settings
        See `neuromirror.training.settings.Settings`.

    Returns
    -------
    Run
        The record, opened.

    Raises
    ------
    CircuitError
        If the circuit has errors, or what cannot be trained.
    RequestError
        If the data cannot be used, an option is wrong, or the run directory is taken.
    DivergenceError
        If the loss or a weight is no longer finite; the record up to there is kept.
    """
    try:
        name = data if isinstance(data, str) else os.path.join(os.curdir, data)  # "./digits" is a directory
        chosen = Settings(data=name, method=method, **settings)
    except TypeError as error:
        raise RequestError(f"train: {error}. See neuromirror.training.settings.Settings.") from error
    if backend == "brian2":
        if or_resume or fork is not None:
            raise UnsupportedError("train: spiking cells go on by neuromirror.resume alone, not by or_resume or fork.")
        from neuromirror.training.spiking import train_spiking_seeds

        return train_spiking_seeds(circuit, seeds_=[seed], out=out, settings=chosen, target=target, figures=figures)[0]
    if backend != "torch" or target != "auto":
        raise RequestError(f"train: backend '{backend}' with target '{target}'. Use torch, or brian2 with a target.")
    return train_seeds(
        circuit,
        seeds_=[seed],
        out=out,
        settings=chosen,
        figures=figures,
        or_resume=or_resume,
        fork=None if fork is None else Path(fork),
    )[0]


def train_seeds(
    circuit: Circuit | str | Path,
    *,
    seeds_: Sequence[int],
    out: Path | str | None = None,
    settings: Settings,
    figures: bool = True,
    or_resume: bool = False,
    fork: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[Session], Progress] = lambda _: lambda done, total: None,
) -> list[Run]:
    """Train once for each seed; see `train`.

    With several seeds ``out`` names the directory that holds a run directory ``seed-N`` for each. Under torchrun all of
    its processes train together, and what it starts again goes on by itself.

    Parameters
    ----------
    or_resume : bool
        Whether runs that ``out`` has already go on, if they were begun in the same way, and complete ones stay.
    fork : Path, optional
        A run from whose newest checkpoint this one begins, with whatever differs in its circuit and settings.

    Raises
    ------
    RequestError
        As `train`, and if a run was begun in another way, with the differences.
    """
    ranks = joined()
    if not seeds_ or len(set(seeds_)) < len(seeds_):
        raise RequestError(f"seeds {list(seeds_)}: expected one or more seeds, each once.")
    if ranks.size > 1 and out is None:
        raise RequestError("--out: several processes need one directory, by which a run is found again. Add --out DIR.")
    if fork is not None and len(seeds_) > 1:
        raise RequestError("--fork: one run comes from another. Leave out --seeds.")
    prepared = ranks.together(lambda: prepare(circuit, settings))
    check_alike(ranks, asked(prepared, seeds_, settings, or_resume=or_resume, fork=fork))
    goes_on = or_resume or place().restarts > 0
    folders = run_folders(f"{prepared.circuit.name}-{prepared.data.name}", list(seeds_), out)
    begun = ranks.together(lambda: [is_begun(folder, goes_on) for folder in folders])
    runs = []
    for seed, folder, has_begun in zip(seeds_, folders, ranks.gathered(begun)[0], strict=True):
        if has_begun:
            ranks.together(lambda: check_same_run(folder, prepared.circuit, seed, settings))  # noqa: B023 (done at once)
        if not (has_begun and open_run(folder).manifest.complete):
            with deterministic():
                make = gone_on if has_begun else begin
                session = make(prepared, seed, settings, folder, ranks, fork=fork)
                announce(said_of(session, prepared, settings))
                for line in notes_of(prepared.data, settings):
                    announce(line)
                session.run(progress(session))
        runs.append(_opened(folder, figures, ranks))
    return runs


def asked(prepared: Prepared, seeds_: Sequence[int], settings: Settings, **options: Any) -> dict[str, Any]:
    """Return what all processes of a run must have alike; where its images are may differ between machines."""
    circuit = prepared.circuit
    return {
        "circuit": f"{circuit.name} ({circuit.sha256[:12]}, protocol {circuit.protocol_sha256[:12]})",
        "images": f"{len(prepared.data.train)} to learn from ({prepared.data.sha256[:12]})",
        "seeds": list(seeds_),
        **{f"--{name.replace('_', '-')}": str(value) for name, value in options.items()},
        **{
            f"--{name.replace('_', '-')}": value
            for name, value in vars(settings).items()
            if name not in ("data", "workers")
        },
    }


def resume(
    folder: Path | str,
    *,
    figures: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[Session], Progress] = lambda _: lambda done, total: None,
) -> Run:
    """Go on with a run that was cut short, to the same end that it would have had.

    Parameters
    ----------
    folder : path
        The run directory.

    Raises
    ------
    RequestError
        If it is none of `train`, is complete, or its data has changed.
    """
    folder, ranks = Path(folder), joined()

    def checked() -> tuple[Manifest, Settings]:
        settings = read_settings(folder)  # which says what is wrong with a directory of another command
        manifest = open_run(folder).manifest
        if place().restarts == 0:
            check_incomplete(folder, manifest, "Train again")
        return manifest, settings

    manifest, settings = ranks.together(checked)
    if not manifest.complete:
        prepared = ranks.together(lambda: prepared_again(folder, manifest, settings))
        with deterministic():
            session = gone_on(prepared, manifest.seed, settings, folder, ranks)
            announce(said_of(session, prepared, settings))
            session.run(progress(session))
    return _opened(folder, figures, ranks)


def evaluate(folder: Path | str) -> dict[str, float]:
    """Return the error of the newest checkpoint of a run on each part of its data, in percent; nothing is trained."""
    folder, ranks = Path(folder), joined()

    def begun() -> tuple[Settings, Manifest, Prepared]:
        settings, manifest = read_settings(folder), open_run(folder).manifest
        return settings, manifest, prepared_again(folder, manifest, settings)

    settings, manifest, prepared = ranks.together(begun)
    state = checkpoint.newest(folder / CHECKPOINTS, ranks=ranks)
    if state is None:
        raise RequestError(f"{folder}: there is no checkpoint in it. Train first.")
    trainer = prepared.trainer(manifest.seed, settings, ranks)
    go_on(trainer, state)
    parts = {"validation": prepared.data.validation, "test": prepared.data.test}
    return {
        f"{name}_error_percent": trainer.error_percent(images, prepared.data)
        for name, images in parts.items()
        if images is not None
    }


def said_of(session: Session, prepared: Prepared, settings: Settings) -> str:
    """Return the line that begins a run: what will be done, or is still to do."""
    trainer = session.trainer
    begun_at = session.notes.get("forked_from", {}).get("step", 0)
    if trainer.step > begun_at:
        return f"{session.writer.path}: goes on after step {trainer.step} of {trainer.length.total}"
    return plan_line(trainer, prepared, settings)


def plan_line(trainer: Trainer, prepared: Prepared, settings: Settings) -> str:
    """Return in a line what a run does, on what."""
    length, ranks = trainer.length, trainer.ranks.size
    images, test = len(prepared.data.train), len(prepared.data.test)
    mirrored = f", the first {length.mirror} of mirroring alone" if length.mirror else ""
    threads, resting = torch.get_num_threads(), ", ".join(trainer.updater.without_errors)
    return (
        f"{prepared.circuit.name}: {length.total} steps of {trainer.training.batch} images{mirrored}; "
        f"{prepared.data.name}, {images} images to learn from and {test} to test; "
        f"torch ({'' if ranks == 1 else f'{ranks} processes, '}{trainer.device}, {settings.dtype}, "
        f"{threads} thread{'' if threads == 1 else 's'}), "
        f"seed {trainer.network.plan.seed}{f'; no error reaches {resting}, for want of a B' if resting else ''}"
    )


def _opened(folder: Path, figures: bool, ranks: Ranks) -> Run:
    record = ranks.together(lambda: open_run(folder))
    if ranks.is_first:
        warned(record)
    if figures:
        ranks.on_first(record.save_figures)
    return record
