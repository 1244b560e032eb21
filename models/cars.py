"""Two cars on one charger, without cards that would tell them apart: found by what one battery cannot have done.

Where the car logs too, what its charger gives while the car takes nothing is another car's and is left out. Where only
the charger logs, a state of charge that falls faster between two stays than a car can drive, or rises while there was
no time to charge elsewhere, belongs to another car; seen often enough, the log is one of several cars: nothing of it
is a reading of one battery, and every session says so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.domain import BoolArray, FloatArray, IntArray, Pack
from models.sessions import US_PER_HOUR, US_PER_S, Finding, Rules, Samples, finding, runs_of

SEVERAL_CARS, OTHER_CAR = "several_cars", "other_car"


def several_cars(samples: Samples, pack: Pack, rule: Rules) -> list[Finding]:
    """Stays at a charger that cannot be of the car of the stay before, where there are enough of them.

    Returns
    -------
    list of Finding
        ``several_cars``: the first sample of each such stay.
    """
    rows = np.flatnonzero(samples.charger)
    rows = rows[np.isfinite(samples.soc_frac[rows])]
    if rows.shape[0] < 2:
        return []
    first, last = _stays(samples, rows, rule)
    soc, time = samples.soc_frac[rows], samples.time_us[rows]
    # A charger's first or last reading may be none yet (0 %): the middle one of three counts.
    enter = np.array([np.median(soc[a : min(a + 3, b + 1)]) for a, b in zip(first, last, strict=True)])
    leave = np.array([np.median(soc[max(b - 2, a) : b + 1]) for a, b in zip(first, last, strict=True)])
    kwh = (enter[1:] - leave[:-1]) * pack.usable_kwh
    hours = (time[first[1:]] - time[last[:-1]]) / US_PER_HOUR
    slack = rule("defects", "other_car_soc_frac") * pack.usable_kwh
    driven = rule("defects", "drive_kw") * hours
    charged = rule("defects", "fast_charge_kw") * np.maximum(hours - rule("defects", "fast_charge_way_hours"), 0.0)
    hit = np.zeros(samples.size, dtype=bool)
    hit[rows[first[1:][(-kwh > slack + driven) | (kwh > slack + charged)]]] = True
    return finding(SEVERAL_CARS, samples, hit) if hit.sum() >= rule("defects", "other_car_stays") else []


def drop_other_cars(samples: Samples, pack: Pack, rule: Rules) -> tuple[Samples, list[Finding]]:
    """Without the charger's samples of stays in which it gave what the car, which logged that time, did not take.

    What the registers rose by in such a stay is taken off their later values.

    Returns
    -------
    Samples, list of Finding
        ``other_car``.
    """
    charger = np.flatnonzero(samples.charger)
    logged = _logged(samples, pack)
    if charger.shape[0] < 2 or logged is None:
        return samples, []
    hit = np.zeros(samples.size, dtype=bool)
    off = {name: np.zeros(samples.size) for name in Samples.REGISTERS}
    for meter in np.unique(samples.meter[charger]):
        rows = charger[samples.meter[charger] == meter]
        for a, b in zip(*_stays(samples, rows, rule, busy=True), strict=True):
            mine = rows[a : b + 1]
            given = _sum_kwh(samples.power_kw[mine], samples.time_us[mine])
            if abs(given) < rule("defects", "other_car_kwh"):
                continue
            taken = _taken_kwh(logged, samples.time_us[mine], rule)
            if taken is not None and taken / given < rule("defects", "other_car_share_frac"):
                hit[mine] = True
                for name in Samples.REGISTERS:
                    _take_off(samples, name, rows, int(a), int(b), off[name], rule)
    found = finding(OTHER_CAR, samples, hit)
    if not found:
        return samples, []
    return replace(samples, **{n: getattr(samples, n) - off[n] for n in off}).take(~hit), found


def _stays(samples: Samples, rows: IntArray, rule: Rules, busy: bool = False) -> tuple[IntArray, IntArray]:
    """First and last (positions in ``rows``) of stays: one name, no gap; with ``busy`` those with power alone."""
    apart = np.diff(samples.time_us[rows]) > rule("defects", "double_logged_seconds") * US_PER_S
    piece = np.concatenate(([0], np.cumsum(apart)))
    flows = np.abs(np.nan_to_num(samples.power_kw[rows])) > 0.0
    run = runs_of(samples.ref[rows], piece, flows if busy else piece)
    first = np.flatnonzero(np.concatenate(([True], run[1:] != run[:-1])))
    last = np.concatenate((first[1:] - 1, [rows.shape[0] - 1]))
    kept = flows[first] if busy else np.ones(first.shape[0], dtype=bool)
    return first[kept], last[kept]


def _sum_kwh(power: FloatArray, time: IntArray) -> float:
    """Energy of a power between times. [kWh]"""
    return float(np.sum(0.5 * (power[1:] + power[:-1]) * np.diff(time) / US_PER_HOUR))


def _logged(samples: Samples, pack: Pack) -> tuple[IntArray, FloatArray, bool] | None:
    """What the car itself logged: times, the power of its battery [kW] (true), else the energy in it [kWh] (false)."""
    power = samples.voltage_v * samples.current_a / 1000.0
    for value, flows in ((power, True), (samples.soc_frac * pack.usable_kwh, False)):
        known = np.flatnonzero(~samples.charger & np.isfinite(value))
        if known.shape[0] >= 2:
            return samples.time_us[known], value[known], flows
    return None


def _taken_kwh(logged: tuple[IntArray, FloatArray, bool], time: IntArray, rule: Rules) -> float | None:
    """Energy into the car's battery at the times of a stay [kWh], `None` where the car did not log all of it."""
    known, value, flows = logged
    lo, hi = int(np.searchsorted(known, time[0], side="right")) - 1, int(np.searchsorted(known, time[-1]))
    if lo < 0 or hi >= known.shape[0]:
        return None
    known, value = known[lo : hi + 1], value[lo : hi + 1]
    if known.shape[0] < 2 or np.diff(known).max() > rule("cut", "gap_active_minutes") * 60 * US_PER_S:
        return None
    inside = np.interp((time - known[0]) * 1e-6, (known - known[0]) * 1e-6, value)
    return _sum_kwh(inside, time) if flows else float(inside[-1] - inside[0])


def _take_off(samples: Samples, name: str, rows: IntArray, first: int, last: int, off: FloatArray, rule: Rules) -> None:
    """Add to ``off`` what a register rose by in a stay, for the rows after it up to its next fall."""
    v, time = getattr(samples, name)[rows], samples.time_us[rows]
    reach = rule("defects", "double_logged_seconds") * US_PER_S
    begin = first - 1 if first and time[first] - time[first - 1] <= reach else first
    end = last + 1 if last + 1 < rows.shape[0] and time[last + 1] - time[last] <= reach else last
    inside = v[begin : end + 1]
    inside = inside[np.isfinite(inside)]
    rise = float(np.maximum(np.diff(inside), 0.0).sum()) if inside.shape[0] > 1 else 0.0
    after = np.arange(last + 1, rows.shape[0])
    after = after[np.isfinite(v[after])]
    falls: BoolArray = np.diff(v[after]) < 0.0
    until = int(np.flatnonzero(falls)[0]) + 1 if falls.any() else after.shape[0]
    off[rows[after[:until]]] += rise
