r"""What training costs in arithmetic, from the shapes of a circuit alone.

A weight of an all-to-all projection makes one product for an example, one of a convolution a product at each position
of its target:

.. math:: m_W = |W| \cdot \text{positions}

Forward that is all. Awake W's gradient takes m_W products more, and the error that goes on to the layer below as many.
In mirror mode an example takes m_W to drive the upper layer, and m_W for each separable term of the rule that teaches
its B. Where a W has no B no error goes on below it, and nothing is computed there. So with B everywhere, and as many
noisy examples as images, mirroring is 2/3 of forward and backward together.

Products are counted with their additions, as multiply-accumulate operations (MAC), each two floating-point operations.
Nonlinearities, norms, pools and the drawing of noise are left out; they take time by moving memory, not by arithmetic.
So is what a rank does twice if its part of a turn is more than one chunk (`neuromirror.backends.torch.mirror`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from neuromirror.circuit.error_path import mirrored_projections, reached_by_errors, without_errors
from neuromirror.circuit.fit import ends, forward_path
from neuromirror.modes import ModePlan
from neuromirror.plan import Plan
from neuromirror.training.roles import Roles


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Multiply-accumulate operations.

    Attributes
    ----------
    forward, backward : int
        Of one image.
    mirroring : mapping of str to int
        By mirror mode, of one noisy example.
    """

    forward: int
    backward: int
    mirroring: Mapping[str, int]

    def turn(self, examples: Mapping[str, int]) -> int:
        """Return those of one turn of every mirror mode, each with its number of examples."""
        return sum(macs * examples[mode] for mode, macs in self.mirroring.items())


def operations_of(plan: Plan, roles: Roles) -> Operations:
    """Return what one image and one noisy example of a circuit cost."""
    macs = macs_by_projection(plan, roles)
    carried = _carrying_errors(plan, roles)
    path = plan.description.projections
    reached = reached_by_errors(plan.description, roles.on)
    returning = mirrored_projections(plan.description)
    taught = sum(n for w, n in macs.items() if w in roles.forward and path[w].target in reached)
    below = sum(n for w, n in macs.items() if {path[w].source, path[w].target} <= carried and w in returning)
    mirroring = {mode.name: _mirroring(plan, mode, macs) for mode in roles.mirrors}
    return Operations(forward=sum(macs.values()), backward=taught + below, mirroring=mirroring)


def macs_by_projection(plan: Plan, roles: Roles) -> dict[str, int]:
    """Return the products that the weights of each forward projection make for one example."""
    described, found = plan.description, dict[str, int]()
    for name, projection in forward_path(described).items():
        if name in roles.on and name in plan.weight_shapes:
            is_conv = projection.connector == "conv"
            positions = math.prod(described.populations[projection.target].shape[1:]) if is_conv else 1
            found[name] = math.prod(plan.weight_shapes[name]) * positions
    return found


def taught_numbers(plan: Plan, roles: Roles) -> int:
    """Return how many numbers learn awake: those of which gradients are exchanged.

    A B that takes the steps of its W (Kolen-Pollack) takes W's gradient, and has none of its own to exchange.
    """
    populations, found = plan.description.populations, 0
    untaught = set(without_errors(plan.description, roles.on, roles.forward))
    for name in roles.forward:
        if name in untaught:
            continue
        population, _, part = name.rpartition(".")
        if part in ("bias", "norm") and population in populations:
            shape = populations[population].shape
            channels = shape[0] if len(shape) == 3 else math.prod(shape)
            found += channels * (2 if part == "norm" else 1)
        else:
            found += math.prod(plan.weight_shapes[name])
    return found


def mirrored_numbers(plan: Plan, roles: Roles) -> int:
    """Return how many numbers all B have that learn in some mirror mode."""
    return sum(math.prod(plan.weight_shapes[one.name]) for mode in roles.mirrors for one in mode.learners)


def signal_numbers(plan: Plan, mode: ModePlan) -> int:
    """Return how many signals one noisy example has in a mode: of the noisy cells, and of those that they drive."""
    return sum(plan.units[name] for name in _reached(mode))


def _carrying_errors(plan: Plan, roles: Roles) -> set[str]:
    """Return the populations that errors reach and have to reach, for something at them or below learns awake."""
    path = {name: p for name, p in forward_path(plan.description).items() if name in roles.on}
    reached, returning = reached_by_errors(plan.description, roles.on), mirrored_projections(plan.description)
    found = set[str]()
    for population in ends(path)[2]:
        own = any(f"{population}.{part}" in roles.forward for part in ("bias", "norm"))
        into = [name for name, p in path.items() if p.target == population]
        below = any(name in roles.forward or (name in returning and path[name].source in found) for name in into)
        if population in reached and (own or below):
            found.add(population)
    return found


def _reached(mode: ModePlan) -> set[str]:
    reached = set(mode.noise)
    for population in mode.order:
        if population in mode.drives or population in mode.gates:
            continue  # feedback cells hold no signals of their own: they copy forward cells
        if any(axons.source in reached for axons in mode.synapses.get(population, ())):
            reached.add(population)
    return reached


def _mirroring(plan: Plan, mode: ModePlan, macs: Mapping[str, int]) -> int:
    reached = _reached(mode)
    driven = {a.name for group in mode.synapses.values() for a in group if a.source in reached}
    forward = sum(n for w, n in macs.items() if w in driven)
    learned = sum(len(one.rule.drive.terms) * macs[plan.mirrors[one.name]] for one in mode.learners)
    return forward + learned
