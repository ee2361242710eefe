"""A learning rule as the backends see it."""

from __future__ import annotations

from dataclasses import dataclass

from neuromirror.rules.expression import Drive
from neuromirror.rules.updater import PlainUpdater


@dataclass(frozen=True, kw_only=True)
class LibraryRule:
    """A drive that circuit files can name.

    Attributes
    ----------
    name : str
        What a file writes after ``drive =``.
    drive : str
        The expression; see `neuromirror.rules.expression`.
    source : str
        Where the rule comes from, such as ``"Akrout et al. 2019, eq. 15"``.
    """

    name: str
    drive: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A drive and its updater, under the name that the circuit file gives them."""

    name: str
    drive: Drive
    updater: PlainUpdater
