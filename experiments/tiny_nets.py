"""Networks so small that training them on digits of 8×8 takes no second, for tests."""

from __future__ import annotations

from typing import Any

import neuromirror as nm

Tables = dict[str, Any]


def conv_tables(**training: Any) -> Tables:
    """Return two convolutions with batch norm, a pool and a head of ten classes, by all of the paper's methods.

    Parameters
    ----------
    **training
        Of the table ``training``.
    """
    normed = {"cell": "cell", "norm": {"kind": "batch_norm", "when": "after"}}
    conv = {"connector": "conv", "kernel": 3, "padding": 1, "weight": {"gain": 1.414}}
    pool = {"connector": "pool", "pool": "average", "kernel": 2, "stride": 2}
    return {
        "name": "tiny",
        "populations": {
            "image": {"path": "forward", "layer": 0, "shape": [1, 8, 8], "cell": "linear"},
            "y1": {"path": "forward", "layer": 1, "shape": [4, 8, 8], **normed},
            "y2": {"path": "forward", "layer": 2, "shape": [6, 4, 4], **normed},
            "pool": {"path": "forward", "layer": 3, "shape": [6, 2, 2], "cell": "linear"},
            "head": {"path": "forward", "layer": 4, "shape": [10], "cell": "linear", "bias": {"init": "constant"}},
        },
        "projections": {
            "W1": {"source": "image", "target": "y1", **conv},
            "W2": {"source": "y1", "target": "y2", "stride": 2, **conv},
            "P": {"source": "y2", "target": "pool", **pool},
            "W_head": {"source": "pool", "target": "head", "connector": "all_to_all", "weight": {}},
        },
        **_rest("image", "d_head", "head", {"@W": "forward", "@bias": "free", "@norm": "free"}),
        "training": {"batch": 20, "micro_batch": 10, "rate": 0.1, **_SHORT, **training},
    }


def dense_tables(sizes: tuple[int, ...] = (64, 12, 10), **training: Any) -> Tables:
    """Return layers of ReLU cells, all with biases, and a linear one that is as large as there are classes."""
    top = len(sizes) - 1
    shown = {
        f"y{layer}": {
            "path": "forward",
            "layer": layer,
            "shape": [size],
            "cell": "cell" if 0 < layer < top else "linear",
            **({"bias": {"init": "normal", "gain": 0.3}} if layer else {}),
        }
        for layer, size in enumerate(sizes)
    }
    return {
        "name": "dense",
        "populations": shown,
        "projections": {
            f"W{layer}": {
                "source": f"y{layer - 1}",
                "target": f"y{layer}",
                "connector": "all_to_all",
                "weight": {"gain": 1.2},
            }
            for layer in range(1, top + 1)
        },
        **_rest("y0", f"d{top}", f"y{top}", {"@W": "forward", "@bias": "free"}),
        "training": {"batch": 20, "micro_batch": 20, "rate": 0.05, **_SHORT, **training},
    }


def tiny(**training: Any) -> nm.Circuit:
    """Return the circuit of `conv_tables`."""
    return nm.Circuit(conv_tables(**training))


_SHORT = {"epochs": 2, "warmup_epochs": 0.5, "drops": [], "mirror_epochs": 0.6}


def _rest(image: str, compared: str, head: str, learn: dict[str, str]) -> Tables:
    descent = {"kind": "sgd", "rate": 0.1, "momentum": 0.9, "nesterov": True}
    return {
        "code": {"kind": "zero_mean"},
        "cells": {"cell": {"activation": "relu"}, "linear": {"activation": "linear"}},
        "feedback": {"skip": ["W1"]},
        "rules": {
            "mirror": {"drive": "weight_mirror", "updater": {"rate": 0.1, "decay": 0.5}},
            "forward": {"drive": "forward", "updater": {**descent, "decay": 1e-3}},
            "free": {"drive": "bias", "updater": descent},
        },
        "mirroring": {"turns": "each", "bias": "on"},
        "modes": {
            "engaged": {
                "input": {image: "stimulus"},
                "compare": {compared: f"{head} - target"},
                "on": ["@forward", "@feedback", "@gate", "@error"],
                "learn": learn,
            }
        },
        "stimulus": {"kind": "teacher"},
        "schedule": [{"mode": "mirroring", "examples": 10}, {"mode": "engaged", "examples": 10}],
    }
