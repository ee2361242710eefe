"""The synapses of one array of weights: which there are, and the variables that they have.

A transported B has no weights of its own: each of its synapses refers to that of its W between the same two units,
whatever a rule makes of that. No synapse of a brain could.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuromirror.plan import Plan

MODELS: Mapping[str, str] = MappingProxyType(
    {
        "none": "w : 1\n",
        "exact": "twin : integer (constant)\n",
        "sign": "twin : integer (constant)\nmagnitude : 1 (constant)\nw = magnitude*sign(w_forward) : 1\n",
    }
)
"""The variables of weights by how they are transported; ``twin`` is the number of a synapse of the W."""

REFERENCES: Mapping[str, str] = MappingProxyType({"exact": "w", "sign": "w_forward"})
"""What a transported B calls the weight of its W."""


def transport_of(plan: Plan, name: str) -> str:
    """Return how an array follows another: a key of `MODELS`."""
    return plan.description.projections[name].transport if name in plan.transported else "none"


def places(plan: Plan, name: str) -> NDArray[np.intp]:
    """Return where there are synapses: indices into an array's flattened weights, (target, source).

    A transported B has one where its W has one too.
    """
    own = plan.synapses(name)
    return own if name not in plan.transported else own[_found(plan, name) >= 0]


def weight_values(plan: Plan, name: str) -> dict[str, Any]:
    """Return the initial values of the synapses' variables, (synapses,), in the order of `places`."""
    transport = transport_of(plan, name)
    if transport == "none":
        return {"w": plan.initial_arrays()[name].ravel()[places(plan, name)]}
    found = _found(plan, name)
    values: dict[str, Any] = {"twin": found[found >= 0]}
    if transport == "sign":
        values["magnitude"] = np.abs(plan.magnitudes()[name]).ravel()[places(plan, name)]
    return values


def _found(plan: Plan, name: str) -> NDArray[np.intp]:
    """Return for each synapse of a transported B the number of its twin among those of its W, and −1 for none."""
    forward, described = plan.transported[name], plan.description.projections[name]
    shape = plan.sizes[described.target], plan.sizes[described.source]
    numbers = np.full(shape[::-1], -1)
    theirs = plan.synapses(forward)
    numbers.ravel()[theirs] = np.arange(len(theirs))
    return numbers.T.ravel()[plan.synapses(name)]
