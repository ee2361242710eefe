"""Batches for training and for evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from neuromirror.data.augment import augmented_batch, check_augmentation, drawn, resized_crop
from neuromirror.data.broken import UnreadableImageError
from neuromirror.data.images import Images
from neuromirror.data.load import Data
from neuromirror.data.order import order
from neuromirror.data.resize import Size, checked_size
from neuromirror.data.whole import checked_whole
from neuromirror.data.workers import Workers
from neuromirror.errors import RequestError, RunError
from neuromirror.seeds import checked_seed

Batch = tuple[Tensor, Tensor]
"""Images, float32 (batch, channels, rows, columns), normalised; and labels, int64 (batch,)."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One batch: which images, and in which epoch, None where they are shown as they are."""

    indices: np.ndarray
    epoch: int | None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a batch is made; the same in whichever process it is."""

    images: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: str
    seed: int

    def __call__(self, request: Request) -> tuple[Tensor, Tensor, list[UnreadableImageError], dict[int, int]]:
        """Return a batch of those images that can be read, of the others the errors, and checksums of the files."""
        broken = dict[int, UnreadableImageError]()
        try:
            shown = self._shown(request)
        except UnreadableImageError:
            if not self.images.broken.limit:
                raise
            broken = self.images.unreadable(request.indices)
            request = dataclasses.replace(request, indices=request.indices[~np.isin(request.indices, list(broken))])
            if not len(request.indices):
                raise RunError(
                    f"none of the {len(broken)} training images of a batch can be read, so there is nothing to learn "
                    f"from. The first: {next(iter(broken.values()))}"
                ) from None
            shown = self._shown(request)
        labels = self.images.labels[torch.from_numpy(request.indices)]
        return self._normalised(shown), labels, list(broken.values()), self.images.read()

    def _shown(self, request: Request) -> Tensor:
        indices, epoch, augment = request.indices, request.epoch, self.augment
        if epoch is None:
            return self.images.batch(indices)
        if augment != "resized_crop":
            batch = self.images.batch(indices)
            return augmented_batch(batch, augment=augment, seed=self.seed, epoch=epoch, indices=indices)
        numbers, size = drawn(self.seed, epoch, indices), self.images.size
        crops = (resized_crop(self.images.picture(index), own, size) for index, own in zip(indices.tolist(), numbers))
        return torch.stack(list(crops))

    def _normalised(self, images_BCHW: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (self.mean, self.std))
        scale, offset = (1 / (255 * std)).float(), (-mean / std).float()
        normalised = _room(images_BCHW.shape)
        for pixels, row in zip(images_BCHW, normalised):  # one by one, or the numbers would leave the cache thrice
            row.copy_(pixels).mul_(scale).add_(offset)
        return normalised


def _room(shape: Sequence[int]) -> Tensor:
    """Return room for a batch."""
    if get_worker_info() is None:
        return torch.empty(*shape)
    # Of a worker, where the process that trains sees it: a batch that is made elsewhere is copied there to be sent.
    storage = torch.UntypedStorage._new_shared(4 * math.prod(shape))
    return torch.empty(0).set_(storage).view(*shape)


class Batches:
    """Batches of one part of a set.

    Parameters
    ----------
    images : Images
        The part: ``data.train``, ``data.validation`` or ``data.test``.
    data : Data
        The set, by whose mean and standard deviation all parts are normalised.
    batch : int
        Images in a batch.
    size : (int, int)
        Rows and columns of the circuit's input: those at which the set was loaded.
    augment : str
        One of `neuromirror.data.augment.AUGMENTATIONS`, in `epoch`.
    seed : int
        Root seed of the run: of the order of each epoch, and of augmentation.
    workers : int
        Processes that load ahead; with 0 batches are made when they are asked for.
    pin_memory : bool
        Whether batches come in memory that a GPU reads directly; without a GPU it makes no difference.
    start_method : str, optional
        How workers are started: "fork", "spawn" or "forkserver"; by default as is usual on the system.
    part : (int, int)
        Which of how many parts of the same size to give: in `epoch` of every batch, in `all` of the batches.

    Attributes
    ----------
    steps_per_epoch : int
        Whole batches of an epoch.
    waited_s : float
        Time, in s, for which batches were waited for, in all.

    Raises
    ------
    RequestError
        If a number is out of range, there is no such augmentation, the set was loaded at another size, or a batch
        does not consist of so many parts.
    """

    def __init__(
        self,
        images: Images,
        data: Data,
        *,
        batch: int,
        size: Size,
        augment: str = "none",
        seed: int = 0,
        workers: int = 0,
        pin_memory: bool = False,
        start_method: str | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        check_augmentation(augment)
        if checked_size(size) != images.size:
            raise RequestError(
                f"size {tuple(size)}: {data.name} was loaded at {images.size}. Load it at the size of the circuit's "
                "input."
            )
        self.images = images
        self.batch = checked_whole("batch", batch, 1)
        self.part = part
        self.seed = checked_seed(seed)
        self.steps_per_epoch = len(images) // self.batch
        self.waited_s = 0.0
        self._recipe = Recipe(images=images, mean=data.mean, std=data.std, augment=augment, seed=self.seed)
        self._pin_memory = pin_memory and torch.cuda.is_available()
        self._workers = None
        if checked_whole("workers", workers, 0):
            self._workers = Workers(self._recipe, workers, pin_memory=self._pin_memory, start_method=start_method)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Give the batches of one epoch, shuffled and augmented; the last part batch is left out.

        A training image that cannot be read is left out of its batch where `Images.broken` allows it: the batch is
        smaller then, and all other images are what they would have been.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        first_step : int
            Number of the first batch to give. Those before it are not loaded, and those from it on are what they
            would have been.

        Yields
        ------
        images : Tensor of float32, shape (batch, channels, rows, columns)
        labels : Tensor of int64, shape (batch,)

        Raises
        ------
        RequestError
            If there are fewer images than one batch takes, or no such step.
        RunError
            If an image cannot be read, or more than there may be, if a file holds something else than when it was read
            before, or a worker ends before its time.
        """
        epoch, first_step = checked_whole("epoch", epoch, 0), checked_whole("first_step", first_step, 0)
        if not self.steps_per_epoch:
            raise RequestError(
                f"batch {self.batch} is more than the {len(self.images)} training images, so an epoch would have no "
                "step. Take a smaller batch, or more images."
            )
        if first_step > self.steps_per_epoch:
            raise RequestError(
                f"first_step {first_step}: an epoch has {self.steps_per_epoch} steps, of {self.batch} images each. "
                "Begin with the next epoch."
            )
        shown = order(self.seed, epoch, len(self.images)).numpy()[: self.steps_per_epoch * self.batch]
        number, parts = self.part
        if self.batch % parts:
            raise RequestError(f"batch {self.batch}: it does not consist of {parts} parts of the same size.")
        own = slice(number * self.batch // parts, (number + 1) * self.batch // parts)
        requests = self._requests(shown, epoch)[first_step:]
        return self._served([dataclasses.replace(one, indices=one.indices[own]) for one in requests])

    def all(self) -> Iterator[Batch]:
        """Give every image once, in its order and as it is, with the last part batch; otherwise as `epoch`."""
        number, parts = self.part
        return self._served(self._requests(np.arange(len(self.images)), None)[number::parts])

    def _requests(self, indices: np.ndarray, epoch: int | None) -> list[Request]:
        starts = range(0, len(indices), self.batch)
        return [Request(indices=indices[start : start + self.batch], epoch=epoch) for start in starts]

    def _served(self, requests: Sequence[Request]) -> Iterator[Batch]:
        with contextlib.closing(self._made(requests)) as batches:
            while True:
                started = time.perf_counter()
                batch = next(batches, None)
                self.waited_s += time.perf_counter() - started
                if batch is None:
                    return
                yield batch

    def _made(self, requests: Sequence[Request]) -> Generator[Batch, None, None]:
        if self._workers is not None:
            self.images.whole()  # decoded here, it is shared by all workers; otherwise each would keep its own
            for images, labels, broken, read in self._workers.answers(requests):
                self._note(broken, read)
                yield images, labels
            return
        for images, labels, broken, read in map(self._recipe, requests):
            self._note(broken, read)
            yield (images.pin_memory(), labels.pin_memory()) if self._pin_memory else (images, labels)

    def _note(self, broken: Sequence[UnreadableImageError], read: Mapping[int, int]) -> None:
        """Count and compare images where their batch is taken, not where it is prepared: workers are ahead by some."""
        self.images.compare(read)
        for error in broken:
            self.images.broken.note(error)
