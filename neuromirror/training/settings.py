"""How a training run is made, apart from what the circuit file says: data, device, numbers, checkpoints."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch

from neuromirror.errors import RequestError
from neuromirror.record.rows import parse_json, quoted

FILE = "training.json"
"""What a run directory keeps of its settings."""

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one training run.

    Attributes
    ----------
    data : str
        ``digits``, ``synthetic``, or a directory of class folders.
    method : str or None
        The overlay; None as the file says.
    train_images, test_images : int or None
        How many images of each part; None for all.
    validation_images : int
        Training images that are put aside, and on which every epoch is evaluated instead of on the test images.
    device : str
        As torch names it; ``auto`` is CUDA where there is some, else the CPU.
    dtype : {"float32", "float64"}
        Of weights and signals.
    bf16 : bool
        Whether forward and backward passes run under autocast to bfloat16.
    compiled : bool
        Whether `torch.compile` makes them.
    channels_last : bool
        Whether images lie in memory channel by channel within each position, which is the faster format.
    workers : int
        Processes that prepare images.
    checkpoint_s : float
        Seconds from one checkpoint to the next at most.
    checkpoint_steps : int or None
        Steps from one checkpoint to the next.
    delta_images : int
        Images of the fixed batch on which δ angles are measured after every epoch; 0 measures none.
    tensorboard : bool
        Whether the metrics are written for TensorBoard too.
    """

    data: str = "digits"
    method: str | None = None
    train_images: int | None = None
    validation_images: int = 0
    test_images: int | None = None
    device: str = "auto"
    dtype: str = "float32"
    bf16: bool = False
    compiled: bool = False
    channels_last: bool = True
    workers: int = 0
    checkpoint_s: float = 300.0
    checkpoint_steps: int | None = None
    delta_images: int = 64
    tensorboard: bool = False

    def check(self) -> None:
        """Refuse values that are none.

        Raises
        ------
        RequestError
            With the option that has it.
        """
        if self.dtype not in DTYPES:
            raise RequestError(f"--dtype {self.dtype}: expected {' or '.join(DTYPES)}.")
        if self.bf16 and self.dtype == "float64":
            raise RequestError("--bf16: weights are float32 there, not float64. Leave one of the two out.")
        least = {"workers": 0, "validation_images": 0, "delta_images": 0, "checkpoint_s": 0}
        least |= {name: 1 for name in ("train_images", "test_images", "checkpoint_steps")}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise RequestError(f"--{name.replace('_', '-')} {value}: expected {low} or more.")

    def to_json(self) -> str:
        """Return the settings as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """Read the settings of a run directory.

        Raises
        ------
        RequestError
            If there are none, or they are damaged.
        """
        file = folder / FILE
        remedy = "Give --resume a directory that 'neuromirror train' wrote."
        try:
            found: Any = parse_json(file.read_text(encoding="utf-8"), file=file, remedy=remedy)
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{file}: cannot be read ({error}). {remedy}") from error
        hints = get_type_hints(cls)
        if not isinstance(found, dict) or set(found) != set(hints):
            raise RequestError(f"{file}: {quoted(found)} are not the settings of a training run. {remedy}")
        for name, value in found.items():
            if not isinstance(value, float | int if hints[name] is float else hints[name]):
                raise RequestError(f"{file}: '{name}' is {quoted(value)}. {remedy}")
        return cls(**found)


def device_of(name: str) -> torch.device:
    """Return a device.

    Raises
    ------
    RequestError
        If torch has none of that name, or it is not in this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, TypeError, AssertionError, ImportError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise RequestError(f"--device {name}: torch cannot compute there ({why}). Use --device cpu.") from error
    return device
