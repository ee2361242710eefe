"""How Brian2 is told to run a rule: the names that its drive goes by, and the code that has a drive in it."""

from __future__ import annotations

from typing import Any

from brian2.utils.stringtools import get_identifiers

SYNAPSE_NAMES = {
    "pre": "signal_pre",
    "post": "signal_post",
    "beta_pre": "beta_pre",
    "beta_post": "beta_post",
    "noise_pre": "noise_pre",
    "noise_post": "noise_post",
    "error": "error_post",
    "cross": "cross_post",
}
"""What a synapse calls the variables of a drive; its own weight is ``w`` to both."""

CELL_NAMES = {
    "post": "signal",
    "beta_post": "beta",
    "noise_post": "noise",
    "error": "error",
    "cross": "cross",
    "w": "b",
}
"""What a cell that learns its bias calls them."""


def run_drive(group: Any, code: str, **when: Any) -> None:
    """Have a group run code with a drive in it, as its ``run_regularly`` does.

    Brian2 simplifies an expression before it looks for the names in it, and then does not know those that have gone,
    such as the function of ``abs(pre)**2``. So it is given all of them.
    """
    group.run_regularly(code, **when).needed_variables = sorted(get_identifiers(code))
