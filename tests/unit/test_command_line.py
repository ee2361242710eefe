"""The command line: what is printed where, exit codes, and wrong requests that leave nothing behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import neuromirror
from neuromirror.backends.base import Options, Recorder, Snapshot
from neuromirror.circuit.capabilities import BACKENDS
from neuromirror.circuit.load import load, shipped
from neuromirror.cli import main
from neuromirror.errors import RunError
from neuromirror.plan import Plan

SHORT = ("--no-figures", "--set", "schedule.0.duration=100 ms", "--set", "schedule.1=")
TINY = ("--backend", "reference", *SHORT)


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: object
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Give a function that runs a command in the empty folder."""

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return Outcome(stopped.value.code, *capsys.readouterr())

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    """Give all that is in a folder, files with their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(outcome: Outcome, says: str, *, lines: int = 1) -> None:
    """Assert exit code 2 and one clear line for each error, and nothing else."""
    assert outcome.code == 2, outcome.err
    assert outcome.out == ""
    told = outcome.err.splitlines()
    assert len(told) == lines, outcome.err
    assert all(line.startswith("error: ") for line in told)
    assert re.search(says, outcome.err), outcome.err
    assert "Traceback" not in outcome.err
    assert "bug" not in outcome.err


def test_check_prints_size_hashes_and_backends(call: Call, folder: Path) -> None:
    outcome = call("check", "figure1")
    circuit = load("figure1")
    assert outcome == Outcome(
        0,
        "figure1: 4 populations, 10 cells, 7 projections, 12 weights\n"
        "forward   8 parameters, 1 weighted array\n"
        f"circuit   {circuit.sha256}\n"
        f"protocol  {circuit.protocol_sha256}\n"
        "runs on   brian2, brian2-rate, reference, torch\n"
        "trains on no backend\n"
        "  not brian2, training.batch: spiking cells learn after every image. Set training.batch = 1. And 5 more.\n"
        "  not torch, code.kind: training has no code 'baseline' (it has: zero_mean). 'neuromirror run --backend "
        "brian2' has it. And 1 more.\n",
        "",
    )
    assert contents(folder) == {}


UNRESTED = ("--set", "code.estimate.rest=", "--set", "training.rest_examples=")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("digits_narrow",), "trains on brian2\n  not torch, code.kind: training has no code 'baseline' .*\n$"),
        (("digits_narrow", "--method", "bp"), "trains on brian2\n  not torch, code.kind: .*\n$"),
        (("resnet20",), "trains on torch\n  not brian2, code.kind: backend 'brian2' has no code 'zero_mean' .*\n$"),
        (
            ("digits_narrow", "--set", "training.mirror_examples="),
            "trains on no backend\n  not brian2, training.mirror_examples: how long each mirror mode lasts is not said"
            ".* such as 400\\.\n  not torch, .*\n$",
        ),
        (("digits_narrow", "--set", "modes.engaged.compare=", *UNRESTED), r"runs on   .*\n$"),
    ],
)
def test_check_says_on_what_a_circuit_trains_and_why_not_on_the_rest(
    arguments: tuple[str, ...], says: str, call: Call
) -> None:
    outcome = call("check", *arguments)
    assert outcome.code == 0, outcome.err
    assert re.search(says, outcome.out), outcome.out


def test_check_reads_a_file_and_its_changes(call: Call, folder: Path) -> None:
    (folder / "mine.toml").write_bytes(shipped()["figure1"].read_bytes())
    outcome = call("check", "mine.toml", "--set", "name=mine", "--set", "projections.B1.transport=exact",
                   "--set", "modes.mirror.learn=")  # fmt: skip
    assert outcome.code == 0
    assert outcome.out.startswith("mine: 4 populations")
    assert "runs on   brian2, brian2-rate, reference, torch\n" in outcome.out


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_check_for_a_backend_that_can_run_it(backend: str, call: Call) -> None:
    assert call("check", "figure1", "--backend", backend).code == 0


def test_check_reports_every_problem_in_a_line_of_its_own(call: Call, folder: Path) -> None:
    text = shipped()["figure1"].read_text(encoding="utf-8")
    text = text.replace('mode = "engaged"', 'mode = "engagde"').replace('beta = "100 Hz"', 'beta = "100"')
    Path("broken.toml").write_text(text, encoding="utf-8")
    rows = text.splitlines()
    outcome = call("check", "broken.toml")
    assert_refused(outcome, "Did you mean 'engaged'", lines=2)
    beta, mode = outcome.err.splitlines()
    lines = [rows.index(row) + 1 for row in ('beta = "100"', 'mode = "engagde"')]
    assert beta.startswith(f"error: broken.toml:{lines[0]}  code.beta: '100' is not a number with a unit.")
    assert mode.startswith(f"error: broken.toml:{lines[1]}  schedule.1.mode: there is no mode 'engagde'.")


def test_check_for_a_backend_that_cannot_run_it(call: Call) -> None:
    outcome = call("check", "figure1", "--backend", "brian2", "--set", "code.kind=zero_mean", "--set", "code.beta=")
    assert_refused(
        outcome,
        r"code\.kind: backend 'brian2' has no code 'zero_mean' .* Use --backend brian2-rate or reference or torch",
    )


def test_a_warning_is_printed_and_the_command_goes_on(call: Call) -> None:
    outcome = call("check", "figure1", "--set", "modes.mirror.noise={y1={}}")
    assert outcome.code == 0
    assert outcome.out.startswith("figure1: ")
    assert outcome.err.startswith("warning: ")
    assert outcome.err.count("\n") == 1


def test_expand_prints_a_file_that_is_the_same_circuit(call: Call, folder: Path) -> None:
    outcome = call("expand", "figure1", "--set", "code.beta=80 Hz")
    assert (outcome.code, outcome.err) == (0, "")
    tables = tomllib.loads(outcome.out)
    assert tables["code"]["beta"] == "80 Hz"
    assert tables["cells"]["cell"]["v_threshold"] == "-50 mV"
    Path("long.toml").write_text(outcome.out, encoding="utf-8")
    assert load("long.toml").sha256 == load("figure1", ["code.beta=80 Hz"]).sha256
    assert call("expand", "long.toml").out == outcome.out


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_draw_writes_the_file_that_it_prints(suffix: str, start: bytes, call: Call, folder: Path) -> None:
    outcome = call("draw", "figure1", "-o", f"plots/figure.{suffix}")
    assert outcome == Outcome(0, f"{Path('plots') / f'figure.{suffix}'}\n", "")
    assert (folder / "plots" / f"figure.{suffix}").read_bytes().startswith(start)
    assert len(contents(folder)) == 2


def test_draw_writes_a_png_by_default(call: Call, folder: Path) -> None:
    assert call("draw", "figure1", "--set", "name=drawn").out == "drawn.png\n"
    assert list(contents(folder)) == ["drawn.png"]


@pytest.mark.parametrize("out", ["figure.bmp", "figure", "figure.", "figure.toml"])
def test_draw_refuses_a_suffix_that_it_does_not_know(out: str, call: Call, folder: Path) -> None:
    assert_refused(call("draw", "figure1", "--out", out), r"png.*svg.*pdf")
    assert contents(folder) == {}


def test_draw_refuses_a_place_that_cannot_be_written(call: Call, folder: Path) -> None:
    (folder / "file").touch()
    assert_refused(call("draw", "figure1", "--out", "file/figure.png"), "file")
    assert contents(folder) == {"file": b""}


def test_backends_lists_each_with_what_it_can_run(call: Call) -> None:
    outcome = call("backends")
    assert (outcome.code, outcome.err) == (0, "")
    for name, backend in BACKENDS.items():
        assert re.search(rf"^{name} +{re.escape(backend.about)} \((not )?installed", outcome.out, re.MULTILINE)
    assert outcome.out.count("  codes") == len(BACKENDS)
    assert "all_to_all, one_to_one" in outcome.out


def test_cite_names_paper_simulator_and_version(call: Call) -> None:
    outcome = call("cite")
    assert outcome.code == 0
    for part in (neuromirror.__version__, "arXiv:1904.05391", "Akrout", "eLife 8:e47314"):
        assert part in outcome.out


def test_version_and_help(call: Call) -> None:
    assert call("--version").out.strip() == neuromirror.__version__
    listed = call("--help")
    assert listed.code == 0
    for command in ("check", "expand", "draw", "run", "compare", "backends", "cite"):
        assert re.search(rf"\b{command}\b", listed.out)


@pytest.mark.parametrize("command", ["['--help']", "['check', 'figure1']"])
def test_looking_imports_no_simulator(command: str) -> None:
    code = (
        "import sys\nfrom neuromirror.cli import main\n"
        f"try:\n    main({command})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sorted({'brian2', 'torch', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chekc", "figure1"], r'Did you mean "check"\?'),
        (["check"], "CIRCUIT"),
        (["check", "figure1", "--backnd", "torch"], r"Unknown option: --backnd\. Did you mean --backend\?"),
        (["check", "figure1", "--backend", "brain2"], r"backend 'brain2': .* Did you mean 'brian2'\?"),
        (["check", "figure1", "more"], "more"),
        (["check", "figrue1"], r"Did you mean 'figure1'\?"),
        (["check", "."], "this is a directory"),
        (["check", "x" * 300], "no such file"),
        (["check", ""], "no such file|Give a circuit file"),
        (["expand", "none.toml"], r"none\.toml: no such file, and no shipped circuit of that name"),
        (["run", "figure1", "--sed", "3"], r"Did you mean --seed\?"),
        (["run", "figure1", "--backend", "refrence"], r"backend 'refrence': .* Did you mean 'reference'\?"),
        (["train", "resnet20", "--epochs", "3"], r"unknown option: --epochs\. .* by --set training\.epochs=3\."),
        (["train", "resnet20", "--lr", "0.1"], r"--set training\.rate=0\.1\."),
        (["train", "resnet20", "--lr=0.1", "--seed", "3"], r"--set training\.rate=0\.1\."),
        (["train", "resnet20", "--batch-size"], r"--set training\.batch=…\."),
        (["run", "figure1", "--duration", "5 s"], r'--set schedule\.0\.duration="5 s"\.'),
        (["sweep", "figure1", "--beta", "20 Hz"], r'--set code\.beta="20 Hz"\.'),
        (["run", "figure1", "--batch", "20"], r"--set time\.batch=20\."),
        (["compare"], "name at least one run directory"),
        (["compare", "nowhere"], r"nowhere: cannot be read \(No such file .*\)\. Give a run directory"),
        (["compare", "."], r"\.: no run here"),
    ],
)
def test_a_request_that_is_wrong_is_refused_in_one_line(
    arguments: list[str], says: str, call: Call, folder: Path
) -> None:
    assert_refused(call(*arguments), says)
    assert contents(folder) == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("code", r"expected dotted\.name=value, such as schedule\.0\.duration="),
        ("=1", r"expected dotted\.name=value"),
        ("code.bta=1", r"--set code\.bta=1  code\.bta: unknown field\. Did you mean 'beta'\?"),
        ("code.beta=1", "1 has no unit. Expected a rate with its unit"),
        ("code.beta.x=1", "code.beta is a value, not a table"),
        ("schedule.9.mode=mirror", "there is no 9 here"),
        ("schedule.nine.mode=mirror", r"--set schedule\.nine\.mode=mirror: 'nine' stands where a list wants a number"),
        ("schedule.-1.duration=1 s", r"--set schedule\.-1\.duration=1 s: '-1' stands where a list wants a number"),
        ("..=1", r'--set \.\.=1  "": unknown field'),
        ("cod.beta.x=1", r"--set cod\.beta\.x=1  cod: unknown field\. Did you mean 'code'"),
        ("time.batch=5\nname = 'other'", r"--set time\.batch=5\\nname = .*: found more than one value"),
        ("nothing=", "there is no nothing to take out"),
        ("schedule.0.mode=miror", r"schedule\.0\.mode: there is no mode 'miror'\. Did you mean 'mirror'\?"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_change_is_refused_by_every_command(
    change: str, says: str, command: str, call: Call, folder: Path
) -> None:
    assert_refused(call(command, "figure1", "--set", change), says)
    assert contents(folder) == {}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seeds", "0"], r"--seeds 0: expected a number of runs from 1 to 10000"),
        (["--seeds", "-3"], r"--seeds -3: expected"),
        (["--seeds", "10001"], r"--seeds 10001: expected"),
        (["--seed", "-1"], r"seed -1: expected a whole number from 0 to 2\*\*63 - 1"),
        (["--seed", str(2**63)], rf"seed {2**63}: expected a whole number"),
        (["--seed", "9" * 40], r"expected a whole number"),
        (["--seed", str(2**63 - 1), "--seeds", "2"], rf"seed {2**63}: expected a whole number"),
        (["--seed", "one"], "one"),
        (["--seed", "1.5"], r"1\.5"),
        (["--points", "0"], r"points 0: expected 1 or more"),
        (["--points", "-1"], r"points -1: expected 1 or more"),
        (["--points", "2.5"], r"2\.5"),
        (["--json=maybe"], '"maybe"'),
        (["--dtype", "float16"], "float16.*float64"),
        (["--target", "gpu"], "gpu"),
        (["--out", ""], r"--out: the name is empty\. Give --out another directory"),
        (["--out", "x" * 300], r"x: a run cannot be written there \(File name too long\)\. Give --out another"),
        (["--out", "new/" + "x" * 300], r"a run cannot be written there \(File name too long\)"),
        (["--seeds", "2", "--out", "x" * 300], r"a run cannot be written there \(File name too long\)"),
        (["--set", "name=" + "é" * 200], r"a run cannot be written there \(File name too long\)"),
        (["--set", "schedule="], r"schedule: nothing to run\. Add \[\[schedule\]\]"),
        (["--set", "schedule.0.duration=1 ms"], r"1 ms is shorter than one window of 2\.5 ms"),
        (["--set", "time.window=1e-300 s", "--set", "modes.mirror.window="], r"schedule\.0"),
    ],
)
def test_a_run_with_a_wrong_option_writes_nothing(options: list[str], says: str, call: Call, folder: Path) -> None:
    assert_refused(call("run", "figure1", *TINY, *options), says)
    assert contents(folder) == {}


def test_a_file_without_a_schedule_is_named(call: Call, folder: Path) -> None:
    text = shipped()["figure1"].read_text(encoding="utf-8")
    schedule, rest = text[text.index("[[schedule]]") :], text[: text.index("[[schedule]]")]
    Path("mine.toml").write_text(rest + schedule[schedule.index("[time]") :], encoding="utf-8")
    outcome = call("run", "mine.toml", "--backend", "reference")
    assert_refused(outcome, r"^error: mine\.toml:1  schedule: nothing to run\. Add \[\[schedule\]\]")
    assert list(contents(folder)) == ["mine.toml"]


def test_a_type_that_torch_does_not_have_is_refused_before_anything_is_written(call: Call, folder: Path) -> None:
    pytest.importorskip("torch")
    outcome = call("run", "figure1", *SHORT, "--backend", "torch", "--dtype", "float16")
    assert outcome.code == 2
    assert "--dtype float16: expected float64 or float32." in outcome.err
    assert contents(folder) == {}


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"torch"}))
def test_a_type_that_a_backend_does_not_have_is_refused(backend: str, call: Call, folder: Path) -> None:
    outcome = call("run", "figure1", *SHORT, "--backend", backend, "--dtype", "float32")
    assert (outcome.code, outcome.out) == (2, "")
    says = f"--dtype float32: backend '{backend}' computes in float64 only. Use --backend torch, or leave --dtype out."
    assert outcome.err.splitlines()[-1] == f"error: {says}"
    assert contents(folder) == {}


@pytest.mark.parametrize("target", ["meta", "cuda:99", "xpu:0"])
def test_a_device_that_torch_cannot_compute_on_is_refused(target: str, call: Call, folder: Path) -> None:
    pytest.importorskip("torch")
    assert_refused(call("run", "figure1", *SHORT, "--backend", "torch", "--target", target), f"--target {target}: ")
    assert contents(folder) == {}


def test_a_run_that_records_nothing_takes_away_what_it_made(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuromirror.backends.reference.backend", Broken(RunError("no."), begun=False))
    (folder / "empty").mkdir()
    for out in ([], ["--out", "new/folder"], ["--out", "empty/folder"], ["--out", "empty"]):
        assert call("run", "figure1", *TINY, *out).code == 1
        assert contents(folder) == {"empty": None}


def test_a_run_that_cannot_be_written_leaves_nothing(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    outcome = call("run", "figure1", *TINY)
    assert (outcome.code, outcome.out) == (2, "")
    assert "a run cannot be written there (No space left on device). Give --out" in outcome.err
    assert contents(folder) == {}


@pytest.mark.parametrize("out", ["taken", "taken/file", "taken/file/under", ""])
def test_a_taken_directory_is_refused_and_left_as_it_is(out: str, call: Call, folder: Path) -> None:
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_bytes(b"kept")
    before = contents(folder)
    outcome = call("run", "figure1", *TINY, "--out", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert re.search(r"^error: .*\. Give --out (a new or an empty|another) directory\.$", outcome.err, re.MULTILINE)
    assert contents(folder) == before


def test_a_taken_directory_of_one_seed_stops_all_before_anything_is_written(call: Call, folder: Path) -> None:
    (folder / "runs" / "seed-1").mkdir(parents=True)
    (folder / "runs" / "seed-1" / "file").write_bytes(b"kept")
    before = contents(folder)
    outcome = call("run", "figure1", *TINY, "--seeds", "3", "--out", "runs")
    assert outcome.code == 2
    assert f"error: {Path('runs') / 'seed-1'}: has files in it; a run overwrites nothing." in outcome.err
    assert contents(folder) == before


def test_an_empty_directory_is_used(call: Call, folder: Path) -> None:
    (folder / "empty").mkdir()
    assert call("run", "figure1", *TINY, "--out", "empty").code == 0
    assert (folder / "empty" / "manifest.json").is_file()


def last_json(outcome: Outcome) -> dict[str, Any]:
    """Give the object on the last line of standard output."""
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("}\n")
    return json.loads(outcome.out.splitlines()[-1])


def test_run_prints_one_json_object_as_its_last_line(call: Call, folder: Path) -> None:
    changes = ("schedule.0.duration=1 s", "schedule.1.duration=200 ms")
    options = [part for change in changes for part in ("--set", change)]
    outcome = call("run", "figure1", "--backend", "reference", "--seed", "5", "--out", "run", "--json", *options)
    result, circuit = last_json(outcome), load("figure1", changes)
    assert {"run_dir", "wall_s", "matrix_angles_deg", "gain"} <= set(result)
    assert result["run_dir"] == "run"
    assert (result["circuit_sha256"], result["protocol_sha256"]) == (circuit.sha256, circuit.protocol_sha256)
    assert (result["backend"], result["seed"], result["examples"]) == ("reference", 5, 402)
    assert result["simulated_s"] == pytest.approx(1.2)
    assert result["wall_s"] > 0
    assert set(result["matrix_angles_deg"]) == set(result["gain"]) == {"B1"}
    assert 0 < result["matrix_angles_deg"]["B1"] < 60
    assert json.loads((folder / "run" / "manifest.json").read_text())["summary"]["gain"] == result["gain"]

    *told, figures, _, last = outcome.out.splitlines()[:5] + outcome.out.splitlines()[-1:]
    assert told[0].startswith("seed 5  angle of B1 to its Wᵀ: ")
    assert re.search(r"° before, .*° after 1 s of mirror mode, .*° after 0\.2 s of engaged mode; gain ", told[0])
    before, after = (result[f"matrix_angles_{when}deg"]["B1"] for when in ("before_", ""))
    assert f"Wᵀ: {before:.1f}° before, " in told[0]
    assert f" {after:.1f}° after 0.2 s of engaged mode; gain {result['gain']['B1']:.3g}" in told[0]
    assert told[1].startswith("seed 5  most clipped at zero rate: ")
    assert told[2] == "record   run"
    assert figures == f"figure   {Path('run') / 'figures' / 'alignment.png'}"
    assert json.loads(last) == result
    assert (folder / "run" / "figures" / "weights.png").is_file()
    assert outcome.err.startswith("figure1: 1.2 s of simulated time, backend reference (")
    assert "100%  1.2 s simulated in " in outcome.err


def test_without_json_no_line_is_an_object(call: Call) -> None:
    outcome = call("run", "figure1", *TINY, "--out", "run")
    assert outcome.code == 0
    assert "{" not in outcome.out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("time.dt=1e-320 s", "not a whole number of time steps"),
        ("cells.cell.default_bias=-1 V", "fire at 0 Hz whatever their input"),
    ],
)
def test_what_spiking_cells_cannot_do_is_refused_and_nothing_written(
    change: str, says: str, call: Call, folder: Path
) -> None:
    outcome = call("run", "figure1", "--target", "numpy", "--out", "run", "--set", change)
    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert contents(folder) == {}


def test_several_seeds_have_a_directory_each_and_one_json_object(call: Call, folder: Path) -> None:
    outcome = call("run", "figure1", *TINY, "--seed", "3", "--seeds", "2", "--out", "several", "--json")
    result = last_json(outcome)
    assert [run["seed"] for run in result["runs"]] == [3, 4]
    assert [run["run_dir"] for run in result["runs"]] == [str(Path("several") / f"seed-{seed}") for seed in (3, 4)]
    assert sorted(path.name for path in (folder / "several").iterdir()) == ["seed-3", "seed-4"]
    angles = [run["matrix_angles_deg"]["B1"] for run in result["runs"]]
    assert f"median over 2 seeds of B1 after mirror mode, at 0.1 s: {sum(angles) / 2:.2f}°" in outcome.out
    assert "inf" not in outcome.out
    alone = last_json(call("run", "figure1", *TINY, "--seed", "4", "--out", "alone", "--json"))
    assert alone["matrix_angles_deg"]["B1"] == angles[1] != angles[0]


def test_the_largest_seed_runs(call: Call) -> None:
    assert last_json(call("run", "figure1", *TINY, "--seed", str(2**63 - 1), "--json"))["seed"] == 2**63 - 1


def test_runs_without_out_are_numbered(call: Call, folder: Path) -> None:
    first, second = (last_json(call("run", "figure1", *TINY, "--json"))["run_dir"] for _ in range(2))
    assert first == str(Path("runs") / "figure1-reference-seed-0")
    assert second == f"{first}-2"
    assert (folder / second / "manifest.json").is_file()


@pytest.mark.parametrize("points", [1, 3, 40])
def test_points_is_the_number_of_rows_of_the_metrics(points: int, call: Call, folder: Path) -> None:
    assert call("run", "figure1", *TINY, "--set", "time.batch=1", "--out", "run", "--points", str(points)).code == 0
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == points + 1, "one before the run, and one at the end of each stretch"
    assert (rows[0]["examples"], rows[-1]["examples"]) == (0, 40)


def test_a_name_does_not_lead_out_of_the_folder(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    for name in ("../../escaped", "../escaped"):
        call("run", "figure1", *TINY, "--set", f"name={name}")
        call("draw", "figure1", "--set", f"name={name}")
    assert [path for path in contents(tmp_path) if "escaped" in path and not path.startswith(str(Path("a/b")))] == []


def test_compare_has_a_row_for_each_run_and_the_median_of_the_seeds(call: Call, folder: Path) -> None:
    result = last_json(call("run", "figure1", *TINY, "--seeds", "2", "--out", "several", "--json"))
    outcome = call("compare", "several")
    assert (outcome.code, outcome.err) == (0, "")
    head, *rows, median = outcome.out.splitlines()
    assert head.split() == ["circuit", "backend", "target", "seed", "B", "after", "angle", "gain", "complete", "run"]
    for row, run in zip(rows, result["runs"], strict=True):
        angle = f"{run['matrix_angles_deg']['B1']:.2f}°"
        assert row.split()[:2] == ["figure1", "reference"]
        assert f" {run['seed']}     B1  mirror, 0.1 s  {angle}" in row
        assert row.split()[-2:] == ["yes", run["run_dir"]]
    assert "over 2 seeds" in median
    assert len(call("compare", Path("several") / "seed-0").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("manifest.json", "{\n", r"manifest\.json:2: not JSON"),
        ("manifest.json", "[" * 100_000, r"manifest\.json:1: nested too deeply"),
        ("metrics.jsonl", "", r"metrics\.jsonl:1: no rows, though the run is complete"),
        ("metrics.jsonl", '{"a": 1}\n', r"metrics\.jsonl:1: a row has 'phase', and this has none"),
    ],
)
def test_compare_names_a_damaged_run(file: str, content: str, says: str, call: Call, folder: Path) -> None:
    assert call("run", "figure1", *TINY, "--out", "run").code == 0
    (folder / "run" / file).write_text(content)
    assert_refused(call("compare", "run"), says)


class Broken:
    """A backend that fails in a given way, before or after its first state is recorded."""

    def __init__(self, error: BaseException, *, begun: bool) -> None:
        self.error, self.begun = error, begun

    def target(self, *_: object) -> str:
        return "none"

    def said(self, target: str, *_: object) -> str:
        return target

    def run(self, plans: list[Plan], recorders: list[Recorder], options: Options) -> None:
        if self.begun:
            state = Snapshot(phase=0, examples=0, t_s=0.0, arrays=plans[0].initial_arrays())
            recorders[0].snapshot(state, keep_arrays=True)
        raise self.error


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "not begun"])
@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RunError("the weights are no numbers."), 1, "error: the weights are no numbers.\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (LookupError("inside"), 1, "error: LookupError: inside\n  This is a bug; --debug shows where.\n"),
    ],
)
def test_runs_that_do_not_end_keep_what_there_is(
    error: BaseException, code: int, says: str, begun: bool, call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuromirror.backends.reference.backend", Broken(error, begun=begun))
    outcome = call("run", "figure1", *TINY, "--out", "run")
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.endswith(says)
    assert "Traceback" not in outcome.err
    assert ("saved in run" in outcome.err) == begun
    assert (folder / "run").exists() == begun
    if begun:
        manifest = json.loads((folder / "run" / "manifest.json").read_text())
        assert manifest["complete"] is False
        assert manifest["invocation"]["finished"] is not None


def test_what_other_programs_call_an_option_leads_to_a_value_that_there_is() -> None:
    from neuromirror.circuit.validate import fields_at
    from neuromirror.commands.unknown_options import SYNONYMS, TABLES

    for name in SYNONYMS.values():
        *table, field = name.split(".")
        assert field in fields_at([int(key) if key.isdecimal() else key for key in table]), name
    assert all(fields_at((table,)) for table in TABLES)
