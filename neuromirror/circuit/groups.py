"""Groups of names in modes: ``"@forward"`` in ``on`` or ``learn`` stands for all that it names."""

from __future__ import annotations

from collections.abc import Mapping

from neuromirror.circuit.axons import role_in
from neuromirror.circuit.description import Description, Mode


def groups(description: Description, mode: str) -> dict[str, list[str]]:
    """Return the members of every group of an expanded description, as a mode of that name may name them.

    ``@forward`` and ``@feedback`` are the projections within a path, ``@drive``, ``@gate`` and ``@error`` the
    cross-projections of a role in the mode, ``@W`` and ``@B`` the weights of either path, ``@bias`` all biases and
    ``@norm`` the gains and shifts of all batch norms.
    """
    found: dict[str, list[str]] = {
        f"@{name}": [] for name in ("forward", "feedback", "drive", "gate", "error", "W", "B", "bias", "norm")
    }
    for name, projection in description.projections.items():
        target = description.populations.get(projection.target)
        if projection.role != "synapse":
            found[f"@{role_in(projection, mode)}"].append(name)
        elif target is not None:
            found[f"@{target.path}"].append(name)
            if projection.weight is not None:
                found["@W" if target.path == "forward" else "@B"].append(name)
    for name, population in description.populations.items():
        if population.bias is not None:
            found["@bias"].append(f"{name}.bias")
        if population.norm is not None and population.norm.kind == "batch_norm":
            found["@norm"].append(f"{name}.norm")
    return found


def with_groups(description: Description) -> Description:
    """Write out the groups that modes name; what a mode names itself wins."""
    if not any(name.startswith("@") for mode in description.modes.values() for name in (*mode.on, *mode.learn)):
        return description
    modes = {name: _written_out(mode, groups(description, name)) for name, mode in description.modes.items()}
    return description.model_copy(update={"modes": modes})


def _written_out(mode: Mode, members: Mapping[str, list[str]]) -> Mode:
    on = [one for name in mode.on for one in members.get(name, [name])]
    learn = {one: rule for name, rule in mode.learn.items() for one in members.get(name, [])}
    learn |= {name: rule for name, rule in mode.learn.items() if name not in members}
    return mode.model_copy(update={"on": tuple(dict.fromkeys(on)), "learn": learn})
