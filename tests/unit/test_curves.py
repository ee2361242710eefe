"""Figures 2 and 3 of any set of runs: what is drawn is what is in the records, however far they have come."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from neuromirror.cli import main
from neuromirror.commands.paper_figures import opened
from neuromirror.errors import RequestError
from neuromirror.figures import error_curves, figure2, figure3, layer_angles, learning, style
from neuromirror.measure.curve_tables import angle_table, error_table
from neuromirror.measure.curves import curve
from neuromirror.measure.grouping import panels
from neuromirror.measure.paper import TEST_ERRORS, reported
from neuromirror.record import Manifest, RunWriter, open_run
from neuromirror.record.collection import run_paths
from neuromirror.record.training import TrainingRun

SETTINGS = {"data": "digits", "method": "wm", "validation_images": 0, "dtype": "float32", "bf16": False}
CIRCUIT = """
[training]
epochs = {epochs}
rate = {rate}
[populations]
y0 = {{ path = "forward", layer = 0, shape = [{inputs}] }}
y1 = {{ path = "forward", layer = 1, shape = [4] }}
d0 = {{ path = "feedback", layer = 0, shape = [3] }}
"""


def write(
    path: Path,
    values: Iterable[dict[str, Any]],
    *,
    method: str | None = "wm",
    circuit: str = "net",
    seed: int = 0,
    rate: float = 0.1,
    epochs: int = 4,
    complete: bool = True,
    classes: int = 4,
    inputs: int = 3,
    data_sha256: str = "images",
    **settings: object,
) -> Path:
    """Write a made-up training run, whose rows are one epoch apart and have these values besides."""
    populations = {
        "y0": {"path": "forward", "layer": 0, "size": inputs}, "y1": {"path": "forward", "layer": 1, "size": 4},
        "y2": {"path": "forward", "layer": 2, "size": classes}, "d0": {"path": "feedback", "layer": 0, "size": inputs},
        "d1": {"path": "feedback", "layer": 1, "size": 4}, "d2": {"path": "feedback", "layer": 2, "size": classes},
    }  # fmt: skip
    projections = {
        f"B{k}": {"source": f"d{k}", "target": f"d{k - 1}", "role": "synapse", "mirrors": f"W{k}"} for k in (1, 2)
    }
    values = list(values)
    examples = 25 * max(len(values) - 1, 0)
    manifest = Manifest(
        circuit=circuit if method is None else f"{circuit}-{method}", circuit_sha256=f"{circuit}{method}{inputs}",
        protocol_sha256=f"{rate}{epochs}", backend="torch", target="cpu, float32", seed=seed, dt_s=None, versions={},
        device="cpu", populations=populations, projections=projections, learned=(),  # type: ignore[arg-type]
        phases=({"mode": "engaged", "start_s": 0.0, "stop_s": 1.0, "first_example": 0, "examples": examples},),
        summary={"data": "digits", "data_sha256": data_sha256},
    )  # fmt: skip
    text = json.dumps({**SETTINGS, "method": method, **settings})
    beside = {"training.json": text.encode()}
    toml = CIRCUIT.format(rate=rate, epochs=epochs, inputs=inputs)
    writer = RunWriter.create(path, manifest, toml, beside)
    for epoch, row in enumerate(values):
        place = {"phase": 0, "mode": "engaged", "examples": 25 * epoch, "t_s": epoch, "epoch": float(epoch)}
        angles = {"angles_deg": {"B1": 9.0, "B2": 12.5}, "gain": {"B1": 1.0, "B2": 1.0}}
        writer.metrics({**place, **angles, "step": 10 * epoch, **row})
    if complete:
        writer.finish({"data": "digits", "data_sha256": data_sha256})
    else:
        writer.interrupt()
    return path


def rows(*errors: float | None) -> list[dict[str, Any]]:
    """Give rows with these test errors."""
    return [{"test_error_percent": error} for error in errors]


def line(ax: Axes, label: str) -> tuple[list[float], list[float]]:
    """Give the points of a line."""
    (found,) = [one for one in ax.get_lines() if one.get_label() == label]
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


def open_all(*paths: Path) -> list[TrainingRun]:
    return [TrainingRun(open_run(path)) for path in paths]


# ---- curves ----------------------------------------------------------------------------------------------------------

points = st.lists(st.tuples(st.integers(0, 8).map(float), st.none() | st.floats(0, 100)), max_size=9)


@given(st.lists(points, max_size=5))
def test_a_curve_has_the_mean_and_the_range_of_the_runs_that_are_there(runs: list[list[tuple[float, float]]]) -> None:
    found = curve(runs)
    latest = [{epoch: value for epoch, value in one if value is not None} for one in runs]
    assert found.epochs.tolist() == sorted({epoch for one in latest for epoch in one})
    for epoch, mean, low, high, count in zip(found.epochs, found.mean, found.low, found.high, found.runs, strict=True):
        there = [one[epoch] for one in latest if epoch in one]
        assert (low, high, count) == (min(there), max(there), len(there))
        assert mean == pytest.approx(sum(there) / len(there), rel=1e-12, abs=1e-12)


def test_epochs_of_seeds_meet_whatever_the_rounding() -> None:
    assert curve([[(0.1 + 0.2, 1.0)], [(0.3, 3.0)]]).mean.tolist() == [2.0]


# ---- which runs belong together --------------------------------------------------------------------------------------


def test_seeds_are_one_series_and_methods_others_in_the_order_of_the_paper(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{method}{seed}", rows(90, 50 + seed), method=method, seed=seed)
             for method in ("fa", "wm", "bp") for seed in (1, 0)]  # fmt: skip
    (panel,) = panels(open_all(*paths))
    assert [(one.label, [run.seed for run in one.runs]) for one in panel.series] == [
        ("backprop", [0, 1]), ("weight mirror", [0, 1]), ("feedback alignment", [0, 1]),
    ]  # fmt: skip
    assert panel.series[0].error.mean.tolist() == [90, 50.5]
    assert panel.title == "net, digits"
    assert panels(open_all(*reversed(paths)))[0].series[0].runs[0].run.path == panel.series[0].runs[0].run.path


def test_rates_are_series_of_their_own_that_say_so(tmp_path: Path) -> None:
    paths = [write(tmp_path / str(rate), rows(90, 50), rate=rate, method="bp") for rate in (0.1, 0.2)]
    (panel,) = panels(open_all(*paths))
    assert [one.label for one in panel.series] == ["backprop, rate 0.1", "backprop, rate 0.2"]


@pytest.mark.parametrize(
    ("other", "titles"),
    [
        ({"circuit": "wide"}, {"net, digits", "wide, digits"}),
        ({"inputs": 5}, {"net, digits, shape [3]", "net, digits, shape [5]"}),
        ({"data_sha256": "others", "data": "/a/digits"}, {"net, digits, data digits", "net, digits, data /a/digits"}),
        ({"validation_images": 7}, {"net, digits, validation images 0", "net, digits, validation images 7"}),
    ],
)
def test_other_circuits_and_images_are_panels_of_their_own(
    other: dict[str, Any], titles: set[str], tmp_path: Path
) -> None:
    error = {"test_error_percent": 40.0, "validation_error_percent": 41.0}
    paths = [write(tmp_path / "one", [error]), write(tmp_path / "two", [error], method="bp", **other)]
    found = panels(open_all(*paths))
    assert {panel.title for panel in found} == titles
    assert len(error_curves(found).axes) == 2


def test_the_same_seed_twice_is_refused_and_left_out_on_request(tmp_path: Path) -> None:
    less = write(tmp_path / "b", rows(90, 60), complete=False)
    more = write(tmp_path / "a", rows(90, 60, 50))
    with pytest.raises(RequestError, match=r"b: the same circuit, images, method and seed 0 as .*a\. Leave one"):
        figure2([open_run(less), open_run(more)])
    runs, left_out = opened([tmp_path], skip=True)
    assert [run.run.path for run in runs] == [more]
    assert len(left_out) == 1
    assert left_out[0].startswith(str(less))


def test_a_file_that_mirrors_without_a_method_is_the_weight_mirror(tmp_path: Path) -> None:
    run = TrainingRun(open_run(write(tmp_path / "run", rows(90), method=None)))
    assert run.method == ""
    run.circuit = {"modes": {"sleep": {"noise": {"y0": {}}, "learn": {"B1": "mirror"}}}}
    del run.__dict__["method"]
    assert run.method == "wm"


# ---- half-finished runs ----------------------------------------------------------------------------------------------


def test_a_run_is_drawn_as_far_as_it_goes_and_marked(tmp_path: Path) -> None:
    path = write(tmp_path / "run", rows(90, 70, 60), complete=False, epochs=90)
    (panel,) = panels(open_all(path))
    assert panel.series[0].state == "not complete: epoch 2 of 90"
    (ax,) = figure2([open_run(path)]).axes
    assert line(ax, "weight mirror") == ([0, 1, 2], [90, 70, 60])
    assert line(ax, "weight mirror, so far") == ([2], [60])
    assert ax.get_xlim()[1] > 90


@pytest.mark.parametrize("rest", ['{"phase": 0, "mo', '{"epoch": 3.0, "broken_images": ["h'])
def test_a_last_row_that_is_being_written_is_left_out(rest: str, tmp_path: Path) -> None:
    path = write(tmp_path / "run", rows(90, 70), complete=False)
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(rest.encode() + "é".encode()[:1])  # cut within a letter
    (ax,) = figure2([open_run(path)]).axes
    assert line(ax, "weight mirror") == ([0, 1], [90, 70])


def test_seeds_that_come_less_far_make_the_line_dashed(tmp_path: Path) -> None:
    write(tmp_path / "0", rows(90, 60, 50, 40))
    write(tmp_path / "1", rows(92, 64), seed=1, complete=False)
    (ax,) = figure2([open_run(path) for path in run_paths(tmp_path)]).axes
    assert line(ax, "weight mirror") == ([0, 1], [91, 62])
    assert line(ax, "weight mirror, some") == ([1, 2, 3], [62, 50, 40])
    assert line(ax, "weight mirror, so far") == ([1], [64])
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert {tuple(corner) for corner in np.asarray(corners)} == {(0, 90), (0, 92), (1, 60), (1, 64)}
    text = " ".join(one.get_text() for one in ax.figure.texts)
    assert "smallest to the largest" in text
    assert "Dashed" in text


def test_a_run_without_rows_yet_waits(tmp_path: Path) -> None:
    write(tmp_path / "0", rows(90, 60))
    write(tmp_path / "1", [], seed=1, complete=False)
    (ax,) = figure2([open_run(path) for path in run_paths(tmp_path)]).axes
    assert line(ax, "weight mirror, some") == ([0, 1], [90, 60])
    with pytest.raises(RequestError, match="no run has been evaluated yet"):
        learning(open_run(tmp_path / "1"))  # type: ignore[arg-type]


# ---- figure 2 --------------------------------------------------------------------------------------------------------


def test_validation_error_is_drawn_where_there_is_some_and_the_axis_says_so(tmp_path: Path) -> None:
    values = [{"validation_error_percent": 80.0}, {"validation_error_percent": 40.0, "test_error_percent": 43.0}]
    (ax,) = figure2([open_run(write(tmp_path / "run", values, validation_images=100))]).axes
    assert ax.get_ylabel() == "top-1 validation error (%)"
    assert line(ax, "weight mirror") == ([0, 1], [80, 40])


@pytest.mark.parametrize(
    ("circuit", "classes", "paper", "expected"),
    [
        ("resnet18", 1000, "auto", TEST_ERRORS["resnet18"]),
        ("resnet50_norm_first", 1000, "auto", TEST_ERRORS["resnet50_norm_first"]),
        ("resnet18", 10, "auto", {}),
        ("resnet20", 1000, "auto", {}),
        ("resnet18", 1000, "none", {}),
        ("resnet20", 10, "resnet50", TEST_ERRORS["resnet50"]),
    ],
)
def test_the_papers_values_stand_beside_its_own_circuits(
    circuit: str, classes: int, paper: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    assert reported(circuit, classes, paper) == expected
    run = open_run(write(tmp_path / "run", rows(99, 50, 40), circuit=circuit, classes=classes))
    (ax,) = figure2([run], paper=paper).axes
    marks = {bars.get_label(): bars.lines[0] for bars in ax.containers}
    assert set(marks) == {f"paper, {method}" for method in expected}
    for method, one in expected.items():
        mark = marks[f"paper, {method}"]
        assert np.asarray(mark.get_ydata()).tolist() == [one.percent]
        assert np.asarray(mark.get_xdata())[0] > 2, "to the right of the last epoch"
    assert any("Akrout" in text.get_text() for text in ax.figure.texts) == bool(expected)


def test_the_papers_values_are_those_of_its_text() -> None:
    found = {name: {m: (one.percent, one.uncertainty) for m, one in some.items()} for name, some in TEST_ERRORS.items()}
    assert found == {
        "resnet18": {"wm": (30.2, 0.7), "fa": (97.4, 0.2), "ss": (39.2, 0.4), "bp": (30.1, 0.4)},
        "resnet50": {"wm": (23.4, 0.5), "fa": (98.9, 0.1), "ss": (33.8, 0.3), "bp": (22.9, 0.4)},
        "resnet18_norm_first": {"ss": (37.8, 0.4)},
        "resnet50_norm_first": {"ss": (32.6, 0.6)},
    }


# ---- figure 3 --------------------------------------------------------------------------------------------------------


def angles(*values: tuple[float | None, float, float]) -> list[dict[str, Any]]:
    """Give rows with the angles of B1, B2 and of the δ of y1."""
    return [
        {"angles_deg": {"B1": b1, "B2": b2}, "gain": {"B1": 1, "B2": 1}, "delta_angles_deg": {"y1": y1}}
        for b1, b2, y1 in values
    ]


def test_every_layer_is_a_line_of_its_own_angles(tmp_path: Path) -> None:
    one = write(tmp_path / "0", angles((None, 91, 80), (10, 12, 20), (5, 11, 18)))
    two = write(tmp_path / "1", angles((90, 93, 82), (14, 12, 24)), seed=1, complete=False)
    left, right, _ = figure3([open_run(one), open_run(two)]).axes
    assert line(left, "B1") == ([0, 1], [90, 12])
    assert line(left, "B1, some") == ([1, 2], [12, 5])
    assert line(left, "B2") == ([0, 1], [92, 12])
    assert line(right, "y1") == ([0, 1], [81, 22])
    colours = [next(one.get_color() for one in left.get_lines() if one.get_label() == name) for name in ("B1", "B2")]
    assert sum(colours[0][:3]) < sum(colours[1][:3]), "from the input (dark) to the output (light)"
    assert left.get_ylim()[1] == 30, "the random start does not set the scale"
    bounds = {one.get_ydata()[0] for ax in (left, right) for one in ax.get_lines() if one.get_color() is style.GREY}
    assert bounds == {6, 12, 25}


def test_figure_3_has_a_row_for_each_method(tmp_path: Path) -> None:
    paths = [write(tmp_path / method, angles((90, 90, 90), (50, 60, 70)), method=method) for method in ("ss", "wm")]
    figure = layer_angles(panels(open_all(*paths)))
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert titles == ["net, digits: weight mirror", "net, digits: sign-symmetry"]
    assert figure.axes[0].get_ylim()[1] == pytest.approx(63)


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_tables_have_what_is_drawn(tmp_path: Path) -> None:
    write(tmp_path / "0", [{**angle, "test_error_percent": 50.0} for angle in angles((9, 8, 7))])
    write(tmp_path / "1", [{**angle, "test_error_percent": 54.0} for angle in angles((9, 9, 9))], seed=1)
    found = panels(open_all(*run_paths(tmp_path)))
    (errors,) = csv.DictReader(io.StringIO(error_table(found)))
    assert {key: errors[key] for key in ("method", "quantity", "epoch", "mean", "low", "high", "runs")} == {
        "method": "wm", "quantity": "test_error_percent", "epoch": "0.0",
        "mean": "52.0", "low": "50.0", "high": "54.0", "runs": "2",
    }  # fmt: skip
    by_layer = {row["layer"]: (row["quantity"], row["mean"]) for row in csv.DictReader(io.StringIO(angle_table(found)))}
    assert by_layer == {"B1": ("angle_deg", "9.0"), "B2": ("angle_deg", "8.5"), "y1": ("delta_angle_deg", "8.0")}


# ---- the command -----------------------------------------------------------------------------------------------------

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Give a way to run ``neuromirror report`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["report", *arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_a_directory_of_runs_at_any_depth_is_drawn(call: Call, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "wm" / "seed-0", rows(90, 40))
    write(tmp_path / "runs" / "wm" / "seed-1", rows(90, 42), seed=1)
    write(tmp_path / "runs" / "bp", rows(90, 39), method="bp")
    code, out, err = call("runs", "runs/bp", "-o", "f.pdf", "-o", "f.svg", "-o", "f.csv", "--json")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [
        "net, digits: backprop: test error 39.00% at epoch 1",
        "net, digits: weight mirror (2 seeds): test error 41.00% at epoch 1 (40.00 to 42.00)",
    ]
    assert lines[2:5] == ["figure   f.pdf", "figure   f.svg", "table    f.csv"]
    said = json.loads(lines[-1])
    assert said["panels"][0]["series"][1]["runs"] == ["runs/wm/seed-0", "runs/wm/seed-1"]
    assert said["panels"][0]["series"][1]["error_percent"] == 41.0
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "f.svg").read_text().count("<svg") == 1


def test_figure_3_by_default_has_its_own_name(call: Call, tmp_path: Path) -> None:
    write(tmp_path / "run", angles((90, 90, 90), (5, 6, 7)))
    code, out, _ = call("run", "--figure", "3")
    assert code == 0
    assert out == "net, digits: weight mirror: B 5.0° to 6.0°, δ 7.0° to 7.0°\nfigure   figure3.png\n"
    assert (tmp_path / "figure3.png").read_bytes().startswith(b"\x89PNG")


def spoil(path: Path, how: str) -> None:
    if how == "no manifest":
        (path / "manifest.json").unlink()
    elif how == "no training.json":
        (path / "training.json").unlink()
    elif how == "a row that is none":
        (path / "metrics.jsonl").write_text("[]\n")
    else:
        text = (path / "metrics.jsonl").read_text().replace("40.0", '"much"')
        (path / "metrics.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no manifest", r"runs.bad.manifest\.json: not found"),
        ("no training.json", r"runs.bad: this run learned from no images"),
        ("a row that is none", r"metrics\.jsonl:1: a row is a JSON object"),
        ("a text for an error", r"metrics\.jsonl: test_error_percent is 'much', expected a number"),
    ],
)
def test_what_cannot_be_read_is_refused_or_left_out_by_name(how: str, said: str, call: Call, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "good", rows(90, 30))
    spoil(write(tmp_path / "runs" / "bad", rows(90, 40.0), seed=1), how)
    code, out, err = call("runs")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.search(said, err)
    assert "--skip" in err
    assert not (tmp_path / "figure2.png").exists()
    code, out, err = call("runs", "--skip")
    assert code == 0
    assert out.startswith("net, digits: weight mirror: test error 30.00% at epoch 1\n")
    assert err.startswith("left out: ")
    assert re.search(said, err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "report: name at least one run directory"),
        (("nowhere",), "nowhere: cannot be read"),
        (("empty",), "empty: no run here"),
        (("run", "--figure", "4"), "--figure 4: expected 2"),
        (("run", "--paper", "resnet20"), "--paper resnet20: expected one of auto, none, resnet18"),
        (("run", "-o", "f.gif"), "--out f.gif: expected a file whose name ends in .png"),
        (("run", "-o", "run/manifest.json/f.csv"), "cannot be written"),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(
    arguments: tuple[str, ...], said: str, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "run", rows(90, 30))
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_runs_are_not_looked_for_inside_runs(tmp_path: Path) -> None:
    write(tmp_path / "a" / "run", rows(90))
    write(tmp_path / "a" / "run" / "kept" / "other", rows(90))
    assert run_paths(tmp_path) == [tmp_path / "a" / "run"]
