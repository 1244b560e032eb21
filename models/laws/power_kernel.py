"""Numba core of `models.laws.power.PowerLaw.exposures`: one pass over a duty for storage and for rainflow.

Storage: the rate at a step's temperature and state of charge is read from a table of the law's own rate (made once
a law and voltage curve). Cycling: every turning point carries the running sums up to it, so that the conditions of
a range are differences of two of them and a parked step costs next to nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.domain import FloatArray
from models.laws.sei_kernel import rest_before

KELVIN = 273.15
TABLE_LOW_C, TABLE_HIGH_C = -40.0, 80.0
TABLE_STEP_C = 0.5
TABLE_SOC = 401
"""Against exact integration over ten years the table errs by less than 0.001 pp (benchmarks/bench_speed.py)."""
STILL_SOC = 0.005  # a step that moves less is spent at its middle
LEAST_MOVED = 1e-9  # throughput of a stretch from which on its own conditions can be told from rounding
DEPTH, MEAN, VOLT2, RATE, TEMP = range(5)


def table_axes() -> tuple[FloatArray, FloatArray]:
    """States of charge and temperatures of a storage table, shape (401,) [1] and (241,) [°C]."""
    n = round((TABLE_HIGH_C - TABLE_LOW_C) / TABLE_STEP_C) + 1
    return np.linspace(0.0, 1.0, TABLE_SOC), np.linspace(TABLE_LOW_C, TABLE_HIGH_C, n)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _close(
    values: FloatArray,
    sums: FloatArray,
    at: NDArray[np.int64],
    n: int,
    per_day: int,
    half: FloatArray,
    day: NDArray[np.int64],
    m: int,
    everything: bool,
) -> tuple[int, int]:
    """Close what the newest turning point closes (ASTM E1049-85); with ``everything`` the residue too, as halves."""
    while n >= 3:
        height = abs(values[n - 3] - values[n - 2])
        if abs(values[n - 2] - values[n - 1]) < height:
            break
        mean = 0.5 * (values[n - 3] + values[n - 2])
        m = _emit(sums, at, n - 3, n - 2, height, mean, per_day, half, day, m)
        if n == 3:
            gone, first = 1, 0
        else:  # a full cycle: its way back has conditions of its own
            m = _emit(sums, at, n - 2, n - 1, height, mean, per_day, half, day, m)
            gone, first = 2, n - 3
        for i in range(first, n - gone):
            values[i], at[i] = values[i + gone], at[i + gone]
            for q in range(4):
                sums[i, q] = sums[i + gone, q]
        n -= gone
    if everything:
        for i in range(n - 1):
            height, mean = abs(values[i + 1] - values[i]), 0.5 * (values[i + 1] + values[i])
            m = _emit(sums, at, i, i + 1, height, mean, per_day, half, day, m)
    return n, m


@njit(cache=True, nogil=True, error_model="numpy", inline="always")  # handing the arrays over costs more than the work
def _emit(
    sums: FloatArray,
    at: NDArray[np.int64],
    i: int,
    j: int,
    height: float,
    mean: float,
    per_day: int,
    half: FloatArray,
    day: NDArray[np.int64],
    m: int,
) -> int:
    half[DEPTH, m] = height
    half[MEAN, m] = mean
    half[VOLT2, m] = (sums[j, 3] - sums[i, 3]) / (at[j] - at[i])
    moved = sums[j, 0] - sums[i, 0]
    if moved > LEAST_MOVED:
        half[RATE, m] = (sums[j, 1] - sums[i, 1]) / moved
        half[TEMP, m] = (sums[j, 2] - sums[i, 2]) / moved
    else:  # the mean so far: of differences so small only rounding is left
        half[RATE, m] = sums[j, 1] / sums[j, 0]
        half[TEMP, m] = sums[j, 2] / sums[j, 0]
    day[m] = int((at[j] - 0.5) / per_day)
    return m + 1


@njit(cache=True, nogil=True, error_model="numpy")
def duty_pass(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    current: FloatArray,
    flow: FloatArray,
    per_capacity: float,
    present_per_hour: float,
    per_day: int,
    step_days: float,
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
    present_per_hour
        Present capacity over capacity as new, over the hours of a step: C-rate of a change of SOC. [1/h]
    per_day, step_days
        Steps a day; days a step. [d]
    tables
        Of each law: increment of z a day over SOC and temperature on `table_axes`, shape (laws, soc, temp).
    volt
        Open-circuit voltage of one cell on a uniform grid of SOC, shape (v,); of one NaN where no law asks. [V]
    stored
        Storage exposure a day of each law, shape (laws, days), written in place.

    Returns
    -------
    tuple
        Half cycles, shape (5, m): depth, mean SOC [1], mean square voltage [V^2], C-rate [1/h], temperature [°C], in
        the order in which they closed; day on which each ends, shape (m,); whether all steps lay within the table.
    """
    per_flow = present_per_hour / per_capacity
    inside = _store(cell_soc, temp_c, flow, per_flow, per_day, step_days, tables, stored)
    steps, uses, flowing = temp_c.shape[0], current.shape[1], flow.shape[0] > 0
    room = steps + 2  # memory that is never touched costs nothing
    half, day = np.empty((5, room)), np.empty(room, dtype=np.int64)
    values, sums, at = np.empty(room), np.empty((room, 4)), np.empty(room, dtype=np.int64)
    values[0], at[0] = cell_soc[0], 0
    sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3] = 0.0, 0.0, 0.0, 0.0
    n, m, last, turned, direction = 1, 0, volt.shape[0] - 1, 0, 0.0
    moved, rated, warmed = 0.0, 0.0, 0.0  # sums up to the boundary at which SOC last moved
    square = 0.0 if last > 0 else np.nan
    for j in range(steps):
        change = cell_soc[j + 1] - cell_soc[j]
        if change == 0.0:
            continue
        if direction * change <= 0.0:  # the plateau behind was a turning point (or this is the first step to move)
            if direction != 0.0:
                values[n], at[n] = cell_soc[j], turned
                sums[n, 0], sums[n, 1], sums[n, 2], sums[n, 3] = moved, rated, warmed, square
                n, m = _close(values, sums, at, n + 1, per_day, half, day, m, False)
            direction = change
        if last > 0 and j > turned:
            square += (j - turned) * _square_at(volt, last, cell_soc[j])
        if last > 0:
            square += _square_at(volt, last, 0.5 * (cell_soc[j] + cell_soc[j + 1]))
        size = abs(change)
        rate = flow[j] * per_capacity if flowing else 0.0
        if not rate > 0.0:  # none said, or NaN
            net = 0.0
            for q in range(uses):
                net += current[j, q]
            rate = abs(net) * per_capacity if net != 0.0 else size * present_per_hour
        moved += size
        rated += size * rate
        warmed += size * temp_c[j]
        turned = j + 1
    if turned > 0:
        values[n], at[n] = cell_soc[steps], turned
        sums[n, 0], sums[n, 1], sums[n, 2], sums[n, 3] = moved, rated, warmed, square
        n, m = _close(values, sums, at, n + 1, per_day, half, day, m, True)
    return half[:, :m], day[:m], inside


@njit(cache=True, nogil=True, error_model="numpy")
def _square_at(volt: FloatArray, last: int, soc: float) -> float:
    u = soc if soc > 0.0 else 0.0  # 0 where missing
    u = (u if u < 1.0 else 1.0) * last
    r = min(int(u), last - 1)
    v = volt[r] + (volt[r + 1] - volt[r]) * (u - r)
    return v * v


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _soc_place(soc: float, n_soc: int) -> tuple[int, float]:
    """Row of a storage table below a state of charge (clipped to 0..1; 0 where missing), and the way to the next."""
    u = soc * n_soc
    u = u if u > 0.0 else 0.0
    u = u if u < n_soc - 1e-9 else n_soc - 1e-9
    base = np.floor(u)
    return int(base), u - base


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _stored_at(flat: FloatArray, n_temp: int, c: int, fu: float, fw: float) -> float:
    low = flat[c] + (flat[c + 1] - flat[c]) * fw
    c += n_temp
    return low + (flat[c] + (flat[c + 1] - flat[c]) * fw - low) * fu


@njit(cache=True, nogil=True, error_model="numpy")
def _store(
    cell_soc: FloatArray,
    temp_c: FloatArray,
    flow: FloatArray,
    present_per_flow: float,
    per_day: int,
    step_days: float,
    tables: FloatArray,
    stored: FloatArray,
) -> bool:
    """Storage exposure of every day and law; whether all steps lay within the tables.

    While SOC moves its path is straight (Simpson); when current flows for a part of the step only, the rest is spent
    at its ends (`models.laws.sei_kernel.rest_before`). Places in the tables are the same for all laws.
    """
    n_soc, n_temp = tables.shape[1] - 1, tables.shape[2]
    flat = tables.ravel()
    hottest = n_temp - 1.0
    column = np.empty(per_day, np.int32)
    at, up, warm, weight = np.empty(per_day, np.int32), np.empty(per_day), np.empty(per_day), np.empty(per_day)
    ends, end_place, moving = np.empty((per_day, 2), np.int32), np.empty((per_day, 4)), np.empty(per_day, np.int64)
    outside = 0
    for d in range(stored.shape[1]):
        first = d * per_day
        n = min(per_day, temp_c.shape[0] - first)
        for i in range(n):
            w = (temp_c[first + i] - TABLE_LOW_C) * (1.0 / TABLE_STEP_C)
            both = cell_soc[first + i] + cell_soc[first + i + 1]
            outside += not (w >= 0.0 and w < hottest and both < np.inf)  # a missing value lies outside
            w = w if w > 0.0 else 0.0
            w = w if w < hottest - 1e-9 else hottest - 1e-9
            c = np.floor(w)
            u = 0.5 * n_soc * both
            u = u if u > 0.0 else 0.0
            u = u if u < n_soc - 1e-9 else n_soc - 1e-9
            base = np.floor(u)
            at[i], column[i] = np.int32(base * n_temp + c), np.int32(c)
            up[i], warm[i], weight[i] = u - base, w - c, 1.0
        m = 0
        for i in range(n):
            moving[m] = i
            m += abs(cell_soc[first + i + 1] - cell_soc[first + i]) > STILL_SOC
        for k in range(m):
            i = int(moving[k])
            j = first + i
            start, end = cell_soc[j], cell_soc[j + 1]
            share, lead = 1.0, 0.5
            if flow.shape[0] > 0 and flow[j] > 0.0:
                share = min(abs(end - start) * present_per_flow / flow[j], 1.0)
                if share < 1.0:
                    lead = rest_before(cell_soc, j)
            base_0, u_0 = _soc_place(start, n_soc)
            base_1, u_1 = _soc_place(end, n_soc)
            c = column[i]
            ends[k, 0], ends[k, 1] = base_0 * n_temp + c, base_1 * n_temp + c
            weight[i] = share * (4.0 / 6.0)
            end_place[k, 0], end_place[k, 1] = u_0, u_1
            end_place[k, 2], end_place[k, 3] = (
                share / 6.0 + (1.0 - share) * lead,
                share / 6.0 + (1.0 - share) * (1.0 - lead),
            )
        for q in range(tables.shape[0]):
            own = np.int32(q * tables.shape[1] * n_temp)
            total = 0.0
            for i in range(n):
                total += weight[i] * _stored_at(flat, n_temp, own + at[i], up[i], warm[i])
            for k in range(m):
                fw = warm[int(moving[k])]
                total += end_place[k, 2] * _stored_at(flat, n_temp, own + ends[k, 0], end_place[k, 0], fw)
                total += end_place[k, 3] * _stored_at(flat, n_temp, own + ends[k, 1], end_place[k, 1], fw)
            stored[q, d] = total * step_days
    return outside == 0


@njit(cache=True, nogil=True, error_model="numpy")
def add_by_day(
    day: NDArray[np.int64], rate: FloatArray, inverse: float, full_cycles: FloatArray, out: FloatArray
) -> None:
    """Add rate**inverse x full cycles and the full cycles to the days, columns 1 and 3 of ``out``."""
    for i in range(day.shape[0]):
        out[day[i], 1] += rate[i] ** inverse * full_cycles[i]
        out[day[i], 3] += full_cycles[i]
