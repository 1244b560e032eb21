"""What the days on which clocks are put forward or back tell of a log's time zone.

Where local time was logged, an hour of spring is missing and one of autumn stands there twice, on days and at hours
that differ from region to region. Where neither is so, the clock was not put forward as there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl

from warehouse.explaining.guess import CERTAIN, LIKELY, UNSURE, Guess

# One zone a rule of summer time, and the others that keep the same days and clock hours.
_ZONES = {
    "Europe/Berlin": "as in Paris, Madrid or Oslo",
    "Europe/London": "as in Dublin or Lisbon",
    "Europe/Helsinki": "as in Athens or Bucharest",
    "America/New_York": "as in all of North America: write your own zone, such as America/Los_Angeles",
    "Australia/Sydney": "as in Melbourne",
    "Pacific/Auckland": "as in all of New Zealand",
}
_HOUR = timedelta(hours=1)
# Falls of the times in a log that goes forward otherwise; more of them tell nothing.
_MOST_FALLS = 3
# Rows of an hour may differ by this much from twice those of its neighbours.
_COUNT_SLACK = 0.1


@cache
def clock_changes(zone: str, year: int) -> tuple[datetime, datetime]:
    """Clock hours of a year that do not exist, and that exist twice, each by its beginning.

    Examples
    --------
    >>> [f"{hour:%m-%d %H:%M}" for hour in clock_changes("Europe/Berlin", 2024)]
    ['03-31 02:00', '10-27 02:00']
    >>> [f"{hour:%m-%d %H:%M}" for hour in clock_changes("America/New_York", 2024)]
    ['03-10 02:00', '11-03 01:00']
    """
    there = ZoneInfo(zone)
    first = datetime(year, 1, 1, tzinfo=UTC)
    hours = [(first + n * _HOUR).astimezone(there) for n in range(-1, 366 * 24)]
    lost = twice = first.replace(tzinfo=None)
    for before, after in pairwise(hours):
        moved = (after.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
        if moved > timedelta():
            lost = after.replace(tzinfo=None) - _HOUR
        elif moved < timedelta():
            twice = after.replace(tzinfo=None)
    return lost, twice


def zone_of(times: pl.Series) -> Guess | None:
    """The zone of clock times, in the order of the file, by the days on which clocks change; `None` without such days.

    Parameters
    ----------
    times
        Clock times as written, without nulls, shape (n,).
    """
    if times.len() < 4:
        return None
    by_hour = times.dt.truncate("1h").value_counts()
    rows = dict(by_hour.sort(by_hour.columns[0]).iter_rows())
    falls = _falls(times)
    years = range(min(rows).year, max(rows).year + 1)
    against: list[str] = []
    for zone, others in _ZONES.items():
        told, denied = [], []
        for year in years:
            lost, twice = clock_changes(zone, year)
            for hour, found, said in (
                (lost, _is_lost(rows, lost), "is missing, as where clocks are put forward then"),
                (twice, _is_twice(rows, twice, falls), "is there twice, as where clocks are put back then"),
            ):
                if found is not None:
                    (told if found else denied).append(f"the hour from {hour:%Y-%m-%d %H:%M} {said}")
        if told and not denied:
            sure = CERTAIN if len(told) > 1 else LIKELY
            return Guess("time zone", zone, sure, f"{', and '.join(told[:2])} ({others})")
        against += [zone] if denied and not told else []
    if not against:
        return None
    # Other zones without a change are as good as UTC.
    why = f"no hour is missing in spring or there twice in autumn, as it would be in {', '.join(against)}"
    return Guess("time zone", "UTC", UNSURE, f"{why}: UTC, or a zone without summer time")


def _is_lost(rows: dict[datetime, int], hour: datetime) -> bool | None:
    """Whether an hour is missing where the log is dense around it; `None` where it is not."""
    if not (hour - _HOUR in rows and hour + _HOUR in rows):
        return None
    if hour in rows:
        return False
    others = [hour + timedelta(days=days) in rows for days in (-2, -1, 1, 2)]
    return True if any(others) else None


def _is_twice(rows: dict[datetime, int], hour: datetime, falls: list[tuple[datetime, datetime]]) -> bool | None:
    """Whether an hour is there twice: the times fall back in it, or it has twice the rows of its neighbours."""
    if not all(h in rows for h in (hour - _HOUR, hour, hour + _HOUR)):
        return None
    if 0 < len(falls) <= _MOST_FALLS and any(b < hour + _HOUR and a >= hour for b, a in falls):
        return True
    before, here, after = (rows[h] for h in (hour - _HOUR, hour, hour + _HOUR))
    even = abs(before - after) <= _COUNT_SLACK * before
    if even and abs(here - 2 * before) <= _COUNT_SLACK * before:
        return True
    # Once, as evenly as the hours around it: not put back. Anything else tells nothing.
    return False if even and abs(here - before) <= _COUNT_SLACK * before and not falls else None


def _falls(times: pl.Series) -> list[tuple[datetime, datetime]]:
    """Places where the times fall back by up to an hour: the times before and after."""
    step = times.diff().dt.total_seconds()
    at = ((step < 0) & (step >= -3600)).fill_null(value=False).arg_true()
    return list(zip(times.gather(at - 1).to_list(), times.gather(at).to_list(), strict=True)) if at.len() else []
