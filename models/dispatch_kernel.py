"""Compiled kernel of `models.dispatch`: the plan of each block, in order of time.

Plain arrays in, plain arrays filled; the meaning of every quantity is told in `models.dispatch`. While nothing drives
in a block its path is not written (``plain``): its last value and a list of what was moved do, until something asks
for the charge in between (`_replay`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.dispatch_moves import (
    ARBITRAGE,
    IMMEDIATE,
    NONE,
    OUTAGE,
    PEAK,
    SMART,
    SOLAR,
    TINY,
    Knobs,
    add,
    drive_step,
    highest,
    lowest,
    take,
    wanted_ac_kw,
)
from models.dispatch_pairs import export_pairs, own_sun

__all__ = ["ARBITRAGE", "IMMEDIATE", "NONE", "OUTAGE", "PEAK", "SMART", "SOLAR", "Knobs", "run_policy"]


@njit(cache=True, nogil=True)
def _replay(path, e, m, moved_step, moved_kwh, count):  # pragma: no cover
    """Write the path of a block in which nothing drives: what was moved, in the order in which it was."""
    path[: m + 1] = e
    for k in range(count):
        add(path, moved_step[k] + 1, m + 1, moved_kwh[k, 0])
    return False


@njit(cache=True, nogil=True)
def _moving(first, end, e, drive, away, usable, energy, spill, cut_step, cut_kwh, cuts, even):  # pragma: no cover
    """Steps away from home: fills `energy`, notes steps in which less or more was driven or charged than asked."""
    for t in range(first, end):
        d, a = drive[t], away[t]
        if d != 0.0 or a != 0.0 or e > usable or e < 0.0:
            before = e
            e, served, charged = drive_step(e, d, a, usable, spill)
            if e == before and (served != 0.0 or charged != 0.0):
                even += 1
            if served != d or charged != a:
                cut_step[cuts], cut_kwh[cuts, 0], cut_kwh[cuts, 1] = t, served, charged
                cuts += 1
        energy[t + 1] = e
    return e, cuts, even


@njit(cache=True, nogil=True)
def _move(plain, path, j, m, kwh, at_end, moved_step, moved_kwh, moved):  # pragma: no cover
    """Charge (or export, where negative) in step j of a block: the energy at its end, and how many moves are noted."""
    if plain:
        moved_step[moved], moved_kwh[moved, 0] = j, kwh
        return at_end + kwh, moved + 1
    add(path, j + 1, m + 1, kwh)
    return path[m], moved


@njit(cache=True, nogil=True)
def run_policy(
    first, blocks, holds, need, sun_after, grid_after, cheap, dear, drive, away, outage, resid_kw, sun_kwh, full_kwh,
    price, peak, e, p, charging, export, steps_per_day, energy, out_charge, out_export, cut_step, cut_kwh, spill,
):  # fmt: skip  # pragma: no cover
    """Dispatch from step `first` on.

    Fills `energy` (n + 1,) and the `out_` arrays, and `cut_step` and `cut_kwh` with the steps in which driving or
    charge elsewhere are not as asked for. Gives the last energy, the number of such steps, and that of steps in which
    what flows leaves the energy as it is.
    """
    n = drive.shape[0]
    usable, ceiling, floor, reserve = p.usable, p.ceiling, p.floor, p.reserve
    dt, per_hour, eta_e, standby = p.dt, p.per_hour, p.eta_export, p.standby
    used = np.zeros((n // steps_per_day + 2, 2))  # export of each day [kWh], [h]; that of the year in the last row
    path = np.empty(steps_per_day + 1)
    suffix = np.empty(steps_per_day + 1)
    sun_left = np.empty(steps_per_day)
    left = np.empty(steps_per_day)
    driven = np.empty((steps_per_day, 2))
    moved_step = np.empty(5 * steps_per_day, np.int64)
    moved_kwh = np.empty((5 * steps_per_day, 2))
    window = np.array([-1.0, 0.0])
    out_charge[first:] = 0.0
    out_export[first:] = 0.0
    cuts, even = 0, 0
    b = 0
    while b < blocks.shape[0] and blocks[b, 0] < first:
        b += 1
    t = first
    energy[t] = e
    while t < n:
        begin = blocks[b, 0] if b < blocks.shape[0] else n
        if t < begin:
            e, cuts, even = _moving(t, begin, e, drive, away, usable, energy, spill, cut_step, cut_kwh, cuts, even)
            t = begin
            continue
        end, leaves = blocks[b, 1], blocks[b, 3] == 1
        m = end - begin
        first_day = begin // steps_per_day
        midnight = (first_day + 1) * steps_per_day  # a block ends at noon
        trip = min(need[blocks[b, 2]], usable)
        keep = min(ceiling, trip + reserve)
        target = ceiling
        if export == SOLAR and not leaves:
            target = min(ceiling, max(keep, ceiling - sun_after[b]))
        if end == n and charging == SMART and export != SOLAR:  # the night goes on in the first week
            target = keep
        target = max(target, min(usable, trip + reserve) - grid_after[b])
        top = max(ceiling, target)
        sunny, dark, peaks = holds[b, 1], holds[b, 2], holds[b, 3]
        still = not (holds[b, 0] or e > usable or e < 0.0)
        charge, exported = out_charge[begin:end], out_export[begin:end]
        left[:m] = full_kwh[begin:end]
        sun_left[:m] = sun_kwh[begin:end]
        plain, moved, fell, at_end = still, 0, -1, e
        if not still:
            path[0] = e
            for j in range(m):
                s = begin + j
                path[j + 1], driven[j, 0], driven[j, 1] = drive_step(path[j], drive[s], away[s], usable, spill)
                if driven[j, 0] != drive[s] or driven[j, 1] != away[s]:
                    cut_step[cuts], cut_kwh[cuts, 0], cut_kwh[cuts, 1] = s, driven[j, 0], driven[j, 1]
                    cuts += 1
                if path[j + 1] < path[j]:
                    fell = j
            at_end = path[m]
        # A. what must be in the battery at once (all of it where charging is immediate)
        for stage in range(2):
            level = keep
            if stage == 1:
                if charging != IMMEDIATE:
                    break
                level = target
                if plain and moved > 0:
                    plain = _replay(path, e, m, moved_step, moved_kwh, moved)
            if level - (e if plain else lowest(path, 0, m, fell)) <= TINY:
                continue
            for j in range(m):
                if stage == 1 and export == PEAK and peak[begin + j]:
                    continue
                want = min(level - (at_end if plain else path[j]), left[j])
                if want > TINY:
                    want = min(want, top - (at_end if plain else highest(path, j + 1, m, fell)))
                    if want > TINY:
                        at_end, moved = _move(plain, path, j, m, want, at_end, moved_step, moved_kwh, moved)
                        take(j, want, left, sun_left, charge)
        # B. export in the tariff's peak and in outages, in order of time
        if export != NONE and (dark or (export == PEAK and peaks)):
            if plain and moved > 0:
                plain = _replay(path, e, m, moved_step, moved_kwh, moved)
            suffix[m] = 0.0
            for j in range(m - 1, -1, -1):
                suffix[j] = suffix[j + 1] + left[j]
            for j in range(m):
                s = begin + j
                if charge[j] > 0.0 or not (outage[s] or (export == PEAK and peak[s])):
                    continue
                day = first_day + (s >= midnight)
                bound = floor if outage[s] else max(floor, keep)
                goal = target
                if outage[s]:
                    goal = trip - grid_after[b]
                low = at_end if plain else lowest(path, j + 1, m, fell)
                room = min(low - bound, at_end + suffix[j + 1] - goal)
                ac = wanted_ac_kw(resid_kw[s], outage[s], p, used[day, 0], used[day, 1], used[-1, 0])
                ac = min(ac, room * eta_e * per_hour - standby)
                if ac <= 1e-6 or (ac < p.min_kw and not outage[s]):
                    continue
                x = (ac + standby) * dt / eta_e
                at_end, moved = _move(plain, path, j, m, -x, at_end, moved_step, moved_kwh, moved)
                exported[j] += x
                fell = max(fell, j)
                used[day, 0] += x
                used[day, 1] += dt
                used[-1, 0] += x
        # C. up to the target: the sun first, then the cheapest steps (the earliest where charging is immediate)
        for source in range(0 if charging == SMART and sunny else 1, 2):
            for k in range(m):
                if target - at_end <= TINY:
                    break
                if source == 0:
                    j = m - 1 - k
                    have = sun_left[j]
                else:
                    j = cheap[begin + k] - begin if charging == SMART else k
                    have = left[j]
                if have <= TINY or exported[j] > 0.0:
                    continue
                if plain and j < fell:
                    plain = _replay(path, e, m, moved_step, moved_kwh, moved)
                want = min(min(have, target - at_end), top - (at_end if plain else highest(path, j + 1, m, fell)))
                if want > TINY:
                    at_end, moved = _move(plain, path, j, m, want, at_end, moved_step, moved_kwh, moved)
                    take(j, want, left, sun_left, charge)
        if export in (SOLAR, ARBITRAGE):
            bound = max(floor, keep)
            if plain:
                _replay(path, e, m, moved_step, moved_kwh, moved)
            if export == SOLAR:
                own_sun(
                    blocks[b, 2], sun_after[b], begin, m, bound, ceiling, target, path, fell, left, sun_left, charge,
                    exported, outage, resid_kw, sun_kwh, p, used, window, first_day, midnight,
                )  # fmt: skip
            else:
                export_pairs(
                    begin, m, bound, top, path, fell, left, sun_left, charge, exported, outage, resid_kw, price, cheap,
                    dear, sunny, p, used, first_day, midnight, moved_step, moved_kwh, suffix,
                )  # fmt: skip
        for j in range(m):
            c, x = charge[j], exported[j]
            before = e
            if not still:
                e = e - driven[j, 0] + driven[j, 1] + c - x
                if e == before and (driven[j, 0] != 0.0 or driven[j, 1] != 0.0 or c != 0.0 or x != 0.0):
                    even += 1
            elif c != 0.0 or x != 0.0:
                e = e + c - x
                if e == before:
                    even += 1
            energy[begin + j + 1] = e
        t = end
        b += 1
    return e, cuts, even
