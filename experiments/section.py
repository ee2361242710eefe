"""A section from the middle of a network, as Figure 1 has it but with n lower and m upper cells, while it mirrors.

Shared by the experiments, which choose sizes, lengths and seeds, and say what should come out.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import neuromirror as nm
from neuromirror.measure import median_interval, sampling_law


def section(
    lower: int, upper: int, length: str, *, equal_rows: bool = False, changes: Sequence[str] = ()
) -> nm.Circuit:
    """Return the shipped ``figure1`` with other numbers of cells, and mirror mode alone.

    Parameters
    ----------
    lower, upper : int
        Number of cells of either layer.
    length : str
        Of mirror mode: a time such as ``"20 s"``, or a number of examples such as ``"5000 examples"``.
    equal_rows : bool
        Whether W1 is ±1/√lower at random instead of Gaussian, so that all its rows have the same norm.
    changes : sequence of str
        Further changes, as ``--set`` takes them.
    """
    number, _, unit = length.partition(" ")
    step = f"examples = {number}" if unit == "examples" else f'duration = "{length}"'
    shapes = {"y0": lower, "y1": upper, "d1": upper, "d0": lower}
    changes = [*changes, *(f"populations.{name}.shape=[{cells}]" for name, cells in shapes.items())]
    if equal_rows:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (upper, lower))
        changes.append(f'projections.W1.weight={{ init = "values", values = {(signs / math.sqrt(lower)).tolist()} }}')
    return nm.load("figure1", [*changes, f'schedule=[{{ mode = "mirror", {step} }}]'])


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """What mirroring left, one value a seed.

    Attributes
    ----------
    angles_deg : tuple of float
        Between B1 and W1ᵀ, in degrees.
    laws_deg : tuple of float
        What the sampling law predicts from each run's spikes, in degrees; empty where it was not asked for.
    """

    angles_deg: tuple[float, ...]
    laws_deg: tuple[float, ...] = ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """Angle over prediction."""
        return tuple(angle / law for angle, law in zip(self.angles_deg, self.laws_deg, strict=True))


def mirror(circuit: nm.Circuit, *, seeds: int, backend: str = "brian2", law: bool = False) -> Mirrored:
    """Run a section with seeds 0 to ``seeds`` − 1, in a temporary folder; `law` asks for the prediction as well."""
    with tempfile.TemporaryDirectory() as folder:
        runs = nm.run_seeds(circuit, backend=backend, seeds=range(seeds), out=Path(folder) / "runs", figures=False)
        return Mirrored(
            angles_deg=tuple(float(run.angles_deg("B1")[-1]) for run in runs),
            laws_deg=tuple(sampling_law(run, "B1").angle_deg for run in runs) if law else (),
        )


def stated(values: Sequence[float], unit: str = "°") -> str:
    """Return the median with its 95 % interval or, of fewer than six values, which have none, with their range."""
    median = median_interval(values)
    if math.isinf(median.low):
        return f"{median.estimate:.2f}{unit} ({len(values)} of {min(values):.2f}{unit} to {max(values):.2f}{unit})"
    return f"{median.estimate:.2f}{unit} ({median.low:.2f}{unit} to {median.high:.2f}{unit})"


def options(doc: str | None, argv: Sequence[str] | None, *, quick: str) -> argparse.Namespace:
    """Read the command line of an experiment; its help is the docstring that states the claim."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser.parse_args(argv)
