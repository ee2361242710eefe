"""What `check` says of training, against what training itself says."""

from __future__ import annotations

import pytest

import neuromirror as nm
from neuromirror.errors import CircuitError, Problem, RequestError
from neuromirror.training.prepared import prepare
from neuromirror.training.settings import Settings
from neuromirror.training.spiking import spiking_training
from neuromirror.training.trainable import refusals


@pytest.mark.parametrize("method", ["wm", "fa", "bp", "output_only"])
@pytest.mark.parametrize("name", ["digits_narrow", "digits", "figure1", "chain4", "resnet20"])
def test_a_circuit_is_refused_for_what_training_refuses_it_for(name: str, method: str) -> None:
    try:
        circuit = nm.load(name).method(method)
        circuit.check()
    except CircuitError:
        pytest.skip(f"{name} has no method {method}")
    refused = refusals(circuit)
    for backend, prepared in (("brian2", spiking_training), ("torch", prepare)):
        found: tuple[Problem, ...] = ()
        try:
            prepared(circuit, Settings(data="synthetic", train_images=10, test_images=10))
        except CircuitError as error:
            found = error.problems
        except RequestError:  # images that do not fill the input: the circuit itself was taken
            pass
        assert refused[backend] == found
    assert bool(refused["torch"]) != (name == "resnet20")
    assert bool(refused["brian2"]) != (name == "digits_narrow")
