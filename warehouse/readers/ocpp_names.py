"""Names of stations, transactions and id tokens as numbers: a block has few of them, and thousands of messages.

Texts that are alike are found on their bytes, so that each is decoded once; equal rows of numbers are found likewise.
Both compare in full: a hash only says where to look.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_SEED, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_SPREAD, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


class Names:
    """Numbers of texts; 0 stands for none."""

    def __init__(self) -> None:
        self.words: list[str | None] = [None]
        self._codes: dict[str | None, int] = {None: 0}

    def code(self, text: str | None) -> int:
        """Number of a text, a new one where it was not there before."""
        found = self._codes.setdefault(text, len(self.words))
        if found == len(self.words):
            self.words.append(text)
        return found

    def codes(self, texts: list[str | None]) -> Ints:
        """Numbers of texts."""
        return np.array([self.code(text) for text in texts], dtype=np.int64)

    def text(self, code: Any) -> str | None:
        """Text of a number."""
        return self.words[int(code)]


def distinct_texts(data: bytes, start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Which of the distinct texts ``data[start:end]`` each one is, and the first place of each, in their order.

    Examples
    --------
    >>> index, first = distinct_texts(b"ab,c,ab", np.array([0, 3, 5]), np.array([2, 4, 7]))
    >>> index.tolist(), first.tolist()
    ([0, 1, 0], [0, 1])
    """
    return _texts(np.frombuffer(data, dtype=np.uint8), start, end)


def distinct_rows(*columns: Ints) -> tuple[Ints, Ints]:
    """Which of the distinct rows each one is, and the first place of each, in their order.

    Examples
    --------
    >>> index, first = distinct_rows(np.array([7, 7, 8, 7]), np.array([1, 2, 1, 1]))
    >>> index.tolist(), first.tolist()
    ([0, 1, 2, 0], [0, 1, 2])
    """
    return _rows(np.column_stack(columns).astype(np.int64, copy=False))


@njit(cache=True, nogil=True)
def _table(n: int) -> Ints:
    size = 16
    while size < 2 * n:
        size *= 2
    return np.full(size, -1, np.int64)


@njit(cache=True, nogil=True)
def _texts(view: NDArray[np.uint8], start: Ints, end: Ints) -> Any:
    n, found = start.size, 0
    table, index, first = _table(n), np.empty(n, np.int64), np.empty(n, np.int64)
    for k in range(n):
        code, a, length = _SEED, start[k], end[k] - start[k]
        for i in range(a, a + length):
            code = (code ^ np.uint64(view[i])) * _PRIME
        place = np.int64((code ^ (code >> _HALF)) & np.uint64(table.size - 1))
        while table[place] >= 0:
            at = first[table[place]]
            b, i = start[at], 0
            if end[at] - b == length:
                while i < length and view[a + i] == view[b + i]:
                    i += 1
                if i == length:
                    break
            place = (place + 1) % table.size
        if table[place] < 0:
            table[place], first[found] = found, k
            found += 1
        index[k] = table[place]
    return index, first[:found].copy()


@njit(cache=True, nogil=True)
def _rows(values: NDArray[np.int64]) -> Any:
    n, width, found = values.shape[0], values.shape[1], 0
    table, index, first = _table(n), np.empty(n, np.int64), np.empty(n, np.int64)
    for k in range(n):
        code = _SEED
        for c in range(width):
            code = (code ^ np.uint64(values[k, c])) * _SPREAD
            code ^= code >> _HALF
        place = np.int64(code & np.uint64(table.size - 1))
        while table[place] >= 0:
            at, c = first[table[place]], 0
            while c < width and values[k, c] == values[at, c]:
                c += 1
            if c == width:
                break
            place = (place + 1) % table.size
        if table[place] < 0:
            table[place], first[found] = found, k
            found += 1
        index[k] = table[place]
    return index, first[:found].copy()
