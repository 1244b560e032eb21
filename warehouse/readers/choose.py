"""Which way a table is read: plain, or prepared first; and all of a small file at once, whatever its reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from warehouse.formatheader import needs_preparing
from warehouse.raw import RAW_SCHEMAS, plain_rows
from warehouse.readers import table
from warehouse.readers.batch import REJECTS, Batch
from warehouse.readers.prepared import read_prepared
from warehouse.readers.registry import Reader, reader_of
from warehouse.readers.source import BytesSource, Source
from warehouse.readers.table import TableResult

if TYPE_CHECKING:
    from warehouse.formatspec import FormatSpec


def _read(source: Source, spec: FormatSpec) -> Iterator[Batch]:
    return read_prepared(source, spec) if needs_preparing(spec) else table.read(source, spec)


READER = Reader(_read, table.counter)


def read_any(data: bytes, spec: FormatSpec, file_name: str) -> TableResult:
    """All canonical rows of a file's (decompressed) bytes, whatever its reader. Raises `RefusedFile`."""
    reader = reader_of(spec.reader)
    source = BytesSource(data, None if reader.counter is None else reader.counter(spec), reader.count, file_name)
    schema = RAW_SCHEMAS[spec.kind]
    parts = list(reader.read(source, spec))
    rows = pl.concat(
        [pl.DataFrame(schema=schema), *(plain_rows(b.rows[spec.kind], spec.kind) for b in parts if spec.kind in b.rows)]
    )
    rejects = pl.concat([pl.DataFrame(schema=REJECTS), *(b.rejects for b in parts)]).sort("line")

    def texts(lines: pl.Series) -> pl.DataFrame:
        return pl.concat([b.texts(lines) for b in parts])

    silent = sum(b.silent.len() for b in parts)
    return TableResult(rows, rejects, source.records, texts, silent)
