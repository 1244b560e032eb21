"""Loops over the windows of the anode that `models.laws.sei_daily` is made of.

They have no branch and no call, and divisions raise nothing (``error_model="numpy"``): they compile to vector
instructions, four numbers at a time and four times unrolled. What such a loop leaves over runs one number at a time,
so that everything is as long as a multiple of `BLOCK`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray

BLOCK = 16
VECTOR = {"cache": True, "nogil": True, "error_model": "numpy"}


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


class Flat(NamedTuple):
    """A `Grid` laid out for vector loops: padded number of fine windows, then window and node of every coarse entry."""

    fine: int
    at: IntArray
    node: IntArray
    thick: FloatArray
    middle_thick: float


def anode_rows(ocp: FloatArray, exchange: FloatArray) -> FloatArray:
    """Potential and exchange current with their steps to the next point, side by side, shape (n - 1, 4)."""
    if ocp.shape != exchange.shape:
        raise ValueError(f"Tables of the anode need one grid, got {ocp.shape} and {exchange.shape}.")
    return np.ascontiguousarray(np.stack([ocp[:-1], np.diff(ocp), exchange[:-1], np.diff(exchange)], axis=1))


@njit(**VECTOR)
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


@njit(**VECTOR)
def series_exp(z: float) -> float:
    """exp(z) for abs(z) below 1/2."""
    return 1.0 + z * (1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720))))))


@njit(**VECTOR)
def look_up(
    rows: FloatArray,
    first: FloatArray,
    wide: FloatArray,
    soc: float,
    shift: float,
    ocp: FloatArray,
    exchange: FloatArray,
) -> None:
    """Potential and exchange current of every window at a state of charge."""
    top = rows.shape[0] - 1e-6
    for w in range(first.size):
        u = min(max(first[w] + soc * wide[w] + shift, 0.0), top)
        j = int(u)
        u -= j
        ocp[w] = rows[j, 0] + rows[j, 1] * u
        exchange[w] = rows[j, 2] + rows[j, 3] * u


@njit(**VECTOR)
def look_up_one(
    table: FloatArray, first: FloatArray, wide: FloatArray, soc: float, shift: float, out: FloatArray
) -> None:
    """A table at every window; left alone where it has one entry."""
    if table.size > 1:
        top = table.size - 1.000001
        for w in range(first.size):
            u = min(max(first[w] + soc * wide[w] + shift, 0.0), top)
            j = int(u)
            out[w] = table[j] + (table[j + 1] - table[j]) * (u - j)


@njit(**VECTOR)
def blocks(n: int) -> int:
    return (n + BLOCK - 1) // BLOCK * BLOCK


@njit(**VECTOR)
def padded(values: FloatArray) -> FloatArray:
    """Values with the last one repeated up to a whole number of blocks."""
    out = np.empty(blocks(values.size))
    for i in range(out.size):
        out[i] = values[min(i, values.size - 1)]
    return out


@njit(**VECTOR)
def laid_out(grid: Grid) -> Flat:
    """A grid as loops want it; padding repeats the first coarse entry."""
    n_t = grid.nodes.size
    size = blocks(grid.coarse.size * n_t)
    at, node, thick = np.zeros(size, np.int64), np.zeros(size, np.int64), np.ones(size)
    for i in range(size):
        j = i if i < grid.coarse.size * n_t else 0
        at[i], node[i] = grid.coarse[j // n_t], j % n_t
        thick[i] = grid.nodes[j % n_t]
    return Flat(blocks(grid.fine.size), at, node, thick, grid.nodes[grid.middle] if n_t > 0 else 1.0)


@njit(**VECTOR)
def add_slow(
    row: FloatArray,
    hours: float,
    kinetic: FloatArray,
    by: float,
    n_fine: int,
    middle_thick: float,
    at: IntArray,
    thick: FloatArray,
    slow: FloatArray,
) -> None:
    """Growth in series with diffusion: row += hours / (kinetic + by film), at every window and coarse entry."""
    film = by * middle_thick
    for w in range(n_fine):
        slow[w] = kinetic[w] + film
    for i in range(at.size):
        slow[n_fine + i] = kinetic[at[i]] + by * thick[i]
    for i in range(slow.size):
        row[i] += hours / slow[i]


@njit(**VECTOR)
def add_film(
    row: FloatArray, growth: FloatArray, share: FloatArray, middle: int, n_fine: int, at: IntArray, node: IntArray
) -> None:
    """Growth over interstitials: row += growth of the window times the share of the node."""
    own = share[middle]
    for w in range(n_fine):
        row[w] += growth[w] * own
    for i in range(at.size):
        row[n_fine + i] += growth[at[i]] * share[node[i]]
