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


@njit(cache=True, nogil=True)
def _push(
    value: float,
    index: int,
    values: FloatArray,
    indices: IntArray,
    n: int,
    cycles: FloatArray,
    places: IntArray,
    m: int,
) -> tuple[int, int]:
    values[n], indices[n] = value, index
    n += 1
    while n >= 3:
        height = abs(values[n - 3] - values[n - 2])
        if abs(values[n - 2] - values[n - 1]) < height:
            break
        cycles[m, 0] = height
        cycles[m, 1] = 0.5 * (values[n - 3] + values[n - 2])
        places[m, 0], places[m, 1] = indices[n - 3], indices[n - 2]
        if n == 3:
            cycles[m, 2], places[m, 2] = 0.5, -1
            values[0], values[1] = values[1], values[2]
            indices[0], indices[1] = indices[1], indices[2]
            n = 2
        else:
            cycles[m, 2], places[m, 2] = 1.0, indices[n - 1]
            values[n - 3], indices[n - 3] = values[n - 1], indices[n - 1]
            n -= 2
        m += 1
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
    cycles: FloatArray,
    places: IntArray,
) -> tuple[int, float, int, float, int]:
    m = 0
    for j in range(x.shape[0]):
        v = x[j]
        k = seen + j
        if k == 0:
            values[0], indices[0], n = v, 0, 1
            last_value, last_index = v, 0
            continue
        d = v - last_value
        if d == 0.0:
            continue
        if direction * d < 0.0:  # the last value was a turning point
            n, m = _push(last_value, last_index, values, indices, n, cycles, places, m)
        direction, last_value, last_index = d, v, k
    return n, last_value, last_index, direction, m


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
    x = np.ascontiguousarray(trace, dtype=float)
    s, room = state.values.shape[0], state.values.shape[0] + x.shape[0] + 1
    values, indices = np.empty(room), np.empty(room, dtype=np.int64)
    values[:s], indices[:s] = state.values, state.indices
    cycles, places = np.empty((room, 3)), np.empty((room, 3), dtype=np.int64)
    n, last_value, last_index, direction, m = _feed(
        x, values, indices, s, state.last_value, state.last_index, state.direction, state.seen, cycles, places
    )
    after = RainflowState(
        values[:n].copy(), indices[:n].copy(), last_value, last_index, direction, state.seen + x.shape[0]
    )
    return after, _cycles(cycles[:m], places[:m])


def residue(state: RainflowState) -> Cycles:
    """What has not closed: ranges that the last sample would close, then the rest as half cycles."""
    s = state.values.shape[0]
    values, indices = np.empty(s + 1), np.empty(s + 1, dtype=np.int64)
    values[:s], indices[:s] = state.values, state.indices
    cycles, places = np.empty((s + 2, 3)), np.full((s + 2, 3), -1, dtype=np.int64)
    n, m = s, 0
    if state.last_index > 0:
        n, m = _push(state.last_value, state.last_index, values, indices, n, cycles, places, 0)
    if n >= 2:
        rest = slice(m, m + n - 1)
        cycles[rest, 0] = np.abs(np.diff(values[:n]))
        cycles[rest, 1] = 0.5 * (values[1:n] + values[: n - 1])
        cycles[rest, 2] = 0.5
        places[rest, 0], places[rest, 1], places[rest, 2] = indices[: n - 1], indices[1:n], -1
        m += n - 1
    return _cycles(cycles[:m], places[:m])


def count_cycles(trace: FloatArray) -> Cycles:
    """All ranges of a trace, residue included as half cycles.

    Examples
    --------
    The trace of ASTM E1049-85, figure 6:

    >>> c = count_cycles(np.array([-2.0, 1.0, -3.0, 5.0, -1.0, 3.0, -4.0, 4.0, -2.0]))
    >>> sorted(zip(c.range_frac.tolist(), c.count.tolist()))
    [(3.0, 0.5), (4.0, 0.5), (4.0, 1.0), (6.0, 0.5), (8.0, 0.5), (8.0, 0.5), (9.0, 0.5)]
    """
    state, closed = advance(EMPTY, trace)
    rest = residue(state)
    return Cycles(
        *(
            np.concatenate([getattr(closed, name), getattr(rest, name)])
            for name in ("range_frac", "mean_frac", "count", "start", "end", "closing")
        )
    )


def _cycles(cycles: FloatArray, places: IntArray) -> Cycles:
    c = [np.ascontiguousarray(cycles[:, i]) for i in range(3)]
    p = [np.ascontiguousarray(places[:, i]) for i in range(3)]
    return Cycles(c[0], c[1], c[2], p[0], p[1], p[2])
