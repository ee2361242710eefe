"""What the paper reports of ResNets on ImageNet, for figures to show beside one's own runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SOURCE = "Akrout et al. 2019, section 7"
CLASSES = 1000
"""Of ImageNet."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A final top-1 test error and its standard uncertainty, both in percent."""

    percent: float
    uncertainty: float

    @property
    def said(self) -> str:
        """Value and uncertainty, without the unit."""
        return f"{self.percent:.1f} ± {self.uncertainty:.1f}"


def _reported(**errors: tuple[float, float]) -> Mapping[str, Reported]:
    made = {method: Reported(percent=percent, uncertainty=u) for method, (percent, u) in errors.items()}
    return MappingProxyType(made)


TEST_ERRORS: Mapping[str, Mapping[str, Reported]] = MappingProxyType(
    {
        "resnet18": _reported(bp=(30.1, 0.4), wm=(30.2, 0.7), fa=(97.4, 0.2), ss=(39.2, 0.4)),
        "resnet50": _reported(bp=(22.9, 0.4), wm=(23.4, 0.5), fa=(98.9, 0.1), ss=(33.8, 0.3)),
        "resnet18_norm_first": _reported(ss=(37.8, 0.4)),
        "resnet50_norm_first": _reported(ss=(32.6, 0.6)),
    }
)
"""By circuit and method. With batch norm before the nonlinearity the text has that of sign-symmetry alone."""

MATRIX_BOUNDS_DEG = (6.0, 12.0)
"""ResNet-50 with weight mirrors: the angle of B to Wᵀ is below 12° in all layers, and below 6° late in the run in all
but the last (Figure 3a)."""
DELTA_BOUNDS_DEG = (25.0,)
"""The same network: the angle of δ to that of backprop is below 25° in all layers (Figure 3b)."""


def reported(circuit: str, classes: int, wanted: str = "auto") -> Mapping[str, Reported]:
    """Return the errors to show beside runs, by method.

    Parameters
    ----------
    circuit : str
        Name of the circuit of the runs, without that of a method.
    classes : int
        Of their images.
    wanted : str
        ``"auto"`` for those of the circuit itself, if there are as many classes as ImageNet has; ``"none"``; or a
        circuit of `TEST_ERRORS`, whatever the runs are.
    """
    if wanted == "auto":
        return TEST_ERRORS.get(circuit, {}) if classes == CLASSES else {}
    return TEST_ERRORS.get(wanted, {})
