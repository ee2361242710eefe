r"""What a run takes of one process or of many: a model with few assumptions, all of them said here.

A batch of N images is divided among n processes, N/n images each, which pass the network in micro-batches of m:

.. math:: \frac{N}{n} = m \cdot k

m is what batch norm averages over. So with m = 64 and N = 2,048 there are at most 32 processes (C.1); more of them need
a smaller m, and batch norm is then another. Every step each process computes its share of forward and backward, and,
after a batch in which there is mirroring, its share of the noisy examples. Then gradients, and after mirroring all B,
are summed over the processes, by a ring, in which each process sends

.. math:: S = 2\,\frac{n-1}{n}\,\text{bytes}

With R the throughput of a process in images a second, O operations to an image forward and backward, M to a turn of
mirroring, G and B the bytes of gradients and of B, and w what a process can send a second, steps take

.. math::
    T_\text{learning} = \frac{N}{nR} + 2\,\frac{n-1}{n}\,\frac{G}{w}, \qquad
    T_\text{mirroring} = \frac{M}{nRO} + 2\,\frac{n-1}{n}\,\frac{B}{w}

and a run of E batches with K turns takes E T_learning + K T_mirroring. Assumed are: a throughput that does not depend
on m; mirroring that does as many operations a second as learning; no exchange while a process computes, which
`torch.nn.parallel` in fact begins during the backward pass; and links of which each process has its own. Loading,
tests and measuring of angles are left out. The efficiency of n processes is T_1/(n T_n).
"""

from __future__ import annotations

from dataclasses import dataclass

MOST = 1024
"""Processes of the largest row of the table."""


@dataclass(frozen=True, kw_only=True)
class Division:
    """How a batch is divided.

    Attributes
    ----------
    workers : int
        Processes.
    micro_batch : int
        Images that pass the network at a time, over which batch norm averages.
    accumulation : int
        Micro-batches of each process to a batch.
    """

    workers: int
    micro_batch: int
    accumulation: int


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is computed and exchanged in a run, by all processes together.

    Attributes
    ----------
    batch : int
        Images.
    batches, turns : int
        Steps that learn, and turns of mirroring, those of mirroring alone included.
    mirror_every : int
        Batches to a turn, while there is learning.
    image, turn : int
        Operations of an image forward and backward, and of a turn.
    gradient_bytes, feedback_bytes : int
        What is summed over processes after a batch, and after a turn.
    """

    batch: int
    batches: int
    turns: int
    mirror_every: int
    image: int
    turn: int
    gradient_bytes: int
    feedback_bytes: int

    @property
    def operations(self) -> int:
        """All operations."""
        return self.batches * self.batch * self.image + self.turns * self.turn


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long a run takes.

    Attributes
    ----------
    run_s : float
        In all.
    images_per_s : float
        While it learns, mirroring included, by all processes.
    exchange : float
        The share of time that goes into exchange, 0 to 1.
    """

    run_s: float
    images_per_s: float
    exchange: float


def divisions(batch: int, micro_batch: int, most: int = MOST) -> list[Division]:
    """Return how a batch is divided among 1, 2, 4, … processes, where each has equally many images.

    The micro-batch is that of the file where it divides the images of a process, and otherwise the largest number below
    it that does.
    """
    found, workers = [], 1
    while workers <= min(most, batch):
        if batch % workers == 0:
            images = batch // workers
            fits = next(m for m in range(min(micro_batch, images), 0, -1) if images % m == 0)
            m = min(micro_batch, images) if workers == 1 else fits  # one process may have a last part that is smaller
            found.append(Division(workers=workers, micro_batch=m, accumulation=-(-images // m)))
        workers *= 2
    return found


def sent_bytes(size: int, workers: int) -> int:
    """Return what each process sends to sum arrays of a size by a ring: 2(n − 1)/n of it."""
    return 2 * (workers - 1) * size // workers


def duration(course: Course, workers: int, throughput: float, bandwidth: float | None = None) -> Duration:
    """Return how long a run takes.

    Parameters
    ----------
    course : Course
    workers : int
    throughput : float
        Images a second that one process takes forward and backward.
    bandwidth : float, optional
        Bytes a second that one process sends; without it exchange takes no time.
    """
    rate = throughput * course.image * workers

    def exchange(size: int) -> float:
        return 0.0 if bandwidth is None else sent_bytes(size, workers) / bandwidth

    batch_s, turn_s = course.batch * course.image / rate, course.turn / rate
    exchanged = course.batches * exchange(course.gradient_bytes) + course.turns * exchange(course.feedback_bytes)
    run_s = course.batches * batch_s + course.turns * turn_s + exchanged
    step_s = batch_s + exchange(course.gradient_bytes)
    if course.turns:
        step_s += (turn_s + exchange(course.feedback_bytes)) / course.mirror_every
    return Duration(run_s=run_s, images_per_s=course.batch / step_s, exchange=exchanged / run_s if run_s else 0.0)


def efficiency(course: Course, workers: int, throughput: float, bandwidth: float | None = None) -> float:
    """Return T_1/(n T_n), 0 to 1."""
    alone, shared = (duration(course, n, throughput, bandwidth).run_s for n in (1, workers))
    return alone / (workers * shared)
