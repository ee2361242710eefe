"""Which training runs belong together: panels of one circuit and one set of images, series of one method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from neuromirror.errors import RequestError
from neuromirror.measure.curves import Panel, Series, in_order, method_name
from neuromirror.record.training import NUMERICS, TrainingRun

SHOWN = 3
"""How many values a label shows of those that differ."""
NAMES_ONLY = ("name", "about", "schedule")
"""Values of a circuit that say nothing, or nothing that other values do not say."""


def panels(runs: Sequence[TrainingRun]) -> list[Panel]:
    """Return runs in panels and series, whatever the order in which they are given.

    A panel has the runs of circuits with the same name and forward path, on the same images; a series those that
    differ in their seed only. What else differs within a method is in the labels.

    Raises
    ------
    RequestError
        If two runs have everything in common, their seed too.
    """
    found: dict[tuple[str, str, str, str], list[TrainingRun]] = {}
    for run in sorted(runs, key=lambda run: (run.family, run.data, str(run.run.path))):
        found.setdefault((run.family, run.forward_sha256, run.data_key, run.part), []).append(run)
    firsts = [some[0] for some in found.values()]
    titles = _told_apart([f"{run.family}, {run.data}" for run in firsts], [_of_a_panel(run) for run in firsts])
    return [
        Panel(title=title, circuit=some[0].family, data=some[0].data, series=_series(some))
        for title, some in zip(titles, found.values(), strict=True)
    ]


def duplicates(runs: Sequence[TrainingRun]) -> list[tuple[TrainingRun, TrainingRun]]:
    """Return the runs that another has everything in common with: the one that has come less far, and the other."""
    kept: dict[tuple[object, ...], TrainingRun] = {}
    found = []
    for run in runs:
        key = (run.family, run.forward_sha256, run.data_key, run.part, run.protocol_key, run.seed)
        if key in kept:
            pair = sorted((kept[key], run), key=lambda one: (one.run.manifest.complete, one.reached))
            found.append((pair[0], pair[1]))
            kept[key] = pair[1]
        else:
            kept[key] = run
    return found


def _series(runs: Sequence[TrainingRun]) -> tuple[Series, ...]:
    for less, more in duplicates(runs):
        raise RequestError(
            f"{less.run.path}: the same circuit, images, method and seed {less.seed} as {more.run.path}. "
            "Leave one of the two out."
        )
    by_key: dict[tuple[object, ...], list[TrainingRun]] = {}
    for run in runs:
        by_key.setdefault(run.protocol_key, []).append(run)
    made = []
    for method in in_order(sorted({run.method for run in runs})):
        same = [sorted(some, key=lambda run: run.seed) for some in by_key.values() if some[0].method == method]
        labels = _told_apart([method_name(method)] * len(same), [_of_a_series(some[0]) for some in same])
        made += [Series(label=label, runs=tuple(some)) for label, some in zip(labels, same, strict=True)]
    return tuple(made)


def _told_apart(labels: Sequence[str], values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return labels with the values that differ where labels are the same, or with numbers if none do."""
    made = list(labels)
    for label in set(labels):
        places = [place for place, one in enumerate(labels) if one == label]
        if len(places) > 1:
            said = _differences([values[place] for place in places])
            for number, (place, what) in enumerate(zip(places, said, strict=True), start=1):
                made[place] = f"{label}, {what if len(set(said)) == len(said) else f'{what} ({number})'.strip()}"
    return made


def _differences(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each of several tables has that differs between them, in short."""
    keys = list(dict.fromkeys(key for table in tables for key in table))
    differing = [key for key in keys if len({repr(table.get(key)) for table in tables}) > 1]
    shown = sorted(differing, key=lambda key: (not key.startswith("training."), key.count("."), key))[:SHOWN]
    more = ", …" if len(differing) > SHOWN else ""
    return [
        ", ".join(f"{key.rsplit('.', 1)[-1].replace('_', ' ')} {_short(table.get(key))}" for key in shown) + more
        for table in tables
    ]


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 20 else f"{text[:19]}…"


def _of_a_panel(run: TrainingRun) -> dict[str, Any]:
    """Return the values that make a panel, by their dotted names: of the forward path, and which images."""
    images = {name: run.settings.get(name) for name in ("train_images", "validation_images", "test_images", "data")}
    return {**images, **dict(_flat(run.forward))}


def _of_a_series(run: TrainingRun) -> dict[str, Any]:
    """Return the values by which runs of one method may differ from others, by their dotted names."""
    values = {key: value for key, value in _flat(run.circuit) if key.split(".")[0] not in NAMES_ONLY}
    return {**values, **{name: run.settings[name] for name in NUMERICS}, "backend": run.run.manifest.backend}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
