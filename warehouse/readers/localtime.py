"""Local clock times to UTC. Hours that exist twice or not at all are resolved by order and duration, and flagged.

DuckDB and most libraries silently choose one of two; here such times are null first and then decided by a rule:
the smaller candidate that is later than the time before it (the log goes forward), or, for sessions, the pair of
start and end that agrees best with the logged length.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from warehouse.formatspec import TimeSpec

AMBIGUOUS, NONEXISTENT = "local_time_ambiguous", "local_time_nonexistent"
_US = pl.Datetime("us")
_HOUR = timedelta(hours=1)
# A file in which times fall back by more than this is not in time order: order then tells nothing.
_ORDER_SLACK_US = 6 * 3_600_000_000
_NEVER = int(np.iinfo(np.int64).min)
Times = NDArray[np.int64]


def to_utc(
    naive: pl.Series,
    spec: TimeSpec,
    group: pl.Series | None = None,
    last_us: dict[str | None, int] | None = None,
) -> tuple[pl.Series, pl.Series, dict[int, tuple[int, int]]]:
    """UTC times of local clock times.

    Parameters
    ----------
    naive
        Clock times as written; null stays null.
    spec
        Zone, and spans of time in another zone.
    group
        What a row belongs to (vehicle): order counts within it.
    last_us
        Group -> UTC time of its last row in the batches before; brought up to date. [us since 1970]

    Returns
    -------
    tuple
        UTC times; a flag or null for each; the candidates [us since 1970] of each row that had two.
    """
    naive = naive.cast(_US)
    utc, flags, candidates = _zone_to_utc(naive, spec.zone)
    before = None
    for span in reversed(spec.spans):
        until = span.until.replace(tzinfo=None)
        inside = (naive < until).fill_null(value=False)
        if not inside.any():
            continue
        other, other_flags, other_candidates = _zone_to_utc(naive, span.zone)
        mark = pl.Series([span.flag]).new_from_index(0, naive.len())
        utc = utc.zip_with(~inside, other)
        flags = flags.zip_with(~inside, other_flags.zip_with(other_flags.is_not_null(), mark))
        before = inside.to_numpy()
        kept = {i: c for i, c in candidates.items() if not before[i]}
        candidates = kept | {i: c for i, c in other_candidates.items() if before[i]}
    last_us = {} if last_us is None else last_us
    if candidates:
        utc = _resolve_by_order(utc, flags, candidates, group, last_us)
    if spec.zone != "UTC" or spec.spans:
        _remember_last(utc, group, last_us)
    return utc, flags, candidates


def _remember_last(utc: pl.Series, group: pl.Series | None, last_us: dict[str | None, int]) -> None:
    if utc.len() == 0:
        return
    owner = pl.Series([None], dtype=pl.String).new_from_index(0, utc.len()) if group is None else group.cast(pl.String)
    times = utc.cast(pl.Int64).fill_null(_NEVER)
    frame = pl.DataFrame({"group": owner, "time": times}).unique("group", keep="last", maintain_order=True)
    last_us.update(frame.rows())


def _zone_to_utc(naive: pl.Series, zone: str) -> tuple[pl.Series, pl.Series, dict[int, tuple[int, int]]]:
    none = pl.Series([None], dtype=pl.String).new_from_index(0, naive.len())
    if zone == "UTC":
        return naive, none, {}
    local = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    utc = local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    lost = utc.is_null() & naive.is_not_null()
    rows = lost.arg_true()
    if rows.len() == 0:
        return utc, none, {}
    missed = naive.gather(rows)
    early, late = (_localised(missed, zone, which) for which in ("earliest", "latest"))
    # Clock hours that do not exist: the clock was not yet (or already) put forward.
    unmoved = _localised(missed - _HOUR, zone, "earliest") + _HOUR
    moved = _localised(missed + _HOUR, zone, "latest") - _HOUR
    twice = early.is_not_null()
    first = early.zip_with(twice, unmoved)
    second = late.zip_with(twice, moved)
    pairs = zip(rows.to_list(), first.cast(pl.Int64).to_list(), second.cast(pl.Int64).to_list(), strict=True)
    candidates = {row: (a, b) for row, a, b in pairs}
    marks = twice.replace_strict({True: AMBIGUOUS, False: NONEXISTENT}, return_dtype=pl.String)
    return utc.scatter(rows, first), none.scatter(rows, marks), candidates


def _localised(naive: pl.Series, zone: str, which: str) -> pl.Series:
    choice = "earliest" if which == "earliest" else "latest"
    local = naive.dt.replace_time_zone(zone, ambiguous=choice, non_existent="null")
    return local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _resolve_by_order(
    utc: pl.Series,
    flags: pl.Series,
    candidates: dict[int, tuple[int, int]],
    group: pl.Series | None,
    last_us: dict[str | None, int],
) -> pl.Series:
    n = utc.len()
    times: Times = utc.cast(pl.Int64).fill_null(_NEVER).to_numpy().copy()
    before = _previous_rows(n, group)
    for row in sorted(candidates):
        if flags[row] != AMBIGUOUS:
            continue
        small, large = sorted(candidates[row])
        owner = None if group is None else group[row]
        last = int(times[before[row]]) if before[row] >= 0 else last_us.get(owner, _NEVER)
        ordered = last <= large + _ORDER_SLACK_US
        times[row] = large if ordered and last >= small else small
    rows = sorted(candidates)
    return utc.scatter(rows, pl.Series(times[rows]).cast(_US))


def _previous_rows(n: int, group: pl.Series | None) -> Times:
    rows = pl.DataFrame({"row": np.arange(n)})
    if group is None:
        return rows["row"].to_numpy() - 1
    rows = rows.with_columns(group.rename("group"))
    return rows.select(pl.col("row").shift(1).over("group").fill_null(-1))["row"].to_numpy()


def settle_by_duration(
    start: pl.Series,
    end: pl.Series,
    duration_hours: pl.Series,
    start_candidates: dict[int, tuple[int, int]],
    end_candidates: dict[int, tuple[int, int]],
) -> tuple[pl.Series, pl.Series]:
    """Starts and ends of sessions, the doubtful ones chosen so that they agree best with the logged length [h]."""
    starts, ends = start.cast(pl.Int64).to_list(), end.cast(pl.Int64).to_list()
    hours = duration_hours.to_list()
    for row in sorted(set(start_candidates) | set(end_candidates)):
        if hours[row] is None or starts[row] is None or ends[row] is None:
            continue
        options = [
            (abs(b - a - hours[row] * 3.6e9), a, b)
            for a in dict.fromkeys((starts[row], *start_candidates.get(row, ())))
            for b in dict.fromkeys((ends[row], *end_candidates.get(row, ())))
        ]
        _, starts[row], ends[row] = min(options, key=lambda option: option[0])
    return (
        pl.Series(start.name, starts, dtype=pl.Int64).cast(_US),
        pl.Series(end.name, ends, dtype=pl.Int64).cast(_US),
    )
