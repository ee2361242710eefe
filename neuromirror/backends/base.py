"""What a backend is, and what it reports to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neuromirror.circuit.capabilities import capabilities
from neuromirror.errors import RequestError, UnsupportedError
from neuromirror.plan import FloatArray, Plan


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of what learns at one moment of a run.

    Attributes
    ----------
    phase : int
        Index of the phase that is running or has just ended.
    examples : int
        Examples done so far, over all phases.
    t_s : float
        Simulated time so far, in seconds.
    arrays : mapping of str to float array
        All weights, (target, source), and biases.
    more : mapping
        Further numbers for the metrics, such as ``{"loss": 0.1}``.
    lost : str or None
        In words, what of the state besides the arrays is not finite.
    silent : mapping of str to float
        The share of signals of each forward population, over its cells and the examples since the snapshot before, that
        were not above zero; of those alone that something drives in the mode, and only where nothing spikes.
    """

    phase: int
    examples: int
    t_s: float
    arrays: Mapping[str, FloatArray]
    more: Mapping[str, Any] = field(default_factory=dict)
    lost: str | None = None
    silent: Mapping[str, float] = field(default_factory=dict)


class Recorder(Protocol):
    """Takes what a backend sees as the run goes."""

    def snapshot(self, snapshot: Snapshot, *, keep_arrays: bool) -> None:
        """Take a state; `keep_arrays` asks for the arrays themselves to be kept, not only what is measured on them."""
        ...

    def spikes(self, population: str, ticks: NDArray[np.int64], cells: NDArray[np.int32]) -> None:
        """Take the next spikes: time steps from the start of the run, and cells of the population.

        They come before the snapshots of their time.
        """
        ...

    def progress(self, done_s: float) -> None:
        """Take the simulated time done so far, in seconds."""
        ...


State = Mapping[str, NDArray[Any]]
"""All that a backend needs to go on from a moment of a run, as arrays by name."""


@runtime_checkable
class Keeper(Protocol):
    """A recorder that keeps moments of a run, so that it can go on from the newest.

    Attributes
    ----------
    begun : State or None
        What the run goes on from; None at its beginning.
    """

    begun: State | None

    def keep(self, state: Callable[[], State], *, now: bool) -> None:
        """Keep the present moment if one is due, or `now` asks for it; all that came before it has been handed over.

        Without ``now`` the state may not be asked for at all.
        """
        ...


def unresumable(backend: str, target: str | None) -> str | None:
    """Return why a run cannot go on when it has been cut short; None if it can."""
    if backend != "brian2":
        return f"runs of backend '{backend}' keep no state on their way"
    if target == "cpp_standalone":
        return "standalone programs keep no state on their way, as targets numpy and cython do"
    return None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run, apart from what the circuit file says.

    Attributes
    ----------
    target : str
        For brian2: ``auto``, ``numpy``, ``cython`` or ``cpp_standalone``; for torch: the device.
    dtype : {"float64", "float32"}
        Of the numbers; see `DTYPES`.
    points : int
        Number of snapshots over the whole run.
    population : str or None
        The only one whose spikes are recorded; None for all. Losses are those of recorded populations.
    """

    target: str = "auto"
    dtype: str = "float64"
    points: int = 200
    population: str | None = None


DTYPES: Mapping[str, tuple[str, ...]] = {
    "brian2": ("float64",),
    "brian2-rate": ("float64",),
    "reference": ("float64",),
    "torch": ("float64", "float32"),
}
"""The types of numbers that each backend computes with."""


def check_options(options: Options, backend: str) -> None:
    """Refuse options that a backend would pass over, or that are none.

    Raises
    ------
    RequestError
        If there are.
    """
    known = {dtype for dtypes in DTYPES.values() for dtype in dtypes}
    if options.dtype not in known:
        raise RequestError(f"--dtype {options.dtype}: expected {' or '.join(sorted(known, reverse=True))}.")
    if options.dtype not in DTYPES[backend]:
        able = " or ".join(name for name, dtypes in DTYPES.items() if options.dtype in dtypes)
        raise RequestError(
            f"--dtype {options.dtype}: backend '{backend}' computes in {' or '.join(DTYPES[backend])} only. "
            f"Use --backend {able}, or leave --dtype out."
        )
    if options.points < 1:
        raise RequestError(f"--points {options.points}: expected 1 or more.")


class Backend(Protocol):
    """One way to run plans. Each backend module has a `backend` of this kind."""

    def target(self, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        """Return the target that would be used for all of these plans, so many at a time."""
        ...

    def said(self, target: str, plans: Sequence[Plan], options: Options, *, jobs: int = 1) -> str:
        """Return the target as it is said aloud before the runs."""
        ...

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        """Run plans that differ in their seed only, each into its recorder."""
        ...


class Program(Protocol):
    """What has been compiled for several plans. It can be pickled, and runs in any process."""

    def run(self, plan: Plan, recorder: Recorder) -> None:
        """Run one of the plans into its recorder."""
        ...


@runtime_checkable
class Compiles(Protocol):
    """A backend that has a target, `COMPILED`, on which one program runs plans that differ in more than their seed."""

    def key(self, plan: Plan, options: Options) -> str:
        """Return what plans that one program can run have in common."""
        ...

    def builder(self, options: Options) -> AbstractContextManager[Callable[[Sequence[Plan]], Program]]:
        """Give a function that builds the program of plans of one key; programs are gone at the end."""
        ...


COMPILED = "cpp_standalone"
"""The target of backends that compile programs."""

_MODULES = {
    "brian2": "neuromirror.backends.brian2.run",
    "brian2-rate": "neuromirror.backends.brian2.rate",
    "reference": "neuromirror.backends.reference",
    "torch": "neuromirror.backends.torch.run",
}


def load_backend(name: str) -> Backend:
    """Import a backend.

    Raises
    ------
    UnsupportedError
        If what it is built on is not installed, cannot be imported, or is of a version that is not known.
    """
    known = capabilities(name)
    if not known.installed:
        raise UnsupportedError(f"backend '{name}' needs {known.needs}, which is not installed: {known.install}")
    return importlib.import_module(_MODULES[name]).backend


def snapshot_examples(plan: Plan, points: int) -> list[frozenset[int]]:
    """Return for each phase after which of its examples a snapshot is due: evenly over the run, and at every end."""
    total_s = plan.phases[-1].stop_s
    due = []
    for phase in plan.phases:
        share = max(1, round(points * (phase.stop_s - phase.start_s) / total_s))
        due.append(
            frozenset(int(x) for x in np.ceil(np.linspace(0, phase.examples, min(share, phase.examples) + 1)[1:]))
        )
    return due
