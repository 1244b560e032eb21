"""The generic reader: CSV (plain, gz, zst) and Parquet by a format, to canonical rows and refused rows.

Every record of the file ends as rows (one, or one a series where a column is a series), or as one refused row with
its line, reason and text. Vehicles are still named as in the log: `warehouse.intake` hashes them before anything is
written, and removes personal fields from refused text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

import polars as pl

from warehouse.keys import MASK
from warehouse.raw import KIND_RULES, LIMITS, RAW_SCHEMAS, SESSION_KINDS, STATES
from warehouse.readers import source
from warehouse.readers.batch import REJECTS
from warehouse.readers.cells import (
    Refusals,
    as_boolean,
    as_number,
    as_text,
    mask_ragged,
    parse_times,
    refuse_far_times,
    refuse_times,
)
from warehouse.readers.localtime import settle_by_duration, to_utc
from warehouse.readers.source import RefusedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warehouse.formatspec import ColumnSpec, FormatSpec

_US = pl.Datetime("us")
_MAX_RAW_TEXT = 500


@dataclass(frozen=True)
class TableResult:
    """What a file gave: canonical rows (with line), refused rows, and the independent count of its records."""

    rows: pl.DataFrame
    rejects: pl.DataFrame
    rows_read: int
    texts: Callable[[pl.Series], pl.DataFrame]  # line, raw_text of accepted lines, personal fields masked
    silent: int = 0  # records that were understood and carry no reading: they count as loaded


def read_table(data: bytes, spec: FormatSpec) -> TableResult:
    """Canonical rows and refused rows of a file's (decompressed) bytes.

    Raises
    ------
    RefusedFile
        The whole file is of no use: not what the format says, or a column is missing.
    """
    if spec.file.type == "parquet":
        parquet = source.parquet_file(data)
        frame, read = pl.DataFrame(pl.from_arrow(parquet.read())), parquet.metadata.num_rows
        names = frame.columns
        need_columns(names, spec)
        cells = frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias("line"))
        broken = pl.DataFrame(schema=REJECTS)
    else:
        read = source.count_text_records(data, header=spec.file.header is None)
        names, lines = source.text_lines(data, spec.file)
        need_columns(names, spec)
        cells, broken = split_lines(lines, names, spec)
    if spec.typical is not None and cells.height + broken.height != spec.typical.rows:
        raise RefusedFile(f"A typical year has {spec.typical.rows} rows; the file has {cells.height + broken.height}.")
    refusals = Refusals(cells.height)
    rows = wide_rows(cells, names, spec, refusals) if spec.wide is not None else canonical_rows(cells, spec, refusals)
    refused = cells.select("line").with_columns(refusals.reason.alias("reason"), refusals.detail.alias("detail"))
    refused = refused.filter(~refusals.good)

    def texts(lines: pl.Series) -> pl.DataFrame:
        return texts_of(cells.filter(pl.col("line").is_in(lines.implode())), names, spec)

    rejects = refused.join(texts(refused["line"]), on="line", how="left", maintain_order="left")
    return TableResult(rows, pl.concat([broken, rejects]).sort("line"), read, texts)


def need_columns(names: list[str], spec: FormatSpec) -> None:
    missing = [name for name in spec.used_columns() if name not in names]
    if missing:
        has = source.shown_names(names)
        said = f"it has: {', '.join(has)}" if has else source.NO_HEADER
        raise RefusedFile(f"Column '{missing[0]}' of format {spec.name} is not in the file; {said}.")


def split_lines(lines: pl.DataFrame, names: list[str], spec: FormatSpec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lines to cells; lines that cannot be split come back as refused rows."""
    delimiter, n = spec.file.delimiter, len(names)
    text = lines["text"]
    odd = text.str.contains('"', literal=True) | text.str.contains("\x00", literal=True)
    odd = odd | text.str.contains(source.REPLACEMENT, literal=True)
    right = (text.str.count_matches(delimiter, literal=True) == n - 1) & ~odd
    plain = lines.filter(right)
    columns = [f"c{i}" for i in range(n)]
    fields = plain["text"].str.split_exact(delimiter, n - 1).struct.rename_fields(columns).struct.unnest()
    used = {name: columns[i] for i, name in enumerate(names) if name}
    cells = fields.select(pl.col(column).alias(name) for name, column in used.items()).with_columns(plain["line"])
    quoted: list[tuple[int, list[str]]] = []
    broken: list[tuple[int, str, str, str]] = []
    positions = {names.index(c) for c in _personal(spec) if c in names}
    for line, raw in lines.filter(~right).rows():
        parts = source.split_quoted(raw, delimiter)
        if "\x00" in raw or source.REPLACEMENT in raw:
            reason, detail = "bad_characters", f"the line holds characters that are not {spec.file.encoding} text"
        elif parts is None:
            reason, detail = "bad_quotes", "the line's quotes do not close"
        elif len(parts) != n:
            reason, detail = "wrong_field_count", f"the line has {len(parts)} fields, the header {n}"
        else:
            quoted.append((line, parts))
            continue
        shown = mask_ragged(raw.replace("\x00", "").split(delimiter), positions, MASK)
        broken.append((line, reason, detail, delimiter.join(shown)[:_MAX_RAW_TEXT]))
    if quoted:
        more = {name: [parts[i] for _, parts in quoted] for i, name in enumerate(names) if name}
        more_frame = pl.DataFrame(more | {"line": [line for line, _ in quoted]}, schema=cells.schema)
        cells = pl.concat([cells, more_frame]).sort("line")
    return cells, pl.DataFrame(broken, schema=REJECTS, orient="row")


def _personal(spec: FormatSpec) -> list[str]:
    """Columns that must not be kept in refused text."""
    owner = spec.columns.get("vehicle_id")
    return [*spec.personal, *([owner.from_] if owner is not None and owner.from_ is not None else [])]


def texts_of(cells: pl.DataFrame, names: list[str], spec: FormatSpec) -> pl.DataFrame:
    """Text of records, only of the columns that the format reads: all others are masked."""
    kept = set(spec.used_columns()) - set(_personal(spec))
    if spec.wide is not None:
        return cells.select("line", pl.lit("(one value a series)").alias("raw_text"))
    parts = [pl.col(n).cast(pl.String).fill_null("") if n in kept else pl.lit(MASK) for n in names if n]
    shown = pl.concat_str(parts, separator=spec.file.delimiter).str.slice(0, _MAX_RAW_TEXT)
    return cells.select("line", shown.alias("raw_text"))


def canonical_rows(
    cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, marks: Sequence[pl.Series] = ()
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
        start, end, clock = _session_times(cells, spec, refusals, out[owner])
        out["start_utc"], out["end_utc"] = start, end
        refuse_far_times(start, refusals)
        flags += clock
    else:
        out["time_utc"], clock = _times(cells, spec, refusals, out.get(owner))
        flags += clock
    if spec.kind == "samples":
        refuse_far_times(out["time_utc"], refusals)
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
    return pl.DataFrame([*columns, cells["line"]]).select(schema.keys()).filter(refusals.good)


def _marks(n: int, flag: str, where: pl.Series | None) -> pl.Series:
    """A flag for the rows of a mask (all without one), null elsewhere."""
    series = pl.Series([flag], dtype=pl.String).new_from_index(0, n)
    return series if where is None else series.set(~where.fill_null(value=False), None)


def _source_of(cells: pl.DataFrame, column: ColumnSpec) -> pl.Series:
    if column.from_ is not None:
        return cells[column.from_]
    return pl.Series([column.value]).new_from_index(0, cells.height)


def _number(
    cells: pl.DataFrame, name: str, column: ColumnSpec, spec: FormatSpec, refusals: Refusals
) -> tuple[pl.Series, pl.Series | None]:
    where = column.from_ or name
    number = as_number(_source_of(cells, column), spec.file, refusals, where)
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
    text = as_text(_source_of(cells, column).cast(pl.String), spec.file)
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
    if column.required or name == "kind":
        refusals.add(text.is_null(), "missing_value", f"column '{where}' is empty")
    return text


def _times(
    cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, group: pl.Series | None
) -> tuple[pl.Series, list[pl.Series]]:
    if spec.typical is not None:
        first = datetime.combine(spec.typical.start, time())
        line = cells["line"]
        hours = ((line - (2 if spec.file.type == "csv" else 1)) * 3_600_000_000).cast(pl.Duration("us"))
        return pl.Series([first], dtype=_US).new_from_index(0, cells.height) + hours, []
    if spec.elapsed is not None:
        return _elapsed(cells, spec, refusals), []
    column = spec.columns["time_utc"].from_ or ""
    utc, flag, _ = _clock(cells[column], spec, refusals, column, group, required=True)
    return utc, [flag]


def _elapsed(cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals) -> pl.Series:
    elapsed = spec.elapsed
    if elapsed is None or elapsed.base is None or elapsed.group is None:
        raise ValueError("the format has no [elapsed] with base and group")
    seconds = as_number(cells[elapsed.column], spec.file, refusals, elapsed.column)
    refusals.add(seconds.is_null(), "missing_time", f"column '{elapsed.column}' is empty")
    within = seconds.is_between(0.0, elapsed.group_days * 86_400 / elapsed.unit_seconds)
    refusals.add(~within, "impossible_time", f"column '{elapsed.column}' is negative or longer than its group")
    group = as_text(cells[elapsed.group].cast(pl.String), spec.file)
    refusals.add(group.is_null(), "missing_time", f"column '{elapsed.group}' is empty")
    order = {name: i for i, name in enumerate(group.drop_nulls().unique(maintain_order=True))}
    day = group.replace_strict(order, default=None, return_dtype=pl.Int64) * elapsed.group_days
    micros = (seconds * elapsed.unit_seconds * 1e6).round(0).cast(pl.Int64, strict=False) + day * 86_400_000_000
    base = pl.Series([elapsed.base.replace(tzinfo=None)], dtype=_US).new_from_index(0, cells.height)
    return base + micros.cast(pl.Duration("us"))


def _clock(
    cells: pl.Series, spec: FormatSpec, refusals: Refusals, column: str, group: pl.Series | None, required: bool
) -> tuple[pl.Series, pl.Series, dict[int, tuple[int, int]]]:
    """UTC of a column of clock times, flags, and the two candidates of doubtful rows."""
    raw = as_text(cells, spec.file) if cells.dtype == pl.String else cells
    naive, aware = parse_times(cells, spec.time.format, spec.file)
    refuse_times(raw, naive, refusals, column, required)
    utc, flag, candidates = to_utc(naive, spec.time, group)
    if aware.any():
        utc = utc.zip_with(~aware, naive)
        flag = flag.set(aware, None)
        kept = aware.to_numpy()
        candidates = {row: pair for row, pair in candidates.items() if not kept[row]}
    return utc, flag, candidates


def _session_times(
    cells: pl.DataFrame, spec: FormatSpec, refusals: Refusals, owner: pl.Series
) -> tuple[pl.Series, pl.Series, list[pl.Series]]:
    n = cells.height
    column = spec.columns["start_utc"].from_ or ""
    start, start_flag, doubtful_start = _clock(cells[column], spec, refusals, column, owner, required=True)
    end = pl.Series([None], dtype=_US).new_from_index(0, n)
    end_flag, doubtful_end = pl.Series([None], dtype=pl.String).new_from_index(0, n), {}
    ends = spec.columns.get("end_utc")
    if ends is not None and ends.from_ is not None:
        end, end_flag, doubtful_end = _clock(cells[ends.from_], spec, refusals, ends.from_, owner, required=False)
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


def wide_rows(cells: pl.DataFrame, names: list[str], spec: FormatSpec, refusals: Refusals) -> pl.DataFrame:
    """One column a series to long rows; a row without any value, or with an impossible one, is refused."""
    wide = spec.wide
    if wide is None:
        raise ValueError("the format has no [wide]")
    timed = spec.columns["time_utc"].from_ if "time_utc" in spec.columns else None
    series = [name for name in names if name and name != timed and name not in wide.ignore]
    time_utc, _ = _times(cells, spec, refusals, None)
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
