"""Small raw parts in packs: what a night reads of a vehicle lies in few files, however many small ones came in.

An export a night leaves one small part a night (and car). A pack is one file with whole parts of a kind, sorted by
vehicle and time; a column says of which part a row is, and in the ledger each of these parts names the pack as its
place. Ids, counts and rows of the parts stay: nothing is computed anew, and `forget` finds them. A pack is written and
synced first, the places change in one transaction, the old files go last: what a killed run leaves is swept.

Files of about one size are joined when there are `JOIN_AT` of them, so a row is written anew a few times in its life.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from warehouse.coded import PART, joined
from warehouse.parts import sweep, write_part
from warehouse.raw import KIND_RULES, RAW_SCHEMAS, read_part
from warehouse.store import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warehouse.store import Warehouse

KINDS = ("samples", "sessions")
JOIN_AT = 16
# Files of so many rows and fewer are of one size; larger ones than the last stay as they are.
SIZES = (16_384, 131_072, 524_288)
MOST_ROWS = 1_048_576


@dataclass(frozen=True)
class Packed:
    """Files that were joined, and the packs they went into."""

    files: int
    packs: int


@dataclass(frozen=True)
class _File:
    path: str
    rows: int


def compact(wh: Warehouse) -> Packed:
    """Join small files of samples and sessions. Nothing but their places changes."""
    files = packs = 0
    for kind in KINDS:
        for group in _due(wh, kind):
            _pack(wh, kind, group)
            files, packs = files + len(group), packs + 1
    if packs:
        sweep(wh)
    return Packed(files, packs)


def _due(wh: Warehouse, kind: str) -> Iterator[list[_File]]:
    """Files to be joined, in the order they were taken in; those of the packs made so far are seen."""
    low = 0
    for high in SIZES:
        asked = "SELECT part_path, sum(rows)::BIGINT FROM meta_part WHERE kind = ? GROUP BY 1 ORDER BY min(rowid)"
        some = [_File(*row) for row in wh.rows(asked, [kind])]
        some = [file for file in some if low < file.rows <= high]
        low = high
        if len(some) < JOIN_AT:
            continue
        group: list[_File] = []
        for file in some:
            if group and sum(f.rows for f in group) + file.rows > MOST_ROWS:
                if len(group) > 1:
                    yield group
                group = []
            group.append(file)
        if len(group) > 1:
            yield group


def _pack(wh: Warehouse, kind: str, group: list[_File]) -> None:
    paths = [file.path for file in group]
    frames = [_rows(wh, kind, path) for path in paths]
    rows = joined(frames) if kind == "samples" else pl.concat(frames)
    del frames
    if rows.height != sum(file.rows for file in group):
        raise WarehouseError(
            f"The raw parts of {kind} hold {rows.height} rows where the ledger says {sum(f.rows for f in group)};"
            f" restore {wh.home / 'raw'} from a copy."
        )
    rows = rows.sort(*KIND_RULES[kind].key, maintain_order=True)
    name = hashlib.sha256("\n".join(paths).encode()).hexdigest()[:16]
    place = write_part(wh, kind, f"pack-{name}", rows)
    with wh.transaction():
        wh.con.execute(
            "UPDATE meta_part SET part_path = ? WHERE kind = ? AND part_path IN (SELECT unnest(?))",
            [place, kind, paths],
        )


def _rows(wh: Warehouse, kind: str, path: str) -> pl.DataFrame:
    """Rows of a part or of a pack, with the part of each."""
    where = wh.home / path
    if not where.exists():
        raise WarehouseError(
            f"Raw part {where.name} is in the ledger but not on the disk; restore {where.parent} from a copy."
        )
    if PART in pl.read_parquet_schema(where):
        return pl.read_parquet(where).select(*RAW_SCHEMAS[kind], PART)
    part_id = wh.scalar("SELECT part_id FROM meta_part WHERE kind = ? AND part_path = ?", [kind, path])
    return read_part(where, kind).with_columns(pl.lit(part_id).alias(PART))
