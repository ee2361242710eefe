"""Curves as text: the numbers that figures of learning draw, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence

from neuromirror.measure.curves import Curve, Panel, Series

HEAD = ("panel", "circuit", "data", "series", "method", "quantity", "layer", "epoch", "mean", "low", "high", "runs")


def error_table(panels: Sequence[Panel]) -> str:
    """Return the errors of Figure 2 as CSV: a row for each epoch of each series, in percent."""
    return _csv(panels, lambda panel, series: [(f"{panel.part}_error_percent", "", series.error)])


def angle_table(panels: Sequence[Panel]) -> str:
    """Return the angles of Figure 3 as CSV: a row for each epoch of each layer of each series, in degrees."""

    def found(_: Panel, series: Series) -> list[tuple[str, str, Curve]]:
        kinds = (("angle_deg", series.matrix_angles), ("delta_angle_deg", series.delta_angles))
        return [(quantity, layer, one) for quantity, curves in kinds for layer, one in curves.items()]

    return _csv(panels, found)


def _csv(panels: Sequence[Panel], curves_of: Callable[[Panel, Series], list[tuple[str, str, Curve]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for panel in panels:
        for series in panel.series:
            head = (panel.title, panel.circuit, panel.data, series.label, series.method)
            for quantity, layer, one in curves_of(panel, series):
                writer.writerows((*head, quantity, layer, *values) for values in _points(one))
    return text.getvalue()


def _points(one: Curve) -> Iterator[tuple[float, float, float, float, int]]:
    return zip(one.epochs.tolist(), one.mean.tolist(), one.low.tolist(), one.high.tolist(), one.runs.tolist())
