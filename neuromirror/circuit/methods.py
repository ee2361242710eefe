"""Methods: named overlays that make of one circuit its weight mirror, feedback alignment, backprop and other forms.

An overlay changes how B comes by its values, and what of the schedule is left: a mode that teaches nothing any more is
left out. All else stays, so that methods are compared on the same circuit, initial weights and stimuli.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType

from neuromirror.circuit import controls
from neuromirror.circuit.description import Description, Mode, Projection, Rule, Transport
from neuromirror.circuit.protocol import Item, Repeat
from neuromirror.circuit.templates import flat
from neuromirror.errors import RequestError, suggestion


@dataclass(frozen=True, kw_only=True)
class Method:
    """An overlay.

    Attributes
    ----------
    name : str
        As after ``--method``.
    about : str
        One line.
    local : bool
        Whether every synapse changes by what it can see itself.
    apply : callable
        From an expanded description to another.
    """

    name: str
    about: str
    local: bool
    apply: Callable[[Description], Description]


def overlaid(description: Description, method: str) -> Description:
    """Return an expanded description under a method; its name says which.

    Raises
    ------
    RequestError
        If there is no such method, the circuit has no feedback weights that mirror, or nothing of its schedule is left.
    """
    if method not in METHODS:
        raise RequestError(f"method '{method}': there is none of that name. {suggestion(method, METHODS)}")
    if not _feedback(description):
        raise RequestError(f"method '{method}': no projection of this circuit mirrors another. Add mirrors = \"W…\".")
    changed = METHODS[method].apply(description)
    stopped = {name for name, mode in description.modes.items() if mode.learn and not changed.modes[name].learn}
    schedule = _without_steps(changed.schedule, stopped)
    teaching = [step for step in flat(schedule) if step.mode not in changed.modes or changed.modes[step.mode].learn]
    if description.schedule and not teaching:
        raise RequestError(
            f"method '{method}': nothing of the schedule is left, since no mode of it teaches anything but B. "
            "Add an engaged mode in which W learns."
        )
    return changed.model_copy(update={"schedule": schedule, "name": f"{description.name}-{method}"})


def method_of(description: Description) -> str | None:
    """Return the method by which the B of an expanded description come by their values, whoever laid it over.

    None where they do so in several ways, or where the circuit is a control: some W does not learn, or feedback cells
    do not mimic the forward cells of their own place. Delays are not looked at.
    """
    feedback, learning = _feedback(description), set[tuple[str, str]]()
    for mode in description.modes.values():
        learning |= {(name, "awake" if mode.compare else "asleep") for name in mode.learn}
    ws = {n for n, p in description.projections.items() if p.weight is not None and p.mirrors is None}
    if any(p.permutation is not None for p in description.projections.values()):
        return None
    if not ws <= {name for name, when in learning if when == "awake"}:
        return None
    ways = {(p.transport, *sorted(when for b, when in learning if b == name)) for name, p in feedback.items()}
    named = {
        ("exact",): "bp",
        ("sign",): "ss",
        ("initial",): "wt0",
        ("none",): "fa",
        ("none", "asleep"): "wm",
        ("none", "awake"): "kp",
    }
    return named.get(ways.pop()) if len(ways) == 1 else None


def not_local(description: Description) -> dict[str, str]:
    """Return the projections whose weights are transported, with how: what no synapse could do by itself."""
    return {name: p.transport for name, p in description.projections.items() if p.transport != "none"}


def _feedback(description: Description) -> dict[str, Projection]:
    """Return every B that has weights of its own and mirrors a W."""
    return {n: p for n, p in description.projections.items() if p.mirrors is not None and p.weight is not None}


def _set_transport(description: Description, transport: Transport) -> Description:
    """Return the description with every B transported so, and with none of them learning."""
    feedback = _feedback(description)
    changed = {name: p.model_copy(update={"transport": transport}) for name, p in feedback.items()}
    modes = {
        name: mode.model_copy(update={"learn": {k: rule for k, rule in mode.learn.items() if k not in feedback}})
        for name, mode in description.modes.items()
    }
    return description.model_copy(update={"projections": {**description.projections, **changed}, "modes": modes})


def _mirrored(description: Description) -> Description:
    changed = {name: p.model_copy(update={"transport": "none"}) for name, p in _feedback(description).items()}
    return description.model_copy(update={"projections": {**description.projections, **changed}})


def _kolen_pollack(description: Description) -> Description:
    """Teach every B with the updater of its W, wherever that learns."""
    plain = _set_transport(description, "none")
    rules, modes = dict(plain.rules), dict[str, Mode]()
    for name, mode in plain.modes.items():
        learn = dict(mode.learn)
        for b, projection in _feedback(plain).items():
            teacher = mode.learn.get(projection.mirrors or "")
            if teacher is not None and teacher in rules:
                own = f"{teacher}_kolen_pollack"
                rules[own] = Rule(drive="kolen_pollack", updater=rules[teacher].updater)
                learn[b] = own
        modes[name] = mode.model_copy(update={"learn": learn})
    return plain.model_copy(update={"rules": rules, "modes": modes})


def _without_steps(items: tuple[Item, ...], modes: Set[str]) -> tuple[Item, ...]:
    """Return a schedule without its steps of some modes; what never taught, such as a mode of rest, stays."""
    kept = list[Item]()
    for item in items:
        if not isinstance(item, Repeat):
            kept += [item] if item.mode not in modes else []
        elif steps := _without_steps(item.steps, modes):
            kept.append(item.model_copy(update={"steps": steps}))
    return tuple(kept)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(name="wm", about="weight mirror: B learns in mirror mode (eq. 15)", local=True, apply=_mirrored),
            Method(
                name="fa",
                about="feedback alignment: B is random and stays so (eq. 3)",
                local=True,
                apply=lambda description: _set_transport(description, "none"),
            ),
            Method(
                name="kp",
                about="Kolen-Pollack: B takes the same steps as W, with its updater",
                local=True,
                apply=_kolen_pollack,
            ),
            Method(
                name="bp",
                about="backprop: B = Wᵀ, transported (eq. 2)",
                local=False,
                apply=lambda description: _set_transport(description, "exact"),
            ),
            Method(
                name="wt0",
                about="B is Wᵀ as it was at first, transported once, and stays so",
                local=False,
                apply=lambda description: _set_transport(description, "initial"),
            ),
            Method(
                name="output_only",
                about="control: B does not matter, since only what leads to the output learns",
                local=True,
                apply=lambda description: controls.output_only(_set_transport(description, "none")),
            ),
            Method(
                name="permuted",
                about="sham of the weight mirror: feedback cells mimic the forward cells beside their own",
                local=True,
                apply=lambda description: controls.permuted(_mirrored(description)),
            ),
            Method(
                name="shifted",
                about="sham of the weight mirror: the cells that a B joins mimic forward cells of different times",
                local=True,
                apply=lambda description: controls.shifted(_mirrored(description)),
            ),
            Method(
                name="ss",
                about="sign-symmetry: B has the signs of Wᵀ, transported, and the magnitudes that it began with",
                local=False,
                apply=lambda description: _set_transport(description, "sign"),
            ),
        )
    }
)
"""All methods, by name."""
