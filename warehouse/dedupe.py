"""Which rows of a file are new: rows that were there already, and rows that contradict what was there.

The first row wins. The same key with the same values is a duplicate, with other values a conflict (refused). For
sessions the key is vehicle, start, kind and the log's own name: two sessions may begin within the same minute, and
a session logged open may be logged again when it is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from warehouse.raw import KIND_RULES, RAW_SCHEMAS, read_part

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.store import Warehouse

# Columns that say something about a row but are no content of it.
_NO_CONTENT = ("line", "flags", "flag", "typical_year")


@dataclass(frozen=True)
class Sorted:
    """Rows to take in, and the lines that were there already or contradict."""

    fresh: pl.DataFrame
    duplicate_lines: pl.Series
    conflict_lines: pl.Series


def sort_out(wh: Warehouse, kind: str, frame: pl.DataFrame) -> Sorted:
    """Tell new rows of a file from those that are there already (in the file or in the warehouse)."""
    if frame.height == 0:
        none = pl.Series("line", [], dtype=pl.Int64)
        return Sorted(frame, none, none)
    existing = _existing(wh, kind, frame)
    if kind == "sessions":
        duplicate, conflict = _session_marks(frame, existing)
    else:
        duplicate, conflict = _plain_marks(frame, existing, kind)
    conflict_lines = frame["line"].filter(conflict).unique().sort()
    rest = frame.with_columns(duplicate.alias("_seen")).filter(~pl.col("line").is_in(conflict_lines.implode()))
    fresh = rest.filter(~pl.col("_seen")).drop("_seen")
    duplicates = rest["line"].unique().sort()
    duplicates = duplicates.filter(~duplicates.is_in(fresh["line"].unique().implode()))
    return Sorted(fresh, duplicates, conflict_lines)


def _existing(wh: Warehouse, kind: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of the warehouse with the same owners in the same span of time."""
    rule = KIND_RULES[kind]
    owners = frame[rule.owner].unique().sort().to_list()
    first, last = frame[rule.time].min(), frame[rule.time].max()
    if rule.core_table is not None:
        columns = ", ".join(c for c in RAW_SCHEMAS[kind] if c != "line")
        return wh.read(
            f"SELECT {columns} FROM {rule.core_table} WHERE {rule.owner} IN (SELECT unnest(?))"  # noqa: S608 - names are ours
            f" AND {rule.time} BETWEEN ? AND ?",
            [owners, first, last],
        )
    paths: list[tuple[Any, ...]] = wh.rows(
        "SELECT DISTINCT p.part_path FROM meta_part p JOIN meta_part_vehicle v USING (part_id, kind)"
        " WHERE p.kind = ? AND v.vehicle_id IN (SELECT unnest(?)) AND v.first_utc <= ? AND v.last_utc >= ?"
        " ORDER BY 1",
        [kind, owners, last, first],
    )
    if not paths:
        return pl.DataFrame(schema=RAW_SCHEMAS[kind]).drop("line")
    return pl.concat([_overlap(wh.home / row[0], kind, owners, first, last) for row in paths])


def _overlap(path: Path, kind: str, owners: list[str], first: Any, last: Any) -> pl.DataFrame:
    rule = KIND_RULES[kind]
    frame = read_part(path, kind).drop("line")
    return frame.filter(pl.col(rule.owner).is_in(owners) & pl.col(rule.time).is_between(first, last))


def _plain_marks(frame: pl.DataFrame, existing: pl.DataFrame, kind: str) -> tuple[pl.Series, pl.Series]:
    key = list(KIND_RULES[kind].key)
    values = [c for c in frame.columns if c not in key and c not in _NO_CONTENT]
    firsts = frame.unique(subset=key, keep="first", maintain_order=True)
    if existing.height == 0 and firsts.height == frame.height:
        no = pl.Series([False]).new_from_index(0, frame.height)
        return no, no
    existing = existing.unique(subset=key, keep="first", maintain_order=True)
    known = pl.concat(
        [
            existing.select(*key, *values).with_columns(pl.lit(-1, pl.Int64).alias("_line")),
            firsts.select(*key, *values, pl.col("line").alias("_line")),
        ]
    ).unique(subset=key, keep="first", maintain_order=True)
    known = known.rename({v: f"_{v}" for v in values})
    joined = frame.join(known, on=key, how="left", maintain_order="left")
    # A line is its own first row; in a file of one row a line that is enough, elsewhere the key tells.
    own = (pl.col("_line") == pl.col("line")) & pl.struct(key).is_first_distinct()
    same = pl.all_horizontal([pl.col(v).eq_missing(pl.col(f"_{v}")) for v in values])
    marks = joined.select((~own & same).alias("duplicate"), (~own & ~same).alias("conflict"))
    return marks["duplicate"], marks["conflict"]


def _session_marks(frame: pl.DataFrame, existing: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    key = list(KIND_RULES["sessions"].key)
    values = [c for c in frame.columns if c not in key and c not in (*_NO_CONTENT, "session_ref")]
    duplicate, conflict = [False] * frame.height, [False] * frame.height
    both = pl.concat([existing.select(key), frame.select(key)])
    if both.is_duplicated().any():
        again = both.filter(both.is_duplicated()).unique()
        seen: dict[tuple[Any, ...], list[tuple[Any, tuple[Any, ...]]]] = {}
        for row in existing.join(again, on=key, how="semi").select(*key, "session_ref", *values).iter_rows():
            seen.setdefault(row[:4], []).append((row[4], row[5:]))
        numbered = frame.with_row_index("_i").join(again, on=key, how="semi", maintain_order="left")
        for index, *row in numbered.select("_i", *key, "session_ref", *values).iter_rows():
            before = seen.setdefault(tuple(row[:4]), [])
            ref, content = row[4], tuple(row[5:])
            same_name = [c for r, c in before if r == ref]
            closed = [c for c in same_name if c[0] is not None]
            if any(c == content for _, c in before) or (closed and content[0] is None):
                duplicate[index] = True
            elif closed or (same_name and content[0] is None):
                conflict[index] = True
            else:
                before.append((ref, content))
    return pl.Series(duplicate, dtype=pl.Boolean), pl.Series(conflict, dtype=pl.Boolean)
