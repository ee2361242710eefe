"""Control experiments as overlays: what is left when only the output layer learns, and mirroring that cannot mirror.

In a sham all goes on as under the weight mirror, noise, spikes and learning of B included, but for one thing that B
needs: that what its two ends fire came from the same cells, at the same time.
"""

from __future__ import annotations

import math

from neuromirror.circuit.checks import COMPARE
from neuromirror.circuit.description import Description, Mode, Projection
from neuromirror.errors import RequestError
from neuromirror.units import Quantity


def output_only(description: Description) -> Description:
    """Let nothing learn but what leads to the output, and its biases."""
    return description.model_copy(
        update={"modes": {name: _of_the_output(description, mode) for name, mode in description.modes.items()}}
    )


def _of_the_output(description: Description, mode: Mode) -> Mode:
    outputs = {match[1] for text in mode.compare.values() if (match := COMPARE.fullmatch(text))}
    targets = {name: p.target for name, p in description.projections.items()}
    kept = {name: rule for name, rule in mode.learn.items() if targets.get(name, name.removesuffix(".bias")) in outputs}
    return mode.model_copy(update={"learn": kept})


def permuted(description: Description) -> Description:
    """Let each feedback cell mimic the forward cell beside its own, so that B learns Wᵀ with its entries exchanged.

    B has the norm, the noise and the history that it would have, and an angle to Wᵀ as if by chance.

    Raises
    ------
    RequestError
        If a drive projection is permuted already.
    """
    changed = {}
    for name, p in _drives(description).items():
        if p.permutation is not None:
            raise RequestError(f"method 'permuted': {name} is permuted already. Take its permutation out.")
        units = math.prod(description.populations[p.target].shape)
        changed[name] = p.model_copy(update={"permutation": tuple((unit + 1) % units for unit in range(units))})
    return description.model_copy(update={"projections": {**description.projections, **changed}})


def shifted(description: Description) -> Description:
    """Let the feedback cells of each layer mimic what those of the layer below mimic ``time.settle`` earlier.

    What the two ends of a B fire is as it would be, but of different times, so that B learns noise.

    Raises
    ------
    RequestError
        If ``time.settle`` is 0.
    """
    settle, drives = description.time.settle, _drives(description)
    if not settle.s:
        raise RequestError("method 'shifted': the shift is that of time.settle, which is 0 s. Give it 100 ms.")
    lowest = min((description.populations[p.target].layer for p in drives.values()), default=0)
    changed = {}
    for name, p in drives.items():
        later = settle.si * (description.populations[p.target].layer - lowest)
        changed[name] = p.model_copy(update={"delay": Quantity(round(p.delay.si + later, 9), "time")})
    return description.model_copy(update={"projections": {**description.projections, **changed}})


def _drives(description: Description) -> dict[str, Projection]:
    return {name: p for name, p in description.projections.items() if p.role == "drive"}
