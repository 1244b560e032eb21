"""Rainflow counting after ASTM E1049-85, exact on plateaus, resumable.

A parked car's state of charge is a plateau; a plateau is one turning point (at its start), never two. Ranges are
counted when they close; what has not closed yet (the residue) is state that is carried on, and is charged as half
cycles only where a count of the present is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from models.domain import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Cycles:
    """Counted ranges in the order in which they closed, shape (m,) each.

    Parameters
    ----------
    range_frac, mean_frac
        Height and middle of the range. [unit of the trace]
    count
        1.0 a full cycle, 0.5 a half.
    start, end
        Indices of the two turning points in the trace (start of the plateau, where there is one).
    closing
        Index of the turning point after ``end``, with which a full cycle closed; -1 for a half cycle.
    """

    range_frac: FloatArray
    mean_frac: FloatArray
    count: FloatArray
    start: IntArray
    end: IntArray
    closing: IntArray


@dataclass(frozen=True, eq=False)
class RainflowState:
    """Turning points that have not closed a range, and the last sample.

    ``values`` and ``indices`` are the stack, shape (s,); ``seen`` counts samples, so that indices go on.
    """

    values: FloatArray
    indices: IntArray
    last_value: float
    last_index: int
    direction: float
    seen: int


EMPTY = RainflowState(np.empty(0), np.empty(0, dtype=np.int64), 0.0, -1, 0.0, 0)


_CHUNK = 2048  # turning points are gathered in the cache


@njit(cache=True, nogil=True)
def _push(
    turns: FloatArray,
    places: IntArray,
    values: FloatArray,
    indices: IntArray,
    n: int,
    height: FloatArray,
    mean: FloatArray,
    start: IntArray,
    end: IntArray,
    closing: IntArray,
    m: int,
) -> tuple[int, int]:
    """Put turning points on the stack; its two newest stay in registers: a random trace takes a third of the time."""
    below, top = values[max(n - 2, 0)], values[max(n - 1, 0)]
    for i in range(turns.shape[0]):
        value, index = turns[i], places[i]
        while n >= 2:
            h = abs(below - top)
            if abs(top - value) < h:
                break
            height[m], mean[m] = h, 0.5 * (below + top)
            start[m], end[m] = indices[n - 2], indices[n - 1]
            if n == 2:
                closing[m] = -1
                values[0], indices[0] = top, indices[1]
                n = 1
            else:
                closing[m] = index
                n -= 2
                top = values[n - 1]
                below = values[n - 2] if n >= 2 else top
            m += 1
        values[n], indices[n] = value, index
        below, top = top, value
        n += 1
    return n, m


@njit(cache=True, nogil=True)
def _feed(
    x: FloatArray,
    values: FloatArray,
    indices: IntArray,
    n: int,
    last_value: float,
    last_index: int,
    direction: float,
    seen: int,
    height: FloatArray,
    mean: FloatArray,
    start: IntArray,
    end: IntArray,
    closing: IntArray,
) -> tuple[int, float, int, float, int]:
    m, first = 0, 0
    if seen == 0 and x.shape[0] > 0:
        values[0], indices[0], n = x[0], 0, 1
        last_value, last_index, first = x[0], 0, 1
    turns, places = np.empty(_CHUNK), np.empty(_CHUNK, dtype=np.int64)
    for low in range(first, x.shape[0], _CHUNK):
        k = 0
        for j in range(low, min(low + _CHUNK, x.shape[0])):  # without a branch: random traces would mispredict it
            v = x[j]
            d = v - last_value
            turns[k], places[k] = last_value, last_index
            k += direction * d < 0.0  # the last value was a turning point
            moved = d != 0.0
            direction = d if moved else direction
            last_index = seen + j if moved else last_index
            last_value = v
        n, m = _push(turns[:k], places[:k], values, indices, n, height, mean, start, end, closing, m)
    return n, last_value, last_index, direction, m


@njit(cache=True, nogil=True)
def _rest(
    last_value: float,
    last_index: int,
    values: FloatArray,
    indices: IntArray,
    n: int,
    height: FloatArray,
    mean: FloatArray,
    start: IntArray,
    end: IntArray,
    closing: IntArray,
    m: int,
) -> int:
    if last_index > 0:
        turns, places = np.full(1, last_value), np.full(1, last_index)
        n, m = _push(turns, places, values, indices, n, height, mean, start, end, closing, m)
    for i in range(n - 1):
        height[m], mean[m] = abs(values[i + 1] - values[i]), 0.5 * (values[i + 1] + values[i])
        start[m], end[m], closing[m] = indices[i], indices[i + 1], -1
        m += 1
    return m


_Room = tuple[FloatArray, FloatArray, IntArray, IntArray, IntArray]


def _room(size: int) -> _Room:
    """Space for ranges; what is never written costs no memory."""
    heights, means = np.empty(size), np.empty(size)
    places = [np.empty(size, dtype=np.int64) for _ in range(3)]
    return heights, means, places[0], places[1], places[2]


def _cycles(room: _Room, m: int) -> Cycles:
    closing = room[4][:m]
    return Cycles(room[0][:m], room[1][:m], np.where(closing < 0, 0.5, 1.0), room[2][:m], room[3][:m], closing)


def advance(state: RainflowState, trace: FloatArray) -> tuple[RainflowState, Cycles]:
    """Count the ranges that close within a further piece of a trace.

    Parameters
    ----------
    state
        `EMPTY` at the start, or what an earlier call returned.
    trace
        The samples that follow, shape (n,).

    Returns
    -------
    tuple[RainflowState, Cycles]
        The state to go on from, and the ranges closed in this piece. Cutting a trace anywhere gives the same ranges.

    References
    ----------
    ASTM E1049-85, section 5.4.4.
    """
    after, room, m = _advance(state, np.ascontiguousarray(trace, dtype=float))
    return after, _cycles(room, m)


def _advance(state: RainflowState, x: FloatArray) -> tuple[RainflowState, _Room, int]:
    s = state.values.shape[0]
    room = _room(s + x.shape[0] + 2)
    values, indices = np.empty(s + x.shape[0] + 2), np.empty(s + x.shape[0] + 2, dtype=np.int64)
    values[:s], indices[:s] = state.values, state.indices
    n, last_value, last_index, direction, m = _feed(
        x, values, indices, s, state.last_value, state.last_index, state.direction, state.seen, *room
    )
    seen = state.seen + x.shape[0]
    return RainflowState(values[:n].copy(), indices[:n].copy(), last_value, last_index, direction, seen), room, m


def _residue(state: RainflowState, room: _Room, m: int) -> int:
    s = state.values.shape[0]
    values, indices = np.empty(s + 1), np.empty(s + 1, dtype=np.int64)
    values[:s], indices[:s] = state.values, state.indices
    return _rest(state.last_value, state.last_index, values, indices, s, *room, m)


def residue(state: RainflowState) -> Cycles:
    """What has not closed: ranges that the last sample would close, then the rest as half cycles."""
    room = _room(state.values.shape[0] + 2)
    return _cycles(room, _residue(state, room, 0))


def count_cycles(trace: FloatArray) -> Cycles:
    """All ranges of a trace, residue included as half cycles.

    Examples
    --------
    The trace of ASTM E1049-85, figure 6:

    >>> c = count_cycles(np.array([-2.0, 1.0, -3.0, 5.0, -1.0, 3.0, -4.0, 4.0, -2.0]))
    >>> sorted(zip(c.range_frac.tolist(), c.count.tolist()))
    [(3.0, 0.5), (4.0, 0.5), (4.0, 1.0), (6.0, 0.5), (8.0, 0.5), (8.0, 0.5), (9.0, 0.5)]
    """
    state, room, m = _advance(EMPTY, np.ascontiguousarray(trace, dtype=float))
    return _cycles(room, _residue(state, room, m))
