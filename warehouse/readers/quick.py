"""Canonical rows of typed cells of samples, where nothing has to be refused or flagged.

The extremes of each column tell that: what lies inside the limits as a whole needs no look at its rows. Where a column
has something to refuse, to flag or to settle, the careful way (`warehouse.readers.canonical`) reads the same cells;
tests prove that both give the same. Texts stay numbered (`pl.Enum`), as few of them are told by many rows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from warehouse.raw import FIRST_YEAR, LAST_YEAR, LIMITS, MAX_YEARS_FROM_MEDIAN, RAW_SCHEMAS
from warehouse.readers.canonical import FileState, texts_few
from warehouse.readers.cells import Refusals

if TYPE_CHECKING:
    from warehouse.formatspec import ColumnSpec, FormatSpec

_US = pl.Datetime("us")


def quick_rows(cells: pl.DataFrame, spec: FormatSpec, state: FileState) -> pl.DataFrame | None:
    """Canonical rows of cells of the right types; `None` where the careful way has to read them."""
    middle = state.middle
    if spec.kind != "samples" or middle is None or cells.height == 0 or spec.time.zone != "UTC":
        return None
    if spec.flags or spec.time.spans or spec.elapsed is not None or spec.wide is not None or spec.typical is not None:
        return None
    out: list[pl.Series] = []
    for name, dtype in RAW_SCHEMAS["samples"].items():
        column = spec.columns.get(name)
        if name == "line":
            series = cells["line"]
        elif name == "logger":
            series = _constant(spec.logger, cells.height)
        elif name == "flag" or column is None:
            series = pl.Series([None], dtype=dtype).new_from_index(0, cells.height)
        elif column.from_ is None:
            return None
        elif dtype == pl.Float64():
            series = _number(cells[column.from_], name, column)
        elif dtype == _US:
            series = _time(cells[column.from_], middle)
        else:
            series = _text(cells[column.from_], name, column, spec)
        if series is None:
            return None
        out.append(series.alias(name))
    return pl.DataFrame(out)


def _constant(text: str, n: int) -> pl.Series:
    return pl.Series([text], dtype=pl.Enum([text])).new_from_index(0, n)


def _within(low: Any, high: Any, series: pl.Series) -> bool:
    """Whether all of a column lies inside; an empty one does."""
    least, most = series.min(), series.max()
    return least is None or most is None or bool(low <= least and most <= high)


def _number(number: pl.Series, name: str, column: ColumnSpec) -> pl.Series | None:
    if not number.dtype.is_numeric() or column.subtract:
        return None
    number = number.cast(pl.Float64).fill_nan(None)
    scale = -column.scale if column.sign == "charging_negative" else column.scale
    if scale != 1.0:
        number = number * scale
    if column.offset:
        number = number + column.offset
    low, high, _ = LIMITS[name]
    low = low if column.min is None else column.min
    high = high if column.max is None else column.max
    # Infinite numbers lie outside; what would be clipped lies outside too, for this purpose.
    low = low if column.clip_from is None else max(low, 0.0)
    if not _within(low, high, number) or (column.required and number.null_count()):
        return None
    return number


def _time(time: pl.Series, middle: Any) -> pl.Series | None:
    if not isinstance(time.dtype, pl.Datetime) or time.null_count():
        return None
    if time.dtype.time_zone is not None:
        time = time.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    time = time.cast(_US)
    years, far = pl.Series([time.min(), time.max()]).dt.year(), timedelta(days=365.25 * MAX_YEARS_FROM_MEDIAN)
    inside = _within(FIRST_YEAR, LAST_YEAR, years) and _within(middle - far, middle + far, time)
    return time if inside else None


def _text(cells: pl.Series, name: str, column: ColumnSpec, spec: FormatSpec) -> pl.Series | None:
    if not isinstance(cells.dtype, pl.Enum):
        return None
    own = Refusals(cells.dtype.categories.len())
    few = texts_few(cells.dtype.categories, name, column, spec, own)
    if not own.none or few.dtype != pl.String:
        return None
    texts = few.cast(pl.Enum(few.drop_nulls().unique().sort()))
    text = texts.gather(cells.to_physical())
    needed = column.required or name == "vehicle_id"
    return None if needed and text.null_count() else text
