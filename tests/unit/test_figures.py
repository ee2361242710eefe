"""Figures of a run show its numbers, are the same bytes for the same record, and leave matplotlib as it was."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import safetensors.numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from neuromirror.errors import RequestError
from neuromirror.figures import alignment, raster, save, save_all, style, weights
from neuromirror.record import Manifest, PhaseEntry, Run, RunWriter, open_run

DT_S = 0.001


def phases(*durations: tuple[str, float]) -> tuple[PhaseEntry, ...]:
    """Give phases of the given modes and durations in s, one after another."""
    made: list[PhaseEntry] = []
    start_s = 0.0
    for mode, duration_s in durations:
        stop_s = start_s + duration_s
        made.append({"mode": mode, "start_s": start_s, "stop_s": stop_s, "first_example": 0, "examples": 1})
        start_s = stop_s
    return tuple(made)


def make_run(
    path: Path, *, sizes: tuple[int, ...] = (3, 2), spiking: bool = True, modes=(("mirror", 3.0), ("engaged", 2.0))
) -> Run:
    """Write a made-up run of a chain of layers."""
    rng = np.random.default_rng(0)
    stretches = phases(*modes)
    manifest = Manifest(
        circuit="chain", circuit_sha256="c", protocol_sha256="p", backend="brian2" if spiking else "torch",
        target=None, seed=0, dt_s=DT_S if spiking else None, versions={}, device="cpu",
        populations={
            f"{letter}{layer}": {"path": path_name, "layer": layer, "size": size}
            for letter, path_name in (("d", "feedback"), ("y", "forward"))
            for layer, size in enumerate(sizes)
        },
        projections={
            f"B{k}": {"source": f"d{k}", "target": f"d{k - 1}", "role": "synapse", "mirrors": f"W{k}"}
            for k in range(1, len(sizes))
        },
        phases=stretches, learned=(),
    )  # fmt: skip
    writer = RunWriter.create(path, manifest, "")
    end_s = stretches[-1]["stop_s"]
    if spiking:
        for name, entry in manifest.populations.items():
            count = round(50 * end_s) * entry["size"]
            ticks = rng.integers(0, round(end_s / DT_S), count)
            writer.spikes(name, ticks, rng.integers(0, entry["size"], count))
    names = [f"B{k}" for k in range(1, len(sizes))]
    for examples, t_s in enumerate(np.linspace(0, end_s, 40)):
        angles = {name: None if t_s == 0 else 80 * np.exp(-t_s) for name in names}
        place = {"phase": 0, "mode": stretches[0]["mode"], "examples": 100 + examples, "t_s": t_s}
        writer.metrics({**place, "angles_deg": angles, "gain": dict.fromkeys(names, 1 - np.exp(-t_s))})
    forward = {f"W{k}": rng.normal(size=(sizes[k], sizes[k - 1])) for k in range(1, len(sizes))}
    writer.weights(7, forward, {f"B{name[1:]}": 0.5 * W.T for name, W in forward.items()})
    writer.finish({})
    return open_run(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a small spiking run of two modes."""
    return make_run(tmp_path_factory.mktemp("figures") / "run")


def texts(figure: Figure) -> list[str]:
    """Give all non-empty texts of a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]  # type: ignore[arg-type]


def test_raster_shows_every_spike_around_the_first_switch(run: Run) -> None:
    overview, main = raster(run).axes
    assert main.get_xlim() == (2.0, 4.0)
    assert overview.get_xlim() == (0.0, 5.0)
    trains = [collection for collection in main.collections if isinstance(collection, LineCollection)]
    labels = [label.get_text() for label in main.get_yticklabels()]
    assert labels == ["$y_{0}$", "$y_{1}$", "$d_{1}$", "$d_{0}$"], "as signals flow"
    for name, train in zip(("y0", "y1", "d1", "d0"), trains, strict=True):
        spikes = run.spikes(name)
        shown = (spikes.t_s >= 2) & (spikes.t_s <= 4)
        segments = np.array(train.get_segments())
        np.testing.assert_allclose(segments[:, 0, 0], spikes.t_s[shown])
        assert len(np.unique(segments[:, 0, 1])) == run.manifest.populations[name]["size"], "one row a cell"


def test_rates_of_the_overview_add_up_to_all_spikes(run: Run) -> None:
    overview = raster(run).axes[0]
    rates = {line.get_label(): np.asarray(line.get_ydata()) for line in overview.get_lines()}
    assert rates["$y_{0}$"].mean() == pytest.approx(len(run.spikes("y0")) / 5 / 3)


def test_modes_are_named(run: Run) -> None:
    assert {"mirror (asleep)", "engaged (awake)"} <= set(texts(raster(run)))
    assert {"mirror (asleep)", "engaged (awake)"} <= set(texts(alignment(run)))


def test_modes_too_short_to_name_are_in_a_legend(tmp_path: Path) -> None:
    short = make_run(tmp_path / "run", modes=(("engaged", 2.0), ("mirror", 0.1)) * 3)
    names = texts(alignment(short))
    assert names.count("mirror (asleep)") == names.count("engaged (awake)") == 1


def test_a_range_can_be_asked_for(run: Run) -> None:
    assert raster(run, start_s=0.5, stop_s=0.75).axes[1].get_xlim() == (0.5, 0.75)
    with pytest.raises(RequestError, match="expected a start before the stop"):
        raster(run, start_s=4.5, stop_s=4.0)


def test_a_range_with_one_end_given_reaches_to_the_end_of_the_run(run: Run) -> None:
    assert raster(run, start_s=4.9).axes[1].get_xlim() == (4.9, 5.0)
    assert raster(run, stop_s=0.5).axes[1].get_xlim() == (0.0, 0.5)
    with pytest.raises(RequestError, match=r"from 5 s on: the run ends at 5 s"):
        raster(run, start_s=5.0)


@pytest.mark.parametrize("name", ["y", "a_population_with_a_long_name"])
def test_names_are_whole_at_either_side_whatever_their_length(name: str, tmp_path: Path) -> None:
    short = make_run(tmp_path / "run", sizes=(200, 100, 4), modes=(("mirror", 0.5),))
    manifest = short.manifest
    renamed = {f"{name}{index}": entry for index, entry in enumerate(manifest.populations.values())}
    trains = dict(zip(renamed, map(short.spikes, manifest.populations), strict=True))
    named = Run(short.path, dataclasses.replace(manifest, populations=renamed))
    named.spikes = trains.__getitem__  # type: ignore[method-assign]
    figure = raster(named)
    inside = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert inside.x0 >= 0
    assert inside.x1 <= figure.get_size_inches()[0]
    assert figure.axes[1].get_position().width * figure.get_size_inches()[0] == pytest.approx(0.74 * style.WIDTH_IN)


def test_large_populations_show_their_first_cells(tmp_path: Path) -> None:
    main = raster(make_run(tmp_path / "run", sizes=(200, 100, 4), modes=(("mirror", 0.5),))).axes[1]
    labels = [label.get_text() for label in main.get_yticklabels()]
    assert labels[0].endswith("/200")
    assert labels[2] == "$y_{2}$"


def test_a_run_without_spikes_says_so(tmp_path: Path) -> None:
    rates = make_run(tmp_path / "run", spiking=False)
    with pytest.raises(RequestError, match="no spikes in this run, which backend 'torch' ran"):
        raster(rates)
    assert set(save_all(rates)) == {"alignment", "weights"}


def test_a_silent_run_says_so(tmp_path: Path, run: Run) -> None:
    writer = RunWriter.create(tmp_path / "run", run.manifest, "")
    writer.spikes("y0", np.empty(0, np.int64), np.empty(0, np.int32))
    writer.interrupt()
    silent = open_run(writer.path)
    with pytest.raises(RequestError, match="no spikes were recorded"):
        raster(silent)
    with pytest.raises(RequestError, match="no angles were recorded"):
        alignment(silent)
    with pytest.raises(RequestError, match="no weights of a feedback projection"):
        weights(silent)


def test_alignment_shows_angles_and_gains(run: Run) -> None:
    angles, gains = alignment(run).axes
    np.testing.assert_array_equal(angles.get_lines()[-1].get_ydata(), run.angles_deg("B1"))
    shown = [line for line in gains.get_lines() if line.get_label() == "$B_{1}$"]
    np.testing.assert_array_equal(shown[0].get_ydata(), run.gain("B1"))
    assert angles.get_ylim()[1] > 90


def test_weights_share_one_colour_scale(run: Run) -> None:
    figure = weights(run)
    transposed, feedback, scatter = figure.axes[:3]
    np.testing.assert_array_equal(transposed.images[0].get_array(), run.weights("W1").T)
    np.testing.assert_array_equal(feedback.images[0].get_array(), run.weights("B1"))
    assert transposed.images[0].get_clim() == feedback.images[0].get_clim()
    low, high = transposed.images[0].get_clim()
    assert low == -high
    assert scatter.get_title() == "0.0°, gain 0.50"
    assert f"{run.weights('B1')[0, 0]:.2f}".replace("-", "−") in texts(figure), "the values of small arrays are printed"


def test_large_arrays_are_not_printed(tmp_path: Path) -> None:
    figure = weights(make_run(tmp_path / "run", sizes=(10, 5, 3), modes=(("mirror", 0.2),)))
    assert not figure.axes[0].texts
    assert len(figure.axes[4].texts) == 15


def test_weights_are_shown_at_the_start_and_at_the_last_end_of_each_mode(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", sizes=(3, 2))
    moments = [(0, "mirror"), (1, "mirror"), (2, "engaged"), (3, "mirror")]
    rng = np.random.default_rng(1)
    for step, _ in moments:
        folder = run.path / "weights" / f"{step:010d}"
        folder.mkdir()
        safetensors.numpy.save_file({"W1": rng.normal(size=(2, 3))}, folder / "W.safetensors")
        safetensors.numpy.save_file({"B1": rng.normal(size=(3, 2))}, folder / "B.safetensors")
    values = {"angles_deg": {"B1": 1.0}, "gain": {"B1": 1.0}}
    rows = [json.dumps({"phase": 0, "examples": k, "mode": mode, "t_s": 0.5 * k, **values}) for k, mode in moments]
    (run.path / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    manifest = json.loads((run.path / "manifest.json").read_text())
    ends = [(mode, k) for k, mode in moments[1:]]
    manifest["phases"] = [
        {"mode": mode, "start_s": 0.5 * (k - 1), "stop_s": 0.5 * k, "first_example": k - 1, "examples": 1}
        for mode, k in ends
    ]
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    figure = weights(open_run(run.path))
    named = ["at the start", "after engaged mode, at 1 s", "after mirror mode, at 1.5 s"]
    assert [text for text in texts(figure) if " at " in f" {text}"] == named
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.get_title() == "$B_{1}$"]
    for array, step in zip(shown, (0, 2, 3), strict=True):
        np.testing.assert_array_equal(array, run.weights("B1", step))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("make", [raster, alignment, weights])
def test_the_same_record_gives_the_same_bytes(run: Run, tmp_path: Path, make, suffix: str, monkeypatch) -> None:
    first = save(make(run), tmp_path / f"first{suffix}").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 5}):
        second = save(make(open_run(run.path)), tmp_path / "deeper" / f"second{suffix}").read_bytes()
    assert first == second


def test_save_all_writes_below_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", modes=(("mirror", 0.2), ("engaged", 0.2)))
    files = save_all(run)
    assert files == {name: run.path / "figures" / f"{name}.png" for name in ("raster", "alignment", "weights")}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files.values())
    assert save_all(run, tmp_path / "other")["raster"] == tmp_path / "other" / "raster.png"


def test_settings_are_left_alone(run: Run) -> None:
    before = dict(matplotlib.rcParams)
    alignment(run)
    assert dict(matplotlib.rcParams) == before


def test_figures_do_not_import_pyplot_nor_a_simulator() -> None:
    code = (
        "import sys, neuromirror.figures; "
        "print([name for name in ('matplotlib.pyplot', 'brian2', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_records_and_measures_do_not_import_matplotlib() -> None:
    code = "import sys, neuromirror.record, neuromirror.measure; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_stretches_of_the_same_mode_are_taken_together() -> None:
    merged = style.stretches(phases(("mirror", 1.0), ("mirror", 1.0), ("engaged", 0.5), ("mirror", 1.0)))
    assert merged == [("mirror", 0.0, 2.0), ("engaged", 2.0, 2.5), ("mirror", 2.5, 3.5)]


@pytest.mark.parametrize(
    ("mode", "label"),
    [
        ("mirror", "mirror (asleep)"),
        ("mirror_2", "mirror_2 (asleep)"),
        ("engaged", "engaged (awake)"),
        ("rest", "rest"),
    ],
)
def test_mode_labels(mode: str, label: str) -> None:
    assert style.mode_label(mode) == label


@pytest.mark.parametrize(
    ("name", "label"), [("y0", "$y_{0}$"), ("W_12", "$W_{12}$"), ("retina", "retina"), ("a$", r"a\$")]
)
def test_names_in_math(name: str, label: str) -> None:
    assert style.math_name(name) == label
