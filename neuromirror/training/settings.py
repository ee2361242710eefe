"""How a training run is made, apart from what the circuit file says: data, device, numbers, checkpoints."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

from cyclopts import Parameter

from neuromirror.errors import RequestError
from neuromirror.libraries import need
from neuromirror.options import Whole

DTYPES = ("float32", "float64")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one training run.

    Attributes
    ----------
    data : str
        ``digits``, ``synthetic``, or a directory of class folders.
    method : str or None
        Overlay of the circuit: wm, fa, kp, bp or ss; None as the file says.
    train_images : int or None
        How many images to learn from, a fixed choice; None for all.
    test_images : int or None
        How many images to test on, a fixed choice; None for all.
    validation_images : int
        Training images that are put aside, and on which every epoch is evaluated instead of on the test images.
    max_broken_images : int
        How many training images that cannot be read are left out of their batches before the run stops.
    device : str
        As torch names it; ``auto`` is CUDA where there is some, else the CPU.
    dtype : {"float32", "float64"}
        Of weights and signals.
    bf16 : bool
        Whether forward and backward passes run under autocast to bfloat16.
    compile : bool
        Whether `torch.compile` makes them.
    channels_last : bool
        Whether images lie in memory channel by channel within each position, which is the faster format.
    workers : int or None
        Processes that prepare images; None for as many as the device calls for.
    checkpoint_s : float
        Seconds from one checkpoint to the next at most.
    checkpoint_steps : int or None
        Steps from one checkpoint to the next.
    keep_checkpoints : int
        How many checkpoints there are at a time, the newest ones.
    delta_images : int
        Images of the fixed batch on which δ angles are measured after every epoch; 0 measures none.
    tensorboard : bool
        Whether the metrics are written for TensorBoard too.
    profile_steps : int
        Steps of which a profiler's trace is written; 0 writes none.
    """

    data: str = "digits"
    method: str | None = None
    train_images: Whole | None = None
    validation_images: Whole = 0
    test_images: Whole | None = None
    max_broken_images: Annotated[Whole, Parameter(name=["--max-broken-images", "--max-broken"])] = 0
    device: str = "auto"
    dtype: str = "float32"
    bf16: bool = False
    compile: bool = False
    channels_last: bool = True
    workers: Whole | None = None
    checkpoint_s: float = 300.0
    checkpoint_steps: Whole | None = None
    keep_checkpoints: Whole = 2
    delta_images: Whole = 64
    tensorboard: bool = False
    profile_steps: Annotated[Whole, Parameter(name=["--profile-steps", "--profile"])] = 0

    def check(self) -> None:
        """Refuse values that are none.

        Raises
        ------
        RequestError
            With the option that has it.
        """
        for name, kind in kinds().items():
            if not is_of(kind, getattr(self, name)):
                raise RequestError(f"--{name.replace('_', '-')} {getattr(self, name)!r}: expected {said(kind)}.")
        if self.dtype not in DTYPES:
            raise RequestError(f"--dtype {self.dtype}: expected {' or '.join(DTYPES)}.")
        if self.tensorboard:
            need("tensorboard", "--tensorboard")
        if self.bf16 and self.dtype == "float64":
            raise RequestError("--bf16: weights are float32 there, not float64. Leave one of the two out.")
        if self.delta_images == 1:
            raise RequestError("--delta-images 1: batch norm takes 2 or more. Take 0 to measure no δ angles.")
        least = {"workers": 0, "max_broken_images": 0, "validation_images": 0, "delta_images": 0, "checkpoint_s": 0}
        least |= {"profile_steps": 0}
        least |= {name: 1 for name in ("train_images", "test_images", "checkpoint_steps", "keep_checkpoints")}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise RequestError(f"--{name.replace('_', '-')} {value}: expected {low} or more.")


def kinds() -> dict[str, Any]:
    """Return the type of every option."""
    return get_type_hints(Settings)


def is_of(kind: Any, value: object) -> bool:
    """Return whether a value is of the type of an option: a whole number is a number too, and True is none."""
    allowed = get_args(kind) or (kind,)
    return type(value) in allowed or (float in allowed and type(value) is int)


def said(kind: Any) -> str:
    """Return what an option expects, in words."""
    words = {int: "a whole number", float: "a number", str: "a name", bool: "True or False", types.NoneType: "None"}
    return " or ".join(words[one] for one in get_args(kind) or (kind,))
