"""Names that a user may give to constants: those that mean the same to every backend.

Python, C++ and Brian2 each have words of their own. A constant of such a name would be read as that word by one backend
and as the user's number by another: ``__debug__`` is True to Python's compiler, whatever a file says.
"""

from __future__ import annotations

import keyword
import unicodedata

_CPP = """
alignas alignof and_eq asm auto bitand bitor bool case catch char char16_t char32_t char8_t co_await co_return co_yield
compl concept const const_cast consteval constexpr constinit decltype default delete do double dynamic_cast enum
explicit export extern false float friend goto inline int long mutable namespace new noexcept not_eq nullptr operator
or_eq private protected public register reinterpret_cast requires short signed sizeof static static_assert static_cast
struct switch template this thread_local throw true typedef typeid typename typeof union unsigned using virtual void
volatile wchar_t xor xor_eq
"""
_BRIAN2 = "t dt t_in_timesteps i j N xi lastspike not_refractory refractory refractory_until"
_BRIAN2_FUNCTIONS = """
abs arccos arcsin arctan ceil clip cos cosh exp expm1 exprel floor int log log10 log1p poisson rand randn sign sin sinh
sqrt tan tanh timestep e inf pi
"""

CPP = frozenset(_CPP.split())
"""Keywords of C++, in which Brian2 writes programs, that are none of Python."""
BRIAN2 = frozenset(_BRIAN2.split())
"""Variables that Brian2 itself gives to groups of cells and to synapses; names that begin with ``xi_`` are too."""
BRIAN2_FUNCTIONS = frozenset(_BRIAN2_FUNCTIONS.split())
"""Functions and constants that Brian2 knows by itself."""


def name_fault(name: str) -> str | None:
    """Return what keeps a name from being that of a constant, as the end of a sentence; None if nothing does.

    Parameters
    ----------
    name : str
        Of a constant of a rule, or of a cell of a user's own.
    """
    if not name.isidentifier():
        return "is no name: one begins with a letter and goes on with letters, digits and underscores"
    if unicodedata.normalize("NFKC", name) != name:
        return f"has letters that programs read as others ('{unicodedata.normalize('NFKC', name)}')"
    if name.startswith("_"):
        return "begins with an underscore, as names of Python's own do"
    if keyword.iskeyword(name):
        return "is a word of Python's own"
    if name in CPP:
        return "is a word of C++'s own, in which Brian2 writes programs"
    if name in BRIAN2 or name.startswith("xi_"):
        return "is a variable of Brian2's own"
    if name in BRIAN2_FUNCTIONS:
        return "is a function or a constant of Brian2's own"
    return None
