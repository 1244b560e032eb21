"""Loops over the windows of the anode that `models.laws.sei_daily` is made of.

They have no branch and no call, and divisions raise nothing (``error_model="numpy"``): they compile to vector
instructions. Numbers are of single precision; everything is as long as a multiple of `models.laws.vector_math.BLOCK`,
but for what is computed at all nodes (`at_all_nodes`).
"""

from __future__ import annotations

from math import factorial

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.ndimage import convolve1d

from models.domain import FloatArray
from models.laws.sei_grid import Grid
from models.laws.vector_math import VECTOR, as_float, as_whole

Singles = npt.NDArray[np.float32]

_LOWEST, _HIGHEST = np.float32(-40.0), np.float32(40.0)  # products of two such exponentials stay finite
_LOG2_E, _ROUND = np.float32(1.4426950408889634), np.float32(1.5 * 2.0**23)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440054690583e-4)
_C0, _C2, _C3, _C4, _C5, _C6 = (np.float32(1.0 / factorial(i)) for i in (0, 2, 3, 4, 5, 6))
LANES = 8  # single-precision numbers in a register
BLUR_X = 0.004  # half the width of `blurred`: about half of what the anode moves between two windows [1]
BLUR_PER_V = 38.0  # F/RT near 32 degC [1/V]
_MANTISSA_BITS, _ONE_BITS = np.int32(23), np.int32(127 << 23)


def blurred(ocp: FloatArray) -> FloatArray:
    """Anode's potential on a uniform grid of stoichiometry without kinks narrower than windows lie apart. [V]

    A kink of the measured curve at which a car parks would count too much or not at all where growth is known at
    windows only. What is averaged, by a hat `BLUR_X` to either side, is exp(F phi / RT), to which the time goes in
    which a parked cell loses some lithium over interstitials: on the way through the kink that time is kept.

    Limits
    ------
    Over ten years of six policies and climates, five cells and five starts: within 0.20 % of the lithium that the exact
    curve loses, 0.09 % in 95 of 100 (``tests/test_sei.py``). The growth of a single day can be off by more.
    """
    reach = round(BLUR_X * (ocp.size - 1))
    hat = np.bartlett(2 * reach + 3)[1:-1]
    slow = convolve1d(np.exp(BLUR_PER_V * ocp), hat / hat.sum(), mode="nearest")
    return np.log(slow) / BLUR_PER_V


def anode_points(ocp: FloatArray, exchange: FloatArray, entropic: FloatArray) -> Singles:
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
    return np.ascontiguousarray(np.stack(columns, axis=1), dtype=np.float32)


@njit(**VECTOR)
def at_all_nodes(grid: Grid) -> int:
    """How many of the first windows are computed at all nodes: up to the last coarse one, in whole registers."""
    return 0 if grid.coarse.size == 0 else (int(grid.coarse.max()) // LANES + 1) * LANES


@njit(forceinline=True, **VECTOR)
def exp_all(z: Singles) -> None:
    """z <- exp(z), to 2e-7 for abs(z) < 40 and the value at the edge beyond."""
    for i in range(z.size):
        x = z[i]
        x = x if x > _LOWEST else _LOWEST
        x = x if x < _HIGHEST else _HIGHEST
        y = x * _LOG2_E + _ROUND
        scale = as_float((as_whole(y) << _MANTISSA_BITS) + _ONE_BITS)
        y -= _ROUND
        r = (x - y * _LN2_HIGH) - y * _LN2_LOW
        r2 = r * r
        z[i] = scale * (_C0 + (r + r2 * ((_C2 + _C3 * r) + r2 * ((_C4 + _C5 * r) + r2 * _C6))))


@njit(forceinline=True, **VECTOR)
def series_exp(z: np.float32) -> np.float32:
    """exp(z) for abs(z) below 1/2."""
    return _C0 + z * (_C0 + z * (_C2 + z * (_C3 + z * (_C4 + z * (_C5 + z * _C6)))))


@njit(forceinline=True, **VECTOR)
def place(
    first: FloatArray,
    wide: FloatArray,
    soc: float,
    shift: float,
    points: Singles,
    at: npt.NDArray[np.int32],
    way: Singles,
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
        way[w] = np.float32(u - np.float64(j))


@njit(forceinline=True, **VECTOR)
def take(flat: Singles, column: int, at: npt.NDArray[np.int32], way: Singles, out: Singles) -> None:
    """A quantity of `anode_points`, laid flat, at the places found."""
    for w in range(at.size):
        j = np.uint64(np.uint32(at[w]) + np.uint64(column))
        out[w] = flat[j] + flat[j + np.uint64(1)] * way[w]


@njit(forceinline=True, **VECTOR)
def add_slow(rows: Singles, fine: Singles, hours: np.float32, kinetic: Singles, film: Singles, middle: int) -> None:
    """Growth in series with diffusion, hours / (kinetic + film): first windows at all nodes, all in the middle."""
    for t in range(film.size):
        f = film[t]
        for w in range(rows.shape[1]):  # rows[t] as an array of its own would be counted by locked instructions
            rows[t, w] += hours / (kinetic[w] + f)
    f = film[middle]
    for w in range(fine.size):
        fine[w] += hours / (kinetic[w] + f)


@njit(forceinline=True, **VECTOR)
def add_slow_pair(
    rows: Singles,
    fine: Singles,
    hours: np.float32,
    kinetic: Singles,
    other_hours: np.float32,
    other: Singles,
    film: Singles,
    middle: int,
) -> None:
    """As `add_slow` twice, on one division."""
    for t in range(film.size):
        f = film[t]
        for w in range(rows.shape[1]):
            a, b = kinetic[w] + f, other[w] + f
            rows[t, w] += (hours * b + other_hours * a) / (a * b)
    f = film[middle]
    for w in range(fine.size):
        a, b = kinetic[w] + f, other[w] + f
        fine[w] += (hours * b + other_hours * a) / (a * b)


@njit(forceinline=True, **VECTOR)
def add_film(rows: Singles, fine: Singles, growth: Singles, share: Singles, middle: int) -> None:
    """Growth over interstitials: that of the window times the share of the node, where `add_slow` has it."""
    for t in range(rows.shape[0]):
        s = share[t]
        for w in range(rows.shape[1]):
            rows[t, w] += growth[w] * s
    s = share[middle]
    for w in range(fine.size):
        fine[w] += growth[w] * s
