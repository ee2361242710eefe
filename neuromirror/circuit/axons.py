"""What cross-projections do in a mode: one set of axons may have effects that differ between modes (8.4)."""

from __future__ import annotations

from neuromirror.circuit.description import Description, Mode, Projection


def role_in(projection: Projection, mode: str) -> str:
    """Return the role of a projection in a mode: its own, or the one that it has there instead."""
    return (projection.roles or {}).get(mode, projection.role)


def all_roles(projection: Projection) -> tuple[str, ...]:
    """Return every role that a projection has in some mode, its own first."""
    return tuple(dict.fromkeys((projection.role, *(projection.roles or {}).values())))


def in_role(description: Description, name: str, mode: Mode, *roles: str) -> dict[str, Projection]:
    """Return the projections that are on in a mode and have one of some roles in it, by name.

    Parameters
    ----------
    description : Description
    name : str
        The mode's.
    mode : Mode
    *roles : str
    """
    found = ((key, description.projections.get(key)) for key in mode.on)
    return {key: p for key, p in found if p is not None and role_in(p, name) in roles}
