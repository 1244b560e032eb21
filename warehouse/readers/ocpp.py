"""Logs of OCPP messages (1.6, 2.0.1, 2.1; JSON) to samples and sessions of the cars at the stations.

Messages of one shape are validated and interpreted once and then read as columns (`ocpp_tokens`); messages that the
pass over the bytes cannot vouch for are parsed, validated and read one by one, by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import polars as pl

from warehouse.keys import clean_text
from warehouse.readers import ocpp_schema as schema
from warehouse.readers.batch import MAX_RAW_TEXT, REJECTS, Batch
from warehouse.readers.ocpp_gather import Gathered, rows_of
from warehouse.readers.ocpp_message import Plan, content_of, interpret, parse
from warehouse.readers.ocpp_records import BLOCK, MAX_MESSAGE, Block, MessageCounter, read_blocks
from warehouse.readers.ocpp_sessions import Transactions, session_frame, session_row
from warehouse.readers.ocpp_tokens import Tokens, key_table, tokenize
from warehouse.readers.ocpp_track import track, vehicle_of
from warehouse.readers.ocpp_values import PlainValues, SlotValues, marked
from warehouse.readers.registry import Reader

if TYPE_CHECKING:
    from warehouse.formatspec import FormatSpec, OcppSpec
    from warehouse.readers.source import Source

_MAX_SHAPES = 50_000
_REMEMBERED = 200_000  # messages among which a repeated one is known


def read_messages(
    stream: BinaryIO, spec: FormatSpec, name: str, block: int = BLOCK, fast: bool = True
) -> Iterator[Batch]:
    """Batches of a log.

    Parameters
    ----------
    stream
        Decompressed bytes.
    spec
        A format with ``[ocpp]``.
    name
        Name of the file: may name the station.
    block
        Bytes read at a time.
    fast
        False: every message is parsed and validated on its own.
    """
    if spec.ocpp is None:
        raise ValueError("the format has no [ocpp]")
    reader = _Reader(spec.ocpp, name, fast)
    held: Batch | None = None
    spare = 0
    for found in read_blocks(stream, block):
        batch, line = reader.batch(found)
        # Sessions open at the end bear a line of the last batch that has a good one.
        if line is None:
            yield batch
            continue
        if held is not None:
            yield held
        held, spare = batch, line
    if held is not None:
        yield reader.with_open(held, spare)


class _Reader:
    """State of a stream: plans of shapes, open transactions, hashes of the last messages."""

    def __init__(self, spec: OcppSpec, name: str, fast: bool) -> None:
        self.spec, self.fast = spec, fast
        self.table = key_table(schema.key_classes(spec.version))
        self.lengths = schema.text_lengths(spec.version)
        self.plans: dict[int, Plan] = {}
        self.transactions = Transactions()
        self.seen = self.seen_before = np.empty(0, np.uint64)  # sorted; the latter is full
        self.middle: int | None = None
        in_name = re.search(spec.station_in_name, name)
        self.station = spec.station or (in_name.group(1) if in_name else None)

    def batch(self, block: Block) -> tuple[Batch, int | None]:
        """One batch, and the last line of it that was not refused."""
        gathered = Gathered(block.start.size)
        tokens = tokenize(block.data, block.start, block.end, self.table, self.lengths)
        singles = self._shapes(block, tokens, gathered) if self.fast else np.arange(block.start.size)
        for row in singles.tolist():
            self._single(block, row, gathered)
        gathered.repeated = self._repeated(gathered.content)
        return self._made(block, gathered)

    def _shapes(self, block: Block, tokens: Tokens, gathered: Gathered) -> np.ndarray:
        """Take in all messages whose shape the pass vouches for; rows of the others."""
        bad = _exact_numbers(block.data, tokens)
        shapes = np.where(bad, np.uint64(0), tokens.shape)
        order = np.argsort(shapes, kind="stable")
        ordered = shapes[order]
        breaks = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [order.size]])
        for a, b in zip(breaks[:-1].tolist(), breaks[1:].tolist(), strict=True):
            if a == b or ordered[a] == 0:
                continue
            rows = order[a:b]
            plan = self._plan(int(ordered[a]), block, tokens, int(rows[0]))
            gathered.take(plan, SlotValues(block.data, tokens, rows), rows)
            gathered.content[rows] = tokens.content[rows]
        return np.flatnonzero(shapes == 0)

    def _plan(self, shape: int, block: Block, tokens: Tokens, row: int) -> Plan:
        plan = self.plans.get(shape)
        if plan is None:
            a, b = int(block.start[row]), int(block.end[row])
            slots = slice(int(tokens.first[row]), int(tokens.first[row + 1]))
            spans = list(zip(tokens.start[slots].tolist(), tokens.end[slots].tolist(), strict=True))
            try:
                plain = parse(block.data[a:b].decode("ascii"))
                plan = interpret(parse(marked(block.data, a, b, spans)), plain, self.spec)
            except (ValueError, RecursionError):
                plan = Plan(reject=("bad_json", "the message is no JSON"))
            if len(self.plans) >= _MAX_SHAPES:
                self.plans.clear()
            self.plans[shape] = plan
        return plan

    def _single(self, block: Block, row: int, gathered: Gathered) -> None:
        data = block.data[int(block.start[row]) : int(block.end[row])]
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            plan = Plan(reject=("bad_characters", "the message holds characters that are not utf-8 text"))
        else:
            try:
                message = parse(text)
                plan = interpret(message, message, self.spec)
                gathered.content[row] = content_of(message, self.spec)
            except (ValueError, RecursionError):
                plan = Plan(reject=("bad_json", "the message is no JSON"))
        gathered.take(plan, PlainValues(), np.array([row], dtype=np.int64))

    def _repeated(self, content: np.ndarray) -> np.ndarray:
        """Messages that were there before with the same id and content (sent again after a lost answer)."""
        known = _among(content, self.seen) | _among(content, self.seen_before)
        order = np.argsort(content, kind="stable")
        again = np.zeros(content.size, np.bool_)
        again[order[1:]] = content[order[1:]] == content[order[:-1]]
        self.seen = np.sort(np.concatenate([self.seen, content[order]]), kind="stable")  # two runs: merged, not sorted
        if self.seen.size >= _REMEMBERED:
            self.seen, self.seen_before = np.empty(0, np.uint64), self.seen
        return (known | again) & (content != 0)

    def _made(self, block: Block, gathered: Gathered) -> tuple[Batch, int | None]:
        if self.middle is None:
            self.middle = gathered.middle()
        rows = rows_of(gathered, self.middle)
        sessions = track(self.transactions, gathered, rows, self.station, self.spec)
        samples = rows.frame(gathered, block.line)
        good = np.flatnonzero(~gathered.is_refused())
        spare = int(block.line[good[-1]]) if good.size else None
        made: list[dict[str, Any]] = []
        for transaction, vehicle, row in sessions:
            line = int(block.line[row]) if row is not None else spare
            if line is None:
                self.transactions.over.append(transaction)
                continue
            transaction.line = line
            found = session_row(transaction, vehicle)
            if found is not None:
                made.append(found)
        frames = {"samples": samples, "sessions": session_frame(made)}
        lines = block.line[good]
        used = np.isin(lines, np.concatenate([frame["line"].to_numpy() for frame in frames.values()]))
        silent = pl.Series("line", lines[~used], dtype=pl.Int64)
        texts = _texts(block)
        rejects = _rejects(block, gathered, texts)
        kinds = {kind: frame for kind, frame in frames.items() if frame.height}
        return Batch(kinds, rejects, texts, silent), spare

    def with_open(self, batch: Batch, line: int) -> Batch:
        """The last batch with the sessions that are still open at the end of the log."""
        made: list[dict[str, Any]] = []
        for transaction in self.transactions.rest():
            transaction.line = line
            vehicle = vehicle_of(transaction.station, transaction.connector, transaction.token, self.spec)
            row = None if vehicle is None else session_row(transaction, vehicle)
            if row is not None:
                made.append(row)
        if not made:
            return batch
        more = session_frame(made)
        before = batch.rows.get("sessions")
        kinds = batch.rows | {"sessions": more if before is None else pl.concat([before, more])}
        return Batch(kinds, batch.rejects, batch.texts, batch.silent.filter(batch.silent != line))


def _exact_numbers(data: bytes, tokens: Tokens) -> np.ndarray:
    """Fill in numbers of many digits; which messages hold one that no double can."""
    bad = np.zeros(tokens.shape.size, np.bool_)
    for slot in np.flatnonzero(tokens.inexact).tolist():
        number = schema.reading(data[tokens.start[slot] : tokens.end[slot]].decode("ascii"))
        if number is None:
            bad[np.searchsorted(tokens.first, slot, side="right") - 1] = True
        else:
            tokens.number[slot] = number
    return bad


def _texts(block: Block) -> Any:
    def texts(lines: pl.Series) -> pl.DataFrame:
        wanted = np.isin(block.line, lines.to_numpy())
        rows = [(int(block.line[row]), _shown(block, int(row))) for row in np.flatnonzero(wanted)]
        return pl.DataFrame(rows, schema={"line": pl.Int64, "raw_text": pl.String}, orient="row")

    return texts


def _shown(block: Block, row: int) -> str:
    a, b = int(block.start[row]), int(block.end[row])
    text = block.data[a : min(b, a + 4 * MAX_RAW_TEXT)].decode("utf-8", "replace")
    return clean_text(schema.masked(text, MAX_RAW_TEXT))


def _rejects(block: Block, gathered: Gathered, texts: Any) -> pl.DataFrame:
    refused = gathered.refused()
    lines = [int(block.line[row]) for row in refused]
    said = gathered.names.text
    owners = {row: said(gathered.vehicle[row]) or said(gathered.station[row]) for row in refused}
    shown = dict(texts(pl.Series("line", lines, dtype=pl.Int64)).iter_rows()) if lines else {}
    found = [
        {"line": line, "reason": reason, "detail": detail, "raw_text": shown.get(line), "owner": owners[row]}
        for line, (row, (reason, detail)) in zip(lines, refused.items(), strict=True)
    ]
    said = f"the message is longer than {MAX_MESSAGE >> 20} MB"
    found += [
        {"line": int(line), "reason": "too_long", "detail": said, "raw_text": "", "owner": None}
        for line in block.too_long
    ]
    return pl.DataFrame(found, schema=REJECTS).sort("line")


def read_bytes(data: bytes, spec: FormatSpec, name: str = "log.jsonl", fast: bool = True) -> list[Batch]:
    """All batches of bytes in memory."""
    return list(read_messages(BytesIO(data), spec, name, fast=fast))


def read(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    """Batches of a file."""
    return read_messages(source.stream(), spec, source.name)


# 2: a reading of the session's beginning beside one of now is passed over (Growatt).
READER = Reader(read, counter=lambda spec: MessageCounter(), version=2)


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values are among sorted ones."""
    if not known.size:
        return np.zeros(values.size, np.bool_)
    return known[np.minimum(np.searchsorted(known, values), known.size - 1)] == values
