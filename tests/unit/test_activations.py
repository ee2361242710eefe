"""Activation functions: inverses that are inverses, slopes that are slopes, on scalars and on arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neuromirror.dynamics.activations import ACTIVATIONS

NAMES = st.sampled_from(sorted(ACTIVATIONS))
INPUTS = st.floats(-6, 6)
PHI = {
    "linear": lambda u: u,
    "relu": lambda u: max(u, 0.0),
    "tanh": math.tanh,
    "rectified_tanh": lambda u: math.tanh(max(u, 0.0)),
}
ADMISSIBLE = {"linear": (-50, 50), "relu": (1e-6, 50), "tanh": (-0.999, 0.999), "rectified_tanh": (1e-6, 0.999)}
"""Baselines around which the activation has a positive derivative (Appendix B)."""


def phi(name: str, u: float) -> float:
    """Compute an activation of one number."""
    return float(ACTIVATIONS[name].phi(u, math.tanh))


def test_every_activation_is_tested() -> None:
    assert set(ACTIVATIONS) == set(PHI) == set(ADMISSIBLE)


@given(NAMES, INPUTS)
@settings(deadline=None)
def test_activations_are_the_functions_that_they_are_named_for(name: str, u: float) -> None:
    assert phi(name, u) == PHI[name](u)


@given(NAMES, st.data())
@settings(deadline=None, max_examples=200)
def test_the_inverse_is_the_default_bias_whose_output_is_the_baseline(name: str, data: st.DataObject) -> None:
    low, high = ADMISSIBLE[name]
    beta = data.draw(st.floats(low, high))
    bias = ACTIVATIONS[name].inverse(beta)
    assert phi(name, bias) == pytest.approx(beta, rel=1e-12)
    assert ACTIVATIONS[name].slope(beta) > 0


@pytest.mark.parametrize(
    ("name", "beta", "says"),
    [
        ("relu", 0.0, "not above zero"),
        ("relu", -1.0, "not above zero"),
        ("rectified_tanh", 0.0, "not above zero"),
        ("rectified_tanh", -0.5, "not above zero"),
        ("rectified_tanh", 1.0, "below 1"),
        ("tanh", 1.0, "below 1"),
        ("tanh", -1.0, "below 1"),
        ("tanh", 4.0, "below 1"),
    ],
)
def test_a_baseline_without_a_rising_neighbourhood_is_refused(name: str, beta: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ACTIVATIONS[name].inverse(beta)


@given(NAMES, INPUTS)
@settings(deadline=None, max_examples=200)
def test_the_slope_of_an_output_is_the_derivative_at_its_input(name: str, u: float) -> None:
    h = 1e-5  # central differences are wrong by h²|φ'''|/6 < 4e-11 and by rounding of about 1e-15/h = 1e-10
    assume(abs(u) > h)  # rectified functions have no derivative at 0
    numerical = (phi(name, u + h) - phi(name, u - h)) / (2 * h)
    assert ACTIVATIONS[name].slope(phi(name, u)) == pytest.approx(numerical, abs=1e-9)


def test_a_rectified_cell_that_is_silent_has_no_slope() -> None:
    assert ACTIVATIONS["relu"].slope(0.0) == 0
    assert ACTIVATIONS["rectified_tanh"].slope(0.0) == 0


@given(NAMES, INPUTS, INPUTS)
@settings(deadline=None)
def test_activations_do_not_fall(name: str, one: float, other: float) -> None:
    assert phi(name, min(one, other)) <= phi(name, max(one, other))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_outputs_that_can_be_rates_are_never_below_zero(name: str) -> None:
    outputs = [phi(name, u) for u in np.linspace(-6, 6, 25)]
    assert (min(outputs) >= 0) is ACTIVATIONS[name].non_negative


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_arrays_of_every_library_are_computed_element_by_element(name: str) -> None:
    torch = pytest.importorskip("torch")
    inputs = np.linspace(-3, 3, 12).reshape(3, 4)
    expected = np.array([[phi(name, u) for u in row] for row in inputs])
    slopes = np.array([[float(ACTIVATIONS[name].slope(y)) for y in row] for row in expected])
    outputs = ACTIVATIONS[name].phi(inputs, np.tanh)
    np.testing.assert_allclose(outputs, expected, atol=1e-15)
    np.testing.assert_allclose(ACTIVATIONS[name].slope(expected), slopes, atol=1e-15)
    tensor = ACTIVATIONS[name].phi(torch.tensor(inputs), torch.tanh)
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-15)
    np.testing.assert_allclose(ACTIVATIONS[name].slope(torch.tensor(expected)).numpy(), slopes, atol=1e-15)
