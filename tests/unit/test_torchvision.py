"""ResNets of torchvision: the same weights give the same outputs and gradients; what does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import neuromirror as nm
from neuromirror.backends.torch.network import Network
from neuromirror.backends.torch.torchvision_names import torchvision_names
from neuromirror.backends.torch.weight_files import load_weights, save_weights
from neuromirror.backends.torch.weights import (
    feedback_state,
    load_feedback,
    load_state_dict,
    norm_order,
    state_dict_of,
)
from neuromirror.errors import RequestError
from neuromirror.plan import make_plan

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12}
SMALL: dict[str, Any] = {"size": (64, 64), "classes": 10}
FIRST = ["populations.stem.norm.when=before"]
FIRST += [f"motifs.{motif}.populations.{name}.norm.when=before" for motif in ("basic", "halving") for name in "ab"]
FIRST += [f"motifs.{motif}.projections.skip.join=before" for motif in ("basic", "halving")]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for one another take longer than networks as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def models() -> Any:
    return pytest.importorskip("torchvision").models


@cache
def network_of(name: str) -> Network:
    """Give a network of small images under backprop, its batch norms as if they had learned; it is shared by tests."""
    network = network_under(name, "bp", **SMALL)
    randomised(state_dict_of(network))
    return network


def network_under(name: str, method: str = "fa", changes: list[str] | None = None, **fitted: Any) -> Network:
    return Network(make_plan(nm.load(name, changes or []).fitted(**fitted).method(method), seed=0))


def randomised(tensors: dict[str, Tensor]) -> None:
    """Draw gains, shifts and running statistics, which begin as 1 and 0."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in tensors.items():
        if name.endswith((".bias", ".running_mean")):
            tensor.normal_(0, 0.3, generator=generator)
        elif tensor.ndim == 1 and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def apart(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, in units of the largest number expected."""
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


# ---- the same function ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_outputs_gradients_and_statistics_are_those_of_torchvision(
    name: str, dtype: torch.dtype, training: bool, models: Any
) -> None:
    network, model = network_of(f"{name}_norm_first"), getattr(models, name)(num_classes=10)
    begun = copies(state_dict_of(network))
    model.load_state_dict(begun, strict=True)
    results = []
    try:
        for net in (network, model):
            net.to(dtype).train(training).zero_grad()
            torch.manual_seed(2)
            output = net(torch.randn(2, 3, 64, 64, dtype=dtype))
            output.backward(torch.randn(2, 10, dtype=dtype))
            results.append(output)
        assert apart(*results) < TOLERANCES[dtype]
        names, expected = torchvision_names(network), dict(model.named_parameters())
        assert names is not None
        assert {names[key] for key, _ in network.named_parameters()} == set(expected)
        for key, parameter in network.named_parameters():
            assert apart(parameter.grad, expected[names[key]].grad) < TOLERANCES[dtype]  # type: ignore[arg-type]
        buffers = state_dict_of(network)
        for key, buffer in model.named_buffers():
            assert (apart(buffers[key].to(dtype), buffer.to(dtype)) if buffer.any() else 0) < TOLERANCES[dtype]
    finally:
        network.to(torch.float32)
        load_state_dict(network, begun, norm_order="before")


def test_the_order_of_norm_and_nonlinearity_matters(models: Any) -> None:
    """With the same weights the network of C.1 is another one."""
    network = network_under("resnet18", "bp", **SMALL)
    model = models.resnet18(num_classes=10)
    model.load_state_dict(copies(state_dict_of(network)), strict=True)
    images = torch.randn(2, 3, 64, 64)
    assert apart(network.eval()(images), model.eval()(images)) > 0.1


def test_weights_come_from_torchvision(models: Any) -> None:
    torch.manual_seed(3)
    model, network = models.resnet18(num_classes=10), network_under("resnet18_norm_first", **SMALL)
    randomised(model.state_dict())
    before = copies(feedback_state(network))
    load_state_dict(network, model.state_dict(), norm_order="before")
    images = torch.randn(2, 3, 64, 64)
    assert apart(network.eval()(images), model.eval()(images)) < 1e-5
    assert same(feedback_state(network), before)


# ---- names ----------------------------------------------------------------------------------------------------------


def test_resnet20_has_the_names_that_torchvision_would_give_it(models: Any) -> None:
    """torchvision's own ResNets have four stages; of one with three blocks in each the first three are these."""
    model = models.ResNet(models.resnet.BasicBlock, [3, 3, 3, 1])
    expected = {key for key in model.state_dict() if not key.startswith("layer4.")}
    assert set(state_dict_of(network_under("resnet20"))) == expected


@pytest.mark.parametrize(
    "change",
    [
        "populations.stem.bias.init=constant",  # a bias where torchvision has none
        'populations.head.norm={ kind = "batch_norm" }',
    ],
)
def test_a_part_that_torchvision_lacks_leaves_our_own_names(change: str) -> None:
    network = network_under("resnet20", changes=[change])
    assert torchvision_names(network) is None
    assert {"W_stem", "layer1_0_Wa", "layer2_0_s.norm.running_mean", "head.bias"} <= set(state_dict_of(network))


def test_other_networks_have_the_names_of_their_circuits() -> None:
    network = network_under("digits")
    assert torchvision_names(network) is None
    assert norm_order(network) == "none"
    assert set(state_dict_of(network)) == {"W1", "W2", "W3", "y1.bias", "y2.bias", "y3.bias"}
    assert set(feedback_state(network)) == {"B2", "B3"}


# ---- the order of batch norm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "order"),
    [
        ("resnet20", [], "after"),
        ("resnet20", FIRST, "before"),  # the norms of linear cells in its shortcuts are as they were
        ("resnet20", FIRST[:-1], "mixed"),
        ("resnet20", FIRST[1:], "mixed"),
    ],
)
def test_the_order_of_batch_norm(name: str, changes: list[str], order: str) -> None:
    assert norm_order(network_under(name, changes=changes)) == order


@pytest.mark.parametrize("method", ["bp", "fa"])
@pytest.mark.parametrize(
    ("name", "given", "remedy"),
    [
        ("resnet18", "before", "Use the circuit 'resnet18_norm_first'"),
        ("resnet18_norm_first", "after", "Use the circuit 'resnet18'"),
        ("resnet20", "before", 'norm.when = "before" .* join = "before"'),
        ("resnet20", "mixed", "Use the circuit that they were saved with"),
        ("digits", "after", 'norm.when = "after"'),
        ("resnet20", "none", "without norm"),
        ("resnet20", "befor", "Did you mean 'before'"),
    ],
)
def test_weights_of_another_order_are_refused(name: str, given: str, remedy: str, method: str) -> None:
    network = order_network(name, method)
    tensors = state_dict_of(network)
    with pytest.raises(RequestError, match=remedy):
        load_state_dict(network, tensors, norm_order=given)


@cache
def order_network(name: str, method: str) -> Network:
    return network_under(name, method)


def test_both_orders_are_told_in_the_message() -> None:
    expected = (
        "these weights belong to a network with batch norm and joins before the nonlinearity, but circuit "
        "'resnet18-bp' has batch norm and joins after the nonlinearity. Use the circuit 'resnet18_norm_first'."
    )
    network = order_network("resnet18", "bp")
    with pytest.raises(RequestError) as raised:
        load_state_dict(network, state_dict_of(network), norm_order="before")
    assert str(raised.value) == expected


# ---- what does not fit ----------------------------------------------------------------------------------------------


def without(tensors: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda t: without(t, "fc.bias"), "1 of the .* are missing: fc.bias. Give all"),
        (lambda t: {}, r"are missing: conv1\.weight, bn1\.weight, bn1\.bias and 104 more\. Give all"),
        (
            lambda t: {**t, "layer4.0.conv1.weight": t["conv1.weight"]},
            "1 tensors are not of circuit .*: layer4.0.conv1",
        ),
        (lambda t: {**t, 5: t["fc.bias"]}, "not of circuit .*: 5"),
        (lambda t: {**t, "fc.weight": t["fc.weight"].T}, r"fc.weight is \(64, 10\) .* expected \(10, 64\).*fitted"),
        (lambda t: {**t, "fc.bias": t["fc.bias"].long()}, "fc.bias is .* of whole numbers, expected .* of fractions"),
        (lambda t: {**t, "fc.bias": 0.5}, "fc.bias is of type float"),
    ],
)
def test_wrong_names_and_shapes_are_refused(wrong: Callable[[Any], Any], message: str) -> None:
    network = network_under("resnet20")
    begun = copies(network.state_dict())
    tensors = {name: tensor + 1 for name, tensor in state_dict_of(network).items()}
    with pytest.raises(RequestError, match=message) as raised:
        load_state_dict(network, wrong(tensors), norm_order="after")
    assert len(str(raised.value)) < 500
    assert same(network.state_dict(), begun)


def test_counts_of_batches_may_be_missing_as_in_older_files() -> None:
    network, other = network_under("resnet20"), network_under("resnet20")
    randomised(state_dict_of(network))
    for name, tensor in state_dict_of(other).items():
        if name.endswith(".num_batches_tracked"):
            tensor.fill_(7)
    tensors = {name: t for name, t in state_dict_of(network).items() if not name.endswith(".num_batches_tracked")}
    load_state_dict(other, tensors, norm_order="after")
    assert same(state_dict_of(other), state_dict_of(network))


# ---- feedback weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fa", "ss"])
def test_feedback_weights_are_apart(method: str) -> None:
    network = network_under("resnet20", method)
    kept = copies(feedback_state(network))
    assert {"B_W_head", "layer1_0_Ba", "layer2_0_Bs"} <= set(kept)
    assert not set(kept) & set(state_dict_of(network))
    load_feedback(network, {name: -tensor for name, tensor in kept.items()})
    assert same(feedback_state(network), {name: -tensor for name, tensor in kept.items()})


def test_feedback_weights_that_do_not_fit_are_refused() -> None:
    network = network_under("resnet20")
    state = feedback_state(network)
    with pytest.raises(RequestError, match="are missing: B_W_head"):
        load_feedback(network, without(state, "B_W_head"))
    with pytest.raises(RequestError, match="not of circuit 'resnet20-fa': W_stem"):
        load_feedback(network, {**state, "W_stem": state["B_W_head"]})
    transported = network_under("resnet20", "bp")
    assert feedback_state(transported) == {}
    with pytest.raises(RequestError, match="made of W"):
        load_feedback(transported, state)


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet20", "digits"])
def test_files_bring_back_what_was_saved(name: str, tmp_path: Path) -> None:
    network = network_under(name)
    randomised(state_dict_of(network))
    file = save_weights(tmp_path / "deep" / "one.safetensors", network)
    other = network_under(name)
    load_weights(file, other)
    assert same(state_dict_of(other), state_dict_of(network))
    contents = {save_weights(tmp_path / f"{n}.safetensors", network).read_bytes() for n in range(8)}
    assert contents == {file.read_bytes()}
    assert sorted(path.name for path in file.parent.iterdir()) == ["one.safetensors"]
    with safetensors.safe_open(file, framework="pt") as opened:
        assert {key: said for key, said in opened.metadata().items() if key != "names"} == {
            "format": "neuromirror",
            "norm_order": norm_order(network),
            "circuit_sha256": network.plan.circuit.sha256,
        }


def test_a_file_of_another_order_is_refused(tmp_path: Path) -> None:
    after, before = network_under("resnet20"), network_under("resnet20", changes=FIRST)
    for network, other in ((after, before), (before, after)):
        file = save_weights(tmp_path / "weights.safetensors", network)
        with pytest.raises(RequestError, match=r"weights\.safetensors: these weights belong to a network with"):
            load_weights(file, other)


@pytest.mark.parametrize("ending", ["pth", "pt", "safetensors"])
def test_a_file_that_says_no_order_has_norm_first(ending: str, tmp_path: Path) -> None:
    after, before = network_under("resnet20"), network_under("resnet20", changes=FIRST)
    randomised(state_dict_of(before))
    file = tmp_path / f"weights.{ending}"
    write = safetensors.torch.save_file if ending == "safetensors" else torch.save
    write(state_dict_of(before), file)  # type: ignore[operator]
    with pytest.raises(RequestError, match="before the nonlinearity"):
        load_weights(file, after)
    network = network_under("resnet20", changes=FIRST)
    load_weights(file, network)
    assert same(state_dict_of(network), state_dict_of(before))


def test_a_file_of_our_own_names_that_says_no_order_is_read(tmp_path: Path) -> None:
    network, other = network_under("digits"), network_under("digits")
    randomised(state_dict_of(network))
    torch.save(state_dict_of(network), tmp_path / "digits.pth")
    load_weights(tmp_path / "digits.pth", other)
    assert same(state_dict_of(other), state_dict_of(network))


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_damaged_files_are_refused(ending: str, tmp_path: Path) -> None:
    network = network_under("digits")
    whole, file = tmp_path / f"whole.{ending}", tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save(state_dict_of(network), whole)
    else:
        save_weights(whole, network)
    content = whole.read_bytes()
    middle = len(content) // 2
    for damaged in (b"", b"PK\x03\x04", b"\x80\x02}q", b"{}", content[:20], content[:middle], content[middle:]):
        file.write_bytes(damaged)
        with pytest.raises(RequestError, match=rf"weights\.{ending}: cannot be read \(.+\)\. Save or download"):
            load_weights(file, network)
    with pytest.raises(RequestError, match="there is no such file"):
        load_weights(tmp_path / f"none.{ending}", network)
    (tmp_path / f"folder.{ending}").mkdir()
    with pytest.raises(RequestError, match="cannot be read"):
        load_weights(tmp_path / f"folder.{ending}", network)


class Harmful:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("harm"),)


def test_a_pickle_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Harmful()}, "weights.pth")
    with pytest.raises(RequestError, match="cannot be read"):
        load_weights("weights.pth", network_under("digits"))
    assert not Path("harm").exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": {"W1": torch.zeros(1)}}, nn.Parameter(torch.zeros(2))])
def test_a_file_of_something_else_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(RequestError, match="no state dict"):
        load_weights(tmp_path / "weights.pth", network_under("digits"))


def test_other_names_and_places_are_refused(tmp_path: Path) -> None:
    network = network_under("digits")
    with pytest.raises(RequestError, match=r"end in \.safetensors"):
        save_weights(tmp_path / "weights.pth", network)
    with pytest.raises(RequestError, match=r"end in \.safetensors, \.pth or \.pt"):
        load_weights(tmp_path / "weights.npz", network)
    (tmp_path / "taken").touch()
    with pytest.raises(RequestError, match="cannot be written"):
        save_weights(tmp_path / "taken" / "weights.safetensors", network)
    safetensors.torch.save_file(state_dict_of(network), tmp_path / "odd.safetensors", {"norm_order": "inside"})
    with pytest.raises(RequestError, match=r"norm_order 'inside' .* expected one of: before, after"):
        load_weights(tmp_path / "odd.safetensors", network)
