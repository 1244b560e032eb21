"""Immutable raw parts: Parquet files below ``raw/``, written whole or not at all, and their rows of the ledger."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import polars as pl

from warehouse.coded import GROUP_ROWS, ZSTD_LEVEL, numbered, write_samples
from warehouse.raw import KIND_RULES

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.store import Warehouse

RAW_FOLDER = "raw"
# Fixed, so that the same rows give the same bytes.
_PARQUET = {"compression": "zstd", "compression_level": ZSTD_LEVEL, "statistics": True, "row_group_size": GROUP_ROWS}


def write_part(wh: Warehouse, kind: str, part_id: str, rows: pl.DataFrame) -> str:
    """Write an immutable part: temporary name, synced, renamed. Returns its path below the home."""
    relative = f"{RAW_FOLDER}/{kind}/{part_id}.parquet"
    target = wh.home / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    if kind == "samples":
        write_samples(temporary, numbered(rows))
    else:
        rows.write_parquet(temporary, **_PARQUET)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    return relative


def spans(kind: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First and last time and number of rows of a part, and of each vehicle (or series) in it."""
    if kind == "fleet":
        none = pl.lit(None, pl.Datetime("us"))
        return rows.select(none.alias("first_utc"), none.alias("last_utc"), pl.len().alias("rows")), pl.DataFrame()
    rule = KIND_RULES[kind]
    first = pl.col(rule.time).min().alias("first_utc")
    latest = pl.max_horizontal("start_utc", "end_utc") if kind == "sessions" else pl.col(rule.time)
    each = rows.group_by(rule.owner).agg(first, latest.max().alias("last_utc"), pl.len().alias("rows")).sort(rule.owner)
    each = each.with_columns(pl.col(rule.owner).cast(pl.String))
    whole = each.select(pl.col("first_utc").min(), pl.col("last_utc").max(), pl.col("rows").sum())
    return whole, each


def record_part(
    wh: Warehouse,
    kind: str,
    part_id: str,
    sha256: str,
    part: str,
    span: tuple[pl.DataFrame, pl.DataFrame],
    flags: tuple[str, ...] = (),
) -> None:
    """Ledger of a part and of the vehicles in it (`spans`). Only inside a transaction."""
    identity = [pl.lit(part_id).alias("part_id"), pl.lit(kind).alias("kind")]
    whole, each = span
    row = whole.with_columns(
        *identity,
        pl.lit(sha256).alias("sha256"),
        pl.lit(part).alias("part_path"),
        pl.Series("flags", [list(flags)], dtype=pl.List(pl.String)),
    )
    wh.append("meta_part", row)
    if kind in ("samples", "sessions"):
        wh.append("meta_part_vehicle", each.with_columns(*identity))


def sweep(wh: Warehouse) -> list[str]:
    """Remove parts that no ledger row names (a run was killed between part and transaction); returns their names."""
    folder = wh.home / RAW_FOLDER
    if not folder.exists():
        return []
    named = {row[0] for row in wh.rows("SELECT part_path FROM meta_part")}
    swept: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(wh.home).as_posix() not in named:
            path.unlink()
            swept.append(path.name)
    return swept


def scratch_folder(home: Path) -> Path:
    """Folder of what is needed only while a file is taken in; swept like parts that nobody names."""
    return home / RAW_FOLDER / "scratch"
