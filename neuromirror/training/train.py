"""Trains circuits on images: prepares data and network, runs the session, goes on with runs that were cut short."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from neuromirror import seeds
from neuromirror.backends.torch.network import Network
from neuromirror.begun import check_circuit, check_incomplete
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.circuit.protocol import Training
from neuromirror.data.batches import Batches
from neuromirror.errors import RequestError
from neuromirror.plan import Plan
from neuromirror.record.manifest import Manifest
from neuromirror.record.store import RunWriter, check_free
from neuromirror.result import Run, open_run
from neuromirror.simulation import manifest_of, run_folders, versions_of
from neuromirror.training import checkpoint
from neuromirror.training.device import DTYPES, device_of
from neuromirror.training.images import Fitted, check_images, circuit_to_train, fitted_to_images
from neuromirror.training.loop import Trainer
from neuromirror.training.roles import roles_of
from neuromirror.training.session import CHECKPOINTS, Session, phases_of
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import FILE, read_settings, to_json

Progress = Callable[[float, float], None]


class Prepared(Fitted):
    """A circuit and the images that it is fitted to, for a network of torch."""

    def trainer(self, seed: int, settings: Settings) -> Trainer:
        """Return a run at its beginning."""
        plan = Plan(self.circuit, seeds.checked_seed(seed))
        roles, training = roles_of(plan), plan.description.training or Training()
        network = Network(plan, roles.on).to(device=device_of(settings.device), dtype=DTYPES[settings.dtype])
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        batches = Batches(
            self.data.train,
            self.data,
            batch=training.batch,
            size=self.size,
            augment=training.augment,
            seed=plan.seed,
            workers=settings.workers,
            pin_memory=device_of(settings.device).type == "cuda",
        )
        return Trainer(
            network,
            roles,
            training,
            batches,
            autocast=torch.bfloat16 if settings.bf16 else None,
            compiled=settings.compile,
        )


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
        from neuromirror.training.spiking import train_spiking_seeds

        return train_spiking_seeds(circuit, seeds_=[seed], out=out, settings=chosen, target=target, figures=figures)[0]
    if backend != "torch" or target != "auto":
        raise RequestError(f"train: backend '{backend}' with target '{target}'. Use torch, or brian2 with a target.")
    return train_seeds(circuit, seeds_=[seed], out=out, settings=chosen, figures=figures)[0]


def train_seeds(
    circuit: Circuit | str | Path,
    *,
    seeds_: Sequence[int],
    out: Path | str | None = None,
    settings: Settings,
    figures: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[Session], Progress] = lambda _: lambda done, total: None,
) -> list[Run]:
    """Train once for each seed; see `train`.

    With several seeds ``out`` names the directory that holds a run directory ``seed-N`` for each.
    """
    prepared = prepare(circuit, settings)
    if not seeds_ or len(set(seeds_)) < len(seeds_):
        raise RequestError(f"seeds {list(seeds_)}: expected one or more seeds, each once.")
    folders = run_folders(f"{prepared.circuit.name}-{prepared.data.name}", list(seeds_), out)
    for folder in folders:
        check_free(folder)
    runs = []
    for seed, folder in zip(seeds_, folders, strict=True):
        with deterministic():
            session = _begin(prepared, prepared.trainer(seed, settings), settings, folder)
            announce(said_of(session.trainer, prepared, settings))
            session.run(progress(session))
        runs.append(_opened(folder, figures))
    return runs


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
    folder = Path(folder)
    read_settings(folder)  # which says what is wrong with a directory of another command
    check_incomplete(folder, open_run(folder).manifest, "Train again")
    manifest, settings, prepared, state = _begun(folder)
    with deterministic():
        trainer = prepared.trainer(manifest.seed, settings)
        session = Session(
            trainer,
            prepared.data,
            prepared.size,
            settings,
            RunWriter.reopen(folder, 0 if state is None else state["rows"]),
        )
        if state is not None:
            session.restore(state)
        announce(f"{folder}: goes on after step {trainer.step} of {trainer.length.total}")
        session.run(progress(session))
    return _opened(folder, figures)


def evaluate(folder: Path | str) -> dict[str, float]:
    """Return the error of the newest checkpoint of a run on each part of its data, in percent; nothing is trained."""
    folder = Path(folder)
    manifest, settings, prepared, state = _begun(folder)
    if state is None:
        raise RequestError(f"{folder}: there is no checkpoint in it. Train first.")
    trainer = prepared.trainer(manifest.seed, settings)
    trainer.restore({key: state[key] for key in ("network", "updater", "step", "seen", "tally")})
    parts = {"validation": prepared.data.validation, "test": prepared.data.test}
    return {
        f"{part}_error_percent": trainer.error_percent(
            Batches(images, prepared.data, batch=min(250, len(images)), size=prepared.size)
        )
        for part, images in parts.items()
        if images is not None
    }


def prepare(circuit: Circuit | str | Path, settings: Settings, *, overlaid: bool = False) -> Prepared:
    """Load the data, and fit the circuit to it.

    Parameters
    ----------
    circuit : Circuit, str or Path
    settings : Settings
    overlaid : bool
        Whether the circuit is that of the method already.
    """
    settings.check()
    device_of(settings.device)
    circuit = circuit_to_train(circuit, settings, overlaid=overlaid)
    roles_of(Plan(circuit, 0))  # which says what stands in the way, before any image is read
    fitted = fitted_to_images(circuit, settings)
    return Prepared(circuit=fitted.circuit, data=fitted.data, size=fitted.size)


def said_of(trainer: Trainer, prepared: Prepared, settings: Settings) -> str:
    """Return the line that begins a run: what will be done, on what."""
    length = trainer.length
    images, test = len(prepared.data.train), len(prepared.data.test)
    mirrored = f", the first {length.mirror} of mirroring alone" if length.mirror else ""
    threads = torch.get_num_threads()
    return (
        f"{prepared.circuit.name}: {length.total} steps of {trainer.training.batch} images{mirrored}; "
        f"{prepared.data.name}, {images} images to learn from and {test} to test; "
        f"torch ({trainer.device}, {settings.dtype}, {threads} thread{'' if threads == 1 else 's'}), "
        f"seed {trainer.network.plan.seed}"
    )


@contextmanager
def deterministic() -> Iterator[None]:
    """Let torch use only algorithms that give the same numbers again, where it has some."""
    held, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(held, warn_only=warned)


def _begin(prepared: Prepared, trainer: Trainer, settings: Settings, folder: Path) -> Session:
    plan, roles = trainer.network.plan, trainer.roles
    learned = {*roles.forward, *roles.kolen_pollack, *(one.name for mode in roles.mirrors for one in mode.learners)}
    target = f"{trainer.device}, {settings.dtype}"
    manifest = manifest_of(plan, backend="torch", target=target, phases=phases_of(trainer), learned=learned)
    versions = versions_of("torch", "torchvision")
    files = prepared.circuit.to_files("circuit")
    text = files.pop("circuit.toml").decode()
    summary = {"data": prepared.data.name, "data_sha256": prepared.data.sha256}
    manifest = dataclasses.replace(manifest, versions=versions, summary=summary)
    writer = RunWriter.create(folder, manifest, text, {**files, FILE: to_json(settings).encode()})
    return Session(trainer, prepared.data, prepared.size, settings, writer)


def _begun(folder: Path) -> tuple[Manifest, Settings, Prepared, dict[str, Any] | None]:
    """Return what a run began with, checked, and its newest checkpoint."""
    settings, manifest = read_settings(folder), open_run(folder).manifest
    if manifest.backend != "torch":
        raise RequestError(
            f"{folder}: cells of {manifest.backend} are tested as they learn. Their errors are in its metrics.jsonl; "
            "go on with it by neuromirror train --resume, without --evaluate."
        )
    prepared = prepare(load(folder / "circuit.toml"), settings, overlaid=True)
    check_circuit(folder, prepared.circuit, manifest)
    state, began = checkpoint.newest(folder / CHECKPOINTS), manifest.summary.get("data_sha256")
    if began is None:
        began = prepared.data.sha256 if state is None else state["data_sha256"]
    check_images(settings, prepared.data, began)
    return manifest, settings, prepared, state


def _opened(folder: Path, figures: bool) -> Run:
    record = open_run(folder)
    if figures:
        record.save_figures()
    return record
