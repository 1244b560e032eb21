"""Messages of an OCPP log: one a line, or the elements of one JSON list; every one bounded, and counted on its own.

A message longer than `MAX_MESSAGE` bytes (an endless line) is never held in memory: it is cut away as it streams by and
comes back as one record marked too long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numba import njit
from numpy.typing import NDArray

from warehouse.readers.lines import EmptyFile
from warehouse.readers.ocpp_words import PAD, bytes_and_words, line_breaks

MAX_MESSAGE = 1 << 20
BLOCK = 8 << 20
_BLANKS = b" \t\r\n\x0b\x0c"
_BOM = b"\xef\xbb\xbf"
_QUOTE, _BACKSLASH, _NEWLINE, _COMMA = 34, 92, 10, 44
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Whole messages: their bytes are ``data[start:end]``, ``line`` numbers them; those too long hold nothing.

    `PAD` stands after the last.
    """

    data: bytes
    start: Ints
    end: Ints
    line: Ints
    too_long: Ints  # numbers of messages that were cut away


def read_blocks(stream: BinaryIO, block: int = BLOCK, longest: int = MAX_MESSAGE) -> Iterator[Block]:
    """Blocks of messages of a stream of any length.

    Parameters
    ----------
    stream
        Decompressed bytes.
    block, longest
        Bytes read at a time, and the longest message [bytes].

    Yields
    ------
    Block
        In a file of lines the number of a message is that of its text line, in a list its place from 1.
    """
    head = _fill(stream, block).removeprefix(_BOM)
    if not head.strip(_BLANKS):
        raise EmptyFile
    if _is_list(head):
        yield from _elements(stream, head[head.index(b"[") + 1 :], block, longest)
    else:
        yield from _lines(stream, head, block, longest)


class MessageCounter:
    """Counts messages on the bytes alone: non-blank lines, or the elements of the outermost list."""

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._list = False
        self._state = np.zeros(4, dtype=np.int64)  # depth, in a string, elements ended, one begun
        self._lines, self._begun = 0, False

    def feed(self, block: bytes) -> None:
        """Next bytes of the file."""
        if self._head is not None:
            self._head += block
            if not _told(self._head):
                return
            block = self._decide()
        self._count(block)

    def total(self) -> int:
        """Messages so far."""
        if self._head is not None:
            self._count(self._decide())
        return int(self._state[2] + self._state[3]) if self._list else self._lines + self._begun

    def _decide(self) -> bytes:
        head = (self._head or b"").removeprefix(_BOM)
        self._head, self._list = None, _is_list(head)
        return head[head.index(b"[") + 1 :] if self._list else head

    def _count(self, block: bytes) -> None:
        if self._list:
            _count_elements(np.frombuffer(block, dtype=np.uint8), self._state)
            return
        first, *rest = block.split(b"\n")
        self._begun = self._begun or bool(first.strip())
        if rest:
            self._lines += self._begun + sum(1 for line in rest[:-1] if line.strip())
            self._begun = bool(rest[-1].strip())


def _told(head: bytes) -> bool:
    """Whether the first bytes tell a list from lines: two characters that are not blank."""
    text = head.removeprefix(_BOM).lstrip(_BLANKS)
    return len(text[:1]) == 1 and (text[:1] != b"[" or bool(text[1:].lstrip(_BLANKS)))


def _fill(stream: BinaryIO, block: int) -> bytes:
    """First bytes, enough to tell a list from lines."""
    head = stream.read(block)
    while head and not _told(head) and (more := stream.read(block)):
        head += more
    return head


def _is_list(head: bytes) -> bool:
    """A list of messages begins with a bracket and then a message (``[[2,`` or ``[{``); a lone frame with a digit."""
    text = head.lstrip(_BLANKS)
    return text[:1] == b"[" and text[1:].lstrip(_BLANKS)[:1] in (b"[", b"{")


def _lines(stream: BinaryIO, chunk: bytes, block: int, longest: int) -> Iterator[Block]:
    line, carry, skipping = 1, b"", False
    while chunk:
        if skipping:
            cut = chunk.find(b"\n")
            chunk = b"" if cut < 0 else chunk[cut + 1 :]
            if cut >= 0:
                skipping = False
                line += 1
        data = carry + chunk
        chunk = stream.read(block)
        stop = len(data) if not chunk else data.rfind(b"\n") + 1
        whole, carry = memoryview(data)[:stop], data[stop:]
        long_tail = len(carry) > longest
        if whole or long_tail:
            made, line = _line_block(b"".join((whole, PAD)), stop, line, longest)
            if long_tail:
                made = Block(made.data, made.start, made.end, made.line, np.append(made.too_long, line))
                carry, skipping = b"", True
            yield made


def _line_block(data: bytes, stop: int, line: int, longest: int) -> tuple[Block, int]:
    """Lines of the bytes up to ``stop``, and the number of the next."""
    view, words = bytes_and_words(data)
    breaks = line_breaks(view, words)
    start = np.concatenate([[0], breaks + 1]).astype(np.int64)
    end = np.concatenate([breaks, [stop]]).astype(np.int64)
    number = line + np.arange(start.size, dtype=np.int64)
    kept = _not_blank(view, start, end) if stop else np.zeros(start.size, dtype=np.bool_)
    long = kept & (end - start > longest)
    good = kept & ~long
    return Block(data, start[good], end[good], number[good], number[long]), line + breaks.size


@njit(cache=True, nogil=True)
def _not_blank(view: NDArray[np.uint8], start: Ints, end: Ints) -> NDArray[np.bool_]:
    out = np.zeros(start.size, dtype=np.bool_)
    for k in range(start.size):
        for i in range(start[k], end[k]):
            if view[i] > 32 or (view[i] != 32 and (view[i] < 9 or view[i] > 13)):
                out[k] = True
                break
    return out


def _elements(stream: BinaryIO, data: bytes, block: int, longest: int) -> Iterator[Block]:
    """Elements of a list. The scanner begins each block at the first byte of an element that is not whole yet."""
    number, skipped = 1, False
    state = np.zeros(2, dtype=np.int64)  # depth, inside a string: of an element that is being cut away
    while True:
        more = stream.read(block)
        last = not more
        view = np.frombuffer(data, dtype=np.uint8)
        long: list[int] = []
        used = 0
        if skipped:
            used = int(_skip_element(view, state))
            skipped = used < 0
            used = len(data) if used < 0 else used
        start, end, rest = _split_elements(view, used, last and not skipped)
        line = number + np.arange(start.size, dtype=np.int64)
        number += start.size
        keep = end - start <= longest
        long += line[~keep].tolist()
        if not last and not skipped and len(data) - rest > longest:
            long.append(number)
            number, skipped = number + 1, True
            state[:] = 0
            _skip_element(view[rest:], state)
            rest = len(data)
        if start.size or long:
            yield Block(data + PAD, start[keep], end[keep], line[keep], np.array(long, dtype=np.int64))
        if last:
            return
        data = data[rest:] + more


@njit(cache=True, nogil=True)
def _skip_element(view: NDArray[np.uint8], state: Ints) -> int:
    """Place after the comma that ends an element, -1 when it does not end here; state goes on in the next block."""
    depth, quoted, i = state[0], state[1], 0
    while i < view.size:
        c = view[i]
        if quoted:
            if c == _BACKSLASH:
                quoted = 2 if quoted == 1 else 1
            elif quoted == 2:
                quoted = 1
            elif c in (_QUOTE, _NEWLINE):
                quoted = 0
        elif c == _QUOTE:
            quoted = 1
        elif c == 91 or c == 123:
            depth += 1
        elif c == 93 or c == 125:
            depth = max(depth - 1, 0)
        elif c == _COMMA and depth == 0:
            state[0], state[1] = 0, 0
            return i + 1
        i += 1
    state[0], state[1] = depth, quoted
    return -1


@njit(cache=True, nogil=True)
def _split_elements(view: NDArray[np.uint8], begin: int, last: bool) -> tuple[Ints, Ints, int]:
    """Spans of the elements that end here, and where the next begins.

    A line break inside a string is no JSON: the string ends there, so that one damaged message does not take the
    others along. The bracket that ends the list ends its last element; what follows is an element of its own.
    """
    start = np.empty(view.size // 2 + 2, dtype=np.int64)
    end = np.empty(view.size // 2 + 2, dtype=np.int64)
    n, depth, quoted, first, stop, i = 0, 0, False, -1, -1, begin
    rest = begin
    while i < view.size:
        c = view[i]
        if quoted:
            if c == _BACKSLASH:
                i += 1
            elif c in (_QUOTE, _NEWLINE):
                quoted = False
            stop = i
        elif depth == 0 and c in (_COMMA, 93):
            if first >= 0:
                start[n], end[n] = first, min(stop, view.size - 1) + 1
                n += 1
            first, rest = -1, i + 1
        elif not (c == 32 or (c >= 9 and c <= 13)):
            if first < 0:
                first = i
            stop = i
            if c == _QUOTE:
                quoted = True
            elif c == 91 or c == 123:
                depth += 1
            elif c == 93 or c == 125:
                depth -= 1
        i += 1
    if last and first >= 0:
        start[n], end[n] = first, min(stop, view.size - 1) + 1
        n += 1
        rest = view.size
    return start[:n], end[:n], rest


@njit(cache=True, nogil=True)
def _count_elements(view: NDArray[np.uint8], state: Ints) -> None:
    """Count on: depth, in a string (2 after a backslash), elements ended, 1 when one has begun."""
    depth, quoted, ended, begun = state[0], state[1], state[2], state[3]
    for i in range(view.size):
        c = view[i]
        if quoted == 2:
            quoted = 1
        elif quoted == 1:
            if c == _BACKSLASH:
                quoted = 2
            elif c in (_QUOTE, _NEWLINE):
                quoted = 0
        elif depth == 0 and (c == _COMMA or c == 93):
            ended += begun
            begun = 0
        elif not (c == 32 or (c >= 9 and c <= 13)):
            begun = 1
            if c == _QUOTE:
                quoted = 1
            elif c == 91 or c == 123:
                depth += 1
            elif c == 93 or c == 125:
                depth -= 1
    state[0], state[1], state[2], state[3] = depth, quoted, ended, begun
