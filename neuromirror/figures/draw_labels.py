"""What a page says of a large circuit: of each population, of each projection, and of the whole."""

from __future__ import annotations

from typing import Any

import networkx as nx

from neuromirror.figures import style

ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh", "rectified_tanh": "rect. tanh", "linear": ""}
NORMS = {"batch_norm": "BN", "synaptic_scaling": "scaling"}


def population_detail(data: dict[str, Any]) -> str:
    """Return a population's shape, or number of cells, and what follows what: its nonlinearity and its norm."""
    shape = data["shape"].replace(" ", "×") if " " in data["shape"] else _cells(data["size"])
    steps = [ACTIVATIONS.get(data["activation"], data["activation"]), NORMS.get(data["norm"], "")]
    if data["norm_when"] == "before":
        steps.reverse()
    return "  ".join(filter(None, (shape, "→".join(filter(None, steps)))))


def projection_lines(name: str, data: dict[str, Any]) -> list[str]:
    """Return a projection's name, and its kernel, stride and number of weights; nothing where it has no weights.

    A feedback projection has the shape of the W that it mirrors, and does not repeat it; it says what is transported.
    """
    own = style.math_name(name)
    if data["mirrors"]:
        said = {"none": "", "initial": "= Wᵀ(0)", "exact": "= Wᵀ", "sign": "signs of Wᵀ"}[data["transport"]]
        return [own, said] if data["weights"] and said else [own] * bool(data["weights"])
    if data["connector"] == "pool":
        return [own, f"{data['pool']} {_kernel(data)}"]
    if not data["weights"]:
        return []
    size = f"{data['weights']:,}"
    if data["kernel"]:
        size = f"{_kernel(data)} · {size}"
    return [own, f"local {size}" if data["connector"] == "local" else size]


def summary(graph: nx.MultiDiGraph) -> str:
    """Return how large a circuit is, in one sentence."""
    nodes, edges = [data for _, data in graph.nodes(data=True)], list(graph.edges(keys=True, data=True))
    paths = {path: sum(data["path"] == path for data in nodes) for path in ("forward", "feedback")}
    forward = [data for _, b, _, data in edges if graph.nodes[b]["path"] == "forward" and data["role"] == "synapse"]
    own = sum(data["parameters"] for data in nodes if data["path"] == "forward")
    parameters = own + sum(data["weights"] for data in forward)
    back = [data for *_, data in edges if data["mirrors"] and data["weights"]]
    arrays = f"{sum(data['weights'] > 0 for data in forward)} weighted arrays W"
    mirrored = len({data["mirrors"] for data in back})
    said = [
        f"{parameters:,} parameters in the forward path",
        f"{arrays}, of which {mirrored} have a B" if mirrored else arrays,
        f"{len(nodes)} populations ({paths['forward']} forward, {paths['feedback']} feedback)",
        f"{len(edges)} projections",
    ]
    if moved := sum(data["transport"] != "none" for data in back):
        said.append(f"not local: {moved} B are transported")
    return "; ".join(said) + "."


def wrapped(text: str, width_in: float, size_pt: float) -> list[str]:
    """Break a text into lines that are no wider than so many inches."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and style.text_width_in(longer, size_pt) > width_in:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _cells(size: int) -> str:
    return f"{size:,} cell" + "s" * (size != 1)


def _kernel(data: dict[str, Any]) -> str:
    sides = data["kernel"].replace(" ", "×")
    return f"{sides}/{data['stride']}" if data["stride"] > 1 else sides
