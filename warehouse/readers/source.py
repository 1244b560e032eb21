"""A file's bytes: hash, decompression, lines, and the independent count of its records."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.keys import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.formatspec import FileSpec

_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
_UTF8_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
# Larger files are refused: they are read as a whole (a day of 1 Hz samples has 10 MB).
MAX_BYTES = 2**30
_CHUNK = 1 << 24
_BLANK = " \t\x0b\x0c"
REPLACEMENT = "�"
_MAX_NAMES = 12
_COLUMN_NAME = re.compile(r"[A-Za-zÀ-ÿ_][\w .\[\]()%/°-]{0,39}")
# What stands in a record and in no name of a column: addresses, long numbers, times, bare numbers.
_DATA_LIKE = re.compile(r"@|\d{5}|\d{4}-\d{2}-\d{2}|^[^A-Za-zÀ-ÿ]*\d[^A-Za-zÀ-ÿ]*$")
NO_HEADER = "its first record does not look like a header"


class RefusedFile(Exception):
    """A file that is not taken in at all; one sentence."""


class EmptyFile(RefusedFile):
    """The file holds nothing."""

    def __init__(self) -> None:
        super().__init__("The file is empty.")


def shown_names(names: list[str]) -> list[str]:
    """Names of columns that a sentence may repeat: none where one of them looks like data, as then all may be.

    Examples
    --------
    >>> shown_names(["time", "Temp [°C]", "<b>"])
    ['time', 'Temp [°C]']
    >>> shown_names(["Jane Doe", "WBY1Z21040V307900", "2024-05-01T10:00:00Z"])
    []
    """
    if any(_DATA_LIKE.search(name) or clean_text(name) != name for name in names):
        return []
    return [name for name in names if _COLUMN_NAME.fullmatch(name)][:_MAX_NAMES]


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes as they lie on the disk. Raises `RefusedFile` when it cannot be read."""
    return read_raw(path)[0]


def read_raw(path: Path) -> tuple[str, bytes]:
    """Hash and bytes of a file as it lies on the disk, read once. Raises `RefusedFile`."""
    try:
        if path.exists() and not path.is_file():
            raise RefusedFile("It is not a regular file.")
        with path.open("rb") as file:
            data = _limited(file)
    except OSError as error:
        raise RefusedFile(f"The file cannot be read ({error.strerror}).") from None
    return hashlib.sha256(data).hexdigest(), data


def unpack(data: bytes) -> bytes:
    """Bytes decompressed where they begin as gzip or zstd. Raises `RefusedFile`."""
    try:
        if data.startswith(_GZIP):
            return _limited(gzip.GzipFile(fileobj=io.BytesIO(data)))
        if data.startswith(_ZSTD):
            return _limited(pa.CompressedInputStream(io.BytesIO(data), "zstd"))
    except (EOFError, zlib.error, pa.ArrowInvalid, OSError):
        raise RefusedFile("The compressed file is cut off or damaged; copy it again.") from None
    return data


def read_bytes(path: Path) -> bytes:
    """Decompressed bytes of a file. Raises `RefusedFile`."""
    return unpack(read_raw(path)[1])


def _limited(stream: io.IOBase | pa.NativeFile | gzip.GzipFile) -> bytes:
    blocks: list[bytes] = []
    size = 0
    while block := stream.read(_CHUNK):
        size += len(block)
        if size > MAX_BYTES:
            raise RefusedFile(f"The file holds more than {MAX_BYTES >> 30} GiB; split it by day or vehicle.")
        blocks.append(bytes(block))
    return b"".join(blocks)


def count_text_records(data: bytes, header: bool) -> int:
    """Non-blank records after the header, counted on the bytes and on nothing else.

    Examples
    --------
    >>> count_text_records(b"a,b\\r\\n1,2\\r\\n\\r\\n3,4", header=True)
    2
    """
    lines = sum(map(bool, map(bytes.strip, data.splitlines())))
    return max(lines - 1, 0) if header else lines


def parquet_file(data: bytes) -> pq.ParquetFile:
    """Parquet file of bytes. Raises `RefusedFile`."""
    if not data.startswith(_PARQUET):
        raise RefusedFile("The file is not Parquet, which the format expects.")
    try:
        return pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowInvalid, OSError):
        raise RefusedFile("The Parquet file is cut off or damaged; copy it again.") from None


def text_lines(data: bytes, spec: FileSpec) -> tuple[list[str], pl.DataFrame]:
    """Header names and the non-blank lines below, with their line numbers from 1.

    Returns
    -------
    tuple
        Names of the columns; frame ``line, text``.

    Raises
    ------
    RefusedFile
        Empty, Parquet or binary where text is expected, or a header that cannot be used.
    """
    if data.startswith(_PARQUET):
        raise RefusedFile("The file is Parquet, but the format expects text.")
    if data.startswith(_WIDE_BOMS):
        raise RefusedFile(f"The file is UTF-16, but the format says {spec.encoding}; save it as {spec.encoding}.")
    data = data.removeprefix(_UTF8_BOM)
    text = data.decode(spec.encoding, errors="replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    frame = pl.DataFrame({"text": lines}, schema={"text": pl.String}).with_row_index("line", offset=1)
    frame = frame.with_columns(pl.col("line").cast(pl.Int64))
    frame = frame.filter(pl.col("text").str.strip_chars(_BLANK) != "")
    if spec.header is not None:
        return list(spec.header), frame
    if frame.height == 0:
        raise EmptyFile
    names = header_names(frame.item(0, "text"), spec.delimiter)
    return names, frame.slice(1)


def header_names(line: str, delimiter: str) -> list[str]:
    """Names in a header line. Raises `RefusedFile` when it is not one."""
    fields = split_quoted(line, delimiter)
    names = [] if fields is None else [field.strip() for field in fields]
    if "\x00" in line or not any(names):
        raise RefusedFile("The first line is not a header of column names.")
    doubled = sorted({name for name in names if names.count(name) > 1 and name})
    if doubled:
        shown = [name for name in doubled if shown_names(names) and shown_names([name])]
        raise RefusedFile(
            f"The header names column '{shown[0]}' twice." if shown else f"The file cannot be used: {NO_HEADER}."
        )
    return names


def split_quoted(line: str, delimiter: str) -> list[str] | None:
    """Fields of one line with quotes, `None` when its quotes do not close.

    Examples
    --------
    >>> split_quoted('1,"a,b",2', ",")
    ['1', 'a,b', '2']
    >>> split_quoted('1,"a', ",") is None
    True
    """
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
