"""Look at a file's head and say how it could be read: the step behind ``ingest --explain``."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UserError
from warehouse.explain import Explanation, Head, explain
from warehouse.keys import utf8_text
from warehouse.readers.source import RefusedFile

HEAD_BYTES = 1 << 22
_HEAD_ROWS = 10_000
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"


def explain_file(path: Path, known: bool = True) -> Explanation:
    """What a file's head tells; see `warehouse.explain`.

    Raises
    ------
    UserError
        The file cannot be read, or is neither a table nor JSON.
    """
    try:
        return explain(read_head(path), known)
    except RefusedFile as error:
        raise UserError(f"{path}: {error}") from None


def read_head(path: Path) -> Head:
    """The beginning of a file, unpacked. Raises `UserError`."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; give one file of it.")
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start.startswith(_GZIP):
                data = gzip.GzipFile(fileobj=file).read(HEAD_BYTES + 1)
            elif start == _ZSTD:
                data = pa.CompressedInputStream(pa.PythonFile(file), "zstd").read(HEAD_BYTES + 1)
            elif start == _PARQUET:
                return _parquet_head(utf8_text(path.name), file)
            else:
                data = file.read(HEAD_BYTES + 1)
    except (EOFError, zlib.error, pa.ArrowException, gzip.BadGzipFile):
        raise UserError(f"{path}: the compressed file is cut off or damaged; copy it again.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None
    data = bytes(data)
    if data.startswith(_PARQUET):
        if len(data) > HEAD_BYTES:
            raise UserError(f"{path}: unpack the compressed Parquet file first, its end says what it holds.")
        return _parquet_head(utf8_text(path.name), io.BytesIO(data))
    return Head(utf8_text(path.name), data[:HEAD_BYTES], len(data) <= HEAD_BYTES)


def _parquet_head(name: str, file: BinaryIO | io.BytesIO) -> Head:
    parquet = pq.ParquetFile(file)
    rows = parquet.metadata.num_rows
    first = next(parquet.iter_batches(_HEAD_ROWS), None)
    table = parquet.schema_arrow.empty_table() if first is None else pa.Table.from_batches([first])
    frame = pl.from_arrow(table)
    return Head(name, b"", rows <= _HEAD_ROWS, pl.DataFrame(frame), rows)


def write_proposal(found: Explanation, out: Path) -> None:
    """Write the proposed format. Raises `UserError` for a known one, or when the file cannot be written."""
    if found.known is not None:
        raise UserError(f"Nothing to write: this looks like {found.known}; use --format {found.known}.")
    if out.suffix != ".toml":
        raise UserError(f"--out takes a file that ends in .toml, got '{out}'.")
    try:
        out.write_text(found.toml, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}).") from None


def way_on(path: Path, found: Explanation, out: Path | None) -> str:
    """What to do with an explanation, in a sentence."""
    if found.known is not None:
        return f"This looks like {found.known}: `fadecast ingest {path} --format {found.known}`."
    where = "FILE.toml (save the lines above)" if out is None else str(out)
    if not found.ready:
        return f"Not told by the file alone: complete the marked lines of {where}, then `--format` takes it."
    share = f"{found.rows_good} of {found.rows_read} records of the head are read with it"
    return f"{share}. Confirm each line of {where}, then `fadecast ingest {path} --format {out or 'FILE.toml'}`."


def as_json(path: Path, found: Explanation) -> dict[str, Any]:
    """An explanation for scripts."""
    return {
        "path": str(path),
        "format": found.known,
        "ready": found.ready,
        "rows_read": found.rows_read,
        "rows_good": found.rows_good,
        "guesses": [vars(guess) for guess in found.guesses],
        "toml": found.toml,
    }
