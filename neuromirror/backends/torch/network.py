"""The forward path of a circuit as a module of torch, whose backward pass is the feedback path.

A population is the sum of what its projections bring, its bias, batch norm ``before`` the nonlinearity, shortcuts that
join ``before``, the nonlinearity, batch norm ``after``, and shortcuts that join ``after``. With batch norm and joins
before the nonlinearity a ResNet is that of He et al. (2016); with both after it, that of Akrout et al. (2019, C.1).

Errors run the other way: through the B of every projection that has one, and the derivatives of all that is between.
No error comes down through a projection without a B, be it a layer, a pool or a shortcut: where Wᵀ is to carry it, the
file says so by ``transport``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from neuromirror.backends.torch.feedback import FeedbackConv2d, FeedbackLinear
from neuromirror.backends.torch.norms import ScaleOnly, batch_norm
from neuromirror.circuit.description import Description, Projection
from neuromirror.circuit.error_path import mirrored_projections
from neuromirror.circuit.fit import ends, forward_path
from neuromirror.errors import UnsupportedError, choice
from neuromirror.plan import Plan

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "relu": torch.relu,
        "linear": lambda x: x,
        "tanh": torch.tanh,
        "rectified_tanh": lambda x: torch.tanh(torch.relu(x)),
    }
)
"""φ by name, as autograd differentiates it."""

Weighted = FeedbackConv2d | FeedbackLinear
"""A layer that has a W, and a B unless its W is transported or no error goes on below it."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How the signal of one forward population comes about.

    Attributes
    ----------
    name : str
        Of the population.
    layers : tuple of (str, str)
        What brings signals through a layer: the projection and its source.
    before, after : tuple of (str, str)
        Shortcuts that join before or after the nonlinearity: the projection and its source.
    phi : callable
        The nonlinearity.
    norm : {"before", "after"} or None
        Where batch norm is.
    """

    name: str
    layers: tuple[tuple[str, str], ...]
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    phi: Callable[[Tensor], Tensor]
    norm: str | None


class Network(nn.Module):
    """A circuit's forward path, for batches of examples.

    Parameters
    ----------
    plan : Plan
        Of a circuit with a zero-mean code; see `neuromirror.circuit.capabilities` for what else it may have.
    on : collection of str, optional
        The forward projections that transmit; all by default.
    filled : bool
        Whether it has weights; without, all is on the meta device, where tensors have shapes and no numbers.

    Attributes
    ----------
    projections : ModuleDict
        By name: the layers that have weights, and pools.
    norms : ModuleDict
        By population: batch norms.
    biases : ParameterDict
        By population, (channels,) or (cells,).
    stages : tuple of Stage
        Forward populations but the input, in the order in which signals reach them.
    input, output : str
        The populations at the ends.
    feedback_of : mapping of str to str
        The B of each W.
    cut : frozenset of str
        Forward projections without a B, weights, pools and shortcuts alike: their sources get no error through them.
    taught : frozenset of str
        The populations that weights lead to.

    Raises
    ------
    RequestError
        If the circuit has not one input and one output.
    UnsupportedError
        If it has a name that modules of torch cannot have.
    """

    def __init__(self, plan: Plan, on: frozenset[str] | None = None, *, filled: bool = True) -> None:
        super().__init__()
        with nullcontext() if filled else torch.device("meta"):
            self._make(plan, on)
            self._begin(filled=filled)

    def _make(self, plan: Plan, on: frozenset[str] | None) -> None:
        self.plan, described = plan, plan.description
        path = {name: p for name, p in forward_path(described).items() if on is None or name in on}
        self.input, self.output, order = ends(path)
        self.feedback_of = {w: b for b, w in plan.mirrors.items() if w in path}
        self.cut, self._is_true_chain = frozenset(path) - mirrored_projections(described), False
        layers = {n: _layer(described, n, self.feedback_of.get(n)) for n, p in path.items() if not _is_axon(p)}
        self.projections = _by_name(layers)
        shown = {name: described.populations[name] for name in order}
        self.norms = _by_name({n: batch_norm(p.norm, p.shape) for n, p in shown.items() if p.norm is not None})
        self.biases = nn.ParameterDict()
        self.stages = tuple(_stage(described, name, path) for name in order if name != self.input)
        self.taught = frozenset(path[name].target for name, _ in self.weighted())

    def _begin(self, *, filled: bool) -> None:
        """Take the initial weights and biases of the plan, which all backends begin with."""
        if filled:
            arrays = {name: torch.as_tensor(array) for name, array in self.plan.drawn_arrays().items()}
        else:
            arrays = {name: torch.empty(shape) for name, shape in self.plan.array_shapes.items()}
        with torch.no_grad():
            for name, layer in self.weighted():
                layer.weight.copy_(arrays[name])
                if layer.feedback is not None:
                    layer.feedback.copy_(arrays[self.feedback_of[name]])
        for stage in self.stages:
            if (key := f"{stage.name}.bias") in arrays:
                _check_name(nn.ParameterDict, stage.name)
                self.biases[stage.name] = nn.Parameter(arrays[key].to(torch.get_default_dtype()))

    def weighted(self) -> Iterator[tuple[str, Weighted]]:
        """Yield the layers that have weights, with the names of their W."""
        for name, layer in self.projections.items():
            if isinstance(layer, FeedbackConv2d | FeedbackLinear):
                yield name, layer

    def forward(self, images: Tensor) -> Tensor:
        """Return the output, (batch, cells), for images, (batch, channels, rows, columns), or rows of cells."""
        return self.signals(images)[self.output].flatten(1)

    def signals(self, images: Tensor, arriving: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the signals of all forward populations.

        Parameters
        ----------
        images : Tensor, shape (batch, channels, rows, columns)
        arriving : dict, optional
            Takes what arrives at each population through weights, before batch norm and nonlinearity. The gradient of
            a loss with respect to it is the δ that teaches its W (eqs 2 and 3).
        """
        signals = {self.input: images}
        for stage in self.stages:
            total = self.arriving(stage, signals)
            if arriving is not None and total is not None and stage.name in self.taught:
                # Below a cut, or where nothing learns, no graph leads here yet.
                total = arriving[stage.name] = total if total.requires_grad else total.detach().requires_grad_()
            signals[stage.name] = self.fired(stage, total, signals)
        return signals

    def arriving(self, stage: Stage, signals: Mapping[str, Tensor]) -> Tensor | None:
        """Return what layers bring to a population from sources that have signals, bias included; None if nothing."""
        brought = [
            self.projections[name](self._sent(name, signals[source]))
            for name, source in stage.layers
            if source in signals
        ]
        if not brought:
            return None
        return self.biased(stage, summed(brought))

    def biased(self, stage: Stage, total: Tensor) -> Tensor:
        """Return what arrives at a population with its bias, where it has one."""
        if stage.name not in self.biases:
            return total
        bias = self.biases[stage.name]
        return total + (bias if total.ndim == 2 else bias[:, None, None])

    def fired(self, stage: Stage, total: Tensor | None, signals: Mapping[str, Tensor]) -> Tensor:
        """Return the signal of a population that a total arrives at, or shortcuts alone, norm included."""
        before, after = (
            [self._sent(name, signals[source]) for name, source in axons] for axons in (stage.before, stage.after)
        )
        own = self.biased(stage, torch.zeros_like((before or after)[0])) if total is None else total
        if stage.norm == "before":
            own = self.norms[stage.name](own)
        active = stage.phi(summed([own, *before]))
        if stage.norm == "after":
            active = self.norms[stage.name](active)
        return summed([active, *after])

    def _sent(self, projection: str, signal: Tensor) -> Tensor:
        """Return a signal as a projection takes it up: without a way back where it has no B."""
        return signal.detach() if projection in self.cut and not self._is_true_chain else signal

    @contextmanager
    def transported(self) -> Iterator[None]:
        """Send errors back through every Wᵀ meanwhile, and through the whole derivative of batch norm: the true chain.

        For measurements alone: nothing learns in it.
        """
        held = {name: layer.transport for name, layer in self.weighted()}
        norms = [norm for norm in self.norms.values() if isinstance(norm, ScaleOnly)]
        try:
            self._is_true_chain = True
            for _, layer in self.weighted():
                layer.transport = "exact"
            for norm in norms:
                norm.whole = True
            yield
        finally:
            self._is_true_chain = False
            for name, layer in self.weighted():
                layer.transport = held[name]
            for norm in norms:
                norm.whole = False

    @contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Leave the running statistics of batch norm as they are meanwhile."""
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
        held = [norm.track_running_stats for norm in norms]
        try:
            for norm in norms:
                norm.track_running_stats = False
            yield
        finally:
            for norm, before in zip(norms, held, strict=True):
                norm.track_running_stats = before


def summed(tensors: Sequence[Tensor]) -> Tensor:
    """Return the sum of at least one tensor, and a tensor by itself as it is."""
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


class _Flat(FeedbackLinear):
    """A projection from every cell of its source to every cell of its target, whatever the shapes of the two."""

    def __init__(self, source: tuple[int, ...], target: tuple[int, ...], **options: Any) -> None:
        super().__init__(math.prod(source), math.prod(target), bias=False, **options)
        self.image = target if len(target) == 3 else None

    def forward(self, input: Tensor) -> Tensor:
        brought = super().forward(input.flatten(1))
        return brought if self.image is None else brought.unflatten(1, self.image)


def _by_name(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    for name in modules:
        _check_name(nn.ModuleDict, name)
    return nn.ModuleDict(dict(modules))


def _check_name(container: type[nn.Module], name: str) -> None:
    """Refuse a name that a container of torch has an attribute of."""
    if hasattr(container(), name):
        raise UnsupportedError(f"'{name}' is a word of torch's modules, which cannot be a name there. Rename it.")


def _stage(described: Description, name: str, path: Mapping[str, Projection]) -> Stage:
    population = described.populations[name]
    into = {key: p for key, p in path.items() if p.target == name}
    return Stage(
        name=name,
        layers=tuple((key, p.source) for key, p in into.items() if not _is_axon(p)),
        before=tuple((key, p.source) for key, p in into.items() if _is_axon(p) and _joins(p) == "before"),
        after=tuple((key, p.source) for key, p in into.items() if _is_axon(p) and _joins(p) == "after"),
        phi=ACTIVATIONS[described.cells[population.cell].activation],
        norm=None if population.norm is None else choice("norm.when", population.norm.when, "before", "after"),
    )


def _joins(projection: Projection) -> str | None:
    """Return where a shortcut meets the nonlinearity of its target."""
    return choice("join", projection.join, "before", "after")


def _is_axon(projection: Projection) -> bool:
    """Return whether a projection brings the signal itself."""
    return projection.connector == "shortcut"


def _layer(described: Description, name: str, feedback: str | None) -> nn.Module:
    """Return the layer of one projection."""
    p = described.projections[name]
    source, target = (described.populations[end].shape for end in (p.source, p.target))
    # A W without a B is an ordinary layer; `Network.cut` lets nothing down through it.
    transport = "exact" if feedback is None else described.projections[feedback].transport
    transport = "none" if transport == "initial" else transport  # the plan has drawn it so, and it rests
    choice("transport", transport, "none", "exact", "sign")
    if p.connector == "all_to_all":
        return _Flat(source, target, transport=transport)
    kernel = p.kernel or (1, 1)
    if p.connector == "conv":
        options = {"stride": p.stride, "padding": p.padding, "groups": p.groups, "bias": False}
        return FeedbackConv2d(source[0], target[0], kernel, transport=transport, **options)
    if p.connector == "pool":
        if 2 * p.padding > min(kernel):
            message = f"a padding of {p.padding} is more than half of its kernel, which pools of torch do not have."
            raise UnsupportedError(f"projections.{name}: {message}")
        choice("pool", p.pool, "max", "average")
        return {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[p.pool or "max"](kernel, p.stride, p.padding)
    raise UnsupportedError(f"projections.{name}: networks of torch have no connector '{p.connector}'.")
