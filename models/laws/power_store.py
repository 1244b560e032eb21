"""Storage exposure of a block of steps, read from tables of the laws' own rates (used by `models.laws.power_kernel`).

Places in the tables are found in vector loops and are the same for all laws; a lookup is four loads and no branch.
Indices are unsigned: numba asks of signed ones whether they count from the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import FloatArray
from models.laws.vector_math import VECTOR

TABLE_LOW_C, TABLE_HIGH_C = -40.0, 80.0
TABLE_STEP_C = 0.5
TABLE_SOC = 401
"""Against exact integration over ten years the table errs by less than 0.001 pp (benchmarks/bench_speed.py)."""
STILL_SOC = 0.005  # a step that moves less is spent at its middle
_ONE, _TWO = np.uint64(1), np.uint64(2)
_EDGE = 1e-9  # keeps a place below the last row or column
Places = NDArray[np.uint32]


def table_axes() -> tuple[FloatArray, FloatArray]:
    """States of charge and temperatures of a storage table, shape (401,) [1] and (241,) [°C]."""
    n = round((TABLE_HIGH_C - TABLE_LOW_C) / TABLE_STEP_C) + 1
    return np.linspace(0.0, 1.0, TABLE_SOC), np.linspace(TABLE_LOW_C, TABLE_HIGH_C, n)


def as_table(values: FloatArray) -> FloatArray:
    """Values on `table_axes`, shape (soc, temp), each with the step to the next temperature beside it: (soc, temp, 2).

    A place then needs two neighbours of each of its two rows and no subtraction.
    """
    table = np.zeros((*values.shape, 2))
    table[:, :, 0] = values
    table[:, :-1, 1] = np.diff(values, axis=1)
    return table


class Room(NamedTuple):
    """Room for the steps of a block: places in a table and ways to the next ones, and what a law adds.

    ``edge`` and ``edge_up`` are of the boundaries of steps (beginning of a row), ``at``, ``up``, ``column`` and
    ``warm`` of their middles; ``before``, ``middle`` and ``after`` weigh the three points of steps that move.
    """

    edge: Places
    edge_up: FloatArray
    at: Places
    up: FloatArray
    column: Places
    warm: FloatArray
    before: FloatArray
    middle: FloatArray
    after: FloatArray
    value: FloatArray


@njit(**VECTOR)
def room_for(steps: int) -> Room:
    """Room for blocks of so many steps."""
    return Room(
        np.empty(steps + 1, np.uint32),
        np.empty(steps + 1),
        np.empty(steps, np.uint32),
        np.empty(steps),
        np.empty(steps, np.uint32),
        np.empty(steps),
        np.full(steps, 1.0 / 6.0),
        np.full(steps, 4.0 / 6.0),
        np.full(steps, 1.0 / 6.0),
        np.empty(steps),
    )


@njit(**VECTOR)
def _edges(soc: FloatArray, n_soc: int, n_temp: int, edge: Places, edge_up: FloatArray) -> None:
    """Rows below the states of charge at boundaries (clipped to 0..1; 0 where missing)."""
    top = n_soc - _EDGE
    for i in range(soc.size):
        u = soc[i] * n_soc
        u = u if u > 0.0 else 0.0
        u = u if u < top else top
        base = np.floor(u)
        edge[i] = np.uint32(np.int32(base * n_temp))
        edge_up[i] = u - base


@njit(**VECTOR)
def _middles(
    soc: FloatArray,
    temp_c: FloatArray,
    n_soc: int,
    n_temp: int,
    at: Places,
    up: FloatArray,
    column: Places,
    warm: FloatArray,
) -> int:
    """Places of the middles of steps; how many steps lie outside the tables or miss a value."""
    top, hottest, outside = n_soc - _EDGE, n_temp - 1.0 - _EDGE, 0
    for i in range(temp_c.size):
        said = (temp_c[i] - TABLE_LOW_C) * (1.0 / TABLE_STEP_C)
        both = soc[i] + soc[i + 1]
        w = said if said > 0.0 else 0.0
        w = w if w < hottest else hottest
        outside += (w != said) | (both != both)  # the latter where a value is missing
        c = np.floor(w)
        u = 0.5 * n_soc * both
        u = u if u > 0.0 else 0.0
        u = u if u < top else top
        base = np.floor(u)
        at[i], column[i] = np.uint32(np.int32(base * n_temp + c)), np.uint32(np.int32(c))
        up[i], warm[i] = u - base, w - c
    return outside


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _read(table: FloatArray, n_temp: int, place: np.uint64, up: float, warm: float) -> float:
    """A table between its four points about a place."""
    place *= _TWO
    low = table[place] + table[place + _ONE] * warm
    place += _TWO * np.uint64(n_temp)
    return low + (table[place] + table[place + _ONE] * warm - low) * up


@njit(**VECTOR)
def _read_middles(
    table: FloatArray, n_temp: int, at: Places, up: FloatArray, warm: FloatArray, value: FloatArray
) -> None:
    for i in range(value.size):
        value[i] = _read(table, n_temp, np.uint64(at[i]), up[i], warm[i])


@njit(**VECTOR)
def _add_ends(
    table: FloatArray,
    n_temp: int,
    swings: Places,
    edge: Places,
    edge_up: FloatArray,
    column: Places,
    warm: FloatArray,
    before: FloatArray,
    middle: FloatArray,
    after: FloatArray,
    value: FloatArray,
) -> None:
    """Beginnings and ends of the steps that move, each with its weight."""
    for k in range(swings.size):
        i = np.uint64(swings[k])
        c, w = np.uint64(column[i]), warm[i]
        start = _read(table, n_temp, np.uint64(edge[i]) + c, edge_up[i], w)
        end = _read(table, n_temp, np.uint64(edge[i + _ONE]) + c, edge_up[i + _ONE], w)
        value[i] = middle[k] * value[i] + (before[k] * start + after[k] * end)


@njit(**VECTOR)
def _weigh(
    cell_soc: FloatArray,
    flow: FloatArray,
    present_per_flow: float,
    first: int,
    swings: Places,
    before: FloatArray,
    middle: FloatArray,
    after: FloatArray,
) -> None:
    """Weights of the three points of steps that move: Simpson's while current flows, rest lies at the ends."""
    last = np.uint64(cell_soc.size - 1)
    for k in range(swings.size):
        j = np.uint64(first) + np.uint64(swings[k])
        low, high = j - np.uint64(j > 0), min(j + np.uint64(2), last)
        share = abs(cell_soc[j + _ONE] - cell_soc[j]) * present_per_flow / flow[j] if flow[j] > 0.0 else 1.0
        share = min(share, 1.0)
        # The rest lies on the side that stands still, else on both (`models.laws.sei_kernel.rest_before`).
        moved, moves = cell_soc[j] != cell_soc[low], cell_soc[high] != cell_soc[j + _ONE]
        lead = 0.5 * (1.0 + np.float64(moves) - np.float64(moved))
        before[k] = share / 6.0 + (1.0 - share) * lead
        middle[k] = share * (4.0 / 6.0)
        after[k] = share / 6.0 + (1.0 - share) * (1.0 - lead)


@njit(**VECTOR)
def _sum_days(value: FloatArray, per_day: int, scale: float, stored: FloatArray) -> None:
    """Sums of days in four parts: additions needn't wait for each other. The last day may be incomplete."""
    for d in range(stored.size):
        own = value[d * per_day : (d + 1) * per_day]
        a, b, c, e = 0.0, 0.0, 0.0, 0.0
        fours = own.size // 4
        for i in range(fours):
            a += own[4 * i]
            b += own[4 * i + 1]
            c += own[4 * i + 2]
            e += own[4 * i + 3]
        for i in range(4 * fours, own.size):
            a += own[i]
        stored[d] = ((a + b) + (c + e)) * scale


@njit(**VECTOR)
def store_block(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    flow: FloatArray,
    present_per_flow: float,
    first: int,
    steps: int,
    per_day: int,
    step_days: float,
    swings: Places,
    tables: FloatArray,
    room: Room,
    stored: FloatArray,
) -> int:
    """Storage exposure of the days of a block, for each law; how many steps lie outside the tables.

    Parameters
    ----------
    cell_soc, temp_c, flow, present_per_flow, per_day, step_days, tables
        Of the whole duty, see `models.laws.power_kernel.duty_pass`.
    first, steps
        First step of the block, at the beginning of a day, and number of its steps.
    swings
        Steps of the block, counted from ``first``, whose SOC moves by more than `STILL_SOC`.
    stored
        Shape (laws, days), written in place.
    """
    n_soc, n_temp = tables.shape[1] - 1, tables.shape[2]
    soc = cell_soc[first : first + steps + 1]
    _edges(soc, n_soc, n_temp, room.edge, room.edge_up)
    outside = _middles(soc, temp_c[first : first + steps], n_soc, n_temp, room.at, room.up, room.column, room.warm)
    if flow.size > 0:
        _weigh(cell_soc, flow, present_per_flow, first, swings, room.before, room.middle, room.after)
    day, days = first // per_day, -(-steps // per_day)
    for q in range(tables.shape[0]):
        table = tables[q].ravel()
        value = room.value[:steps]
        _read_middles(table, n_temp, room.at, room.up, room.warm, value)
        _add_ends(
            table,
            n_temp,
            swings,
            room.edge,
            room.edge_up,
            room.column,
            room.warm,
            room.before,
            room.middle,
            room.after,
            value,
        )
        _sum_days(value, per_day, step_days, stored[q, day : day + days])
    return outside
