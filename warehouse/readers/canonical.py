"""Cells of a batch to canonical rows by a format: units, signs, limits, times, flags, and the reasons to refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

import polars as pl

from warehouse.raw import KIND_RULES, LIMITS, RAW_SCHEMAS, SESSION_KINDS, STATES
from warehouse.readers.cells import (
    Refusals,
    as_boolean,
    as_number,
    as_text,
    parse_times,
    refuse_far_times,
    refuse_times,
)
from warehouse.readers.localtime import settle_by_duration, to_utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warehouse.formatspec import ColumnSpec, FormatSpec

_US = pl.Datetime("us")


@dataclass
class FileState:
    """What one batch of a file has to know of those before."""

    middle: datetime | None = None  # median time of the first batch with usable times
    last: dict[str, dict[str | None, int]] = field(default_factory=dict)  # column -> owner -> its last time [us]
    groups: dict[str, int] = field(default_factory=dict)  # group of elapsed times -> its place in the file


def canonical_rows(
    cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, state: FileState, marks: Sequence[pl.Series] = ()
) -> pl.DataFrame:
    """Canonical rows of cells; ``marks`` are flags (or null) a row that are known before."""
    out: dict[str, pl.Series] = {}
    flags: list[pl.Series] = [*(_marks(cells.height, flag, None) for flag in spec.flags), *marks]
    schema = RAW_SCHEMAS[spec.kind]
    owner = KIND_RULES[spec.kind].owner
    for name, dtype in schema.items():
        column = spec.columns.get(name)
        if column is None or dtype == _US:
            continue
        if dtype == pl.Float64():
            out[name], mark = _number(cells, name, column, spec, refusals)
            flags += [] if mark is None else [mark]
        else:
            out[name] = _text(cells, name, column, spec, refusals)
    if owner in out:
        refusals.add(out[owner].is_null(), "missing_owner", f"'{owner}' is empty")
    if spec.kind == "sessions":
        start, end, clock = _session_times(cells, spec, refusals, out[owner], state)
        out["start_utc"], out["end_utc"] = start, end
        state.middle = refuse_far_times(start, refusals, state.middle)
        flags += clock
    else:
        out["time_utc"], clock = _times(cells, spec, refusals, out.get(owner), state)
        flags += clock
    if spec.kind == "samples":
        state.middle = refuse_far_times(out["time_utc"], refusals, state.middle)
    if spec.kind in ("home", "price", "air"):
        hour = out["time_utc"].dt.truncate("1h") == out["time_utc"]
        refusals.add(~hour, "not_on_the_hour", "the series is hourly; this row is not at a full hour")
    return _frame(cells, out, flags, spec, refusals)


def _frame(
    cells: pl.DataFrame, out: dict[str, pl.Series], flags: list[pl.Series], spec: FormatSpec, refusals: Refusals
) -> pl.DataFrame:
    schema, n = RAW_SCHEMAS[spec.kind], cells.height
    joined = pl.DataFrame([mark.alias(f"f{i}") for i, mark in enumerate(flags)])
    if "flags" in schema:
        empty = pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, n)
        listed = joined.select(pl.concat_list(pl.all()).list.drop_nulls().list.unique(maintain_order=True))
        out["flags"] = listed.to_series() if flags else empty
    if "flag" in schema and flags:
        listed = joined.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
        out["flag"] = listed.set(listed == "", None)
    if "logger" in schema:
        out["logger"] = pl.Series([spec.logger], dtype=pl.String).new_from_index(0, n)
    if "typical_year" in schema:
        out["typical_year"] = pl.Series([spec.typical is not None]).new_from_index(0, n)
    columns = [
        (out[name] if name in out else pl.Series([None]).new_from_index(0, n)).cast(dtype).alias(name)
        for name, dtype in schema.items()
        if name != "line"
    ]
    frame = pl.DataFrame([*columns, cells["line"]]).select(schema.keys())
    return frame if refusals.none else frame.filter(refusals.good)


def _marks(n: int, flag: str, where: pl.Series | None) -> pl.Series:
    """A flag for the rows of a mask (all without one), null elsewhere."""
    series = pl.Series([flag], dtype=pl.String).new_from_index(0, n)
    return series if where is None else series.set(~where.fill_null(value=False), None)


def source_of(cells: pl.DataFrame, column: ColumnSpec) -> pl.Series:
    if column.from_ is not None:
        return cells[column.from_]
    return pl.Series([column.value]).new_from_index(0, cells.height)


def _number(
    cells: pl.DataFrame, name: str, column: ColumnSpec, spec: FormatSpec, refusals: Refusals
) -> tuple[pl.Series, pl.Series | None]:
    where = column.from_ or name
    number = as_number(source_of(cells, column), spec.file, refusals, where)
    missing = None
    for other in column.subtract:
        taken = as_number(cells[other], spec.file, refusals, other)
        gap = taken.is_null() & number.is_not_null()
        missing = gap if missing is None else missing | gap
        number = number - taken.fill_null(0.0)
    scale = -column.scale if column.sign == "charging_negative" else column.scale
    if scale != 1.0:
        number = number * scale
    if column.offset:
        number = number + column.offset
    mark = None if missing is None else _marks(cells.height, "subtracted_missing", missing)
    low, high, unit = LIMITS[name]
    if column.clip_from is not None:
        below = number.is_between(column.clip_from, 0.0, closed="left").fill_null(value=False)
        number = number.set(below, 0.0)
        clipped = _marks(cells.height, "negative_clipped", below)
        mark = clipped if mark is None else mark.zip_with(~below, clipped)
    low = low if column.min is None else column.min
    high = high if column.max is None else column.max
    outside = ~number.is_between(low, high)
    refusals.add(outside, "impossible_value", f"column '{where}' lies outside {low:g} to {high:g} {unit}")
    if column.required or name in ("load_kwh", "price_money_per_kwh", "air_temp_c"):
        refusals.add(number.is_null(), "missing_value", f"column '{where}' is empty")
    return number, mark


def _text(cells: pl.DataFrame, name: str, column: ColumnSpec, spec: FormatSpec, refusals: Refusals) -> pl.Series:
    where = column.from_ or name
    source = source_of(cells, column)
    if isinstance(source.dtype, pl.Enum):
        own = Refusals(source.dtype.categories.len())
        out = texts_few(source.dtype.categories, name, column, spec, own)
        code = source.to_physical()
        if not own.none:
            refusals.add_all(own.reason.gather(code), own.detail.gather(code))
        if _must_be(name, column):
            refusals.add(source.is_null(), "missing_value", f"column '{where}' is empty")
        return out.gather(code)
    text = as_text(source.cast(pl.String), spec.file)
    if column.map:
        mapped = text.replace_strict(column.map, default=None, return_dtype=pl.String)
        refusals.add(mapped.is_null() & text.is_not_null(), "bad_value", f"column '{where}' holds an unknown name")
        text = mapped
    allowed = {"state": STATES, "kind": SESSION_KINDS}.get(name)
    if allowed is not None:
        wrong = ~text.is_in(list(allowed)) & text.is_not_null()
        refusals.add(wrong, "bad_value", f"column '{where}' is none of {', '.join(allowed)}")
    if name == "shared":
        return as_boolean(text, refusals, where)
    if _must_be(name, column):
        refusals.add(text.is_null(), "missing_value", f"column '{where}' is empty")
    return text


def _must_be(name: str, column: ColumnSpec) -> bool:
    return column.required or name == "kind"


def texts_few(texts: pl.Series, name: str, column: ColumnSpec, spec: FormatSpec, refusals: Refusals) -> pl.Series:
    """Texts that are few, looked at once each."""
    where = column.from_ or name
    return _text(texts.to_frame(where), name, column.model_copy(update={"from_": where}), spec, refusals)


def _times(
    cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, group: pl.Series | None, state: FileState
) -> tuple[pl.Series, list[pl.Series]]:
    if spec.typical is not None:
        first = datetime.combine(spec.typical.start, time())
        line = cells["line"]
        hours = ((line - (2 if spec.file.type == "csv" else 1)) * 3_600_000_000).cast(pl.Duration("us"))
        return pl.Series([first], dtype=_US).new_from_index(0, cells.height) + hours, []
    if spec.elapsed is not None:
        return _elapsed(cells, spec, refusals, state), []
    column = spec.columns["time_utc"].from_ or ""
    utc, flag, _ = _clock(cells[column], spec, refusals, column, group, state, required=True)
    return utc, [flag]


def _elapsed(cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, state: FileState) -> pl.Series:
    elapsed = spec.elapsed
    if elapsed is None or elapsed.base is None or elapsed.group is None:
        raise ValueError("the format has no [elapsed] with base and group")
    seconds = as_number(cells[elapsed.column], spec.file, refusals, elapsed.column)
    refusals.add(seconds.is_null(), "missing_time", f"column '{elapsed.column}' is empty")
    within = seconds.is_between(0.0, elapsed.group_days * 86_400 / elapsed.unit_seconds)
    refusals.add(~within, "impossible_time", f"column '{elapsed.column}' is negative or longer than its group")
    group = as_text(cells[elapsed.group].cast(pl.String), spec.file)
    refusals.add(group.is_null(), "missing_time", f"column '{elapsed.group}' is empty")
    for name in group.drop_nulls().unique(maintain_order=True):
        state.groups.setdefault(name, len(state.groups))
    day = group.replace_strict(state.groups, default=None, return_dtype=pl.Int64) * elapsed.group_days
    micros = (seconds * elapsed.unit_seconds * 1e6).round(0).cast(pl.Int64, strict=False) + day * 86_400_000_000
    base = pl.Series([elapsed.base.replace(tzinfo=None)], dtype=_US).new_from_index(0, cells.height)
    return base + micros.cast(pl.Duration("us"))


def _clock(
    cells: pl.Series,
    spec: FormatSpec,
    refusals: Refusals,
    column: str,
    group: pl.Series | None,
    state: FileState,
    required: bool,
) -> tuple[pl.Series, pl.Series, dict[int, tuple[int, int]]]:
    """UTC of a column of clock times, flags, and the two candidates of doubtful rows."""
    raw = as_text(cells, spec.file) if cells.dtype == pl.String else cells
    naive, aware = parse_times(cells, spec.time.format, spec.file)
    refuse_times(raw, naive, refusals, column, required)
    utc, flag, candidates = to_utc(naive, spec.time, group, state.last.setdefault(column, {}))
    if aware.any():
        utc = utc.zip_with(~aware, naive)
        flag = flag.set(aware, None)
        kept = aware.to_numpy()
        candidates = {row: pair for row, pair in candidates.items() if not kept[row]}
    return utc, flag, candidates


def _session_times(
    cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, owner: pl.Series, state: FileState
) -> tuple[pl.Series, pl.Series, list[pl.Series]]:
    n = cells.height
    column = spec.columns["start_utc"].from_ or ""
    start, start_flag, doubtful_start = _clock(cells[column], spec, refusals, column, owner, state, required=True)
    end = pl.Series([None], dtype=_US).new_from_index(0, n)
    end_flag, doubtful_end = pl.Series([None], dtype=pl.String).new_from_index(0, n), {}
    ends = spec.columns.get("end_utc")
    if ends is not None and ends.from_ is not None:
        end, end_flag, doubtful_end = _clock(
            cells[ends.from_], spec, refusals, ends.from_, owner, state, required=False
        )
    flags = [start_flag, end_flag, _marks(n, "open", end.is_null())]
    if spec.sessions.duration is not None:
        hours = as_number(cells[spec.sessions.duration], spec.file, refusals, spec.sessions.duration)
        start, end = settle_by_duration(start, end, hours, doubtful_start, doubtful_end)
        differs = ((end - start).dt.total_microseconds() / 3.6e9 - hours).abs() > spec.sessions.tolerance_hours
        flags.append(_marks(n, "duration_disagrees", differs))
    refusals.add(end < start, "negative_duration", "the session ends before it starts")
    too_long = (end - start) > timedelta(days=spec.sessions.max_days)
    refusals.add(too_long, "impossible_duration", f"the session is longer than {spec.sessions.max_days:g} days")
    return start, end, flags


def wide_rows(
    cells: pl.DataFrame, names: list[str], spec: FormatSpec, refusals: Refusals, state: FileState
) -> pl.DataFrame:
    """One column a series to long rows; a row without any value, or with an impossible one, is refused."""
    wide = spec.wide
    if wide is None:
        raise ValueError("the format has no [wide]")
    timed = spec.columns["time_utc"].from_ if "time_utc" in spec.columns else None
    series = [name for name in names if name and name != timed and name not in wide.ignore]
    time_utc, _ = _times(cells, spec, refusals, None, state)
    low, high, unit = LIMITS[wide.value]
    columns: list[pl.Series] = []
    for name in series:
        number = as_number(cells[name], spec.file, refusals, name)
        outside = ~number.is_between(low, high)
        refusals.add(outside, "impossible_value", f"column '{name}' lies outside {low:g} to {high:g} {unit}")
        columns.append(number.alias(name))
    frame = pl.DataFrame(columns)
    empty = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    refusals.add(empty, "missing_value", "the row holds no value")
    long = (
        frame.with_columns(time_utc.alias("time_utc"), cells["line"].alias("line"))
        .filter(refusals.good)
        .unpivot(on=series, index=["time_utc", "line"], variable_name=wide.owner, value_name=wide.value)
        .drop_nulls(wide.value)
        .with_columns(pl.lit(spec.typical is not None).alias("typical_year"))
    )
    schema = RAW_SCHEMAS[spec.kind]
    return long.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
