"""One file on its way in: batches to parts, duplicates, conflicts and refused rows, with memory for two chunks.

Batches are gathered into chunks of some hundred thousand rows. Each chunk is sorted, compared (`warehouse.dedupe`) and
written as a part of its own; refused rows are spilled. Nothing is in the ledger before the last row of the file is
read and counted: then all of it goes in, in one transaction.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING

import polars as pl

from warehouse.again import Older
from warehouse.coded import joined, order_of, taken
from warehouse.dedupe import OwnPart, mark
from warehouse.door import FORGOTTEN, Door
from warehouse.keys import MASK
from warehouse.parts import scratch_folder, spans, write_part
from warehouse.raw import KIND_RULES, RAW_SCHEMAS, latest_time
from warehouse.readers.batch import REJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from warehouse.coded import Order
    from warehouse.readers.batch import Batch
    from warehouse.store import Warehouse

CHUNK_ROWS = 1_000_000
_SPILL_ROWS = 200_000
_AHEAD = 6  # batches
_HIDDEN = {name: dtype for name, dtype in REJECTS.items() if name != "owner"} | {"vehicle_id": pl.String()}


@dataclass(frozen=True)
class Part:
    """A part that was written and is not yet in the ledger."""

    kind: str
    part_id: str
    path: str
    span: tuple[pl.DataFrame, pl.DataFrame]
    rows: int


@dataclass
class Counts:
    """Records of a file by what became of them; the forgotten ones are among the rejected."""

    loaded: int = 0
    rejected: int = 0
    duplicate: int = 0
    forgotten: int = 0

    @property
    def total(self) -> int:
        """All records that a reader accounted for."""
        return self.loaded + self.rejected + self.duplicate


@dataclass
class Taking:
    """What has been taken from a file so far.

    Parameters
    ----------
    wh
        The warehouse; nothing is written into its database here.
    base
        Beginning of the names of the file's parts.
    older
        Parts of older readers.
    latest
        Samples and sessions from later than this have a clock that is ahead.
    """

    wh: Warehouse
    base: str
    older: Older = field(default_factory=Older)
    parts: list[Part] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    first_reject: tuple[int, str] | None = None
    latest: datetime = field(default_factory=latest_time)
    _own: list[OwnPart] = field(default_factory=list)
    _batches: list[Batch] = field(default_factory=list)
    _rows: int = 0
    _rejects: list[pl.DataFrame] = field(default_factory=list)
    _held: int = 0
    _spilled: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.door = Door(self.wh)

    def add(self, batch: Batch) -> None:
        """Next batch of the file."""
        self._batches.append(batch)
        self._rows += sum(frame.height for frame in batch.rows.values())
        if self._rows >= CHUNK_ROWS:
            self._chunk()

    def finish(self) -> None:
        """No batch is left."""
        if self._batches:
            self._chunk()

    def rejects(self) -> Iterator[pl.DataFrame]:
        """Refused rows as the warehouse holds them; only after `finish`, when all names of the file are known."""
        for path in self._spilled:
            yield self._hidden(pl.read_parquet(path))
        if self._rejects:
            yield self._hidden(pl.concat(self._rejects))

    def undo(self) -> None:
        """Remove what was written: the file is not taken in."""
        for part in self.parts:
            with suppress(OSError):
                (self.wh.home / part.path).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Remove what was spilled."""
        for path in self._spilled:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _hidden(self, rejects: pl.DataFrame) -> pl.DataFrame:
        return rejects.with_columns(self.door.hide_texts(rejects["raw_text"]).alias("raw_text"))

    def _chunk(self) -> None:
        batches, self._batches, self._rows = self._batches, [], 0
        rows: dict[str, pl.DataFrame] = {}
        for kind in sorted({kind for batch in batches for kind in batch.rows}):
            frames = [batch.rows[kind] for batch in batches if kind in batch.rows]
            rows[kind] = _by_line(joined(frames) if kind == "samples" else pl.concat(frames))
        rejects = pl.concat([batch.rejects.select(REJECTS.keys()) for batch in batches])
        rows, rejects = self._drop_forgotten(rows, rejects)
        rows, early = self._not_yet(rows, batches)
        rejects = pl.concat([rejects, early])
        for kind, frame in rows.items():
            if KIND_RULES[kind].owner == "vehicle_id":
                rows[kind] = self.door.hide_rows(frame)
        order = {kind: _order(kind, frame) for kind, frame in rows.items() if frame.height}
        marked = {kind: mark(self.wh, kind, rows[kind], self._own, order[kind], self.older) for kind in order}
        conflicts = pl.concat([_no_lines(), *(m.conflict_lines for m in marked.values())]).unique().sort()
        refused = [rejects.with_columns(self.door.ids(rejects["owner"]).alias("vehicle_id")).drop("owner")]
        for kind, m in marked.items():
            if m.conflict_lines.len():
                refused.append(self._conflicts(kind, m.rows, m.conflict_lines, batches))
        self._refuse(pl.concat(refused).unique("line", keep="first", maintain_order=True).sort("line"))
        silent = pl.concat([_no_lines(), *(batch.silent.cast(pl.Int64) for batch in batches)])
        kept, new = [_no_lines()], [_no_lines()]
        for kind, m in marked.items():
            lines = m.rows["line"]
            stays = ~lines.is_in(conflicts.implode()) if conflicts.len() else None
            fresh = ~m.seen if stays is None else ~m.seen & stays
            kept.append(lines if stays is None else lines.filter(stays))
            new.append(lines if fresh.all() else lines.filter(fresh))
            self._write(kind, m.rows, fresh, order[kind])
        taken = _distinct(pl.concat(new)).len()
        self.counts.loaded += taken + silent.n_unique()
        self.counts.duplicate += _distinct(pl.concat(kept)).len() - taken

    def _drop_forgotten(
        self, rows: dict[str, pl.DataFrame], rejects: pl.DataFrame
    ) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
        """Records of forgotten vehicles are refused without a word of what they hold."""
        gone = [_no_lines()]
        for kind, frame in rows.items():
            mask = self.door.forgotten(frame["vehicle_id"]) if KIND_RULES[kind].owner == "vehicle_id" else None
            if mask is not None:
                gone.append(frame["line"].filter(mask))
        mask = self.door.forgotten(rejects["owner"])
        if mask is not None:
            gone.append(rejects["line"].filter(mask))
        lines = pl.concat(gone).unique()
        if lines.len() == 0:
            return rows, rejects
        self.counts.forgotten += lines.len()
        out = {kind: frame.filter(~frame["line"].is_in(lines.implode())) for kind, frame in rows.items()}
        refused = (
            lines.alias("line")
            .to_frame()
            .with_columns(
                pl.lit("forgotten").alias("reason"), pl.lit(FORGOTTEN).alias("detail"), pl.lit(MASK).alias("raw_text")
            )
        )
        missing = [pl.lit(None, dtype).alias(name) for name, dtype in REJECTS.items() if name not in refused.columns]
        refused = refused.with_columns(missing).select(pl.col(n).cast(t) for n, t in REJECTS.items())
        return out, pl.concat([rejects.filter(~rejects["line"].is_in(lines.implode())), refused])

    def _not_yet(
        self, rows: dict[str, pl.DataFrame], batches: list[Batch]
    ) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
        """Records of samples and sessions from later than tomorrow are refused: their clock is ahead."""
        hit: list[pl.DataFrame] = []
        for kind, frame in rows.items():
            rule = KIND_RULES[kind]
            if rule.owner == "vehicle_id":
                early = frame.filter(pl.col(rule.time) > self.latest)
                owner = pl.col("vehicle_id").cast(pl.String).alias("owner")
                hit += [early.select("line", owner)] if early.height else []
        if not hit:
            return rows, pl.DataFrame(schema=REJECTS)
        early = pl.concat(hit).unique("line", keep="first", maintain_order=True)
        lines = early["line"]
        texts = pl.concat([batch.texts(lines).select("line", "raw_text") for batch in batches])
        said = early.join(texts, on="line", how="left", maintain_order="left").with_columns(
            pl.lit("future_time").alias("reason"),
            pl.lit("the time is later than the day after it was taken in").alias("detail"),
        )
        out = {kind: frame.filter(~frame["line"].is_in(lines.implode())) for kind, frame in rows.items()}
        return out, said.select(pl.col(name).cast(dtype) for name, dtype in REJECTS.items())

    def _conflicts(self, kind: str, rows: pl.DataFrame, lines: pl.Series, batches: list[Batch]) -> pl.DataFrame:
        owner = KIND_RULES[kind].owner
        named = " and ".join(name for name in KIND_RULES[kind].key if name != "logger")
        texts = pl.concat([batch.texts(lines).select("line", "raw_text") for batch in batches])
        owners = rows.select("line", pl.col(owner).cast(pl.String).alias("vehicle_id")).unique("line", keep="first")
        if owner != "vehicle_id":
            owners = owners.with_columns(pl.lit(None, pl.String).alias("vehicle_id"))
        said = lines.alias("line").to_frame().join(texts, on="line", how="left", maintain_order="left")
        said = said.join(owners, on="line", how="left", maintain_order="left").with_columns(
            pl.lit("conflict").alias("reason"),
            pl.lit(f"the same {named} is there with other values").alias("detail"),
        )
        return said.select(_HIDDEN.keys())

    def _refuse(self, rejects: pl.DataFrame) -> None:
        if rejects.height == 0:
            return
        rejects = rejects.select(pl.col(name).cast(dtype) for name, dtype in _HIDDEN.items())
        self.counts.rejected += rejects.height
        line, detail = rejects.select("line", "detail").row(0)
        if self.first_reject is None or line < self.first_reject[0]:
            self.first_reject = (line, detail)
        self._rejects.append(rejects)
        self._held += rejects.height
        if self._held >= _SPILL_ROWS:
            folder = scratch_folder(self.wh.home)
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{self.base}-rejects-{len(self._spilled)}.tmp"
            # Names of later vehicles may stand in these texts still: the spill is removed before anything is done.
            self._spilled.append(path)
            pl.concat(self._rejects).write_parquet(path, compression="lz4")
            self._rejects, self._held = [], 0

    def _write(self, kind: str, rows: pl.DataFrame, fresh: pl.Series, order: Order | None) -> None:
        """Write the fresh rows of a chunk in the order of their keys."""
        rows = rows.select(RAW_SCHEMAS[kind].keys())
        if order is None:
            rows = rows.filter(fresh).sort(*KIND_RULES[kind].key, "line", maintain_order=True)
        elif order.places is None:
            rows = rows if fresh.all() else rows.filter(fresh)
        else:
            rows = taken(rows, order.places if fresh.all() else order.places[fresh.to_numpy()[order.places]])
        if rows.height == 0:
            return
        part_id = f"{self.base}-{len(self.parts)}"
        span = spans(kind, rows)
        path = write_part(self.wh, kind, part_id, rows)
        self.parts.append(Part(kind, part_id, path, span, rows.height))
        self._own.append(OwnPart(self.wh.home / path, kind, span[1]))


def _order(kind: str, frame: pl.DataFrame) -> Order | None:
    known = kind == "samples" and not frame["vehicle_id"].null_count() and not frame["time_utc"].null_count()
    return order_of(frame) if known else None


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, read by a thread of their own while earlier ones are being written; a few at a time."""
    waiting: Queue[Batch | BaseException | None] = Queue(_AHEAD)
    stop = Event()

    def put(item: Batch | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except Full:
                continue
            return True
        return False

    def run() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(None)
        except BaseException as error:  # handed to the thread that waits for it
            put(error)

    thread = Thread(target=run, name="reader", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _by_line(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows as they stand in the file: the first of several wins."""
    return frame if frame["line"].is_sorted() else frame.sort("line", maintain_order=True)


def _distinct(lines: pl.Series) -> pl.Series:
    if lines.is_sorted():
        return lines if not (lines.diff() == 0).any() else lines.unique(maintain_order=True)
    return lines.unique()


def _no_lines() -> pl.Series:
    return pl.Series("line", [], dtype=pl.Int64)
