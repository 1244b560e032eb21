"""Rows whose texts are numbered: joined, put into the order of their keys, and written, without a look at each text.

Vehicles, states and names of sessions are few and told by many rows. As `pl.Enum` (its categories sorted) they are
compared, ordered and written as small integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.raw import RAW_SCHEMAS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

# Column of a pack (`warehouse.packs`) that says which part a row is of.
PART = "part_id"
TEXTS = (*(name for name, dtype in RAW_SCHEMAS["samples"].items() if dtype == pl.String()), PART)
# Rows of other vehicles that a reader of one vehicle may have to pass over are few: groups end with a vehicle.
GROUP_ROWS, LEAST_GROUP_ROWS = 131_072, 16_384
# Smaller frames are not worth the compiled code's loading.
COMPILED_FROM_ROWS = 50_000
_MAX_PAIRS = 1 << 24
ZSTD_LEVEL = 1
# The same rows give the same bytes.
_WRITTEN: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": ZSTD_LEVEL,
    "store_schema": False,
    "column_encoding": {"time_utc": "DELTA_BINARY_PACKED", "line": "DELTA_BINARY_PACKED"},
}


@dataclass(frozen=True)
class Order:
    """How rows of samples follow by vehicle and time.

    Parameters
    ----------
    places
        Rows in the order of their keys, those of the same key as they stand; `None` when they stand so already.
    doubled
        Rows (as they stand) whose key is there more than once.
    first, last
        Extremes of time of each category of the vehicles; only where ``there``. [us since 1970]
    """

    places: Ints | None
    doubled: Ints
    first: Ints
    last: Ints
    there: NDArray[np.bool_]


def known_texts(series: pl.Series) -> pl.Series:
    """Texts of a numbered column, by their numbers."""
    dtype = series.dtype
    if not isinstance(dtype, pl.Enum):
        raise TypeError(f"column {series.name} is not numbered")
    return dtype.categories


def numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of samples with their texts numbered, in the order of the texts."""
    return joined([frame])


def joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Frames of samples as one; texts may be numbered or plain, afterwards they are numbered."""
    columns: list[pl.Series] = []
    for name in frames[0].columns:
        parts = [frame[name] for frame in frames]
        columns.append(_one(parts) if name in TEXTS else pl.concat(parts, rechunk=True))
    return pl.DataFrame(columns)


def _one(parts: list[pl.Series]) -> pl.Series:
    known = [_texts(part) for part in parts]
    every = pl.concat(known).unique().sort()
    dtype = pl.Enum(every)
    out: list[pl.Series] = []
    for part, texts in zip(parts, known, strict=True):
        if not isinstance(part.dtype, pl.Enum):
            out.append(part.cast(dtype))
        elif part.dtype == dtype:
            out.append(part)
        else:
            out.append(texts.cast(dtype).gather(part.to_physical()).alias(part.name))
    return pl.concat(out, rechunk=True)


def _texts(part: pl.Series) -> pl.Series:
    texts = known_texts(part) if isinstance(part.dtype, pl.Enum) else part.drop_nulls().unique()
    return texts.alias("text")


def order_of(frame: pl.DataFrame) -> Order:
    """Order of numbered rows of samples that stand as in their file; vehicles and times are all there."""
    vehicle = frame["vehicle_id"].to_physical().cast(pl.Int32).to_numpy(writable=True)
    time = frame["time_utc"].to_physical().to_numpy(writable=True)
    vehicles = known_texts(frame["vehicle_id"]).len()
    none = np.zeros(0, np.int64)
    if frame.height >= COMPILED_FROM_ROWS:
        from warehouse.readers.kernels import look, places_by_owner

        first, last, rows, rising, grouped = look(vehicle, time, vehicles)
        if rising:
            places = None if grouped else places_by_owner(vehicle, rows)
            return Order(places, none, first, last, rows > 0)
    else:
        first, last = np.full(vehicles, np.iinfo(np.int64).max), np.full(vehicles, np.iinfo(np.int64).min)
        np.minimum.at(first, vehicle, time)
        np.maximum.at(last, vehicle, time)
    logger = frame["logger"].to_physical().to_numpy()
    places = np.lexsort((logger, time, vehicle))
    v, t, w = vehicle[places], time[places], logger[places]
    again = (v[1:] == v[:-1]) & (t[1:] == t[:-1]) & (w[1:] == w[:-1])
    doubled = np.concatenate(([False], again)) | np.concatenate((again, [False]))
    return Order(places, np.sort(places[doubled]), first, last, last >= first)


def taken(frame: pl.DataFrame, places: Ints) -> pl.DataFrame:
    """Rows at given places; columns that say one thing in all rows are not moved about."""
    rows = pl.Series(places.astype(np.uint32))
    out: list[pl.Series] = []
    for series in frame.get_columns():
        one = series.null_count() == series.len() or (isinstance(series.dtype, pl.Enum) and _is_one(series))
        out.append(series.head(rows.len()) if one else series.gather(rows))
    return pl.DataFrame(out)


def _is_one(series: pl.Series) -> bool:
    return known_texts(series).len() == 1 and series.null_count() == 0


def write_samples(path: Path, rows: pl.DataFrame) -> None:
    """Write numbered rows that stand in the order of their keys."""
    texts = {name: _codes(rows[name]) for name in rows.columns if isinstance(rows.schema[name], pl.Enum)}
    rest = rows.drop(texts).to_arrow(compat_level=pl.CompatLevel.oldest())
    listed: Any = list(texts)
    told: Any = [name for name in rows.columns if name not in texts or name == "vehicle_id"]
    starts = groups_of(texts["vehicle_id"][0])
    writer: pq.ParquetWriter | None = None
    try:
        for start, end in pairwise(starts):
            coded = {name: _dictionary(codes[start:end], known) for name, (codes, known) in texts.items()}
            piece = pa.table({n: coded[n] if n in coded else rest[n].slice(start, end - start) for n in rows.columns})
            writer = writer or pq.ParquetWriter(
                path, piece.schema, use_dictionary=listed, write_statistics=told, **_WRITTEN
            )
            writer.write_table(piece, row_group_size=GROUP_ROWS)
    finally:
        if writer is not None:
            writer.close()


def groups_of(vehicle: NDArray[np.generic]) -> list[int]:
    """Where row groups begin, and the end: with a vehicle where they can, neither large nor many.

    Examples
    --------
    >>> groups_of(np.repeat([0, 1, 2], [20_000, 10_000, 300_000]))
    [0, 20000, 151072, 282144, 330000]
    """
    changes = np.flatnonzero(np.diff(vehicle)) + 1
    starts = [0]
    for end in [*changes.tolist(), vehicle.shape[0]]:
        while end - starts[-1] > GROUP_ROWS:
            starts.append(starts[-1] + GROUP_ROWS)
        if end - starts[-1] >= LEAST_GROUP_ROWS or end == vehicle.shape[0]:
            starts.append(end)
    return starts


def _codes(series: pl.Series) -> tuple[NDArray[np.int32], pa.Array]:
    """Numbers of texts (-1 for none), and the texts."""
    codes = series.to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
    return codes, known_texts(series).to_arrow(compat_level=pl.CompatLevel.oldest())


def _dictionary(codes: NDArray[np.int32], known: pa.Array) -> pa.DictionaryArray:
    """Numbered texts with those that are there alone."""
    there = np.zeros(len(known) + 1, bool)
    there[codes] = True  # none is the last
    lacks, there[-1] = bool(there[-1]), False
    renumbered = (np.cumsum(there, dtype=np.int32) - np.int32(1))[codes]
    mask = codes < 0 if lacks else None
    return pa.DictionaryArray.from_arrays(pa.array(renumbered, mask=mask), known.take(np.flatnonzero(there)))


def pairs_of(two: pl.DataFrame) -> pl.DataFrame:
    """Distinct rows of two columns; of numbered ones found by their numbers."""
    one, other = two.get_columns()
    if not (isinstance(one.dtype, pl.Enum) and isinstance(other.dtype, pl.Enum)):
        return two.unique()
    width = known_texts(other).len() + 1
    if one.null_count() or known_texts(one).len() * width > _MAX_PAIRS:
        return two.unique()
    there = np.zeros(known_texts(one).len() * width, bool)
    there[_codes(one)[0].astype(np.int64) * width + _codes(other)[0] + 1] = True
    at = np.flatnonzero(there)
    first = known_texts(one).gather(at // width)
    second = known_texts(other).gather(pl.Series(at % width - 1).replace(-1, None))
    return pl.DataFrame([first.cast(one.dtype).alias(one.name), second.cast(other.dtype).alias(other.name)])
