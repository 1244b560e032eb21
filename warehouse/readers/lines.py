"""Text in blocks of whole lines: the count of records, line ends, lines that never end, headers, quotes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl

from warehouse.keys import clean_text

PARQUET_MAGIC = b"PAR1"
_UTF8_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
# A longer line is no record of a log: it is refused as one record, and no more than its beginning is kept in memory.
MAX_LINE_BYTES = 1 << 20
_KEPT_OF_LONG = 4096
_BLANK = " \t\x0b\x0c"
_BLANK_BYTES = _BLANK.encode()
_ENDS = bytes.maketrans(b"\r", b"\n")
_END = 10
# Blocks from this size on are worth compiled code.
COMPILED_FROM = MAX_LINE_BYTES
NO_LINES = pl.DataFrame(schema={"line": pl.Int64, "text": pl.String})
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


@dataclass(frozen=True)
class Lines:
    """Whole lines of a file: bytes with ``\\n`` line ends, and the number of the first (from 1).

    ``long`` names lines of more than `MAX_LINE_BYTES`, of which only the beginning is there.
    """

    first: int
    data: bytes
    long: frozenset[int] = frozenset()


class LineCounter:
    """Non-blank records, after the header where there is one.

    Examples
    --------
    >>> counter = LineCounter(header=True)
    >>> for block in (b"a,b\\r", b"\\n1,2\\r\\n\\r\\n3", b",4"):
    ...     counter.feed(block)
    >>> counter.total()
    2
    """

    def __init__(self, header: bool) -> None:
        self._header = header
        self._lines = 0
        self._open = False  # the line that the next block goes on with holds something already
        self._head = b""

    def feed(self, block: bytes) -> None:
        """Next bytes."""
        if self._head is not None:
            self._head += block
            if len(self._head) < len(_UTF8_BOM):
                return
            block, self._head = self._head.removeprefix(_UTF8_BOM), None
        self._count(block)

    def _count(self, block: bytes) -> None:
        lines, self._open = count_lines(block, self._open)
        self._lines += lines

    def total(self) -> int:
        """Records so far."""
        if self._head is not None:
            block, self._head = self._head, None
            self._count(block)
        lines = self._lines + self._open
        return max(lines - 1, 0) if self._header else lines


def count_lines(block: bytes, begun: bool) -> tuple[int, bool]:
    """Non-blank lines that end within a block, and whether a line that holds something goes on.

    Examples
    --------
    >>> count_lines(b" \\n a\\n\\nb", False), count_lines(b"\\n", True)
    ((1, True), (1, False))
    """
    if len(block) >= COMPILED_FROM:
        from warehouse.readers.kernels import count_nonblank

        lines, goes_on = count_nonblank(np.frombuffer(block, np.uint8), begun)
        return int(lines), bool(goes_on)
    kept = block.translate(_ENDS, _BLANK_BYTES)
    if not kept:
        return 0, begun
    ends = np.frombuffer(kept, np.uint8) == _END
    # A line with something in it ends where an end follows something else than an end.
    ended = int(np.count_nonzero(ends[1:] & ~ends[:-1])) + int(ends[0] and begun)
    return ended, not bool(ends[-1])


def whole_lines(blocks: Iterator[bytes]) -> Iterator[Lines]:
    """Cut a stream into blocks of whole lines; a line that does not end is cut and named."""
    carry, held, first, cut = b"", b"", 1, False
    head = True
    for block in chain(blocks, (None,)):
        data = held if block is None else held + block
        if head and len(data) < len(PARQUET_MAGIC) and block is not None:
            held = data
            continue
        if head:
            _refuse_no_text(data)
            data, head = data.removeprefix(_UTF8_BOM), False
        held = b""
        if block is not None and data.endswith(b"\r"):
            data, held = data[:-1], b"\r"
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if cut:
            # Inside a line that is too long already: nothing more of it is kept.
            end = data.find(b"\n")
            if end < 0 and block is not None:
                continue
            yield Lines(first, carry + b"\n", frozenset({first}))
            first, carry, cut = first + 1, b"", False
            data = data[end + 1 :] if end >= 0 else b""
        end = len(data) if block is None else data.rfind(b"\n") + 1
        if end or block is None:
            whole, carry = b"".join((carry, memoryview(data)[:end])), data[end:]
        else:
            whole, carry = b"", carry + data
        if len(carry) > MAX_LINE_BYTES:
            carry, cut = carry[:_KEPT_OF_LONG], True
        if whole:
            lines, ends = _shortened(Lines(first, whole))
            first += ends
            yield lines


def _shortened(lines: Lines) -> tuple[Lines, int]:
    """Lines with those of more than `MAX_LINE_BYTES` cut and named, and the number of line ends."""
    data, step = lines.data, MAX_LINE_BYTES // 2
    ends = int(np.count_nonzero(np.frombuffer(data, np.uint8) == _END))
    # A longer line spans at least one whole window.
    if all(data.find(b"\n", at, at + step) >= 0 for at in range(0, len(data) - step, step)):
        return lines, ends
    parts = data.split(b"\n")
    long = {i for i, part in enumerate(parts) if len(part) > MAX_LINE_BYTES}
    if not long:
        return lines, ends
    data = b"\n".join(part[:_KEPT_OF_LONG] if i in long else part for i, part in enumerate(parts))
    return Lines(lines.first, data, frozenset(lines.first + i for i in long)), ends


def _refuse_no_text(data: bytes) -> None:
    if data.startswith(PARQUET_MAGIC):
        raise RefusedFile("The file is Parquet, but the format expects text.")
    if data.startswith(_WIDE_BOMS):
        raise RefusedFile("The file is UTF-16, which no format expects; save it as UTF-8.")


def count_text_records(data: bytes, header: bool) -> int:
    """Non-blank records after the header, counted on the bytes and on nothing else.

    Examples
    --------
    >>> count_text_records(b"a,b\\r\\n1,2\\r\\n\\r\\n3,4", header=True)
    2
    """
    counter = LineCounter(header)
    counter.feed(data)
    return counter.total()


def text_frame(lines: Lines, encoding: str) -> pl.DataFrame:
    """Non-blank lines as text: ``line, text``."""
    texts = lines.data.decode(encoding, errors="replace").split("\n")
    frame = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_row_index("line", offset=lines.first)
    frame = frame.with_columns(pl.col("line").cast(pl.Int64))
    return frame.filter(pl.col("text").str.strip_chars(_BLANK) != "")


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
