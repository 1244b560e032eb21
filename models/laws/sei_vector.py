"""Loops over the windows of the anode that `models.laws.sei_daily` is made of.

They have no branch and no call, and divisions raise nothing (``error_model="numpy"``): they compile to vector
instructions. Everything is as long as a multiple of `models.laws.vector_math.BLOCK`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from models.domain import FloatArray, IntArray
from models.laws.vector_math import VECTOR


class Grid(NamedTuple):
    """What a member's growth is wanted at: ``fine`` windows at the middle node, then ``coarse`` ones at all nodes.

    Windows are places among those handed to `daily_growth`, nodes film thicknesses in film units; the coarse windows
    have trapped lithium too. The n fine windows are the first n in any order: members share windows from the start on.
    A member that is not wanted has none.
    """

    fine: IntArray
    coarse: IntArray
    nodes: FloatArray
    middle: int


NO_GRID = Grid(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0)


def anode_points(ocp: FloatArray, exchange: FloatArray, entropic: FloatArray) -> FloatArray:
    """Potential, exchange current and entropic change of the anode, each with its step to the next point, side by side.

    Returns
    -------
    ndarray
        Shape (n - 1, 6), or (n - 1, 4) where the entropic change has one entry (none is known).
    """
    tables = [ocp, exchange] + ([entropic] if entropic.size > 1 else [])
    if any(t.shape != ocp.shape for t in tables):
        raise ValueError(f"Tables of the anode need one grid, got {[t.shape for t in tables]}.")
    columns = [c for t in tables for c in (t[:-1], np.diff(t))]
    return np.ascontiguousarray(np.stack(columns, axis=1))


@njit(forceinline=True, **VECTOR)
def exp_all(z: FloatArray) -> None:
    """z <- exp(z): (series of z / 1024)^1024, to 1e-8 for abs(z) < 90."""
    for i in range(z.size):
        y = z[i] * (1.0 / 1024.0)
        y = 1.0 + y * (1.0 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720))))))
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        y = y * y
        z[i] = y * y


@njit(forceinline=True, **VECTOR)
def series_exp(z: float) -> float:
    """exp(z) for abs(z) below 1/2."""
    return 1.0 + z * (1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720))))))


@njit(forceinline=True, **VECTOR)
def place(
    first: FloatArray,
    wide: FloatArray,
    soc: float,
    shift: float,
    points: FloatArray,
    at: npt.NDArray[np.int32],
    way: FloatArray,
) -> None:
    """Where every window lies in a table at a state of charge: first number of the point before, and way to the next.

    Places have 32 bits: a conversion to 64 does not vectorize.
    """
    top, width = points.shape[0] - 1e-6, np.int32(points.shape[1])
    for w in range(first.size):
        u = first[w] + soc * wide[w] + shift
        u = u if u > 0.0 else 0.0
        u = u if u < top else top
        j = np.int32(u)
        at[w] = j * width
        way[w] = u - np.float64(j)


@njit(forceinline=True, **VECTOR)
def take(flat: FloatArray, column: int, at: npt.NDArray[np.int32], way: FloatArray, out: FloatArray) -> None:
    """A quantity of `anode_points`, laid flat, at the places found."""
    for w in range(at.size):
        j = np.uint64(np.uint32(at[w]) + np.uint64(column))
        out[w] = flat[j] + flat[j + np.uint64(1)] * way[w]


@njit(forceinline=True, **VECTOR)
def add_slow(rows: FloatArray, hours: float, kinetic: FloatArray, film: FloatArray) -> None:
    """Growth in series with diffusion: rows += hours / (kinetic + film), shape (nodes, windows)."""
    for t in range(film.size):
        f = film[t]
        for w in range(kinetic.size):  # rows[t] as an array of its own would be counted by locked instructions
            rows[t, w] += hours / (kinetic[w] + f)


@njit(forceinline=True, **VECTOR)
def add_slow_pair(
    rows: FloatArray, hours: float, kinetic: FloatArray, other_hours: float, other: FloatArray, film: FloatArray
) -> None:
    """As `add_slow` twice, on one division."""
    for t in range(film.size):
        f = film[t]
        for w in range(kinetic.size):
            a, b = kinetic[w] + f, other[w] + f
            rows[t, w] += (hours * b + other_hours * a) / (a * b)


@njit(forceinline=True, **VECTOR)
def add_film(rows: FloatArray, growth: FloatArray, share: FloatArray) -> None:
    """Growth over interstitials: rows += growth of the window times the share of the node, shape (nodes, windows)."""
    for t in range(rows.shape[0]):
        s = share[t]
        for w in range(rows.shape[1]):
            rows[t, w] += growth[w] * s
