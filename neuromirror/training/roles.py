"""What the modes of a circuit are to training: the one in which it learns its task, and those in which it mirrors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from neuromirror.circuit.axons import role_in
from neuromirror.circuit.capabilities import TRAINING, unsupported
from neuromirror.circuit.description import Description, Updater
from neuromirror.circuit.error_path import mirrored_projections
from neuromirror.circuit.fit import forward_path
from neuromirror.circuit.protocol import Training
from neuromirror.circuit.rules import drive_of
from neuromirror.errors import CircuitError, Problem
from neuromirror.modes import Learner, ModePlan
from neuromirror.plan import Plan
from neuromirror.rules.library import library


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The modes of a circuit that learns from images.

    Attributes
    ----------
    engaged : ModePlan
        The mode that compares the output with the target.
    mirrors : tuple of ModePlan
        The modes in which some B learns from noise, in the order of the file; they take turns.
    forward : mapping of str to str
        The rule of every array that learns awake: W's, ``X.bias`` and ``X.norm``.
    kolen_pollack : mapping of str to str
        The rule of every B that takes the steps of its W.
    """

    engaged: ModePlan
    mirrors: tuple[ModePlan, ...]
    forward: Mapping[str, str]
    kolen_pollack: Mapping[str, str]

    @property
    def on(self) -> frozenset[str]:
        """The projections that carry signals and errors awake."""
        return frozenset(axons.name for group in self.engaged.synapses.values() for axons in group)


def roles_of(plan: Plan) -> Roles:
    """Find the roles of a circuit's modes.

    Raises
    ------
    CircuitError
        If training cannot be done with the circuit, with everything that stands in its way.
    """
    described = plan.description
    problems = unsupported(described, TRAINING, plan.circuit.place)
    comparing = [name for name, mode in described.modes.items() if mode.compare]
    if len(comparing) != 1:
        message = (
            f"training needs one mode that compares the output with the target; this circuit has {len(comparing)}. "
            'Say compare = { d_head = "head - target" } in one.'
        )
        raise CircuitError([_placed(one, plan) for one in (*problems, _problem("modes", message))])
    problems += [*_learning(described, comparing[0], plan), *_built(described, comparing[0])]
    problems += _passed_over(described, comparing[0])
    problems += [*_mirroring(plan, comparing[0]), *_batches(described)]
    if problems:
        raise CircuitError([_placed(problem, plan) for problem in problems])
    mirroring = [mode for name, mode in plan.modes.items() if name != comparing[0] and mode.learners]
    learn = described.modes[comparing[0]].learn
    return Roles(
        engaged=plan.modes[comparing[0]],
        mirrors=tuple(mirroring),
        forward={name: rule for name, rule in learn.items() if name not in plan.mirrors},
        kolen_pollack={name: rule for name, rule in learn.items() if name in plan.mirrors},
    )


def _placed(problem: Problem, plan: Plan) -> Problem:
    """Return a problem with file and line."""
    file, line = plan.circuit.place(tuple(problem.path.split(".")))
    return problem if problem.file else dataclasses.replace(problem, file=file, line=line)


def _problem(path: str, message: str) -> Problem:
    return Problem(name="training", path=path, message=message)


def _learning(described: Description, engaged: str, plan: Plan) -> list[Problem]:
    """Report what learns awake by a rule that training has no way to compute."""
    known, found = library(), list[Problem]()
    if not described.modes[engaged].learn:
        message = 'nothing learns in the mode that compares. Say learn = { "@W" = "forward" }.'
        found.append(_problem(f"modes.{engaged}.learn", message))
    by_rule: dict[tuple[str, str], list[str]] = {}
    for name, rule in described.modes[engaged].learn.items():
        wanted = "kolen_pollack" if name in plan.mirrors else "forward" if name in described.projections else "bias"
        by_rule.setdefault((rule, wanted), []).append(name)
    for (rule, wanted), names in by_rule.items():
        drive = described.rules[rule].drive
        if drive_of(drive, described.rules[rule].constants).text != known[wanted].drive:
            more = f" and {len(names) - 1} more learn" if len(names) > 1 else " learns"
            message = (
                f"{names[0]}{more} awake by the drive '{drive}'. In training that is done by '{wanted}', the gradient "
                f'that the feedback path brings. Use drive = "{wanted}".'
            )
            found.append(_problem(f"rules.{rule}.drive", message))
        found += _updater(described.rules[rule].updater, rule)
    return list(dict.fromkeys(found))


def _updater(updater: Updater, rule: str) -> list[Problem]:
    path = f"rules.{rule}.updater"
    if updater.memory is not None:
        return [_problem(path, "what learns awake has a rate and decay in training, no memory. Say rate = 0.1.")]
    return []


def _passed_over(described: Description, engaged: str) -> list[Problem]:
    """Report what a circuit says that training has no counterpart of."""
    found = []
    if described.modes[engaged].bias == "blocked":
        message = f"biases act in training wherever they are. Say on, or take the biases out of {engaged}'s cells."
        found.append(_problem(f"modes.{engaged}.bias", message))
    if described.modes[engaged].noise:
        message = "images are shown to cells that have no noise of their own in training. Take the noise out."
        found.append(_problem(f"modes.{engaged}.noise", message))
    if described.code.estimate is not None:
        message = "training subtracts the means of each batch, and estimates no baseline over time. Take it out."
        found.append(_problem("code.estimate", message))
    return found


def _mirroring(plan: Plan, engaged: str) -> list[Problem]:
    """Report what other modes do than to let B learn from noise."""
    found, on = list[Problem](), set(plan.description.modes[engaged].on)
    for name, mode in plan.modes.items():
        if name == engaged or not mode.learners:
            continue
        for one in mode.learners:
            if one.name not in plan.mirrors:
                message = (
                    f"{one.name} learns in a mode that compares nothing. In training only B learns there, from noise. "
                    f"Let {one.name} learn in {engaged}."
                )
                found.append(_problem(f"modes.{name}.learn.{one.name}", message))
            elif plan.mirrors[one.name] not in on:
                message = f"its W, {plan.mirrors[one.name]}, is not on in {engaged}. Add it there, or let B rest here."
                found.append(_problem(f"modes.{name}.learn.{one.name}", message))
            elif silent := _silent(plan, mode, one):
                message = (
                    f"{silent} gets no signal in this mode, so that there is nothing to learn from. Add "
                    f'"@drive" and {plan.mirrors[one.name]} to on, and noise to the lower cells.'
                )
                found.append(_problem(f"modes.{name}.learn.{one.name}", message))
        if mode.inputs:
            message = "training shows images in the mode that compares, and nowhere else. Take the input out."
            found.append(_problem(f"modes.{name}.input", message))
    return found


def _silent(plan: Plan, mode: ModePlan, learner: Learner) -> str | None:
    """Return the first of the cells that a B joins which no signal reaches in a mode, if there is one."""
    reached = set(mode.noise)
    for population in mode.order:
        if any(axons.source in reached for axons in mode.synapses.get(population, ())):
            reached.add(population)
    for end in (learner.source or "", learner.target):
        driving = mode.drives.get(end)
        if not driving or driving[0].source not in reached:
            return end
    return None


def _batches(described: Description) -> list[Problem]:
    """Report batches so small that batch norm has one number to normalise."""
    training = described.training or Training()
    single = [n for n, p in described.populations.items() if p.norm is not None and math.prod(p.shape[1:]) == 1]
    if single and 1 in (training.batch, training.micro_batch, training.batch % training.micro_batch):
        message = (
            f"{training.batch} images in parts of {training.micro_batch} leave a part with one image, of which the "
            f"batch norm of {single[0]} can take no variance. Let micro_batch divide batch, and be 2 or more."
        )
        return [_problem("training.micro_batch", message)]
    return []


def _built(described: Description, engaged: str) -> list[Problem]:
    """Report what a network of torch would pass over."""
    found = []
    for name, p in described.projections.items():
        if p.mask is not None:
            found.append(_problem(f"projections.{name}.mask", "training has no masks. Take it out, or use 'run'."))
        if p.permutation is not None:
            message = "training has no permuted cross-projections. Take it out, or use 'run'."
            found.append(_problem(f"projections.{name}.permutation", message))
    on = set(described.modes[engaged].on)
    lacking = [n for n, p in described.projections.items() if role_in(p, engaged) in ("gate", "error") and n not in on]
    lacking += [n for n, p in described.projections.items() if p.mirrors in on and n not in on]
    if lacking:
        message = (
            f"{', '.join(sorted(lacking)[:3])} {'is' if len(lacking) == 1 else 'are'} not on. In training errors pass "
            'through every B and gate of the network. Add "@feedback", "@gate" and "@error".'
        )
        found.append(_problem(f"modes.{engaged}.on", message))
    return [*found, *_without_gates(described, engaged)]


def _without_gates(described: Description, engaged: str) -> list[Problem]:
    """Report populations that errors pass with the slope of their cells, though the file has no axons that bring it."""
    gated = {p.source for p in described.projections.values() if role_in(p, engaged) == "gate"}
    passed = {described.projections[w].source for w in mirrored_projections(described)}
    found = []
    for name in sorted(passed & {p.target for p in forward_path(described).values()} - gated):
        if described.cells[described.populations[name].cell].activation != "linear":
            message = f"in training errors pass {name} with the slope of its cells (eq. 3), and no gate brings it here."
            found.append(
                _problem(f"modes.{engaged}.on", f"{message} Add a gate from {name}, or make its cells linear.")
            )
    return found
