"""Checks of the baselines that rules subtract, where they are running averages (8.2)."""

from __future__ import annotations

from collections.abc import Iterator

from neuromirror.circuit.axons import in_role
from neuromirror.circuit.checks.context import Context, Path
from neuromirror.circuit.templates import flat
from neuromirror.errors import Problem


def check_baselines(c: Context) -> Iterator[Problem]:
    """Report a mode of rest in which feedback cells do something else than to rest."""
    estimate = c.circuit.code.estimate
    if estimate is None or estimate.rest is None:
        return
    where: Path = ("code", "estimate", "rest")
    yield from c.missing("modes", estimate.rest, where, "mode")
    rest = c.circuit.modes.get(estimate.rest)
    if rest is None:
        return
    path: Path = ("modes", estimate.rest)
    if rest.compare:
        message = "an error is formed in this mode, which is said to be that of rest. Take compare out of it."
        yield c.problem("no-rest", (*path, "compare"), message)
        return
    awake = {name: mode for name, mode in c.circuit.modes.items() if mode.compare}
    scheduled = {step.mode for step in flat(c.circuit.schedule)}
    if scheduled & {name for name, mode in awake.items() if mode.learn} and estimate.rest not in scheduled:
        message = f"the schedule never comes to '{estimate.rest}': errors are measured from beta. Add a step of it."
        yield c.problem("never-rests", ("schedule",), message, "warning")
    driven = {p.target for p in in_role(c.circuit, estimate.rest, rest, "drive").values()}
    for name, mode in awake.items():
        copying = {p.target for p in in_role(c.circuit, name, mode, "drive").values()}
        bringing = in_role(c.circuit, name, mode, "error")
        for projection, described in bringing.items():
            if described.source in driven - copying:
                message = (
                    f"{described.source} copies forward cells at rest, but an error in {name}. Leave its drive off."
                )
                yield c.problem("no-rest", (*path, "on"), message)
            elif projection not in rest.on:
                message = (
                    f"{projection} brings an error in {name}, and nothing at rest: its baseline is unknown. Add it."
                )
                yield c.problem("no-rest", (*path, "on"), message)
