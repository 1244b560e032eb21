"""Compiled kernels of `models.dispatch`: the plan of each block, the recorded past.

Plain arrays in, plain arrays filled; the meaning of every quantity is told in `models.dispatch`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

NONE, OUTAGE, PEAK, SOLAR, ARBITRAGE = 0, 1, 2, 3, 4
IMMEDIATE, SMART = 0, 1
TINY = 1e-9  # kWh: less is not moved


class Knobs(NamedTuple):
    """Numbers of one policy, charger and battery; energies at the battery [kWh], powers at the meter [kW], time [h]."""

    dt: float
    usable: float
    ceiling: float
    floor: float
    reserve: float
    eta_export: float
    standby: float
    export_kw: float
    min_kw: float
    day_kwh: float
    day_hours: float
    year_kwh: float
    sun_cost: float
    meter_per_kwh: float


@njit(cache=True, nogil=True)
def _highest(path, a, b):  # pragma: no cover
    top = path[a]
    for k in range(a + 1, b + 1):
        top = max(top, path[k])
    return top


@njit(cache=True, nogil=True)
def _lowest(path, a, b):  # pragma: no cover
    low = path[a]
    for k in range(a + 1, b + 1):
        low = min(low, path[k])
    return low


@njit(cache=True, nogil=True)
def _drive_step(t, e, usable, drive, away, out_drive, out_away, spill):  # pragma: no cover
    """One step of driving, resting and charging elsewhere; gives the energy after it."""
    d, a = drive[t], away[t]
    after = e - d + a
    if after > usable:
        cut = min(after - usable, a)
        a -= cut
        spill[1] += cut
        after = e - d + a
        if after > usable:  # recuperation into a full battery
            d += after - usable
            after = usable
    elif after < 0.0:
        spill[0] += -after
        d += after
        after = 0.0
    out_drive[t] = d
    out_away[t] = a
    return after


@njit(cache=True, nogil=True)
def _wanted_ac_kw(t, resid_kw, outage, p, used_day, used_hours, used_year, day):  # pragma: no cover
    """AC power that limits and house allow in a step; 0 where it may not export. [kW]"""
    dt, eta, standby = p.dt, p.eta_export, p.standby
    ac = min(resid_kw[t], p.export_kw)
    left = min(p.day_kwh - used_day[day], p.year_kwh - used_year[0])
    ac = min(ac, left * eta / dt - standby)
    if used_hours[day] + dt > p.day_hours + 1e-9:
        return 0.0
    if ac <= 1e-6 or (ac < p.min_kw and not outage[t]):
        return 0.0
    return ac


@njit(cache=True, nogil=True)
def run_policy(
    first, blocks, holds, need, sun_after, grid_after, cheap, dear, plugged, drive, away, outage, resid_kw, sun_kwh,
    full_kwh, price, peak, e, p, charging, export, steps_per_day, energy, out_drive, out_away, out_charge, out_export,
    spill,
):  # fmt: skip  # pragma: no cover
    """Dispatch from step `first` on; fills the `out_` arrays and `energy` (n + 1,) and gives the last energy."""
    n = plugged.shape[0]
    usable, ceiling, floor, reserve = p.usable, p.ceiling, p.floor, p.reserve
    dt, eta_e, standby = p.dt, p.eta_export, p.standby
    days = n // steps_per_day + 1
    used_day = np.zeros(days)
    used_hours = np.zeros(days)
    used_year = np.zeros(1)
    path = np.empty(steps_per_day + 1)
    suffix = np.empty(steps_per_day + 1)
    sun_left = np.empty(steps_per_day)
    left = np.empty(steps_per_day)
    undo_step = np.empty(2 * steps_per_day, np.int64)
    undo_kwh = np.empty(2 * steps_per_day)
    undo_sun = np.empty(2 * steps_per_day)
    limit = np.zeros(steps_per_day)
    window, sun_window = -1, 0.0
    b = 0
    while b < blocks.shape[0] and blocks[b, 0] < first:
        b += 1
    t = first
    energy[t] = e
    while t < n:
        if b >= blocks.shape[0] or t < blocks[b, 0]:
            e = _drive_step(t, e, usable, drive, away, out_drive, out_away, spill)
            out_charge[t] = 0.0
            out_export[t] = 0.0
            t += 1
            energy[t] = e
            continue
        begin, end, leaves = blocks[b, 0], blocks[b, 1], blocks[b, 3] == 1
        m = end - begin
        trip = min(need[blocks[b, 2]], usable)
        keep = min(ceiling, trip + reserve)
        target = ceiling
        if export == SOLAR and not leaves:
            target = min(ceiling, max(keep, ceiling - sun_after[b]))
        if end == n and charging == SMART and export != SOLAR:  # the night goes on in the first week
            target = keep
        target = max(target, min(usable, trip + reserve) - grid_after[b])
        top = max(ceiling, target)
        path[0] = e
        moves, sunny, dark, peaks = holds[b, 0], holds[b, 1], holds[b, 2], holds[b, 3]
        if moves or e > usable or e < 0.0:
            for j in range(m):
                path[j + 1] = _drive_step(begin + j, path[j], usable, drive, away, out_drive, out_away, spill)
        else:
            for j in range(m):
                path[j + 1] = e
                out_drive[begin + j] = 0.0
                out_away[begin + j] = 0.0
        for j in range(m):
            out_charge[begin + j] = 0.0
            out_export[begin + j] = 0.0
            left[j] = full_kwh[begin + j]
            sun_left[j] = sun_kwh[begin + j]
        # A. what must be in the battery at once (all of it where charging is immediate)
        for stage in range(2):
            level = keep
            if stage == 1:
                if charging != IMMEDIATE:
                    break
                level = target
            if level - _lowest(path, 0, m) <= TINY:
                continue
            for j in range(m):
                if stage == 1 and export == PEAK and peak[begin + j]:
                    continue
                want = min(level - path[j], left[j])
                if want > TINY:
                    want = min(want, top - _highest(path, j + 1, m))
                    if want > TINY:
                        _charge(path, j, m, want, left, sun_left, out_charge, begin)
        # B. export in the tariff's peak and in outages, in order of time
        if export != NONE and (dark or (export == PEAK and peaks)):
            suffix[m] = 0.0
            for j in range(m - 1, -1, -1):
                suffix[j] = suffix[j + 1] + left[j]
            for j in range(m):
                s = begin + j
                if out_charge[s] > 0.0 or not (outage[s] or (export == PEAK and peak[s])):
                    continue
                day = s // steps_per_day
                bound = floor if outage[s] else max(floor, keep)
                goal = target
                if outage[s]:
                    goal = trip - grid_after[b]
                room = min(_lowest(path, j + 1, m) - bound, path[m] + suffix[j + 1] - goal)
                ac = _wanted_ac_kw(s, resid_kw, outage, p, used_day, used_hours, used_year, day)
                ac = min(ac, room * eta_e / dt - standby)
                if ac <= 1e-6 or (ac < p.min_kw and not outage[s]):
                    continue
                x = (ac + standby) * dt / eta_e
                _export(path, j, m, x, out_export, begin)
                used_day[day] += x
                used_hours[day] += dt
                used_year[0] += x
        # C. up to the target: the sun first, then the cheapest steps (the earliest where charging is immediate)
        if charging == SMART and sunny:
            for k in range(m):
                j = m - 1 - k
                if sun_left[j] <= TINY or out_export[begin + j] > 0.0:
                    continue
                want = min(min(sun_left[j], target - path[m]), top - _highest(path, j + 1, m))
                if want > TINY:
                    _charge(path, j, m, want, left, sun_left, out_charge, begin)
        for k in range(m):
            if target - path[m] <= TINY:
                break
            j = cheap[begin + k] - begin if charging == SMART else k
            if left[j] <= TINY or out_export[begin + j] > 0.0:
                continue
            want = min(min(left[j], target - path[m]), top - _highest(path, j + 1, m))
            if want > TINY:
                _charge(path, j, m, want, left, sun_left, out_charge, begin)
        # D. sun stored beyond the target, and used in the house where later sun brings it back
        if export == SOLAR:
            if blocks[b, 2] != window:
                window = blocks[b, 2]
                sun_window = sun_after[b] + sun_kwh[begin:end].sum()
            for stage in range(3):
                for j in range(m):
                    s = begin + j
                    if stage != 1:
                        if sun_left[j] <= TINY or out_export[s] > 0.0:
                            continue
                        want = min(sun_left[j], ceiling - _highest(path, j + 1, m))
                        if want > TINY:
                            _charge(path, j, m, want, left, sun_left, out_charge, begin)
                        continue
                    if out_charge[s] > 0.0 or out_export[s] > 0.0 or outage[s] or path[m] - target <= TINY:
                        continue
                    day = s // steps_per_day
                    ac = _wanted_ac_kw(s, resid_kw, outage, p, used_day, used_hours, used_year, day)
                    if ac <= 0.0:
                        continue
                    room = min(_lowest(path, j + 1, m) - max(floor, keep), path[m] - target, sun_window)
                    ac = min(ac, room * eta_e / dt - standby)
                    if ac <= 1e-6 or ac < p.min_kw:
                        continue
                    x = (ac + standby) * dt / eta_e
                    _export(path, j, m, x, out_export, begin)
                    sun_window -= x
                    used_day[day] += x
                    used_hours[day] += dt
                    used_year[0] += x
        # E. pairs of a dear step in the house and cheap steps that bring the energy back, dearest first
        if export == ARBITRAGE:
            bound = max(floor, keep)
            stored = False
            cheapest = price[cheap[begin]] * p.meter_per_kwh
            if sunny:
                for j in range(m):
                    if sun_left[j] > TINY:
                        stored = True
                        cheapest = min(cheapest, p.sun_cost)
            spent = 0  # cheap steps before this one have nothing left
            for k in range(m):
                s = dear[begin + k]
                if price[s] * eta_e <= cheapest:
                    break
                j = s - begin
                if out_charge[s] > 0.0 or out_export[s] > 0.0 or outage[s]:
                    continue
                day = s // steps_per_day
                ac = _wanted_ac_kw(s, resid_kw, outage, p, used_day, used_hours, used_year, day)
                if ac <= 0.0:
                    continue
                x = (ac + standby) * dt / eta_e
                value = price[s] * ac * dt / x
                _pair_limits(path, j, m, top, bound, limit)
                missing = x
                undone = 0
                paid = 0.0
                while spent < m and left[cheap[begin + spent] - begin] <= TINY:
                    spent += 1
                for source in range(0 if stored else 1, 2):
                    for c in range(0 if source == 0 else spent, m):
                        i = cheap[begin + c] - begin if source == 1 else c
                        amount = sun_left[i] if source == 0 else left[i]
                        amount = min(amount, missing)
                        if amount <= TINY or i == j or out_export[begin + i] > 0.0:
                            continue
                        cost = p.sun_cost if source == 0 else price[begin + i] * p.meter_per_kwh
                        if cost >= value:
                            if source == 1:
                                break
                            continue
                        amount = min(amount, limit[i])
                        if amount <= TINY:
                            continue
                        _shift(path, i, j, amount)
                        undo_step[undone] = i
                        undo_kwh[undone] = amount
                        undo_sun[undone] = sun_left[i]
                        out_charge[begin + i] += amount
                        left[i] -= amount
                        sun_left[i] = max(sun_left[i] - amount, 0.0)
                        undone += 1
                        missing -= amount
                        paid += amount * cost
                        if missing <= TINY or undone == undo_step.shape[0]:
                            break
                        _pair_limits(path, j, m, top, bound, limit)
                    if missing <= TINY or undone == undo_step.shape[0]:
                        break
                x -= max(missing, 0.0)
                ac = x * eta_e / dt - standby
                if x <= 0.0 or ac < p.min_kw or price[s] * ac * dt <= paid:
                    for u in range(undone - 1, -1, -1):
                        i = undo_step[u]
                        amount = undo_kwh[u]
                        _shift(path, i, j, -amount)
                        out_charge[begin + i] -= amount
                        if out_charge[begin + i] < TINY:
                            out_charge[begin + i] = 0.0
                        left[i] += amount
                        sun_left[i] = undo_sun[u]
                    spent = 0
                    continue
                out_export[s] = x
                used_day[day] += x
                used_hours[day] += dt
                used_year[0] += x
        for j in range(m):
            s = begin + j
            energy[s + 1] = energy[s] - out_drive[s] + out_away[s] + out_charge[s] - out_export[s]
        e = energy[end]
        t = end
        b += 1
    return e


@njit(cache=True, nogil=True)
def _charge(path, j, m, kwh, left, sun_left, out_charge, begin):  # pragma: no cover
    for k in range(j + 1, m + 1):
        path[k] += kwh
    left[j] -= kwh
    sun_left[j] = max(sun_left[j] - kwh, 0.0)
    out_charge[begin + j] += kwh


@njit(cache=True, nogil=True)
def _export(path, j, m, kwh, out_export, begin):  # pragma: no cover
    for k in range(j + 1, m + 1):
        path[k] -= kwh
    out_export[begin + j] += kwh


@njit(cache=True, nogil=True)
def _shift(path, i, j, kwh):  # pragma: no cover
    """Path when `kwh` are charged in step i and exported in step j."""
    for q in range(i + 1, j + 1):
        path[q] += kwh
    for q in range(j + 1, i + 1):
        path[q] -= kwh


@njit(cache=True, nogil=True)
def _pair_limits(path, j, m, top, bound, limit):  # pragma: no cover
    """What may be charged in each other step and exported in step j without leaving the allowed charge between."""
    limit[j] = 0.0
    high = path[j] if path[j + 1] >= bound else np.inf  # below the bound nothing may be exported
    for i in range(j - 1, -1, -1):
        limit[i] = top - high
        high = max(high, path[i])
    low = np.inf
    for i in range(j + 1, m):
        low = min(low, path[i])
        limit[i] = low - bound  # charged later: the path is lower from the export on until then


@njit(cache=True, nogil=True)
def run_recorded(
    drive, away, charge, export, full_kwh, usable, e, energy, out_drive, out_away, out_charge, out_export, spill
):  # pragma: no cover
    """The recorded past; what a smaller battery cannot give or take is made good at the next recorded charge."""
    owed = 0.0  # above 0: charged elsewhere, so less at home; below 0: did not fit, so more when it does
    energy[0] = e
    for t in range(drive.shape[0]):
        before = spill[0] - spill[1]
        e = _drive_step(t, e, usable, drive, away, out_drive, out_away, spill)
        owed += spill[0] - spill[1] - before
        want = charge[t]
        more = 0.0
        if want > 0.0:
            back = max(min(owed, want), min(want - full_kwh, 0.0))
            owed -= back
            want -= back
            more = max(-back, 0.0)
        x = export[t]
        if x > e + want:
            owed += x - e - want
            spill[3] += x - e - want
            x = e + want
        c = min(want, usable - e + x)
        spill[2] += max(want - c - more, 0.0)
        owed -= want - c
        e = e + c - x
        out_charge[t] = c
        out_export[t] = x
        energy[t + 1] = energy[t] - out_drive[t] + out_away[t] + c - x
