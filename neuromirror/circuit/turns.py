"""Modes in which cells that carry both signals take turns (8.1): which these are, and what spiking cells ask of them.

A window of such a mode has two halves. In the first, cells carry y, which each remembers; in the second they carry δ.
"""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.axons import in_role, role_in
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.checks.modes import COMPARE
from neuromirror.circuit.description import Description, Mode
from neuromirror.errors import Problem


def takes_turns(description: Description, name: str) -> bool:
    """Return whether cells of a forward population carry a feedback signal besides, in one example of a mode."""
    return bool(_both(description, name, description.modes[name]))


def turning(c: Context, name: str, mode: Mode) -> Iterator[Problem]:
    """Yield what of a mode cells that take turns cannot do when spiking."""
    carried = _both(c.circuit, name, mode)
    if not carried:
        return
    driven = in_role(c.circuit, name, mode, "drive")
    if driven:
        key, projection = next(iter(driven.items()))
        message = (
            f"{carried[0]}, and {key} drives, which makes {projection.target} carry y in the half of the "
            "window in which its cells carry δ. Leave one of them off."
        )
        yield c.problem("taking-turns", ("modes", name), message)
        return
    for path, message in (*_alone(c, name), *_within(c, name, mode), *_timed(c, name, mode)):
        yield c.problem("taking-turns", path, message)


def _both(description: Description, name: str, mode: Mode) -> list[str]:
    """Return what makes cells of a forward population carry δ in a mode, in words."""
    shared = {key for key, population in description.populations.items() if population.shares is not None}
    carried = [f"{key} is compared" for key in mode.compare if key in shared]
    others = in_role(description, name, mode, "synapse", "gate", "error").items()
    return carried + [f"{key} is on" for key, p in others if {p.source, p.target} & shared]


def _alone(c: Context, name: str) -> Iterator[tuple[Path, str]]:
    """Report a circuit in which feedback cells of some populations are shared, and of others not."""
    feedback = {key: p for key, p in c.circuit.populations.items() if p.path == "feedback"}
    own = [key for key, p in feedback.items() if p.shares is None]
    if own:
        both = next(key for key, p in feedback.items() if p.shares is not None)
        yield (
            ("modes", name),
            f"{both} and {feedback[both].shares} are the same cells, which take turns, and {own[0]} has cells of its "
            "own, which do not. Let all feedback populations share cells, or none, or use --backend torch.",
        )


def _within(c: Context, name: str, mode: Mode) -> Iterator[tuple[Path, str]]:
    """Report cross-projections between different cells: what each remembers stays in the cell."""
    shares = {key: p.shares for key, p in c.circuit.populations.items()}
    reached = dict[tuple[str, str], str]()
    for key, p in in_role(c.circuit, name, mode, "gate", "error").items():
        role = role_in(p, name)
        own = {p.source, shares.get(p.source)} & {p.target, shares.get(p.target)}
        if not own:
            yield (("projections", key), f"the cells of {p.source} and {p.target} are not the same. {_WITHIN}")
        elif p.delay.s or list(p.permutation or ()) != sorted(p.permutation or ()):
            what = "delay" if p.delay.s else "permutation"
            message = f"{p.target} and {p.source} are the same cells, and no axon is between. Take the {what} out."
            yield ("projections", key, what), message
        elif (role, p.target) in reached:
            other = reached[role, p.target]
            yield ("projections", key), f"{other} brings {p.target} the same signal of the same cells. Take one out."
        reached.setdefault((role, p.target), key)
    for key, text in mode.compare.items():
        match = COMPARE.fullmatch(text)
        if match is not None and shares.get(key) not in (None, match[1]):
            message = f"the cells of {key} are those of {shares[key]}, and remember what these fired. {_WITHIN}"
            yield ("modes", name, "compare", key), message


_WITHIN = "A cell that takes turns knows its own y only: compare it, gate it and bring its δ within a population."


def _timed(c: Context, name: str, mode: Mode) -> Iterator[tuple[Path, str]]:
    """Report a window that has no two halves, signals that are no counts, and noise."""
    window, dt = mode.window or c.circuit.time.window, c.circuit.time.dt
    steps = round(window.s / dt.s)
    if steps % 2:
        path: Path = ("modes", name, "window") if mode.window else ("time", "window")
        yield path, f"a window of {window}, {steps} time steps of {dt}, has no two halves. Make their number even."
    signal = mode.signal or c.circuit.time.signal
    if signal.kind != "count":
        path = ("modes", name, "signal") if mode.signal else ("time", "signal")
        message = (
            f'cells that take turns count their spikes, and have no {signal.kind}. Say signal = {{ kind = "count" }}.'
        )
        yield path, message
    if mode.noise:
        message = f"{next(iter(mode.noise))} is noisy, and the noise would act on δ too. Take the noise out."
        yield ("modes", name, "noise"), message
