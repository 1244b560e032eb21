"""Compiled kernels of `models.dispatch` for what is done beyond the target: own sun, pairs of dear and cheap steps.

Both work on the path of one block (`models.dispatch_moves`) after the plan of `models.dispatch_kernel` has filled it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.dispatch_moves import TINY, add, highest, lowest, take, wanted_ac_kw


@njit(cache=True, nogil=True)
def own_sun(
    of_window, sun_after, begin, m, bound, ceiling, target, path, fell, left, sun_left, charge, exported, outage,
    resid_kw, sun_kwh, p, used, window, first_day, midnight,
):  # fmt: skip  # pragma: no cover
    """Sun stored beyond the target, and used in the house where later sun brings it back.

    `window` holds the window of the block before and what its sun can still bring back.
    """
    dt, per_hour, eta_e, standby = p.dt, p.per_hour, p.eta_export, p.standby
    if of_window != window[0]:
        window[0] = of_window
        window[1] = sun_after + sun_kwh[begin : begin + m].sum()
    for stage in range(3):
        for j in range(m):
            s = begin + j
            if stage != 1:
                if sun_left[j] <= TINY or exported[j] > 0.0:
                    continue
                want = min(sun_left[j], ceiling - highest(path, j + 1, m, fell))
                if want > TINY:
                    add(path, j + 1, m + 1, want)
                    take(j, want, left, sun_left, charge)
                continue
            if charge[j] > 0.0 or exported[j] > 0.0 or outage[s] or path[m] - target <= TINY:
                continue
            day = first_day + (s >= midnight)
            ac = wanted_ac_kw(resid_kw[s], False, p, used[day, 0], used[day, 1], used[-1, 0])
            if ac <= 0.0:
                continue
            room = min(lowest(path, j + 1, m, fell) - bound, path[m] - target, window[1])
            ac = min(ac, room * eta_e * per_hour - standby)
            if ac <= 1e-6 or ac < p.min_kw:
                continue
            x = (ac + standby) * dt / eta_e
            add(path, j + 1, m + 1, -x)
            exported[j] += x
            fell = max(fell, j)
            window[1] -= x
            used[day, 0] += x
            used[day, 1] += dt
            used[-1, 0] += x


@njit(cache=True, nogil=True)
def _shift(path, i, j, kwh):  # pragma: no cover
    """Path when `kwh` are charged in step i and exported in step j."""
    if i < j:
        add(path, i + 1, j + 1, kwh)
    else:
        add(path, j + 1, i + 1, -kwh)


@njit(cache=True, nogil=True)
def export_pairs(
    begin, m, bound, top, path, fell, left, sun_left, charge, exported, outage, resid_kw, price, cheap, dear, sunny, p,
    used, first_day, midnight, paired, undo, limit,
):  # fmt: skip  # pragma: no cover
    """Pairs of a dear step in the house and cheap steps that bring the energy back, dearest first.

    What may be charged in step i and exported in step j is limited by the path between: its highest where the charge
    is first, its lowest where the export is. `limit` keeps what was looked at for a dear step, from step `down` up to
    step `up`; `paired` and `undo` hold its cheap steps, with what they gave and the sun they had.
    """
    dt, per_hour, eta_e, standby = p.dt, p.per_hour, p.eta_export, p.standby
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
        if charge[j] > 0.0 or exported[j] > 0.0 or outage[s]:
            continue
        day = first_day + (s >= midnight)
        ac = wanted_ac_kw(resid_kw[s], False, p, used[day, 0], used[day, 1], used[-1, 0])
        if ac <= 0.0:
            continue
        x = (ac + standby) * dt / eta_e
        value = price[s] * ac * dt / x
        down = up = -1
        high = low = 0.0
        missing = x
        undone = 0
        paid = 0.0
        while spent < m and left[cheap[begin + spent] - begin] <= TINY:
            spent += 1
        for source in range(0 if stored else 1, 2):
            for c in range(0 if source == 0 else spent, m):
                i = cheap[begin + c] - begin if source == 1 else c
                amount = min(sun_left[i] if source == 0 else left[i], missing)
                if amount <= TINY or i == j or exported[i] > 0.0:
                    continue
                cost = p.sun_cost if source == 0 else price[begin + i] * p.meter_per_kwh
                if cost >= value:
                    if source == 1:
                        break
                    continue
                if i > j:
                    last = min(i, max(fell, j) + 1)
                    if up < 0:
                        up, low = j, np.inf
                    while up < last:
                        up += 1
                        low = min(low, path[up])
                        limit[up] = low - bound
                    amount = min(amount, limit[last])
                elif path[j + 1] < bound:
                    continue  # below the bound nothing may be exported
                elif i >= fell:
                    amount = min(amount, top - path[j])
                else:
                    if down < 0:
                        down, high = min(j, fell), path[j]
                    while down > i:
                        high = max(high, path[down])
                        down -= 1
                        limit[down] = top - high
                    amount = min(amount, limit[i])
                if amount <= TINY:
                    continue
                _shift(path, i, j, amount)
                down = up = -1
                fell = max(fell, j)
                paired[undone], undo[undone, 0], undo[undone, 1] = i, amount, sun_left[i]
                undone += 1
                take(i, amount, left, sun_left, charge)
                missing -= amount
                paid += amount * cost
                if missing <= TINY:
                    break
            if missing <= TINY:
                break
        x -= max(missing, 0.0)
        ac = x * eta_e * per_hour - standby
        if x <= 0.0 or ac < p.min_kw or price[s] * ac * dt <= paid:
            for u in range(undone - 1, -1, -1):
                i = paired[u]
                _shift(path, i, j, -undo[u, 0])
                fell = max(fell, i, j)  # rounding may leave a fall behind either
                charge[i] -= undo[u, 0]
                if charge[i] < TINY:
                    charge[i] = 0.0
                left[i] += undo[u, 0]
                sun_left[i] = undo[u, 1]
            spent = 0
            continue
        exported[j] += x
        used[day, 0] += x
        used[day, 1] += dt
        used[-1, 0] += x
