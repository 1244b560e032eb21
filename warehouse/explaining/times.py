"""How times are written: pattern, epoch seconds, seconds since a start; and what can be said of the zone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from warehouse.explaining.guess import CERTAIN, LIKELY, UNKNOWN, UNSURE, Guess
from warehouse.explaining.summertime import zone_of
from warehouse.explaining.words import plain_name

_DATES = {
    "day first": ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y"),
    "month first": ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y"),
    "year first": ("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
}
_CLOCKS = (
    " %H:%M:%S",
    " %H:%M",
    " %H:%M:%S%.f",
    " %I:%M:%S %p",
    " %I:%M %p",
    "T%H:%M:%S",
    ", %H:%M:%S",
    " %H.%M",
    "%H%M%S",
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|z|[+-]\d{2}:?\d{2})?")
_LIKE_DATE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}\D+\d|\d{12,14}")
_EPOCHS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_FIRST, _LAST = datetime(2005, 1, 1), datetime(2060, 1, 1)


@dataclass
class Clock:
    """How a column of times is read."""

    keys: dict[str, object] = field(default_factory=dict)  # of [time]
    times: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.Datetime("us")))
    aware: bool = False
    guesses: list[Guess] = field(default_factory=list)


def read_clock(name: str, cells: list[str]) -> Clock | None:
    """How a column's cells are times, `None` when they are none."""
    filled = [c for c in cells if c]
    if len(filled) < max(1, len(cells) // 4):
        return None
    iso = [_ISO.fullmatch(c) for c in filled]
    if sum(m is not None for m in iso) >= 0.8 * len(filled):
        return _iso(name, cells, [m for m in iso if m is not None])
    found = _epoch(name, cells)
    if found is not None or sum(_LIKE_DATE.search(c) is not None for c in filled[:50]) < 0.5 * len(filled[:50]):
        return found
    return _pattern(name, cells, filled)


def _iso(name: str, cells: list[str], matches: list[re.Match[str]]) -> Clock:
    aware = sum(m.group(3) is not None for m in matches)
    clock = Clock({"format": "iso"}, aware=aware == len(matches))
    plain = [c[:19].replace("T", " ") for c in cells]
    times = pl.Series(plain).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    clock.times = times.fill_null(
        pl.Series([c[:16] for c in plain]).str.to_datetime("%Y-%m-%d %H:%M", strict=False, time_unit="us")
    )
    why = f"'{matches[0].group(0)}' is an ISO 8601 time"
    clock.guesses.append(Guess("time format", "iso", CERTAIN, why))
    if clock.aware:
        clock.keys["zone"] = "UTC"
        clock.guesses.append(Guess("time zone", "in the file", CERTAIN, "every time bears Z or an offset, which wins"))
    else:
        _zone(name, clock)
    return clock


def _epoch(name: str, cells: list[str]) -> Clock | None:
    numbers = pl.Series(cells).cast(pl.Float64, strict=False)
    middle = numbers.median()
    if not isinstance(middle, float) or numbers.null_count() > 0.5 * len(cells):
        return None
    units = [e for e in _EPOCHS if _FIRST.timestamp() <= middle * e[0] <= _LAST.timestamp()]
    if not units:
        return None
    unit, said = units[0]
    keys: dict[str, object] = {"format": "epoch"}
    if unit != 1.0:
        keys["epoch_unit_seconds"] = unit
    micros = (numbers * unit * 1e6).round(0).cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
    moment = micros.drop_nulls()[0]
    sure = CERTAIN if re.search(r"unix|epoch", name.lower()) else LIKELY
    why = f"as {said} since 1970 the first is {moment:%Y-%m-%d %H:%M:%S}; such seconds are UTC"
    return Clock(keys, micros, aware=True, guesses=[Guess("time format", f"epoch ({said})", sure, why)])


def _pattern(name: str, cells: list[str], filled: list[str]) -> Clock | None:
    series, sample = pl.Series(cells), pl.Series(filled[:200])
    fits: list[tuple[str, str]] = []
    for order, dates in _DATES.items():
        for day in dates:
            for clock in _CLOCKS:
                pattern = day + clock
                read = sample.str.to_datetime(pattern, strict=False, time_unit="us")
                if read.null_count() <= 0.1 * sample.len() and _sensible(read):
                    fits.append((order, pattern))
    # Of %d and %m both may fit: what fits the whole head decides, then whether the times go forward.
    read = {p: series.str.to_datetime(p, strict=False, time_unit="us") for _, p in fits}
    if not read:
        return None
    fewest = min(r.null_count() for r in read.values())
    fits = [(o, p) for o, p in fits if read[p].null_count() == fewest]
    orders = {o for o, _ in fits}
    order, pattern = min(fits, key=lambda f: _unrest(read[f[1]]))
    text = next(c for c in filled)
    if len(orders) == 1:
        only = "nothing else" if order == "year first" else "no other order of day and month"
        sure, why = CERTAIN, f"'{text}' and all others fit it, and {only}"
    else:
        rest = sorted(_unrest(read[p]) for _, p in fits)
        clear = rest[0] < rest[-1]
        sure = LIKELY if clear else UNSURE
        why = f"'{text}': {order} " + (
            "gives times that go forward evenly" if clear else "is assumed; day and month cannot be told apart here"
        )
    found = Clock({"format": pattern}, read[pattern], guesses=[Guess("time format", pattern, sure, why)])
    _zone(name, found)
    return found


def _sensible(times: pl.Series) -> bool:
    years = times.dt.year().drop_nulls()
    return years.len() > 0 and bool(years.is_between(2005, 2060).all())


def _unrest(times: pl.Series) -> float:
    """Total way of the times over their span: 1 when they only go forward."""
    steps = times.drop_nulls().diff().drop_nulls().dt.total_seconds().abs()
    return float(steps.sum())


def _zone(name: str, clock: Clock) -> None:
    words = plain_name(name).split()
    if {"utc", "gmt", "zulu"} & set(words):
        clock.keys["zone"] = "UTC"
        clock.guesses.append(Guess("time zone", "UTC", LIKELY, f"the column is called '{name}'"))
        return
    seen = zone_of(clock.times.drop_nulls())
    if seen is not None:
        clock.keys["zone"] = seen.value
        clock.guesses.append(seen)
        return
    clock.keys["zone"] = "UTC"
    why = "the times bear no zone, and no day on which clocks change tells one in the head; write the logger's zone"
    clock.guesses.append(Guess("time zone", "UTC", UNKNOWN, why))


def elapsed_seconds(numbers: pl.Series, scale: float) -> bool:
    """Whether numbers can be the time since the start of a log: from near zero, never back, not all the same."""
    filled = numbers.drop_nulls() * scale
    if filled.len() < 2:
        return False
    steps = filled.diff().drop_nulls()
    return bool((steps >= 0).all()) and 0 <= float(filled[0]) < 3600 and float(filled[-1]) > 0
