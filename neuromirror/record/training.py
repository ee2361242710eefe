"""Runs that learned from images: what of a record says which of them belong together."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from neuromirror.errors import RequestError
from neuromirror.record.rows import DAMAGED, parse_json, quoted
from neuromirror.record.run import Run

FILE = "training.json"
"""The options that a training run was begun with."""

NUMERICS = ("dtype", "bf16")
"""The options that change what is computed."""


class TrainingRun:
    """What figures of learning read of a run.

    Parameters
    ----------
    run : Run
        Of ``neuromirror train``; it need not be complete.

    Attributes
    ----------
    run : Run
    settings : mapping of str to object
        Of ``training.json``.
    circuit : mapping of str to object
        The tables of ``circuit.toml``.
    rows : list of dict
        The rows of the metrics that have an epoch.

    Raises
    ------
    RequestError
        If the run learned from no images, or a file of it cannot be read.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.settings = _settings(run.path / FILE)
        try:
            self.circuit: Mapping[str, Any] = tomllib.loads(run.circuit_toml)
        except tomllib.TOMLDecodeError as error:
            raise RequestError(f"{run.path / 'circuit.toml'}: cannot be read ({error}). {DAMAGED}") from error
        self.rows = [row for row in run.metrics() if self.number(row, "epoch") is not None]

    def __repr__(self) -> str:
        return f"<TrainingRun {self.run.path}>"

    @property
    def seed(self) -> int:
        """The root seed."""
        return self.run.manifest.seed

    @property
    def family(self) -> str:
        """Name of the circuit, without that of the method."""
        return self.run.manifest.circuit.removesuffix(f"-{self.settings['method']}")

    @cached_property
    def method(self) -> str:
        """The method: as it was asked for, or ``"wm"`` where the file has modes in which B mirrors, or ``""``."""
        if self.settings["method"] is not None:
            return self.settings["method"]
        modes = self.circuit.get("modes", {}).values()
        mirrors = (mode.get("noise") and set(mode.get("learn", {})) & set(self.run.mirrored) for mode in modes)
        return "wm" if any(mirrors) else ""

    @property
    def data(self) -> str:
        """Name of the set of images."""
        return str(self.run.manifest.summary.get("data") or Path(self.settings["data"]).name)

    @property
    def data_key(self) -> str:
        """The hash of the images, if the record has it, else their name."""
        return str(self.run.manifest.summary.get("data_sha256") or self.data)

    @cached_property
    def forward(self) -> dict[str, Any]:
        """What the forward path is made of, the same under all methods: tables of populations and projections."""
        populations = self.circuit.get("populations", {})
        forward = {name: one for name, one in populations.items() if one.get("path") == "forward"}
        joined = {
            name: {key: value for key, value in one.items() if key != "weight"}
            for name, one in self.circuit.get("projections", {}).items()
            if one.get("target") in forward and one.get("source") in forward
        }
        return {**forward, **joined}

    @cached_property
    def forward_sha256(self) -> str:
        """The hash of `forward`."""
        return hashlib.sha256(json.dumps(self.forward, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def protocol_key(self) -> tuple[object, ...]:
        """What runs have in common that differ in their seed only."""
        manifest = self.run.manifest
        numerics = (self.settings[name] for name in NUMERICS)
        return (self.method, manifest.circuit_sha256, manifest.protocol_sha256, manifest.backend, *numerics)

    @property
    def classes(self) -> int:
        """Number of classes: cells of the last forward layer."""
        forward = [one for one in self.run.manifest.populations.values() if one["path"] == "forward"]
        return max(forward, key=lambda one: one["layer"])["size"] if forward else 0

    @property
    def part(self) -> str:
        """The images on which every epoch is evaluated: ``"validation"`` if there are some, else ``"test"``."""
        return "validation" if self.settings["validation_images"] else "test"

    @property
    def reached(self) -> float:
        """Epochs done, as far as the metrics say."""
        return max((float(row["epoch"]) for row in self.rows), default=0.0)

    @property
    def total(self) -> float | None:
        """Epochs that the run has in all; None where a run that is not complete does not say."""
        if self.run.manifest.complete:
            return self.reached
        training = self.circuit.get("training", {})
        if self.run.manifest.backend != "torch" or "epochs" not in training:
            return None
        if training.get("steps") is None:
            return float(training["epochs"])
        done = [(row["epoch"], row["step"]) for row in self.rows if row.get("step")]
        return min(float(training["epochs"]), done[-1][0] / done[-1][1] * training["steps"]) if done else None

    def number(self, row: Mapping[str, Any], key: str, name: str | None = None) -> float | None:
        """Return a number of a row, or one of those that it has by name; None where there is none.

        Raises
        ------
        RequestError
            If something else is there.
        """
        value = row.get(key)
        if name is not None and isinstance(value, Mapping):
            value = value.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            what = key if name is None else f"{key} of {name}"
            raise RequestError(
                f"{self.run.path / 'metrics.jsonl'}: {what} is {quoted(value)}, expected a number or null. {DAMAGED}"
            )
        return None if value is None else float(value)

    def names(self, key: str) -> set[str]:
        """Return the names by which rows have numbers under a key, such as the layers of ``angles_deg``."""
        return {name for row in self.rows if isinstance(found := row.get(key), Mapping) for name in found}


def _settings(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RequestError(
            f"{file.parent}: this run learned from no images. Give runs of 'neuromirror train'."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file}: cannot be read ({error}). {DAMAGED}") from error
    found = parse_json(text, file=file)
    wanted = ("data", "method", "validation_images", *NUMERICS)
    if not isinstance(found, dict) or any(name not in found for name in wanted):
        raise RequestError(f"{file}: {quoted(found)} are not the options of a training run. {DAMAGED}")
    if not isinstance(found["data"], str) or not isinstance(found["method"], str | None):
        raise RequestError(f"{file}: data and method are {found['data']!r} and {found['method']!r}. {DAMAGED}")
    return found
