"""Series of different years on one calendar: 52 ISO weeks in local standard time.

Step 0 is Monday 00:00 of ISO week 1; a 53rd week is left out. Standard time has no gap and no double hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from models.domain import REPRESENTATIVE_WEEKS, FloatArray, IntArray

WEEK_HOURS = 7 * 24
YEAR_HOURS = REPRESENTATIVE_WEEKS * WEEK_HOURS
MONDAY_HOURS = 4 * 24  # 1970-01-05 was a Monday
ENOUGH_FRAC = 0.9


@dataclass(frozen=True, eq=False)
class Series:
    """An hourly series.

    Parameters
    ----------
    hours
        Hours since 1970-01-01 UTC, increasing, shape (n,).
    values
        Unit of the series; NaN where unknown, shape (n,).
    name
        What it is, for the page.
    typical_year
        A typical year (dated 2001), not a dated one.
    """

    hours: IntArray
    values: FloatArray
    name: str
    typical_year: bool = False


@dataclass(frozen=True, eq=False)
class Aligned:
    """A series on the representative calendar.

    Parameters
    ----------
    values
        Shape (8736,), no NaN.
    years
        ISO years the weeks were taken from.
    filled_hours
        Hours without data, taken from the same hour of neighbouring weeks.
    """

    values: FloatArray
    years: tuple[int, ...]
    filled_hours: int


def standard_offset_hours(time_zone: str) -> float:
    """Hours of local standard time ahead of UTC (daylight saving left out).

    >>> standard_offset_hours("Europe/Berlin"), standard_offset_hours("America/Los_Angeles")
    (1.0, -8.0)
    """
    zone = ZoneInfo(time_zone)
    offsets = [zone.utcoffset(datetime(2024, month, 15)) for month in (1, 7)]
    return min(o.total_seconds() for o in offsets if o is not None) / 3600


def iso_week(week_index: IntArray) -> tuple[IntArray, IntArray]:
    """ISO year and week of weeks counted from Monday, 1970-01-05; the week's Thursday decides.

    >>> iso_week(np.array([0, 2608]))
    (array([1970, 2020]), array([2, 1]))
    """
    thursday = np.datetime64("1970-01-08", "D") + np.asarray(week_index, dtype=np.int64) * 7
    year = thursday.astype("datetime64[Y]")
    day = (thursday - year.astype("datetime64[D]")).astype(np.int64)
    return year.astype(np.int64) + 1970, day // 7 + 1


def align(series: Series, utc_offset_hours: float) -> Aligned:
    """Put a series on the representative calendar.

    The latest ISO year with at least 90 % of its hours is taken as a whole; where there is none, each week is the
    latest one with at least 90 %, else the fullest. Hours without data take the same hour of the nearest week.

    Raises
    ------
    ValueError
        The series has no value at all, or its hours do not increase.

    Limits
    ------
    Offsets of half an hour are rounded down to the hour of the series.
    """
    known = np.isfinite(series.values)
    if not known.any():
        raise ValueError(f"{series.name}: no value in the whole series.")
    if np.any(np.diff(series.hours) <= 0):
        raise ValueError(f"{series.name}: hours must increase.")
    local = np.floor(series.hours[known] + utc_offset_hours).astype(np.int64) - MONDAY_HOURS
    first = int(local[0] // WEEK_HOURS)
    weeks = int(local[-1] // WEEK_HOURS) - first + 1
    table = np.full((weeks, WEEK_HOURS), np.nan)
    table.ravel()[local - first * WEEK_HOURS] = series.values[known]
    year, week = iso_week(first + np.arange(weeks))
    full = np.isfinite(table).mean(axis=1)
    chosen = choose_weeks(year, week, full)
    values = np.full((REPRESENTATIVE_WEEKS, WEEK_HOURS), np.nan)
    there = chosen >= 0
    values[there] = table[chosen[there]]
    missing = int(np.isnan(values).sum())
    return Aligned(fill_from_neighbours(values).ravel(), tuple(np.unique(year[chosen[there]]).tolist()), missing)


def choose_weeks(year: IntArray, week: IntArray, full_frac: FloatArray) -> IntArray:
    """Which of the logged weeks stands for each ISO week 1..52; -1 where there is none, shape (52,)."""
    out = np.full(REPRESENTATIVE_WEEKS, -1, dtype=np.int64)
    inside = (week <= REPRESENTATIVE_WEEKS) & (full_frac > 0)
    years = np.unique(year)
    cover = np.array([full_frac[(year == y) & inside].sum() / REPRESENTATIVE_WEEKS for y in years])
    whole = years[cover >= ENOUGH_FRAC]
    if whole.size:
        take = inside & (year == whole[-1])
        out[week[take] - 1] = np.flatnonzero(take)
        return out
    for k in np.flatnonzero(inside):  # in time order: a later week takes over where it is as good
        held = out[week[k] - 1]
        if held < 0 or full_frac[k] >= min(ENOUGH_FRAC, full_frac[held]):
            out[week[k] - 1] = k
    return out


def fill_from_neighbours(table: FloatArray) -> FloatArray:
    """Fill NaN by the same hour of the nearest week of the (circular) year, the earlier of two; shape (weeks, hours).

    An hour of the week that no week knows takes the mean of that hour of the day, else of everything.
    """
    out = table.copy()
    weeks = out.shape[0]
    for distance in range(1, weeks // 2 + 1):
        for shift in (distance, -distance):
            gap = np.isnan(out)
            if not gap.any():
                return out
            out[gap] = np.roll(table, shift, axis=0)[gap]
    gap = np.isnan(out)
    if gap.any():
        days = out.reshape(weeks, -1, 24)
        for h in range(24):
            hour = days[:, :, h]
            rest = hour if np.isfinite(hour).any() else days
            hour[np.isnan(hour)] = float(np.nanmean(rest))
    return out


def stand_ins(have: IntArray) -> IntArray:
    """For every week of the year the logged week that stands for it, shape (52,).

    A logged week stands for itself; each other week takes, of the logged weeks used least so far, the nearest
    (circular, the earlier of two). So the weeks at the ends of a short log do not become the whole year.

    Parameters
    ----------
    have
        Indices of weeks that are there, 0..51, increasing, not empty.

    >>> stand_ins(np.array([2, 50]))[[0, 1, 2, 3, 50, 51]].tolist()
    [50, 2, 2, 2, 50, 2]
    """
    out = np.full(REPRESENTATIVE_WEEKS, -1, dtype=np.int64)
    out[have] = have
    uses = np.ones(have.size, dtype=np.int64)
    for week in np.flatnonzero(out < 0):
        behind = (week - have) % REPRESENTATIVE_WEEKS
        distance = np.minimum(behind, REPRESENTATIVE_WEEKS - behind)
        pick = np.lexsort((behind > REPRESENTATIVE_WEEKS // 2, distance, uses))[0]
        out[week] = have[pick]
        uses[pick] += 1
    return out


def year_words(years: tuple[int, ...]) -> str:
    """Years for a page.

    >>> year_words((2018, 2019, 2020)), year_words((2016,)), year_words((2016, 2019))
    ('2018 to 2020', '2016', '2016 and 2019')
    """
    if len(years) > 2:
        return f"{years[0]} to {years[-1]}"
    return " and ".join(str(y) for y in years)
