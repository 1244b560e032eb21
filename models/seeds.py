"""Random generators by name: the same seed and names give the same draws, whatever else is drawn."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from models.domain import FloatArray


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for every combination of names.

    Examples
    --------
    >>> float(generator(1, "a").random()) == float(generator(1, "a").random())
    True
    """
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


@lru_cache(maxsize=256)
def shared_normal(seed: int, names: tuple[str, ...], shape: tuple[int, ...]) -> FloatArray:
    """Standard normal draws that many vehicles share, e.g. those of a cohort: drawn once, not to be written to.

    Examples
    --------
    >>> bool((shared_normal(1, ("a", "b"), (3,)) == generator(1, "a", "b").standard_normal(3)).all())
    True
    """
    drawn = generator(seed, *names).standard_normal(shape)
    drawn.flags.writeable = False
    return drawn
