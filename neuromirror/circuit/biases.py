"""Where the biases b of eq. 1 act.

A layer that is noisy fires about its baseline, β or zero (5.2, 8.2, C.2), whatever its cells have learned to fire at:
its own bias does not act. Those of the layers that it drives do, unless they are blocked (section 6).
"""

from __future__ import annotations

from neuromirror.circuit.description import Description, Mode
from neuromirror.errors import choice


def biased_in(description: Description, mode: Mode) -> frozenset[str]:
    """Return the populations whose biases act in a mode: none where they are blocked.

    With ``on`` they are those that have biases and are not noisy in the mode, with ``everywhere`` noisy ones too.
    """
    acts = choice("bias", mode.bias, "on", "everywhere", "blocked")
    if acts == "blocked":
        return frozenset()
    biased = frozenset(name for name, p in description.populations.items() if p.bias is not None)
    return biased - set(mode.noise) if acts == "on" else biased
