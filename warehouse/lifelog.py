"""All raw rows of one vehicle, whatever parts they lie in: one pass over the files that hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from warehouse.coded import PART
from warehouse.raw import RAW_SCHEMAS
from warehouse.store import there

if TYPE_CHECKING:
    from warehouse.logbook import Logged
    from warehouse.store import Warehouse

# A file without `PART` is one part.
_FILE = "_file"
METER = "meter"


def rows_of(wh: Warehouse, vehicle_id: str, kind: str, log: Logged | None = None) -> pl.DataFrame:
    """Rows of a vehicle under any of its names, all under its own, in the order of the parts; with `PART`.

    Whoever reads many vehicles gives what the ledger says of each (`warehouse.logbook`).

    Files are sorted by vehicle: row groups that hold only others are passed over unread. Columns that a file was
    written without (an earlier release) are empty, the logger a car. Samples of a vehicle with several aliases say in
    `METER` under which of its names (`Warehouse.names_of`) each was logged.
    """
    names = wh.names_of(vehicle_id) if log is None else log.names
    paths = wh.parts(kind, vehicle_id) if log is None else there(log.paths.get(kind, []))
    schema = {**RAW_SCHEMAS[kind], PART: pl.String()}
    if not paths:
        return pl.DataFrame(schema=schema)
    frame = pl.scan_parquet(
        paths, schema=schema, missing_columns="insert", extra_columns="ignore", glob=False, include_file_paths=_FILE
    )
    # Comparisons are pushed down to row groups, membership is not.
    mine = pl.any_horizontal(pl.col("vehicle_id") == name for name in names)
    car, part = pl.col("logger").fill_null("car"), pl.coalesce(PART, _FILE).alias(PART)
    number = {name: n for n, name in enumerate(names)}
    meter = pl.col("vehicle_id").replace_strict(number, return_dtype=pl.Int64).alias(METER)
    told = [meter] if kind == "samples" and len(names) > 2 else []
    rows = frame.filter(mine).with_columns(pl.lit(vehicle_id).alias("vehicle_id"), car, part, *told)
    out = rows.select(*schema, *(METER for _ in told)).collect()
    if len(names) == 1:
        return out
    order: dict[str, int] = {}
    asked = "SELECT part_id, part_path FROM meta_part WHERE kind = ? ORDER BY rowid"
    for number, (part_id, part_path) in enumerate(wh.rows(asked, [kind])):
        order |= {part_id: number, str(wh.home / part_path): number}
    place = out[PART].replace_strict(order, return_dtype=pl.Int64).alias("_place")
    return out.with_columns(place).sort("_place", maintain_order=True).drop("_place")


def samples_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Samples in time order, one a time, logger and charger: the first part's, in the order of the parts."""
    if (np.diff(rows["time_utc"].to_physical().to_numpy()) > 0).all():
        return rows[[name for name in rows.columns if name != PART]]
    key = [name for name in ("time_utc", "logger", METER) if name in rows.columns]
    return rows.sort(key, maintain_order=True).unique(subset=key, keep="first", maintain_order=True).drop(PART)


def late_times(rows: pl.DataFrame) -> pl.Series:
    """Times of samples that stand in their file behind one of a later time (backfilled, bursts), sorted."""
    # In most lives the parts follow each other, each in the order of its lines.
    runs = rows[PART].rle().struct.unnest()
    inside = np.ones(max(rows.height - 1, 0), bool)
    inside[np.cumsum(runs["len"].to_numpy().astype(np.int64))[:-1] - 1] = False
    falls = [np.diff(rows[name].to_physical().to_numpy()) < 0 for name in ("line", "time_utc")]
    if runs["value"].n_unique() == runs.height and not any((fall & inside).any() for fall in falls):
        return pl.Series("time_utc", [], dtype=pl.Datetime("us"))
    rows = rows.select(PART, "time_utc", "line").sort(PART, "time_utc", maintain_order=True)
    least = pl.col("line").reverse().cum_min().reverse().over(PART)
    return rows.filter(pl.col("line") > least)["time_utc"].sort()


def sessions_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Logged sessions by start and kind; a session logged open and later closed appears closed."""
    key = ["start_utc", "kind", "session_ref", "logger"]
    frame = rows.drop(PART).with_columns(pl.col("end_utc").is_null().alias("_open"))
    frame = frame.sort(*key, "_open", maintain_order=True)
    return frame.unique(subset=key, keep="first", maintain_order=True).drop("_open")
