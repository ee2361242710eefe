"""Feedback weights for a model that is trained already: each layer by itself mirrors until its B is known well enough.

Every layer gets noise of unit variance, its output passes φ, means are subtracted, and the weight-mirror rule averages
over all examples (C.2, with a memory as long as the mirroring). Of W nothing is read but to measure the angle.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from neuromirror import seeds
from neuromirror.backends.torch.contract import Conv, mean_conv_drive, mean_drive
from neuromirror.backends.torch.feedback import FeedbackConv2d, FeedbackLinear, with_feedback
from neuromirror.backends.torch.network import ACTIVATIONS
from neuromirror.circuit.rules import drive_of
from neuromirror.data.whole import checked_whole
from neuromirror.errors import RequestError, UnsupportedError, suggestion
from neuromirror.measure.alignment import angle_deg as angle_between
from neuromirror.measure.alignment import gain as gain_of
from neuromirror.measure.theory import examples_for_angle
from neuromirror.plan import FloatArray
from neuromirror.rules.expression import Drive
from neuromirror.rules.updater import PlainUpdater

SLOPES = MappingProxyType({"relu": 0.5, "linear": 1.0})
"""Mean of φ' over Gaussian input: with this decay B tends to Wᵀ itself."""

SIDE = 16
"""Rows and columns of a convolution's noise; taller kernels get more."""

CHUNK = 1 << 22
"""Numbers of noise that are held at a time, about."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """What `align` made.

    Attributes
    ----------
    model : nn.Module
        The model, its layers replaced in place.
    angles_deg, gain : dict of str to float
        Of every layer's B to its Wᵀ, by the layer's name in the model.
    examples : dict of str to int
        Examples that each layer mirrored.
    left : dict of str to str
        Layers that have no B of their own, with the reason.
    """

    model: nn.Module
    angles_deg: dict[str, float]
    gain: dict[str, float]
    examples: dict[str, int]
    left: dict[str, str]

    def __str__(self) -> str:
        width = max(map(len, self.angles_deg), default=0)
        rows = [
            f"{name:{width}}  {angle:5.1f}°  gain {self.gain[name]:.2f}  {self.examples[name]} examples"
            for name, angle in self.angles_deg.items()
        ]
        return "\n".join([*rows, *(f"{name}: left as it is: {why}" for name, why in self.left.items())])


def align(
    model: nn.Module,
    *,
    angle_deg: float = 10.0,
    examples: int | None = None,
    phi: str = "relu",
    seed: int = 0,
    copied: bool = True,
) -> Alignment:
    """Learn B of every convolution and linear layer of a model by mirroring alone.

    Parameters
    ----------
    model : nn.Module
        Trained or not; its weights do not change. ``nn.Conv2d`` and ``nn.Linear`` get a B; what has one already, such
        as a `FeedbackConv2d`, learns it anew.
    angle_deg : float
        The angle to Wᵀ to reach, in degrees: each layer mirrors as many examples as the law of `rate_angle_deg` asks
        for, in proportion to its fan-in.
    examples : int, optional
        Examples for every layer alike instead.
    phi : {"relu", "linear"}
        What the layers' outputs pass in mirror mode; biases are blocked.
    seed : int
        Of the noise.
    copied : bool
        Whether the model is copied first; else its layers are replaced in place.

    Returns
    -------
    Alignment
        The model, and angle and gain of every B.

    Raises
    ------
    RequestError
        If an option is out of range, or the model has no such layer.

    Notes
    -----
    Akrout et al. 2019, sections 5 and 6, C.2. Batch norm and what lies between the layers have no part in it.
    """
    if phi not in SLOPES:
        raise RequestError(f"phi '{phi}': {suggestion(phi, SLOPES)}")
    if examples is not None:
        checked_whole("examples", examples, 2)  # means are subtracted
    seeds.checked_seed(seed)
    if not 0 < angle_deg < 90:
        raise RequestError(f"angle_deg {angle_deg}: expected an angle between 0 and 90.")
    model = copy.deepcopy(model) if copied else model
    model, left = _with_feedback(model)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, FeedbackConv2d | FeedbackLinear)}
    learning = {name: layer for name, layer in layers.items() if layer.transport == "none"}
    left |= {name: f"its B is transported ({layers[name].transport})" for name in layers if name not in learning}
    if not learning:
        raise RequestError("align: the model has no nn.Conv2d or nn.Linear that could have a B.")
    wanted = {name: examples or _needed(layer, phi, angle_deg) for name, layer in learning.items()}
    for name, layer in learning.items():
        _mirror(layer, wanted[name], phi, seed, name)
    pairs = {name: (_numbers(layer.feedback), _numbers(layer.weight)) for name, layer in learning.items()}
    return Alignment(
        model=model,
        angles_deg={name: angle_between(B, W) for name, (B, W) in pairs.items()},
        gain={name: gain_of(B, W) for name, (B, W) in pairs.items()},
        examples=wanted,
        left=left,
    )


def _with_feedback(model: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """Give every layer of a model a B, and say which have none and why."""
    left = dict[str, str]()
    if type(model) in (nn.Conv2d, nn.Linear):
        return with_feedback(model), left
    made = dict[nn.Module, nn.Module]()  # a layer that is used in several places stays one
    for name, module in list(model.named_modules()):
        for child, layer in list(module._modules.items()):
            if layer is not None and type(layer) in (nn.Conv2d, nn.Linear):
                try:
                    made[layer] = made.get(layer) or with_feedback(layer)
                    setattr(module, child, made[layer])
                except UnsupportedError as error:
                    left[f"{name}.{child}" if name else child] = str(error)
    return model, left


def _positions(layer: FeedbackConv2d | FeedbackLinear) -> tuple[int, tuple[int, ...]]:
    """Return the positions of a layer's output, and the shape of one example of its noise."""
    if isinstance(layer, FeedbackLinear):
        return 1, (layer.in_features,)
    sides = [max(SIDE, kernel) for kernel in layer.kernel_size]
    outputs = [
        (side + 2 * int(padding) - kernel) // stride + 1
        for side, padding, kernel, stride in zip(sides, layer.padding, layer.kernel_size, layer.stride, strict=True)
    ]
    return math.prod(outputs), (layer.in_channels, *sides)


def _needed(layer: FeedbackConv2d | FeedbackLinear, phi: str, angle_deg: float) -> int:
    fan_in = layer.weight[0].numel()
    return max(2, math.ceil(examples_for_angle(fan_in, angle_deg, phi) / _positions(layer)[0]))


@torch.no_grad()
def _mirror(layer: FeedbackConv2d | FeedbackLinear, examples: int, phi: str, seed: int, name: str) -> None:
    """Let one layer mirror, starting from the B that it has: all examples count alike, and the start not at all."""
    drive = drive_of("weight_mirror", {})
    updater = PlainUpdater(decay=SLOPES[phi], memory=float(examples), memory_from=0.0, memory_in="examples")
    shape, seen = _positions(layer)[1], 0
    generator = torch.Generator(device=layer.weight.device).manual_seed(seeds.integer(seed, "align", name))
    chunk = max(2, min(examples, CHUNK // math.prod(shape)))
    while seen < examples:
        count = min(chunk, examples - seen)
        count = count if examples - seen - count != 1 else count + 1  # none is left alone, whose mean would be itself
        noise = torch.empty((count, *shape), dtype=layer.weight.dtype, device=layer.weight.device)
        noise.normal_(generator=generator)
        step = updater.step(examples_seen=seen, examples=count, window_s=1.0)
        layer.feedback.mul_(step.keep).add_(_mean(layer, noise, phi, drive), alpha=step.step)
        seen += count


def _mean(layer: FeedbackConv2d | FeedbackLinear, noise: Tensor, phi: str, drive: Drive) -> Tensor:
    """Return the mean of the rule's drive over noisy examples, biases blocked."""
    silent = torch.zeros(1, dtype=noise.dtype, device=noise.device)
    if isinstance(layer, FeedbackLinear):
        upper = ACTIVATIONS[phi](nn.functional.linear(noise, layer.weight))
        values = {"pre": upper, "beta_pre": upper.mean(dim=0), "post": noise, "beta_post": silent}
        return mean_drive(drive, values, layer.feedback)
    upper = ACTIVATIONS[phi](nn.functional.conv2d(noise, layer.weight, None, layer.stride, layer.padding))
    baseline = upper.mean(dim=(0, 2, 3))[:, None, None]
    values = {"pre": upper, "beta_pre": baseline, "post": noise, "beta_post": silent[:, None, None]}
    conv = Conv(stride=layer.stride, padding=tuple(map(int, layer.padding)), transposed=True)
    return mean_conv_drive(drive, values, layer.feedback, conv)


def _numbers(tensor: Tensor) -> FloatArray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
