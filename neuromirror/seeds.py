"""Named streams of random numbers, all of one root seed.

A stream is known by its name, never by the order in which it was asked for: initial weights of ``W1`` do not move
when another projection is added to the file.
"""

from __future__ import annotations

import hashlib

import numpy as np

from neuromirror.errors import RequestError

MAX_SEED = 2**63 - 1


def checked_seed(seed: int) -> int:
    """Return the seed, refusing what is no whole number from 0 to 2⁶³ − 1.

    Raises
    ------
    RequestError
        If it is not.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) <= MAX_SEED:
        raise RequestError(f"seed {seed!r}: expected a whole number from 0 to 2**63 - 1.")
    return int(seed)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one named stream.

    Parameters
    ----------
    seed : int
        Root seed of the run.
    *names : str or int
        The stream's name, such as ``("weights", "W1")``.

    Returns
    -------
    numpy.random.Generator
        Philox keyed by a hash of seed and name; streams of different names are independent.
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, names)))


def integer(seed: int, *names: str | int) -> int:
    """Return 31 bits derived from a named stream, for generators that take an integer seed."""
    return _key(seed, names) & 0x7FFFFFFF


def _key(seed: int, names: tuple[str | int, ...]) -> int:
    text = "\x1f".join([str(checked_seed(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
