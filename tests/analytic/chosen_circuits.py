"""The experiments' random circuits, as hypothesis chooses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from experiments.random_circuits import random_circuit
from neuromirror.circuit.circuit import Circuit

T = TypeVar("T")


@dataclass(frozen=True)
class HypothesisChooser:
    """Chooses what hypothesis wants to see."""

    draw: st.DrawFn

    def one_of(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def some_of(self, options: Sequence[T]) -> list[T]:
        return self.draw(st.lists(st.sampled_from(options), unique=True))

    def order(self, size: int) -> list[int]:
        return list(self.draw(st.permutations(range(size))))


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    """Draw a circuit."""
    return random_circuit(HypothesisChooser(draw))
