"""Numba core of `models.laws.power.PowerLaw.exposures`: one pass over a duty for storage and for rainflow.

The duty is taken in blocks of days that stay in the first cache, and of each block only the steps that move are
looked at for rainflow. Every turning point carries the running sums up to it, so that the conditions of a range are
differences of two of them.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import BoolArray, FloatArray, IntArray
from models.laws.power_store import STILL_SOC, Places, room_for, store_block
from models.laws.vector_math import BRIEF, VECTOR

KELVIN = 273.15
LEAST_MOVED = 1e-9  # throughput of a stretch from which on its own conditions can be told from rounding
DEPTH, MEAN, FULL, VOLT, RATE, TEMP = range(6)
MOVED, RATED, WARMED, AT = range(4)  # throughput, times C-rate, times temperature; boundary of steps
_BLOCK = 960  # steps at a time, as whole days
_ONE, _TWO = np.uint64(1), np.uint64(2)


@njit(**VECTOR)
def _moving(soc: FloatArray, moves: BoolArray, out: Places) -> int:
    """Steps whose SOC moves, without a branch: a car parks and drives at random."""
    for i in range(soc.size - 1):
        moves[i] = soc[i + 1] != soc[i]
    m = np.uint64(0)
    for i in range(soc.size - 1):
        out[m] = np.uint32(i)
        m += np.uint64(moves[i])
    return int(np.int64(m))


@njit(**VECTOR)
def _turns(
    soc: FloatArray,
    temp_c: FloatArray,
    current: FloatArray,
    flow: FloatArray,
    per_capacity: float,
    present_per_hour: float,
    first: int,
    moving: Places,
    swings: Places,
    points: FloatArray,
    count: int,
    rising: bool,
) -> tuple[int, bool, int]:
    """Turning points of a block, put on ``points`` after ``count`` others; new count and direction.

    Of the moving steps those that move by more than `STILL_SOC` are put on ``swings``; the last number says how many.

    The newest point is always the boundary at which SOC last moved, with the sums up to it: it stays as a turning
    point when the next move goes the other way, without a branch. Other arrays are those of the block (`duty_pass`).
    """
    n, far = np.uint64(count), np.uint64(0)
    flowing = flow.size > 0
    moved, rated, warmed = points[n, MOVED], points[n, RATED], points[n, WARMED]
    for k in range(moving.size):
        j = np.uint64(moving[k])
        change = soc[j + _ONE] - soc[j]
        up = change > 0.0
        n += np.uint64(up != rising)
        rising = up
        size = abs(change)
        swings[far] = moving[k]
        far += np.uint64(size > STILL_SOC)
        rate = flow[j] * per_capacity if flowing else 0.0
        if not rate > 0.0:  # none said, or NaN
            net = current[j, 0] + current[j, 1] + current[j, 2] + current[j, 3]
            rate = abs(net) * per_capacity if net != 0.0 else size * present_per_hour
        moved += size
        rated += size * rate
        warmed += size * temp_c[j]
        points[n, MOVED], points[n, RATED], points[n, WARMED] = moved, rated, warmed
        points[n, AT] = first + np.int64(j) + 1
    return int(np.int64(n)), rising, int(np.int64(far))


@njit(**VECTOR)
def _close(values: FloatArray, depth: FloatArray, mean: FloatArray, ends: Places) -> None:
    """Rainflow of turning points (ASTM E1049-85): heights, means and ends of the half cycles, residue included.

    Of n turning points n - 1 half cycles come: every point but the last is left behind by one. The two newest points
    of the stack stay in registers.
    """
    stack, places = np.empty(values.size + 1), np.empty(values.size + 1, np.uint32)
    n, m = np.uint64(0), np.uint64(0)
    below, top = values[0], values[0]
    for i in range(values.size):
        value = values[i]
        while n >= _TWO:
            height = abs(below - top)
            if abs(top - value) < height:
                break
            middle = 0.5 * (below + top)
            depth[m], mean[m] = height, middle
            ends[m, 0], ends[m, 1] = places[n - _TWO], places[n - _ONE]
            m += _ONE
            if n == _TWO:
                stack[0], places[0] = top, places[1]
                n = _ONE
            else:  # a full cycle: its way back has conditions of its own
                depth[m], mean[m] = height, middle
                ends[m, 0], ends[m, 1] = places[n - _ONE], np.uint32(i)
                m += _ONE
                n -= _TWO
                top = stack[n - _ONE]
                below = stack[n - _TWO] if n >= _TWO else top
        stack[n], places[n] = value, np.uint32(i)
        below, top = top, value
        n += _ONE
    for i in range(np.int64(n) - 1):
        depth[m], mean[m] = abs(stack[i + 1] - stack[i]), 0.5 * (stack[i + 1] + stack[i])
        ends[m, 0], ends[m, 1] = places[i], places[i + 1]
        m += _ONE


@njit(**VECTOR)
def _conditions(
    points: FloatArray, ends: Places, per_day: int, rate: FloatArray, temp_k: FloatArray, day: IntArray
) -> None:
    """C-rate and temperature of half cycles, and the day on which each ends."""
    per_step = 1.0 / per_day
    for m in range(day.size):
        i, j = np.uint64(ends[m, 0]), np.uint64(ends[m, 1])
        moved = points[j, MOVED] - points[i, MOVED]
        rated, warmed = points[j, RATED] - points[i, RATED], points[j, WARMED] - points[i, WARMED]
        if not moved > LEAST_MOVED:  # the mean so far: of differences so small only rounding is left
            moved, rated, warmed = points[j, MOVED], points[j, RATED], points[j, WARMED]
        rate[m] = rated / moved
        temp_k[m] = warmed / moved + KELVIN
        day[m] = int((points[j, AT] - 0.5) * per_step)


@njit(**VECTOR)
def _voltages(cell_soc: FloatArray, volt: FloatArray, points: FloatArray, ends: Places, volt_rms: FloatArray) -> None:
    """Root mean square of the voltage along half cycles, from running sums over the middles of steps."""
    last, steps = volt.size - 1, cell_soc.size - 1
    middle = volt[last // 2] ** 2  # sums of what differs from it keep more digits
    squares = np.empty(steps + 1)
    squares[0] = 0.0
    for i in range(steps):
        u = 0.5 * (cell_soc[i] + cell_soc[i + 1])
        u = u if u > 0.0 else 0.0  # 0 where missing
        u = (u if u < 1.0 else 1.0) * last
        r = np.uint64(np.uint32(np.int32(min(u, last - 1.0))))
        v = volt[r] + (volt[r + _ONE] - volt[r]) * (u - r)
        squares[i + 1] = v * v - middle
    for i in range(steps):
        squares[i + 1] += squares[i]
    for m in range(volt_rms.size):
        i, j = int(points[ends[m, 0], AT]), int(points[ends[m, 1], AT])
        volt_rms[m] = np.sqrt(middle + (squares[j] - squares[i]) / (j - i))


@njit(**VECTOR)
def duty_pass(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    current: FloatArray,
    flow: FloatArray,
    per_capacity: float,
    present_frac: float,
    step_hours: float,
    per_day: int,
    tables: FloatArray,
    volt: FloatArray,
    stored: FloatArray,
) -> tuple[FloatArray, NDArray[np.int64], bool]:
    """Storage exposure of every day, and the half cycles of the duty with their conditions.

    Parameters
    ----------
    cell_soc, temp_c, current
        As in `models.domain.Duty`.
    flow
        ``flow_a`` of the duty, shape (n,), or of no entry: current flows for the whole step. [A]
    per_capacity
        One over the capacity as new. [1/A.h]
    present_frac
        Present capacity over capacity as new. [1]
    step_hours, per_day
        Length of a step [h], steps a day.
    tables
        Of each law: increment of z a day over SOC and temperature, shape (laws, soc, temp, 2), see
        `models.laws.power_store.as_table`.
    volt
        Open-circuit voltage of one cell on a uniform grid of SOC, shape (v,); of one NaN where no law asks. [V]
    stored
        Storage exposure a day of each law, shape (laws, days), written in place.

    Returns
    -------
    tuple
        Half cycles, shape (6, m): depth, mean SOC [1], full cycles of the capacity as new [1], root mean square
        voltage [V] (NaN where no law asks), C-rate [1/h], temperature [K], in the order in which they closed; day on
        which each ends, shape (m,); whether all steps lay within the tables.
    """
    present_per_hour = present_frac / step_hours
    steps = temp_c.size
    block = max(_BLOCK // per_day, 1) * per_day
    room, moving, swings = room_for(block), np.empty(block + 1, np.uint32), np.empty(block + 1, np.uint32)
    moves, points = np.empty(block, np.bool_), np.empty((steps + 2, 4))
    points[0] = 0.0
    n, outside, rising = 0, 0, False
    for first in range(0, steps, block):
        count = min(block, steps - first)
        soc = cell_soc[first : first + count + 1]
        m = _moving(soc, moves, moving)
        if n == 0 and m > 0:  # the beginning is a turning point, whichever way it goes
            n, rising = 1, bool(soc[moving[0] + 1] > soc[moving[0]])
            points[1] = 0.0
        own = flow[first : first + count] if flow.size > 0 else flow
        n, rising, far = _turns(
            soc,
            temp_c[first : first + count],
            current[first : first + count],
            own,
            per_capacity,
            present_per_hour,
            first,
            moving[:m],
            swings,
            points,
            n,
            rising,
        )
        outside += store_block(
            cell_soc,
            temp_c,
            flow,
            present_per_hour / per_capacity,
            first,
            count,
            per_day,
            step_hours / 24.0,
            swings[:far],
            tables,
            room,
            stored,
        )
    half, day, values = np.empty((6, n)), np.empty(n, np.int64), np.empty(n + 1)
    for i in range(n + 1):
        values[i] = cell_soc[int(points[i, AT])]
    ends = np.empty((n, 2), np.uint32)
    _close(values, half[DEPTH], half[MEAN], ends)
    half[FULL] = half[DEPTH] * (0.5 * present_frac)
    _conditions(points, ends, per_day, half[RATE], half[TEMP], day)
    half[VOLT] = np.nan
    if volt.size > 1:
        _voltages(cell_soc, volt, points, ends, half[VOLT])
    return half, day, outside == 0


@njit(**BRIEF)
def by_day(
    stored: FloatArray, last_day: float, day: IntArray, growth: FloatArray, full_cycles: FloatArray
) -> FloatArray:
    """Rows of days: storage, growth a full cycle times full cycles, time, full cycles on the days half cycles end."""
    out = np.empty((stored.size, 4))
    for d in range(stored.size):
        out[d, 0], out[d, 1], out[d, 2], out[d, 3] = stored[d], 0.0, 1.0, 0.0
    out[stored.size - 1, 2] = last_day
    for i in range(day.size):
        d = np.uint64(day[i])
        out[d, 1] += growth[i] * full_cycles[i]
        out[d, 3] += full_cycles[i]
    return out
