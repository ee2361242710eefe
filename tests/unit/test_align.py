"""Feedback weights by mirroring alone, for models of torch: how near they come, and what stays as it is.

Tests of chance have fixed seeds; each says how often it would fail with others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

import neuromirror as nm
from neuromirror.backends.torch.feedback import FeedbackConv2d, FeedbackLinear
from neuromirror.errors import RequestError
from neuromirror.measure.alignment import angle_deg
from neuromirror.measure.theory import rate_angle_deg


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def model() -> nn.Sequential:
    """Return convolutions and linear layers of several kinds, and layers of other kinds between them."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(6, 8, (3, 2), stride=2, bias=False), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 20),
        nn.ReLU(),
        nn.Linear(20, 5, bias=False),
    )


NAMES = ["0", "3.0", "6", "8"]


# ---- how near --------------------------------------------------------------------------------------------------------


LAYERS = {
    "linear": lambda: nn.Linear(40, 30),
    "unbiased": lambda: nn.Linear(12, 60, bias=False),
    "conv": lambda: nn.Conv2d(6, 24, 3, padding=1),
    "strided": lambda: nn.Conv2d(8, 20, 3, stride=2),
    "tall": lambda: nn.Conv2d(2, 12, (19, 1)),
}


@pytest.mark.parametrize("phi", ["relu", "linear"])
@pytest.mark.parametrize("asked_deg", [5.0, 10.0])
@pytest.mark.parametrize("kind", LAYERS)
def test_angles_are_those_that_were_asked_for(kind: str, asked_deg: float, phi: str) -> None:
    """Within 15%, as the median of nine seeds; with others one of all cases would fail once in two thousand times."""
    layer = LAYERS[kind]()
    found = [nm.align(layer, angle_deg=asked_deg, phi=phi, seed=seed) for seed in range(9)]
    tangents = [math.tan(math.radians(one.angles_deg[""])) for one in found]
    assert float(np.median(tangents)) == pytest.approx(math.tan(math.radians(asked_deg)), rel=0.15)
    assert len(set(tangents)) == 9
    # B tends to Wᵀ itself, whose gain is 1; a single seed strayed by up to 8%.
    assert float(np.median([one.gain[""] for one in found])) == pytest.approx(1.0, abs=0.04)


def test_examples_are_as_many_as_the_law_asks_for() -> None:
    wanted = nm.align(model(), angle_deg=10.0).examples
    tan_squared = math.tan(math.radians(10.0)) ** 2
    for name, inputs, positions in (("0", 27, 16 * 16), ("3.0", 36, 7 * 8), ("6", 8, 1), ("8", 20, 1)):
        of_one = math.tan(math.radians(rate_angle_deg(inputs, positions, "relu"))) ** 2
        assert wanted[name] == math.ceil(of_one / tan_squared)


def test_angles_fall_as_the_root_of_the_examples() -> None:
    """Medians of nine seeds, whose ratio strayed from 4 by 20% never in a hundred thousand resampled times."""
    layer = nn.Linear(30, 30)
    few, many = (
        float(
            np.median(
                [math.tan(math.radians(nm.align(layer, examples=n, seed=seed).angles_deg[""])) for seed in range(9)]
            )
        )
        for n in (200, 3200)
    )
    assert few / many == pytest.approx(4.0, rel=0.2)


@pytest.mark.parametrize("chunk", [1, 100, 1000, 10**9])
def test_noise_in_parts_averages_over_all_examples_alike(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few numbers are held at a time, the angle is that of all examples together."""
    monkeypatch.setattr("neuromirror.training.align.CHUNK", chunk)
    layer = nn.Linear(20, 20)
    found = nm.align(layer, examples=2001, phi="linear", seed=1)
    # Parts of two examples lose half of them to their own means; larger parts lose little.
    parts = max(2, chunk // 20)
    used = 2001 * (1 - 1 / min(parts, 2001))
    expected = math.tan(math.radians(rate_angle_deg(20, used, "linear")))
    assert math.tan(math.radians(found.angles_deg[""])) == pytest.approx(expected, rel=0.3)
    assert found.examples == {"": 2001}


def test_b_does_not_depend_on_biases_or_on_the_b_that_was_there() -> None:
    layer = nn.Linear(20, 10)
    first = nm.align(layer, seed=3)
    with torch.no_grad():
        layer.bias.fill_(100.0)
        first.model.feedback.fill_(1e6)
    torch.testing.assert_close(nm.align(first.model, seed=3).model.feedback, nm.align(layer, seed=3).model.feedback)
    assert nm.align(first.model, seed=3).angles_deg[""] < 15


def test_angle_and_gain_are_those_of_the_layers_that_come_back() -> None:
    found = nm.align(model(), seed=2)
    for name, layer in found.model.named_modules():
        if isinstance(layer, FeedbackConv2d | FeedbackLinear):
            B, W = layer.feedback.double().numpy(), layer.weight.detach().double().numpy()
            assert found.angles_deg[name] == pytest.approx(angle_deg(B, W), abs=1e-9)
            assert found.gain[name] == pytest.approx(np.vdot(B if B.ndim == 4 else B.T, W) / np.vdot(W, W), rel=1e-6)
            assert not layer.feedback.requires_grad


# ---- what stays as it is ---------------------------------------------------------------------------------------------


def test_the_original_is_untouched_when_it_is_copied() -> None:
    original = model()
    before = copy.deepcopy(original.state_dict())
    kinds = [type(module) for module in original.modules()]
    found = nm.align(original)
    assert [type(module) for module in original.modules()] == kinds
    assert original.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())
    assert found.model is not original
    assert all(p.grad is None for p in found.model.parameters())


def test_in_place_the_model_is_the_same_with_the_same_parameters() -> None:
    original = model()
    parameters = dict(original.named_parameters())
    found = nm.align(original, copied=False)
    assert found.model is original
    assert dict(original.named_parameters()).keys() == parameters.keys()
    assert all(parameter is parameters[name] for name, parameter in original.named_parameters())
    assert [name for name, m in original.named_modules() if isinstance(m, FeedbackConv2d | FeedbackLinear)] == NAMES


@pytest.mark.parametrize("copied", [True, False])
def test_weights_statistics_outputs_and_mode_are_the_same_bit_by_bit(copied: bool) -> None:
    original = model().eval()
    images = torch.randn(4, 3, 12, 12)
    before, output = copy.deepcopy(original.state_dict()), original(images)
    found = nm.align(original, copied=copied).model
    after = found.state_dict()
    assert after.keys() == before.keys() | {f"{name}.feedback" for name in NAMES}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(found(images), output)
    assert not any(module.training for module in found.modules())


def test_errors_flow_through_b_afterwards() -> None:
    found = nm.align(model(), angle_deg=5.0)
    images = torch.randn(4, 3, 12, 12, requires_grad=True)
    mirrored = torch.autograd.grad(found.model(images).square().sum(), images)[0]
    for layer in found.model.modules():
        if isinstance(layer, FeedbackConv2d | FeedbackLinear):
            layer.transport = "exact"
    true = torch.autograd.grad(found.model(images).square().sum(), images)[0]
    cosine = torch.nn.functional.cosine_similarity(mirrored.flatten(), true.flatten(), dim=0)
    assert 0 < math.degrees(math.acos(float(cosine))) < 20


def test_noise_is_that_of_the_seed_and_no_other_random_numbers_are_used() -> None:
    original = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    one, two, other = (nm.align(original, seed=seed) for seed in (0, 0, 1))
    for name in ("0.feedback", "1.feedback"):
        assert torch.equal(one.model.state_dict()[name], two.model.state_dict()[name])
        assert not torch.equal(one.model.state_dict()[name], other.model.state_dict()[name])
    with torch.no_grad():
        original[1].weight.copy_(original[0].weight)
    alike = nm.align(original).model.state_dict()
    assert not torch.equal(alike["0.feedback"], alike["1.feedback"])  # each layer has noise of its own


# ---- which layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("layer", [nn.Linear(10, 4), nn.Conv2d(2, 4, 3)], ids=["linear", "conv"])
def test_a_lone_layer_becomes_one_with_feedback(layer: nn.Module, copied: bool) -> None:
    found = nm.align(layer, copied=copied)
    assert isinstance(found.model, FeedbackConv2d | FeedbackLinear)
    assert list(found.angles_deg) == [""]
    assert found.angles_deg[""] < 20
    assert (found.model.weight is layer.weight) == (not copied)
    assert str(found).startswith("  ")


def test_layers_that_can_have_no_b_are_left_with_the_reason() -> None:
    class Own(nn.Linear):
        pass

    original = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Sequential(nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding="same")),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.ConvTranspose2d(4, 4, 3),
        FeedbackConv2d(4, 4, 1, transport="exact"),
        FeedbackConv2d(4, 4, 1, transport="sign"),
        nn.Flatten(),
        nn.Linear(10, 3),
        Own(3, 3),
    )
    found = nm.align(original)
    assert list(found.angles_deg) == list(found.gain) == list(found.examples) == ["7"]
    reasons = {"0": "groups = 2", "1.0": "dilation", "1.1": "not 'same'", "2": "circular", "4": "exact", "5": "sign"}
    assert found.left.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in found.left[name]
    text = str(found).splitlines()
    assert len(text) == 7
    assert text[0].split()[:2] == ["7", f"{found.angles_deg['7']:.1f}°"]
    assert text[1].startswith("0: left as it is: feedback convolutions have groups = 1")


def test_a_layer_that_is_used_twice_stays_one_layer() -> None:
    shared = nn.Linear(6, 6)
    original = nn.ModuleDict({"first": shared, "again": shared})
    found = nm.align(original, copied=False).model
    assert found["first"] is found["again"]


def test_numbers_keep_their_type() -> None:
    found = nm.align(nn.Linear(10, 4).double())
    assert found.model.feedback.dtype == torch.float64
    assert found.angles_deg[""] < 20


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"phi": "tanh"}, r"^phi 'tanh': There are: linear, relu\.$"),
        ({"phi": "rleu"}, r"^phi 'rleu': Did you mean 'relu'\?$"),
        ({"examples": 1}, r"^examples 1: expected a whole number from 2\.$"),
        ({"examples": 0}, r"^examples 0: expected a whole number from 2\.$"),
        ({"examples": -5}, r"^examples -5: expected a whole number from 2\.$"),
        ({"examples": 2.5}, r"^examples 2\.5: expected "),
        ({"examples": True}, r"^examples True: expected "),
        ({"angle_deg": 0}, r"^angle_deg 0: expected an angle between 0 and 90\.$"),
        ({"angle_deg": 90}, r"^angle_deg 90: expected"),
        ({"angle_deg": math.nan}, r"^angle_deg nan: expected"),
        ({"seed": -1}, r"^seed -1: expected a whole number"),
        ({"seed": 0.5}, r"^seed 0\.5: expected a whole number"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], says: str) -> None:
    original = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(RequestError, match=says):
        nm.align(original, copied=False, **options)  # pyright: ignore[reportArgumentType]
    assert type(original[0]) is nn.Linear


@pytest.mark.parametrize("original", [nn.ReLU(), nn.Sequential(), nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))])
def test_models_without_such_a_layer_are_refused(original: nn.Module) -> None:
    with pytest.raises(RequestError, match=r"^align: the model has no nn\.Conv2d or nn\.Linear that could have a B\.$"):
        nm.align(original)
