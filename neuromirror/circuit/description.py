"""What a circuit file can say, as frozen pydantic models without behaviour.

Every model refuses keys that it does not know; see `neuromirror.circuit.values` for what stands behind them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from neuromirror.circuit.arrays import Values
from neuromirror.circuit.model import Model
from neuromirror.circuit.protocol import AnyStimulus, Item, Signal, Timing, Training
from neuromirror.circuit.values import (
    Brian2Code,
    Constants,
    Count,
    DefaultBias,
    Delay,
    FileName,
    Finite,
    Identifier,
    Kernel,
    Memory,
    NonNegative,
    Positive,
    Rate,
    Share,
    Spread,
    Starts,
    Time,
    Truth,
    UnitCurrent,
    Voltage,
)
from neuromirror.units import Quantity

Transport = Literal["none", "initial", "exact", "sign"]
"""How a B is made of its W, which no synapse could do: not at all, Wᵀ as it was at first, Wᵀ, or its signs."""

Bias = Literal["on", "blocked", "everywhere"]
"""Whether the biases b of forward cells act in a mode: in all layers but those that are noisy, in none, or in all."""

SCHEMA = 2
"""Newest version of the file format, apart from the package's; see `neuromirror.circuit.migrations`."""


class Estimate(Model):
    """A local running average of each cell's signal, one for each mode (8.2), that the rules use as beta.

    Where a feedback cell carries an error its average is signal, and no baseline: the rules use that of the mode
    ``rest`` instead, in which no error is formed, or beta itself.
    """

    tau: Time
    rest: str | None = None


class Code(Model):
    """How cells represent positive and negative numbers (8.2).

    With ``push_pull`` each unit is a pair of cells, ON and OFF; ``dale`` asks that every cell excite or inhibit only.
    """

    kind: Literal["zero_mean", "baseline", "push_pull"]
    beta: Rate | None = None
    unit: Rate = Quantity(25.0, "rate")
    estimate: Estimate | None = None
    dale: Truth = False

    @property
    def non_negative(self) -> bool:
        """Whether signals of forward cells are rates, which cannot fall below zero."""
        return self.kind != "zero_mean"

    @property
    def cells_per_unit(self) -> int:
        """Number of cells of each unit of a population."""
        return 2 if self.kind == "push_pull" else 1


class Cell(Model):
    """A kind of cell: `activation` on the rate backends, the rest on the spiking one (leaky integrate-and-fire).

    ``tau_syn`` is the decay of synaptic currents. ``noise`` is the standard deviation that intrinsic white noise gives
    the free membrane; ``default_bias`` is b⁻ of Appendix B, in the membrane's voltage above rest, or ``"calibrate"``:
    whatever makes the cell fire at beta.

    Where ``model`` is ``custom``, ``equations``, ``threshold`` and ``reset`` are Brian2's, with ``constants``; see
    `neuromirror.backends.brian2.own_cells`.

    Where ``activation`` is ``expr``, ``phi`` is an expression in the input u, and ``slope`` its derivative as an
    expression in the output y.
    """

    activation: Literal["relu", "linear", "tanh", "rectified_tanh", "expr"] = "relu"
    model: Literal["lif", "custom"] = "lif"
    tau_m: Time = Quantity(0.02, "time")
    tau_syn: Time = Quantity(0.006, "time")
    refractory: Delay = Quantity(0.002, "time")
    v_rest: Voltage = Quantity(-0.07, "voltage")
    v_reset: Voltage = Quantity(-0.07, "voltage")
    v_threshold: Voltage = Quantity(-0.05, "voltage")
    noise: Spread = Quantity(0.002, "voltage")
    default_bias: DefaultBias = "calibrate"
    phi: str | None = None
    slope: str | None = None
    equations: Brian2Code | None = None
    threshold: Brian2Code | None = None
    reset: Brian2Code | None = None
    constants: Constants | None = None
    start: Starts | None = None
    unit_current: UnitCurrent | None = None

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


class Init(Model):
    """How an array of weights or biases begins.

    ``normal``: independent Gaussian of sd ``gain``/√(fan-in) (of sd ``gain`` for biases); ``constant``: ``value``
    everywhere; ``values``: the array itself, (target, source) for weights; ``rademacher``: of random sign, and as large
    everywhere as ``normal`` is on average. A file's ``init = "file"`` is read into ``values`` before.
    """

    init: Literal["normal", "rademacher", "constant", "values"] = "normal"
    gain: NonNegative = 1.0
    value: Finite = 0.0
    values: Values | None = None


class Norm(Model):
    """What keeps the signals of a population in range.

    ``batch_norm``: over the examples of a batch, per channel, ``when`` before or after the nonlinearity, with a learned
    gain and shift; ``backward`` says whether errors pass its whole derivative or its scale only (C.3), with its gain
    (γ/σ) or without (1/σ).
    ``synaptic_scaling``: each cell scales its incoming weights so slowly that its rate tends to ``rate``, with the time
    constant ``tau``.
    """

    kind: Literal["batch_norm", "synaptic_scaling"]
    when: Literal["before", "after"] = "before"
    eps: Positive = 1e-5
    momentum: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)] = 0.1
    backward: Literal["full", "sigma", "sigma_without_gain"] = "full"
    rate: Rate | None = None
    tau: Time | None = None


class Parameters(Model):
    """What differs from cell to cell of a population: a value for each cell, in place of that of its kind."""

    tau_m: tuple[Time, ...] | None = None
    tau_syn: tuple[Time, ...] | None = None
    refractory: tuple[Delay, ...] | None = None
    v_rest: tuple[Voltage, ...] | None = None
    v_reset: tuple[Voltage, ...] | None = None
    v_threshold: tuple[Voltage, ...] | None = None
    noise: tuple[Spread, ...] | None = None
    default_bias: tuple[DefaultBias, ...] | None = None


class Population(Model):
    """Cells of one kind in one layer of the forward or the feedback path.

    ``shape`` is a number of cells, or (channels, height, width). ``shares`` names the forward population whose cells
    carry a feedback population's signal too (8.1).
    """

    path: Literal["forward", "feedback"]
    layer: Annotated[int, Field(ge=0, le=10_000, strict=True)]
    shape: Annotated[tuple[Count, ...], Field(min_length=1, max_length=3)]
    cell: str
    bias: Init | None = None
    norm: Norm | None = None
    shares: str | None = None
    parameters: Parameters | None = None


class Projection(Model):
    """Axons from one population to another.

    Connectors: ``all_to_all`` and, for (channels, height, width), ``conv`` (weights shared over places), ``local`` (the
    same without sharing), ``pool`` and ``shortcut`` (the signal itself, joined ``before`` or ``after`` the target's
    nonlinearity); ``one_to_one`` for cross-projections.

    Without a ``role`` the synapses excite and inhibit through weights; ``drive`` makes the target mimic the source
    (eq. 6), ``gate`` multiplies the target's feedback input by φ' of the source (eq. 3), and ``error`` brings the
    source's deviation from its baseline to the target's learning rule without driving it (eq. 4). ``roles`` names modes
    in which a projection does something else than in the others: axons that drive asleep may gate awake (8.4).

    ``mask`` says of an all_to_all projection which synapses there are: (target, source), 1 or 0.
    """

    source: str
    target: str
    connector: Literal["all_to_all", "one_to_one", "conv", "local", "pool", "shortcut"]
    role: Literal["synapse", "drive", "gate", "error"] = "synapse"
    roles: dict[str, Literal["drive", "gate"]] | None = None
    weight: Init | None = None
    permutation: tuple[Annotated[int, Field(ge=0, strict=True)], ...] | None = None
    delay: Delay = Quantity(0.0, "time")
    mirrors: str | None = None
    transport: Transport = "none"
    kernel: Kernel | None = None
    stride: Count = 1
    padding: Annotated[int, Field(ge=0, le=10**9, strict=True)] = 0
    groups: Count = 1
    pool: Literal["max", "average"] | None = None
    join: Literal["before", "after"] | None = None
    mask: Values | None = None


class Normalise(Model):
    """Weights are scaled to a fixed norm after each update: of each target or source cell, or of the whole array."""

    per: Literal["target", "source", "array"]
    norm: Positive = 1.0


class Updater(Model):
    """Rate and decay of a rule; see `neuromirror.rules.updater.PlainUpdater`.

    ``sgd`` has momentum, by Nesterov's formula or not, and takes ``decay`` as weight decay.
    """

    kind: Literal["plain", "sgd"] = "plain"
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False, strict=True)] = 0.0
    nesterov: Truth = False
    normalise: Normalise | None = None
    rate: NonNegative | None = None
    decay: NonNegative = 0.0
    decay_times_rate: Truth = True
    memory: Memory | None = None
    memory_from: Memory | None = None


class Rule(Model):
    """A learning rule: a drive (a name of the library, or an expression) and an updater."""

    drive: Annotated[str, Field(max_length=1000)]
    constants: dict[str, Finite] = Field(default_factory=dict)
    updater: Updater


class Noise(Model):
    """What makes the cells of a population fire noisily; ``sd`` and ``amplitude`` are in units of ``code.unit``.

    ``gaussian`` and ``rademacher``: as a rate, one draw an example; when spiking, an Ornstein-Uhlenbeck current of
    correlation time ``tau``. With a ``correlation`` any two cells have it, through a source that all have in common.

    ``bursts``: groups of ``cells`` cells fire by turns ``amplitude`` above and below their baseline, for a ``dwell`` at
    a time, in the order of their numbers or in one that is drawn; see `neuromirror.dynamics.bursts`.

    ``poisson``: the cells fire as Poisson processes of rate β.
    """

    law: Literal["gaussian", "rademacher", "bursts", "poisson"] = "gaussian"
    sd: Positive = 1.0
    tau: Time = Quantity(0.01, "time")
    correlation: Share | None = None
    amplitude: Positive | None = None
    cells: Count | None = None
    dwell: Time | None = None
    order: Literal["given", "shuffled"] | None = None


class Mode(Model):
    """A state of the whole circuit: what transmits, what is noisy, what learns."""

    input: dict[str, Literal["stimulus"]] = Field(default_factory=dict)
    compare: dict[str, str] = Field(default_factory=dict)
    noise: dict[str, Noise] = Field(default_factory=dict)
    on: tuple[str, ...] = ()
    learn: dict[str, str] = Field(default_factory=dict)
    bias: Bias = "on"
    window: Time | None = None
    signal: Signal | None = None


class Mirroring(Model):
    """Short form: the modes in which every B learns (8.5).

    ``turns``: ``each`` layer is noisy in turn; ``alternate``, every second layer; ``together``, all layers, each with
    noise of its own; ``single``, the lowest alone, whose signal drives the rest. ``own_input``: whether what leads into
    a noisy layer transmits, with the first two. ``rule_for`` names other rules for the B of those W that lead to cells
    of some kinds.
    """

    turns: Literal["each", "alternate", "together", "single"] = "each"
    own_input: Literal["off", "on"] = "off"
    rule: str = "mirror"
    rule_for: dict[str, str] = Field(default_factory=dict)
    noise: Noise = Field(default_factory=Noise)
    bias: Bias = "blocked"
    window: Time | None = None
    signal: Signal | None = None


class Layers(Model):
    """Short form: populations y0 … yL of the forward path, and W1 … WL between them, with the same initial values."""

    sizes: Annotated[tuple[Count, ...], Field(min_length=2, max_length=10_000)]
    cell: str | None = None
    weight: Init = Init()
    bias: Init | None = None


class Feedback(Model):
    """Short form: the feedback path of all forward populations, and its cross-projections (8.1, 8.4).

    ``skip`` leaves out the B of the named W's. ``cross_delay`` is what each layer's cross-projection is later than that
    of the layer above, so that what a B joins was sent at the same time; the top layer's has none. Without ``distinct``
    the cells of the forward path carry the feedback signals too.

    ``cross``: the axons that drive feedback cells and those that gate them are ``two`` sets, or ``one``, which gates
    in the modes whose ``on`` has ``@gate`` and drives in the others.
    """

    distinct: Truth = True
    skip: tuple[str, ...] = ()
    cell: str | None = None
    weight: Init = Init()
    cross: Literal["two", "one"] = "two"
    cross_delay: Delay = Quantity(0.0, "time")
    transport: Transport = "none"


class Motif(Model):
    """A part of a circuit that is written once and used several times; see `neuromirror.circuit.motifs`."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    output: str
    populations: dict[str, dict[str, Any]]
    projections: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Use(Model):
    """One use of a motif, or several in series, which are numbered from ``first``."""

    motif: str
    name: Identifier
    inputs: dict[str, str] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    repeat: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    first: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0


class Description(Model):
    """A circuit file, whole.

    The circuit is ``code`` to ``modes``; the protocol is ``stimulus`` to ``training``. Nothing here says on
    what backend, device or seed it runs.
    """

    schema_: Literal[2] = Field(default=2, alias="schema")
    name: FileName
    about: str = ""
    code: Code
    cells: dict[str, Cell]
    layers: Layers | None = None
    feedback: Feedback | None = None
    motifs: dict[str, Motif] = Field(default_factory=dict)
    use: tuple[Use, ...] = ()
    mirroring: Mirroring | None = None
    populations: dict[str, Population] = Field(default_factory=dict)
    projections: dict[str, Projection] = Field(default_factory=dict)
    rules: dict[str, Rule] = Field(default_factory=dict)
    modes: dict[str, Mode] = Field(default_factory=dict)
    stimulus: AnyStimulus | None = None
    schedule: tuple[Item, ...] = ()
    time: Timing = Field(default_factory=Timing)
    training: Training | None = None


CIRCUIT_PARTS = ("code", "cells", "populations", "projections", "rules", "modes")
PROTOCOL_PARTS = ("stimulus", "schedule", "time", "training")
