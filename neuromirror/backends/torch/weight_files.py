"""Files of weights: safetensors of our own and of others, and state dicts of torchvision as ``torch.save`` writes them.

Metadata of our own files: ``format`` is ``neuromirror``, ``norm_order`` as
`neuromirror.backends.torch.weights.norm_order` says it, ``circuit_sha256`` the hash of the circuit, and ``names`` the
key of each array of the circuit, as JSON, where keys are torchvision's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.torchvision_names import ALWAYS, torchvision_names
from neuromirror.backends.torch.weights import ORDERS, load_state_dict, norm_order, own_name, state_dict_of
from neuromirror.errors import RequestError

PICKLED = (".pth", ".pt")
"""How files of ``torch.save`` end."""


def save_weights(path: str | Path, network: Network) -> Path:
    """Write all that a network has learned but its feedback weights; the same weights give the same bytes.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.safetensors``. What was there is replaced; a folder that does not exist is made.
    network : Network

    Raises
    ------
    RequestError
        If it cannot be written there.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise RequestError(f"{path}: weights are written to files that end in .safetensors. Give such a name.")
    unfinished = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(packed(network))
        os.replace(unfinished, path)
    except OSError as error:
        raise RequestError(f"{path}: cannot be written ({error.strerror}). Give another name.") from error
    return path


def packed(network: Network) -> bytes:
    """Return what `save_weights` writes."""
    named = torchvision_names(network)
    about = {
        "format": "neuromirror",
        "norm_order": norm_order(network),
        "circuit_sha256": network.plan.circuit.sha256,
        **({} if named is None else {"names": json.dumps({own_name(key): name for key, name in named.items()})}),
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in state_dict_of(network).items()}
    return _in_order(safetensors.torch.save(tensors, about))


def load_weights(path: str | Path, network: Network) -> None:
    """Give a network the weights of a file.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, or ``.pth`` or ``.pt`` with a state dict. Where it does not say the order of batch norm and
        nonlinearity, and the keys are torchvision's, batch norm is ``before``.
    network : Network
        Of the same order, names and shapes; see `neuromirror.backends.torch.weights.load_state_dict`.

    Raises
    ------
    RequestError
        If the file cannot be read, or does not fit.
    """
    path = Path(path)
    tensors, order = _read(path)
    if order is None and set(tensors) >= ALWAYS:
        order = "before"
    try:
        load_state_dict(network, tensors, norm_order=order)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[Mapping[str, Tensor], str | None]:
    """Return the tensors of a file, and the order of batch norm that its metadata says."""
    if path.suffix not in (".safetensors", *PICKLED):
        raise RequestError(
            f"{path}: weights are read from files that end in .safetensors, .pth or .pt. Give such a one."
        )
    about: Mapping[str, str] = {}
    try:
        if path.suffix in PICKLED:
            tensors: Any = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with safetensors.safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no iterator)
    except FileNotFoundError as error:
        raise RequestError(f"{path}: there is no such file.") from error
    except Exception as error:  # what is not a pickle can fail to be one in any way
        raise RequestError(f"{path}: cannot be read ({_why(error)}). Save or download it again.") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise RequestError(f"{path}: holds no state dict. Save model.state_dict(), which has a tensor for each name.")
    order = about.get("norm_order")
    if order is not None and order not in ORDERS:
        raise RequestError(f"{path}: norm_order '{order}' in its metadata; expected one of: {', '.join(ORDERS)}.")
    return tensors, order


def _why(error: Exception) -> str:
    """Say why a file cannot be read; what ``torch.load`` says of it is long, and tells how to trust it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, safetensors.SafetensorError) else "it is damaged, or holds more than tensors"


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with its metadata in alphabetical order; safetensors writes them in any."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
    assert len(text) == size, "the same header in another order"
    return content[:8] + text + content[8 + size :]
