"""Where the biases b of eq. 1 act.

A layer that is noisy fires about its baseline, β or zero (5.2, 8.2, C.2), whatever its cells have learned to fire at:
its own bias does not act. Those of the layers that it drives do, unless they are blocked (section 6).
"""

from __future__ import annotations

from typing import assert_never

from neuromirror.circuit.description import Description, Mode


def biased_in(description: Description, mode: Mode) -> frozenset[str]:
    """Return the populations whose biases act in a mode: none where they are blocked.

    With ``on`` they are those that have biases and are not noisy in the mode, with ``everywhere`` noisy ones too.
    """
    biased = frozenset(name for name, p in description.populations.items() if p.bias is not None)
    match mode.bias:
        case "on":
            return biased - set(mode.noise)
        case "everywhere":
            return biased
        case "blocked":
            return frozenset()
    assert_never(mode.bias)
