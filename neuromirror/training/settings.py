"""How a training run is made, apart from what the circuit file says: data, device, numbers, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from neuromirror.errors import RequestError
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
    train_images: Whole | None = None
    validation_images: Whole = 0
    test_images: Whole | None = None
    device: str = "auto"
    dtype: str = "float32"
    bf16: bool = False
    compile: bool = False
    channels_last: bool = True
    workers: Whole = 0
    checkpoint_s: float = 300.0
    checkpoint_steps: Whole | None = None
    delta_images: Whole = 64
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
