"""What the kernels of `models.dispatch` are made of: a step of driving, moves along the path of a block, their limits.

Within a block ``path`` is the energy at the step boundaries: raised behind each charge, lowered behind each export.
Behind the last step on which it falls (``fell``) it only rises: there its lowest is its first and its highest its last
value, and nothing needs to be searched.
"""

from __future__ import annotations

from typing import NamedTuple

from numba import njit

NONE, OUTAGE, PEAK, SOLAR, ARBITRAGE = 0, 1, 2, 3, 4
IMMEDIATE, SMART = 0, 1
TINY = 1e-9  # kWh: less is not moved


class Knobs(NamedTuple):
    """Numbers of one policy, charger and battery; energies at the battery [kWh], powers at the meter [kW], time [h].

    ``per_hour`` is 1 / dt: a product costs a fraction of a quotient, and with quarter-hours it is the same to the bit.
    """

    dt: float
    per_hour: float
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
def highest(path, a, m, fell):  # pragma: no cover
    """Highest of path[a] to path[m]."""
    top = path[m]
    for k in range(a, fell + 1):
        if path[k] > top:
            top = path[k]
    return top


@njit(cache=True, nogil=True)
def lowest(path, a, m, fell):  # pragma: no cover
    """Lowest of path[a] to path[m]."""
    low = path[a]
    for k in range(a + 1, min(fell + 1, m) + 1):
        if path[k] < low:
            low = path[k]
    return low


@njit(cache=True, nogil=True)
def drive_step(e, d, a, usable, spill):  # pragma: no cover
    """One step of driving, resting and charging elsewhere: the energy after it, what was driven and charged."""
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
    return after, d, a


@njit(cache=True, nogil=True)
def wanted_ac_kw(resid_kw, dark, p, used_day_kwh, used_day_hours, used_year_kwh):  # pragma: no cover
    """AC power that limits and house allow in a step; 0 where it may not export. [kW]"""
    ac = min(resid_kw, p.export_kw)
    left = min(p.day_kwh - used_day_kwh, p.year_kwh - used_year_kwh)
    ac = min(ac, left * p.eta_export * p.per_hour - p.standby)
    if used_day_hours + p.dt > p.day_hours + 1e-9:
        return 0.0
    if ac <= 1e-6 or (ac < p.min_kw and not dark):
        return 0.0
    return ac


@njit(cache=True, nogil=True)
def add(path, a, b, kwh):  # pragma: no cover
    """Raise path[a] to path[b - 1]."""
    part = path[a:b]
    for k in range(part.shape[0]):
        part[k] += kwh


@njit(cache=True, nogil=True)
def take(j, kwh, left, sun_left, charge):  # pragma: no cover
    """Note a charge in step j of a block: less is left of its power and of its sun."""
    left[j] -= kwh
    sun_left[j] = max(sun_left[j] - kwh, 0.0)
    charge[j] += kwh
