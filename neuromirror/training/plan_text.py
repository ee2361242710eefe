"""The plan of a training run in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from neuromirror.training.planning import Alike, Row, TrainingPlan

NAMED = 3
"""The B of a line that are named; the others are counted."""


def said(plan: TrainingPlan) -> str:
    """Return a plan as it is printed."""
    parts = (_opening, _course, _rate, _operations, _memory, _exchange, _angles, _workers)
    return "\n".join(line for part in parts for line in part(plan))


def _opening(plan: TrainingPlan) -> Iterator[str]:
    length, counts = plan.length, plan.counts
    alone = f", the first {length.mirror} of mirroring alone" if length.mirror else ""
    yield (
        f"{plan.name}: {length.total} steps of {plan.training.batch} images{alone}; "
        f"{counts.name}, {counts.train} images to learn from and {counts.test} to test"
    )


def _course(plan: TrainingPlan) -> Iterator[str]:
    length, course = plan.length, plan.course
    alone = f"{length.mirror:,} of mirroring alone, " if length.mirror else ""
    turns = f"; {course.turns:,} turns of mirroring" if course.turns else ""
    epochs = length.total / length.epoch
    yield f"steps       {length.epoch:,} an epoch, {epochs:g} epochs: {alone}{course.batches:,} of learning{turns}"


def _rate(plan: TrainingPlan) -> Iterator[str]:
    if plan.rates:
        first, *others = [f"{rate:.4g} at epoch {epoch:g}" for epoch, rate in plan.rates]
        yield f"rate of W   {', '.join([first, *others])}"


def _operations(plan: TrainingPlan) -> Iterator[str]:
    found, course = plan.operations, plan.course
    yield (
        f"operations  {_short(found.forward)} forward and {_short(found.backward)} backward an image, "
        f"{_short(course.batch * course.image)} a batch"
    )
    if course.turns:
        share = course.turn / (course.batch * course.image)
        yield f"            {_short(course.turn)} a turn of mirroring, {share:.1%} of a batch"
    yield f"            {_short(course.operations)} in all; one is a multiplication with its addition"


def _memory(plan: TrainingPlan) -> Iterator[str]:
    found, micro = plan.memory, min(plan.training.micro_batch, plan.training.batch)
    held = {"weights": found.weights, "B": found.feedback, "gradients": found.gradients, "momentum": found.momentum}
    yield f"memory      {', '.join(f'{name} {_bytes(size)}' for name, size in held.items() if size)} ({plan.dtype})"
    yield f"            kept for the backward pass of {micro} images: {_bytes(found.activations(micro))}"
    if plan.examples:
        largest = _bytes(found.mirroring(plan.examples))
        yield f"            signals of the largest turn of mirroring, by one process: {largest}"


def _exchange(plan: TrainingPlan) -> Iterator[str]:
    mirrored = f", {_bytes(plan.course.feedback_bytes)} after each turn of mirroring" if plan.course.turns else ""
    yield (
        f"exchange    sums of {_bytes(plan.course.gradient_bytes)} after each batch{mirrored}: "
        "each of n processes sends 2(n − 1)/n of it"
    )


def _angles(plan: TrainingPlan) -> Iterator[str]:
    if plan.angles:
        yield "angles      of B to Wᵀ that are expected while W stands still"
        head = ("angle", "examples a turn", "fan-in", "positions", "B")
        yield from _table(head, [_angle(one) for one in plan.angles], left=1)


def _angle(one: Alike) -> tuple[str, ...]:
    angle = "no law" if one.angle_deg is None else f"{one.angle_deg:.1f}°"
    more = len(one.names) - NAMED
    names = ", ".join(one.names[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return angle, f"{one.examples:,}", f"{one.fan_in:,}", f"{one.positions:,}", names


def _workers(plan: TrainingPlan) -> Iterator[str]:
    timed, linked = plan.speed.throughput is not None, plan.speed.bandwidth is not None
    speed = f", {plan.speed.throughput:g} images/s each" if timed else ""
    yield f"processes   by their number{speed}{f', {plan.speed.bandwidth_gbit:g} Gbit/s each' if linked else ''}"
    head = ["processes", "micro-batch", "parts", "operations a step", "sent a step", "memory"]
    head += ["images/s", "hours", "process hours"] if timed else []
    head += ["exchange", "efficiency"] if linked else []
    yield from _table(head, [_line(row, linked=linked) for row in plan.rows])
    first = next(
        (row.division for row in plan.rows if row.division.micro_batch < plan.rows[0].division.micro_batch), None
    )
    if first is not None:
        smaller = "batch norm averages over fewer images" if plan.normed else "micro-batches are smaller"
        yield (
            f"            from {first.workers} processes on {smaller}: for these rows add "
            f"--set training.micro_batch={first.micro_batch} and so on"
        )
    if not timed:
        yield "            times are given with --throughput, images/s of one process, and --bandwidth-gbit"


def _line(row: Row, *, linked: bool) -> tuple[str, ...]:
    one, time = row.division, row.duration
    cells = [f"{one.workers:,}", f"{one.micro_batch:,}", f"{one.accumulation:,}", _short(row.operations)]
    cells += [_bytes(row.sent), _bytes(row.memory)]
    if time is not None:
        cells += [f"{time.images_per_s:,.0f}", f"{time.run_s / 3600:,.1f}", f"{time.run_s / 3600 * one.workers:,.0f}"]
        if linked and row.efficiency is not None:
            cells += [f"{time.exchange:.1%}", f"{row.efficiency:.1%}"]
    return tuple(cells)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 0) -> Iterator[str]:
    """Yield the lines of a table, its last columns to the left and all others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [
            cell.rjust(width) if column < len(head) - left else cell
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _short(number: float) -> str:
    """Return a number with the letter of its size: 1.81 G."""
    for letter, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def _bytes(number: int) -> str:
    """Return a number of bytes: 46.8 MB."""
    return f"{_short(number)}B" if number >= 1000 else f"{number} B"
