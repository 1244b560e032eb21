"""Cells of a file to typed columns: numbers, texts, times; every cell that cannot be read refuses its row."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from warehouse.raw import FIRST_YEAR, LAST_YEAR, MAX_YEARS_FROM_MEDIAN, latest_time

if TYPE_CHECKING:
    from warehouse.formatspec import FileSpec

_US = pl.Datetime("us")
_OFFSET = r"(Z|z|[+-]\d{2}:?\d{2})$"
_ISO = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")
_ISO_FAST = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Refusals:
    """First reason to refuse each row, with the reason in words; both null for good rows."""

    height: int
    reason: pl.Series = field(init=False)
    detail: pl.Series = field(init=False)

    def __post_init__(self) -> None:
        none = pl.Series([None], dtype=pl.String).new_from_index(0, self.height)
        self.reason, self.detail = none, none

    def add(self, bad: pl.Series, reason: str, detail: str) -> None:
        """Refuse the rows of a mask; the first reason stays."""
        if not bad.any():  # most columns of most files: nulls count as good
            return
        new = bad.fill_null(value=False) & self.reason.is_null()
        if not new.any():
            return
        self.reason = self.reason.zip_with(~new, pl.Series([reason]).new_from_index(0, self.height))
        self.detail = self.detail.zip_with(~new, pl.Series([detail]).new_from_index(0, self.height))

    def add_all(self, reason: pl.Series, detail: pl.Series) -> None:
        """Refuse the rows that have a reason; the first reason stays."""
        new = reason.is_not_null() & self.reason.is_null()
        self.reason = self.reason.zip_with(~new, reason)
        self.detail = self.detail.zip_with(~new, detail)

    @property
    def good(self) -> pl.Series:
        """Mask of the rows not refused."""
        return self.reason.is_null()

    @property
    def none(self) -> bool:
        """Whether no row is refused."""
        return self.reason.null_count() == self.height


def as_text(series: pl.Series, spec: FileSpec) -> pl.Series:
    """Stripped text of cells; null values of the format become null."""
    if series.dtype != pl.String:
        return series.cast(pl.String)
    series = series.str.strip_chars()
    nothing = series.is_in(list(spec.null_values))
    return series.set(nothing, None) if nothing.any() else series


def as_number(series: pl.Series, spec: FileSpec, refusals: Refusals, column: str) -> pl.Series:
    """Numbers of cells; text that is no finite number refuses its row."""
    if series.dtype.is_numeric():
        number = series.cast(pl.Float64)
        refusals.add(number.is_infinite(), "bad_number", f"column '{column}' holds no finite number")
        return number.fill_nan(None)
    text = as_text(series, spec)
    plain = text
    if spec.decimal == ",":
        plain = text.set(text.str.contains(".", literal=True), "?").str.replace(",", ".", literal=True)
    number = plain.cast(pl.Float64, strict=False)
    if number.null_count() == text.null_count() and number.is_finite().all():
        return number
    wrong = (number.is_null() & text.is_not_null()) | ~number.is_finite()
    refusals.add(wrong, "bad_number", f"column '{column}' holds no number with decimal '{spec.decimal}'")
    return number.set(~number.is_finite().fill_null(value=True), None)


def as_boolean(series: pl.Series, refusals: Refusals, column: str) -> pl.Series:
    """Booleans of texts (true, false, 1, 0); other text refuses its row."""
    known = {"true": True, "1": True, "false": False, "0": False}
    out = series.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.Boolean)
    refusals.add(out.is_null() & series.is_not_null(), "bad_value", f"column '{column}' is neither true nor false")
    return out


def parse_times(series: pl.Series, pattern: str, spec: FileSpec) -> tuple[pl.Series, pl.Series]:
    """Clock times of cells, and the mask of those that carry their own offset (already UTC then).

    Text that is no time becomes null: the caller sees it by comparing with the cells.
    """
    no = pl.Series([False]).new_from_index(0, series.len())
    if isinstance(series.dtype, pl.Datetime):
        if series.dtype.time_zone is None:
            return series.cast(_US), no
        return series.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(_US), ~no
    text = as_text(series, spec)
    if pattern != "iso":
        if "%z" in pattern:
            aware = text.str.to_datetime(pattern, strict=False, time_zone="UTC", time_unit="us")
            return aware.dt.replace_time_zone(None), ~no
        return text.str.to_datetime(pattern, strict=False, time_unit="us"), no
    fast = text.str.to_datetime(_ISO_FAST, strict=False, time_unit="us")
    left = (fast.is_null() & text.is_not_null()).arg_true()
    if left.len() == 0:
        return fast, ~no
    slow, offset = _iso_slow(text.gather(left))
    with_offset = (~no).scatter(left, offset)
    return fast.scatter(left, slow), with_offset


def _iso_slow(text: pl.Series) -> tuple[pl.Series, pl.Series]:
    frame = pl.DataFrame({"text": text}).select(
        pl.col("text").str.replace(r"[Tt]", " ").str.replace(_OFFSET, "").str.strip_chars().alias("clock"),
        pl.col("text").str.extract(r":\d{2}.*?" + _OFFSET).alias("offset"),
    )
    clock = frame["clock"]
    time = clock.str.to_datetime(_ISO[0], strict=False, time_unit="us")
    time = time.fill_null(clock.str.to_datetime(_ISO[1], strict=False, time_unit="us"))
    minutes = frame.select(
        pl.when(pl.col("offset").str.to_uppercase() == "Z")
        .then(0)
        .otherwise(
            (pl.col("offset").str.slice(1, 2).cast(pl.Int64, strict=False) * 60)
            + pl.col("offset").str.slice(-2).cast(pl.Int64, strict=False)
        )
        * pl.when(pl.col("offset").str.starts_with("-")).then(-1).otherwise(1)
    ).to_series()
    shift = (minutes.fill_null(0) * 60_000_000).cast(pl.Duration("us"))
    return time - shift, frame["offset"].is_not_null()


def refuse_times(raw: pl.Series, time: pl.Series, refusals: Refusals, column: str, required: bool) -> None:
    """Refuse rows whose time is missing, unreadable or impossible (clocks before they were set say 1970)."""
    if required:
        refusals.add(raw.is_null(), "missing_time", f"column '{column}' is empty")
    refusals.add(raw.is_not_null() & time.is_null(), "bad_time", f"column '{column}' holds no time as the format says")
    outside = ~time.dt.year().is_between(FIRST_YEAR, LAST_YEAR)
    refusals.add(outside, "impossible_time", f"column '{column}' lies outside {FIRST_YEAR} to {LAST_YEAR}")


def refuse_far_times(time: pl.Series, refusals: Refusals, middle: datetime | None) -> datetime | None:
    """Refuse rows years away from the rest of their file: one of them would move the as-of day of everything.

    ``middle`` is the median time of the first batch of the file that had times; returned for the next batch. Times of
    the future (the intake refuses them) have no say in it: in a short file they would put the true ones in the wrong.
    """
    if middle is None:
        kept = time.filter(refusals.good & (time <= latest_time()).fill_null(value=False))
        if kept.len() == 0:
            return None
        middle = kept.sort()[kept.len() // 2]
    far = (time - middle).abs() > timedelta(days=365.25 * MAX_YEARS_FROM_MEDIAN)
    said = f"the time is more than {MAX_YEARS_FROM_MEDIAN} years from most of the file"
    refusals.add(far, "impossible_time", said)
    return middle


_LETTERS = re.compile(r"[^\W\d_]", re.UNICODE)
_TIME_LIKE = re.compile(r"^\d{4}-\d{2}-\d{2}[T ][\d:.]+(Z|[+-]\d{2}:?\d{2})?$")
_LONG_DIGITS = re.compile(r"\d{7,}")
# Degrees and minutes, or degrees with decimals that tell a street: no reading of a battery is written so finely.
POSITION_LIKE = r"^\s*[-+]?\d{1,3}(?:\s*[° ]\s*[-+]?\d{1,2}(?:[.,]\d*)?\W*.*|[.,]\d{4,})\s*$"
_POSITION = re.compile(POSITION_LIKE)
_SHIFTED = 3  # fields by which a line with some too many or too few may be shifted


def mask_ragged(fields: list[str], personal: set[int], mask: str, header: int) -> list[str]:
    """Fields of a line whose columns cannot be told: only short numbers that are no position, and times stay.

    ``personal`` are the places of personal columns in a header of ``header`` fields; a field lost or added before them
    shifts them, so their neighbours are masked as well.
    """
    reach = max(1, min(abs(len(fields) - header), _SHIFTED))
    near = {index + by for index in personal for by in range(-reach, reach + 1)}
    out: list[str] = []
    for index, text in enumerate(fields):
        hidden = _LETTERS.search(text) or _LONG_DIGITS.search(text) or _POSITION.match(text)
        stays = _TIME_LIKE.match(text.strip()) or not (hidden or index in near)
        out.append(text if stays and index not in personal else mask)
    return out
