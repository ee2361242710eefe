"""What torchvision calls the weights of a ResNet whose circuit names its parts as the shipped ResNets do.

| circuit | torchvision |
| --- | --- |
| ``W_stem``, norm of ``stem`` | ``conv1``, ``bn1`` |
| ``layerX_Y_Wa``, ``Wb``, ``Wc`` | ``layerX.Y.conv1``, ``conv2``, ``conv3`` |
| norms of ``layerX_Y_a``, ``b``, ``c`` | ``layerX.Y.bn1``, ``bn2``, ``bn3`` |
| ``layerX_Y_Ws``, norm of ``layerX_Y_s`` | ``layerX.Y.downsample.0``, ``downsample.1`` |
| ``W_head``, bias of ``head`` | ``fc`` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from neuromirror.backends.torch.network import Network

_ENDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "projections": {"W_stem": "conv1", "W_head": "fc"},
        "norms": {"stem": "bn1"},
        "biases": {"head": "fc"},
    }
)
_IN_BLOCK: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "projections": {"Wa": "conv1", "Wb": "conv2", "Wc": "conv3", "Ws": "downsample.0"},
        "norms": {"a": "bn1", "b": "bn2", "c": "bn3", "s": "downsample.1"},
        "biases": {},  # torchvision's convolutions have none
    }
)
_BLOCK = re.compile(r"layer([1-9]\d*)_(0|[1-9]\d*)_(\w+)")

ALWAYS = frozenset({"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight", "fc.weight"})
"""What every ResNet of torchvision has."""


def torchvision_names(network: Network) -> dict[str, str] | None:
    """Return torchvision's key for every key of a network's ``state_dict()``, feedback weights left out.

    None if any part has no such name, or the network lacks what every ResNet has. Names are all that is looked at: the
    sizes of the weights and the order of batch norm and nonlinearity may still be others than torchvision's.
    """
    names = {key: _name(key) for key in forward_keys(network)}
    found = {key: name for key, name in names.items() if name is not None}
    return found if len(found) == len(names) and set(found.values()) >= ALWAYS else None


def forward_keys(network: Network) -> list[str]:
    """Return the keys of a network's ``state_dict()``, feedback weights left out, in the order of signals."""
    of = {part: rank for rank, stage in enumerate(network.stages) for part in (*dict(stage.layers), stage.name)}
    keys = [key for key in network.state_dict() if not (key.startswith("projections.") and key.endswith(".feedback"))]
    return sorted(keys, key=lambda key: of[key.split(".")[1]])


def _name(key: str) -> str | None:
    """Return torchvision's key for ``"projections.W_stem.weight"``, ``"norms.stem.bias"`` or ``"biases.head"``."""
    kind, _, path = key.partition(".")
    part, _, leaf = path.partition(".")
    block = _BLOCK.fullmatch(part)
    module = _ENDS[kind].get(part) if block is None else _IN_BLOCK[kind].get(block[3])
    if module is None:
        return None
    inside = "" if block is None else f"layer{block[1]}.{block[2]}."
    return f"{inside}{module}.{leaf or 'bias'}"
