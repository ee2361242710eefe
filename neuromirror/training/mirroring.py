"""How much a network mirrors: examples to a turn, and the memory of B."""

from __future__ import annotations

import math

from neuromirror.backends.torch.network import Network
from neuromirror.circuit.geometry import fan_in
from neuromirror.circuit.protocol import Training
from neuromirror.errors import RequestError
from neuromirror.measure.theory import effective_examples, examples_for_angle, rate_angle_deg
from neuromirror.modes import Learner, ModePlan
from neuromirror.rules.updater import Step

FEWEST = 2
"""Examples of a turn: the mean of one example is the example."""

LONGEST = 100.0
"""How many times longer than its own the memory gets at most, where it follows the learning rate."""


def examples_of(network: Network, mode: ModePlan, training: Training) -> int:
    """Return the examples of one turn of a mirror mode.

    With ``mirror_angle_deg`` they are as many as bring the B that needs most of them to that angle in the steady state,
    by the law of `rate_angle_deg`: of examples and positions together a B needs in proportion to its fan-in.

    Raises
    ------
    RequestError
        If there is no such number: means are subtracted, and the law is of rules that forget and independent noise.
    """
    if training.mirror_angle_deg is None:
        found = training.mirror_examples or training.batch
        if found < FEWEST:
            what = "batch" if training.mirror_examples is None else "mirror_examples"
            raise RequestError(f"training.{what} {found}: mirroring subtracts means, of {FEWEST} examples or more.")
        return found
    if _correlated(mode):
        raise RequestError(
            f"training.mirror_angle_deg: the cells of mode '{mode.name}' have noise in common, which leaves an angle "
            "whatever the examples. Take the correlation out, or give mirror_examples in place of the angle."
        )
    return max(FEWEST, *(_needed(network, one, training.mirror_angle_deg, mode.window_s) for one in mode.learners))


def _needed(network: Network, learner: Learner, angle_deg: float, window_s: float) -> int:
    updater = learner.rule.updater
    if updater.memory is not None:
        raise RequestError(
            f"training.mirror_angle_deg: rule '{learner.rule.name}' has a memory, which sets the angle whatever the "
            "examples of a turn. Give the rule a rate and a decay, or leave the angle out."
        )
    inputs, positions, law = _layer(network, learner)
    forgetting = 1 - updater.step(examples_seen=0, examples=1, window_s=window_s).keep
    if not 0 < forgetting <= 1:
        raise RequestError(
            f"training.mirror_angle_deg: rule '{learner.rule.name}' takes {forgetting:g} of B away at each turn. Give "
            "it a decay with which that is more than 0 and at most 1, or leave the angle out."
        )
    return math.ceil(examples_for_angle(inputs, angle_deg, law) / effective_examples(1, forgetting, positions))


def _correlated(mode: ModePlan) -> bool:
    return any(noise.correlation for noise in mode.noise.values())


def predicted_angle_deg(network: Network, mode: ModePlan, learner: Learner, examples: int) -> float | None:
    """Return the angle of a B in the steady state of mirroring, while its W stands still.

    None where B forgets nothing, or cells have noise in common. The law is that of independent Gaussian noise without
    biases; see `rate_angle_deg`.
    """
    if _correlated(mode):
        return None
    inputs, positions, law = _layer(network, learner)
    step = learner.rule.updater.step(examples_seen=10**15, examples=examples, window_s=mode.window_s)
    if not 0 < 1 - step.keep <= 1:
        return None
    return rate_angle_deg(inputs, effective_examples(examples, 1 - step.keep, positions), law)


def _layer(network: Network, learner: Learner) -> tuple[int, int, str]:
    """Return fan-in and positions of the W that a B mirrors, and which law its cells obey."""
    plan = network.plan
    described, w = plan.description, plan.mirrors[learner.name]
    upper = described.populations[described.projections[w].target]
    activation = described.cells[upper.cell].activation
    # There is a law of ReLU and one of linear cells; tanh is nearer to the linear one.
    law = "linear" if activation in ("linear", "tanh") else "relu"
    return fan_in(described.projections[w], plan.weight_shapes[w]), math.prod(upper.shape[1:]), law


def shortened(step: Step, factor: float) -> Step:
    """Return a step that takes a part of its size, so that the memory of B is longer by as much.

    Where W moves more slowly, a longer memory finds its B better and lags no more. It is at most `LONGEST` times as
    long.

    Parameters
    ----------
    step : Step
    factor : float
        0 to 1.
    """
    factor = max(factor, 1 / LONGEST)
    return Step(keep=1 - (1 - step.keep) * factor, step=step.step * factor)
