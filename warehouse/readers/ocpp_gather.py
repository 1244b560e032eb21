"""What the messages of a block say, one row a message; and their readings, one row a time, checked and flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from warehouse.raw import LIMITS, MAX_YEARS_FROM_MEDIAN, RAW_SCHEMAS, STATES, latest_time
from warehouse.readers.ocpp_message import COLUMNS, Plan
from warehouse.readers.ocpp_names import Names, distinct_rows
from warehouse.readers.ocpp_numbers import NO_TIME
from warehouse.readers.ocpp_sessions import FIRST_US, LAST_US
from warehouse.readers.ocpp_values import Values

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# Flags of samples, a bit each.
FLAGS = (
    *("interruption", "unknown_unit", "unreadable_value", "vendor_fields", "unaligned_clock", "late_backfill"),
    *("impossible_value", "part_dropped", "sentinel_id", "session_over", "begin_repeated"),
)
_BIT = {name: 1 << i for i, name in enumerate(FLAGS)}
STORED = COLUMNS[:6]
_FAR_US = int(MAX_YEARS_FROM_MEDIAN * 365.25 * 86_400e6)
_LATE_US, _AHEAD_US = 3_600_000_000, 86_400_000_000
# Clock-aligned readings stand at whole minutes; meters that run freely do not (EVerest/libocpp#445).
_ALIGNED_US, _ALIGNED_SLACK_US = 60_000_000, 1_000_000


@dataclass
class Rows:
    """Readings in the order of the log: ``record`` is the message of the block; values as `COLUMNS`."""

    record: Ints
    time: Ints
    values: Floats
    state: Ints
    flags: Ints

    def flag(self, where: Bools, name: str) -> None:
        """Mark rows."""
        self.flags[where] |= _BIT[name]

    def frame(self, gathered: Gathered, line: Ints) -> pl.DataFrame:
        """Samples as ``RAW_SCHEMAS`` has them; a time with interval energies alone gives none."""
        kept = np.isfinite(self.values[:, : len(STORED)]).any(axis=1) | (self.state >= 0)
        kept &= ~gathered.is_refused()[self.record]
        record, n = self.record[kept], int(kept.sum())
        vehicle, time = gathered.vehicle[record], self.time[kept]
        names = gathered.names.words
        columns: dict[str, pl.Series] = {
            "vehicle_id": _words(vehicle, names),
            "time_utc": pl.Series(time.view("datetime64[us]")),
            "session_ref": _words(gathered.ref[record], names),
            "state": _words(self.state[kept], (*STATES, None)),
            "logger": pl.Series(["charger"]).new_from_index(0, n),
            "flag": _flag_text(self.flags[kept]),
            "line": pl.Series(line[record]),
        }
        for index, name in enumerate(STORED):
            columns[name] = pl.Series(self.values[kept, index], nan_to_null=True)
        made = [
            columns[name].rename(name) if name in columns else pl.Series(name, [None], dtype=dtype).new_from_index(0, n)
            for name, dtype in RAW_SCHEMAS["samples"].items()
        ]
        frame = pl.DataFrame(made)
        if distinct_rows(vehicle, time)[1].size == n:
            return frame
        return _merged(frame, pl.Series("_repeated", gathered.repeated[record]))


def _words(codes: Ints, words: Sequence[str | None]) -> pl.Series:
    """Texts of codes; the code -1 is the last word."""
    if codes.size and not np.any(codes != codes[0]):
        return pl.Series([words[code] for code in codes[:1].tolist()], dtype=pl.String).new_from_index(0, codes.size)
    return pl.Series([words[code] for code in codes.tolist()], dtype=pl.String)


def _flag_text(flags: Ints) -> pl.Series:
    values, place = np.unique(flags, return_inverse=True)
    return _words(place, [" ".join(n for n, bit in _BIT.items() if value & bit) or None for value in values.tolist()])


def _merged(frame: pl.DataFrame, repeated: pl.Series) -> pl.DataFrame:
    """Rows of the same car and time made one where they complete each other; where they disagree they stay.

    The line of the first stays; messages sent again give the merged row again, so that they are known as duplicates.
    """
    key = ["vehicle_id", "time_utc"]
    again = frame.select(pl.struct(key).is_duplicated()).to_series()
    if not again.any():
        return frame
    values = [name for name in frame.columns if name not in (*key, "line", "flag", "logger")]
    numbered = frame.with_row_index("_row").with_columns(repeated)
    groups = numbered.filter(again).group_by(key, maintain_order=True)
    agrees = groups.agg(
        (pl.all_horizontal([pl.col(v).drop_nulls().n_unique() <= 1 for v in values])).alias("_agree"),
        *[pl.col(v).drop_nulls().first().alias(f"_{v}") for v in values],
        pl.col("flag").drop_nulls().unique(maintain_order=True).str.join(" ").alias("_flag"),
        pl.col("line").first().alias("_line"),
    )
    joined = numbered.join(agrees, on=key, how="left", maintain_order="left")
    merge = pl.col("_agree").fill_null(value=False)
    joined = joined.with_columns(
        *[pl.when(merge).then(pl.col(f"_{v}")).otherwise(pl.col(v)).alias(v) for v in values],
        pl.when(merge & (pl.col("_flag") != "")).then(pl.col("_flag")).otherwise(pl.col("flag")).alias("flag"),
    )
    once = pl.struct(*key, "line").is_first_distinct() & ((pl.col("line") == pl.col("_line")) | pl.col("_repeated"))
    return joined.filter(~merge | once).select(frame.columns)


@dataclass
class Gathered:
    """Messages of a block; names, ids and events are numbers of `Names`."""

    n: int
    names: Names = field(default_factory=Names)
    chunks: list[tuple[Ints, int, Ints, Floats, int, int]] = field(default_factory=list)
    repeated: Bools = field(init=False)

    def __post_init__(self) -> None:
        def empty() -> Ints:
            return np.zeros(self.n, dtype=np.int64)

        self.station, self.transaction, self.token, self.message_id = empty(), empty(), empty(), empty()
        self.event, self.vehicle, self.ref = empty(), empty(), empty()
        self.connector = np.full(self.n, -1, dtype=np.int64)
        self.event_time = np.full(self.n, NO_TIME, dtype=np.int64)
        self.logged = np.full(self.n, NO_TIME, dtype=np.int64)
        self.meter = np.full(self.n, np.nan)
        self.content = np.zeros(self.n, dtype=np.uint64)  # 0: not known
        self.unreadable = np.zeros(self.n, dtype=np.bool_)
        self.repeated = np.zeros(self.n, dtype=np.bool_)
        self._refused: dict[int, tuple[str, str]] = {}

    def refuse(self, row: int, reason: str, detail: str) -> None:
        """Refuse a message; the first reason stays."""
        self._refused.setdefault(row, (reason, detail))

    def refused(self) -> dict[int, tuple[str, str]]:
        """Refused messages with reason and detail."""
        return self._refused

    def is_refused(self) -> Bools:
        """Mask of the refused messages."""
        out = np.zeros(self.n, dtype=np.bool_)
        out[list(self._refused)] = True
        return out

    def take(self, plan: Plan, values: Values, rows: Ints) -> None:
        """Messages that say what a plan says, with their values."""
        self._name(plan, values, rows)
        if plan.reject is not None:
            for row in rows.tolist():
                self.refuse(row, *plan.reject)
            return
        if plan.event:
            self.event[rows] = self.names.code(plan.event)
        if plan.connector is not None:
            self.connector[rows] = plan.connector
        if plan.logged is not None and plan.entries:
            self.logged[rows] = values.times(plan.logged, stated=True)
        if plan.event_time is not None:
            self.event_time[rows] = values.times(plan.event_time)
        if plan.meter is not None:
            self.meter[rows] = values.numbers(plan.meter) / 1000.0
        self.unreadable[rows] = plan.unreadable
        for order, entry in enumerate(plan.entries):
            matrix = np.full((rows.size, len(COLUMNS)), np.nan)
            for column, terms in entry.terms.items():
                total = np.zeros(rows.size)
                for mark, power, sign in terms:
                    number = values.numbers(mark)
                    scaled = number * 10.0**power if power >= 0 else number / 10.0**-power
                    total = total + sign * scaled
                matrix[:, COLUMNS.index(column)] = total
            times = values.times(entry.time)
            bits = sum(_BIT[flag] for flag in {*plan.flags, *entry.flags})
            state = STATES.index(entry.state) if entry.state is not None else -1
            off = np.zeros(rows.size, dtype=np.bool_)
            if entry.clock_aligned:
                off = (times + _ALIGNED_SLACK_US) % _ALIGNED_US > 2 * _ALIGNED_SLACK_US
            for part, bit in ((~off, bits), (off, bits | _BIT["unaligned_clock"])):
                if part.any():
                    self.chunks.append((rows[part], order, times[part], matrix[part], state, bit))

    def _name(self, plan: Plan, values: Values, rows: Ints) -> None:
        wanted = ["station"]
        if plan.event or plan.entries:
            wanted += ["transaction", "token"]
        if plan.event in ("start16", "result16"):  # told together by the id of the message
            wanted += ["message_id"]
        for name in wanted:
            mark = getattr(plan, name)
            if mark is not None:
                texts, index = values.texts(mark)
                getattr(self, name)[rows] = self.names.codes(texts)[index]

    def middle(self) -> int | None:
        """Median of the plausible times, to know clocks that were never set; the future has no say in it."""
        last = min(LAST_US, int(np.datetime64(latest_time(), "us").astype(np.int64)))
        times = np.concatenate([self.event_time, *(chunk[2] for chunk in self.chunks)])
        times = np.sort(times[(times >= FIRST_US) & (times < last)])
        return int(times[times.size // 2]) if times.size else None


def rows_of(gathered: Gathered, middle: int | None) -> Rows:
    """Readings of a block; messages whose every reading is of no use are refused."""
    chunks = gathered.chunks
    if chunks:
        record = np.concatenate([c[0] for c in chunks])
        rank = np.concatenate([np.full(c[0].size, c[1]) for c in chunks])
        order = np.lexsort((rank, record))
        time = np.concatenate([c[2] for c in chunks])[order]
        values = np.concatenate([c[3] for c in chunks])[order]
        state = np.concatenate([np.full(c[0].size, c[4], dtype=np.int64) for c in chunks])[order]
        flags = np.concatenate([np.full(c[0].size, c[5], dtype=np.int64) for c in chunks])[order]
        rows = Rows(record[order], time, values, state, flags)
    else:
        none = np.empty(0, np.int64)
        rows = Rows(none, none, np.empty((0, len(COLUMNS))), none.copy(), none.copy())
    bad_time = _bad_times(rows.time, gathered.logged[rows.record], middle)
    logged = gathered.logged[rows.record]
    rows.flag((logged != NO_TIME) & (logged - rows.time > _LATE_US) & ~bad_time, "late_backfill")
    for index, name in enumerate(STORED):
        low, high, _ = LIMITS[name]
        column = rows.values[:, index]
        outside = np.isfinite(column) & ((column < low) | (column > high)) | np.isinf(column)
        rows.flag(outside, "impossible_value")
        column[outside] = np.nan
    empty = ~np.isfinite(rows.values).any(axis=1)
    dropped = bad_time | empty
    _refuse_useless(gathered, rows, bad_time, dropped)
    part = np.isin(rows.record, rows.record[dropped])
    rows.flag(part, "part_dropped")
    kept = ~dropped & ~gathered.is_refused()[rows.record]
    return Rows(rows.record[kept], rows.time[kept], rows.values[kept], rows.state[kept], rows.flags[kept])


def _bad_times(time: Ints, logged: Ints, middle: int | None) -> Bools:
    """Times that cannot be: unreadable, before 2000 (a clock never set), years off, or a day after they were logged."""
    bad = (time < FIRST_US) | (time >= LAST_US)
    if middle is not None:
        bad |= np.abs(np.where(bad, middle, time) - middle) > _FAR_US
    plausible = (logged >= FIRST_US) & (logged < LAST_US)
    return bad | (plausible & (np.where(bad, FIRST_US, time) - np.where(plausible, logged, 0) > _AHEAD_US))


_WHY = {
    "bad_time": "key 'timestamp' holds no time",
    "impossible_time": "its time cannot be (a clock that was not set, or the future)",
    "impossible_value": "its readings are impossible",
    "bad_number": "its readings are no numbers",
}


def _refuse_useless(gathered: Gathered, rows: Rows, bad_time: Bools, dropped: Bools) -> None:
    with_rows = np.zeros(gathered.n, np.bool_)
    with_rows[rows.record] = True
    useful = np.zeros(gathered.n, np.bool_)
    useful[rows.record[~dropped]] = True
    for index in np.flatnonzero(with_rows & ~useful).tolist():
        mine = rows.record == index
        if np.all(rows.time[mine] == NO_TIME):
            reason = "bad_time"
        else:
            reason = "impossible_time" if np.any(bad_time[mine]) else "impossible_value"
        gathered.refuse(index, reason, _WHY[reason])
    for index in np.flatnonzero(gathered.unreadable & ~with_rows).tolist():
        gathered.refuse(index, "bad_number", _WHY["bad_number"])
    timed = (gathered.event != 0) & (gathered.event != gathered.names.code("result16"))
    wrong = timed & ((gathered.event_time < FIRST_US) | (gathered.event_time >= LAST_US)) & ~useful
    for index in np.flatnonzero(wrong).tolist():
        reason = "bad_time" if gathered.event_time[index] == NO_TIME else "impossible_time"
        gathered.refuse(index, reason, _WHY[reason])
