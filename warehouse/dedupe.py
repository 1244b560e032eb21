"""Which rows of a file are new: rows that were there already, and rows that contradict what was there.

The first row wins. The same key with the same values is a duplicate, with other values a conflict (refused). For
sessions the key is vehicle, start, kind and who logged it: two sessions may begin within the same minute, and a
session logged open may be logged again when it is closed.

A file comes in chunks. A chunk is compared with itself, with the parts written of the same file, and with those of
the warehouse, one part at a time and only where vehicle and time overlap: what is in memory are two chunks at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from warehouse.coded import PART, known_texts
from warehouse.raw import KIND_RULES, RAW_SCHEMAS, scan_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warehouse.again import Older
    from warehouse.coded import Order
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


def mark(
    wh: Warehouse,
    kind: str,
    frame: pl.DataFrame,
    own: list[OwnPart],
    order: Order | None = None,
    older: Older | None = None,
) -> Marked:
    """Tell new rows of a chunk from those that are there already (in the file or in the warehouse).

    Parameters
    ----------
    order
        Order of numbered rows of samples; others are looked at as they are.
    older
        Parts of older readers: some give way and are not looked at; what stands otherwise in the rest is no conflict.
    """
    none = pl.Series("line", [], dtype=pl.Int64)
    if frame.height == 0:
        return Marked(frame, pl.Series([], dtype=pl.Boolean), none)
    rule = KIND_RULES[kind]
    spans = _spans(frame, rule.owner, rule.time) if order is None else _spans_of(frame, order)
    existing = _existing(wh, kind, frame, own, spans, older)
    if kind == "sessions":
        # Sessions are few: all that may matter are compared at once.
        found = [(pl.DataFrame(schema=RAW_SCHEMAS[kind]).drop("line"), False), *existing]
        seen, conflict = _session_marks(frame, pl.concat(known for known, _ in found))
        if any(past for _, past in found):
            _, against = _session_marks(frame, pl.concat(known for known, past in found if not past))
            seen, conflict = seen | (conflict & ~against), against
    else:
        key = list(rule.key)
        if order is None:
            seen, conflict = _plain_marks(frame, None, key)
        else:
            seen, conflict = _marks_at(frame, order.doubled, None, key)
        for known, past in existing:
            if known.height == 0:
                continue
            at = np.arange(frame.height) if order is None else _places_of(frame, known, key)
            again, against = _marks_at(frame, at, known, key)
            if past:
                again, against = again | against, against & ~against
            # What was there first decides, whatever else the chunk holds.
            there = again | against
            seen, conflict = (seen & ~there) | again, (conflict & ~there) | against
    return Marked(frame, seen, frame["line"].filter(conflict).unique().sort())


def _spans_of(frame: pl.DataFrame, order: Order) -> pl.DataFrame:
    """`_spans` of numbered rows."""
    there = order.there
    owners = known_texts(frame["vehicle_id"]).filter(pl.Series(there))
    first, last = (pl.Series(times[there]).cast(pl.Datetime("us")) for times in (order.first, order.last))
    return pl.DataFrame({"vehicle_id": owners, "first": first, "last": last})


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows with their texts as texts."""
    return frame.cast({name: pl.String for name, dtype in frame.schema.items() if isinstance(dtype, pl.Enum)})


def _places_of(frame: pl.DataFrame, known: pl.DataFrame, key: list[str]) -> NDArray[np.int64]:
    """Rows that have a key of others, which are there."""
    keys = known.select(pl.col(name).cast(frame.schema[name]) for name in key)
    return frame.select(key).with_row_index("_i").join(keys, on=key, how="semi")["_i"].sort().cast(pl.Int64).to_numpy()


def _marks_at(
    frame: pl.DataFrame, at: NDArray[np.int64], known: pl.DataFrame | None, key: list[str]
) -> tuple[pl.Series, pl.Series]:
    """`_plain_marks` of some rows; the others are neither."""
    some = frame if len(at) == frame.height else frame[at]
    marks = np.zeros((2, frame.height), bool)
    if len(at):
        marks[:, at] = [mark.to_numpy() for mark in _plain_marks(_plain(some), known, key)]
    return pl.Series(marks[0]), pl.Series(marks[1])


def _existing(
    wh: Warehouse, kind: str, frame: pl.DataFrame, own: list[OwnPart], spans: pl.DataFrame, older: Older | None
) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Rows that have a key of the chunk: of the warehouse, part by part, then of the parts of the same file.

    With each whether an older reader wrote it.
    """
    rule = KIND_RULES[kind]
    mine, others = (older.mine, older.others) if older is not None else ((), ())
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
            yield found, False
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
            rows = _with_keys(wh.home / path, kind, spans, frame, keys)
            if not (mine or others):
                yield rows.drop(PART), False
                continue
            # A file without `PART` is one part, named as the file but for what `forget` adds.
            part = rows[PART].fill_null(re.sub(r"~\d+$", "", Path(path).stem))
            rows, past = rows.drop(PART).filter(~part.is_in(mine)), part.filter(~part.is_in(mine)).is_in(others)
            yield rows.filter(~past), False
            yield rows.filter(past), True
    for part in own:
        if part.kind != kind:
            continue
        both = part.spans.join(spans, on=rule.owner)
        if both.filter((pl.col("first_utc") <= pl.col("last")) & (pl.col("last_utc") >= pl.col("first"))).height:
            yield _with_keys(part.path, kind, spans, frame, keys).drop(PART), False


def _spans(frame: pl.DataFrame, owner: str, time: str) -> pl.DataFrame:
    """First and last time of each owner; runs of the same owner are taken together first."""
    run = frame.select(pl.col(owner).rle_id().alias("run"), owner, time)
    runs = run.group_by("run").agg(
        pl.col(owner).first(), pl.col(time).min().alias("first"), pl.col(time).max().alias("last")
    )
    return runs.group_by(owner).agg(pl.col("first").min(), pl.col("last").max())


def _with_keys(path: Path, kind: str, spans: pl.DataFrame, frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Rows of a part whose keys are also in the chunk, with `PART` (null where the file is one part)."""
    rule = KIND_RULES[kind]
    owners = spans[rule.owner].implode()
    within = pl.col(rule.time).is_between(spans["first"].min(), spans["last"].max()) & pl.col(rule.owner).is_in(owners)
    rows = scan_part(path, kind, (PART,)).drop("line").filter(within)
    return rows.join(_plain(frame.select(keys)).lazy(), on=keys, how="semi").collect()


def _plain_marks(frame: pl.DataFrame, existing: pl.DataFrame | None, key: list[str]) -> tuple[pl.Series, pl.Series]:
    """Duplicates and conflicts of a chunk within itself (``existing`` is None), or against rows that are there."""
    no = pl.Series([False]).new_from_index(0, frame.height)
    values = [c for c in frame.columns if c not in key and c not in _NO_CONTENT]
    if existing is None:
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
