"""Which reader a format wants, and all of a small file's batches as one result."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.formatheader import needs_preparing
from warehouse.raw import RAW_SCHEMAS
from warehouse.readers import jsondocs, source
from warehouse.readers.batch import REJECTS, Batch
from warehouse.readers.nested import read_nested
from warehouse.readers.prepared import read_prepared
from warehouse.readers.table import TableResult, read_table

if TYPE_CHECKING:
    from warehouse.formatspec import FormatSpec


def batches(stream: BinaryIO, spec: FormatSpec, file_name: str) -> Iterator[Batch] | None:
    """Batches of an open (decompressed) file by the reader its format wants; `None`: the plain table reader.

    Raises
    ------
    RefusedFile
        From the iterator: the whole file is of no use.
    """
    if spec.reader == "json":
        return read_nested(stream, spec, file_name)
    return read_prepared(stream, spec, file_name) if needs_preparing(spec) else None


def count_records(data: bytes, spec: FormatSpec) -> int:
    """Records of a file's (decompressed) bytes, counted on the bytes and on nothing else. Raises `RefusedFile`."""
    if spec.reader == "json":
        return jsondocs.count_records(io.BytesIO(data))
    if data.startswith(b"PAR1"):
        try:
            return pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows
        except (pa.ArrowInvalid, OSError):
            raise source.RefusedFile("The Parquet file is cut off or damaged; copy it again.") from None
    return source.count_text_records(data, header=spec.file.header is None)


def read_any(data: bytes, spec: FormatSpec, file_name: str) -> TableResult:
    """All canonical rows of a file's (decompressed) bytes, whatever its reader. Raises `RefusedFile`."""
    found = batches(io.BytesIO(data), spec, file_name)
    if found is None:
        return read_table(data, spec)
    schema = RAW_SCHEMAS[spec.kind]
    parts = list(found)
    rows = pl.concat([pl.DataFrame(schema=schema), *(b.rows[spec.kind] for b in parts if spec.kind in b.rows)])
    rejects = pl.concat([pl.DataFrame(schema=REJECTS), *(b.rejects for b in parts)]).sort("line")

    def texts(lines: pl.Series) -> pl.DataFrame:
        return pl.concat([b.texts(lines) for b in parts])

    silent = sum(b.silent.len() for b in parts)
    return TableResult(rows, rejects, count_records(data, spec), texts, silent)
