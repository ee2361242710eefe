"""Modes that are alike but for where they act, and what each kind of mode does, in words."""

from __future__ import annotations

from typing import Any

import networkx as nx

from neuromirror.figures import style

Modes = dict[str, dict[str, Any]]
BIASES = {"on": [], "blocked": ["biases blocked"], "everywhere": ["biases of noisy layers act"]}
"""What is said of the biases of a mode, by its ``bias``."""

LEARNING = {"forward": ("W", "W"), "feedback": ("B", "B"), "bias": ("bias", "biases"), "norm": ("norm", "norms")}
"""What modes teach: the weights of either path, and what belongs to a population, one and many."""


def kinds(graph: nx.MultiDiGraph, modes: Modes) -> list[list[str]]:
    """Group modes that differ in the layers at which they act, and not in what they do there.

    Parameters
    ----------
    graph : networkx.MultiDiGraph
    modes : dict
        Names and what the graph says of them.

    Returns
    -------
    list of list of str
        Names by kind, in the order of the first of each.
    """
    found: dict[tuple[Any, ...], list[str]] = {}
    for name, mode in modes.items():
        found.setdefault(_signature(graph, mode), []).append(name)
    return list(found.values())


def mode_lines(graph: nx.MultiDiGraph, modes: Modes) -> list[tuple[str, str]]:
    """Return a heading and a sentence for each kind of mode."""
    return [(_heading(names), _sentence(graph, [modes[name] for name in names])) for names in kinds(graph, modes)]


def _signature(graph: nx.MultiDiGraph, mode: dict[str, Any]) -> tuple[Any, ...]:
    sorts = _sorts(graph)
    sorts |= {name: (role, sorts[name][1]) for name, role in mode.get("roles", {}).items()}
    return (
        mode["bias"],
        bool(mode["input"]),
        bool(mode["compare"]),
        min(len(mode["noise"]), 2),
        frozenset(sorts.get(name) for name in mode["on"]),
        frozenset(sorts.get(name) for name in mode["learn"]),
    )


def _sorts(graph: nx.MultiDiGraph) -> dict[str, tuple[str, str]]:
    """Return the role of every projection and the path of its target; pools and shortcuts count as synapses."""
    return {
        name: (data["role"], graph.nodes[target]["path"]) for _, target, name, data in graph.edges(keys=True, data=True)
    }


def _heading(names: list[str]) -> str:
    if len(names) == 1:
        return style.mode_label(names[0])
    stem, *others = sorted({name.partition("_")[0] for name in names})
    return f"{len(names)} modes {'alike' if others else style.mode_label(f'{stem}_…')}"


def _sentence(graph: nx.MultiDiGraph, modes: list[dict[str, Any]]) -> str:
    """Tell what modes of one kind do; numbers that differ are given as ranges."""
    each = " each" if len(modes) > 1 else ""
    parts = []
    if len(modes) == 1:
        parts += [f"input: {style.math_name(name)}" for name in sorted(modes[0]["input"])]
        parts += [f"compare: {name} = {said.replace('-', '−')}" for name, said in modes[0]["compare"].items()]
    if modes[0]["noise"]:
        noisy = {len(mode["noise"]) for mode in modes}
        parts.append(f"{_range(noisy)} noisy layer{'' if noisy == {1} else 's'}{each}")
    parts.append(f"{_range(len(mode['on']) for mode in modes)} of {graph.number_of_edges()} projections transmit")
    for what, (one, many) in LEARNING.items():
        counts = [len(_of(graph, mode, what)) for mode in modes]
        if any(counts):
            rules = sorted({mode["learn"][name] for mode in modes for name in _of(graph, mode, what)})
            verb = f"{one} learns" if set(counts) == {1} else f"{many} learn"
            parts.append(f"{_range(counts)} {verb} ({', '.join(rules)})")
    parts += BIASES[modes[0]["bias"]]
    return "; ".join(parts) + "."


def _of(graph: nx.MultiDiGraph, mode: dict[str, Any], what: str) -> list[str]:
    """Return what a mode teaches of one sort: W and B are the weights of the paths, by their targets."""
    paths = {name: path for name, (_, path) in _sorts(graph).items()}
    sort = {**paths, **{name: name.rpartition(".")[2] for name in mode["learn"] if name not in paths}}
    return [name for name in mode["learn"] if sort[name] == what]


def _range(numbers: Any) -> str:
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"
