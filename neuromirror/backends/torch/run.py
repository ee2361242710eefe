"""Runs a plan as rates in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from neuromirror.backends.base import Options, Recorder
from neuromirror.backends.rate import run_rates
from neuromirror.backends.settle import arriving, deviation_arriving, settle
from neuromirror.backends.torch.contract import mean_drive
from neuromirror.backends.torch.determinism import deterministic
from neuromirror.errors import RequestError
from neuromirror.modes import Learner, ModePlan
from neuromirror.plan import FloatArray, Plan, transport
from neuromirror.rules.updater import Step

DTYPES = {"float64": torch.float64, "float32": torch.float32}


class TorchEngine:
    """Batches of examples as tensors, (example, cell)."""

    def __init__(self, plan: Plan, *, dtype: torch.dtype, device: torch.device) -> None:
        self.plan, self.dtype, self.device = plan, dtype, device
        self._arrays = {name: self._tensor(array) for name, array in plan.initial_arrays().items()}
        self._magnitudes = {name: self._tensor(array) for name, array in plan.magnitudes().items()}
        self._masks = {name: self._tensor(array) for name, array in plan.masks.items()}
        self._signals: dict[str, Tensor] = {}
        self._noise: dict[str, Tensor] = {}
        self._loss = 0.0

    def _tensor(self, array: FloatArray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(device=self.device, dtype=self.dtype, copy=True)

    def present(
        self,
        mode: ModePlan,
        inputs: Mapping[str, FloatArray],
        noise: Mapping[str, FloatArray],
        targets: Mapping[str, FloatArray],
        examples: int,
    ) -> None:
        """Settle the circuit for a batch of examples."""
        self._noise = {name: self._tensor(array) for name, array in noise.items()}
        wanted = {name: self._tensor(array) for name, array in targets.items()}
        self._signals = settle(
            self.plan,
            mode,
            self._arrays,
            inputs={name: self._tensor(array) for name, array in inputs.items()},
            noise=self._noise,
            targets=wanted,
            zeros=lambda name: torch.zeros(examples, self.plan.sizes[name], dtype=self.dtype, device=self.device),
            tanh=torch.tanh,
        )
        values = self.plan.coding.values
        errors = [values(self._signals[source] - wanted[name]) for name, source in mode.compare.items()]
        self._loss = sum(float(0.5 * (error**2).sum(dim=1).mean()) for error in errors)

    def means(self) -> dict[str, FloatArray]:
        """Return the mean signal of every population over the batch."""
        return {name: _numpy(signal.mean(dim=0)) for name, signal in self._signals.items()}

    def silent(self, population: str) -> float:
        """Return the share of a population's signals in the batch that are not above zero."""
        return float((self._signals[population] <= 0).double().mean())

    def learn(self, mode: ModePlan, learner: Learner, step: Step, beta: Mapping[str, FloatArray]) -> None:
        """Update one array from the batch."""
        baselines = {name: self._tensor(array) for name, array in beta.items()}
        array = self._arrays[learner.name]
        mean = mean_drive(learner.rule.drive, self._seen(mode, learner, baselines), array)
        updated = step.keep * array + step.step * mean
        if self.plan.dale and learner.source is not None:
            updated = updated.clamp(min=0.0)
        if learner.name in self._masks:
            updated = torch.where(self._masks[learner.name] > 0, updated, 0.0)
        self._arrays[learner.name] = (
            updated if learner.normalisation is None else learner.normalisation.normalised(updated)
        )

    def _seen(self, mode: ModePlan, learner: Learner, beta: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the synapses of an array see."""
        silent = torch.zeros_like(self._signals[learner.target])
        seen = {
            "post": self._signals[learner.target],
            "beta_post": beta[learner.target],
            "noise_post": self._noise.get(learner.target, silent),
            "error": silent + deviation_arriving(self.plan, mode.errors.get(learner.target, ()), self._signals, beta),
            "cross": silent,
        }
        if learner.target in mode.cross:
            seen["cross"] = arriving(mode.cross[learner.target], self._signals)
        if learner.source is not None:
            pre = self._signals[learner.source]
            noise = self._noise.get(learner.source, torch.zeros_like(pre))
            seen |= {"pre": pre, "beta_pre": beta[learner.source], "noise_pre": noise}
        return seen

    def scale(self, name: str, factors: FloatArray) -> None:
        """Multiply all weights of each target cell by its factor."""
        self._arrays[name] = self._arrays[name] * self._tensor(factors)[:, None]

    def refresh(self) -> None:
        """Make every transported B of its W."""
        self._arrays = transport(self.plan, self._arrays, self._magnitudes, self._masks)

    def arrays(self) -> dict[str, FloatArray]:
        """Return all weights and biases as float64."""
        return {name: _numpy(tensor) for name, tensor in self._arrays.items()}

    def loss(self, mode: ModePlan) -> float | None:
        """Return half the squared output error, the mean over the batch."""
        return self._loss if mode.compare else None


def _numpy(tensor: Tensor) -> FloatArray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy().copy()


class _Torch:
    def target(self, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        return f"{_device(options)}, {options.dtype}"

    def said(self, target: str, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        return target

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        with deterministic(), torch.no_grad():
            for plan, recorder in zip(plans, recorders, strict=True):
                engine = TorchEngine(plan, dtype=DTYPES[options.dtype], device=_device(options))
                run_rates(plan, engine, recorder, points=options.points)


def _device(options: Options) -> torch.device:
    if options.target == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(options.target)
    except RuntimeError as error:
        raise RequestError(f"--target {options.target}: torch has no such device. Use cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"--target {options.target}: no CUDA device was found. Use --target cpu.")
    try:
        # A device that torch knows may not be in this machine, or may hold no numbers, as "meta" does.
        torch.zeros(1, dtype=DTYPES[options.dtype], device=device).cpu()
    except (RuntimeError, TypeError, AssertionError, ImportError) as error:
        message = f"torch cannot compute there ({str(error).splitlines()[0]}). Use --target cpu."
        raise RequestError(f"--target {options.target}: {message}") from error
    return device


backend = _Torch()
