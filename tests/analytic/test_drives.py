"""A drive over whole arrays is what it is for one synapse after the other, whatever the expression.

Expressions are made up by hypothesis, from parts that are defined for all numbers. The drive of one synapse and one
example is evaluated with Python's numbers; torch contracts the terms that the drive separates into, and Brian2 runs the
string that it is handed, in synapses.
"""

from __future__ import annotations

from typing import Any

import brian2 as b2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neuromirror.backends.brian2.drives import CELL_NAMES, SYNAPSE_NAMES, run_drive
from neuromirror.backends.brian2.runtime import quieten, use_runtime
from neuromirror.backends.torch.contract import Conv, mean_conv_drive, mean_drive
from neuromirror.rules.expression import FUNCTIONS, POSTSYNAPTIC, PRESYNAPTIC, Drive

CONSTANTS = {"k": 0.7, "c": -1.3}
SIDES = {"pre": sorted(PRESYNAPTIC), "post": sorted(POSTSYNAPTIC), "w": ["w"]}
EXAMPLES, TARGETS, SOURCES = 3, 4, 2
TOLERANCE = 1e-11
seeds = st.integers(0, 2**32)
made_up = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def one_sided(side: str) -> st.SearchStrategy[str]:
    """Draw an expression over one side of the synapse, defined and smooth or nearly so for all numbers."""
    variable = st.sampled_from(SIDES[side])
    leaves = st.one_of(variable, variable.map("sign({})".format), st.sampled_from([*CONSTANTS, "0.5", "2"]))
    return st.recursive(
        leaves,
        lambda inside: st.one_of(
            st.builds("({} {} {})".format, inside, st.sampled_from("+-*"), inside),
            st.builds("{}/(1.5 + {}**2)".format, inside, inside.map("({})".format)),
            st.builds("(-{})".format, inside),
            st.builds("({})**{}".format, inside, st.sampled_from([0, 1, 2, 3])),
            st.builds("(1 + ({})**2)**{}".format, inside, st.sampled_from(["-1", "-2", "0.5"])),
            st.builds("{}({})".format, st.sampled_from(["abs", "tanh"]), inside),
            st.builds("exp(-({})**2)".format, inside),
            st.builds("sqrt(1 + ({})**2)".format, inside),
        ),
        max_leaves=4,
    )


def some_sides(sides: list[str]) -> st.SearchStrategy[str]:
    """Draw an expression over any one of some sides."""
    return st.sampled_from(sides).flatmap(one_sided)


def separable(sides: list[str]) -> st.SearchStrategy[str]:
    """Draw an expression that is a sum of products of one-sided ones, though not written as one."""
    one = some_sides(sides)
    return st.recursive(
        one,
        lambda inside: st.one_of(
            st.builds("({} {} {})".format, inside, st.sampled_from("+-*"), inside),
            st.builds("{}/(2 + tanh({}))".format, inside, one),
            st.builds("-({})".format, inside),
            st.builds("({} - {})**{}".format, one, one, st.sampled_from([1, 2, 3, 4])),
        ),
        max_leaves=5,
    )


WHOLE = ["pre", "post", "w"]
BIAS = ["post", "w"]


def drive_of(text: str) -> Drive:
    """Read an expression, passing over those that are too long."""
    assume(len(text) <= 1000)
    return Drive(text, CONSTANTS)


def seen(seed: int, *, bias: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw what the synapses of an array see, (example, cell) or (cell,), and the array."""
    rng = np.random.default_rng(seed)
    shapes = {name: TARGETS for name in POSTSYNAPTIC} | ({} if bias else {name: SOURCES for name in PRESYNAPTIC})
    values = {
        name: rng.uniform(-1.5, 1.5, cells if name.startswith("beta") else (EXAMPLES, cells))
        for name, cells in shapes.items()
    }
    return values, rng.uniform(-1.5, 1.5, TARGETS if bias else (TARGETS, SOURCES))


def by_synapse(drive: Drive, values: dict[str, np.ndarray], array: np.ndarray, examples: int = EXAMPLES) -> np.ndarray:
    """Return the drive of some examples and every synapse, one after the other."""
    found = np.empty((examples, *array.shape))
    for example, *index in np.ndindex(*found.shape):
        cells = {"pre": index[-1], "post": index[0]}
        own = {"w": float(array[tuple(index)])}
        for side in ("pre", "post"):
            for name in SIDES[side]:
                if name in values:
                    array_of = values[name]
                    own[name] = float(array_of[cells[side]] if array_of.ndim == 1 else array_of[example, cells[side]])
        found[example, *index] = drive.evaluate(own)
    return found


def scale_of(drive: Drive, values: dict[str, np.ndarray], array: np.ndarray) -> float:
    """Return the size of what is added up: the terms of the drive may cancel, and their rounding stays."""
    functions = {**FUNCTIONS, **{name: getattr(np, name) for name in ("abs", "exp", "sqrt", "tanh", "sign")}}
    sums = np.zeros(1)
    for term in drive.terms:
        product = np.ones(1)
        for factor in (*term.pre, *term.post, *term.w):
            largest = np.abs(factor.evaluate({**CONSTANTS, **values, "w": array}, functions)).max()
            product = product * largest
        sums = sums + product
    return max(1.0, float(sums.max()))


@pytest.mark.parametrize("sides", [WHOLE, BIAS], ids=["weights", "biases"])
@given(data=st.data(), seed=seeds)
@settings(made_up, max_examples=80)
def test_torch_contracts_every_drive_that_separates(sides: list[str], data: st.DataObject, seed: int) -> None:
    drive = drive_of(data.draw(separable(sides)))
    values, array = seen(seed, bias=sides is BIAS)
    expected = by_synapse(drive, values, array).mean(axis=0)
    tensors = {name: torch.as_tensor(value) for name, value in values.items()}
    found = mean_drive(drive, tensors, torch.as_tensor(array)).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale_of(drive, values, array))


IN, OUT = 2, 3
"""Channels below and above."""


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, tuple[int, int], tuple[int, int]]:
    """Draw a convolution, the rows and columns of its input, and those of its kernel."""
    kernel = draw(st.tuples(*[st.integers(1, 3)] * 2))
    padding = draw(st.integers(0, min(kernel)))  # up to taps that join nothing at all
    sizes = [draw(st.integers(max(1, side - 2 * padding), 5)) for side in kernel]
    conv = Conv(stride=draw(st.integers(1, 3)), padding=padding, transposed=draw(st.booleans()))
    return conv, (sizes[0], sizes[1]), kernel


def by_tap(drive: Drive, values: dict[str, np.ndarray], array: np.ndarray, conv: Conv) -> np.ndarray:
    """Return the mean drive of every synapse, by loops over channels, taps and the pairs of positions they join."""
    pre, post = (next(v for n, v in values.items() if n in SIDES[side] and v.ndim == 4) for side in ("pre", "post"))
    below, above = (post, pre) if conv.transposed else (pre, post)
    found = np.zeros(array.shape)
    for out, into, *tap in np.ndindex(*array.shape):
        drives = []
        for example, *up in np.ndindex(EXAMPLES, *above.shape[2:]):
            down = [u * conv.stride - conv.padding + t for u, t in zip(up, tap, strict=True)]
            if not all(0 <= d < size for d, size in zip(down, below.shape[2:], strict=True)):
                continue
            ends = {"below": (into, *down), "above": (out, *up)}
            cell = {"pre": ends["above" if conv.transposed else "below"]}
            cell["post"] = ends["below" if conv.transposed else "above"]
            own = {"w": float(array[out, into, *tap])}
            for side in ("pre", "post"):
                for name in SIDES[side]:
                    if name in values:
                        one = values[name] if values[name].ndim == 3 else values[name][example]
                        own[name] = float(np.broadcast_to(one, (pre if side == "pre" else post).shape[1:])[cell[side]])
            drives.append(drive.evaluate(own))
        if drives:
            found[out, into, *tap] = np.mean(drives)
    return found


@given(data=st.data(), geometry=convolutions(), seed=seeds)
@settings(made_up, max_examples=60)
def test_torch_contracts_every_drive_of_a_convolution(
    data: st.DataObject, geometry: tuple[Conv, tuple[int, int], tuple[int, int]], seed: int
) -> None:
    """As loops over the taps have it: for a W and for a B, which is kept as its W is and runs the other way."""
    (conv, sizes, kernel), rng = geometry, np.random.default_rng(seed)
    drive = drive_of(data.draw(separable(WHOLE)))
    up = [(n + 2 * conv.padding - k) // conv.stride + 1 for n, k in zip(sizes, kernel, strict=True)]
    maps = {"pre": (IN, *sizes), "post": (OUT, *up)}
    if conv.transposed:
        maps = {"pre": maps["post"], "post": maps["pre"]}
    by_channel = data.draw(st.booleans())
    values = {}
    for side in ("pre", "post"):
        for name in SIDES[side]:
            shape = maps[side]
            if name.startswith("beta"):
                values[name] = rng.uniform(-1.5, 1.5, (shape[0], 1, 1) if by_channel else shape)
            else:
                values[name] = rng.uniform(-1.5, 1.5, (EXAMPLES, *shape))
    array = rng.uniform(-1.5, 1.5, (OUT, IN, *kernel))
    tensors = {name: torch.as_tensor(value) for name, value in values.items()}
    found = mean_conv_drive(drive, tensors, torch.as_tensor(array), conv).numpy()
    expected = by_tap(drive, values, array, conv)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale_of(drive, values, array))


def brian2_drive(drive: Drive, values: dict[str, np.ndarray], array: np.ndarray) -> np.ndarray:
    """Have Brian2 compute the drive of the first example: in synapses or, of biases, in cells."""
    quieten()
    use_runtime("numpy")
    names = ("signal", "beta", "noise", "error", "cross", "b", "total")
    model = "".join(f"{name} : 1\n" for name in names)
    post = b2.NeuronGroup(TARGETS, model, name="post")
    pre = b2.NeuronGroup(SOURCES, model, name="pre")
    synapses = b2.Synapses(pre, post, "w : 1\nsum : 1", name="joined")
    targets, sources = np.indices((TARGETS, SOURCES)).reshape(2, -1)
    synapses.connect(i=sources, j=targets)
    if array.ndim == 1:
        post.b = array
        run_drive(post, f"total = {drive.brian2(CELL_NAMES)}")
    else:
        synapses.w = array.ravel()
        run_drive(synapses, f"sum = {drive.brian2(SYNAPSE_NAMES)}")
    for name, value in values.items():
        group, variable = (pre, SYNAPSE_NAMES) if name in PRESYNAPTIC else (post, CELL_NAMES)
        setattr(group, variable[name].removesuffix("_pre"), value if value.ndim == 1 else value[0])
    b2.Network(pre, post, synapses).run(b2.defaultclock.dt, namespace={})
    return np.reshape(post.total[:] if array.ndim == 1 else synapses.sum[:], array.shape)


def both_sided() -> st.SearchStrategy[str]:
    """Draw an expression that need not separate."""
    one = separable(WHOLE)
    wrapped: list[Any] = ["tanh({})", "abs({})", "exp(-({})**2)", "1/(1 + ({})**2)", "sqrt(1 + ({})**2)"]
    return st.one_of(one, st.builds(lambda form, inside: form.format(inside), st.sampled_from(wrapped), one))


@pytest.mark.parametrize("kind", ["weights", pytest.param("biases", marks=pytest.mark.slow)])
@given(data=st.data(), seed=seeds)
@settings(made_up, max_examples=8)  # a build each; what Brian2 is handed is looked at by hundreds in test_expression
def test_brian2_runs_every_drive(kind: str, data: st.DataObject, seed: int) -> None:
    drive = drive_of(data.draw(both_sided() if kind == "weights" else separable(BIAS)))
    values, array = seen(seed, bias=kind == "biases")
    (expected,) = by_synapse(drive, values, array, examples=1)
    np.testing.assert_allclose(
        brian2_drive(drive, values, array), expected, rtol=0, atol=TOLERANCE * max(1.0, np.abs(expected).max())
    )


@pytest.mark.parametrize(
    "text",
    [
        "abs(pre)**2*post",
        "w - w + pre*post",
        "exp(post)*exp(-post)*pre",
        "sqrt(pre**2)",
        "post*1/3",
        "k",
        "-0.5**2",
        "(1 + 2**2)**-1",
        "1/2*pre",
    ],
)
def test_brian2_runs_drives_that_it_simplifies(text: str) -> None:
    drive = Drive(text, CONSTANTS)
    values, array = seen(1, bias=False)
    (expected,) = by_synapse(drive, values, array, examples=1)
    np.testing.assert_allclose(brian2_drive(drive, values, array), expected, rtol=1e-13)
