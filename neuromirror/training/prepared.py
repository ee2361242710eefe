"""A circuit and images that are fitted to each other, ready to train."""

from __future__ import annotations

from pathlib import Path

import torch

from neuromirror import seeds
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.ranks import ALONE, Ranks
from neuromirror.begun import check_circuit
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import load
from neuromirror.circuit.protocol import Training
from neuromirror.data.batches import Batches
from neuromirror.errors import RequestError
from neuromirror.plan import Plan
from neuromirror.record.manifest import Manifest
from neuromirror.training.device import DTYPES, device_of, workers_of
from neuromirror.training.distributed import check_ranks
from neuromirror.training.images import Fitted, check_images, circuit_to_train, fitted_to_images
from neuromirror.training.loop import Trainer
from neuromirror.training.roles import roles_of
from neuromirror.training.settings import Settings


class Prepared(Fitted):
    """A circuit and the images that it is fitted to, for a network of torch."""

    def trainer(self, seed: int, settings: Settings, ranks: Ranks = ALONE) -> Trainer:
        """Return a run at its beginning."""
        plan = Plan(self.circuit, seeds.checked_seed(seed))
        roles, training = roles_of(plan), plan.description.training or Training()
        check_ranks(training, ranks.size)
        network = Network(plan, roles.on).to(device=device_of(settings.device), dtype=DTYPES[settings.dtype])
        if settings.channels_last:
            network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        batches = Batches(
            self.data.train,
            self.data,
            batch=training.batch,
            size=self.size,
            augment=training.augment,
            seed=plan.seed,
            workers=workers_of(settings.workers, device_of(settings.device)),
            pin_memory=device_of(settings.device).type == "cuda",
            part=(ranks.rank, ranks.size),
        )
        return Trainer(
            network,
            roles,
            training,
            batches,
            autocast=torch.bfloat16 if settings.bf16 else None,
            compiled=settings.compile,
            ranks=ranks,
        )


def prepare(circuit: Circuit | str | Path, settings: Settings, *, overlaid: bool = False) -> Prepared:
    """Load the data, and fit the circuit to it.

    Parameters
    ----------
    circuit : Circuit, str or Path
    settings : Settings
    overlaid : bool
        Whether the circuit is that of the method already.
    """
    settings.check()
    device_of(settings.device)
    circuit = circuit_to_train(circuit, settings, overlaid=overlaid)
    roles_of(Plan(circuit, 0))  # which says what stands in the way, before any image is read
    fitted = fitted_to_images(circuit, settings)
    return Prepared(circuit=fitted.circuit, data=fitted.data, size=fitted.size)


def prepared_again(folder: Path, manifest: Manifest, settings: Settings) -> Prepared:
    """Return what a run began with, from its directory.

    Raises
    ------
    RequestError
        If it is not as it was.
    """
    if manifest.backend != "torch":
        raise RequestError(
            f"{folder}: cells of {manifest.backend} are tested as they learn. Their errors are in its metrics.jsonl; "
            "go on with it by neuromirror train --resume, without --evaluate."
        )
    prepared = prepare(load(folder / "circuit.toml"), settings, overlaid=True)
    check_circuit(folder, prepared.circuit, manifest)
    if (began := manifest.summary.get("data_sha256")) is not None:
        check_images(settings, prepared.data, began, folder)
    return prepared
