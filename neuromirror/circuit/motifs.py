"""Motifs: parts of a circuit that are written once, such as a residual block, and used under many names.

A ``[motifs.NAME]`` has populations and projections of its own, and ``[[use]]`` adds them to the circuit under the name
of the use: population ``a`` of use ``layer1`` becomes ``layer1_a``. Texts ``"$width"`` stand for parameters; ``inputs``
are populations outside that projections of the motif may name; layers count from that of the first input. ``repeat``
puts several in series, ``layer1_0``, ``layer1_1`` and so on, each with the output of the one before as its first input.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from neuromirror.circuit.description import Motif, Use
from neuromirror.errors import Problem, dotted, suggestion

Path = tuple[str | int, ...]
Locate = Callable[[Path], tuple[str | None, int | None]]


@dataclass
class Unfolding:
    """Tables with the uses of motifs written out.

    Attributes
    ----------
    tables : dict
    origins : dict from key path to key path
        Where the motif has what now stands at a path.
    problems : list of Problem
    outputs : dict of str to str
        The population that the name of each use stands for.
    unfilled : set of key paths
        Where a motif names a parameter that it has not.
    locate : callable
        Gives file and line of a key path of the raw tables.
    """

    tables: dict[str, Any]
    locate: Locate
    origins: dict[Path, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    unfilled: set[Path] = field(default_factory=set)

    def origin(self, path: Path) -> Path:
        """Return the path of the raw tables that a path of the unfolded ones comes from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]] + path[length:]
        return path

    def say(self, path: Path, message: str) -> None:
        """Add a problem."""
        file, line = self.locate(path)
        self.problems.append(Problem(name="motif", path=dotted(path), message=message, file=file, line=line))


def unfold(raw: dict[str, Any], locate: Locate) -> Unfolding:
    """Write out the uses of motifs.

    Parameters
    ----------
    raw : dict
        The tables of a circuit file. Motifs and uses that are not of the right form are left to be reported as any
        other table is.
    locate : callable
        Gives file and line for a key path.
    """
    done = Unfolding(copy.deepcopy(raw), locate)
    uses = raw.get("use")
    if not isinstance(uses, list) or not isinstance(raw.get("motifs", {}), dict):
        return done
    for section in ("populations", "projections"):
        if not isinstance(done.tables.setdefault(section, {}), dict):
            return done
    for index, table in enumerate(uses):
        use = _read(Use, table)
        if use is not None:
            _unfold_use(done, raw.get("motifs", {}), use, ("use", index))
    return done


def _read(kind: Any, table: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(table)
    except ValidationError:
        return None


def _unfold_use(done: Unfolding, motifs: dict[str, Any], use: Use, path: Path) -> None:
    if use.motif not in motifs:
        done.say((*path, "motif"), f"there is no motif '{use.motif}'. {suggestion(use.motif, motifs)}")
        return
    motif: Motif | None = _read(Motif, motifs[use.motif])
    if motif is None:
        return
    for what, known, given in (("parameter", motif.parameters, use.parameters), ("input", motif.inputs, use.inputs)):
        for name in given:
            if name not in known:
                message = f"motif '{use.motif}' has no {what} '{name}'. {suggestion(name, known)}"
                done.say((*path, f"{what}s", name), message)
    for name in motif.inputs:
        if name not in use.inputs:
            done.say((*path, "inputs"), f"input '{name}' of motif '{use.motif}' is not given. Add it.")
    if motif.output not in motif.populations:
        message = f"the motif has no population '{motif.output}'. {suggestion(motif.output, motif.populations)}"
        done.say(("motifs", use.motif, "output"), message)
        return
    known = {**done.tables["populations"], **done.outputs}
    for name, outside in use.inputs.items():
        if outside not in known:
            message = f"there is no population, and no use before this one, '{outside}'. {suggestion(outside, known)}"
            done.say((*path, "inputs", name), message)
    inputs = {name: done.outputs.get(outside, outside) for name, outside in use.inputs.items()}
    for k in range(use.first, use.first + use.repeat):
        prefix = use.name if use.repeat == 1 else f"{use.name}_{k}"
        _add(done, motif, use, prefix, inputs, path)
        if motif.inputs:
            inputs = {**inputs, motif.inputs[0]: f"{prefix}_{motif.output}"}
        done.outputs[use.name] = f"{prefix}_{motif.output}"


def _add(done: Unfolding, motif: Motif, use: Use, prefix: str, inputs: dict[str, str], path: Path) -> None:
    """Add one copy of a motif."""
    parameters = {**motif.parameters, **use.parameters}
    names = {**inputs, **{name: f"{prefix}_{name}" for name in motif.populations}}
    first = done.tables["populations"].get(inputs.get(motif.inputs[0])) if motif.inputs else None
    below = first.get("layer") if isinstance(first, dict) else 0
    for section, tables in (("populations", motif.populations), ("projections", motif.projections)):
        for name, table in tables.items():
            origin: Path = ("motifs", use.motif, section, name)
            here = (section, f"{prefix}_{name}")
            made = _filled(done, table, parameters, origin)
            if section == "populations":
                made.setdefault("path", "forward")
                if isinstance(made.get("layer"), int) and isinstance(below, int):
                    made["layer"] += below
            else:
                made = _joined(made, names)
            if here[1] in done.tables[section]:
                if not done.problems or done.problems[-1].path != dotted((*path, "name")):
                    done.say((*path, "name"), f"there is a {section[:-1]} '{here[1]}' already. Choose another name.")
                continue
            done.tables[section][here[1]] = made
            done.origins[here] = origin
            for inside, parameter in _parameters_in(table):
                if parameter in parameters:
                    by = path if parameter in use.parameters else ("motifs", use.motif)
                    done.origins[(*here, *inside)] = (*by, "parameters", parameter)


def _joined(projection: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Name the ends of a projection, and what it mirrors, as they are outside; unknown ends are reported later."""
    ends = {end: names.get(projection[end], projection[end]) for end in ("source", "target") if end in projection}
    return {**projection, **ends}


def _parameters_in(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield where a table names parameters, and which."""
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _parameters_in(inside, (*path, key))
    elif isinstance(value, str) and value.startswith("$"):
        yield path, value[1:]


def _filled(done: Unfolding, value: Any, parameters: dict[str, Any], path: Path) -> Any:
    """Return a value with its parameters filled in."""
    if isinstance(value, dict):
        return {key: _filled(done, inside, parameters, (*path, key)) for key, inside in value.items()}
    if isinstance(value, list):
        return [_filled(done, inside, parameters, (*path, index)) for index, inside in enumerate(value)]
    if isinstance(value, str) and value.startswith("$"):
        if value[1:] in parameters:
            return copy.deepcopy(parameters[value[1:]])
        done.say(path, f"the motif has no parameter '{value[1:]}'. {suggestion(value[1:], parameters)}")
        done.unfilled.add(path)
    return value
