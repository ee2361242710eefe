"""Lines of tables that hold what is measured against a bound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Line:
    """One bound: what is bounded, what was measured, the bound, and whether it is met."""

    what: str
    measured: str
    bound: str
    met: bool

    def __str__(self) -> str:
        return f"{'met' if self.met else 'MISSED':6}  {self.what:38}  {self.measured:36}  bound {self.bound}"
