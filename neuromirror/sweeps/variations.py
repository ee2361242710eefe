"""The variations of a sweep: every combination of the values that are varied."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromirror.circuit.changes import value_of
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.unused import of_run
from neuromirror.errors import CircuitError, RequestError
from neuromirror.record.store import plain

_OPENS, _CLOSES = "[{(", "]})"
MAX_NAME = 40
"""The most characters of a value in the name of a directory."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A circuit with one value for each of the names that are varied.

    Attributes
    ----------
    name : str
        Of its directory, such as ``"beta=20Hz,sd=2"``.
    values : mapping of str to str
        The values as text, by their dotted names.
    circuit : Circuit
        In its long form.
    """

    name: str
    values: Mapping[str, str]
    circuit: Circuit

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.values.items())


def parsed(options: Iterable[str]) -> dict[str, list[Any]]:
    """Read ``--vary`` options.

    Parameters
    ----------
    options : iterable of str
        ``"dotted.name=value,value,…"`` each, values as for ``--set``. Commas in brackets, braces and quotes belong to a
        value.

    Raises
    ------
    RequestError
        If one is not of that form, or a name is varied twice.
    """
    found: dict[str, list[Any]] = {}
    for option in options:
        name, equals, text = option.partition("=")
        name, said = name.strip(), f"--vary {option}"
        if not equals or not name:
            raise RequestError(f'{said}: expected dotted.name=value,value, such as code.beta="20 Hz,50 Hz".')
        if name in found:
            raise RequestError(f"{said}: {name} is varied already. Give all its values after one --vary.")
        texts = split(text, said)
        if not all(texts):
            raise RequestError(f'{said}: found an empty value. Take out a comma, or write "" for an empty text.')
        found[name] = [value_of(one, said) for one in texts]
    return found


def split(text: str, said: str = "") -> list[str]:
    """Split values at the commas that are in no brackets, braces or quotes.

    Raises
    ------
    RequestError
        If one of these is not closed.
    """
    parts, open_, quote = [""], list[str](), ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPENS:
            open_.append(_CLOSES[_OPENS.index(character)])
        elif open_ and character == open_[-1]:
            open_.pop()
        elif character == "," and not open_:
            parts.append("")
            continue
        parts[-1] += character
    if quote or open_:
        raise RequestError(f"{said}: {quote or open_[-1]} is missing, which closes a value.")
    return [part.strip() for part in parts]


def variations(
    circuit: Circuit, vary: Mapping[str, Sequence[Any]], check: Callable[[Circuit], Circuit]
) -> list[Variation]:
    """Return all combinations of values, the last name's changing fastest.

    Parameters
    ----------
    circuit : Circuit
    vary : mapping of str to sequence
        Values by their dotted names, as `Circuit.with_values` takes them.
    check : callable
        Takes a changed circuit; raises what is wrong with it, or returns the circuit to run.

    Raises
    ------
    RequestError
        If nothing is varied, a value is given twice, or there is something wrong with a variation, which is named.
    """
    texts = {name: [_text(value) for value in values] for name, values in vary.items()}
    if not texts:
        raise RequestError('a sweep varies something: give --vary, such as code.beta="20 Hz,50 Hz".')
    for name, given in texts.items():
        if not given:
            raise RequestError(f"--vary {name}: expected one or more values.")
        if len(set(given)) < len(given):
            raise RequestError(f"--vary {name}={','.join(given)}: expected each value once.")
    short, taken, found = _short(list(texts)), set[str](), []
    for numbers in itertools.product(*(range(len(given)) for given in texts.values())):
        said = {name: given[k] for (name, given), k in zip(texts.items(), numbers, strict=True)}
        values = {name: given[k] for (name, given), k in zip(vary.items(), numbers, strict=True)}
        changed = _checked(circuit, values, said, check)
        name = unique = ",".join(f"{short[key]}={_of_file(text)}" for key, text in said.items())
        count = 1
        while unique in taken:
            count += 1
            unique = f"{name}~{count}"
        taken.add(unique)
        found.append(Variation(name=unique, values=said, circuit=changed.expand()))
    _check_different(found)
    return found


def _check_different(found: Sequence[Variation]) -> None:
    """Refuse variations that would be the same run, such as those of a value that only `train` reads."""
    seen: dict[str, Variation] = {}
    for variation in found:
        text = of_run(variation.circuit.description).model_dump_json(context={"array": lambda array: array.sha256})
        first = seen.setdefault(text, variation)
        if first is not variation:
            names = [name for name, text in variation.values.items() if text != first.values[name]]
            raise RequestError(
                f"--vary {' --vary '.join(f'{n}={first.values[n]},{variation.values[n]}' for n in names)}: the runs of "
                f"these would be the same, since {'they change' if len(names) > 1 else 'it changes'} nothing that a "
                "simulation of the schedule reads. Vary another value; `neuromirror expand` shows which there are."
            )


def _checked(
    circuit: Circuit, values: Mapping[str, Any], said: Mapping[str, str], check: Callable[[Circuit], Circuit]
) -> Circuit:
    try:
        return check(circuit.with_values(values))
    except CircuitError as error:
        first = next(problem for problem in error.problems if problem.severity == "error")
        why = f"{first.path}: {first.message}" if first.path else first.message
    except RequestError as error:
        why = str(error)
        for name in values:
            why = why.removeprefix(f"with_values {name}: ")
    shown = " ".join(f"{name}={text}" for name, text in said.items())
    raise RequestError(f"--vary {shown}: {why}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False, default=str)


def _short(names: list[str]) -> dict[str, str]:
    """Return the shortest end of each dotted name that no other has."""
    parts = {name: name.split(".") for name in names}
    found = {}
    for name in names:
        ends = (".".join(parts[name][-length:]) for length in range(1, len(parts[name]) + 1))
        others = [f".{other}" for other in names if other != name]
        found[name] = next((end for end in ends if not any(o.endswith(f".{end}") for o in others)), name)
    return found


def _of_file(text: str) -> str:
    """Return a value as part of the name of a directory."""
    return re.sub(r"[^\w.+-]+", "_", text.replace(" ", "")).strip("_")[:MAX_NAME] or "empty"
