"""What the plan of a training run counts: torch's own counts, and the laws that the model of many processes obeys."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import neuromirror as nm
from experiments.tiny_nets import Tables, conv_tables, dense_tables
from neuromirror.backends.torch.mirror import Mirror
from neuromirror.backends.torch.network import Network
from neuromirror.circuit.protocol import Training
from neuromirror.errors import RequestError
from neuromirror.plan import Plan
from neuromirror.rules.updater import Step
from neuromirror.training.cost import mirrored_numbers, operations_of, signal_numbers, taught_numbers
from neuromirror.training.distributed import check_ranks
from neuromirror.training.memory import memory_of
from neuromirror.training.optimizer import ForwardUpdater
from neuromirror.training.roles import Roles, roles_of
from neuromirror.training.scaling import Course, divisions, duration, efficiency, sent_bytes
from neuromirror.training.settings import Settings

METHODS = ("wm", "bp", "fa", "ss", "kp", "output_only")
TINY = {"conv": conv_tables, "dense": dense_tables}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parts_of(circuit: nm.Circuit, *, filled: bool) -> tuple[Plan, Roles, Network]:
    plan = Plan(circuit, 0)
    roles = roles_of(plan)
    network = Network(plan, roles.on, filled=filled)
    ForwardUpdater(network, roles, plan.description.training or Training())  # which freezes what no rule teaches
    return plan, roles, network


def counted(network: Network, images: int) -> tuple[int, int]:
    """Return torch's multiplications and additions forward and backward, by twos, of one image."""
    shape = network.plan.description.populations[network.input].shape
    batch = torch.zeros((images, *shape), device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        output = network(batch)
        forward = counter.get_total_flops()
        output.sum().backward()
    return forward // (2 * images), (counter.get_total_flops() - forward) // (2 * images)


# ---- operations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", TINY)
def test_operations_are_those_that_torch_counts(kind: str, method: str) -> None:
    plan, roles, network = parts_of(nm.Circuit(TINY[kind]()).method(method), filled=True)
    found = operations_of(plan, roles)
    assert (found.forward, found.backward) == counted(network, 4)


@pytest.mark.parametrize(
    ("kind", "skip"), [("conv", ["P"]), ("conv", ["W1", "W2"]), ("conv", ["W_head"]), ("dense", ["W2"])]
)
def test_below_what_has_no_b_nothing_is_computed_or_exchanged(kind: str, skip: list[str]) -> None:
    tables: Tables = TINY[kind]()
    del tables["mirroring"]
    circuit = nm.Circuit({**tables, "feedback": {"skip": skip}, "schedule": tables["schedule"][1:]})
    plan, roles, network = parts_of(circuit, filled=True)
    found = operations_of(plan, roles)
    assert (found.forward, found.backward) == counted(network, 4)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert taught_numbers(plan, roles) == sum(grad.numel() for grad in gradients)


@pytest.mark.parametrize("turns", ["each", "alternate", "together"])
@pytest.mark.parametrize("kind", TINY)
def test_operations_of_mirroring_are_those_that_torch_counts(kind: str, turns: str) -> None:
    tables: Tables = TINY[kind]()
    plan, roles, network = parts_of(
        nm.Circuit({**tables, "mirroring": {**tables["mirroring"], "turns": turns}}), filled=True
    )
    found, mirror = operations_of(plan, roles), Mirror(network)
    assert found.mirroring
    for mode in roles.mirrors:
        steps = {one.name: Step(keep=0.9, step=0.1) for one in mode.learners}
        with FlopCounterMode(display=False) as counter:
            mirror.turn(mode, examples=8, number=0, steps=steps)
        assert found.mirroring[mode.name] == counter.get_total_flops() // 16


@pytest.mark.parametrize(("name", "forward_G"), [("resnet18", 1.81), ("resnet50", 4.09)])
@pytest.mark.parametrize("method", ["bp", "wm"])
def test_the_resnets_have_the_published_operations(name: str, forward_G: float, method: str) -> None:
    """He et al. 2016 count 1.8 and 3.8 thousand million; torchvision, with its stride in the 3×3, 1.81 and 4.09."""
    plan, roles, network = parts_of(nm.load(f"imagenet/{name}_{method}"), filled=False)
    found = operations_of(plan, roles)
    assert found.forward / 1e9 == pytest.approx(forward_G, abs=0.005)
    assert (found.forward, found.backward) == counted(network, 2)
    # The first convolution has no error to hand on, and no B: 118 million products.
    stem = 64 * 3 * 49 * 112 * 112
    assert found.backward == 2 * found.forward - stem
    assert sum(found.mirroring.values()) == (2 * (found.forward - stem) if method == "wm" else 0)


# ---- exchange and memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", TINY)
def test_gradients_and_mirrored_b_are_as_large_as_counted(kind: str, method: str) -> None:
    plan, roles, network = parts_of(nm.Circuit(TINY[kind]()).method(method), filled=True)
    counted(network, 4)
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert taught_numbers(plan, roles) == sum(grad.numel() for grad in gradients)
    feedback = sum(layer.feedback.numel() for _, layer in network.weighted() if layer.feedback is not None)
    assert mirrored_numbers(plan, roles) == (feedback if method == "wm" else 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", TINY)
def test_memory_is_that_of_a_network_with_numbers(kind: str, method: str, dtype: str) -> None:
    circuit = nm.Circuit(TINY[kind]()).method(method)
    plan, roles, hollow = parts_of(circuit, filled=False)
    training = plan.description.training or Training()
    found = memory_of(hollow, roles, training, Settings(dtype=dtype))
    network = Network(plan, roles.on).to(torch.float64 if dtype == "float64" else torch.float32)
    updater = ForwardUpdater(network, roles, training)
    assert found.weights + found.feedback == sum(t.nbytes for t in network.state_dict().values())

    shape, saved = plan.description.populations[network.input].shape, dict[int, torch.Tensor]()
    own = {t.data_ptr() for t in network.state_dict().values()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(next(network.parameters()).new_zeros((7, *shape)))
    kept = sum(t.untyped_storage().nbytes() for block, t in saved.items() if block not in own)
    assert found.activations(7) == kept

    output.sum().backward()
    updater.step(1.0)
    moved = [value for state in updater.optimizer.state.values() for value in state.values()]
    assert found.momentum == sum(value.nbytes for value in moved if isinstance(value, torch.Tensor))
    assert found.gradients == found.momentum  # all of these circuits' rules have momentum


def test_a_turn_of_mirroring_holds_the_noise_and_what_it_drives() -> None:
    plan, roles, hollow = parts_of(nm.Circuit(conv_tables()), filled=False)
    assert {mode.name: signal_numbers(plan, mode) for mode in roles.mirrors} == {
        "mirror_y1": 4 * 8 * 8 + 6 * 4 * 4,
        "mirror_pool": 6 * 2 * 2 + 10,
    }
    found = memory_of(hollow, roles, Training(), Settings())
    assert found.mirroring({"mirror_y1": 10, "mirror_pool": 1000}) == 4 * 1000 * 34
    assert found.mirroring({"mirror_y1": 10, "mirror_pool": 10}, workers=4) == 4 * 3 * 352


def test_signals_of_two_bytes_take_half_the_memory_and_copies_of_the_weights() -> None:
    plan, roles, hollow = parts_of(nm.load("imagenet/resnet18_bp"), filled=False)
    training = plan.description.training or Training()
    whole = memory_of(hollow, roles, training, Settings())
    half = memory_of(Network(plan, roles.on, filled=False), roles, training, Settings(bf16=True))
    # The indices of max pooling have eight bytes all the same.
    indices = 8 * 64 * 56 * 56
    assert half.kept_per_image - indices == (whole.kept_per_image - indices) // 2
    assert half.kept - whole.kept == pytest.approx(2 * 11.7e6, rel=0.01)
    assert half.lasting == whole.lasting


# ---- many processes -------------------------------------------------------------------------------------------------

COURSES = st.builds(
    Course,
    batch=st.sampled_from([32, 256, 2048]),
    batches=st.integers(1, 10**5),
    turns=st.integers(0, 10**5),
    mirror_every=st.integers(1, 20),
    image=st.integers(1, 10**11),
    turn=st.integers(1, 10**13),
    gradient_bytes=st.integers(1, 10**9),
    feedback_bytes=st.integers(1, 10**9),
)
POWERS = st.integers(0, 10).map(lambda power: 2**power)
POSITIVE = st.floats(0.1, 1e6)


@given(batch=st.integers(1, 5000), micro=st.integers(1, 300))
def test_a_division_has_every_image_once(batch: int, micro: int) -> None:
    for one in divisions(batch, micro):
        assert one.micro_batch <= micro
        if one.workers > 1:
            assert one.workers * one.micro_batch * one.accumulation == batch
    assert {one.workers for one in divisions(batch, micro)} == {2**k for k in range(11) if batch % 2**k == 0}


@given(batch=st.integers(1, 5000), micro=st.integers(1, 300))
def test_training_takes_as_many_processes_as_a_batch_is_divided_among(batch: int, micro: int) -> None:
    for one in divisions(batch, micro):
        check_ranks(Training(batch=batch, micro_batch=one.micro_batch), one.workers)
        if one.workers > 1 and one.micro_batch < micro:  # the micro-batch of the file would not do
            with pytest.raises(RequestError, match=r"training\.micro_batch"):
                check_ranks(Training(batch=batch, micro_batch=micro), one.workers)


def test_the_paper_s_batch_goes_to_thirty_two_processes_before_batch_norm_changes() -> None:
    found = {one.workers: (one.micro_batch, one.accumulation) for one in divisions(2048, 64)}
    assert found == {1: (64, 32), 2: (64, 16), 4: (64, 8), 8: (64, 4), 16: (64, 2), 32: (64, 1)} | {
        64: (32, 1),
        128: (16, 1),
        256: (8, 1),
        512: (4, 1),
        1024: (2, 1),
    }


@given(size=st.integers(0, 10**9), power=st.integers(0, 10))
def test_a_ring_hands_every_part_round_twice(size: int, power: int) -> None:
    """Each of n parts is passed on n − 1 times to be summed, and n − 1 times to be known."""
    workers = 2**power
    assert workers * sent_bytes(size * workers, workers) == 2 * (workers - 1) * size * workers


@settings(max_examples=200)
@given(course=COURSES, workers=POWERS, throughput=POSITIVE, bandwidth=st.one_of(st.none(), st.floats(1e3, 1e12)))
def test_laws_of_many_processes(course: Course, workers: int, throughput: float, bandwidth: float | None) -> None:
    alone, shared = (duration(course, n, throughput, bandwidth) for n in (1, workers))
    found = efficiency(course, workers, throughput, bandwidth)
    assert alone.exchange == 0
    assert alone.run_s == pytest.approx(course.operations / (throughput * course.image), rel=1e-12)
    assert 0 < found <= 1 + 1e-12
    # What is not exchange is computed, by all alike: the efficiency is the share of time that is left for it.
    assert shared.exchange == pytest.approx(1 - found, abs=1e-9)
    assert shared.images_per_s <= workers * throughput * (1 + 1e-12)
    if bandwidth is None:
        assert found == pytest.approx(1, rel=1e-12)
        assert shared.run_s == pytest.approx(alone.run_s / workers, rel=1e-12)


@given(course=COURSES, workers=POWERS, throughput=POSITIVE, factor=st.floats(1.01, 100))
def test_a_faster_link_is_no_slower_and_units_do_not_matter(
    course: Course, workers: int, throughput: float, factor: float
) -> None:
    slow, fast = (duration(course, workers, throughput, 1e8 * f) for f in (1, factor))
    both = duration(course, workers, throughput * factor, 1e8 * factor)
    assert fast.run_s <= slow.run_s * (1 + 1e-12)
    assert both.run_s == pytest.approx(slow.run_s / factor, rel=1e-9)
    assert both.exchange == pytest.approx(slow.exchange, abs=1e-9)


def test_one_epoch_by_hand() -> None:
    """Of 100 batches of 32 images at 8 images/s each of four processes, which send 1.5 times 8 MB at 24 MB/s: 1.5 s."""
    course = Course(
        batch=32,
        batches=100,
        turns=50,
        mirror_every=2,
        image=10,
        turn=160,
        gradient_bytes=8_000_000,
        feedback_bytes=4_000_000,
    )
    found = duration(course, 4, 8, 24e6)
    batch_s, turn_s = 1 + 0.5, 160 / (10 * 8 * 4) + 0.25
    assert found.run_s == pytest.approx(100 * batch_s + 50 * turn_s)
    assert found.images_per_s == pytest.approx(32 / (batch_s + turn_s / 2))
    assert found.exchange == pytest.approx((100 * 0.5 + 50 * 0.25) / found.run_s)
    assert not math.isnan(efficiency(course, 4, 8))
