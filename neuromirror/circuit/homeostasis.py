"""From what a description says of homeostasis to what backends run."""

from __future__ import annotations

from neuromirror.circuit.description import Description, Mode
from neuromirror.dynamics.homeostasis import Normalisation, SynapticScaling


def normalisation_of(description: Description, rule: str) -> Normalisation | None:
    """Return what a rule's weights are scaled to after each update, if anything."""
    described = description.rules[rule].updater.normalise
    return None if described is None else Normalisation(per=described.per, norm=described.norm)


def scalings(description: Description) -> dict[str, SynapticScaling]:
    """Return the synaptic scaling of every population that has it."""
    found = {}
    for name, population in description.populations.items():
        norm = population.norm
        if norm is not None and norm.kind == "synaptic_scaling" and norm.rate is not None and norm.tau is not None:
            set_point = norm.rate.Hz / description.code.unit.Hz
            found[name] = SynapticScaling(set_point=set_point, tau_s=norm.tau.s)
    return found


def weights_into(description: Description, population: str) -> tuple[str, ...]:
    """Return the projections with weights that lead to a population."""
    projections = description.projections.items()
    return tuple(name for name, p in projections if p.target == population and p.weight is not None)


def scaled_in(description: Description, mode: Mode) -> dict[str, tuple[str, ...]]:
    """Return what synaptic scaling acts on in a mode: by population, the weights into it, where they learn."""
    into = {name: weights_into(description, name) for name in scalings(description)}
    return {name: arrays for name, arrays in into.items() if arrays and set(arrays) <= set(mode.learn)}
