"""The plan that every backend runs: a checked circuit with its numbers, in SI units and units of ``code.unit``.

Signals are rates divided by ``code.unit``. What transmits, learns or is noisy is resolved here, mode by mode, once
for all backends; so are initial weights, which NumPy draws from the seed's named streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromirror import schedule, seeds
from neuromirror.circuit.activations import activation_of
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.description import Description, Init
from neuromirror.circuit.geometry import fan_in, weight_shape
from neuromirror.circuit.homeostasis import scalings
from neuromirror.dynamics.activations import Activation, function_of
from neuromirror.dynamics.codes import PushPull, Single
from neuromirror.dynamics.homeostasis import SynapticScaling
from neuromirror.errors import choice
from neuromirror.modes import ModePlan, mode_plan

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """A circuit ready to run with one seed.

    Attributes
    ----------
    circuit : Circuit
    seed : int
    presented : int array (examples,) or None
        Which rows of an ``array`` stimulus are presented, one after the other, where not those that it says itself.

    Raises
    ------
    CircuitError
        On construction through `make_plan`, if the circuit has errors or no schedule.
    """

    circuit: Circuit
    seed: int
    presented: NDArray[np.intp] | None = field(default=None, compare=False)

    @cached_property
    def description(self) -> Description:
        """The expanded description."""
        return self.circuit.description

    @cached_property
    def phases(self) -> tuple[schedule.Phase, ...]:
        """The schedule, phase by phase."""
        return schedule.phases(self.description, self.circuit.place)

    @cached_property
    def coding(self) -> Single:
        """How cells carry the signals of units: a cell for each, or a pair of cells in push-pull."""
        kind = choice("code.kind", self.description.code.kind, "zero_mean", "baseline", "push_pull")
        return PushPull(self.beta) if kind == "push_pull" else Single()

    @cached_property
    def units(self) -> dict[str, int]:
        """Number of units of each population."""
        return {name: math.prod(p.shape) for name, p in self.description.populations.items()}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of cells of each population."""
        return {name: units * self.description.code.cells_per_unit for name, units in self.units.items()}

    @property
    def unit_Hz(self) -> float:
        """The rate that signals are measured in, in Hz."""
        return self.description.code.unit.Hz

    @cached_property
    def beta(self) -> float:
        """The nominal baseline in units of ``code.unit``; 0 for a zero-mean code."""
        code = self.description.code
        return 0.0 if code.beta is None else code.beta.Hz / code.unit.Hz

    @property
    def non_negative(self) -> bool:
        """Whether signals of forward cells are rates and so cannot fall below zero."""
        return self.description.code.non_negative

    @property
    def clips(self) -> bool:
        """Whether a rate of zero means that a cell cannot say what it is asked to: all have a rate at rest."""
        return self.non_negative and self.beta > 0

    @property
    def dale(self) -> bool:
        """Whether no weight may fall below zero (Dale's law)."""
        return self.description.code.dale

    def activation(self, population: str) -> Activation:
        """Return the activation function of a population's cells."""
        return activation_of(self.description.cells[self.description.populations[population].cell])

    def slope_of_y(self, population: str) -> str:
        """Return φ' as a gate computes it, as an expression in the signal ``y``: 0 where the code clips it at zero."""
        slope = self.activation(population).slope_of_y
        return f"({slope})*int(y > 0)" if self.non_negative else slope

    def slope(self, population: str, y: Any) -> Any:
        """Return φ' as a gate computes it from a population's signals; see `slope_of_y`."""
        return function_of(self.slope_of_y(population), "y")(y)

    def default_bias(self, population: str) -> float:
        """Return b⁻ of Appendix B for the rate backends: φ(b⁻) = β, and 0 for a code without a β."""
        return self.activation(population).inverse(self.beta) if self.clips else 0.0

    def scaling(self, population: str) -> SynapticScaling:
        """Return the synaptic scaling of a population that has it."""
        return scalings(self.description)[population]

    @cached_property
    def modes(self) -> dict[str, ModePlan]:
        """The modes, resolved."""
        described = self.description
        return {name: mode_plan(described, self.coding, name, mode) for name, mode in described.modes.items()}

    @cached_property
    def mirrors(self) -> dict[str, str]:
        """The W of each B."""
        described = self.description.projections
        return {n: p.mirrors for n, p in described.items() if p.mirrors is not None and p.weight is not None}

    @cached_property
    def transported(self) -> dict[str, str]:
        """The W of each B that follows it by transport instead of learning; not local."""
        follows = ("exact", "sign")
        return {n: w for n, w in self.mirrors.items() if self.description.projections[n].transport in follows}

    @cached_property
    def transposed_at_first(self) -> dict[str, str]:
        """The W of each B that begins as its Wᵀ and stays so; not local."""
        return {n: w for n, w in self.mirrors.items() if self.description.projections[n].transport == "initial"}

    @cached_property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight array between units."""
        populations, shapes = self.description.populations, dict[str, tuple[int, ...]]()
        for name, p in self.description.projections.items():
            shape = weight_shape(p, populations[p.source].shape, populations[p.target].shape)
            if p.weight is not None and shape is not None:
                shapes[name] = shape
        return shapes

    @cached_property
    def masks(self) -> dict[str, FloatArray]:
        """Where there are synapses, (target, source) of 1 and 0, for the projections that lack some."""
        return {name: self.coding.everywhere(mask) for name, mask in self._unit_masks.items()}

    @cached_property
    def _unit_masks(self) -> dict[str, FloatArray]:
        return {n: p.mask.numbers.copy() for n, p in self.description.projections.items() if p.mask is not None}

    def synapses(self, projection: str) -> NDArray[np.intp]:
        """Return which entries of a projection's flattened weights, (target, source), have a synapse."""
        described, mask = self.description.projections[projection], self.masks.get(projection)
        if mask is None:
            return np.arange(self.sizes[described.target] * self.sizes[described.source])
        return np.flatnonzero(mask)

    def initial_arrays(self) -> dict[str, FloatArray]:
        """Return the initial weights and biases of cells, (cells,), in float64; names as in the file.

        Weights are (target, source), or of the shape that `neuromirror.circuit.geometry.weight_shape` says.
        """
        drawn = self.drawn_arrays()
        arrays = self.of_cells(drawn)
        for name, forward in self.transposed_at_first.items():
            arrays[name] = transposed(arrays[forward], self.masks.get(name))
        return transport(self, arrays, self.magnitudes(drawn))

    def drawn_arrays(self) -> dict[str, FloatArray]:
        """Return the initial weights and biases of units as they are drawn, before any transport."""
        return self.draw_arrays(self._inits, "weights")

    @property
    def _inits(self) -> dict[str, Init]:
        """What each array of weights and biases begins with."""
        inits = dict[str, Init]()
        for name, p in self.description.projections.items():
            if p.weight is not None:
                inits[name] = p.weight
        for name, population in self.description.populations.items():
            if population.bias is not None:
                inits[f"{name}.bias"] = population.bias
        return inits

    @property
    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arrays that `drawn_arrays` draws."""
        return {name: self._array_shape(name) for name in self._inits}

    def _array_shape(self, name: str) -> tuple[int, ...]:
        shape = self.weight_shapes.get(name)
        if shape is not None:
            return shape
        population = self.description.populations[name.removesuffix(".bias")]
        return population.shape[:1] if len(population.shape) == 3 else (math.prod(population.shape),)

    def draw_arrays(self, inits: Mapping[str, Init], stream: str) -> dict[str, FloatArray]:
        """Return weights and biases of units, each drawn as its `Init` says from a named stream of the seed."""
        arrays = dict[str, FloatArray]()
        for name, init in inits.items():
            shape, is_weight = self._array_shape(name), name in self.weight_shapes
            inputs = fan_in(self.description.projections[name], shape) if is_weight else 1.0
            mask = self._unit_masks.get(name)
            arrays[name] = initial(init, shape, self.seed, stream, name, inputs=inputs, mask=mask)
        return arrays

    def of_cells(self, arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return weights and biases of cells that act as these of units."""
        coding = self.coding
        return {n: coding.deviations(a) if a.ndim == 1 else coding.weights(a) for n, a in arrays.items()}

    def magnitudes(self, drawn: Mapping[str, FloatArray] | None = None) -> dict[str, FloatArray]:
        """Return what each weight array of cells begins with, but for its signs, from those of units."""
        drawn = self.drawn_arrays() if drawn is None else drawn
        return {n: self.coding.magnitudes(array) for n, array in drawn.items() if array.ndim > 1}

    def batch(self, *, spiking: bool) -> int:
        """Return the number of examples of one update."""
        return 1 if spiking else self.description.time.batch


def make_plan(circuit: Circuit, seed: int, backend: str | None = None) -> Plan:
    """Check a circuit for a backend and plan its run with a seed."""
    circuit.check(backend)
    plan = Plan(circuit, seeds.checked_seed(seed))
    _ = plan.phases
    return plan


def transport(
    plan: Plan, arrays: Mapping[str, Any], magnitudes: Mapping[str, Any], masks: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the arrays with every transported B made of its W: the only way to it from a W that learns; not local.

    Parameters
    ----------
    plan : Plan
    arrays : mapping of str to array
        All arrays, of any library.
    magnitudes : mapping of str to array
        What each B began with: under ``transport = "sign"`` B = |B(0)|·sign(Wᵀ), since a magnitude of today's W would
        be transported too.
    masks : mapping of str to array, optional
        The plan's, in the same library; NumPy's by default.
    """
    masks = plan.masks if masks is None else masks
    changed = dict(arrays)
    for name, forward in plan.transported.items():
        made = transposed(arrays[forward], masks.get(name))
        if choice("transport", plan.description.projections[name].transport, "exact", "sign") == "sign":
            made = with_signs(magnitudes[name], plan.coding.signs(made))
        changed[name] = made
    return changed


def transposed(forward: Any, mask: Any = None) -> Any:
    """Return Wᵀ as an array of its own, of any library, where B has synapses; a B of a convolution is laid as its W."""
    made = (forward.T if forward.ndim == 2 else forward) * 1.0
    return made if mask is None else made * mask


def with_signs(magnitudes: Any, weights: Any) -> Any:
    """Return the magnitudes of one array with the signs of another, of any library: sign-symmetry."""
    return abs(magnitudes) * (1.0 * (weights > 0) - 1.0 * (weights < 0))


def initial(
    init: Init, shape: tuple[int, ...], seed: int, *names: str, inputs: float = 1, mask: FloatArray | None = None
) -> FloatArray:
    """Draw an array as its `Init` says, from the named stream of the seed.

    ``inputs`` is the fan-in of a cell. Where a mask has no synapse the weight is 0, and the fan-in of a cell is the
    number of synapses that it has. The mask moves no other draw.
    """
    if init.init in ("normal", "rademacher"):
        of_cell: Any = inputs if mask is None else np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
        drawn = seeds.stream(seed, *names).standard_normal(shape)
        drawn = (drawn if init.init == "normal" else np.sign(drawn)) * (init.gain / np.sqrt(of_cell))
    elif choice("init", init.init, "values", "constant") == "values":
        drawn = np.array(init.values, dtype=np.float64)
    else:
        drawn = np.full(shape, init.value)
    return drawn if mask is None else np.where(mask > 0, drawn, 0.0)
