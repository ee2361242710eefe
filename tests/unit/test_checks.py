"""Every check of the circuit as a whole: the smallest change to Figure 1 that provokes it, and it alone."""

from __future__ import annotations

import dataclasses
import re
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromirror.circuit import capabilities, checks
from neuromirror.circuit.capabilities import BACKENDS, able, unsupported
from neuromirror.circuit.checks.projections import MAX_WEIGHTS
from neuromirror.circuit.checks.protocol import MAX_STEPS
from neuromirror.circuit.circuit import Circuit
from neuromirror.circuit.load import from_text, shipped
from neuromirror.errors import CircuitError, Problem, RequestError

TEXT = shipped()["figure1"].read_text(encoding="utf-8")


def figure1(*changes: str) -> Circuit:
    """Give Figure 1 with some changes, as after ``--set``."""
    return from_text(TEXT, changes=changes)


IMAGES = """
name = "images"
code = { kind = "zero_mean" }
cells.cell = {}
[populations]
image = { path = "forward", layer = 0, shape = [2, 6, 6], cell = "cell" }
maps = { path = "forward", layer = 1, shape = [4, 4, 4], cell = "cell", norm = { kind = "batch_norm" } }
more = { path = "forward", layer = 2, shape = [4, 4, 4], cell = "cell" }
small = { path = "forward", layer = 3, shape = [4, 2, 2], cell = "cell" }
d_image = { path = "feedback", layer = 0, shape = [2, 6, 6], cell = "cell" }
d_maps = { path = "feedback", layer = 1, shape = [4, 4, 4], cell = "cell" }
[projections]
W = { source = "image", target = "maps", connector = "conv", kernel = 3, weight = {} }
V = { source = "maps", target = "more", connector = "local", kernel = [1, 3], padding = 0, weight = {} }
S = { source = "maps", target = "more", connector = "shortcut", join = "after" }
P = { source = "more", target = "small", connector = "pool", pool = "max", kernel = 2, stride = 2 }
B = { source = "d_maps", target = "d_image", connector = "conv", kernel = 3, weight = {}, mirrors = "W" }
""".replace("kernel = [1, 3], padding = 0", "kernel = [1, 1]")
"""A circuit with every connector between (channels, height, width)."""


BURSTS = "modes.mirror.noise.y0={law='bursts', amplitude=2.0, dwell='5 ms'}"
SCALED = 'populations.y1.norm={kind="synaptic_scaling", rate="110 Hz", tau="20 s"}'


class Case(NamedTuple):
    """A change that one check is there for."""

    name: str
    path: str
    changes: tuple[str, ...]
    says: str
    text: str = TEXT


def on_images(name: str, path: str, change: str, says: str) -> Case:
    """Give a case of the circuit of images."""
    return Case(name, path, (change,), says, IMAGES)


OWN_CELL = (
    "cells.cell.model=custom",
    "cells.cell.equations=dv/dt = (drive - v)/(20*ms) : volt",
    "cells.cell.threshold=v > 20*mV",
    "cells.cell.reset=v = 0*mV",
    "cells.cell.default_bias=22 mV",
    "cells.cell.unit_current=2 mV",
)

REST = ('modes.rest={on=["W1", "B1", "e1"]}', "code.estimate.rest=rest")
RESTED = (*REST, 'schedule=[{mode="rest", duration="1 s"}, {mode="engaged", duration="1 s"}]')
UNBIASED = "modes.engaged.learn.y1.bias="
OWN_RULE = ("rules.own.drive=-post", "rules.own.updater.rate=0.1")
SHORT_FORMS = """
name = "short_forms"
code = { kind = "baseline", beta = "100 Hz" }
cells.cell = {}
layers.sizes = [3, 2, 4]
mirroring.noise.sd = 2.0
[populations]
y1 = { path = "forward", layer = 1, shape = [2], cell = "cell" }
y2 = { path = "forward", layer = 2, shape = [4], cell = "cell" }
[projections]
B2 = { source = "d2", target = "d1", connector = "all_to_all", weight = { gain = 0.5 }, mirrors = "W2" }
x0 = { source = "y0", target = "d0", connector = "one_to_one", role = "drive" }
x1 = { source = "y1", target = "d1", connector = "one_to_one", role = "drive" }
x2 = { source = "y2", target = "d2", connector = "one_to_one", role = "drive" }
[feedback]
[rules.mirror]
drive = "weight_mirror"
updater = { memory = "2 s", decay = 1.0 }
[motifs.twig]
parameters = { size = 3 }
inputs = ["from"]
output = "a"
populations.a = { layer = 1, shape = ["$size"], cell = "cell" }
projections.W = { source = "from", target = "a", connector = "all_to_all", weight = {} }
[[use]]
motif = "twig"
name = "twig"
inputs = { from = "y2" }
"""
"""A circuit of short forms, some of whose parts it states itself."""


def in_short(name: str, path: str, *changes: str, says: str) -> Case:
    """Give a case of the circuit of short forms."""
    return Case(name, path, changes, says, SHORT_FORMS)


CASES = [
    on_images("connector-field", "projections.S.kernel", "projections.S.kernel=3", "has no kernel; it is for conv"),
    on_images("connector-field", "projections.V.join", "projections.V.join=after", "has no join; it is for shortcut"),
    on_images("connector-field", "projections.V.groups", "projections.V.groups=2", "has no groups; it is for conv"),
    on_images("connector-field", "projections.V", "projections.V.kernel=", "a local needs its kernel"),
    on_images("connector-field", "projections.P", "projections.P.pool=", 'needs pool = "max" or "average"'),
    on_images("connector-field", "projections.S", "projections.S.join=", 'needs join = "before" or "after"'),
    on_images("not-built", "projections.W.groups", "projections.W.groups=2", "in groups are not built"),
    on_images("not-built", "projections.V.weight.init", "projections.V.weight={init='values', values=[1]}", "begin as"),
    on_images("no-weight", "projections.V", "projections.V.weight=", "a connector 'local' needs weight = "),
    on_images("unused-weight", "projections.P.weight", "projections.P.weight={}", "a pool passes the signal on"),
    on_images("wrong-shape", "projections.P.kernel", "projections.P.kernel=5", "5×5 does not fit into 4×4"),
    on_images(
        "wrong-shape", "projections.V", "projections.V.padding=1", r"makes \(4, 6, 6\) of \(4, 4, 4\), but more has"
    ),
    on_images("wrong-shape", "projections.P", "populations.small.shape=[2, 2, 2]", r"makes \(4, 2, 2\)"),
    on_images("wrong-shape", "projections.P", "populations.small.shape=[16]", r"small has shape \(16,\). A pool needs"),
    on_images("wrong-shape", "projections.S", "projections.S.target=small", "a shortcut, but source maps has shape"),
    Case(
        "wrong-mirror",
        "projections.B.connector",
        ("projections.B={source='d_maps', target='d_image', connector='all_to_all', weight={}, mirrors='W'}",),
        "B differs from W in connector, kernel. A B has the connector",
        IMAGES,
    ),
    Case(
        "no-layers",
        "feedback",
        ("feedback={}", "populations=", "projections=", "modes={}", "schedule=", "stimulus="),
        r"there is none\. Add \[layers\]",
    ),
    Case("dale", "code.dale", ("code.dale=true",), "only cells in push-pull"),
    Case(
        "no-default-bias",
        "cells.cell.phi",
        ("code={kind='push_pull'}", "cells.cell={activation='expr', phi='log(1 + exp(u))', slope='1 - exp(-y)'}"),
        r"phi\(0\) is not 0\. Add beta",
    ),
    Case("norm", "populations.d1.norm", ('populations.d1.norm.kind="batch_norm"',), "only forward populations"),
    Case("norm", "populations.y1.norm", ('populations.y1.norm={kind="synaptic_scaling", tau="9 s"}',), "its rate"),
    Case("norm", "populations.y1.norm.tau", ('populations.y1.norm={kind="batch_norm", tau="9 s"}',), "has no tau"),
    Case("unknown-population", "populations.d1.shares", ("populations.d1.shares=y7",), "no population 'y7'"),
    Case("shared-cells", "populations.d1.shares", ("populations.d1.shares=d0",), "share the cells of forward ones"),
    Case("shared-cells", "populations.d1.shares", ("populations.d1.shares=y0",), r"in layer 0 with shape \(3,\)"),
    Case(
        "normalised-bias",
        "modes.engaged.learn.y1.bias",
        ("rules.bias.updater.normalise.per=target",),
        r"y1\.bias has none\. Let it learn by a rule of its own",
    ),
    Case(
        "partly-scaled",
        "modes.engaged.learn.W1",
        (
            SCALED,
            'projections.V1={source="y0", target="y1", connector="all_to_all", weight={}}',
        ),
        r"V1 cannot change here\. List W1, V1, or none",
    ),
    Case(
        "scaled-and-normalised",
        "modes.engaged.learn.W1",
        (SCALED, "rules.forward.updater.normalise.per=source"),
        "keeps the norm of W1, and synaptic scaling of y1 moves it",
    ),
    Case(
        "idle-scaling",
        "populations.y1.norm",
        (SCALED, "modes.engaged.learn={}"),
        "synaptic scaling never acts",
    ),
    Case("momentum", "rules.forward.updater", ("rules.forward.updater.momentum=0.9",), 'for kind = "sgd"'),
    Case("momentum", "rules.mirror.updater.memory", ("rules.mirror.updater.kind=sgd",), "sgd has a rate"),
    Case(
        "momentum",
        "rules.forward.updater.nesterov",
        ("rules.forward.updater={kind='sgd', rate=1, nesterov=true}",),
        "a momentum above 0",
    ),
    Case(
        "unknown-projection",
        "feedback.skip.1",
        ("layers.sizes=[3, 2]", 'feedback.skip=["W1", "W2"]'),
        r"there is no 'W2' .* There are: W1\.",
    ),
    Case("no-beta", "code", ("code.beta=",), r'Add beta = "100 Hz"'),
    Case("beta-of-zero-mean", "code.beta", ("code.kind=zero_mean",), "no beta. Take it out"),
    Case("threshold-below-rest", "cells.cell.v_threshold", ("cells.cell.v_threshold=-70 mV",), "-70 mV is not above"),
    Case("threshold-below-rest", "cells.cell.v_threshold", ("cells.cell.v_reset=-50 mV",), r"reset \(-50 mV\)"),
    Case("threshold-below-rest", "cells.cell.v_threshold", ("cells.cell.v_rest=-50 mV",), r"rest \(-50 mV\)"),
    Case("beta-above-refractory", "cells.cell.refractory", ("cells.cell.refractory=10 ms",), "cannot fire at beta"),
    Case("no-default-bias", "cells.cell.activation", ("cells.cell.activation=tanh",), "Choose code.unit larger"),
    Case(
        "no-default-bias",
        "cells.cell.activation",
        ("cells.cell.activation=rectified_tanh", "code.unit=100 Hz"),
        "beta is 1 in units of code.unit",
    ),
    Case(
        "bad-name",
        "populations.y-2",
        ('populations.y-2={path="forward", layer=2, shape=[1], cell="cell"}',),
        "letters, digits and underscores",
    ),
    Case("unknown-cell", "populations.y0.cell", ("populations.y0.cell=cel",), "Did you mean 'cell'"),
    Case("unknown-cell", "feedback.cell", ("feedback={cell='cel'}",), "Did you mean 'cell'"),
    Case("unknown-cell", "mirroring.rule_for.cel", ("mirroring={rule_for={cel='mirror'}}",), "Did you mean 'cell'"),
    Case("feedback-bias", "populations.d0.bias", ("populations.d0.bias={}",), "only cells of the forward path"),
    Case(
        "wrong-shape",
        "populations.y0.parameters.tau_m",
        ('populations.y0.parameters={tau_m=["20 ms", "21 ms"]}',),
        r"found 2 values\. Expected 3",
    ),
    Case(
        "threshold-below-rest",
        "populations.y0.parameters.v_threshold.1",
        ('populations.y0.parameters={v_threshold=["-50 mV", "-75 mV", "-76 mV"]}',),
        "cell 1: -75 mV is not above rest",
    ),
    Case(
        "threshold-below-rest",
        "populations.y0.parameters.v_reset.2",
        ('populations.y0.parameters={v_reset=["-70 mV", "-70 mV", "-50 mV"]}',),
        r"cell 2: -50 mV is not above .* reset \(-50 mV\)",
    ),
    Case(
        "beta-above-refractory",
        "populations.y0.parameters.refractory.0",
        ('populations.y0.parameters={refractory=["20 ms", "2 ms", "20 ms"]}',),
        "cell 0: cells refractory for 20 ms cannot fire",
    ),
    Case("activation", "cells.cell.slope", ('cells.cell.slope="1"',), "activation 'relu' has its own"),
    Case("activation", "cells.cell", ("cells.cell.activation=expr", 'cells.cell.phi="u"'), "needs its slope. Add"),
    Case(
        "activation",
        "cells.cell.slope",
        ("cells.cell.activation=expr", 'cells.cell.phi="tanh(u) + u"', 'cells.cell.slope="1 - y*y"'),
        "Expected the derivative of phi",
    ),
    Case(
        "custom-cell",
        "cells.cell.constants.__debug__",
        (*OWN_CELL, "cells.cell.constants.__debug__=2 mV"),
        "begins with an underscore",
    ),
    Case(
        "runaway-number",
        "cells.cell.threshold",
        (*OWN_CELL, "cells.cell.threshold=v > 20*mV*9**16**16"),
        "'9 \\*\\* 16 \\*\\* 16' is too large a number",
    ),
    Case("custom-cell", "cells.cell.reset", ("cells.cell.reset=v = 0*mV",), 'or say model = "custom"'),
    Case("custom-cell", "cells.cell", (*OWN_CELL, "cells.cell.reset="), 'needs its reset. Add reset = "v = 0'),
    Case(
        "custom-cell", "cells.cell", (*OWN_CELL, "cells.cell.default_bias=calibrate"), "only leaky cells are calibrated"
    ),
    Case(
        "custom-cell",
        "populations.y0.parameters.tau_m",
        (*OWN_CELL, 'populations.y0.parameters={tau_m=["1 ms", "2 ms", "3 ms"]}'),
        "have no tau_m; default_bias, refractory, tau_syn may differ",
    ),
    Case(
        "custom-cell",
        "populations.y0.parameters.default_bias",
        (*OWN_CELL, 'populations.y0.parameters={default_bias=["1 mV", "calibrate", "3 mV"]}'),
        "Give each cell its default bias",
    ),
    Case("unused-values", "populations.y1.bias.values", ("populations.y1.bias.values=[1, 2]",), "uses no values"),
    Case("unused-values", "projections.W1.weight.values", ("projections.W1.weight.values=[1, 2]",), "uses no values"),
    Case("mask", "projections.x1.mask", ("projections.x1.mask=[[1, 0], [0, 1]]",), "only an all_to_all connector"),
    Case("mask", "projections.W1.mask", ("projections.W1.mask=[[1, 0, 1], [0, 1, 0.5]]",), r"found 0\.5\. Expected 1"),
    Case("mask", "projections.W1.mask", ("projections.W1.mask=[[0, 0, 0], [0, 0, 0]]",), "no synapse at all"),
    Case("wrong-shape", "projections.W1.mask", ("projections.W1.mask=[[1, 0], [0, 1]]",), r"the mask is \(2, 2\)"),
    Case("no-values", "populations.y1.bias", ("populations.y1.bias.init=values",), r"needs values = \[\.\.\.\]"),
    Case("no-values", "projections.W1.weight", ("projections.W1.weight.init=values",), r"needs values"),
    Case(
        "wrong-shape",
        "populations.y1.bias.values",
        ('populations.y1.bias={init="values", values=[1, 2, 3]}',),
        r"the values are \(3,\)\. Expected \(2,\)",
    ),
    Case(
        "wrong-shape",
        "projections.W1",
        ('projections.W1.weight={init="values", values=[[1, 2], [3, 4], [5, 6]]}',),
        r"weights are \(3, 2\), but source y0 has 3 cells and target y1 has 2\. Expected \(target, source\) = \(2, 3\)",
    ),
    Case("wrong-shape", "projections.x0", ("projections.x0.target=d1",), "source y0 has 3 cells and target d1 2"),
    Case(
        "wrong-shape",
        "modes.engaged.compare.d1",
        ("modes.engaged.compare.d1=y0 - target",),
        "y0 has 3 cells and d1 2",
    ),
    Case(
        "bad-name",
        "projections.x-2",
        ('projections.x-2={source="y0", target="d0", connector="one_to_one", role="drive"}',),
        "letters, digits and underscores",
    ),
    Case("unknown-population", "projections.x1.source", ("projections.x1.source=y2",), "no population 'y2'"),
    Case("unknown-population", "projections.x1.target", ("projections.x1.target=d2",), "no population 'd2'"),
    Case(
        "too-large",
        "projections",
        (
            'populations.y2={path="forward", layer=2, shape=[65536], cell="cell"}',
            'populations.y3={path="forward", layer=3, shape=[256, 128], cell="cell"}',
            'projections.W3={source="y2", target="y3", connector="all_to_all", weight={}}',
        ),
        f"{MAX_WEIGHTS + 12} weights in all; at most {MAX_WEIGHTS}",
    ),
    Case("wrong-path", "projections.x1.role", ("projections.x1.role=error",), "from the feedback to the forward path"),
    Case(
        "wrong-path",
        "projections.e2.role",
        ('projections.e2={source="d1", target="y1", connector="one_to_one", role="drive"}',),
        r"from the forward to the feedback path \(eq\. 6\); this one goes from feedback to forward",
    ),
    Case(
        "wrong-path",
        "projections.e2.role",
        ('projections.e2={source="d1", target="y1", connector="one_to_one", role="gate"}',),
        r"\(eq\. 3\)",
    ),
    Case(
        "wrong-path",
        "projections.W2",
        ('projections.W2={source="y1", target="d1", connector="all_to_all", weight={}}',),
        "Give a cross-projection its role",
    ),
    Case(
        "wrong-path",
        "modes.mirror",
        ("modes.mirror.noise={d0={}}",),
        "input and noise go to forward cells",
    ),
    Case("wrong-path", "modes.mirror", ('modes.mirror.input={d1="stimulus"}',), "d1 is a feedback population"),
    Case("cross-connector", "projections.x0.connector", ("projections.x0.connector=all_to_all",), "are one_to_one"),
    Case("permutation", "projections.W1.permutation", ("projections.W1.permutation=[0, 1]",), "it is for one_to_one"),
    Case("permutation", "projections.x0.permutation", ("projections.x0.permutation=[0, 2, 2]",), "0 to 2 once"),
    Case("permutation", "projections.x1.permutation", ("projections.x1.permutation=[0, 1, 2]",), "0 to 1 once"),
    Case("no-weight", "projections.W1", ("projections.W1.weight=", "modes.engaged.learn="), "needs weight = "),
    Case(
        "not-built",
        "projections.W2.connector",
        ('projections.W2={source="y0", target="y0", connector="one_to_one"}',),
        "Use all_to_all",
    ),
    Case("unused-weight", "projections.g0.weight", ("projections.g0.weight={}",), "has no weight. Take it out"),
    Case("transport", "projections.x0.transport", ("projections.x0.transport=exact",), "Add mirrors"),
    Case("unknown-projection", "projections.B1.mirrors", ("projections.B1.mirrors=W2",), "no projection 'W2'"),
    Case(
        "mirrored-twice",
        "projections.B2.mirrors",
        ('projections.B2={source="d1", target="d0", connector="all_to_all", weight={}, mirrors="W1"}',),
        "B1 mirrors W1 already",
    ),
    Case(
        "wrong-mirror",
        "projections.x1.mirrors",
        ("projections.B1.mirrors=", "projections.x1.mirrors=W1"),
        "feedback weights mirror forward weights",
    ),
    Case("wrong-mirror", "projections.B1.mirrors", ("projections.B1.mirrors=x0",), "mirror forward weights"),
    Case(
        "wrong-mirror",
        "projections.W2.mirrors",
        (
            "projections.B1.mirrors=",
            'projections.W2={source="y1", target="y0", connector="all_to_all", weight={}, mirrors="W1"}',
        ),
        "mirror forward weights",
    ),
    Case(
        "wrong-mirror",
        "projections.B1.mirrors",
        ("populations.d1.layer=2",),
        "B1 leads from layer 2 to 0, but W1 from 0 to 1",
    ),
    Case(
        "wrong-mirror",
        "projections.B1.mirrors",
        (
            'populations.d2={path="feedback", layer=1, shape=[5], cell="cell"}',
            "projections.B1.source=d2",
        ),
        "not the transposed shape",
    ),
    Case("bad-drive", "rules.mirror.drive", ("rules.mirror.drive=weight_miror",), "Did you mean 'weight_mirror'"),
    Case("bad-drive", "rules.mirror.drive", ("rules.mirror.drive=pre*pots",), "pots"),
    Case(
        "bad-drive",
        "rules.mirror.drive",
        ("rules.mirror.drive=pre/(2 - 2)",),
        r"'1 / \(2 - 2\)' is not a finite number",
    ),
    Case("bad-drive", "rules.mirror.drive", ("rules.mirror.drive=sqrt(-1.5)*pre",), r"'sqrt\(-1\.5\)' is not a finite"),
    Case(
        "bad-drive",
        "rules.mirror.drive",
        ("rules.mirror.drive=exp(1000)*pre",),
        r"'exp\(1000\)' is not a finite number",
    ),
    Case(
        "bad-drive", "rules.mirror.drive", ("rules.mirror.drive=pre*(-2)**0.5",), r"'\(-2\) \*\* 0\.5' is not a finite"
    ),
    Case("no-rate", "rules.forward.updater", ("rules.forward.updater.rate=",), "a rate or a memory"),
    Case("unstable-decay", "rules.forward.updater", ("rules.forward.updater.decay=200",), "diverges"),
    Case(
        "unstable-decay",
        "rules.forward.updater",
        ("rules.forward.updater.decay=2", "rules.forward.updater.decay_times_rate=false"),
        "diverges",
    ),
    Case(
        "no-memory",
        "rules.forward.updater.memory_from",
        ("rules.forward.updater.memory_from=1 s",),
        "updater with a memory",
    ),
    Case("rate-and-memory", "rules.mirror.updater.rate", ("rules.mirror.updater.rate=0.1",), "Take one of them out"),
    Case(
        "rate-per-update",
        "rules.mirror.updater.rate",
        ("rules.mirror.updater={rate=0.1, decay=0.5}",),
        "learns 50 times as much in spikes",
    ),
    Case("no-decay", "rules.mirror.updater", ("rules.mirror.updater.decay=",), "decay above 0"),
    Case("mixed-memory", "rules.mirror.updater.memory_from", ("rules.mirror.updater.memory=4096",), "both as examples"),
    Case("unknown-projection", "modes.mirror.on.2", ("modes.mirror.on.2=x2",), "no projection 'x2'"),
    Case(
        "unknown-population", "modes.engaged.input.y2", ('modes.engaged.input={y2="stimulus"}',), "no population 'y2'"
    ),
    Case("unknown-population", "modes.mirror.noise.y2", ("modes.mirror.noise={y2={}}",), "no population 'y2'"),
    Case(
        "unknown-population",
        "modes.engaged.compare.d2",
        ('modes.engaged.compare={d2="y1 - target"}',),
        "no population 'd2'",
    ),
    Case(
        "unknown-population",
        "modes.engaged.compare.d1",
        ("modes.engaged.compare.d1=y2 - target",),
        "no population 'y2'",
    ),
    Case("bad-compare", "modes.engaged.compare.d1", ("modes.engaged.compare.d1=y1 + target",), "POPULATION - target"),
    Case("no-tau", "modes.mirror.signal", ("modes.mirror.signal.tau=",), 'Add tau = "10 ms"'),
    Case("no-tau", "time.signal", ("time.signal.kind=trace",), 'Add tau = "10 ms"'),
    Case("unused-tau", "time.signal.tau", ("time.signal.tau=7 ms",), "only a trace has a time constant"),
    Case("unused-tau", "modes.mirror.signal.tau", ("modes.mirror.signal.kind=count",), "only a trace"),
    Case("unknown-rule", "modes.mirror.learn.B1", ("modes.mirror.learn.B1=miror",), "Did you mean 'mirror'"),
    Case("unknown-rule", "modes.engaged.learn.y1.bias", ("modes.engaged.learn.y1.bias=bais",), "Did you mean 'bias'"),
    Case("unknown-learner", "modes.mirror.learn.B2", ('modes.mirror.learn={B2="mirror"}',), "nothing to learn in 'B2'"),
    Case("unknown-learner", "modes.mirror.learn.y0.bias", ('modes.mirror.learn={"y0.bias"="bias"}',), "'y1.bias'"),
    Case("unknown-learner", "modes.mirror.learn.x0", ('modes.mirror.learn={x0="mirror"}',), "copies and has no"),
    Case("learning-transport", "modes.mirror.learn.B1", ("projections.B1.transport=exact",), "transported from W1"),
    Case("bias-rule", "modes.engaged.learn.y1.bias", ("modes.engaged.learn.y1.bias=forward",), "beta_pre, pre"),
    Case(
        "no-error",
        "modes.engaged.learn.W1",
        ("modes.engaged.on.4=", "modes.engaged.learn.y1.bias="),
        "no error projection to y1 is on",
    ),
    Case("no-cross", "modes.engaged.learn.W1", ("rules.forward.drive=-pre*cross",), "no forward signal reaches y1"),
    Case(
        "many-cross",
        "modes.mirror.learn.B1",
        (
            'projections.x2={source="y0", target="d0", connector="one_to_one", role="drive", permutation=[1, 2, 0]}',
            'modes.mirror.on=["W1", "x0", "x1", "x2"]',
            'rules.mirror.drive="pre*cross"',
        ),
        "x0, x2 bring d0 more than one signal",
    ),
    Case(
        "driven-input",
        "modes.engaged.input.y1",
        ('modes.engaged.input={y1="stimulus"}', "populations.y1.bias=", "modes.engaged.learn.y1.bias="),
        "W1 drives it too",
    ),
    Case(
        "driven-input",
        "modes.engaged.input.y0",
        ('populations.y0.bias={init="constant"}',),
        "its bias acts too",
    ),
    Case(
        "cycle",
        "modes.engaged.on",
        (
            'projections.W2={source="y1", target="y0", connector="all_to_all", weight={}}',
            'modes.engaged.on=["W1", "W2", "B1", "g0", "g1", "e1"]',
            "modes.engaged.input=",
        ),
        "y0 → y1 → y0|y1 → y0 → y1",
    ),
    Case(
        "no-burst", "modes.mirror.noise.y0", ("modes.mirror.noise.y0={law='bursts', dwell='5 ms'}",), "need amplitude"
    ),
    Case("unused-burst", "modes.mirror.noise.y0.cells", ("modes.mirror.noise.y0.cells=2",), "the law is gaussian"),
    Case(
        "unused-correlation",
        "modes.mirror.noise.y0.correlation",
        ("modes.mirror.noise.y0={law='poisson', correlation=0.1}",),
        "poisson have no correlation",
    ),
    *(
        Case("unused-value", f"modes.mirror.noise.y0.{field}", (f"modes.mirror.noise.y0={noise}",), "the law is")
        for field, noise in (
            ("sd", "{law='poisson', sd=2.0}"),
            ("tau", "{law='poisson', tau='20 ms'}"),
            ("tau", f"{BURSTS.partition('=')[2][:-1]}, tau='20 ms'}}"),
        )
    ),
    Case(
        "no-poisson-rate",
        "modes.mirror.noise.y0.law",
        ("modes.mirror.noise.y0={law='poisson'}", "code.kind=zero_mean", "code.beta="),
        "Take a baseline code",
    ),
    *(
        Case("burst-cells", "modes.mirror.noise.y0.cells", (f"{BURSTS[:-1]}, cells={cells}}}",), "below 6 for 3 cells")
        for cells in (3, 8)
    ),
    Case("burst-window", "modes.mirror.noise.y0.dwell", (BURSTS.replace("5 ms", "6 ms"),), "of 6 ms"),
    Case(
        "burst-clipped", "modes.mirror.noise.y0.amplitude", (BURSTS, "modes.mirror.noise.y0.amplitude=4.1"), "102.5 Hz"
    ),
    Case("noisy-layer-driven", "modes.mirror.on", ("modes.mirror.noise={y1={}}",), "Leave W1 out of on"),
    Case(
        "noisy-neighbours",
        "modes.mirror.learn.B1",
        ("modes.mirror.noise.y1={}", 'modes.mirror.on=["x0", "x1"]'),
        "Let layers take turns",
    ),
    Case(
        "unreachable",
        "populations.y2",
        ("populations.y2={path='forward', layer=2, shape=[2], cell='cell'}",),
        "Take it out, or turn on",
    ),
    Case("no-mirror", "modes.mirror.learn.B1", ("modes.mirror.noise=",), r"y0 is not noisy \(5\.1, 5\.2\)"),
    Case("no-mirror", "modes.mirror.learn.B1", ('modes.mirror.on=["x0", "x1"]',), "W1 does not transmit"),
    Case("no-mirror", "modes.mirror.learn.B1", ('modes.mirror.on=["W1", "x1"]',), "d0 copies no forward cells"),
    Case("no-mirror", "modes.mirror.learn.B1", ('modes.mirror.on=["W1", "x0"]',), "d1 copies no forward cells"),
    Case(
        "no-mirror",
        "modes.mirror.learn.B1",
        ('modes.mirror.on=["W1", "B1", "x0", "x1"]',),
        "B1 transmits while it learns",
    ),
    Case(
        "no-examples",
        "modes.engaged.compare.d1",
        ('stimulus={kind="array", inputs=[[1, 2, 3]]}',),
        r"no targets\. Add targets",
    ),
    Case(
        "wrong-shape",
        "stimulus.targets",
        ('stimulus={kind="array", inputs=[[1, 2, 3]], targets=[[1, 2], [3, 4]]}',),
        "2 targets for 1 inputs",
    ),
    Case(
        "wrong-shape",
        "stimulus.inputs",
        ('stimulus={kind="array", inputs=[1, 2, 3], targets=[[1, 2], [1, 2], [1, 2]]}',),
        r"found \(3,\)\. Expected \(examples, cells\)",
    ),
    Case(
        "wrong-shape",
        "modes.engaged.input.y0",
        ('stimulus={kind="array", inputs=[[1, 2]], targets=[[1, 2]]}',),
        "y0 has 3 cells, but an example of the stimulus has 2 inputs",
    ),
    Case("no-stimulus", "modes.engaged.input", ("stimulus=",), r'Add \[stimulus\] kind = "teacher"'),
    Case("no-stimulus", "modes.engaged.compare", ("stimulus=", "modes.engaged.input="), r"Add \[stimulus\]"),
    Case("unknown-mode", "code.estimate.rest", ("code.estimate.rest=engagd",), "Did you mean 'engaged'"),
    Case("never-rests", "schedule", REST, "never comes to 'rest'"),
    Case("no-rest", "modes.engaged.compare", ("code.estimate.rest=engaged",), "an error is formed in this mode"),
    Case(
        "unused-value",
        "code.estimate.rest",
        (*RESTED, "modes.engaged.compare=", "modes.engaged.learn.W1=", UNBIASED),
        "no mode forms an error",
    ),
    Case("no-rest", "modes.rest.on", (*RESTED, 'modes.rest.on=["W1", "x1", "e1"]'), "d1 copies forward cells at rest"),
    Case("no-rest", "modes.rest.on", (*RESTED, 'modes.rest.on=["W1", "B1"]'), "e1 brings an error in engaged"),
    Case("idle-bias", "modes.mirror.learn.y1.bias", ('modes.mirror.learn={"y1.bias"="own"}', *OWN_RULE), "are blocked"),
    Case(
        "shifted-noise",
        "modes.mirror.bias",
        ("modes.mirror.bias=everywhere", "populations.y0.bias={}", "modes.engaged.bias=blocked", UNBIASED),
        "its own bias shifts",
    ),
    Case("unknown-mode", "schedule.1.mode", ("schedule.1.mode=engagd",), "Did you mean 'engaged'"),
    Case(
        "unknown-mode", "projections.x0.roles.engagd", ('projections.x0.roles={engagd="gate"}',), "you mean 'engaged'"
    ),
    Case(
        "axon-roles",
        "projections.W1.roles",
        ('projections.W1.roles={engaged="gate"}',),
        r"the role 'synapse' does the same in all modes.*Say role = \"drive\"",
    ),
    Case(
        "axon-roles",
        "projections.e1.roles",
        ('projections.e1.roles={mirror="gate"}',),
        "the role 'error' does the same",
    ),
    Case(
        "axon-roles",
        "modes.mirror.on",
        ('feedback={cross="one"}', 'modes.mirror.on=["@forward", "@drive", "@gate"]'),
        "either drives or gates",
    ),
    Case(
        "wrong-path",
        "projections.e2.role",
        ('projections.e2={source="d1", target="y1", connector="one_to_one", role="drive", roles={engaged="gate"}}',),
        "from the forward to the feedback path",
    ),
    Case("step-length", "schedule.1", ("schedule.1.duration=",), "this has neither"),
    Case("step-length", "schedule.0", ("schedule.0.examples=5",), "this has both"),
    Case(
        "step-length",
        "schedule.0.steps.1",
        ('schedule.0={repeat=2, steps=[{mode="mirror", examples=1}, {mode="mirror"}]}',),
        "this has neither",
    ),
    Case(
        "idle-form",
        "layers",
        ("layers.sizes=[9, 9]",),
        r"the file states y0, y1, W1 itself\. Set populations\.y0\.shape instead",
    ),
    Case("idle-form", "feedback", ("feedback.cross_delay=5 ms",), r"Set projections\.x0\.delay instead"),
    in_short("idle-size", "layers.sizes.1", "layers.sizes=[3, 5, 4]", says="states y1 itself, with 2 cells. Write 2"),
    in_short("idle-value", "layers.bias", 'layers.bias={init="constant"}', says=r"Set populations\.y1\.bias instead"),
    in_short("idle-value", "feedback.cross_delay", "feedback.cross_delay=1 ms", says=r"Set projections\.x0\.delay"),
    in_short("idle-value", "feedback.skip.0", 'feedback.skip=["W2"]', says=r"B2 itself\. Set projections\.B2\.mirrors"),
    in_short(
        "idle-value",
        "mirroring.rule_for.other",
        "cells.other={}",
        "mirroring.rule_for.other=more",
        says="nothing that this short form makes depends on it",
    ),
    in_short("idle-motif", "motifs.m", "motifs.m={output='a', populations={}}", says="nothing uses this motif"),
    in_short("idle-motif", "motifs.twig.parameters.depth", "motifs.twig.parameters.depth=3", says=r"\"\$depth"),
    in_short(
        "idle-motif",
        "motifs.twig.inputs.1",
        'motifs.twig.inputs=["from", "with"]',
        "use.0.inputs.with=y1",
        says="no projection of the motif",
    ),
    in_short("idle-motif", "use.0.first", "use.0.first=3", says="a single use has no number"),
    on_images("unused-value", "training.target", "training.target=2.0", "has targets of 0 and 1"),
    Case(
        "too-long",
        "schedule",
        (f'schedule.0={{repeat={MAX_STEPS}, steps=[{{mode="mirror", examples=1}}]}}',),
        f"{MAX_STEPS + 1} steps once repeated; at most {MAX_STEPS}",
    ),
]
WARNINGS = {
    "never-rests",
    "shifted-noise",
    "burst-clipped",
    "rate-per-update",
    "idle-scaling",
    "no-mirror",
    "noisy-layer-driven",
    "noisy-neighbours",
    "unreachable",
}

UNABLE = [
    ("brian2", "code.kind", ("code.kind=zero_mean", "code.beta="), "brian2-rate or reference or torch"),
    (
        "brian2",
        "modes.mirror.noise.y0.law",
        ("modes.mirror.noise.y0.law=rademacher",),
        "brian2-rate or reference or torch",
    ),
    ("torch", "rules.mirror.drive", ("rules.mirror.drive=tanh(pre*post)",), "brian2 or brian2-rate or reference"),
    ("torch", "populations.y1.norm", ('populations.y1.norm={kind="batch_norm"}',), "neuromirror train"),
    ("torch", "rules.forward.updater.kind", ("rules.forward.updater={kind='sgd', rate=1}",), "neuromirror train"),
]


def found(circuit: Circuit, backend: str | None = None) -> list[tuple[str, str]]:
    """Give name and path of every problem."""
    return [(problem.name, problem.path) for problem in circuit.problems(backend)]


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_figure1_has_no_problems(backend: str | None) -> None:
    assert figure1().problems(backend) == ()
    assert figure1().check(backend) == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.path}")
def test_a_change_provokes_its_problem_and_no_other(case: Case) -> None:
    (problem,) = from_text(case.text, changes=case.changes).problems()
    assert (problem.name, problem.path) == (case.name, case.path)
    assert problem.severity == ("warning" if case.name in WARNINGS else "error")
    assert re.search(case.says, problem.message)


def test_every_place_that_reports_a_problem_has_a_case() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(checks.__file__).parent.glob("*.py"))
    named = Counter(re.findall(r"""\.problem\(\s*["']([\w-]+)["']""", source))
    named += Counter(f"unknown-{kind}" for kind in re.findall(r"""\.missing\(.*["'](\w+)["']\)""", source))
    assert {"unknown-mode", "no-beta", "step-length"} <= set(named), "the source is not read as it is written"
    covered = Counter(case.name for case in CASES)
    assert {name: places for name, places in named.items() if covered[name] < places} == {}
    assert set(covered) <= set(named)


def test_every_feature_of_a_backend_has_a_case() -> None:
    source = Path(capabilities.__file__).read_text(encoding="utf-8")
    features = len(re.findall(r"\n +yield \(", source))
    everywhere = {"cells.cell.activation", "projections.B1.connector", "rules.forward.updater.normalise"}
    everywhere |= {"populations.d1.shares", "projections.B1.transport"}
    assert features == len({path for _, path, *_ in UNABLE} | everywhere)


@pytest.mark.parametrize(("backend", "path", "changes", "remedy"), UNABLE)
def test_a_backend_refuses_what_it_cannot_run(backend: str, path: str, changes: tuple[str, ...], remedy: str) -> None:
    circuit = figure1(*changes)
    assert circuit.problems() == ()
    (problem,) = circuit.problems(backend)
    assert (problem.name, problem.path, problem.severity) == ("not-supported", path, "error")
    assert f"backend '{backend}' has no " in problem.message
    assert remedy in problem.message
    with pytest.raises(CircuitError, match="has no"):
        circuit.check(backend)
    assert backend not in able(circuit.description)
    for other in able(circuit.description):
        assert circuit.problems(other) == ()
        assert other in problem.message


@pytest.mark.parametrize(
    ("lacks", "path", "value"),
    [
        ("activations", "cells.cell.activation", "relu"),
        ("connectors", "projections.B1.connector", "all_to_all"),
        ("normalisations", "rules.forward.updater.normalise", "target"),
        ("cells", "populations.d1.shares", "shared"),
    ],
)
def test_a_backend_without_what_all_others_have_refuses_it(lacks: str, path: str, value: str) -> None:
    has: Any = frozenset({"tanh", "one_to_one"})
    poor = dataclasses.replace(BACKENDS["reference"], name="poor", **{lacks: has})
    described = figure1("rules.forward.updater.normalise.per=target", "populations.d1.shares=y1").description
    problems = unsupported(described, poor, lambda _: ("circuit.toml", 7))
    problem = next(one for one in problems if one.path == path)
    assert (problem.file, problem.line) == ("circuit.toml", 7)
    assert (
        f"'{value}' (it has: one_to_one, tanh). Use --backend brian2 or brian2-rate or reference or torch."
        in problem.message
    )


def test_figure1_runs_on_every_backend() -> None:
    assert able(figure1().description) == list(BACKENDS)


def test_an_unknown_backend_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RequestError, match=r"backend 'brain2': .* Did you mean 'brian2'\?"):
        figure1().problems("brain2")


@pytest.mark.parametrize(
    "changes",
    [
        ("cells.cell.v_threshold=-69.9 mV",),
        ("cells.cell.refractory=9.9 ms",),
        ("cells.cell.activation=tanh", "code.unit=101 Hz"),
        ("projections.x0.permutation=[2, 0, 1]",),
        ("rules.forward.updater.decay=199",),
        ("rules.forward.updater.decay=1.9", "rules.forward.updater.decay_times_rate=false"),
        ("rules.mirror.updater.memory=4096", "rules.mirror.updater.memory_from=64"),
        ("modes.engaged.compare.d1=  y1-target ",),
        ("projections.B1.transport=exact", "modes.mirror.learn="),
        ("stimulus=", "modes.engaged.input=", "modes.engaged.compare="),
        ("code.kind=zero_mean", "code.beta="),
        ("rules.forward.drive=error*post", "modes.mirror.learn.B1=mirror"),
        ("rules.mirror.drive=-pre*(cross - beta_post)",),
        ('projections.W1.weight={init="values", values=[[1, 2, 3], [4, 5, 6]]}',),
        (f'schedule.0={{repeat={MAX_STEPS - 1}, steps=[{{mode="mirror", examples=1}}]}}',),
    ],
)
def test_what_is_just_within_bounds_passes(changes: tuple[str, ...]) -> None:
    assert figure1(*changes).problems() == ()


@pytest.mark.parametrize("name", sorted(WARNINGS))
def test_a_warning_does_not_block(name: str) -> None:
    circuit = figure1(*next(case.changes for case in CASES if case.name == name))
    (warning,) = circuit.check()
    assert (warning.name, warning.severity) == (name, "warning")
    assert str(warning).startswith("warning: ")
    assert circuit.description.name == "figure1"
    assert len(circuit.sha256) == 64


def test_errors_come_before_warnings_and_are_raised_with_them() -> None:
    text = TEXT.replace('mode = "engaged"', 'mode = "engagd"')
    circuit = from_text(text, changes=["modes.mirror.noise={y1={}}"])
    expected = [("unknown-mode", "schedule.1.mode"), ("noisy-layer-driven", "modes.mirror.on")]
    assert found(circuit) == expected
    with pytest.raises(CircuitError) as refused:
        circuit.check()
    assert [(problem.name, problem.path) for problem in refused.value.problems] == expected


@pytest.mark.parametrize("use", ["description", "name", "graph", "sha256", "protocol_sha256", "to_toml", "expand"])
def test_no_use_is_made_of_a_circuit_with_errors(use: str) -> None:
    circuit = figure1("schedule.1.mode=engagd", "code.beta=")
    with pytest.raises(CircuitError) as refused:
        getattr(circuit, use)()
    assert {problem.name for problem in refused.value.problems} == {"no-beta", "unknown-mode"}


def test_what_points_at_a_broken_entry_is_not_reported_again() -> None:
    assert found(figure1("populations.y0.shape=3")) == [("wrong-value", "populations.y0.shape")]
    assert found(figure1("rules.mirror.updater=")) == [("missing-field", "rules.mirror.updater")]
    assert found(figure1("cells.cell.tau_m=20", 'cells.cell.activation="rleu"')) == [
        ("wrong-value", "cells.cell.activation"),
        ("wrong-value", "cells.cell.tau_m"),
    ]


def test_a_problem_that_several_modes_share_is_reported_once() -> None:
    changes = ("time.signal.kind=trace", "modes.mirror.signal=")
    assert found(figure1(*changes)) == [("no-tau", "time.signal")]


def test_items_after_a_broken_one_keep_their_number() -> None:
    assert found(figure1("modes.mirror.on.0=3", "modes.mirror.on.2=x7")) == [
        ("wrong-value", "modes.mirror.on.0"),
        ("unknown-projection", "modes.mirror.on.2"),
    ]
    assert found(figure1("schedule.0.mode=5", "schedule.1.mode=engagd")) == [
        ("wrong-value", "schedule.0.mode"),
        ("unknown-mode", "schedule.1.mode"),
    ]


def test_a_name_that_is_not_there_has_its_place_in_the_file_whatever_the_alphabet() -> None:
    assert found(figure1("modes.mirror.on.2=A9")) == [("unknown-projection", "modes.mirror.on.2")]


@pytest.mark.parametrize(
    "change",
    [
        "projections.x1.role=drvie",
        'projections.x1.roles={engaged="error"}',
        "rules.forward.updater.rate=nan",
        "rules.mirror.updater.memory=60 mV",
        "rules.mirror.updater.decay=-1",
        "schedule.0.duration=20",
        "modes.mirror.signal.tau=7",
        "projections.W1.weight={init='values', values=[1, [2]]}",
        "populations.y1.bias={init='values', values=[]}",
    ],
)
def test_what_is_wrong_in_itself_is_not_reported_as_missing_too(change: str) -> None:
    assert [name for name, _ in found(figure1(change))] == ["wrong-value"]


def test_several_broken_items_of_a_list_hide_nothing() -> None:
    assert set(found(figure1("schedule.0.mode=", "schedule.1.mode=", "code.beta="))) == {
        ("missing-field", "schedule.0.mode"),
        ("missing-field", "schedule.1.mode"),
        ("no-beta", "code"),
    }


@pytest.mark.parametrize("change", ["name=", "name=3", "code.kind=baselin", "code=7", "cells=7"])
def test_a_broken_required_part_does_not_hide_the_rest(change: str) -> None:
    names = [problem.name for problem in figure1(change, "schedule.1.mode=engagd").problems()]
    assert len(names) == 2
    assert "unknown-mode" in names


def test_an_output_error_is_formed_in_feedback_cells() -> None:
    changes = ('modes.mirror.compare={y1="d1 - target"}', 'modes.mirror.on=["W1", "x0"]')
    assert "modes.mirror.compare.y1" in [path for _, path in found(figure1(*changes))]


def test_what_cannot_learn_is_not_proposed_as_a_learner() -> None:
    (problem,) = figure1('modes.mirror.learn={B2="mirror"}').problems()
    assert problem.message.endswith("There are: B1, W1, y1.bias.")


def test_a_constant_with_the_name_of_a_variable_is_blamed_for_it() -> None:
    (problem,) = figure1("rules.mirror.constants.pre=1.0").problems()
    assert problem.name == "bad-drive"
    assert "Did you mean 'weight_mirror'" not in problem.message
    assert "pre" in problem.message


@pytest.mark.parametrize(
    "change", ["rules.mirror.updater.decay_times_rate=no", "feedback.distinct=yes", "feedback.distinct=1"]
)
def test_true_and_false_are_not_written_otherwise(change: str) -> None:
    path = change.partition("=")[0]
    assert ("wrong-value", path) in found(figure1("layers.sizes=[3, 2]", change))


def test_a_permutation_of_a_huge_population_is_checked_in_little_memory() -> None:
    circuit = figure1("populations.d0.shape=[2000000]", "projections.x0.permutation=[0, 1, 2]")
    tracemalloc.start()
    problems = found(circuit)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ("permutation", "projections.x0.permutation") in problems
    assert peak_bytes < 10 * 2**20


def test_problems_are_told_apart_by_severity_and_compared_by_value() -> None:
    problem = Problem(name="no-beta", path="code", message="m.", file="f.toml", line=3)
    assert str(problem) == "error: f.toml:3  code: m."
    assert problem == dataclasses.replace(problem)
    assert str(dataclasses.replace(problem, severity="warning", line=None)) == "warning: f.toml  code: m."
    assert str(dataclasses.replace(problem, file=None, line=None)) == "error: code: m."


def test_a_window_is_a_whole_number_of_steps_where_cells_spike() -> None:
    undelayed = 'projections.x0.delay="0 ms"'
    circuit = figure1('time.dt="0.3 ms"', undelayed)
    assert circuit.problems() == circuit.problems("torch") == ()
    found = [(problem.name, problem.path, problem.severity) for problem in circuit.problems("brian2")]
    assert found == [("window-dt", f"modes.{mode}.window", "error") for mode in ("mirror", "engaged")]
    assert "brian2" not in capabilities.able(circuit.description)
    (problem,) = figure1('time.dt="0.3 ms"', undelayed, 'schedule=[{mode="mirror", duration="1 s"}]').problems("brian2")
    assert "a window of 2.5 ms is not a whole number of time steps of 0.3 ms" in problem.message


@pytest.mark.parametrize(
    ("length", "says"), [('duration="100 ms"', True), ("examples=40", True), ("examples=41", False)]
)
def test_a_mode_that_never_settles_is_warned_of_where_cells_spike(length: str, says: bool) -> None:
    circuit = figure1(f'schedule=[{{mode="mirror", {length}}}, {{mode="engaged", duration="5 s"}}]')
    assert circuit.problems("torch") == ()
    found = [(problem.name, problem.path, problem.severity) for problem in circuit.problems("brian2")]
    assert found == ([("settle-only", "time.settle", "warning")] if says else [])
    assert "brian2" in capabilities.able(circuit.description)


def spiking(*changes: str) -> list[tuple[str, str]]:
    return [(problem.name, problem.path) for problem in figure1(*changes).problems("brian2")]


SHARED = ("populations.d0.shares=y0", "populations.d1.shares=y1", 'projections.x0.delay="0 ms"')
ASLEEP = 'schedule=[{mode="mirror", duration="1 s"}]'


def test_shared_cells_mirror_and_take_turns_where_cells_spike() -> None:
    assert spiking(*SHARED, ASLEEP) == []
    assert spiking(*SHARED) == []
    assert spiking(*SHARED, "projections.e1.permutation=[0, 1]") == []
    assert spiking(*SHARED, ASLEEP, "projections.x0.permutation=[0, 1, 2]") == []


ANOTHER = (
    'populations.y2={path="forward", layer=1, shape=[2], cell="cell"}',
    'projections.W2={source="y0", target="y2", connector="all_to_all", weight={}}',
    'modes.engaged.on=["W1", "W2", "B1", "g0", "g1", "e1"]',
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((*SHARED, 'modes.engaged.window="100.5 ms"'), [("taking-turns", "modes.engaged.window")]),
        ((*SHARED, 'modes.engaged.signal={kind="trace", tau="9 ms"}'), [("taking-turns", "modes.engaged.signal")]),
        ((*SHARED, 'time.signal={kind="trace", tau="9 ms"}'), [("taking-turns", "time.signal")]),
        ((*SHARED, "modes.engaged.noise={y0={}}"), [("taking-turns", "modes.engaged.noise")]),
        ((*SHARED, 'projections.g0.delay="1 ms"'), [("taking-turns", "projections.g0.delay")]),
        ((*SHARED, "projections.e1.permutation=[1, 0]"), [("taking-turns", "projections.e1.permutation")]),
        ((*SHARED, *ANOTHER, "projections.g1.source=y2"), [("taking-turns", "projections.g1")]),
        (
            (*SHARED, *ANOTHER, 'modes.engaged.compare={d1="y2 - target"}'),
            [("taking-turns", "modes.engaged.compare.d1")],
        ),
        (
            (
                *SHARED,
                'projections.g2={source="y1", target="d1", connector="one_to_one", role="gate"}',
                'modes.engaged.on=["W1", "B1", "g0", "g1", "g2", "e1"]',
            ),
            [("taking-turns", "projections.g2")],
        ),
        ((SHARED[0], SHARED[2]), [("taking-turns", "modes.engaged")]),
        ((*SHARED, ASLEEP, 'modes.mirror.on=["W1", "x0", "x1", "B1"]'), [("taking-turns", "modes.mirror")]),
        ((*SHARED[:2], ASLEEP), [("shared-drive", "projections.x0.delay")]),
        (
            (*SHARED, ASLEEP, "projections.x0.permutation=[2, 0, 1]"),
            [("shared-drive", "projections.x0.permutation")],
        ),
        ((*SHARED, ASLEEP, "cells.other={}", "populations.d1.cell=other"), [("shared-kind", "populations.d1")]),
        (
            (*SHARED, ASLEEP, 'populations.d1.parameters={tau_m=["20 ms", "30 ms"]}'),
            [("shared-kind", "populations.d1")],
        ),
    ],
)
def test_what_shared_cells_cannot_do_is_refused_where_cells_spike(
    changes: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    assert [one for one in spiking(*changes) if one[0] != "no-mirror"] == expected
    assert "brian2" not in able(figure1(*changes).description)


@pytest.mark.parametrize("delay", ["1.1e6 s", "1e300 s", "50.0005 s", "3.3 ms", "0.2 ms", "1e-9 s"])
@pytest.mark.parametrize("projection", ["x0", "W1", "e1"])
def test_a_delay_is_a_whole_number_of_steps_where_cells_spike(projection: str, delay: str) -> None:
    change = f'projections.{projection}.delay="{delay}"'
    late = projection == "x0" and delay in ("1.1e6 s", "1e300 s", "50.0005 s")  # B1 would join signals of other times
    found = [(one.name, one.path) for one in figure1(change).problems("torch")]
    assert found == ([("shifted-signals", "projections.x1.delay")] if late else [])
    assert spiking(change) == [("delay-dt", f"projections.{projection}.delay")]


@settings(deadline=None, max_examples=40)
@given(steps=st.integers(0, 100_000), dt_us=st.sampled_from([100, 250, 500]))
def test_every_whole_number_of_steps_is_a_delay(steps: int, dt_us: int) -> None:
    assert spiking(f'projections.x0.delay="{steps * dt_us} us"', f'time.dt="{dt_us} us"') == []


@pytest.mark.parametrize(
    ("beta_Hz", "changes"),
    [
        (301, ()),  # 2 ms and one step of 0.5 ms: 400 Hz at most
        (499.99, ()),
        (358, ('time.dt="0.1 ms"',)),  # 476 Hz
        (1501, ('cells.cell.refractory="0 ms"',)),  # 2,000 Hz
        (301, ('populations.y1.parameters={refractory=["0 ms", "2 ms"]}', 'cells.cell.refractory="0 ms"')),
    ],
)
def test_a_baseline_that_steps_leave_no_room_for_is_refused_where_cells_spike(
    beta_Hz: float, changes: tuple[str, ...]
) -> None:
    beta = f'code.beta="{beta_Hz} Hz"'
    assert figure1(beta, *changes).problems("torch") == ()
    path = "populations.y1.parameters" if "parameters" in "".join(changes) else "cells.cell.refractory"
    assert spiking(beta, *changes) == [("beta-above-steps", path)]
    just_below = f'code.beta="{0.99 * beta_Hz if beta_Hz < 499 else 299} Hz"'
    assert spiking(just_below, *changes) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('cells.cell.tau_m="1e12 s"', "Lower tau_m"),
        ('cells.cell.default_bias="-1 V"', "whatever their input"),
        ('cells.cell.default_bias="1e4 V"', "whatever their input"),
    ],
)
def test_cells_without_a_working_point_are_refused_where_cells_spike(change: str, says: str) -> None:
    (problem,) = figure1(change).problems("brian2")
    assert (problem.name, problem.path) == ("no-working-point", "cells.cell.default_bias")
    assert says in problem.message
    assert figure1(change).problems("torch") == ()
