"""How fast two workers load JPEG files: against bare decoding, tar shards against folders, checksums against none."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from experiments.bounds import Line
from experiments.section import stated
from neuromirror.data import load_data
from neuromirror.data.augment import crop_box, drawn
from neuromirror.data.batches import Batches
from neuromirror.data.contents import Contents
from neuromirror.data.load import Data
from neuromirror.data.pack import pack_directory
from neuromirror.measure.uncertainty import median_interval

ROWS, COLUMNS, QUALITY = 375, 500, 90
"""Of a made-up photograph, which comes to about 110 kB, as ImageNet's do."""
SIDE, BATCH, SEED = 224, 64, 0
PROCESSES = 2


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A bound on one way of loading against another.

    The median is held against it. Where two ways may be equal, of which the median is a toss of a coin, the bound is
    missed when all of the 95 % interval is below it.
    """

    what: str
    of: str
    to: str
    least: float
    may_be_equal: bool = False


RATIOS = (
    Ratio(what="folders, 2 workers / bare, 2 processes", of="folders", to="bare", least=0.9),
    Ratio(what="shards / folders", of="shards", to="folders", least=1.0, may_be_equal=True),
    Ratio(what="checksums / none", of="folders", to="unknown", least=0.95, may_be_equal=True),
)


def write_photographs(root: Path, images: int, *, rows: int = ROWS, columns: int = COLUMNS) -> None:
    """Write class folders of JPEG files: noise with detail of every size, as photographs have it."""
    random = np.random.default_rng(SEED)
    for number in range(images):
        pixels = np.full((rows, columns, 3), 128.0)
        for scale, sd in ((64, 50.0), (16, 30.0), (4, 20.0), (1, 12.0)):
            coarse = random.normal(0.0, sd, (-(-rows // scale), -(-columns // scale), 3)).clip(-127, 127)
            layer = Image.fromarray((coarse + 128).astype(np.uint8)).resize((columns, rows), Image.Resampling.BICUBIC)
            pixels += np.asarray(layer) - 128.0
        file = root / "train" / f"class{number % 2}" / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, quality=QUALITY)
    for name in ("class0", "class1"):
        (root / "val" / name).mkdir(parents=True)
        (root / "val" / name / "0.jpg").write_bytes((root / "train" / "class0" / "00000.jpg").read_bytes())


class Unknown(Contents):
    """Images of which no checksum is taken."""

    def note(self, number: int, content: bytes) -> None:
        """Leave it."""


@dataclass(frozen=True, kw_only=True)
class Bare:
    """Decoding and transforming as one would write it down for one file, with nothing around it."""

    files: tuple[Path, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int

    def image(self, index: int, numbers: np.ndarray) -> Tensor:
        """Return an image as `Batches` shows it: float32, (channels, rows, columns)."""
        with Image.open(self.files[index]) as opened:
            image = opened.convert("RGB")
        top, left, height, width = crop_box(numbers, image.height, image.width)
        cropped = image.crop((left, top, left + width, top + height))
        shown = cropped.resize((self.side, self.side), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(shown)).permute(2, 0, 1)
        mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (self.mean, self.std))
        pixels = pixels.to(torch.float32).mul_((1 / (255 * std)).float()).add_((-mean / std).float())
        return pixels.flip(-1) if numbers[-1] < 0.5 else pixels

    def serve(self, pipe: Connection, part: int) -> None:
        """Go through this part of the files in every epoch that is asked for; runs in a process of its own."""
        torch.set_num_threads(1)
        indices = range(part, len(self.files), PROCESSES)
        while (epoch := pipe.recv()) is not None:
            for index, numbers in zip(indices, drawn(SEED, epoch, indices)):
                self.image(index, numbers)
            pipe.send(epoch)


@contextmanager
def bare_passes(bare: Bare) -> Iterator[Callable[[int], None]]:
    """Give what goes through all files once, in plain processes that stay."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    processes = [
        context.Process(target=bare.serve, args=(theirs, part), daemon=True) for part, (_, theirs) in enumerate(pipes)
    ]

    def once(epoch: int) -> None:
        for ours, _ in pipes:
            ours.send(epoch)
        for ours, _ in pipes:
            ours.recv()

    for process in processes:
        process.start()
    try:
        yield once
    finally:
        for ours, _ in pipes:
            ours.send(None)
        for process in processes:
            process.join()


def bare_of(root: Path, data: Data, side: int) -> Bare:
    """Return the bare way for the training images of a tree, in the order in which they are loaded."""
    files = tuple(sorted((root / "train").rglob("*.jpg")))
    return Bare(files=files, mean=data.mean, std=data.std, side=side)


def batches_of(data: Data, *, batch: int = BATCH, workers: int = PROCESSES) -> Batches:
    """Return batches as training takes them."""
    size = data.train.size
    return Batches(data.train, data, batch=batch, size=size, augment="resized_crop", seed=SEED, workers=workers)


def speeds(ways: dict[str, Callable[[int], None]], rounds: int) -> dict[str, list[float]]:
    """Return the speed of each way in each round, in passes a second; the first round warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(rounds + 1):
        for name in list(ways) if epoch % 2 else list(reversed(ways)):
            started = time.perf_counter()
            ways[name](epoch)
            if epoch:
                found[name].append(1 / (time.perf_counter() - started))
    return found


def compared(found: dict[str, list[float]], images: int) -> Iterator[Line]:
    """Hold ratios, paired by round, against their bounds."""
    said = ", ".join(f"{name} {images * median(values):.0f}" for name, values in found.items())
    for ratio in RATIOS:
        values = [of / to for of, to in zip(found[ratio.of], found[ratio.to], strict=True)]
        yield Line(
            what=f"loading: {ratio.what}",
            measured=f"{stated(values, '')}; images/s: {said}",
            bound=f"{ratio.least:g}",
            met=(_most(values) if ratio.may_be_equal else median(values)) >= ratio.least,
        )


def _most(values: list[float]) -> float:
    """Return the upper end of what `stated` says."""
    return min(median_interval(values).high, max(values))


def lines(*, rounds: int, images: int = 6 * BATCH, side: int = SIDE) -> Iterator[Line]:
    """Measure every bound, by the clock."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root, packed = Path(folder) / "folders", Path(folder) / "shards"
        write_photographs(root, images)
        pack_directory(root, packed)
        folders, shards = load_data(root, size=(side, side)), load_data(packed, size=(side, side))
        unknown = load_data(root, size=(side, side))
        vars(unknown.train.source)["_contents"] = Unknown(images)
        once = stack.enter_context(bare_passes(bare_of(root, folders, side)))
        ways = {"bare": once, "folders": _epochs(folders), "shards": _epochs(shards), "unknown": _epochs(unknown)}
        yield from compared(speeds(ways, rounds), images)


def _epochs(data: Data) -> Callable[[int], None]:
    batches = batches_of(data)

    def once(epoch: int) -> None:
        for _ in batches.epoch(epoch):
            pass

    return once
