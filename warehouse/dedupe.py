"""Which rows of a file are new: rows that were there already, and rows that contradict what was there.

The first row wins. The same key with the same values is a duplicate, with other values a conflict (refused). For
sessions the key is vehicle, start, kind and who logged it: two sessions may begin within the same minute, and a
session logged open may be logged again when it is closed.

A file comes in chunks. A chunk is compared with itself, with the parts written of the same file, and with those of
the warehouse, one part at a time and only where vehicle and time overlap: what is in memory are two chunks at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from warehouse.raw import KIND_RULES, RAW_SCHEMAS, scan_part

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.store import Warehouse

# Columns that say something about a row but are no content of it.
_NO_CONTENT = ("line", "flags", "flag", "typical_year")


@dataclass(frozen=True)
class OwnPart:
    """A part of the file that is coming in, not yet in the ledger, with the span of each owner."""

    path: Path
    kind: str
    spans: pl.DataFrame


@dataclass(frozen=True)
class Marked:
    """Rows of a chunk, which of them were there already, and the lines that contradict."""

    rows: pl.DataFrame
    seen: pl.Series
    conflict_lines: pl.Series


def mark(wh: Warehouse, kind: str, frame: pl.DataFrame, own: list[OwnPart], in_order: bool) -> Marked:
    """Tell new rows of a chunk from those that are there already (in the file or in the warehouse).

    ``in_order`` says that the chunk consists of runs (`runs_of`).
    """
    none = pl.Series("line", [], dtype=pl.Int64)
    if frame.height == 0:
        return Marked(frame, pl.Series([], dtype=pl.Boolean), none)
    existing = _existing(wh, kind, frame, own)
    if kind == "sessions":
        # Sessions are few: all that may matter are compared at once.
        known = pl.concat([pl.DataFrame(schema=RAW_SCHEMAS[kind]).drop("line"), *existing])
        seen, conflict = _session_marks(frame, known)
    else:
        key = list(KIND_RULES[kind].key)
        seen, conflict = _plain_marks(frame, None, key, in_order)
        for known in existing:
            again, against = _plain_marks(frame, known, key)
            # What was there first decides, whatever else the chunk holds.
            there = again | against
            seen, conflict = (seen & ~there) | again, (conflict & ~there) | against
    return Marked(frame, seen, frame["line"].filter(conflict).unique().sort())


def _existing(wh: Warehouse, kind: str, frame: pl.DataFrame, own: list[OwnPart]) -> Iterator[pl.DataFrame]:
    """Rows that have a key of the chunk: of the warehouse, part by part, then of the parts of the same file."""
    rule = KIND_RULES[kind]
    spans = _spans(frame, rule.owner, rule.time)
    keys = list(rule.key)
    if rule.core_table is not None:
        columns = ", ".join(f"t.{c}" for c in RAW_SCHEMAS[kind] if c != "line")
        wh.con.register("_spans", spans)
        try:
            found = wh.read(
                f"SELECT {columns} FROM {rule.core_table} t JOIN _spans s ON t.{rule.owner} = s.{rule.owner}"  # noqa: S608 - names are ours
                f" WHERE t.{rule.time} BETWEEN s.first AND s.last"
            )
        finally:
            wh.con.unregister("_spans")
        if found.height:
            yield found
    else:
        wh.con.register("_spans", spans)
        try:
            paths: list[tuple[Any, ...]] = wh.rows(
                "SELECT DISTINCT p.part_path FROM meta_part p JOIN meta_part_vehicle v USING (part_id, kind)"
                " JOIN _spans s ON v.vehicle_id = s.vehicle_id AND v.first_utc <= s.last AND v.last_utc >= s.first"
                " WHERE p.kind = ? ORDER BY 1",
                [kind],
            )
        finally:
            wh.con.unregister("_spans")
        for (path,) in paths:
            yield _with_keys(wh.home / path, kind, spans, frame, keys)
    for part in own:
        if part.kind != kind:
            continue
        both = part.spans.join(spans, on=rule.owner)
        if both.filter((pl.col("first_utc") <= pl.col("last")) & (pl.col("last_utc") >= pl.col("first"))).height:
            yield _with_keys(part.path, kind, spans, frame, keys)


def _spans(frame: pl.DataFrame, owner: str, time: str) -> pl.DataFrame:
    """First and last time of each owner; runs of the same owner are taken together first."""
    run = frame.select(pl.col(owner).rle_id().alias("run"), owner, time)
    runs = run.group_by("run").agg(
        pl.col(owner).first(), pl.col(time).min().alias("first"), pl.col(time).max().alias("last")
    )
    return runs.group_by(owner).agg(pl.col("first").min(), pl.col("last").max())


def _with_keys(path: Path, kind: str, spans: pl.DataFrame, frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Rows of a part whose keys are also in the chunk."""
    rule = KIND_RULES[kind]
    owners = spans[rule.owner].implode()
    within = pl.col(rule.time).is_between(spans["first"].min(), spans["last"].max()) & pl.col(rule.owner).is_in(owners)
    rows = scan_part(path, kind).drop("line").filter(within)
    return rows.join(frame.lazy().select(keys).unique(), on=keys, how="semi").collect()


def _plain_marks(
    frame: pl.DataFrame, existing: pl.DataFrame | None, key: list[str], in_order: bool = False
) -> tuple[pl.Series, pl.Series]:
    """Duplicates and conflicts of a chunk within itself (``existing`` is None), or against rows that are there."""
    no = pl.Series([False]).new_from_index(0, frame.height)
    values = [c for c in frame.columns if c not in key and c not in _NO_CONTENT]
    if existing is None:
        if in_order:
            return no, no
        first = frame.select(pl.struct(key).is_first_distinct()).to_series()
        if first.all():
            return no, no
        known, own = frame.filter(first), first
    else:
        if existing.height == 0:
            return no, no
        known, own = existing.unique(subset=key, keep="first", maintain_order=True), no
    known = known.select(*key, *(pl.col(v).alias(f"_{v}") for v in values), pl.lit(value=True).alias("_known"))
    joined = frame.join(known, on=key, how="left", maintain_order="left")
    there = joined["_known"].fill_null(value=False) & ~own
    same = joined.select(pl.all_horizontal([pl.col(v).eq_missing(pl.col(f"_{v}")) for v in values])).to_series()
    return there & same, there & ~same


def runs_of(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame | None:
    """Runs of the owners of a chunk (``value, len``), where each has one and time rises in it; else `None`.

    Then no key is there twice, and the runs in the order of their owners are the rows in the order of their keys.
    """
    runs = frame[key[0]].rle().struct.unnest()
    if frame.height == 0 or runs["value"].null_count() or runs["value"].n_unique() < runs.height:
        return None
    falls = (frame[key[1]].cast(pl.Int64).diff() <= 0).fill_null(value=True).to_numpy().copy()
    falls[np.cumsum(runs["len"].to_numpy().astype(np.int64))[:-1]] = False
    falls[0] = False
    return None if falls.any() else runs


def _session_marks(frame: pl.DataFrame, existing: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    key = list(KIND_RULES["sessions"].key)
    values = [c for c in frame.columns if c not in key and c not in (*_NO_CONTENT, "session_ref")]
    duplicate, conflict = [False] * frame.height, [False] * frame.height
    both = pl.concat([existing.select(key), frame.select(key)])
    if both.is_duplicated().any():
        again = both.filter(both.is_duplicated()).unique()
        seen: dict[tuple[Any, ...], list[tuple[Any, tuple[Any, ...]]]] = {}
        width = len(key)
        for row in existing.join(again, on=key, how="semi").select(*key, "session_ref", *values).iter_rows():
            seen.setdefault(row[:width], []).append((row[width], row[width + 1 :]))
        numbered = frame.with_row_index("_i").join(again, on=key, how="semi", maintain_order="left")
        for index, *row in numbered.select("_i", *key, "session_ref", *values).iter_rows():
            before = seen.setdefault(tuple(row[:width]), [])
            ref, content = row[width], tuple(row[width + 1 :])
            same_name = [c for r, c in before if r == ref]
            closed = [c for c in same_name if c[0] is not None]
            if any(c == content for _, c in before) or (closed and content[0] is None):
                duplicate[index] = True
            elif closed or (same_name and content[0] is None):
                conflict[index] = True
            else:
                before.append((ref, content))
    return pl.Series(duplicate, dtype=pl.Boolean), pl.Series(conflict, dtype=pl.Boolean)
