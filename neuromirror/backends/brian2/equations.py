"""The equations of the spiking circuit, as Brian2 code.

All populations are one NeuronGroup and all cross-projections one Synapses object: fewer objects compile faster and
step faster. Linear equations are integrated exactly over a step, so that results hardly depend on dt. Voltages are
numbers in mV above rest; signals are rates in units of ``code.unit``.
"""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np

from neuromirror.circuit.description import Cell

CELLS = """
dv/dt = (drive - v)/tau_m : 1 (unless refractory)
drive : 1
tau_m : second (constant)
v_threshold : 1 (constant)
v_reset : 1 (constant)
refractory_period : second (constant)
default_bias : 1 (constant)
unit_current : 1 (constant)
jump : 1 (constant)
nominal : 1 (constant)
gate_silent : 1 (constant)
gate_kick : 1 (constant)
membrane_decay : 1 (constant)
membrane_kick : 1 (constant)
synaptic_decay : 1 (constant)
synaptic_kick : 1 (constant)
synaptic_share : 1 (constant)
synaptic : 1
noise_current : 1
noise_sd : 1
noise_decay : 1
noise_kick : 1
gain : 1
gated : 1
gate_trace : 1
signal : 1
error_trace : 1
error_beta : 1
cross : 1
beta : 1
b : 1
cancel : 1
asked : 1
clipped : 1
mode_now : 1 (shared)
signal_decay : 1 (shared)
signal_kick : 1 (shared)
"""
"""Variables of every cell.

``drive`` is what the membrane tends to in this window without noise. ``unit_current`` shifts the rate by one code
unit, and ``jump`` is what a spike adds to the ``synaptic`` current through a weight of 1, so that a presynaptic unit
shifts the rate by one unit too. ``gain`` is φ' where a gate acts. ``cancel`` is what the synaptic input is expected to
be, and is taken away from it: its mean (W(y − β) of eq. 13), or the target of a comparison. ``asked`` adds up what the
membrane tends to over the steps of a window, and ``clipped`` the windows in which its mean asks for a rate below zero,
as the linear response at β has it; ``nominal`` is β, ``gate_silent`` the trace below which a gate takes a cell for
silent, and ``gate_kick`` what a spike adds to it. They are variables, not numbers in the code, so that circuits which
differ in them only run as one program. ``synaptic_share`` is the mean over a step of a current that decays in it.
"""

RESET = """
v = v_reset
signal += signal_kick
"""


def refractory_period_s(cell: Cell, dt_s: float) -> float:
    """Return the refractory period in whole steps, as Brian2 wants it.

    Brian2 counts the step of the spike itself, so its refractory cells integrate one step too early.
    """
    return round(cell.refractory.s / dt_s) * dt_s + dt_s if cell.refractory.s else 0.0


GATE_TAU_S = 0.05
"""Time constant by which a gate knows a silent forward cell, in seconds."""

GATE_SILENT = 0.05
"""A forward cell counts as silent (φ' = 0) below this share of β; its trace gets there 3 time constants after its last
spike. Above silence the rate of a LIF cell is nearly linear in its input, and φ' counts as 1."""


OWN_NOISE = "noise_current = noise_decay*noise_current + noise_kick*randn()"
CORRELATED_NOISE = """
    private_noise = noise_decay*private_noise + noise_kick*randn()
    noise_current = private_share*private_noise + common_share*common_noise
"""


def membrane_step(equations: object, variables: object, method_options: object = None) -> str:
    """Return the step of every cell, exact for constant drive, exponential synapses and white noise."""
    correlated = "private_noise" in getattr(equations, "names", ())
    return f"""
    {CORRELATED_NOISE if correlated else OWN_NOISE}
    target_v = drive + noise_current*noise_sd - gain*cancel*unit_current
    change = (target_v - v)*(1 - membrane_decay) + gain*synaptic*synaptic_kick + membrane_kick*randn()
    asked = asked + target_v + gain*synaptic*synaptic_share
    v = v + int(not_refractory)*change
    synaptic = synaptic*synaptic_decay
    signal = signal*signal_decay
    """


def gated_membrane_step(equations: object, variables: object, method_options: object = None) -> str:
    """Return the step of a circuit with gates and error projections: `membrane_step` and their traces."""
    return (
        membrane_step(equations, variables)
        + """
    error_trace = error_trace*signal_decay
    cross = cross*signal_decay
    gate_trace = gate_trace*gate_decay
    gain = 1 - gated*int(gate_trace < gate_silent)
    """
    )


WINDOW = """
mode_now = mode_of(t)
signal_decay = signal_decays(mode_now*second)
signal_kick = signal_kicks(mode_now*second)
steps = ended_steps(t)
clipped = clipped + int(steps > 0)*int(asked < steps*(default_bias - nominal*unit_current))
asked = asked*int(steps == 0)
noise_decay = noise_decays(mode_now*second, i)
noise_kick = noise_kicks(mode_now*second, i)
signal = signal*(1 - clears(t))
error_trace = error_trace*(1 - clears(t))
cross = cross*(1 - clears(t))
noise_sd = noise_sds(mode_now*second, i)*unit_current
gated = gates(mode_now*second, i)
cancel = cancels(mode_now*second, i) + expected(row_of_tick(t)*second, i)
learned_bias = b*bias_on(mode_now*second, i)
drive = default_bias*default_biases(mode_now*second, i) + unit_current*(inputs(row_of_tick(t)*second, i) + learned_bias)
"""
"""What changes where a window begins: the one before is counted; the mode, the stimulus, counts back to zero."""


@b2.implementation("cpp", "double taught(double step, double drive) { return step == 0 ? 0.0 : step*drive; }")
@b2.implementation(
    "cython", "cdef double taught(double step, double drive):\n    return step*drive if step != 0 else 0.0\n"
)
@b2.implementation("numpy", discard_units=True)  # else units are looked at, and arrays printed, at each update
@b2.check_units(step=1, drive=1, result=1)
def taught(step: Any, drive: Any) -> Any:
    """Return step·drive, and 0 where the step is 0 even if the drive is not finite: nothing is learned then."""
    with np.errstate(invalid="ignore"):
        return np.where(step == 0, 0.0, step * drive)
