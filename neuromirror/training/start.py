"""How a run with its record starts: at its beginning, where it was cut short, or where another one has come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuromirror.backends.torch.ranks import Ranks
from neuromirror.errors import RequestError
from neuromirror.record import open_run
from neuromirror.record.onlooker import Onlooker
from neuromirror.record.store import RunWriter, check_free, is_free
from neuromirror.simulation import manifest_of, versions_of
from neuromirror.training import checkpoint, image_contents
from neuromirror.training.forks import check_fork, copy_rows
from neuromirror.training.images import check_images
from neuromirror.training.loop import Trainer
from neuromirror.training.prepared import Prepared
from neuromirror.training.session import CHECKPOINTS, Session, phases_of
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import FILE, to_json


def is_begun(folder: Path, goes_on: bool) -> bool:
    """Return whether there is a run to go on with; where none may go on, refuse a directory that is not free."""
    if goes_on and not is_free(folder):
        if (folder / FILE).is_file() and (folder / "manifest.json").is_file():
            return True
        if {path.name.removesuffix(".part") for path in folder.iterdir()} <= _FIRST_FILES:
            return False  # of a run that was killed before it had begun
    check_free(folder)
    return False


_FIRST_FILES = {"circuit.toml", FILE, "metrics.jsonl", "manifest.json"}


def begin(
    prepared: Prepared, seed: int, settings: Settings, folder: Path, ranks: Ranks, *, fork: Path | None = None
) -> Session:
    """Return a run at its beginning, or where another one has come to."""
    trainer = prepared.trainer(seed, settings, ranks)
    state = None if fork is None else checkpoint.newest(fork / CHECKPOINTS, ranks=ranks)
    notes: Mapping[str, Any] = {}
    if fork is not None:
        ranks.together(lambda: check_fork(fork, state, trainer))
        assert state is not None
        notes = {"forked_from": {"run": fork.absolute().name, "step": state.said["step"]}}
        if state.said["data_sha256"] == prepared.data.sha256:  # another set of images is another matter
            ranks.together(lambda: image_contents.compare(fork, prepared.data))
    writer = ranks.on_first(lambda: _writer(prepared, trainer, settings, folder, notes))
    session = Session(trainer, prepared.data, prepared.size, settings, writer or Onlooker(folder), notes)
    if fork is not None and state is not None:
        _continue(session, state, fork)
    return session


def _continue(session: Session, state: checkpoint.State, fork: Path) -> None:
    """Bring a run that has just begun to where another one has come to; from then on it has a checkpoint of its own."""
    session.ranks.on_first(lambda: copy_rows(fork, state, session))
    session.restore(state)
    session.save()


def _writer(
    prepared: Prepared, trainer: Trainer, settings: Settings, folder: Path, notes: Mapping[str, Any]
) -> RunWriter:
    plan, roles = trainer.network.plan, trainer.roles
    learned = {*roles.forward, *roles.kolen_pollack, *(one.name for mode in roles.mirrors for one in mode.learners)}
    target = f"{trainer.device}, {settings.dtype}"
    manifest = manifest_of(plan, backend="torch", target=target, phases=phases_of(trainer), learned=learned)
    versions = versions_of("torch", "torchvision")
    files = prepared.circuit.to_files("circuit")
    text = files.pop("circuit.toml").decode()
    summary = {"data": prepared.data.name, "data_sha256": prepared.data.sha256, **notes}
    manifest = dataclasses.replace(manifest, versions=versions, summary=summary)
    for name in _FIRST_FILES if folder.is_dir() and not (folder / "manifest.json").exists() else ():
        (folder / name).unlink(missing_ok=True)  # of a run that was killed before it had begun
    return RunWriter.create(folder, manifest, text, {**files, FILE: to_json(settings).encode()})


def gone_on(
    prepared: Prepared, seed: int, settings: Settings, folder: Path, ranks: Ranks, *, fork: Path | None = None
) -> Session:
    """Return a run where it was cut short; it was begun in this way."""
    notes = {key: one for key, one in open_run(folder).manifest.summary.items() if key == "forked_from"}
    state = checkpoint.newest(folder / CHECKPOINTS, ranks=ranks)
    if state is not None:
        ranks.together(lambda: check_images(settings, prepared.data, state.said["data_sha256"], folder))
    trainer = prepared.trainer(seed, settings, ranks)
    rows = 0 if state is None else state.said["rows"]
    writer = ranks.on_first(lambda: RunWriter.reopen(folder, rows))
    session = Session(trainer, prepared.data, prepared.size, settings, writer or Onlooker(folder), notes)
    if state is not None:
        session.restore(state)
        session.saved_step = session.trainer.step
    elif notes:  # it was killed before it had a checkpoint of its own
        first = None if fork is None else checkpoint.newest(fork / CHECKPOINTS, ranks=ranks)
        if fork is None or first is None or first.said["step"] != notes["forked_from"]["step"]:
            raise RequestError(
                f"{folder}: it came from another run and was stopped before it had a checkpoint of its own. Take the "
                "directory away, and begin it again with --fork."
            )
        _continue(session, first, fork)
    return session
