"""Lines of a text file in pieces, numbered from 1: blank ones left out, memory bounded by the piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from warehouse.readers.source import RefusedFile

if TYPE_CHECKING:
    from warehouse.formatspec import FileSpec

_PIECE = 1 << 22
MAX_LINE = 1 << 24
_BLANK = " \t\x0b\x0c"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(stream: BinaryIO, spec: FileSpec, most: int) -> Iterator[pl.DataFrame]:
    """Frames ``line, text`` of at most ``most`` lines.

    Raises
    ------
    RefusedFile
        Parquet or UTF-16 where text is expected, or a line without end.
    """
    start, number = stream.read(4), 1
    if start == b"PAR1":
        raise RefusedFile("The file is Parquet, but the format expects text.")
    if start.startswith(_WIDE_BOMS):
        raise RefusedFile(f"The file is UTF-16, but the format says {spec.encoding}; save it as {spec.encoding}.")
    left = start.removeprefix(codecs.BOM_UTF8)
    while True:
        block = stream.read(_PIECE)
        data = left + block
        if block:
            cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
            data, left = data[:cut], data[cut:]
            if len(left) > MAX_LINE:
                raise RefusedFile(f"A line is longer than {MAX_LINE >> 20} MiB; the file is not a table of lines.")
        if data:
            text = data.decode(spec.encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")
            lines = text.split("\n")
            if lines[-1] == "":
                lines.pop()
            for first in range(0, len(lines), most):
                yield _frame(lines[first : first + most], number + first)
            number += len(lines)
        if not block:
            return


def _frame(lines: list[str], first: int) -> pl.DataFrame:
    frame = pl.DataFrame({"text": lines}, schema={"text": pl.String})
    frame = frame.with_columns(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias("line"))
    return frame.select("line", "text").filter(pl.col("text").str.strip_chars(_BLANK) != "")
