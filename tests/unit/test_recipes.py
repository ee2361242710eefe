"""The paper's curves as files: their numbers are those of Appendix C, and each has the method that its name says."""

from __future__ import annotations

from functools import cache

import pytest

import neuromirror as nm
from experiments.methods import METHODS, PAPER, Job, Path
from neuromirror.circuit.description import Description
from neuromirror.circuit.load import shipped
from neuromirror.circuit.methods import METHODS as OVERLAYS
from neuromirror.circuit.methods import method_of
from neuromirror.circuit.protocol import Training
from neuromirror.training.rates import peak_rate, rate_factor

NETWORKS = ("resnet18", "resnet50", "resnet18_norm_first", "resnet50_norm_first")
CURVES = ("bp", "fa", "ss", "wm")
RECIPES = [(network, method) for network in NETWORKS for method in CURVES]
recipes = pytest.mark.parametrize(("network", "method"), RECIPES, ids=["-".join(one) for one in RECIPES])


@cache
def described(network: str, method: str) -> Description:
    circuit = nm.load(f"imagenet/{network}_{method}")
    assert circuit.problems() == ()
    return circuit.description


def training_of(found: Description) -> Training:
    assert found.training is not None
    return found.training


def teaching(found: Description) -> dict[str, object]:
    """Return what can make a difference to a run, in place of names: all but modes and rules that teach nothing."""
    whole = found.model_dump(exclude={"name", "about"})
    whole["modes"] = {name: mode for name, mode in whole["modes"].items() if mode["learn"]}
    return whole


def test_there_is_one_for_each_curve() -> None:
    assert {name for name in shipped() if "/" in name} == {f"imagenet/{n}_{m}" for n, m in RECIPES}


@recipes
def test_it_is_the_circuit_under_the_method_that_its_name_says(network: str, method: str) -> None:
    found, overlaid = described(network, method), nm.load(network).method(method).description
    assert found.name == f"{network}_{method}"
    assert method_of(found) == method_of(overlaid) == method
    expected = teaching(overlaid)
    expected["training"]["rate"] = 0.5 if method == "ss" else None  # pyright: ignore
    assert teaching(found) == expected


@recipes
def test_batches_images_and_epochs_are_those_of_the_appendix(network: str, method: str) -> None:
    """C.1: 2,048 images over 32 workers, drops after epochs 32, 62 and 82. C.2: two epochs of mirroring alone."""
    found = described(network, method)
    training = training_of(found)
    assert (training.batch, training.micro_batch, training.batch // training.micro_batch) == (2048, 64, 32)
    assert (training.epochs, training.warmup_epochs, training.drops, training.drop_factor) == (90, 6, (32, 62, 82), 0.1)
    assert (training.mirror_epochs, training.mirror_every, training.mirror_means) == (2, 1, "channel")
    assert training.mirror_examples is None  # as many as the batch has images
    assert training.mirror_angle_deg is None
    assert (training.augment, training.loss, training.steps) == ("resized_crop", "cross_entropy", None)
    assert found.populations["image"].shape == (3, 224, 224)
    orders = {p.norm.when for p in found.populations.values() if p.norm is not None}
    assert orders == {"before" if "norm_first" in network else "after"}


@recipes
def test_what_learns_awake_learns_by_the_updater_of_the_appendix(network: str, method: str) -> None:
    """C.1: Nesterov's momentum of 0.9, weight decay of 1e-4, which biases and norms do not have."""
    found = described(network, method)
    learn = found.modes["engaged"].learn
    weights = {n for n, p in found.projections.items() if p.weight is not None and p.mirrors is None}
    assert len(weights) == (21 if "18" in network else 54)
    assert weights <= set(learn)
    for name, rule in learn.items():
        updater = found.rules[rule].updater
        assert (updater.kind, updater.momentum, updater.nesterov) == ("sgd", 0.9, True)
        assert updater.decay == (1e-4 if name in weights else 0)
        assert peak_rate(updater.rate or 0, training_of(found)) == (0.5 if method == "ss" else 0.8)


@recipes
def test_b_is_taught_by_weight_mirrors_alone_layer_by_layer(network: str, method: str) -> None:
    """C.2: η_B = 0.1 and λ = 0.5, which linear cells have as 0.05 and 1: the same forgetting, and B → W there too."""
    found = described(network, method)
    mirrors = {name: mode for name, mode in found.modes.items() if mode.noise and mode.learn}
    assert bool(mirrors) == (method == "wm")
    for mode in mirrors.values():
        ((noise,), lower) = mode.noise.values(), next(iter(mode.noise))
        assert (noise.law, noise.sd) == ("gaussian", 1)
        assert {found.projections[b].target for b in mode.learn} == {f"d_{lower}"}
        for b, rule in mode.learn.items():
            upper = found.populations[found.projections[found.projections[b].mirrors or ""].target]
            updater = found.rules[rule].updater
            linear = upper.cell == "linear"
            assert (updater.rate, updater.decay) == ((0.05, 1.0) if linear else (0.1, 0.5))
            assert updater.decay_times_rate
    learned = [b for mode in mirrors.values() for b in mode.learn]
    assert len(set(learned)) == len(learned) == (0 if method != "wm" else 20 if "18" in network else 53)


@recipes
@pytest.mark.parametrize(
    ("epoch", "without", "mirrored"),
    [
        *[(0, 0, 0), (1, 1 / 6, 0), (2, 1 / 3, 0), (5, 5 / 6, 1 / 2), (6, 1, 2 / 3), (8, 1, 1), (31.999, 1, 1)],
        *[(32, 0.1, 0.1), (61.999, 0.1, 0.1), (62, 0.01, 0.01), (82, 0.001, 0.001), (89.999, 0.001, 0.001)],
    ],
)
def test_the_rate_grows_over_six_epochs_and_drops_three_times(
    network: str, method: str, epoch: float, without: float, mirrored: float
) -> None:
    """C.1: over the first 6 epochs, or over epochs 3 to 8 with weight mirrors; tenfold after 32, 62 and 82."""
    training = training_of(described(network, method))
    alone = training.mirror_epochs if method == "wm" else 0
    factor = rate_factor(epoch, training, mirror_epochs=alone)
    assert factor == pytest.approx(mirrored if method == "wm" else without, rel=1e-9)


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_figure_2_at_the_paper_s_size_is_the_recipes(network: str, tmp_path: Path) -> None:
    assert PAPER.values == PAPER.mirrored == PAPER.rates == {}
    for method in METHODS:
        rate = PAPER.rate(network, method)
        assert rate == (0.5 if method == "ss" else 0.8)
        job = Job(circuit=network, method=method, rate=rate, seed=0, size=PAPER, data="", folder=tmp_path, threads=1)
        if method in CURVES:
            assert job.changed.protocol_sha256 == nm.load(f"imagenet/{network}_{method}").protocol_sha256
            assert job.changed.sha256 == nm.load(f"imagenet/{network}_{method}").sha256
        else:
            assert (job.recipe, job.changed.name) == (None, network)


def test_the_method_of_a_circuit_is_that_which_was_laid_over_it() -> None:
    """But for the sham ``shifted``, a weight mirror but for its delays, of which other circuits have some too."""
    circuit = nm.load("digits_narrow")
    known = {name: method_of(circuit.method(name).description) for name in OVERLAYS if name != "shifted"}
    assert known == {**{name: name for name in known}, "output_only": None, "permuted": None}
    assert method_of(circuit.description) == "wm"


def test_a_recipe_is_found_by_what_is_nearly_its_name() -> None:
    with pytest.raises(nm.RequestError, match="Did you mean 'imagenet/resnet18_ss'"):
        nm.load("imagenet/resnet18-ss")
