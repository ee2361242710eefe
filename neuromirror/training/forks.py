"""Whether a run that goes on was begun in the same way, and runs that begin where another one has come to."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import RequestError, dotted
from neuromirror.record import open_run
from neuromirror.training.checkpoint import State
from neuromirror.training.loop import Trainer
from neuromirror.training.moment import checked_arrays
from neuromirror.training.session import Session
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import read_settings

FREE = frozenset({"checkpoint_s", "checkpoint_steps", "keep_checkpoints", "workers", "tensorboard", "profile_steps"})
"""Settings that no number depends on, and that may change while a run goes on."""

_MOST = 6


def check_same_run(folder: Path, circuit: Circuit, seed: int, settings: Settings) -> None:
    """Refuse to go on with a run that was begun in another way.

    Raises
    ------
    RequestError
        With what differs.
    """
    found = list(differences(folder, circuit, seed, settings))
    if found:
        more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
        raise RequestError(
            f"{folder}: this run was begun in another way: {'; '.join(found[:_MOST])}{more}. Go on as it was begun, or "
            f"begin another from its newest checkpoint: --fork {folder} --out DIR."
        )


def differences(folder: Path, circuit: Circuit, seed: int, settings: Settings) -> Iterator[str]:
    """Yield what a run directory was begun with and what it is now, one text for each."""
    manifest, before = open_run(folder).manifest, read_settings(folder)
    if manifest.seed != seed:
        yield f"--seed {manifest.seed} → {seed}"
    for field in dataclasses.fields(Settings):
        then, now = getattr(before, field.name), getattr(settings, field.name)
        if then != now and field.name not in FREE:
            yield f"--{field.name.replace('_', '-')} {then} → {now}"
    if (circuit.sha256, circuit.protocol_sha256) == (manifest.circuit_sha256, manifest.protocol_sha256):
        return
    then = dict(_values(tomllib.loads((folder / "circuit.toml").read_text(encoding="utf-8"))))
    now = dict(_values(tomllib.loads(circuit.to_files("circuit")["circuit.toml"].decode())))
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    yield from (f"{name} {_said(then, name)} → {_said(now, name)}" for name in changed)
    if not changed:
        yield "the numbers in the files of its circuit"


def _values(table: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of everything in a table."""
    if isinstance(table, dict):
        for key, value in table.items():
            yield from _values(value, (*path, key))
    else:
        yield dotted(path), table


def _said(values: dict[str, Any], name: str) -> str:
    value = values.get(name, "not there")
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_fork(fork: Path, state: State | None, trainer: Trainer) -> None:
    """Refuse to begin where another run has come to, if it counts steps otherwise or is of other arrays.

    Raises
    ------
    RequestError
    """
    if state is None:
        raise RequestError(f"--fork {fork}: there is no checkpoint in it. Name a directory of 'neuromirror train'.")
    then, now = (state.said["epoch_steps"], state.said["mirror_steps"]), (trainer.length.epoch, trainer.length.mirror)
    if then != now:
        raise RequestError(
            f"--fork {fork}: it has {then[0]} steps to an epoch and {then[1]} of mirroring alone, and this run "
            f"{now[0]} and {now[1]}, so steps differ. Keep training.batch, training.mirror_epochs and the images."
        )
    if state.said["step"] >= trainer.length.total:
        raise RequestError(
            f"--fork {fork}: its newest checkpoint is of step {state.said['step']}, and this run ends at "
            f"{trainer.length.total}. Ask for more training.epochs."
        )
    checked_arrays(trainer, state)


def copy_rows(fork: Path, state: State, session: Session) -> None:
    """Begin the metrics of a run with those of the one that it comes from."""
    for row in open_run(fork).metrics()[: state.said["rows"]]:
        session.writer.metrics(row)
