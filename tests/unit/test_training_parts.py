"""The parts of training: learning rates, what circuits it refuses, how much it mirrors, checkpoints and settings."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import neuromirror as nm
from experiments.tiny_nets import Tables, conv_tables, dense_tables
from neuromirror.backends.torch.network import Network
from neuromirror.circuit.protocol import Training
from neuromirror.errors import CircuitError, RequestError, RunError
from neuromirror.measure.theory import rate_angle_deg
from neuromirror.plan import Plan
from neuromirror.rules.updater import Step
from neuromirror.training import checkpoint
from neuromirror.training.checkpoint import State
from neuromirror.training.device import device_of, workers_of
from neuromirror.training.loop import Length, length_of
from neuromirror.training.mirroring import LONGEST, examples_of, predicted_angle_deg, shortened
from neuromirror.training.rates import peak_rate, rate_factor
from neuromirror.training.roles import Roles, roles_of
from neuromirror.training.settings import Settings
from neuromirror.training.settings_file import FILE, read_settings, to_json

# ---- the learning rate -----------------------------------------------------------------------------------------------

PAPER = Training()
"""C.1: 6 epochs of warm-up, drops by ten after epochs 32, 62 and 82, and 2 epochs of mirroring alone."""


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [
        (0, 0),
        (1.99, 0),
        (2, 0),
        (3.5, 0.25),
        (5, 0.5),
        (8, 1),
        (31.99, 1),
        (32, 0.1),
        (61.9, 0.1),
        (62, 0.01),
        (90, 1e-3),
    ],
)
def test_learning_rate_of_the_paper_with_weight_mirrors(epoch: float, factor: float) -> None:
    assert rate_factor(epoch, PAPER, mirror_epochs=2) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(("epoch", "factor"), [(0, 0), (3, 0.5), (6, 1), (31.9, 1), (32, 0.1)])
def test_learning_rate_of_the_paper_without(epoch: float, factor: float) -> None:
    assert rate_factor(epoch, PAPER, mirror_epochs=0) == pytest.approx(factor, rel=1e-12)


epochs = st.floats(0, 100)


@given(
    epoch=epochs,
    later=epochs,
    warmup=st.one_of(st.just(0.0), epochs),
    alone=st.one_of(st.just(0.0), epochs),
    drops=st.lists(epochs, max_size=4),
    factor=st.floats(1e-3, 1),
)
@example(epoch=1.5, later=1.9, warmup=0.0, alone=2.0, drops=[], factor=0.1)
@example(epoch=0.3, later=0.3, warmup=0.0, alone=0.0, drops=[0.3], factor=0.1)
def test_learning_rate_over_a_run(
    epoch: float, later: float, warmup: float, alone: float, drops: list[float], factor: float
) -> None:
    training = Training(warmup_epochs=warmup, drops=tuple(drops), drop_factor=factor)
    found = rate_factor(epoch, training, mirror_epochs=alone)
    dropped = factor ** sum(drop <= epoch for drop in drops)
    assert 0 <= found <= dropped
    if epoch < alone:
        assert found == 0
    elif epoch - alone >= warmup:
        assert found == pytest.approx(dropped, rel=1e-12)
    else:
        assert found == pytest.approx(dropped * (epoch - alone) / warmup, rel=1e-12)
    no_drop_between = not any(min(epoch, later) < drop <= max(epoch, later) for drop in drops)
    if no_drop_between and later >= epoch:
        assert rate_factor(later, training, mirror_epochs=alone) >= found


def test_peak_rate_is_that_of_256_images_in_proportion_or_what_the_protocol_says() -> None:
    assert peak_rate(0.1, Training(batch=2048)) == pytest.approx(0.8, rel=1e-12)
    assert peak_rate(0.1, Training(batch=256)) == pytest.approx(0.1, rel=1e-12)
    assert peak_rate(0.1, Training(batch=2048, rate=0.5)) == 0.5


# ---- how long a run is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "mirrors", "length"),
    [
        ({"epochs": 3, "mirror_epochs": 1}, True, (10, 30)),
        ({"epochs": 3, "mirror_epochs": 1}, False, (0, 30)),
        ({"epochs": 1.25, "mirror_epochs": 0.3}, True, (3, 12)),
        ({"epochs": 1, "mirror_epochs": 4}, True, (40, 40)),
        ({"epochs": 3, "mirror_epochs": 1, "steps": 17}, True, (10, 17)),
        ({"epochs": 3, "mirror_epochs": 1, "steps": 4}, True, (4, 4)),
        ({"epochs": 1, "mirror_epochs": 0, "steps": 99}, True, (0, 10)),
    ],
)
def test_steps_of_a_run(training: Tables, mirrors: bool, length: tuple[int, int]) -> None:
    assert length_of(Training(**training), 10, mirrors=mirrors) == Length(epoch=10, mirror=length[0], total=length[1])


def test_runs_without_a_step_are_refused() -> None:
    with pytest.raises(RequestError, match=r"training\.batch 256: .* fewer images .* smaller batch"):
        length_of(Training(), 0, mirrors=True)
    with pytest.raises(RequestError, match=r"training\.epochs 0\.001: .* no step"):
        length_of(Training(epochs=0.001, mirror_epochs=0), 10, mirrors=True)


# ---- what can be trained ---------------------------------------------------------------------------------------------


def plan_of(tables: Tables) -> Plan:
    return Plan(nm.Circuit(tables), 0)


def roles(tables: Tables) -> Roles:
    plan = plan_of(tables)
    plan.circuit.check()  # what is asked here is never whether the circuit is one
    return roles_of(plan)


def network_of(tables: Tables) -> tuple[Network, Roles]:
    plan = plan_of(tables)
    found = roles_of(plan)
    return Network(plan, found.on), found


def test_roles_of_a_circuit_that_mirrors() -> None:
    found = roles(conv_tables())
    assert found.engaged.name == "engaged"
    assert [[one.name for one in mode.learners] for mode in found.mirrors] == [["B_W_head"], ["B2"]]
    assert found.forward == {
        "W1": "forward",
        "W2": "forward",
        "W_head": "forward",
        "head.bias": "free",
        "y1.norm": "free",
        "y2.norm": "free",
    }
    assert found.kolen_pollack == {}
    assert found.on == {"W1", "W2", "P", "W_head", "B2", "B_P", "B_W_head"}


@pytest.mark.parametrize(
    ("method", "learning"), [("bp", set()), ("fa", set()), ("ss", set()), ("kp", {"B2", "B_W_head"})]
)
def test_roles_under_other_methods(method: str, learning: set[str]) -> None:
    found = roles_of(Plan(nm.Circuit(conv_tables()).method(method), 0))
    assert found.mirrors == ()
    assert set(found.kolen_pollack) == learning
    assert set(found.kolen_pollack.values()) <= {"forward_kolen_pollack"}


def second_mode(**mode: Any) -> Callable[[Tables], object]:
    """Return a change of the tables: a mode of one's own in place of the short form of mirroring."""

    def change(tables: Tables) -> None:
        del tables["mirroring"]
        tables["schedule"] = [{"mode": "mine", "examples": 1}]
        tables["modes"]["mine"] = {
            "noise": {"pool": {}},
            "on": ["W_head", "@drive"],
            "learn": {"B_W_head": "mirror"},
            **mode,
        }

    return change


def learned_awake(rule: Tables) -> Callable[[Tables], object]:
    return lambda tables: tables["rules"].update(forward=rule)


def on_awake(*on: str) -> Callable[[Tables], object]:
    return lambda tables: tables["modes"]["engaged"].update(on=list(on))


def norm_of_single_numbers(tables: Tables) -> None:
    tables["populations"]["head"]["norm"] = {"kind": "batch_norm"}
    tables["training"]["micro_batch"] = 19


REFUSED: dict[str, tuple[Callable[[Tables], object], str]] = {
    "no mode compares": (
        lambda tables: tables["modes"]["engaged"].update(compare={}),
        r"^error: modes: .* one mode that compares .* has 0\. Say compare = ",
    ),
    "two modes compare": (
        lambda tables: tables["modes"].update(other=copy.deepcopy(tables["modes"]["engaged"])),
        r"^error: modes: .* has 2\. Say compare = .* in one\.",
    ),
    "an own drive awake": (
        learned_awake({"drive": "-error*pre*abs(pre)", "updater": {"rate": 0.1}}),
        r"^error: rules\.forward\.drive: W1 .*awake by the drive '-error\*pre\*abs\(pre\)'\..* Use drive = ",
    ),
    "weight mirror awake": (
        learned_awake({"drive": "weight_mirror", "updater": {"rate": 0.1}}),
        r'^error: rules\.forward\.drive: W1 .*awake by the drive \'weight_mirror\'.*Use drive = "forward"\.',
    ),
    "a memory awake": (
        learned_awake({"drive": "forward", "updater": {"memory": "1 s", "decay": 1.0}}),
        r"^error: rules\.forward\.updater: .* no memory\. Say rate = ",
    ),
    "a norm of weights": (
        learned_awake({"drive": "forward", "updater": {"rate": 0.1, "normalise": {"per": "target"}}}),
        r"^error: rules\.forward\.updater\.normalise: training has no normalisation 'target'",
    ),
    "nothing learns awake": (
        lambda tables: tables["modes"]["engaged"].update(learn={}),
        r'^error: modes\.engaged\.learn: nothing learns .* Say learn = { "@W" = "forward" }\.$',
    ),
    "gates off": (
        on_awake("@forward", "@feedback", "@error"),
        r'^error: modes\.engaged\.on: g1, g2, g_head are not on\..* Add "@feedback", "@gate" and "@error"\.$',
    ),
    "one gate off": (
        on_awake("@forward", "@feedback", "@error", "g1", "g2", "g_pool"),
        r"^error: modes\.engaged\.on: g_head is not on\.",
    ),
    "errors off": (
        on_awake("@forward", "@feedback", "@gate"),
        r"^error: modes\.engaged\.learn\.W1: rule 'forward' needs the error",
    ),
    "feedback off": (
        on_awake("@forward", "@gate", "@error"),
        r"^error: modes\.engaged\.on: B2, B_P, B_W_head are not on\.",
    ),
    "a W learns from noise": (
        second_mode(learn={"B_W_head": "mirror", "W2": "mirror"}),
        r"^error: modes\.mine\.learn\.W2: W2 learns in a mode that compares nothing\..* Let W2 learn in engaged\.$",
    ),
    "a bias learns from noise": (
        lambda tables: (
            second_mode(learn={"B_W_head": "mirror", "head.bias": "still"})(tables),
            tables["rules"].update(still={"drive": "-post", "updater": {"rate": 0.1}}),
        ),
        r"^error: modes\.mine\.learn\.head\.bias: head\.bias learns in a mode .* Let head\.bias learn in engaged\.$",
    ),
    "B learns without noise": (
        second_mode(noise={}),
        r"^error: modes\.mine\.learn\.B_W_head: d_head gets no signal .* noise to the lower cells\.$",
    ),
    "B learns without drives": (
        second_mode(on=["W_head"]),
        r'^error: modes\.mine\.learn\.B_W_head: d_head gets no signal in this mode.* "@drive" and W_head',
    ),
    "B learns without its W": (second_mode(on=["@drive"]), r"B_W_head: d_head gets no signal in this mode"),
    "B learns from noise elsewhere": (second_mode(learn={"B2": "mirror"}), r"B2: d2 gets no signal in this mode"),
    "B learns of a W that is off awake": (
        on_awake("W1", "P", "W_head", "@feedback", "@gate", "@error"),
        r"^error: modes\.mirror_y1\.learn\.B2: its W, W2, is not on in engaged\. Add it there",
    ),
    "images asleep": (
        second_mode(input={"image": "stimulus"}),
        r"^error: modes\.mine\.input: training shows images in the mode that compares.* Take the input out\.$",
    ),
    "batch norm over a single number": (
        norm_of_single_numbers,
        r"^error: training\.micro_batch: 20 images in parts of 19 .* batch norm of head .* Let micro_batch divide",
    ),
    "a baseline": (
        lambda tables: tables.update(code={"kind": "baseline", "beta": "50 Hz"}),
        r"^error: code\.kind: training has no code 'baseline' \(it has: zero_mean\)",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_circuits_that_cannot_be_trained_are_refused_by_name_and_with_a_remedy(why: str) -> None:
    tables = conv_tables()
    change, says = REFUSED[why]
    change(tables)
    with pytest.raises(CircuitError, match=says):
        roles(tables)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("projections.W2.mask", [[float(source != target) for source in range(12)] for target in range(8)]),
        ("projections.x2.permutation", list(range(8))[::-1]),
    ],
)
def test_masks_and_permuted_cross_projections_are_refused(place: str, value: object) -> None:
    circuit = nm.Circuit(dense_tables((64, 12, 8, 10))).expand().with_values({place: value})
    circuit.check()
    with pytest.raises(
        CircuitError, match=rf"^error: with_values .*{re.escape(place)}: training has no .* Take it out, or use 'run'"
    ):
        roles_of(Plan(circuit, 0))


def test_all_that_stands_in_the_way_is_said_at_once() -> None:
    tables = conv_tables()
    for why in ("gates off", "a memory awake", "B learns without noise"):
        REFUSED[why][0](tables)
    with pytest.raises(CircuitError) as found:
        roles(tables)
    assert [problem.path for problem in found.value.problems] == [
        "rules.forward.updater",
        "modes.engaged.on",
        "modes.mine.learn.B_W_head",
    ]


# ---- how much is mirrored --------------------------------------------------------------------------------------------


def mirrored(tables: Tables, **training: Any) -> dict[str, int]:
    """Return the examples of a turn of each mode."""
    network, found = network_of(tables)
    return {mode.name: examples_of(network, mode, Training(**training)) for mode in found.mirrors}


def test_a_turn_has_as_many_examples_as_a_batch_or_as_the_protocol_says() -> None:
    assert set(mirrored(conv_tables(), batch=30).values()) == {30}
    assert set(mirrored(conv_tables(), batch=30, mirror_examples=7).values()) == {7}


@pytest.mark.parametrize(
    ("training", "says"), [({"mirror_examples": 1}, "mirror_examples 1"), ({"batch": 1}, "batch 1")]
)
def test_a_turn_of_one_example_is_refused(training: Tables, says: str) -> None:
    with pytest.raises(RequestError, match=rf"^training\.{says}: mirroring subtracts means, of 2 examples or more\.$"):
        mirrored(conv_tables(), **training)


@pytest.mark.parametrize("angle_deg", [3.0, 10.0, 25.0])
@pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])
def test_examples_for_an_angle_are_the_fewest_that_the_law_predicts_it_for(tables: Tables, angle_deg: float) -> None:
    network, found = network_of(tables)
    for mode in found.mirrors:
        (learner,) = mode.learners
        examples = examples_of(network, mode, Training(mirror_angle_deg=angle_deg))
        predicted = predicted_angle_deg(network, mode, learner, examples)
        assert predicted is not None
        assert predicted <= angle_deg + 1e-9
        if examples > 2:
            one_less = predicted_angle_deg(network, mode, learner, examples - 1)
            assert one_less is not None
            assert one_less > angle_deg


def test_predicted_angle_is_that_of_the_law_with_fan_in_positions_and_memory() -> None:
    """B2 mirrors a 3×3 convolution of 4 channels to 4×4 positions, B_W_head a dense linear layer of 24 inputs."""
    network, found = network_of(conv_tables())
    forgetting = 0.1 * 0.5
    samples = 20 * (2 - forgetting) / forgetting
    expected = {"B2": rate_angle_deg(36, 16 * samples, "relu"), "B_W_head": rate_angle_deg(24, samples, "linear")}
    for mode in found.mirrors:
        (one,) = mode.learners
        assert predicted_angle_deg(network, mode, one, 20) == pytest.approx(expected[one.name], rel=1e-9)


def test_without_decay_no_angle_is_predicted_and_none_can_be_asked_for() -> None:
    tables = conv_tables()
    tables["rules"]["mirror"]["updater"]["decay"] = 0.0
    network, found = network_of(tables)
    mode = found.mirrors[0]
    assert predicted_angle_deg(network, mode, mode.learners[0], 20) is None
    with pytest.raises(RequestError, match=r"^training\.mirror_angle_deg: rule 'mirror' takes 0 of B away .* a decay"):
        examples_of(network, mode, Training(mirror_angle_deg=10))


def test_with_a_memory_no_angle_can_be_asked_for() -> None:
    tables = conv_tables()
    tables["rules"]["mirror"]["updater"] = {"memory": 400, "decay": 0.5}
    network, found = network_of(tables)
    with pytest.raises(
        RequestError, match=r"^training\.mirror_angle_deg: rule 'mirror' has a memory.* leave the angle"
    ):
        examples_of(network, found.mirrors[0], Training(mirror_angle_deg=10))


def test_with_noise_in_common_no_angle_is_predicted_and_none_can_be_asked_for() -> None:
    tables = conv_tables()
    tables["mirroring"] = {**tables["mirroring"], "noise": {"correlation": 0.05}}
    network, found = network_of(tables)
    mode = found.mirrors[0]
    assert predicted_angle_deg(network, mode, mode.learners[0], 20) is None
    with pytest.raises(RequestError, match=r"^training\.mirror_angle_deg: the cells of mode .* have noise in common"):
        examples_of(network, mode, Training(mirror_angle_deg=10))


@given(keep=st.floats(0, 1), step=st.floats(0, 2), factor=st.floats(0, 1))
def test_a_shortened_step_has_the_same_fixed_point_and_a_longer_memory(keep: float, step: float, factor: float) -> None:
    found, part = shortened(Step(keep=keep, step=step), factor), max(factor, 1 / LONGEST)
    assert found.step == pytest.approx(step * part, rel=1e-12, abs=1e-300)
    assert 1 - found.keep == pytest.approx((1 - keep) * part, rel=1e-9, abs=1e-15)
    assert shortened(Step(keep=keep, step=step), 1.0).step == step


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def state_of(step: int) -> State:
    """Return arrays of several types and shapes, and what JSON holds; nan is a number there."""
    shared = {
        "W": torch.full((3, 2), float(step)),
        "momentum/W": torch.arange(6.0, dtype=torch.float64).reshape(3, 2),
        "image": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "count": torch.tensor(step),
    }
    said = {"step": step, "last": {"loss": step / 3, "none": None, "lost": math.inf}}
    return State(shared=shared, own=[{"norm.running_mean": torch.ones(2) * step}], said=said)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest_step(folder: Path) -> int | None:
    found = checkpoint.newest(folder)
    return None if found is None else found.said["step"]


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    written = state_of(7)
    saved = checkpoint.save(tmp_path / "new" / "folder", 7, written)
    found = checkpoint.newest(tmp_path / "new" / "folder")
    assert found is not None
    assert saved.name == "step-0000000007"
    assert found.shared.keys() == written.shared.keys()
    assert all(torch.equal(found.shared[name], one) for name, one in written.shared.items())
    assert all(found.shared[name].dtype == one.dtype for name, one in written.shared.items())
    assert [list(one) for one in found.own] == [["norm.running_mean"]]
    assert torch.equal(found.own[0]["norm.running_mean"], torch.ones(2) * 7)
    assert {key: found.said[key] for key in written.said} == written.said


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_the_newest_few_checkpoints_are_kept(kept: int, tmp_path: Path) -> None:
    steps = (9, 10, 200, 1000)
    for step in steps:
        checkpoint.save(tmp_path, step, state_of(step), kept=kept)
    assert names(tmp_path) == [f"step-{step:010d}" for step in steps[-kept:]]
    assert newest_step(tmp_path) == 1000


def test_a_checkpoint_of_the_same_step_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 3, State(said={"step": 3, "of": "before"}))
    checkpoint.save(tmp_path, 3, State(said={"step": 3, "of": "after"}))
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.said["of"] == "after"


def test_where_there_is_no_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere") is None
    assert checkpoint.newest(tmp_path) is None
    (tmp_path / "step-0000000003.part").mkdir()
    (tmp_path / "step-3").mkdir()
    assert checkpoint.newest(tmp_path) is None
    checkpoint.save(tmp_path, 4, state_of(4))
    assert names(tmp_path) == ["step-0000000004", "step-3"]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "all but the end": lambda content: content[:-40],
    "not a checkpoint": lambda content: b"not a checkpoint",
    "zeros": lambda content: bytes(len(content)),
    "a zip of nothing": lambda content: b"PK\x05\x06" + bytes(18),
}
FILES = (".metadata", "__0_0.distcp", "state.json")


def damaged(path: Path, name: str, how: str | None) -> None:
    file = path / name
    if how is None:
        file.unlink()
    else:
        file.write_bytes(DAMAGE[how](file.read_bytes()))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", [*DAMAGE, None])
def test_a_damaged_checkpoint_is_passed_over(how: str | None, name: str, tmp_path: Path) -> None:
    paths = [checkpoint.save(tmp_path, step, state_of(step)) for step in (1, 2)]
    damaged(paths[1], name, how)
    assert newest_step(tmp_path) == 1


@pytest.mark.parametrize("name", FILES)
def test_if_all_checkpoints_are_damaged_that_is_said(name: str, tmp_path: Path) -> None:
    for step in (1, 2):
        damaged(checkpoint.save(tmp_path, step, state_of(step)), name, "half")
    with pytest.raises(RequestError, match=r"none of its 2 checkpoints can be read\. Start the run again\.$"):
        checkpoint.newest(tmp_path)


@given(byte=st.integers(0, 10**9), bit=st.integers(0, 7))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_bit_that_has_changed_is_noticed_or_does_not_matter(byte: int, bit: int, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    written = state_of(2)
    checkpoint.save(folder, 1, state_of(1))
    file = checkpoint.save(folder, 2, written) / "__0_0.distcp"
    content = bytearray(file.read_bytes())
    content[byte % len(content)] ^= 1 << bit
    file.write_bytes(content)
    found = checkpoint.newest(folder)
    assert found is not None
    if found.said["step"] == 2:
        assert all(torch.equal(found.shared[name], one) for name, one in written.shared.items())
        assert torch.equal(found.own[0]["norm.running_mean"], written.own[0]["norm.running_mean"])


class _Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


def test_a_checkpoint_that_holds_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = checkpoint.save(tmp_path / "run", 1, state_of(1))
    (path / ".metadata").write_bytes(pickle.dumps(_Harmful()))
    with pytest.raises(RequestError, match="none of its 1 checkpoints can be read"):
        checkpoint.newest(tmp_path / "run")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_checkpoint_is_whole_or_not_there(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space")

    checkpoint.save(tmp_path, 1, state_of(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(RunError, match=r"cannot be written .*no space.* Those before it are there still"):
            checkpoint.save(tmp_path, 2, state_of(2))
    assert newest_step(tmp_path) == 1
    checkpoint.save(tmp_path, 3, state_of(3))
    assert names(tmp_path) == ["step-0000000001", "step-0000000003"]


@pytest.mark.parametrize("kept", [1, 2])
def test_a_run_that_goes_on_from_before_a_damaged_checkpoint_takes_it_away(kept: int, tmp_path: Path) -> None:
    for step in (10, 20):
        path = checkpoint.save(tmp_path, step, state_of(step))
    damaged(path, "state.json", "half")
    assert newest_step(tmp_path) == 10
    checkpoint.save(tmp_path, 15, state_of(15), kept=kept)
    assert names(tmp_path) == ["step-0000000010", "step-0000000015"][-kept:]
    assert newest_step(tmp_path) == 15


# ---- settings --------------------------------------------------------------------------------------------------------

ODD = Settings(
    data="/a dir/é",
    method="fa",
    train_images=100,
    validation_images=3,
    device="cpu",
    dtype="float64",
    compile=True,
    channels_last=False,
    workers=2,
    checkpoint_s=7,
    checkpoint_steps=5,
    delta_images=0,
    tensorboard=True,
    profile_steps=3,
)


@pytest.mark.parametrize("settings", [Settings(), ODD])
def test_settings_come_back_from_their_file(settings: Settings, tmp_path: Path) -> None:
    settings.check()
    (tmp_path / FILE).write_text(to_json(settings), encoding="utf-8")
    assert read_settings(tmp_path) == settings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dtype": "float16"}, "--dtype float16: expected float32 or float64"),
        ({"bf16": True, "dtype": "float64"}, "--bf16: .* Leave one of the two out"),
        ({"workers": -1}, "--workers -1: expected 0 or more"),
        ({"validation_images": -1}, "--validation-images -1: expected 0 or more"),
        ({"delta_images": -1}, "--delta-images -1: expected 0 or more"),
        ({"delta_images": 1}, "--delta-images 1: batch norm takes 2 or more"),
        ({"profile_steps": -1}, "--profile-steps -1: expected 0 or more"),
        ({"checkpoint_s": -0.1}, "--checkpoint-s -0.1: expected 0 or more"),
        ({"checkpoint_s": math.nan}, "--checkpoint-s nan: expected 0 or more"),
        ({"train_images": 0}, "--train-images 0: expected 1 or more"),
        ({"test_images": 0}, "--test-images 0: expected 1 or more"),
        ({"checkpoint_steps": 0}, "--checkpoint-steps 0: expected 1 or more"),
        ({"workers": "2"}, "--workers '2': expected a whole number"),
        ({"workers": True}, "--workers True: expected a whole number"),
        ({"checkpoint_steps": 2.5}, "--checkpoint-steps 2.5: expected a whole number or None"),
        ({"checkpoint_s": "9"}, "--checkpoint-s '9': expected a number"),
        ({"bf16": 1}, "--bf16 1: expected True or False"),
        ({"device": None}, "--device None: expected a name"),
        ({"method": 3}, "--method 3: expected a name or None"),
    ],
)
def test_settings_that_are_none_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=f"^{says}"):
        dataclasses.replace(Settings(), **change).check()


def damaged_settings() -> dict[str, str]:
    whole = json.loads(to_json(Settings()))
    return {
        "nothing": "",
        "not JSON": "{'data': 1}",
        "a list": "[]",
        "a number": "3",
        "cut short": to_json(Settings())[:60],
        "an unknown key": json.dumps({**whole, "wrokers": 2}),
        "a missing key": json.dumps({key: value for key, value in whole.items() if key != "workers"}),
        "a text for a number": json.dumps({**whole, "workers": "2"}),
        "a half worker": json.dumps({**whole, "workers": 1.5}),
        "a truth for a number": json.dumps({**whole, "workers": True}),
        "a number for a truth": json.dumps({**whole, "bf16": 0}),
        "none where one is needed": json.dumps({**whole, "device": None}),
        "a table": json.dumps({**whole, "data": {"name": "digits"}}),
    }


@pytest.mark.parametrize("how", damaged_settings())
def test_damaged_settings_are_refused_with_file_and_remedy(how: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(damaged_settings()[how], encoding="utf-8")
    with pytest.raises(RequestError, match=rf"{FILE}.*Give --resume a directory that 'neuromirror train' wrote\.$"):
        read_settings(tmp_path)


def test_settings_that_are_not_there_or_not_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=rf"{FILE}: cannot be read .* Give --resume"):
        read_settings(tmp_path)
    (tmp_path / FILE).write_bytes(b"\xff\xfe{}")
    with pytest.raises(RequestError, match=rf"{FILE}: cannot be read .* Give --resume"):
        read_settings(tmp_path)


# ---- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "cores", "processes", "expected"),
    [("cpu", 64, 1, 0), ("cuda", 8, 1, 4), ("cuda:1", 64, 8, 4), ("cuda", 64, 1, 16), ("cuda", 1, 1, 1)],
)
def test_cuda_is_given_workers_unasked(
    device: str, cores: int, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert workers_of(None, torch.device(device)) == expected
    assert workers_of(0, torch.device(device)) == 0
    assert workers_of(3, torch.device(device)) == 3


def test_devices_that_compute() -> None:
    assert device_of("cpu") == torch.device("cpu")
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["", "gpu", "tpu9", "cuda:99", "meta", "cpu:x", "xla", "hpu", "ü"])
def test_devices_that_do_not_are_refused(name: str) -> None:
    with pytest.raises(
        RequestError, match=rf"^--device {re.escape(name)}: torch cannot compute there \(.+\)\. Use --device cpu"
    ):
        device_of(name)
