"""Dated odometer readings: logged ones thinned, missing distance modelled with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.domain import DAYS_PER_YEAR
from models.life import Life
from models.sessions import US_PER_DAY, Rules


@dataclass(frozen=True)
class Odometer:
    """One dated reading with its interval; modelled = no one read it. [km]"""

    time_us: int
    km: float
    low_km: float
    high_km: float
    modelled: bool


def thin(time_us: np.ndarray, km: np.ndarray) -> list[Odometer]:
    """The first logged reading of each calendar month (UTC), and the last of all."""
    if time_us.shape[0] == 0:
        return []
    begin, end = (time_us[[0, -1]] // 1_000_000).astype("datetime64[s]").astype("datetime64[M]")
    months = np.arange(begin + 1, end + 1).astype("datetime64[us]").astype(np.int64)
    rows = sorted({0, *np.searchsorted(time_us, months).tolist(), time_us.shape[0] - 1})
    return [Odometer(int(time_us[i]), float(km[i]), float(km[i]), float(km[i]), False) for i in rows]


def odometer_of(life: Life, known: list[Odometer], in_service_us: int, rule: Rules) -> list[Odometer]:
    """Odometer rows of a vehicle.

    Logged readings are thinned to one a month and the last. Where the log has none, distance at the beginning and end
    of the log is modelled from the drives of the log (as logged or inferred): from the nearest dated reading of the
    fleet file, else from zero at the in-service date at the log's own rate; the interval is a stated share of the
    modelled distance.

    Parameters
    ----------
    known
        Dated readings of the fleet file.
    in_service_us
        First day in service.
    """
    logged = thin(*life.odometer)
    out = sorted([*known, *logged], key=lambda o: (o.time_us, o.km))
    if logged or life.steps is None or not life.sessions:
        return out
    start, end = life.sessions[0].start_us, max(s.end_us for s in life.sessions)
    driven = sum(s.distance_km for s in life.sessions)
    days = max((end - start) / US_PER_DAY, 1.0)
    # A log of less than a month says nothing about a rate.
    rate = driven / days if days >= 28 else rule("balance", "default_km_per_year") / DAYS_PER_YEAR
    for time_us, within in ((start, 0.0), (end, driven)):
        base = min(known, key=lambda o: (abs(o.time_us - time_us), o.time_us)) if known else None
        if base is not None and base.time_us == time_us:
            continue
        if base is None:
            km = max(rate * (start - in_service_us) / US_PER_DAY, 0.0) + within
            gap = km
            base_km = 0.0
        else:
            base_km = base.km
            gap = _between(life, base.time_us, time_us, start, end, rate)
        low = base_km + min(gap * rule("balance", "distance_low_frac"), gap * rule("balance", "distance_high_frac"))
        high = base_km + max(gap * rule("balance", "distance_low_frac"), gap * rule("balance", "distance_high_frac"))
        km, low, high = (max(x, 0.0) for x in (base_km + gap, low, high))
        out.append(Odometer(time_us, km, low, high, True))
    return sorted(out, key=lambda o: (o.time_us, o.km))


def _between(life: Life, from_us: int, to_us: int, start: int, end: int, rate: float) -> float:
    """Distance from one time to another (negative backwards): drives of the log, and its rate outside it. [km]"""
    lo, hi = min(from_us, to_us), max(from_us, to_us)
    inside = sum(s.distance_km for s in life.sessions if s.start_us >= lo and s.end_us <= hi)
    outside_days = (hi - lo - max(min(hi, end) - max(lo, start), 0)) / US_PER_DAY
    total = inside + rate * outside_days
    return total if to_us >= from_us else -total
