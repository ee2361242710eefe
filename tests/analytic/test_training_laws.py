"""What one step of training is: the circuit's own arithmetic, whatever the batch is divided into, for every method."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import neuromirror as nm
from experiments.tiny_nets import Tables, conv_tables, dense_tables
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.run import TorchEngine
from neuromirror.circuit.protocol import Training
from neuromirror.errors import CircuitError, RequestError
from neuromirror.plan import FloatArray, Plan
from neuromirror.rules.updater import PlainUpdater
from neuromirror.training.deltas import delta_angles
from neuromirror.training.loop import Trainer
from neuromirror.training.moment import go_on, state_of
from neuromirror.training.roles import roles_of
from neuromirror.training.session import arrays_of

METHODS = ("wm", "bp", "fa", "ss", "kp")
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(autouse=True)
def one_thread_and_float64() -> Iterator[None]:
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


class Random:
    """Images and labels that are drawn, in place of those of a data set."""

    def __init__(self, shape: tuple[int, ...], batch: int, steps: int = 4, classes: int = 10) -> None:
        self.shape, self.batch, self.steps_per_epoch, self.classes = shape, batch, steps, classes

    def at(self, number: int) -> tuple[Tensor, Tensor]:
        drawn = np.random.default_rng(number)
        images = torch.from_numpy(drawn.standard_normal((self.batch, *self.shape)))
        return images, torch.from_numpy(drawn.integers(0, self.classes, self.batch))

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(first_step, self.steps_per_epoch):
            yield self.at(epoch * self.steps_per_epoch + step)


def trainer_of(tables: Tables, method: str | None = None, seed: int = 0, **training: Any) -> Trainer:
    """Return a run at its beginning, on random images."""
    circuit = nm.Circuit({**tables, "training": {**tables["training"], **training}})
    plan = Plan(circuit if method is None else circuit.method(method), seed)
    found, protocol = roles_of(plan), plan.description.training
    assert protocol is not None
    network = Network(plan, found.on)
    images = Random(plan.description.populations[network.input].shape, protocol.batch)
    return Trainer(network, found, protocol, images)  # pyright: ignore[reportArgumentType]


def everything(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def moved(network: Network, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


AT_ONCE = {"mirror_epochs": 0, "warmup_epochs": 0}
"""No mirroring alone, and the peak rate from the first step on."""
NO_DECAY = {"kind": "plain", "rate": 0.05}

# ---- one engaged step is the circuit's own arithmetic ---------------------------------------------------------------


def plain_tables(updater: Tables) -> Tables:
    tables = dense_tables((64, 12, 8, 10), loss="squared", **AT_ONCE)
    tables["cells"]["cell"] = {"activation": "tanh"}
    tables["rules"]["forward"]["updater"] = updater
    tables["rules"]["free"]["updater"] = {**NO_DECAY, "rate": updater["rate"]}
    tables["feedback"] = {"skip": ["W1"]}
    del tables["training"]["rate"]
    return tables


def own_arithmetic(plan: Plan, images: Tensor, labels: Tensor) -> tuple[dict[str, FloatArray], float]:
    """Return all arrays after one batch, by the engine that runs circuits with the rules that the file names."""
    engine = TorchEngine(plan, dtype=torch.float64, device=torch.device("cpu"))
    mode = plan.modes["engaged"]
    (compared,) = mode.compare
    wanted = torch.nn.functional.one_hot(labels, 10).to(torch.float64).numpy()
    with torch.no_grad():
        engine.present(mode, {"y0": images.numpy()}, {}, {compared: wanted}, len(images))
        zero = {name: np.zeros(size) for name, size in plan.sizes.items()}
        for learner in mode.learners:
            updater = learner.rule.updater
            assert isinstance(updater, PlainUpdater)
            engine.learn(mode, learner, updater.step(examples_seen=0, examples=len(images), window_s=1.0), zero)
        engine.refresh()
    loss = engine.loss(mode)
    assert loss is not None
    return engine.arrays(), loss


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "updater",
    [
        {"kind": "plain", "rate": 0.05},
        {"kind": "plain", "rate": 0.05, "decay": 0.3},
        {"kind": "plain", "rate": 0.05, "decay": 0.02, "decay_times_rate": False},
    ],
    ids=["no decay", "decay", "literal decay"],
)
@pytest.mark.parametrize("method", METHODS)
def test_an_engaged_step_is_the_rules_that_the_file_names(method: str, updater: Tables, seed: int) -> None:
    trainer = trainer_of(plain_tables(updater), method, seed, batch=256, micro_batch=256)
    before = arrays_of(trainer.network)
    images, labels = trainer.batches.at(0)  # pyright: ignore[reportAttributeAccessIssue]
    trainer.roles = type(trainer.roles)(**{**vars(trainer.roles), "mirrors": ()})  # awake alone
    trainer.advance()
    found = arrays_of(trainer.network)
    expected, loss = own_arithmetic(trainer.network.plan, images, labels)
    assert trainer.tally.loss / trainer.tally.images == pytest.approx(loss, rel=1e-12)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, **EXACT, err_msg=name)
    learned = {name for name in before if name[0] == "W" or name.endswith(".bias")}
    assert {name for name in found if np.any(found[name] != before[name])} >= learned
    assert max(float(np.abs(found[name] - before[name]).max()) for name in learned) > 1e-4


# ---- no B, no error --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [["W1", "W2"], ["W2"], ["W3"]], ids="-".join)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("method", ["wm", "fa", "bp", "ss", "kp"])
def test_below_a_w_without_a_b_nothing_learns_from_errors_as_in_run(method: str, decay: float, skip: list[str]) -> None:
    """Only decay moves an array that no error reaches, as in `run`; without decay it keeps its bits."""
    tables = plain_tables({"kind": "plain", "rate": 0.05, "decay": decay})
    tables["feedback"]["skip"] = skip
    trainer = trainer_of(tables, method, batch=256, micro_batch=128)
    trainer.roles = type(trainer.roles)(**{**vars(trainer.roles), "mirrors": ()})  # awake alone
    before = arrays_of(trainer.network)
    images, labels = trainer.batches.at(0)  # pyright: ignore[reportAttributeAccessIssue]
    trainer.advance()
    found = arrays_of(trainer.network)
    expected, _ = own_arithmetic(trainer.network.plan, images, labels)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, **EXACT, err_msg=name)
    lowest = 3 if "W3" in skip else 2  # the layer above which every W has a B
    reached = {f"W{layer}" for layer in range(lowest, 4)} | {f"y{layer}.bias" for layer in range(lowest, 4)}
    assert all(np.any(found[name] != before[name]) for name in reached)
    for name in before.keys() & {"W1", "W2", "y1.bias", "y2.bias"} - reached:
        rate = 0.05 if decay and name[0] == "W" else 0.0  # biases have a rule of their own, without decay
        np.testing.assert_allclose(found[name], before[name] * (1 - rate * decay), **EXACT, err_msg=name)
        assert rate or np.array_equal(found[name], before[name])


def residual_tables() -> Tables:
    """Return a network with every kind of projection and of norm, in which each can be the only way down."""
    normed = {"cell": "cell", "norm": {"kind": "batch_norm", "when": "after"}, "bias": {"init": "normal", "gain": 0.1}}
    tables = conv_tables(**AT_ONCE)
    tables["populations"] |= {
        "y2": {
            "path": "forward",
            "layer": 2,
            "shape": [6, 4, 4],
            **normed,
            "norm": {"kind": "batch_norm", "when": "before"},
        },
        "sum": {"path": "forward", "layer": 3, "shape": [6, 4, 4], "cell": "cell"},
        "pool": {"path": "forward", "layer": 4, "shape": [6, 2, 2], "cell": "linear"},
        "dense": {
            "path": "forward",
            "layer": 5,
            "shape": [12],
            "cell": "cell",
            "bias": {"init": "normal", "gain": 0.1},
        },
        "head": {**tables["populations"]["head"], "layer": 6},
    }
    tables["projections"] |= {
        "S": {"source": "y2", "target": "sum", "connector": "shortcut", "join": "before"},
        "P": {**tables["projections"]["P"], "source": "sum"},
        "W_dense": {"source": "pool", "target": "dense", "connector": "all_to_all", "weight": {}},
        "W_head": {"source": "dense", "target": "head", "connector": "all_to_all", "weight": {}},
    }
    for rule in ("forward", "free"):
        tables["rules"][rule]["updater"] = {"kind": "sgd", "rate": 0.1, "momentum": 0.9, "nesterov": True}
    return tables


WAY_DOWN = {"W_head": "dense", "W_dense": "pool", "P": "sum", "S": "y2", "W2": "y1", "W1": "image"}
"""Every projection from the head down, and the population that it leads from."""


@pytest.mark.parametrize("cut", WAY_DOWN)
def test_whatever_kind_of_projection_lacks_a_b_all_below_keeps_its_bits(cut: str) -> None:
    tables = residual_tables()
    tables["feedback"]["skip"] = [cut]
    trainer = trainer_of(tables)
    trainer.roles = type(trainer.roles)(**{**vars(trainer.roles), "mirrors": ()})
    before = arrays_of(trainer.network)
    norms = {name: value.clone() for name, value in trainer.network.norms.named_parameters()}
    trainer.advance()
    trainer.advance()
    order = list(WAY_DOWN.values())
    below = set(order[order.index(WAY_DOWN[cut]) :])
    projections = trainer.network.plan.description.projections
    for name, array in arrays_of(trainer.network).items():
        if name in trainer.network.plan.mirrors:
            continue
        target = name.removesuffix(".bias") if name.endswith(".bias") else projections[name].target
        assert np.array_equal(array, before[name]) == (target in below), name
    for name, value in trainer.network.norms.named_parameters():
        assert torch.equal(value, norms[name]) == (name.partition(".")[0] in below), name


def test_delta_below_a_w_without_a_b_has_no_angle() -> None:
    tables = residual_tables()
    tables["feedback"]["skip"] = ["P"]
    found = measured(trainer_of(tables))
    assert {name for name, angle in found.items() if np.isnan(angle)} == {"y1", "y2"}


def test_training_of_which_no_error_reaches_anything_is_refused() -> None:
    tables = conv_tables(**AT_ONCE)
    tables["feedback"]["skip"] = ["W_head"]
    tables["modes"]["engaged"]["learn"] = {"W1": "forward", "y2.norm": "free"}
    with pytest.raises(RequestError, match=r"no error reaches W1 or y2\.norm"):
        trainer_of(tables)


def test_a_network_passes_no_slope_that_the_file_lacks() -> None:
    circuit = nm.Circuit(dense_tables((64, 12, 8, 10))).expand().without("g2")
    with pytest.raises(CircuitError, match=r"in training errors pass y2 with the slope of its cells \(eq\. 3\)"):
        roles_of(Plan(circuit, 0))


# ---- rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "rate", "times"), [(512, None, 2.0), (64, None, 0.25), (64, 0.05, 1.0)])
def test_a_step_is_in_proportion_to_the_batch_unless_the_protocol_has_a_rate(
    batch: int, rate: float | None, times: float
) -> None:
    tables = plain_tables(NO_DECAY)
    if rate is not None:
        tables["training"]["rate"] = rate
    trainer = trainer_of(tables, "bp", batch=batch, micro_batch=batch)
    before = arrays_of(trainer.network)
    trainer.advance()
    expected, _ = own_arithmetic(trainer.network.plan, *trainer.batches.at(0))  # pyright: ignore[reportAttributeAccessIssue]
    for name, array in arrays_of(trainer.network).items():
        np.testing.assert_allclose(array - before[name], times * (expected[name] - before[name]), **EXACT, err_msg=name)


@pytest.mark.parametrize("decay_times_rate", [True, False])
def test_decay_of_a_plain_updater_is_the_file_s_at_the_peak_whatever_the_peak(decay_times_rate: bool) -> None:
    updater = {"kind": "plain", "rate": 0.05, "decay": 0.02, "decay_times_rate": decay_times_rate}
    trainer = trainer_of(plain_tables(updater), "bp", rate=0.4)
    W = next(layer for name, layer in trainer.network.weighted() if name == "W2").weight
    before = W.detach().clone()
    W.grad = torch.zeros_like(W)
    trainer.updater.step(1.0)
    torch.testing.assert_close(W.detach(), before * (1 - (0.4 * 0.02 if decay_times_rate else 0.02)), **EXACT)


# ---- parts of a batch ------------------------------------------------------------------------------------------------


def after_steps(tables: Tables, method: str, micro_batch: int, steps: int = 3) -> tuple[Trainer, dict[str, Tensor]]:
    trainer = trainer_of(tables, method, micro_batch=micro_batch, **AT_ONCE)
    for _ in range(steps):
        trainer.advance()
    return trainer, everything(trainer.network)


@pytest.mark.parametrize("micro_batch", [1, 4, 7, 19, 50])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_in_parts_is_the_batch_as_a_whole(method: str, micro_batch: int) -> None:
    tables = dense_tables((64, 12, 8, 10))
    whole, expected = after_steps(tables, method, 20)
    parts, found = after_steps(tables, method, micro_batch)
    for name, array in expected.items():
        torch.testing.assert_close(found[name], array, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
    assert parts.tally.images == whole.tally.images == 60
    assert parts.tally.wrong == whole.tally.wrong
    assert parts.tally.loss == pytest.approx(whole.tally.loss, rel=1e-12)


def test_with_batch_norm_each_part_has_its_own_statistics() -> None:
    trainer = trainer_of(conv_tables(), "bp", micro_batch=8, **AT_ONCE)
    alone = copy.deepcopy(trainer.network)
    images, labels = trainer.batches.at(0)  # pyright: ignore[reportAttributeAccessIssue]
    mean, var = torch.zeros(4), torch.ones(4)
    with torch.no_grad():
        for part in images.split(8):  # 8, 8 and 4
            W1 = alone.projections["W1"]
            signal = torch.relu(W1(part))
            mean = 0.9 * mean + 0.1 * signal.mean(dim=(0, 2, 3))
            var = 0.9 * var + 0.1 * signal.var(dim=(0, 2, 3))
    alone.train()
    loss = sum(trainer.loss(alone(p), those) * len(those) / 20 for p, those in zip(images.split(8), labels.split(8)))
    assert isinstance(loss, Tensor)
    loss.backward()
    expected = {name: p.grad for name, p in alone.named_parameters()}
    before = everything(trainer.network)
    for group in trainer.updater.optimizer.param_groups:
        group.update(momentum=0.0, nesterov=False, weight_decay=0.0)
    trainer.advance()
    for name, p in trainer.network.named_parameters():
        grad = expected[name]
        assert grad is not None
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * grad, **EXACT, msg=lambda m, n=name: f"{n}: {m}")
    found = trainer.network.norms["y1"]
    torch.testing.assert_close(found.running_mean, mean, **EXACT)
    torch.testing.assert_close(found.running_var, var, **EXACT)
    assert int(found.num_batches_tracked) == 3  # pyright: ignore[reportArgumentType]
    _, whole = after_steps(conv_tables(), "bp", 20, steps=1)
    assert not torch.allclose(whole["projections.W1.weight"], trainer.network.projections["W1"].weight, rtol=1e-4)


# ---- updaters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])
def test_groups_have_the_updaters_that_the_file_says(tables: Tables) -> None:
    tables["rules"]["forward"]["updater"]["momentum"] = 0.8
    trainer = trainer_of(tables, "kp", rate=0.25)
    shown = {id(p): name for name, p in [*trainer.network.named_parameters(), *trainer.network.named_buffers()]}
    found = {}
    for group in trainer.updater.optimizer.param_groups:
        for parameter in group["params"]:
            found[shown[id(parameter)]] = tuple(group[k] for k in ("peak", "momentum", "nesterov", "weight_decay"))
    parameters = {name for name, _ in trainer.network.named_parameters()}
    feedback = {name for name, _ in trainer.network.named_buffers() if name.endswith(".feedback")}
    assert found.keys() == parameters | feedback
    for name, group in found.items():
        decayed = name.startswith("projections.")
        assert group == ((0.25, 0.8, True, 1e-3) if decayed else (0.25, 0.9, True, 0.0)), name


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_updates_are_those_of_momentum_and_weight_decay(momentum: float, nesterov: bool) -> None:
    """v ← μ·v + g + λ·w; w ← w − η·(g + λ·w + μ·v) with Nesterov's formula, w ← w − η·v without."""
    tables = dense_tables((64, 12, 8, 10))
    tables["rules"]["forward"]["updater"].update(momentum=momentum, nesterov=nesterov, decay=0.05)
    trainer = trainer_of(tables, "fa", rate=0.3)
    W = next(layer for name, layer in trainer.network.weighted() if name == "W2").weight
    w, v = W.detach().clone(), torch.zeros_like(W)
    generator = torch.Generator().manual_seed(0)
    for factor in (0.25, 1.0, 1.0, 0.1):
        gradient = torch.randn(W.shape, generator=generator)
        W.grad = gradient.clone()
        trainer.updater.step(factor)
        gradient = gradient + 0.05 * w
        v = momentum * v + gradient
        w = w - 0.3 * factor * (gradient + momentum * v if nesterov else v)
        torch.testing.assert_close(W.detach(), w, **EXACT)
        assert W.grad is None


# ---- Kolen-Pollack ---------------------------------------------------------------------------------------------------


def transposes(network: Network) -> dict[str, Tensor]:
    """Return B − Wᵀ of every layer that has a B."""
    return {
        name: layer.feedback - (layer.weight.T if layer.weight.ndim == 2 else layer.weight).detach()
        for name, layer in network.weighted()
        if layer.feedback is not None
    }


@pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])
def test_kolen_pollack_forgets_how_b_differed_by_the_updater_alone(tables: Tables) -> None:
    """B − Wᵀ has a gradient of zero: it follows the updater's recursion, and vanishes whatever is learned."""
    tables["rules"]["forward"]["updater"]["decay"] = 0.2
    trainer = trainer_of(
        tables, "kp", rate=0.1, epochs=100, warmup_epochs=1, mirror_epochs=0, drops=[20], drop_factor=0.5
    )
    assert trainer.length.mirror == 0
    expected, began = transposes(trainer.network), transposes(trainer.network)
    assert len(expected) == 2
    velocity = {name: torch.zeros_like(array) for name, array in expected.items()}
    for _ in range(120):
        rate = 0.1 * trainer.rate_factor
        trainer.advance()
        for name, difference in expected.items():
            gradient = 0.2 * difference
            velocity[name] = 0.9 * velocity[name] + gradient
            expected[name] = difference - rate * (gradient + 0.9 * velocity[name])
        for name, difference in transposes(trainer.network).items():
            torch.testing.assert_close(difference, expected[name], **EXACT)
    for name, difference in transposes(trainer.network).items():
        assert float(difference.norm()) < 1e-3 * float(began[name].norm())


# ---- who moves when --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])
def test_in_mirror_only_epochs_every_b_moves_and_nothing_else(tables: Tables) -> None:
    trainer = trainer_of(tables, "wm", epochs=3, mirror_epochs=1.5)
    assert trainer.length.mirror == 6
    before = everything(trainer.network)
    feedback = {name for name in before if name.endswith(".feedback")}
    for _ in range(6):
        step_before = everything(trainer.network)
        trainer.advance()
        assert moved(trainer.network, step_before) == feedback
    assert moved(trainer.network, before) == feedback
    assert trainer.tally.images == 0
    trainer.advance()
    assert trainer.tally.images == 20
    # The first engaged step has a rate of zero, but batch norm has seen images.
    statistics = {n for n in before if n.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")}
    assert moved(trainer.network, before) == feedback | statistics
    trainer.advance()
    assert moved(trainer.network, before) == set(before)


@pytest.mark.parametrize("anew", [True, False])
def test_a_run_goes_on_from_its_state_in_a_new_network_as_in_its_own(anew: bool) -> None:
    """Of B's growing memory, too, which counts the examples that it has seen."""
    tables = conv_tables(epochs=6, mirror_epochs=1)
    tables["rules"]["mirror"]["updater"] = {"decay": 0.5, "memory": 400, "memory_from": 20}
    trainer = trainer_of(tables, "wm")
    for _ in range(7):
        trainer.advance()
    state, other = copy.deepcopy(state_of(trainer)), trainer_of(tables, "wm", seed=0 if not anew else 5)
    if anew:
        other.network.plan = trainer.network.plan
    for _ in range(6):
        trainer.advance()
    expected, tally = everything(trainer.network), vars(trainer.tally).copy()
    going = other if anew else trainer
    go_on(going, state)
    assert going.step == 7
    for _ in range(6):
        going.advance()
    assert moved(going.network, expected) == set()
    assert vars(going.tally) == tally


def test_mirror_turns_leave_running_statistics_and_gradients_alone() -> None:
    trainer = trainer_of(conv_tables(), "wm", **AT_ONCE)
    for _ in range(3):
        trainer.advance()
    before = everything(trainer.network)
    trainer.mirror_all(1.0)
    assert moved(trainer.network, before) == {"projections.W2.feedback", "projections.W_head.feedback"}
    assert all(p.grad is None for p in trainer.network.parameters())


@pytest.mark.parametrize("every", [1, 2, 3])
def test_awake_b_mirrors_after_every_so_many_batches(every: int) -> None:
    trainer = trainer_of(conv_tables(), "wm", mirror_every=every, mirror_epochs=0.5, warmup_epochs=0, epochs=3)
    turns = []
    for _ in range(trainer.length.total):
        before = everything(trainer.network)
        trainer.advance()
        turns.append("projections.W2.feedback" in moved(trainer.network, before))
    assert turns == [True] * 2 + [(step + 1) % every == 0 for step in range(10)]


@pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])
def test_under_feedback_alignment_b_stays_as_it_is(tables: Tables) -> None:
    trainer = trainer_of(tables, "fa", **AT_ONCE)
    before = everything(trainer.network)
    for _ in range(8):
        trainer.advance()
    assert moved(trainer.network, before) == {name for name in before if not name.endswith(".feedback")}


@pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])
def test_under_sign_symmetry_b_has_the_signs_of_w_and_its_first_magnitudes(tables: Tables) -> None:
    trainer = trainer_of(tables, "ss", rate=1.0, **AT_ONCE)
    began = arrays_of(trainer.network)
    mirrors = trainer.network.plan.mirrors
    flipped = 0
    for _ in range(8):
        trainer.advance()
        arrays = arrays_of(trainer.network)
        for b, w in mirrors.items():
            transposed = arrays[w].T if arrays[w].ndim == 2 else arrays[w]
            np.testing.assert_array_equal(np.abs(arrays[b]), np.abs(began[b]))
            np.testing.assert_array_equal(np.sign(arrays[b]), np.sign(transposed))
            flipped += int(np.sum(np.sign(arrays[b]) != np.sign(began[b])))
    assert flipped > 0


def test_with_follows_drops_the_memory_of_b_is_as_much_longer() -> None:
    """After each drop of the rate of W, and as the file says before: alone, and while the rate warms up."""
    trainer = trainer_of(
        conv_tables(),
        "wm",
        mirror_memory="follows_drops",
        mirror_epochs=0.5,
        warmup_epochs=0.5,
        drops=[1, 1.5],
        epochs=2,
    )
    forgotten = []

    def noted(mode: Any, *, examples: int, number: int, steps: Any) -> None:
        forgotten.extend(1 - step.keep for step in steps.values())

    trainer.mirror.turn = noted
    for _ in range(7):
        trainer.advance()
    expected = [0.05 * part for part in (1, 1, 1, 1, 0.1, 0.1, 0.01) for _ in range(2)]
    np.testing.assert_allclose(forgotten, expected, rtol=1e-12)


# ---- δ angles --------------------------------------------------------------------------------------------------------


def measured(trainer: Trainer, network: Network | None = None) -> dict[str, float]:
    images, labels = trainer.batches.at(77)  # pyright: ignore[reportAttributeAccessIssue]
    found = delta_angles(network or trainer.network, images, labels, trainer.loss)
    assert found.vector.keys() == found.examples.keys()
    return found.vector


def set_feedback(network: Network, times: float = 1.0) -> None:
    with torch.no_grad():
        for _, layer in network.weighted():
            if layer.feedback is not None:
                layer.feedback.copy_(times * (layer.weight if layer.weight.ndim == 4 else layer.weight.T))


NETS = pytest.mark.parametrize("tables", [conv_tables(), dense_tables((64, 12, 8, 10))], ids=["conv", "dense"])


@NETS
def test_delta_angles_of_backprop_and_of_b_the_transpose_are_zero(tables: Tables) -> None:
    assert set(measured(trainer_of(tables, "bp")).values()) == {0.0}
    by_hand = trainer_of(tables, "fa")
    assert max(measured(by_hand).values()) > 45
    set_feedback(by_hand.network)
    assert max(measured(by_hand).values()) < 1e-5  # δ are compared as float32


@NETS
def test_delta_angles_of_feedback_alignment_are_large_below_the_head(tables: Tables) -> None:
    found = measured(trainer_of(tables, "fa"))
    *lower, head = found.values()
    assert head == 0
    assert len(lower) == 2
    assert min(lower) > 45


@NETS
def test_delta_angles_do_not_depend_on_how_large_b_is(tables: Tables) -> None:
    trainer = trainer_of(tables, "fa")
    found = measured(trainer)
    with torch.no_grad():
        for times, (_, layer) in zip((0.3, 7.0, 40.0), trainer.network.weighted()):
            if layer.feedback is not None:
                layer.feedback.mul_(times)
    assert measured(trainer) == pytest.approx(found, abs=1e-4)
    set_feedback(trainer.network, -1.0)
    assert max(measured(trainer).values()) > 90


@NETS
@pytest.mark.parametrize("training", [True, False])
def test_measuring_delta_leaves_the_network_alone(tables: Tables, training: bool) -> None:
    trainer = trainer_of(tables, "fa")
    trainer.network.train(training)
    before = everything(trainer.network)
    modes = [module.training for module in trainer.network.modules()]
    transports = [layer.transport for _, layer in trainer.network.weighted()]
    first = measured(trainer)
    assert moved(trainer.network, before) == set()
    assert [module.training for module in trainer.network.modules()] == modes
    assert [layer.transport for _, layer in trainer.network.weighted()] == transports
    assert all(p.grad is None for p in trainer.network.parameters())
    trainer.network.train(not training)
    assert measured(trainer) == first


@pytest.mark.parametrize("learn", [{"W_head": "forward"}, {"y2.norm": "free"}, {"head.bias": "free"}])
def test_delta_is_measured_below_all_that_learns(learn: dict[str, str]) -> None:
    tables = conv_tables()
    tables["modes"]["engaged"]["learn"] = learn
    trainer = trainer_of(tables, "fa", **AT_ONCE)
    assert measured(trainer).keys() == {"y1", "y2", "head"}
    assert not any(np.isnan(angle) for angle in measured(trainer).values())
    before = everything(trainer.network)
    for _ in range(2):
        trainer.advance()
    learned = {"projections.W_head.weight", "norms.y2.weight", "norms.y2.bias", "biases.head"}
    (name,) = learn
    mine = {
        "W_head": {"projections.W_head.weight"},
        "y2.norm": {"norms.y2.weight", "norms.y2.bias"},
        "head.bias": {"biases.head"},
    }
    assert moved(trainer.network, before) & learned == mine[name]


def test_protocol_defaults_are_those_of_the_paper() -> None:
    """C.1 and C.2, but for the batch, which is 2048 there, and its parts of 64 images on 32 workers."""
    found = Training()
    assert (found.warmup_epochs, found.drops, found.drop_factor) == (6, (32, 62, 82), 0.1)
    assert (found.mirror_epochs, found.mirror_every, found.mirror_examples, found.micro_batch) == (2, 1, None, 64)
    assert (found.mirror_memory, found.mirror_means, found.loss) == ("fixed", "channel", "cross_entropy")
