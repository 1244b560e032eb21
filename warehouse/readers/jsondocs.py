"""JSON records of a stream: one a line (JSON Lines), the elements of one array, or documents one after another.

Records are told apart by their brackets and line ends alone, before any is parsed: so they can be counted, and a
broken one costs itself only. Memory is that of one record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from warehouse.readers.lines import RefusedFile

if TYPE_CHECKING:
    from warehouse.readers.source import Source

PEEK = 1 << 16
_PIECE = 1 << 20
MAX_RECORD = 1 << 24
_TOKEN = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_BETWEEN = b" \t\r\n,\x0b\x0c"


def records(stream: BinaryIO, head: bytes) -> Iterator[bytes]:
    """Bytes of each record of a stream, of which ``head`` are the first `PEEK` bytes.

    Raises
    ------
    RefusedFile
        The file holds no JSON records, or one without end.
    """
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip(_BETWEEN)
    if not head:
        return
    if head[:1] not in b"{[":
        raise RefusedFile("The file does not begin with a JSON object or array.")
    yield from _by_line(stream) if _is_lines(head) else _by_bracket(stream, array=head.startswith(b"["))


def count_records(source: Source) -> int:
    """Number of records of a file. Raises `RefusedFile`."""
    return sum(1 for _ in records(source.open(), source.head(PEEK)))


def _is_lines(head: bytes) -> bool:
    lines = [line for line in head.splitlines() if line.strip()]
    if len(lines) < 2:
        return False
    whole = [_parses(line) for line in (lines[:3] if len(head) < PEEK or len(lines) > 3 else lines[:-1])]
    return any(whole)


def _parses(line: bytes) -> bool:
    if line.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _by_line(stream: BinaryIO) -> Iterator[bytes]:
    left = b""
    while True:
        block = stream.read(_PIECE)
        data = left + block
        lines = data.splitlines(keepends=True)
        left = lines.pop() if block and lines else b""
        if len(left) > MAX_RECORD:
            raise RefusedFile(f"A line is longer than {MAX_RECORD >> 20} MiB; the file is not JSON Lines.")
        yield from (line for line in map(bytes.strip, lines) if line)
        if not block:
            return


def _by_bracket(stream: BinaryIO, array: bool) -> Iterator[bytes]:
    base = 1 if array else 0
    depth, quoted, start = 0, False, -1
    done = 0  # all before is given away
    data, at = b"", 0
    while True:
        block = stream.read(_PIECE)
        data = data[done:] + block
        at, start, done = at - done, start - done if start >= 0 else -1, 0
        for token in _TOKEN.finditer(data, at):
            mark = token.group()
            at = token.end()
            if mark == b'"':
                quoted = not quoted
            elif quoted or mark.startswith(b"\\"):
                continue
            elif mark in b"{[":
                if depth == base:
                    yield from _stray(data[done : token.start()])
                    start = done = token.start()
                elif depth < base:
                    done = token.end()
                depth += 1
            else:
                depth = max(depth - 1, 0)
                if depth == base and start >= 0:
                    yield data[start : token.end()]
                    start, done = -1, token.end()
                elif depth < base:
                    yield from _stray(data[done : token.start()])
                    done = token.end()
        if not block:
            yield from _stray(data[done:])
            return
        at = max(at, len(data) - 1) if data.endswith(b"\\") else len(data)
        if len(data) - done > MAX_RECORD:
            raise RefusedFile(f"A JSON record is longer than {MAX_RECORD >> 20} MiB, or never ends.")


def _stray(data: bytes) -> Iterator[bytes]:
    """Text between records that belongs to none: a record of its own, which will be refused."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip(_BETWEEN)
    if text:
        yield text
