"""What the sampling law predicts of a recorded run: its ingredients, measured on the spikes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from neuromirror import schedule
from neuromirror.circuit.description import Description
from neuromirror.circuit.load import from_text
from neuromirror.circuit.rules import rule_of
from neuromirror.dynamics.codes import PushPull
from neuromirror.errors import RequestError, suggestion
from neuromirror.measure.theory import correlation_time_s, explained_variance, sampling_angle_deg
from neuromirror.measure.traces import exponential_traces
from neuromirror.record.run import Run

MAX_LAG_S = 0.2
"""Largest lag of the autocorrelations, in s: many times the time constants of cells, synapses and noise."""

STRIDE = 10
"""Windows between two samples of the regression, which counts samples as independent."""


@dataclass(frozen=True, kw_only=True)
class SamplingLaw:
    """What the sampling law predicts of one B, and what it predicts it from.

    Attributes
    ----------
    fan_in : int
        N, the number of lower cells that project to each upper cell.
    tau_c_s : float
        τ_c in s; see `neuromirror.measure.correlation_time_s`.
    r_squared : float
        R², without unit; see `neuromirror.measure.explained_variance`.
    duration_s : float
        T, the effective mirroring time in s.
    angle_deg : float
        θ, the predicted angle between B and Wᵀ in degrees; 90 where the lower signals explain nothing.
    """

    fan_in: int
    tau_c_s: float
    r_squared: float
    duration_s: float
    angle_deg: float


def sampling_law(run: Run, name: str, *, phase: int = 0) -> SamplingLaw:
    """Return the angle that limited sampling leaves between B and Wᵀ, from the spikes of a run.

    tan²θ = N·τ_c / (R²·T),  T = (Σ c)² / Σ (c²/window)

    The signals of the feedback populations that B joins are made again of their spikes, as the phase's mode has them
    (``trace`` or ``count``), without what is simulated within ``time.settle`` of the phase's start. τ_c is their
    correlation time, and R² the part of the upper signals' variance that the lower ones explain.

    Parameters
    ----------
    run : Run
        A record with spikes.
    name : str
        The feedback projection, such as ``"B1"``.
    phase : int
        The phase that teaches it, counted from 0 as in ``run.manifest.phases``; the prediction is for its end.

    Returns
    -------
    SamplingLaw

    Raises
    ------
    RequestError
        If nothing spikes in the run, no B has that name, the phase does not teach it, was cut short or is too short to
        measure on, or the record is damaged.

    Notes
    -----
    N is the number of cells that B projects to or, in push-pull, of units, whose signals
    are then ON − OFF. In T, c is the coefficient with which the drive of one window enters B
    at the end of the phase, c_k = step_k·Π_{j>k} keep_j, over all windows in which B has learned by the same rule; each
    lasts ``window`` seconds. Equal coefficients give T = Σ window, and a memory much shorter than the phase T =
    2·memory. What is left of B's initial value is not in it.

    The rule is taken to average products of the two signals about their means (eqs 7 and 15 of Akrout et al. 2019), and
    W not to change meanwhile. `neuromirror.measure.sampling_angle_deg` says where the law comes from, and what it
    lacks.
    """
    if name not in run.mirrored:
        raise RequestError(f"{run.path}: no '{name}' that mirrors. {suggestion(name, run.mirrored)}")
    description = from_text(run.circuit_toml, file=str(run.path / "circuit.toml")).description
    phases = schedule.phases(description)
    _check_phase(run, description, phases, name, phase)
    lower_TN, upper_TM = (
        _signal(run, description, phases[phase], run.manifest.projections[name][end]) for end in ("target", "source")
    )
    _check_noise(description, phases[phase])
    window_s, fan_in = phases[phase].window_s, lower_TN.shape[1]
    _check_length(run, phase, window_s, lower_TN)
    tau_c_s = correlation_time_s(lower_TN, upper_TM, window_s, MAX_LAG_S)
    r_squared = explained_variance(lower_TN[::STRIDE], upper_TM[::STRIDE])
    duration_s = _effective_duration_s(run, description, phases[: phase + 1], name)
    angle_deg = sampling_angle_deg(fan_in, tau_c_s, r_squared, duration_s) if r_squared > 0 else 90.0
    return SamplingLaw(fan_in=fan_in, tau_c_s=tau_c_s, r_squared=r_squared, duration_s=duration_s, angle_deg=angle_deg)


def _check_phase(run: Run, description: Description, phases: tuple[schedule.Phase, ...], name: str, phase: int) -> None:
    teaching = [k for k, one in enumerate(phases) if name in description.modes[one.mode].learn]
    listed = ", ".join(f"{k} ({phases[k].mode})" for k in teaching) or "none"
    if not 0 <= phase < len(phases):
        raise RequestError(
            f"{run.path}: no phase {phase} in this run, which has 0 to {len(phases) - 1}. "
            f"Phases that teach {name}: {listed}."
        )
    if phase not in teaching:
        raise RequestError(
            f"{run.path}: phase {phase} ({phases[phase].mode} mode) does not teach {name}. Phases that do: {listed}."
        )
    reached_s, stop_s = max(run.times_s(), default=0.0), phases[phase].stop_s
    if reached_s < stop_s - 1e-9:
        raise RequestError(
            f"{run.path}: phase {phase} ends at {stop_s:g} s, and the run was stopped at {reached_s:g} s. Run it again."
        )


def phase_signals(run: Run, population: str, *, phase: int = 0) -> np.ndarray:
    """Return what rules read of a population at the end of each window of a phase, from the spikes of a run.

    Parameters
    ----------
    run : Run
        A record with spikes.
    population : str
    phase : int
        Counted from 0 as in ``run.manifest.phases``.

    Returns
    -------
    ndarray of float64, shape (windows, cells)
        In Hz, traces or counts as the phase's mode has them, without the windows that begin within ``time.settle`` of
        the phase's start.

    Raises
    ------
    RequestError
        If nothing spikes in the run, or it has no such population or phase.
    """
    description = from_text(run.circuit_toml, file=str(run.path / "circuit.toml")).description
    phases = schedule.phases(description)
    if population not in run.manifest.populations or not 0 <= phase < len(phases):
        raise RequestError(f"{run.path}: no population '{population}' in a phase {phase!r} of {len(phases)}.")
    return _signal(run, description, phases[phase], population)


def _check_noise(description: Description, phase: schedule.Phase) -> None:
    for population, noise in description.modes[phase.mode].noise.items():
        if noise.law == "bursts":
            raise RequestError(
                f"{population} fires in bursts, which are orthogonal, and the sampling law is for independent signals. "
                "Take neuromirror.measure.probing_law."
            )


def _check_length(run: Run, phase: int, window_s: float, lower_TN: np.ndarray) -> None:
    windows, fan_in = lower_TN.shape
    wanted = max(STRIDE * (fan_in + 2), math.floor(MAX_LAG_S / window_s) + 2)
    if windows < wanted:
        raise RequestError(
            f"{run.path}: phase {phase} has {windows} windows after time.settle, too few to measure on. "
            f"Expected at least {wanted}, {wanted * window_s:g} s."
        )


def _signal(run: Run, description: Description, phase: schedule.Phase, population: str) -> np.ndarray:
    """Return what rules read of a population at the end of each settled window of a phase, (windows, units)."""
    spikes, cells = run.spikes(population), run.manifest.populations[population]["size"]
    signal, window_s = schedule.signal_of(description, description.modes[phase.mode]), phase.window_s
    # Windows are counted from the start of the run, since a trace remembers what came before the phase.
    before = math.floor(phase.start_s / window_s + 1e-9)
    t_s = spikes.t_s - (phase.start_s - before * window_s)
    t_s, cell = t_s[t_s >= 0], spikes.cell[t_s >= 0]
    windows = before + phase.examples
    if signal.kind == "count" or signal.tau is None:
        signal_TN = _counts(t_s, cell, cells=cells, window_s=window_s, windows=windows)
    else:
        tau_s = signal.tau.s
        signal_TN = exponential_traces(t_s, cell, cells=cells, window_s=window_s, windows=windows, tau_s=tau_s)
    settled_TN = signal_TN[before + _unsettled(description, phase) :]
    return PushPull().values(settled_TN) if run.in_pairs else settled_TN


def _counts(t_s: np.ndarray, cell: np.ndarray, *, cells: int, window_s: float, windows: int) -> np.ndarray:
    """Return each cell's rate in every window, in Hz, (windows, cells)."""
    window = np.floor(t_s / window_s + 1e-6).astype(np.int64)  # a spike at a border belongs to the window it begins
    inside = window < windows
    counts = np.bincount(window[inside] * cells + cell[inside], minlength=windows * cells)
    return counts.reshape(windows, cells) / window_s


def _unsettled(description: Description, phase: schedule.Phase) -> int:
    """Return the number of windows at a phase's start in which nothing learns."""
    return min(phase.examples, math.ceil((description.time.settle.s - 1e-9) / phase.window_s))


def _effective_duration_s(run: Run, description: Description, phases: tuple[schedule.Phase, ...], name: str) -> float:
    """Return T, from the coefficients with which the drive of each window enters the weight after the last phase."""
    last_rule = description.modes[phases[-1].mode].learn[name]
    keeps, steps, windows_s = [], [], []
    seen: Counter[str] = Counter()
    for phase in phases:
        rule = description.modes[phase.mode].learn.get(name)
        if rule is None:
            continue
        updater = rule_of(description, rule).updater
        for _ in range(_unsettled(description, phase), phase.examples):
            update = updater.step(examples_seen=seen[rule], examples=1, window_s=phase.window_s)
            keeps.append(update.keep)
            steps.append(update.step if rule == last_rule else 0.0)
            windows_s.append(phase.window_s)
            seen[rule] += 1
    kept = np.append(np.cumprod(keeps[:0:-1])[::-1], 1.0)  # by all later updates
    coefficients = np.array(steps) * kept
    if not coefficients.any():
        raise RequestError(f"{run.path}: rule '{last_rule}' has a rate of 0, so {name} learned nothing.")
    return float(coefficients.sum() ** 2 / np.sum(coefficients**2 / windows_s))
