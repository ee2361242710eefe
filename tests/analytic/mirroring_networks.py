"""Networks that mirror, and turns of mirroring, as several tests take them."""

from __future__ import annotations

import re
from typing import Any

import neuromirror as nm
from neuromirror.backends.torch.mirror import Mirror
from neuromirror.modes import ModePlan
from neuromirror.plan import Plan
from neuromirror.rules.updater import Step

Tables = dict[str, Any]
TURNS = ("each", "alternate", "together", "single")
KEEP, STEP = 0.95, 0.1
"""Of C.2: η_B = 0.1, λ = 0.5."""
C2 = Step(keep=KEEP, step=STEP)
MEAN = Step(keep=0.0, step=1.0)
"""An update after which B is the mean drive itself."""


def circuit_of(
    populations: Tables, projections: Tables, *, drive: str = "weight_mirror", **mirroring: Any
) -> nm.Circuit:
    """Return a circuit that mirrors, from its forward path, lowest population first."""
    constants = {"k": 0.3} if re.search(r"\bk\b", drive) else {}
    return nm.Circuit(
        {
            "name": "net",
            "code": {"kind": "zero_mean"},
            "cells": {kind: {"activation": kind} for kind in ("relu", "linear", "tanh", "rectified_tanh")},
            "populations": {
                name: {"path": "forward", "layer": layer, **described}
                for layer, (name, described) in enumerate(populations.items())
            },
            "projections": projections,
            "feedback": {},
            "rules": {"mirror": {"drive": drive, "constants": constants, "updater": {"rate": STEP, "decay": 0.5}}},
            "mirroring": mirroring,
            "schedule": [{"mode": "mirroring", "examples": 1}],
        }
    )


def modes_that_mirror(plan: Plan) -> list[ModePlan]:
    return [mode for mode in plan.modes.values() if mode.noise]


def take_turn(mirror: Mirror, mode: ModePlan, examples: int, number: int = 0, step: Step = C2) -> None:
    mirror.turn(mode, examples=examples, number=number, steps={one.name: step for one in mode.learners})


def dense(source: str, target: str, **weight: Any) -> Tables:
    return {"source": source, "target": target, "connector": "all_to_all", "weight": weight}


BIASED = {"bias": {"init": "normal", "gain": 0.6}}
CHAIN = (
    {
        "y0": {"shape": [5], "cell": "linear"},
        "y1": {"shape": [2, 2, 2], "cell": "tanh"},
        "y2": {"shape": [2, 3], "cell": "relu", **BIASED},
        "y3": {"shape": [4], "cell": "rectified_tanh", **BIASED},
        "y4": {"shape": [3], "cell": "linear", **BIASED},
    },
    {
        **{f"W{layer}": dense(f"y{layer - 1}", f"y{layer}") for layer in range(1, 5)},
        "Wover": dense("y1", "y3", gain=0.5),
    },
)
"""A chain with a second way, of populations of all shapes."""
DRIVES = (
    "weight_mirror",
    "tanh(post)*pre",
    "(post - beta_post)*noise_pre + noise_post*pre + k*pre*post",
    "(post - beta_post)*(pre - beta_pre) - k*w*post**2",
    "(pre - beta_pre)*(cross - beta_post)",
    "sign(post)*(pre - beta_pre)/(1 + beta_post**2)",
    "k - w",
    "abs(w)*tanh(pre)",
    "(post - beta_pre)**2",
)


def conv(source: str, target: str, kernel: Any, *, stride: int = 1, padding: int = 0, **weight: Any) -> Tables:
    window = {"kernel": kernel, "stride": stride, "padding": padding}
    return {"source": source, "target": target, "connector": "conv", **window, "weight": weight}


NORM = {"kind": "batch_norm", "when": "after"}
CONVS = (
    {
        "image": {"shape": [2, 5, 4], "cell": "linear"},
        "a": {"shape": [3, 3, 3], "cell": "relu", "norm": NORM, "bias": {"init": "normal", "gain": 0.5}},
        "b": {"shape": [3, 3, 3], "cell": "relu", "norm": NORM},
        "head": {"shape": [4], "cell": "linear"},
    },
    {
        "W1": conv("image", "a", [3, 2], stride=2, padding=1),
        "W2": conv("a", "b", 3, padding=1),
        "S2": {"source": "a", "target": "b", "connector": "shortcut", "join": "after"},
        "W3": dense("b", "head"),
    },
)
"""A strided convolution, one with a shortcut of its own, and a head that all places project to."""
