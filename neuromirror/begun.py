"""What a run directory must be for its run to go on: cut short, of a target that keeps states, and nothing changed."""

from __future__ import annotations

from pathlib import Path

from neuromirror.backends.base import unresumable
from neuromirror.circuit.circuit import Circuit
from neuromirror.errors import RequestError, UnsupportedError
from neuromirror.record.manifest import Manifest
from neuromirror.simulation import versions_of


def check_incomplete(folder: Path, manifest: Manifest, again: str) -> None:
    """Refuse runs that have reached their end; ``again`` is what to do for more, such as ``"Run again"``.

    Raises
    ------
    RequestError
    """
    if manifest.complete:
        raise RequestError(f"{folder}: this run is complete. {again} with another --out for more.")


def check_resumable(folder: Path, manifest: Manifest, *more: str) -> None:
    """Refuse runs of backends and targets that keep no state, and those begun with other versions.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    *more : str
        Modules that the numbers depend on besides; see `neuromirror.simulation.versions_of`.

    Raises
    ------
    UnsupportedError
        If there is no state to go on from.
    RequestError
        If a version has changed.
    """
    if (why := unresumable(manifest.backend, manifest.target)) is not None:
        raise UnsupportedError(f"{folder}: it cannot be resumed, since {why}. Start the run again.")
    now = versions_of(manifest.backend, *more)
    for name, version in manifest.versions.items():
        if now.get(name) != version:
            raise RequestError(
                f"{folder}: begun with {name} {version}, and this is {now.get(name)}, which may give other numbers. "
                f"Install {name} {version}, or start the run again."
            )


def check_circuit(folder: Path, circuit: Circuit, manifest: Manifest) -> None:
    """Refuse a circuit that is not the one that a run began with.

    Raises
    ------
    RequestError
    """
    if (circuit.sha256, circuit.protocol_sha256) != (manifest.circuit_sha256, manifest.protocol_sha256):
        raise RequestError(f"{folder}/circuit.toml: another circuit than the run began with. Restore the file.")
